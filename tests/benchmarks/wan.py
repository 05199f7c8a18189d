"""The default run and a larger training over slow lines: seconds, bytes, and rounds, by the protocol and by the clock.

Every party reaches hub and front through a relay of its own (`relay.py`): real processes, TLS end to end, 100 Mbit/s
and 15 ms each way, so 30 ms to the hub and back. One federation runs the same plan over several lines; how much longer
a training takes with each millisecond says how many messages wait for each other.
"""
from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import defaultdict, deque
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from coordinator.certs import PartySpec, init_federation
from coordinator.demo import setting
from coordinator.demo.federation import LABEL, Federation, Table, inferred_table
from coordinator.demo.results import party_facts
from parties.runtime.bulk import Bulk
from parties.runtime.hub_client import HubClient
from parties.runtime.link import Link, LinkConfig
from parties.runtime.run_store import RunStore
from protocols.crypto.box import Box
from protocols.crypto.keys import KeyPair
from protocols.node.supervise import environment, free_port
from protocols.role import SUM, Message, Role
from protocols.scorecard.layout import POWER_PASSES
from tests.benchmarks.cost_transport import PARTIES, RUN, WAIT_S, Ends, hub
from tests.benchmarks.data import made_columns, write_tables
from tests.benchmarks.training import PHASES, _plan
from tests.protocols.scorecard.problems import problem
from tests.protocols.scorecard.simulator import Network, drive_all

MBIT, DELAY_MS = 100.0, 15.0
LINES = {"unshaped": (0.0, 0.0), "100 Mbit/s, 0 ms": (0.0, MBIT), "100 Mbit/s, 30 ms": (DELAY_MS, MBIT),
         "100 Mbit/s, 400 ms": (200.0, MBIT)}  # there and back; the last is so long that it outweighs a busy machine
RELAYED_AS = "100 Mbit/s, 30 ms"
STEPS, ROWS = 8, 20_000
TRANSFER_BYTES = 50_000_000
_DIRECT, _SLOT = 2, 4  # crossings of a line: to the hub and from it; by a slot also the request for it and the answer


class LineProcess:
    """One party's relay as a process; `with LineProcess(...)` or `close`."""

    def __init__(self, *routes: str):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.relay", *routes], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env=environment(), cwd=Path(__file__).parents[2])
        if self._process.stdout.readline() != "ready\n":
            raise OSError(f"the relay {' '.join(routes)} did not start")

    def shape(self, delay_ms: float, mbit: float) -> dict[str, float]:
        """Change the line; what it carried since the last call."""
        self._process.stdin.write(f"{delay_ms} {mbit}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> LineProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class DistantFederation(Federation):
    """Every party's configuration names its relay instead of the coordinator."""

    def __init__(self, folder: Path, tables: dict[str, Table], minimum_rows: int):
        super().__init__(folder, tables, minimum_rows)
        self.lines: dict[str, LineProcess] = {}

    def prepare(self) -> None:
        super().prepare()
        ports = tomllib.loads(self.config.read_text(encoding="utf-8"))["listen"]
        for party in self.parties:
            near = {name: f"127.0.0.1:{free_port()}" for name in ("front", "hub")}
            self.lines[party] = LineProcess(*(f"{own}={ports[name]}" for name, own in near.items()))
            path = self.home(party) / f"{party}.toml"
            text = path.read_text(encoding="utf-8")
            for name, own in near.items():
                text = text.replace(f'{name} = "{ports[name]}"', f'{name} = "{own}"')
            path.write_text(text, encoding="utf-8")

    def shape(self, delay_ms: float, mbit: float) -> dict[str, dict[str, float]]:
        """Change all lines; what each carried since the last call."""
        return {party: line.shape(delay_ms, mbit) for party, line in self.lines.items()}

    def stop(self) -> None:
        super().stop()
        for line in self.lines.values():
            line.close()
        self.lines = {}


def measure() -> dict[str, Any]:
    """All of it."""
    found: dict[str, Any] = {"transfer": {name: transfer(*line) for name, line in LINES.items()}}
    found["default run, 1 x 1"] = _default(1)
    found["default run, 1 x 2"] = _default(2)
    found["30,000 x (12 + 40), numeric"] = _larger()
    return found


def _default(platforms: int) -> dict[str, Any]:
    """What `make demo` runs."""
    with tempfile.TemporaryDirectory(prefix="sealscore-bench-") as name:
        parts = setting.synthetic(Path(name) / "data", ROWS, 1, 1, platforms, lambda text: None)
        plan = setting.plan_text(parts, tuple(parts.tables), encoding="dummy", bins=parts.bins, steps=STEPS, seed=1)
        runs = over_lines(Path(name), parts.tables, plan, LINES)
    return runs | {"waits": waits(runs, platforms)}


def _larger() -> dict[str, Any]:
    """The plan of the bench `training`."""
    with tempfile.TemporaryDirectory(prefix="sealscore-bench-") as name:
        bank_csv, files = write_tables(made_columns(50_000), Path(name) / "data")
        tables = {LABEL: inferred_table("bank", bank_csv, "id", "default")}
        tables |= {party: inferred_table("platform", path, "id", None) for party, path in files.items()}
        lines = {key: LINES[key] for key in ("unshaped", RELAYED_AS)}
        return over_lines(Path(name), tables, _plan(tables, (0.6, 0.1, 0.3), STEPS), lines)


def over_lines(
    folder: Path, tables: dict[str, Table], plan_text: str, lines: dict[str, tuple[float, float]]
) -> dict[str, Any]:
    """One run of the plan over each of the lines, in one federation."""
    plan = folder / "plan.toml"
    plan.write_text(plan_text, encoding="utf-8")
    found = {}
    with DistantFederation(folder / "federation", tables, 1000) as federation:
        for name, line in lines.items():
            federation.shape(*line)
            summary = federation.run(plan, quiet=True)
            carried = federation.shape(*line)
            facts = {party: party_facts(federation, party, summary["run"]) for party in tables}
            found[name] = _told(summary, facts, carried)
            sys.stderr.write(f"{name}: {json.dumps(found[name])}\n")
    return found


def _told(summary: dict[str, Any], facts: dict[str, Any], carried: dict[str, Any]) -> dict[str, Any]:
    began, ended = (datetime.fromisoformat(summary[key]) for key in ("created_at", "updated_at"))
    spent = {name: [facts[party][f"spent.{name}"] for party in facts] for name in PHASES}
    return {
        "seconds": round((ended - began).total_seconds(), 1),
        "phase_seconds": {name: round(max(s["seconds"] for s in parts), 2) for name, parts in spent.items()},
        "train_megabytes_out": {party: round(facts[party]["spent.train"]["bytes"] / 1e6, 2) for party in facts},
        "lines": carried, "auc_test": facts[LABEL]["report"]["metrics"]["joint"]["auc"],
        "load_average": round(os.getloadavg()[0], 1),
    }


# rounds


class Clocks(Network):
    """A clock for each role (L. Lamport, "Time, clocks, and the ordering of events", 1978): it is at least that of
    every message that it was given, and a message arrives so many crossings of a line later than it was sent.
    """

    def __init__(self):
        super().__init__()
        self.now: dict[str, int] = defaultdict(int)
        self._arrivals: dict[tuple, deque[int]] = defaultdict(deque)

    def send(self, sender: str, message: Message) -> None:
        super().send(sender, message)
        source = (sender, message.contributors) if message.contributors else sender
        self._arrivals[message.peer, source].append(self.now[sender] + (_SLOT if message.slot else _DIRECT))

    def next_for(self, receiver: str, role: Role) -> tuple[str, Message] | None:
        found = super().next_for(receiver, role)
        if found is not None:
            summands = role.summands if found[0] == SUM else ()
            sources = [(name, summands) for name in summands] or [found[0]]
            arrivals = [self._arrivals[receiver, source].popleft() for source in sources]
            self.now[receiver] = max(self.now[receiver], *arrivals)
        return found


def crossings(platforms: int, steps: int) -> int:
    """Crossings of a line that wait for each other in a whole training, from the messages of the real roles."""
    keys, network = [KeyPair.generate() for _ in range(2)], Clocks()
    task = problem(300, 2, 2 * platforms, steps=steps)
    if platforms == 1:
        roles = {"bank": task.label_trainer(keys[0]), "platform": task.feature_trainer(keys[1])}
    else:
        others = task.split_trainers(keys[1], [2] * platforms)
        roles = {"bank": task.label_trainer(keys[0], platforms=tuple(others)), **others}
    drive_all(roles, network=network)
    return max(network.now[name] for name in roles)


def waits(runs: dict[str, Any], platforms: int) -> dict[str, float]:
    """Crossings of a line that wait for each other, counted, and as the slope of training's seconds over the delay."""
    shaped = [(line[0] / 1000, runs[name]["phase_seconds"]["train"]) for name, line in LINES.items() if line[1]]
    slope = np.polyfit(*zip(*shaped, strict=True), 1)[0]
    whole = crossings(platforms, STEPS)
    return {"passes": STEPS + POWER_PASSES, "crossings_of_a_pass": whole - crossings(platforms, STEPS - 1),
            "crossings_of_training": whole, "crossings_of_training_measured": round(slope)}


# one large transfer


class DistantEnds(Ends):
    """Both links of one run, each over an address of its own."""

    def __init__(self, folder: Path, addresses: dict[str, str], identities: dict[str, bytes]):
        self.stores = {party: RunStore(folder / f"{party}.db", Box(bytes(32))) for party in PARTIES}
        self.storing_s = dict.fromkeys(PARTIES, 0.0)
        self.links = {party: Link(LinkConfig(
            hub_address=addresses[party], home=folder / "certs" / party, party=party, peer=peer,
            peer_public_key=identities[peer], run=RUN, agreement=bytes(32)),
            self.stores[party].towards(peer)) for party, peer in (PARTIES, PARTIES[::-1])}
        for link in self.links.values():
            link.start()


def transfer(delay_ms: float, mbit: float, size: int = TRANSFER_BYTES) -> dict[str, float]:
    """Megabits per second of one message between two parties by their link, and by a slot of the hub."""
    payload = os.urandom(size)
    with tempfile.TemporaryDirectory(prefix="sealscore-bench-") as name:
        folder = Path(name)
        identities = _identities(folder)
        with hub(folder) as (address, _):
            near = {party: f"127.0.0.1:{free_port()}" for party in PARTIES}
            lines = [LineProcess(f"{own}={address}") for own in near.values()]
            try:
                for line in lines:
                    line.shape(delay_ms, mbit)
                found = {"link": _by_link(folder, near, identities, payload),
                         "slot": _by_slot(folder, near, payload)}
            finally:
                for line in lines:
                    line.close()
    return {f"{key}_mbit_s": round(8 * size / 1e6 / spent, 1) for key, spent in found.items()} | {
        "load_average": round(os.getloadavg()[0], 1)}


def _by_link(folder: Path, near: dict[str, str], identities: dict[str, bytes], payload: bytes) -> float:
    """Seconds until the message is whole at the receiver."""
    ends = DistantEnds(folder, near, identities)
    try:
        for party, peer in (PARTIES, PARTIES[::-1]):  # the session stands
            ends.send(party, b"ping")
            ends.take(peer)
        began = ends.send(PARTIES[0], payload)
        return ends.take(PARTIES[1]) - began
    finally:
        ends.close()


def _by_slot(folder: Path, near: dict[str, str], payload: bytes) -> float:
    """Seconds of the put and of the get after it, halved: each crosses one line."""
    clients = {party: HubClient(near[party], folder / "certs" / party) for party in PARTIES}
    bulks = {party: Bulk(client, RUN, WAIT_S) for party, client in clients.items()}
    try:
        spent = []
        for slot in ("warm", "large"):
            data = payload if slot == "large" else b"ping"
            began = time.perf_counter()
            bulks[PARTIES[0]].put(slot, data, [PARTIES[1]])
            bulks[PARTIES[1]].get(slot, WAIT_S)
            spent.append(time.perf_counter() - began)
        return spent[1] / 2
    finally:
        for party in PARTIES:
            bulks[party].close()
            clients[party].close()


def _identities(folder: Path) -> dict[str, bytes]:
    return init_federation(folder / "certs", [PartySpec("bank", "bank"), PartySpec("platform", "platform")], 2)
