"""Which side of a run this party takes: it depends on what is trained and what becomes of its weights."""
from __future__ import annotations

from collections.abc import Callable

from parties.bank.network_side import BankNetworkSide
from parties.bank.shared_side import BankSharedSide
from parties.bank.side import BankSide
from parties.bank.trees_side import BankTreesSide
from parties.runtime.sharing import Sharing
from parties.runtime.side import Side
from protocols.plan import Plan


def bank_side(plan: Plan | None = None, sharing: Callable[[], Sharing] | None = None) -> Side:
    """The bank's side of a run of this plan; without a plan what is common to all runs."""
    if plan is not None and plan.model.kind == "boosting":
        return BankTreesSide()
    if plan is not None and plan.model.kind == "network":
        return BankNetworkSide(sharing())
    return BankSharedSide(sharing()) if plan is not None and plan.model.release == "shared" else BankSide()
