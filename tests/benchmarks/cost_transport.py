"""Links and hub, as they are in a run, on loopback with TLS: CPU seconds per megabyte and time of an empty message."""
from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from coordinator.certs import PartySpec, init_federation
from parties.runtime.link import Link, LinkConfig
from parties.runtime.run_store import Handled, RunStore, Send
from protocols.crypto.box import Box

RUN = "r-" + "0123" * 4
PARTIES = ("bank", "platform")
HUB = Path(__file__).parents[1] / "parties" / "link" / "hub_process.py"
PIECE, PIECES, PINGS = 2_000_000, 24, 60
WAIT_S = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")


class Ends:
    """Both links of one run, over a hub in its own process."""

    def __init__(self, folder: Path, address: str, identities: dict[str, bytes]):
        self.stores = {party: RunStore(folder / f"{party}.db", Box(bytes(32))) for party in PARTIES}
        self.links = {party: Link(LinkConfig(
            hub_address=address, home=folder / "certs" / party, party=party, peer=peer,
            peer_public_key=identities[peer], run=RUN, agreement=bytes(32)),
            self.stores[party].towards(peer)) for party, peer in (PARTIES, PARTIES[::-1])}
        self.storing_s = dict.fromkeys(PARTIES, 0.0)  # CPU, counted elsewhere
        for link in self.links.values():
            link.start()

    def send(self, party: str, payload: bytes) -> float:
        """Store one message and wake the link; when that was."""
        peer = PARTIES[1 - PARTIES.index(party)]
        began = time.thread_time()
        self.stores[party].commit({}, [Send(peer, "train.ping", 0, payload)])
        self.storing_s[party] += time.thread_time() - began
        self.links[party].send_persisted()
        return time.perf_counter()

    def take(self, party: str) -> float:
        """Receive one message and record it; when it was there."""
        peer = PARTIES[1 - PARTIES.index(party)]
        inbound, there = self.links[party].receive(WAIT_S), time.perf_counter()
        if inbound is None:
            raise TimeoutError(f"{party} heard nothing for {WAIT_S:.0f} s")
        began = time.thread_time()
        self.stores[party].commit({}, handled=[Handled(peer, inbound.seq, inbound.digest)])
        self.storing_s[party] += time.thread_time() - began
        self.links[party].acknowledge(inbound.seq)
        return there

    def close(self) -> None:
        for party in PARTIES:
            self.links[party].close()
            self.stores[party].close()


@contextmanager
def hub(folder: Path) -> Iterator[tuple[str, int]]:
    """(address, process id) of a hub that knows both parties."""
    state = folder / "state.json"
    state.write_text(json.dumps({"state": "running", "parties": PARTIES}), encoding="utf-8")
    process = subprocess.Popen([sys.executable, str(HUB), str(folder / "certs" / "coordinator"), "0", str(state)],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield json.loads(process.stdout.readline())["hub"], process.pid
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def measure() -> dict[str, Any]:
    """Without what storing takes, which counts by itself."""
    with tempfile.TemporaryDirectory(prefix="sealscore-bench-") as name:
        folder = Path(name)
        init_federation(folder / "certs", [PartySpec("bank", "bank"), PartySpec("platform", "platform")], 2)
        trust = json.loads((folder / "certs" / "trust.json").read_text())
        identities = {party: bytes.fromhex(trust[party]["identity"]) for party in PARTIES}
        with hub(folder) as (address, pid):
            ends = Ends(folder, address, identities)
            try:
                empty = _pings(ends)
                mine, theirs = _stream(ends, pid)
            finally:
                ends.close()
    return {"party_mb_s": mine / 2, "hub_mb_s": theirs, "message_s": empty}


def _pings(ends: Ends) -> float:
    """Wall seconds from one party to the other, the median of many after the first."""
    spent = []
    for _ in range(PINGS):
        for sender, receiver in (PARTIES, PARTIES[::-1]):
            began = ends.send(sender, b"ping")
            spent.append(ends.take(receiver) - began)
    return statistics.median(spent[2:])


def _stream(ends: Ends, pid: int) -> tuple[float, float]:
    """CPU seconds per megabyte of both parties together, and of the hub."""
    payload, mine, theirs = os.urandom(PIECE), time.process_time() - sum(ends.storing_s.values()), cpu_s(pid)
    taker = threading.Thread(target=lambda: [ends.take("platform") for _ in range(PIECES)])
    taker.start()
    for _ in range(PIECES):
        ends.send("bank", payload)
    taker.join()
    megabytes = PIECE * PIECES / 1e6
    spent = time.process_time() - sum(ends.storing_s.values()) - mine
    return spent / megabytes, (cpu_s(pid) - theirs) / megabytes
