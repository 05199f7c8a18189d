"""Entries of `parsers.py`: what a bank reads back from its own store and rulebook folder, where a fault or somebody who
can write there has changed it."""
from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial

from parties.bank.decision import jdm
from parties.bank.decision.engine import decide
from parties.bank.decision.record import DecisionRecord
from parties.bank.decision.rulebook import Rulebook, default_files
from parties.bank.lending.events import Movement, accepted
from parties.bank.lending.terms import Terms
from parties.bank.store.payloads import Payloads
from protocols.crypto.box import Box
from protocols.errors import TrustError
from tests.attacks.samples import Parser
from tests.parties.bank.decision.cases import application, context, shipped
from tests.parties.bank.lending.loans import START, event, terms

HERE = "parties.bank."
BOX = Box(b"k" * 32)


@cache
def _record() -> bytes:
    return decide(application(), context(), shipped()).to_bytes()


def _rulebook_with(name: str, text: bytes) -> Rulebook:
    return Rulebook(default_files() | {name: text})


def _unpacked(data: bytes) -> bytes:
    """The same bytes under another name must be refused; what is not sealed is bound to no name."""
    taken = Payloads(BOX).unpack("d-1", data)
    try:
        Payloads(BOX).unpack("d-2", data)
    except TrustError:
        return taken
    if data[:1] == b"\x01":
        raise RuntimeError("opened under another name")
    return taken


def bank() -> Iterator[Parser]:
    """Records, loans, rulebooks."""
    yield Parser("decision record", DecisionRecord.from_bytes, lambda: [_record()],
                 (HERE + "decision.record.DecisionRecord.from_bytes",), 60, json=True)
    yield Parser("movement of a loan", Movement.from_bytes,
                 lambda: [accepted(terms(), event("accept", START))[1].to_bytes()],
                 (HERE + "lending.events.Movement.from_bytes",), 60, json=True)
    yield Parser("terms of a loan", Terms.from_bytes, lambda: [terms().to_bytes()],
                 (HERE + "lending.terms.Terms.from_bytes",), 60, json=True)
    yield Parser("payload", _unpacked, lambda: [Payloads(BOX).pack("d-1", _record()), Payloads().pack("d-1", b"open")],
                 (HERE + "store.payloads.Payloads.unpack",), 60)
    yield Parser("kept rulebook", Rulebook.from_bytes, lambda: [shipped().to_bytes()],
                 (HERE + "decision.rulebook.Rulebook.from_bytes",), 20, json=True)
    for name, good in default_files().items():
        is_graph = name.endswith(".json")
        yield Parser(f"rulebook {name}", partial(_rulebook_with, name), lambda good=good: [good],
                     (HERE + "decision.rulebook._decoded",), 20, json=is_graph)
        if is_graph:
            yield Parser(f"graph {name}", lambda data, name=name: jdm.parse(data, name), lambda good=good: [good],
                         (HERE + "decision.jdm.parse",), 60, json=True)
