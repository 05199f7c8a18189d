"""Draw-downs from a store of one's own, in a thread or in a process that needs no test runner."""
from __future__ import annotations

from parties.bank.lending.book import Loans, Notary
from parties.bank.store import LimitExceeded, open_store
from protocols.crypto.identity import IdentityKey
from tests.parties.bank.lending.loans import START, event

DRAW = 130_000
NOTARY = Notary("bank", IdentityKey.generate())


def draw_all(address: str, numbers: range, fen: int = DRAW) -> int:
    """Draw these loans from a store of one's own, all submitted at once; how many were not refused."""
    with open_store(address) as store:
        futures = [store.submit(lambda unit, n=n: Loans(unit, NOTARY).act(f"l-{n}", event("draw", START, fen)))
                   for n in numbers]
        errors = [future.exception() for future in futures]
    unexpected = [error for error in errors if error is not None and not isinstance(error, LimitExceeded)]
    if unexpected:
        raise unexpected[0]
    return errors.count(None)
