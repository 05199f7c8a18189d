"""Risk signals: what `limits.toml` says a signal does to a limit, done once for each reference.

One transaction: the account locked, the look in the access log, has this reference acted?, what `limits.act` says, the
change with its reason, the signal kept. So the same signal twice at once acts once, and a crash leaves it whole or not
at all. It is no review: when the account was last reviewed stays as it was.
"""
from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from parties.bank.decision import limits
from parties.bank.decision.limits import LimitChange, Standing
from parties.bank.decision.rulebook import Rulebook
from parties.bank.service import limit_reviews
from parties.bank.service import messages as m
from parties.bank.service.callers import Caller
from parties.bank.service.metrics import Metrics
from parties.bank.service.use_cases import told
from parties.bank.store import Reader, Store, Unit
from parties.bank.store.customers import LimitAccount
from parties.bank.store.signals import KeptSignal
from protocols.errors import UsageError


@dataclass(frozen=True)
class Reported:
    """A signal about a person, as somebody reports it."""

    person: str
    reference: str
    signal: str


class LimitSignals:
    """Signals that callers report."""

    def __init__(self, store: Store, rulebook: Rulebook, metrics: Metrics,
                 clock: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self._store, self._rulebook, self._metrics, self._clock = store, rulebook, metrics, clock

    async def report(self, caller: Caller, person: str, report: m.SignalReport) -> m.SignalActed:
        """What followed, durable when this returns; the same report again gets the same answer and does nothing."""
        caller.require("report-signal")
        one, now = Reported(person, report.reference, report.signal), self._clock()
        reader = Reader(caller.name, caller.role, purpose(one))
        job = self._store.submit(lambda unit: act(unit, self._rulebook, one, now, reader, str(caller)))
        with told():
            kept, first = await asyncio.wrap_future(job)
        if first:
            self._metrics.count("limit_signals", result=kept.kind)
        return acted(kept)


def purpose(one: Reported) -> str:
    """Why the account is looked at, for the access log."""
    return f"risk signal {one.signal}, {one.reference}"


def act(unit: Unit, rulebook: Rulebook, one: Reported, now: datetime, reader: Reader, by: str
        ) -> tuple[KeptSignal, bool]:
    """What followed from a signal, and whether it followed now. Unknown for a person without an account, Conflict where
    the reference stands for another signal, UsageError for a signal that the rulebook does not have."""
    account = unit.customers.locked(one.person)
    unit.accesses.note(reader, "limit signal", now, one.person)
    kept = unit.signals.find(one.person, one.reference, one.signal)
    if kept is not None:
        return kept, False
    change = _change(rulebook, account, one.signal)
    kept = KeptSignal(one.person, one.reference, one.signal, by, now, change.kind, change.before_fen, change.after_fen,
                      change.reason, change.zh, change.en)
    unit.signals.keep(kept)
    limit_reviews.write(unit, account, change, f"{change.reason}, signal {one.reference}", by, now)
    return kept, True


def acted(kept: KeptSignal) -> m.SignalActed:
    """What a caller is told of it."""
    return m.SignalActed(person=kept.person, reference=kept.reference, signal=kept.signal, change=kept.kind,
                         before_fen=kept.before_fen, after_fen=kept.after_fen, reason=kept.reason, zh=kept.zh,
                         en=kept.en, acted_at=kept.at)


def _change(rulebook: Rulebook, account: LimitAccount, signal: str) -> LimitChange:
    policy = rulebook.limits
    standing = Standing(probability=Decimal(0), limit_fen=account.limit_fen, frozen=account.frozen)
    change = limits.act(policy, standing, signal)
    if change is None:
        names = ", ".join(one.code for one in policy.signals) or "none"
        raise UsageError(f"expected a signal of the rulebook, which has: {names}")
    return change
