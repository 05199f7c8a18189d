"""Reviews of limits, every six months or after thirty idle days (domain row 9), by the facts that the bank has kept.

    due     accounts that nobody looked at for so long, read beside the writer, at most 200 at a time
    each    one transaction: the account locked, still due?, the record of the person's last decision (the access log
            has it), what `limits.review` says, the change with its reason, the note that it was reviewed

A crash leaves a review whole or not at all, and whoever was not reviewed is still due. Where no recent enough record is
kept, or the person has switched services off, the bank's own loans may freeze or cut, and nothing raises.
"""
from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as day_time
from decimal import Decimal
from zoneinfo import ZoneInfo

from parties.bank.decision import limits
from parties.bank.decision.limits import LimitChange, Standing
from parties.bank.decision.products import Product
from parties.bank.decision.record import DecisionRecord
from parties.bank.decision.rulebook import Rulebook
from parties.bank.service.deciding import history_of
from parties.bank.service.metrics import Metrics
from parties.bank.store import Reader, Store, Unit
from parties.bank.store.customers import LimitAccount
from parties.bank.store.errors import Unknown
from protocols.errors import MalformedMessage, TrustError

log = logging.getLogger("sealscore.decisions")
MOST = 200  # accounts of one round; each is a transaction of its own, so decisions wait for one at most
REST = timedelta(hours=1)  # until the accounts are looked through again after a round that left none
SERVICE = Reader("decision service", "service", "review of a limit")
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Reviewed:
    """What a review did to one account. `application_id`: whose record it went by, None without one."""

    person: str
    change: LimitChange
    application_id: str | None


@dataclass(frozen=True)
class Kept:
    """What the record of a person's last decision says about them; money in fen."""

    application_id: str
    product: Product
    probability: Decimal
    approved: bool
    annual_income_fen: int | None
    credit_elsewhere_fen: int

    def told(self, standing: Standing) -> Standing:
        """The standing with what the record says."""
        return standing.model_copy(update={
            "probability": self.probability, "annual_income_fen": self.annual_income_fen,
            "credit_elsewhere_fen": self.credit_elsewhere_fen})


class LimitReviews:
    """Reviews what is due for the service, some accounts at a time."""

    def __init__(self, store: Store, rulebook: Rulebook, metrics: Metrics,
                 clock: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self._store, self._rulebook, self._metrics, self._clock = store, rulebook, metrics, clock
        self._rest_until: datetime | None = None

    async def run(self) -> int:
        """One round; how many accounts were reviewed. 0 within an hour of a round that left none."""
        now = self._clock()
        if self._rest_until is not None and now < self._rest_until:
            return 0
        people = await asyncio.to_thread(self._store.read, lambda unit: due(unit, self._rulebook, now))
        done = [await self._one(person, now) for person in people]
        self._rest_until = None if len(people) == MOST else now + REST
        return sum(done)

    async def _one(self, person: str, now: datetime) -> bool:
        job = self._store.submit(lambda unit: review(unit, self._rulebook, person, now, SERVICE))
        found = await asyncio.wrap_future(job)
        if found is not None:
            self._metrics.count("limit_reviews", result=found.change.kind)
        return found is not None


def due(unit: Unit, rulebook: Rulebook, now: datetime, most: int = MOST) -> list[str]:
    """People whose accounts a review is due for, those first that were looked at longest ago."""
    policy, on = rulebook.limits, rulebook.business_date(now)
    reviewed, active = limits.reviewed_before(policy, on), on - timedelta(days=policy.review_idle_days)
    return unit.customers.due(_end(rulebook, reviewed), _end(rulebook, active), most)


def review(unit: Unit, rulebook: Rulebook, person: str, now: datetime, reader: Reader) -> Reviewed | None:
    """Review one account and write what follows; None when it is not due any more or is gone."""
    try:
        account = unit.customers.locked(person)
    except Unknown:
        return None
    standing, on = standing_of(unit, rulebook, account, now), rulebook.business_date(now)
    if limits.review_due(rulebook.limits, standing, on) is None:
        return None
    kept = kept_facts(unit, rulebook, person, now, reader)
    change = _said(rulebook, standing, kept, on)
    unit.accesses.note(reader, "limit review", now, person)
    reason = _reason(change, kept)
    write(unit, account, change, reason, reader.who, now)
    unit.customers.reviewed(person, reason, reader.who, now)
    return Reviewed(person, change, None if kept is None else kept.application_id)


def season(unit: Unit, rulebook: Rulebook, person: str, now: datetime, reader: Reader) -> LimitChange:
    """Give a person the temporary raise of the season that lasts, or say why not."""
    account = unit.customers.locked(person)
    kept = kept_facts(unit, rulebook, person, now, reader)
    standing, policy = standing_of(unit, rulebook, account, now), rulebook.limits
    unit.accesses.note(reader, "limit season", now, person)
    if kept is None:
        return limits.unscored(policy, standing)
    change = limits.seasonal(policy, kept.product, rulebook.products.single_customer_cap_fen, kept.told(standing),
                             rulebook.business_date(now))
    change = change if kept.approved else limits.unraised(policy, standing, change)
    if change.until is not None:
        unit.customers.raise_until(person, change.extra_fen, _end(rulebook, change.until), _reason(change, kept),
                                   reader.who, now)
    return change


def kept_facts(unit: Unit, rulebook: Rulebook, person: str, now: datetime, reader: Reader) -> Kept | None:
    """What the last decision knew, None where it is too old, may not be read, gave no score, or services are off."""
    since = now - timedelta(days=rulebook.limits.review_facts_days)
    name = None if unit.consents.is_off(person) else unit.decisions.newest(person, since)
    if name is None:
        return None
    try:
        record = DecisionRecord.from_bytes(unit.decisions.read(name, reader, now))
    except (TrustError, MalformedMessage) as fault:
        log.warning("a review of a limit goes without the last decision: %s", fault)
        return None
    product, probability = rulebook.products.get(record.application.product), _probability(record)
    if product is None or probability is None:
        return None
    bureau = record.application.bureau
    known = bureau if bureau is not None and bureau.reported_at >= since else None
    return Kept(name, product, probability, record.outcome == "approved",
                None if known is None else known.annual_income_fen,
                0 if known is None else known.credit_lines_elsewhere_fen)


def standing_of(unit: Unit, rulebook: Rulebook, account: LimitAccount, now: datetime) -> Standing:
    """What the account and the bank's own loans say; nothing of a score, for which `probability` stands at 0."""
    on, history = rulebook.business_date, history_of(unit, account.person, now)
    idle = (on(now) - on(account.active_at or account.opened_at)).days
    return Standing(
        probability=Decimal(0), limit_fen=account.limit_fen, loans_repaid=account.loans_repaid,
        worst_overdue_days=history.worst_overdue_days, idle_days=max(0, idle),
        last_review=on(account.looked_at), frozen=account.frozen, new_overdue_days=history.new_overdue_days,
        late_on=history.late_at and on(history.late_at))


def _said(rulebook: Rulebook, standing: Standing, kept: Kept | None, on: date) -> LimitChange:
    policy, cap = rulebook.limits, rulebook.products.single_customer_cap_fen
    if kept is None:
        return limits.review_unscored(policy, standing)
    change = limits.review(policy, kept.product, cap, kept.told(standing), on)
    return change if kept.approved else limits.unraised(policy, standing, change)


def write(unit: Unit, account: LimitAccount, change: LimitChange, reason: str, by: str, now: datetime) -> None:
    """What a change does to the account; a cut ends a temporary raise that runs."""
    if change.kind == "frozen":
        unit.customers.freeze(account.person, reason, by, now)
    elif change.after_fen != account.limit_fen:
        unit.customers.set_limit(account.person, change.after_fen, reason, by, now)
        _trim(unit, account, change, reason, by, now)


def _trim(unit: Unit, account: LimitAccount, change: LimitChange, reason: str, by: str, now: datetime) -> None:
    """A temporary raise that runs stays as far as it and the limit together are within every bound; a cut ends it."""
    running = account.limit_at(now) - account.limit_fen
    highest = min((bound.fen for bound in change.bounds if bound.name != "raise"), default=change.after_fen)
    left = max(0, min(running, highest - change.after_fen))
    if running and left != running:
        unit.customers.raise_until(account.person, left, account.temporary_until or now, reason, by, now)


def _probability(record: DecisionRecord) -> Decimal | None:
    """By the score that the graph went by."""
    path = next((step.outcome.get("path") for step in record.steps if step.name == "platform"), None)
    if path == "joint":
        return record.context.score.probability
    return record.context.bank_only.probability if path == "bank-only" else None


def _reason(change: LimitChange, kept: Kept | None) -> str:
    return change.reason if kept is None else f"{change.reason}, by decision {kept.application_id}"


def _end(rulebook: Rulebook, on: date) -> datetime:
    """When a business date is over."""
    return datetime.combine(on + _DAY, day_time(), ZoneInfo(rulebook.settings.time_zone))
