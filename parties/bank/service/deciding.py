"""One application from the caller to a durable record: consent, scores, the engine, commit; only then the answer.

    first transaction     an answer under this key? else use the consents, read switch, history, quotas
    outside of any        the bank's own score; the joint score, asked only with a consent that holds
    second transaction    record, answer under the key, funding reserved: all of it or nothing

A crash between the two leaves used consents and no record: the retry has the same application id, for which they hold.
"""
from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from parties.bank.decision.application import JOINT_SCORING, Application, Bureau
from parties.bank.decision.context import BankOnly, ConsentState, Context, History, JointScore, Quota
from parties.bank.decision.lateness import last, worst, worst_since
from parties.bank.decision.record import DecisionRecord
from parties.bank.lending.book import Loans
from parties.bank.service.answers import answer_of
from parties.bank.service.metrics import Metrics
from parties.bank.service.refusals import Unavailable
from parties.bank.store import LimitExceeded, Store, Unit
from parties.bank.store.answers import Answer as Kept
from parties.bank.store.consents import Grant

CREATED = 201
QUOTA_TRIES = 4  # decisions made anew because a partner's quota went to another applicant in between


T = TypeVar("T")


class Scores(Protocol):
    """What gives scores: the bank's own at once, the joint one by asking."""

    def bank_only(self, bureau: Bureau | None) -> BankOnly:
        """The bank's own score of this bureau answer; DataError for a value that the model's table cannot have."""

    async def joint(self, submitted: Submitted, consent: Grant | None) -> JointScore:
        """The joint score within the deadline; never an exception for a peer: the status says what became of it."""


class Engine(Protocol):
    """Decides, and says which arm of an experiment a person is in."""

    funders: Collection[str]  # whose quotas it looks at

    def decide(self, application: Application, context: Context) -> DecisionRecord:
        """The record."""

    def arm(self, person: str, at: datetime) -> str | None:
        """The person's arm at that time."""


@dataclass(frozen=True, repr=False)
class Submitted:
    """One submission as it came: who sent it under which key, its bytes for comparison, the person."""

    scope: str
    key: str
    request: bytes
    person: str
    application: Application


@dataclass(frozen=True)
class Facts:
    """What the first transaction found. `consent`: the one under which the platform may be asked."""

    consents: tuple[ConsentState, ...]
    consent: Grant | None
    switched_off: bool
    history: History
    quotas: dict[str, Quota]


class Decider:
    """Decides applications on one store."""

    def __init__(self, store: Store, scores: Scores, engine: Engine, metrics: Metrics, offer_stands: timedelta):
        self._store, self._scores, self._engine = store, scores, engine
        self._metrics, self._offer_stands = metrics, offer_stands

    async def decide(self, submitted: Submitted) -> Kept:
        """The answer under the submission's key: durable when this returns."""
        began = time.perf_counter()
        own = self._scores.bank_only(submitted.application.bureau)
        found = await self._submit(lambda unit: _first(unit, submitted, self._engine.funders))
        if isinstance(found, Kept):
            return found
        asked = time.perf_counter()
        score = await self._scores.joint(submitted, found.consent)
        self._metrics.score_s.observe(time.perf_counter() - asked)
        self._metrics.count("joint_scores", status=score.status)
        kept = await self._settle(submitted, found, score, own)
        self._metrics.decision_s.observe(time.perf_counter() - began)
        return kept

    async def _settle(self, submitted: Submitted, facts: Facts, score: JointScore, own: BankOnly) -> Kept:
        """Decide and commit; anew with fresh quotas when a partner's went to another applicant in between."""
        for _ in range(QUOTA_TRIES):
            record = self._engine.decide(submitted.application, self._context(submitted, facts, score, own))
            data = record.to_bytes()
            body = answer_of(record, data).model_dump_json().encode()
            until = record.context.now + self._offer_stands
            try:
                kept = await self._submit(functools.partial(_second, submitted=submitted, record=record, data=data,
                                                            body=body, until=until))
            except LimitExceeded:
                facts = replace(facts, quotas=await self._submit(lambda unit: unit.quotas.free(self._engine.funders)))
                continue
            if kept.first:
                self._metrics.count("decisions", outcome=record.outcome)
            return kept
        raise Unavailable("funding quotas change faster than this application could be decided; repeat it with the "
                          "same key in a second")

    def _context(self, submitted: Submitted, facts: Facts, score: JointScore, own: BankOnly) -> Context:
        now = submitted.application.applied_at
        return Context(now=now, person=submitted.person, score=score, bank_only=own,
                       history=facts.history, quotas=facts.quotas, consents=facts.consents,
                       switched_off=facts.switched_off, arm=self._engine.arm(submitted.person, now))

    async def _submit(self, job: Callable[[Unit], T]) -> T:
        return await asyncio.wrap_future(self._store.submit(job))


def _first(unit: Unit, submitted: Submitted, funders: Collection[str]) -> Kept | Facts:
    """The answer that this key had already, or the facts, with every valid consent used by this application."""
    kept = unit.idempotency.find(submitted.scope, submitted.key, submitted.request)
    if kept is not None:
        return kept
    application, person = submitted.application, submitted.person
    now = application.applied_at
    taken = unit.consents.take([(told.reference, told.purpose) for told in application.consents], person,
                               application.application_id, now)
    held = any(status == "valid" for status, _ in taken)  # none is valid of a person who switched off
    off = not held and unit.consents.is_off(person)
    states = tuple(ConsentState(reference=told.reference, purpose=told.purpose, status=status)
                   for told, (status, _) in zip(application.consents, taken, strict=True))
    # nobody is asked about a person who switched off, or without a consent that holds
    valid = [grant for _, grant in taken if grant is not None and grant.purpose == JOINT_SCORING and not off]
    return Facts(states, valid[-1] if valid else None, off, history_of(unit, person, now),
                 unit.quotas.free(funders))


def history_of(unit: Unit, person: str, now: datetime) -> History:
    """The person's account, with how late loans are that still run."""
    history = unit.customers.history(person, now)
    if not history.outstanding_fen:
        return history
    late = [one for one in Loans(unit).lateness(person, now) if one.days]
    if not late:
        return history
    known = [at for at in (history.late_at, last(late)) if at is not None]
    return history.model_copy(update={
        "worst_overdue_days": max(history.worst_overdue_days, worst(late)), "late_at": max(known),
        "new_overdue_days": max(history.new_overdue_days or 0, worst_since(late, history.last_review))})


def _second(unit: Unit, submitted: Submitted, record: DecisionRecord, data: bytes, body: bytes, until: datetime
            ) -> Kept:
    """Answer, record, limit and funding: all of it or nothing."""
    now, offer = record.context.now, record.offer
    kept = unit.idempotency.keep(submitted.scope, submitted.key, submitted.request, CREATED, body, now,
                                 submitted.person)
    if not kept.first:
        return kept
    unit.decisions.save(record, data)
    if record.outcome == "approved" and offer is not None:
        name = record.application.application_id
        unit.quotas.reserve(name, {share.partner: share.fen for share in offer.funding if share.fen}, now, until)
        if offer.limit_fen != record.context.history.existing_limit_fen:
            unit.customers.set_limit(submitted.person, offer.limit_fen, f"decision {name}", "decision service", now)
            if record.context.history.existing_limit_fen:  # it looked at the limit, as a review does
                unit.customers.reviewed(submitted.person, f"decision {name}", "decision service", now)
    return kept
