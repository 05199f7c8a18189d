"""A circuit breaker: after failures in a row nobody waits for the platform any more, until one call has got through."""
from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

FAILURES = 5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0


@dataclass(frozen=True)
class BreakerStatus:
    """`state`: closed (calls go through), open (none does) or trying (one does). `cause`: of the last failure."""

    state: str
    failures: int
    cause: str
    opens_in_s: float


class Breaker:
    """Of one platform; from one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._failures, self._cause = 0, ""
        self._pause_s, self._until, self._trying = FIRST_PAUSE_S, 0.0, False

    def admits(self) -> bool:
        """Whether a call may go now; after a pause exactly one may, and it must report."""
        if self._failures < FAILURES:
            return True
        if self._trying or self._clock() < self._until:
            return False
        self._trying = True
        return True

    def succeeded(self) -> None:
        """A call was answered."""
        self._failures, self._trying, self._pause_s = 0, False, FIRST_PAUSE_S

    def failed(self, cause: str) -> None:
        """A call was not."""
        self._failures, self._cause = self._failures + 1, cause
        if self._failures >= FAILURES:
            if self._trying:
                self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            self._until, self._trying = self._clock() + self._pause_s, False

    def status(self) -> BreakerStatus:
        """For people and metrics."""
        if self._failures < FAILURES:
            return BreakerStatus("closed", self._failures, self._cause, 0.0)
        left = max(0.0, self._until - self._clock())
        return BreakerStatus("trying" if self._trying or not left else "open", self._failures, self._cause, left)
