"""When everything is done: tasks that wait for each other and for cores and links, in order of their coming.

List scheduling (R. Graham, "Bounds on multiprocessing timing anomalies", 1969): a task starts as soon as those before
it have ended and everything it uses is free; nothing is interrupted. The critical path is walked back from the last
task, through whatever let each one start, so its seconds add up to the whole and say what bounds it.
"""
from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field

from protocols.errors import UsageError


@dataclass(eq=False)
class Task:
    """`kind`: what its seconds count as; `uses`: resources, one unit of each."""

    kind: str
    seconds: float
    uses: tuple[str, ...]
    waits_for: int = 0
    then: list[Task] = field(default_factory=list)
    end: float = 0.0
    ready: float = 0.0
    let_by: Task | None = None  # whose end let it start


class Graph:
    """`capacity`: units of each resource; one where nothing is said."""

    def __init__(self, capacity: dict[str, int] | None = None):
        self._capacity, self._tasks = capacity or {}, []

    def add(self, kind: str, seconds: float, uses: tuple[str, ...], after: list[Task]) -> Task:
        """A task that starts after all of `after`."""
        task = Task(kind, seconds, uses)
        for before in set(after):
            before.then.append(task)
            task.waits_for += 1
        self._tasks.append(task)
        return task

    def run(self) -> tuple[float, Counter[str]]:
        """(seconds until the last task has ended, seconds of the critical path by kind)."""
        free: dict[str, int] = {name: self._capacity.get(name, 1) for task in self._tasks for name in task.uses}
        waiting = [task for task in self._tasks if not task.waits_for]
        running: list[tuple[float, int, Task]] = []
        now, number, last = 0.0, 0, None
        while waiting or running:
            held = []
            for task in waiting:
                if any(free[name] < 1 for name in task.uses):
                    held.append(task)
                    continue
                for name in task.uses:
                    free[name] -= 1
                if task.ready < now:
                    task.let_by = last
                number += 1
                heapq.heappush(running, (now + task.seconds, number, task))
            waiting = held
            if not running:
                raise UsageError("expected tasks that can start, got some that wait for a resource nobody has")
            now, _, last = heapq.heappop(running)
            last.end = now
            for name in last.uses:
                free[name] += 1
            waiting += _released(last, now)
        return now, _critical(last)


def _released(done: Task, now: float) -> list[Task]:
    out = []
    for task in done.then:
        task.waits_for -= 1
        if not task.waits_for:
            task.ready, task.let_by = now, done
            out.append(task)
    return out


def _critical(last: Task | None) -> Counter[str]:
    spent: Counter[str] = Counter()
    while last is not None:
        spent[last.kind] += last.seconds
        last = last.let_by
    return spent
