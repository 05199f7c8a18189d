"""A piece of a run as tasks and bytes: who computes, who sends what to whom, and who waits.

A party does one thing after the other, in the order in which its steps are written down here; messages overlap with
that. A message is stored, travels from the sender's line over the hub to the receiver's line, and is acknowledged.
What is the same for several receivers is uploaded once; what the hub adds is downloaded once.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from coordinator.cost import sizes
from coordinator.cost.parts import Calibration
from coordinator.cost.schedule import Graph, Task
from coordinator.cost.workload import Machines, Workload

WINDOW_BYTES = 8 * 512 * 1024  # chunks of a link that may be under way
NETWORK, LATENCY, TRANSPORT, HUB, STORE = "network", "latency", "transport CPU", "hub CPU", "disk"
STATE = "state saved at every step"


class Stage:
    """One piece, on its own clock. `traffic[sender, receiver]`: bytes of frames; the hub stands for fans and sums.
    `kinds[sender, receiver, kind]`: bytes of messages as audit logs count them, before sealing and to each receiver."""

    def __init__(self, work: Workload, parts: Calibration, machines: Machines):
        self.work, self.parts, self._machines = work, parts, machines
        shared = machines.cores is not None
        self._graph = Graph({"cores": machines.cores} if shared else {})
        self._core = ("cores",) if shared else ()
        self._before: dict[str, Task] = {}
        self.traffic: Counter[tuple[str, str]] = Counter()
        self.kinds: Counter[tuple[str, str, str]] = Counter()
        self.busy: Counter[str] = Counter()  # CPU seconds by party
        self.messages: Counter[str] = Counter()  # steps by party
        self.largest = 0  # bytes of the largest message

    def role(self, party: str) -> str:
        """What a party's CPU time is called."""
        if party in self.work.banks:
            return "bank CPU"
        alone = len(self.work.platforms) == 1
        return "lead CPU" if party == self.work.platforms[0] and not alone else "platform CPU"

    def run(self) -> tuple[float, Counter[str]]:
        """Seconds, and those of the critical path by what they were spent on."""
        return self._graph.run()

    # -- computing

    def compute(self, party: str, seconds: float, *after: Task, cores: int = 1) -> Task:
        """The party's next step; over `cores` of its own machine where it can."""
        self.busy[party] += seconds
        return self._step(party, self.role(party), seconds / cores, self._core, after)

    def _step(self, party: str, kind: str, seconds: float, uses: tuple[str, ...], after: tuple[Task, ...]) -> Task:
        before = [self._before[party]] if party in self._before else []
        task = self._graph.add(kind, seconds, uses, [*before, *after])
        self._before[party] = task
        return task

    def store(self, party: str, payload: int, state: int = 0) -> Task:
        """What the party's last step wrote, durable before anything leaves."""
        return self._step(party, STORE, self.parts.storing(payload, state), (), ())

    # -- messages

    def send(self, sender: str, receiver: str, kind: str, payload: int, state: int = 0) -> Task:
        """One sealed message, stored first; ends when the receiver has it. `state`: bytes stored beside it."""
        return self._deliver(sender, receiver, kind, payload, self.store(sender, payload, state))

    def send_each(self, sender: str, kind: str, payloads: dict[str, int]) -> dict[str, Task]:
        """A message of its own for each receiver, all stored in one step; nothing for nobody."""
        if not payloads:
            return {}
        stored = self.store(sender, sum(payloads.values()))
        return {name: self._deliver(sender, name, kind, payload, stored) for name, payload in payloads.items()}

    def together(self, seconds: dict[str, float], payloads: dict[tuple[str, str], int], cores: int,
                 kind: str | None = None) -> None:
        """Parties that compute for each other all the time, chunk by chunk, and go on when all is there.

        `payloads[sender, receiver]`: bytes of frames; `kind`: what it counts as, else the party's CPU time.
        """
        before = [self._before[party] for party in seconds if party in self._before]
        tasks = [self._graph.add(kind or self.role(party), spent / cores, self._core, before)
                 for party, spent in seconds.items()]
        for (sender, receiver), payload in payloads.items():
            self.traffic[sender, receiver] += payload
            self._charge(payload, sender, receiver)
            tasks.append(self._move(payload, (f"{sender}.out", f"{receiver}.in"), before,
                                    2 * self.parts.transport.party_mb_s, True))
        for party, spent in seconds.items():
            self.busy[party] += spent
        done = self._graph.add(LATENCY, 0.0, (), tasks)
        for party in seconds:
            self._before[party] = done

    def _deliver(self, sender: str, receiver: str, kind: str, payload: int, stored: Task) -> Task:
        self.kinds[sender, receiver, kind] += payload
        self.largest = max(self.largest, payload)
        self.messages[receiver] += 1
        self.traffic[sender, receiver] += sizes.frames_bytes(payload)
        self.traffic[receiver, sender] += sizes.answer_bytes(payload)
        lines = (f"{sender}.out", f"{receiver}.in")
        sides = 2 * self.parts.transport.party_mb_s
        moved = self._move(payload, lines, [self._wait(stored)], sides, link=True)
        self._charge(payload, sender, receiver)
        return moved

    def _charge(self, payload: int, *parties: str) -> None:
        for party in parties:
            self.busy[party] += self.parts.transport.party_mb_s * payload / 1e6

    def _wait(self, after: Task, trips: float = 1.0) -> Task:
        seconds = self.parts.transport.message_s + trips * self._machines.rtt_ms / 1000
        return self._graph.add(LATENCY, seconds, (), [after])

    def _move(self, payload: int, lines: tuple[str, ...], after: list[Task], party_mb_s: float, link: bool) -> Task:
        """Bytes on their way: as fast as line, window and processors let them."""
        line_s = payload * 8 / (self._machines.bandwidth_mbit * 1e6) if self._machines.bandwidth_mbit else 0.0
        if link:
            line_s = max(line_s, payload / WINDOW_BYTES * 2 * self._machines.rtt_ms / 1000)
        both = (party_mb_s + self.parts.transport.hub_mb_s) * payload / 1e6
        slowest = max(self.parts.transport.party_mb_s, self.parts.transport.hub_mb_s) * payload / 1e6
        cpu_s = both if self._core else slowest
        if line_s > cpu_s:
            return self._graph.add(NETWORK, line_s, lines, after)
        return self._graph.add(TRANSPORT, cpu_s, (*lines, *self._core), after)

    def fan(self, sender: str, receivers: list[str], kind: str, payload: int, state: int = 0) -> dict[str, Task]:
        """The same for several receivers: uploaded once. One receiver gets a message."""
        if len(receivers) == 1:
            return {receivers[0]: self.send(sender, receivers[0], kind, payload, state)}
        for name in receivers:
            self.kinds[sender, name, kind] += payload
        sealed = payload + sizes.AEAD_TAG_BYTES
        self.store(sender, payload, state)
        up = self._upload(sender, sealed, len(receivers), 0)
        return {name: self._download(name, sealed, [up], sender, fan=True) for name in receivers}

    def summed(self, contributions: dict[str, Task], receiver: str, kind: str, payload: int) -> Task:
        """The hub adds what these parties have computed; one contributor sends a message."""
        ups = []
        for sender in contributions:
            self.kinds[sender, receiver, kind] += payload
            self.store(sender, payload)
            ups.append(self._upload(sender, payload, 1, len(contributions)))
        seconds = self.parts.product.add_s * payload / 1e6 * len(contributions)
        added = self._graph.add(HUB, seconds, ("hub", *self._core), ups)
        for sender in contributions:
            self._refer(sender, receiver, fan=False)
        return self._download(receiver, payload, [added], None, fan=False)

    def _upload(self, sender: str, payload: int, receivers: int, contributors: int) -> Task:
        self.largest = max(self.largest, payload)
        self.traffic[sender, "hub"] += sizes.put_bytes(payload, receivers, contributors)
        self._charge(payload, sender)
        moved = self._move(payload, (f"{sender}.out",), [self._before[sender]], self.parts.transport.party_mb_s, False)
        self._before[sender] = self._wait(moved)  # the driver waits until the hub has it
        return moved

    def _refer(self, sender: str, receiver: str, *, fan: bool) -> None:
        self.messages[receiver] += 1
        self.traffic[sender, receiver] += sizes.reference_bytes(fan)
        self.traffic[receiver, sender] += sizes.answer_bytes(0)

    def _download(self, receiver: str, payload: int, after: list[Task], sender: str | None, *, fan: bool) -> Task:
        if fan:
            self._refer(sender, receiver, fan=True)
        self.traffic["hub", receiver] += sizes.get_bytes(payload)
        self.traffic[receiver, "hub"] += sizes.ask_bulk_bytes()
        self._charge(payload, receiver)
        waits = [self._wait(task, 1.0) for task in after]
        return self._move(payload, (f"{receiver}.in",), waits, self.parts.transport.party_mb_s, False)


Add = Callable[..., None]
"""Runs what builds a stage, and adds its cost so many times."""
