"""`JointScorer`: ask the platform for one applicant's part, many applicants in one call, and never wait too long.

Requests that come within 2 ms travel together, up to 64. Each has its own deadline; when it passes, or the platform is
down, slow or refuses, the answer says so in words (`unavailable` or `refused`, and a cause): what the bank does then is
its policy's business. After failures in a row the breaker answers at once.
"""
from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np

from parties.bank.decision.context import JointScore
from parties.bank.scoring.breaker import Breaker, BreakerStatus
from parties.bank.scoring.caller import Caller
from parties.bank.scoring.model import BankModel, probability_of
from parties.bank.scoring.shared import SharedHalf
from parties.bank.scoring.transport import TransportFailed
from protocols.errors import ProtocolError
from protocols.scoring import messages as m
from protocols.scoring import scoring_pb2 as pb

BATCH, BATCH_S = m.MAX_ITEMS, 0.002
SHARED_CALLS = 1  # at a time, of a model whose weights stay shared: the others wait and travel together
MOST_WAITING = 1024
MOST_AGE_S = 10**6  # as a decision's record can say it
REFUSALS = {
    pb.UNKNOWN_MODEL: "the platform does not know the model", pb.MODEL_REVOKED: "the platform revoked the model",
    pb.NOT_ALLOWED: "the platform's policy does not allow it", pb.NOT_READY: "the platform has no features at hand",
    pb.AUDIT_BEHIND: "the platform's audit log is behind",
}
STATUSES = {
    pb.UNKNOWN_PERSON: "unknown to the platform", pb.CONSENT_UNKNOWN: "consent unknown",
    pb.CONSENT_REVOKED: "consent revoked", pb.CONSENT_EXPIRED: "consent expired", pb.CONSENT_USED_UP: "consent used up",
    pb.PURPOSE_REFUSED: "purpose refused", pb.LIMIT_REACHED: "scored too often",
}


@dataclass(frozen=True, repr=False)
class Ask:
    """One applicant. `token` and `use`: 16 bytes; the same `use` again does not use the consent up again.
    `row`: what the bank has of them, for a model whose weights stay shared."""

    token: bytes
    grant: pb.Grant
    use: bytes
    row: np.ndarray | None = None

    def item(self) -> pb.ScoreItem:
        """As it travels."""
        return pb.ScoreItem(token=self.token, grant=self.grant, use=self.use)


@dataclass(frozen=True)
class PlatformAnswer:
    """The platform's part. `status`: answered, refused or unavailable; `partial`: steps of 1/32, None where data lacks
    or nothing was answered; `joint`: in its place the whole score, of a model whose weights stay shared; `sides`: of
    trees a bit for each of the platform's splits, and `partial` is 0."""

    status: str
    cause: str | None = None
    partial: int | None = None
    lacks: tuple[str, ...] = ()
    fraud: int | None = None
    snapshot: str | None = None
    age_s: int | None = None
    joint: int | None = None
    sides: bytes | None = field(default=None, repr=False)


NO_ROW = PlatformAnswer("unavailable", "no bureau answer for the bank's part")


@dataclass(frozen=True)
class ScorerStatus:
    """For people and metrics: how the platform does and what was answered since the start."""

    breaker: BreakerStatus
    waiting: int
    answers: dict[str, int] = field(default_factory=dict)


@dataclass(eq=False, repr=False)
class _Waiting:
    ask: Ask
    end: float
    answer: asyncio.Future[PlatformAnswer]


class JointScorer:
    """Of one platform; from one event loop."""

    def __init__(self, caller: Caller, breaker: Breaker | None = None):
        self._caller, self._breaker = caller, breaker or Breaker()
        self._halves: dict[str, SharedHalf] = {}
        self._calls: Counter[str] = Counter()  # on their way, of models whose weights stay shared
        self._queues: dict[str, list[_Waiting]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self._answers: Counter[str] = Counter()

    def status(self) -> ScorerStatus:
        """As of now."""
        return ScorerStatus(self._breaker.status(), self._waiting, dict(self._answers))

    def share(self, model: BankModel) -> None:
        """Score this model, whose weights stay shared, too."""
        self._halves[model.id] = model.shared

    async def score(self, ask: Ask, model: str, deadline_s: float) -> PlatformAnswer:
        """The platform's part, or why there is none, after at most `deadline_s` seconds; never raises for a peer."""
        if model in self._halves and ask.row is None:
            return self._counted(NO_ROW)
        if self._waiting >= MOST_WAITING:
            return self._counted(PlatformAnswer("unavailable", "too many requests wait"))
        loop = asyncio.get_running_loop()
        one = _Waiting(ask, loop.time() + deadline_s, loop.create_future())
        self._enqueue(model, one, loop)
        self._waiting += 1
        try:
            async with asyncio.timeout(deadline_s):
                return self._counted(await one.answer)
        except TimeoutError:
            return self._counted(PlatformAnswer("unavailable", "no answer in time"))
        finally:
            self._waiting -= 1

    def _counted(self, answer: PlatformAnswer) -> PlatformAnswer:
        self._answers[answer.status if answer.cause is None else f"{answer.status}: {answer.cause}"] += 1
        return answer

    def _enqueue(self, model: str, one: _Waiting, loop: asyncio.AbstractEventLoop) -> None:
        queue = self._queues.setdefault(model, [])
        queue.append(one)
        if len(queue) >= BATCH:
            self._send(model)
        elif len(queue) == 1:
            self._timers[model] = loop.call_later(BATCH_S, self._send, model)

    def _send(self, model: str) -> None:
        if timer := self._timers.pop(model, None):
            timer.cancel()
        if self._calls[model] >= SHARED_CALLS:
            return  # what waits goes when the call before it has come back
        queue = [one for one in self._queues.pop(model, []) if not one.answer.done()]
        batch, rest = queue[:BATCH], queue[BATCH:]
        if rest:
            self._queues[model] = rest
        if not batch:
            return
        if not self._breaker.admits():
            _settle(batch, PlatformAnswer("unavailable", f"paused after failures: {self._breaker.status().cause}"))
            return
        task = asyncio.create_task(self._ask_shared(model, batch) if model in self._halves else self._ask(model, batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask_shared(self, model: str, batch: list[_Waiting]) -> None:
        self._calls[model] += 1
        try:
            await self._ask(model, batch)
        finally:
            self._calls[model] -= 1
            if self._queues.get(model):
                self._send(model)
            else:
                await asyncio.to_thread(self._halves[model].crypto.stock, 1)

    async def _ask(self, model: str, batch: list[_Waiting]) -> None:
        try:
            answers = await self._answers_of(model, batch)
        except TransportFailed as failure:
            self._breaker.failed(str(failure))
            _settle(batch, PlatformAnswer("unavailable", str(failure)))
            return
        except BaseException:
            self._breaker.failed("a fault of this node")
            _settle(batch, PlatformAnswer("unavailable", "a fault of this node"))
            raise
        self._breaker.succeeded()
        for one, answer in zip(batch, answers, strict=True):
            _settle([one], answer)

    async def _answers_of(self, model: str, batch: list[_Waiting]) -> list[PlatformAnswer]:
        """The platform's, in the order of the batch; TransportFailed when there are none."""
        half = self._halves.get(model)
        asked = half and await asyncio.to_thread(half.ask, [one.ask.row for one in batch])
        request = pb.ScoreRequest(version=m.VERSION, model=model, items=[one.ask.item() for one in batch],
                                  shared=asked.part if asked else b"")
        left = max(one.end for one in batch) - asyncio.get_running_loop().time()
        reply = await self._caller.call("Score", request, pb.ScoreReply, left)
        answers = answers_of(reply, len(batch))
        if not asked:
            return answers
        try:
            return await asyncio.to_thread(half.scored, asked, answers, reply.shared)
        except ProtocolError:
            raise TransportFailed("a reply that is none") from None

    async def revoke(self, references: Sequence[bytes], tokens: Sequence[bytes], at_s: int, timeout_s: float) -> int:
        """Withdraw consents at the platform; TransportFailed when it did not acknowledge, so that it is tried again."""
        request = pb.RevokeConsents(version=m.VERSION, references=references, tokens=tokens, at_s=at_s)
        return (await self._caller.call("Revoke", request, pb.RevokeAck, timeout_s)).revoked

    async def close(self) -> None:
        """Answer who still waits, give up the connection."""
        for model in list(self._queues):
            _settle(self._queues.pop(model), PlatformAnswer("unavailable", "this node stops"))
        for timer in self._timers.values():
            timer.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._caller.close()


def _settle(batch: Sequence[_Waiting], answer: PlatformAnswer) -> None:
    for one in batch:
        if not one.answer.done():
            one.answer.set_result(answer)


def answers_of(reply: pb.ScoreReply, count: int) -> list[PlatformAnswer]:
    """One for each of `count` people; TransportFailed for a reply about another number of people."""
    if reply.refusal:
        return [PlatformAnswer("refused", REFUSALS[reply.refusal])] * count
    if len(reply.results) != count:
        raise TransportFailed("a reply about another number of people")
    return list(map(_answer, reply.results))


def _answer(result: pb.ScoreResult) -> PlatformAnswer:
    if result.status in STATUSES:
        return PlatformAnswer("refused", STATUSES[result.status])
    told = {"snapshot": result.snapshot, "age_s": result.age_s}
    if result.status == pb.INSUFFICIENT_DATA:
        return PlatformAnswer("answered", lacks=tuple(result.lacks), **told)
    fraud = result.fraud_score if result.HasField("fraud_score") else None
    sides = result.sides if result.HasField("sides") else None
    return PlatformAnswer("answered", partial=result.partial, fraud=fraud, sides=sides, **told)


def joint_score(answer: PlatformAnswer, model: BankModel, own_log_odds: float | None) -> JointScore:
    """Both parts together as a decision takes them: log-odds to 1/32, probability as batch scoring gives it.

    `own_log_odds`: the bank's part, None where there is no bureau answer.
    """
    if answer.status != "answered":
        return JointScore(status=answer.status, cause=answer.cause, model=model.id)
    told = {"model": model.id, "snapshot": answer.snapshot, "age_s": min(answer.age_s, MOST_AGE_S),
            "fraud_score": None if answer.fraud is None else _coarse(answer.fraud)}
    if answer.lacks:
        return JointScore(status="answered", lacks=answer.lacks, **told)
    if answer.joint is None and own_log_odds is None:
        return JointScore(status="unavailable", cause=NO_ROW.cause, model=model.id)
    log_odds = own_log_odds + answer.partial * m.STEP if answer.joint is None else answer.joint * m.STEP
    return JointScore(status="answered", log_odds=_thirty_seconds(log_odds),
                      probability=probability_of(model.calibration, log_odds), **told)


def _thirty_seconds(value: float) -> Decimal:
    return Decimal(round(value / m.STEP)) / 32


def _coarse(steps: int) -> Decimal:
    """A probability in steps of 1/32, to the four places that a record keeps."""
    return (Decimal(steps) / 32).quantize(Decimal("0.0001"))


def reference_bytes(text: str) -> bytes:
    """16 bytes that stand for a consent's reference, or an application's id, of the bank's own."""
    return hashlib.blake2b(text.encode(), digest_size=m.REFERENCE_BYTES, person=b"sealscore-ref").digest()
