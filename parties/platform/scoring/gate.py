"""In front of the desk: how much a bank may ask, how much may wait, and what is too late to be worth answering.

Calls wait in one bounded queue for one worker thread, which does all that blocks, several calls in one transaction.
What does not fit is refused at once as busy, so that under load the answers that are given stay in time.
"""
from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from parties.platform.scoring.desk import Desk, fault
from protocols.crypto.params import DEGREE
from protocols.scoring import scoring_pb2 as pb
from protocols.scoring.messages import MAX_ITEMS

log = logging.getLogger("sealscore.scoring")
_POLYNOMIAL_BYTES = 16 * DEGREE
HELLOS_PER_S, HELLO_BURST = 2.0, 16.0
TOGETHER = 16  # calls that share a wait for the disk
METHODS = ("Hello", "Score", "Revoke")


@dataclass
class Bucket:
    """Tokens that come back at `rate` a second up to `most`."""

    rate: float
    most: float
    left: float = field(init=False)
    at: float | None = None

    def __post_init__(self) -> None:
        self.left = self.most

    def take(self, count: float, now: float) -> bool:
        """Whether so many are left at `now` (monotonic seconds); if so they are gone."""
        if self.at is not None:
            self.left = min(self.most, self.left + (now - self.at) * self.rate)
        self.at = now
        if self.left < count:
            return False
        self.left -= count
        return True


@dataclass
class Figures:
    """What the gate has seen since the start: for logs and metrics."""

    answered: int = 0
    busy: int = 0
    too_late: int = 0
    broken: int = 0


@dataclass(eq=False, repr=False)
class _Call:
    caller: str
    method: str
    body: bytes
    deadline: float | None
    reply: asyncio.Future[bytes]


class Gate:
    """`call` from one event loop; `banks`: who may call at all."""

    def __init__(self, desk: Desk, banks: frozenset[str], scores_per_s: int, queue: int,
                 clock: Callable[[], float] = time.monotonic):
        self._desk, self._queue, self._clock = desk, queue, clock
        self._scores = {bank: Bucket(scores_per_s, 2 * scores_per_s) for bank in banks}
        self._hellos = {bank: Bucket(HELLOS_PER_S, HELLO_BURST) for bank in banks}
        self._waiting: list[_Call] = []
        self._serving: asyncio.Task[None] | None = None
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="scoring")
        self.figures = Figures()

    async def call(self, caller: str, method: str, body: bytes, deadline: float | None) -> bytes:
        """The desk's reply, or a fault; `deadline`: monotonic seconds after which nobody waits for it."""
        if caller not in self._scores:
            return fault(method, pb.REFUSED)
        if not self._admits(caller, method, body):
            self.figures.busy += 1
            return fault(method, pb.BUSY)
        one = _Call(caller, method, body, deadline, asyncio.get_running_loop().create_future())
        self._waiting.append(one)
        if self._serving is None or self._serving.done():
            self._serving = asyncio.create_task(self._serve())
        return await one.reply

    def _admits(self, caller: str, method: str, body: bytes) -> bool:
        if len(self._waiting) >= self._queue:
            return False
        now = self._clock()
        if method == "Hello":
            return self._hellos[caller].take(1, now)
        return self._scores[caller].take(max(1, people_in(body)), now)

    async def _serve(self) -> None:
        """Work off what waits: what came while the disk was waited for goes together next."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            calls, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
            replies = await loop.run_in_executor(self._worker, self._work, calls)
            for one, reply in zip(calls, replies, strict=True):
                if not one.reply.done():  # its caller may have gone
                    one.reply.set_result(reply)
            if not self._waiting:
                self._worker.submit(self._idle)

    def _work(self, calls: list[_Call]) -> list[bytes]:
        now = self._clock()
        due = [one for one in calls if one.deadline is None or now <= one.deadline]
        replies = dict(zip(due, self._answers(due), strict=True))
        self.figures.too_late += len(calls) - len(due)
        return [replies.get(one) or fault(one.method, pb.TOO_LATE) for one in calls]

    def _answers(self, due: list[_Call]) -> list[bytes]:
        try:
            replies = self._desk.handle_all([(one.caller, one.method, one.body) for one in due])
        except Exception:  # nothing of it is durable, so nothing of it may leave
            log.exception("%d calls failed", len(due))
            self.figures.broken += len(due)
            return [fault(one.method, pb.BROKEN) for one in due]
        self.figures.answered += len(due)
        return replies

    def _idle(self) -> None:
        try:
            self._desk.idle()
        except Exception:  # the next answer makes what it needs itself
            log.exception("nothing was made ready")

    def close(self) -> None:
        """Wait for the calls that are being answered; those behind them are dropped."""
        self._worker.shutdown(cancel_futures=True)


def people_in(body: bytes) -> int:
    """About how many people a sealed request is about, by its size: an item with its grant has some 250 bytes; a part
    of shared scores has whole polynomials beside them."""
    return min(MAX_ITEMS, len(body) % _POLYNOMIAL_BYTES // 250)
