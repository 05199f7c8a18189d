"""Everything that callers can do, once: HTTP and gRPC only translate. Each method says first who calls.

Every read of what is kept about a person goes through the store's access log with the caller, the role and the purpose;
every change is durable before its method returns.
"""
from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from parties.bank.decision.application import Application
from parties.bank.decision.record import DecisionRecord
from parties.bank.service import answers
from parties.bank.service import messages as m
from parties.bank.service.callers import Caller
from parties.bank.service.deciding import Decider, Submitted
from parties.bank.service.metrics import Metrics
from parties.bank.service.names import ApplicationIds
from parties.bank.service.pages import MOST, Cursors
from parties.bank.service.refusals import Conflict, NotFound, Refusal, Unavailable, Unprocessable
from parties.bank.service.throttle import Throttle
from parties.bank.store import Busy, Reader, Store, Unit, Unknown, Unreachable
from parties.bank.store import Conflict as StoreConflict
from parties.bank.store.answers import Answer as Kept
from parties.bank.store.settings import Retention
from parties.runtime.scoring.persons import PersonKey
from protocols.canonical import canonical_json
from protocols.errors import PolicyRefused, SealscoreError, UsageError

T = TypeVar("T")
FOLLOWING = "progress query of the applicant"
PERSON_LOOK = "the person's consents and switch"


@dataclass(frozen=True)
class Parts:
    """What the use cases rest on."""

    store: Store
    decider: Decider
    persons: PersonKey
    ids: ApplicationIds
    cursors: Cursors
    throttle: Throttle
    metrics: Metrics
    retention: Retention
    health: Callable[[], m.Health]
    in_flight: int
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)


class UseCases:
    """The application layer of one process."""

    def __init__(self, parts: Parts):
        self._parts = parts
        self._running: dict[tuple[str, str], tuple[bytes, asyncio.Task[Kept]]] = {}
        parts.metrics.gauge("applications_in_flight", lambda: float(len(self._running)))

    # applications

    async def submit(self, caller: Caller, key: str, submission: m.Submission) -> Kept:
        """Decide an application; the same key and submission again give the same answer, also after a crash."""
        caller.require("submit")
        self._throttle([("all", ""), ("province", submission.province), ("caller", str(caller))])
        submitted, place = self._submitted(caller, key, submission), (caller.name, key)
        running = self._running.get(place) or self._start(place, submitted)
        if running[0] != submitted.request:
            raise Conflict("this idempotency key came with another request; use a new key for a new request")
        with told():
            return await asyncio.shield(running[1])  # a caller who hangs up does not stop it half-way

    def _start(self, place: tuple[str, str], submitted: Submitted) -> tuple[bytes, asyncio.Task[Kept]]:
        if len(self._running) >= self._parts.in_flight:
            self._parts.metrics.count("throttled", limit="in_flight")
            raise Unavailable(f"{self._parts.in_flight} applications are being decided already; come again in a second")
        task = asyncio.create_task(self._parts.decider.decide(submitted))
        self._running[place] = (submitted.request, task)
        task.add_done_callback(lambda done: self._ended(place, done))
        return self._running[place]

    def _ended(self, place: tuple[str, str], task: asyncio.Task[Kept]) -> None:
        self._running.pop(place, None)
        if not task.cancelled():
            task.exception()  # looked at: its caller may have hung up

    def _submitted(self, caller: Caller, key: str, submission: m.Submission) -> Submitted:
        fields = {name: getattr(submission, name) for name in m.Submission.model_fields}
        application = Application(application_id=self._parts.ids.make(caller.name, key), applied_at=self._parts.clock(),
                                  **fields)
        with told():
            person = self._parts.persons.person(submission.customer)
        # compared, and kept as a digest: with the keyed hash, or whoever has the store could try identifiers on it
        request = canonical_json(submission.model_dump(mode="json") | {"customer": person})
        return Submitted(caller.name, key, request, person, application)

    async def progress(self, caller: Caller, application_id: str) -> m.Progress:
        """The answer as it was given and the review, if any; a channel sees its own applications only."""
        caller.require("follow")
        self._owned(caller, application_id)
        record, review = await self._record(caller, application_id, FOLLOWING)
        return m.Progress(answer=answers.answer_of(record), review=review)

    async def record(self, caller: Caller, application_id: str, why: str) -> m.Record:
        """The whole record, for a stated purpose."""
        caller.require("read-record")
        record, _ = await self._record(caller, application_id, why)
        return m.Record(digest=record.digest(), record=json.loads(record.to_bytes()))

    async def list(self, caller: Caller, why: str, cursor: str | None, limit: int, outcome: str | None) -> m.Page:
        """Decisions, newest first."""
        caller.require("list")
        if not 1 <= limit <= MOST:
            raise Unprocessable(f"expected a limit from 1 to {MOST}, got {limit}")
        listing = f"applications {outcome or 'all'}"
        before = int(self._parts.cursors.read(listing, cursor)[0]) if cursor else None
        reader, now = _reader(caller, why), self._parts.clock()
        lines = await self._write(lambda unit: unit.decisions.page(reader, now, before, limit, outcome=outcome))
        follows = self._parts.cursors.make(listing, [lines[-1].number]) if len(lines) == limit else None
        return m.Page(items=tuple(map(answers.listed, lines)), next=follows)

    async def _record(self, caller: Caller, application_id: str, why: str
                      ) -> tuple[DecisionRecord, m.ReviewState | None]:
        reader, now = _reader(caller, why), self._parts.clock()

        def job(unit: Unit) -> tuple[bytes, m.ReviewState | None]:
            return (unit.decisions.read(application_id, reader, now),
                    answers.review_of(unit.reviews.of(application_id)))

        data, review = await self._write(job)
        return DecisionRecord.from_bytes(data), review

    # reviews by a person

    async def ask_review(self, caller: Caller, application_id: str, request: m.ReviewRequest) -> m.ReviewState:
        """A person of the bank is to look again; asking twice is asking once."""
        caller.require("ask-review")
        self._owned(caller, application_id)
        now = self._parts.clock()

        def job(unit: Unit) -> m.ReviewState | None:
            unit.reviews.ask(application_id, request.text, now)
            return answers.review_of(unit.reviews.of(application_id))

        return await self._review(job)

    async def decide_review(self, caller: Caller, application_id: str, decision: m.ReviewDecision) -> m.ReviewState:
        """What an officer found, once."""
        caller.require("decide-review")
        now = self._parts.clock()

        def job(unit: Unit) -> m.ReviewState | None:
            unit.reviews.decide(application_id, decision.outcome, caller.name, decision.note, now)
            return answers.review_of(unit.reviews.of(application_id))

        return await self._review(job)

    async def reviews(self, caller: Caller, why: str) -> m.Waitings:
        """Those that wait, the oldest first, 100 at most."""
        caller.require("list")
        reader, now = _reader(caller, why), self._parts.clock()
        found = await self._write(lambda unit: unit.reviews.waiting(reader, now))
        return m.Waitings(items=tuple(m.Waiting(application_id=one.application_id, asked_at=one.asked_at, text=one.text)
                                      for one in found))

    async def _review(self, job: Callable[[Unit], m.ReviewState | None]) -> m.ReviewState:
        state = await self._write(job)
        if state is None:
            raise NotFound("no such review is kept; ask for one first")
        return state

    # people

    def person(self, caller: Caller, query: m.CustomerQuery) -> m.PersonFound:
        """The name of a customer under /v1/persons; says nothing about whether anything is kept."""
        caller.require("give-consent" if caller.role == "channel" else "read-person")
        self._throttle([("caller", str(caller))])
        with told():
            return m.PersonFound(person=self._parts.persons.person(query.customer))

    async def person_state(self, caller: Caller, person: str) -> m.PersonState:
        """A person's consents and switch."""
        caller.require("read-person")
        return await self._state(caller, person, lambda unit, now: None)

    async def give_consent(self, caller: Caller, person: str, consent: m.ConsentGiven) -> m.PersonState:
        """Keep one consent; the same one again changes nothing."""
        caller.require("give-consent")
        return await self._state(caller, person, lambda unit, now: _grant(unit, person, consent, now))

    async def withdraw_consent(self, caller: Caller, person: str, reference: str) -> m.PersonState:
        """End a consent at once, here and at the platform."""
        caller.require("give-consent")
        return await self._state(caller, person, lambda unit, now: unit.consents.withdraw(reference, person, now))

    async def switch(self, caller: Caller, person: str, switch: m.Switch) -> m.PersonState:
        """Off stops scoring at once and withdraws every open consent; on again revives none."""
        caller.require("switch-off")

        def job(unit: Unit, now: datetime) -> None:
            if switch.off:
                unit.consents.switch_off(person, str(caller), now)
            else:
                unit.consents.switch_on(person, str(caller), now)

        return await self._state(caller, person, job)

    async def ask_deletion(self, caller: Caller, person: str) -> m.DeletionState:
        """Queue a person's deletion and switch their services off; asking twice is asking once."""
        caller.require("ask-deletion")
        now = self._parts.clock()
        one, _ = await self._write(lambda unit: unit.deletions.ask(person, str(caller), now, self._parts.retention))
        return answers.deletion_of(person, one)

    async def accesses(self, caller: Caller, person: str, why: str) -> m.Accesses:
        """Who read what about a person, newest first, 100 at most; this look is the next line."""
        caller.require("read-accesses")
        reader, now = _reader(caller, why), self._parts.clock()
        lines = await self._write(lambda unit: unit.accesses.of(reader, now, person))
        return m.Accesses(items=tuple(map(answers.access_of, lines)))

    async def _state(self, caller: Caller, person: str, change: Callable[[Unit, datetime], object]) -> m.PersonState:
        reader, now = _reader(caller, PERSON_LOOK), self._parts.clock()

        def job(unit: Unit) -> m.PersonState:
            change(unit, now)
            unit.accesses.note(reader, "consents", now, person)
            return answers.person_of(person, unit.consents.is_off(person), unit.consents.of(person), now)

        return await self._write(job)

    # the process

    def metrics(self, caller: Caller) -> str:
        """Counters and latencies in Prometheus's text format."""
        caller.require("metrics")
        return self._parts.metrics.text()

    async def settled(self) -> None:
        """Wait for applications that are being decided."""
        await asyncio.gather(*(task for _, task in self._running.values()), return_exceptions=True)

    def health(self) -> m.Health:
        """Whether this process answers; of nobody in particular."""
        return self._parts.health()

    def _owned(self, caller: Caller, application_id: str) -> None:
        if caller.role == "channel" and not self._parts.ids.is_of(caller.name, application_id):
            raise NotFound("there is no such application of this channel; use the id that its submission was given")

    def _throttle(self, keys: list[tuple[str, str]]) -> None:
        try:
            self._parts.throttle.take(keys, time.monotonic())
        except Refusal:
            self._parts.metrics.count("throttled", limit="rate")
            raise

    async def _write(self, job: Callable[[Unit], T]) -> T:
        with told():
            return await asyncio.wrap_future(self._parts.store.submit(job))


@contextmanager
def told() -> Iterator[None]:
    """Turn what the layers below refuse into what a caller is told; the sentences stay."""
    try:
        yield
    except Refusal:
        raise
    except Unknown as error:
        raise NotFound(str(error)) from None
    except (StoreConflict, PolicyRefused) as error:
        raise Conflict(str(error)) from None
    except (Busy, Unreachable) as error:
        raise Unavailable(str(error)) from None
    except UsageError as error:
        raise Unprocessable(str(error)) from None
    except SealscoreError as error:
        raise Unavailable(str(error)) from None


def _grant(unit: Unit, person: str, consent: m.ConsentGiven, now: datetime) -> None:
    """Keep a consent from now on; one that stands already under the same terms is left as it is."""
    kept = next((one for one in unit.consents.of(person) if one.reference == consent.reference), None)
    begun = kept.granted_at if kept is not None else now
    unit.consents.grant(consent.reference, person, consent.purpose, begun, consent.expires_at, consent.maximum_uses)


def _reader(caller: Caller, why: str) -> Reader:
    return Reader(caller.name, caller.role, why)
