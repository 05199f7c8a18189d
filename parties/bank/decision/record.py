"""The record of one decision: what went in, what each step did, what came out and why. It holds no identifier."""
from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError

from parties.bank.decision.application import Facts
from parties.bank.decision.context import Context
from parties.bank.decision.values import Count, Fen, Instant, Label, Number, Text
from protocols.canonical import canonical_json, parse_canonical_json
from protocols.errors import MalformedMessage
from protocols.plan import Name
from protocols.strict import Strict, first_problem

Outcome = Literal["approved", "declined", "referred", "insufficient-data", "deferred"]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
VERSION = 1
MAX_RECORD_BYTES = 256 * 1024


class FundingShare(Strict):
    """What one partner pays of a loan, in fen."""

    partner: Name
    share: Annotated[Number, Field(ge=0, le=1)]
    fen: Fen


class Installment(Strict):
    """One payment of the preview, months after the draw-down."""

    month: Count
    principal_fen: Fen
    interest_fen: Fen
    fee_fen: Fen = 0


class Offer(Strict):
    """What the bank offers: limit, amount, daily rate, the all-in annual cost and who funds it."""

    limit_fen: Fen
    amount_fen: Fen
    daily_rate: Number
    term_months: Annotated[int, Field(ge=1, le=120)]
    annual_cost: Number
    installments: tuple[Installment, ...] = Field(max_length=120)
    funding: tuple[FundingShare, ...] = Field(max_length=16)


class Reason(Strict):
    """A principal reason, specific, and what the applicant can do about it. The larger weight comes first."""

    code: Name
    zh: Text
    en: Text
    improve_zh: Text
    improve_en: Text
    weight: Number


class Step(Strict):
    """One node of the graph: what it read, which rule fired, what it gave, by which version, at the decision's time."""

    name: Label
    version: Label
    inputs: dict[str, Any]
    rule: str | None
    outcome: dict[str, Any]
    at: Instant


class Shadow(Strict):
    """What another graph would have decided; nothing follows from it."""

    graph: Name
    outcome: Outcome
    rule: str | None
    limit_fen: Fen | None = None
    amount_fen: Fen | None = None
    daily_rate: Number | None = None


class DecisionRecord(Strict):
    """The whole of one decision; `replay` recomputes it bit for bit from itself and the rulebook it names."""

    version: Literal[1] = VERSION
    application: Facts
    context: Context
    rulebook: Digest
    graph: Name
    steps: tuple[Step, ...]
    outcome: Outcome
    offer: Offer | None = None
    reasons: tuple[Reason, ...] = ()
    shadow: tuple[Shadow, ...] = ()

    def to_bytes(self) -> bytes:
        """Canonical JSON, no floats."""
        return canonical_json(self.model_dump(mode="json"))

    @classmethod
    def from_bytes(cls, data: bytes) -> DecisionRecord:
        """MalformedMessage unless the bytes are exactly what `to_bytes` gives for some record."""
        value = parse_canonical_json(data, MAX_RECORD_BYTES)
        try:
            record = cls.model_validate_json(data)
        except ValidationError as error:
            raise MalformedMessage(f"expected a decision record, got {_kind(value)}: {first_problem(error)}") from None
        if record.to_bytes() != data:
            raise MalformedMessage("a decision record in another spelling than its own")
        return record

    def digest(self) -> str:
        """SHA-256 of the bytes, hex."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


def _kind(value: Any) -> str:
    return f"version {value['version']!r:.20}" if isinstance(value, dict) and "version" in value else "something else"
