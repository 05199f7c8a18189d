"""Replay: recompute a record from itself and the rulebook that it names, bit for bit."""
from __future__ import annotations

from parties.bank.decision.engine import decide_facts
from parties.bank.decision.record import DecisionRecord
from parties.bank.decision.rulebook import Rulebook
from protocols.errors import TrustError, UsageError


def replay(record: bytes, rulebook: Rulebook) -> bytes:
    """The bytes that the same application, context and rulebook give today; UsageError for another rulebook."""
    kept = DecisionRecord.from_bytes(record)
    if kept.rulebook != rulebook.digest:
        raise UsageError(f"the record was made under rulebook {kept.rulebook[:12]}…, got {rulebook.digest[:12]}…; "
                         "replay it under the one it names")
    return decide_facts(kept.application, kept.context, rulebook).to_bytes()


def verify(record: bytes, rulebook: Rulebook) -> DecisionRecord:
    """The record, if its replay is bit for bit the same; TrustError names the first field that is not."""
    again = replay(record, rulebook)
    kept = DecisionRecord.from_bytes(record)
    if again != record:
        other = DecisionRecord.from_bytes(again)
        field = next(name for name in DecisionRecord.model_fields if getattr(kept, name) != getattr(other, name))
        raise TrustError(f"the record does not replay: {field} differs from what its rulebook gives; it was changed, "
                         "or another release made it")
    return kept
