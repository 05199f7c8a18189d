"""A federation with real certificates, a hub in its own process, and stores that outlive their links."""
from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from coordinator.certs import PartySpec, init_federation
from parties.runtime.link import Link, LinkConfig
from parties.runtime.link_store import Outgoing

RUN = "r-" + "0123" * 4
AGREEMENT = b"\x07" * 32
HUB_PROCESS = Path(__file__).with_name("hub_process.py")


@dataclass
class MemoryStore:
    """A `LinkStore` in memory; a test keeps it while links and engines come and go."""

    rows: dict[int, Outgoing] = field(default_factory=dict)
    last: int = 0
    handled: dict[int, bytes] = field(default_factory=dict)
    sent: dict[int, bytes] = field(default_factory=dict)  # payloads as first put, to compare with

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def put(self, kind: str, payload: bytes) -> None:
        with self._lock:
            self.last += 1
            self.rows[self.last] = Outgoing(self.last, kind, 0, payload)
            self.sent[self.last] = payload

    def record(self, seq: int, digest: bytes) -> None:
        with self._lock:
            self.handled[seq] = digest

    def next_outgoing(self, after: int) -> Outgoing | None:
        with self._lock:
            above = [seq for seq in self.rows if seq > after]
            return self.rows[min(above)] if above else None

    def last_sequence(self) -> int:
        return self.last

    def trim(self, through: int) -> None:
        with self._lock:
            for seq in [s for s in self.rows if s <= through]:
                del self.rows[seq]

    def last_handled(self) -> int:
        return max(self.handled, default=0)

    def handled_digest(self, seq: int) -> bytes | None:
        return self.handled.get(seq)


class FileStore(MemoryStore):
    """The same, written to a JSON file at every change: a process that is killed loses nothing it recorded."""

    def __init__(self, path: Path):
        super().__init__()
        self._path = path
        if path.exists():
            held = json.loads(path.read_text())
            self.last = held["last"]
            self.rows = {int(s): Outgoing(int(s), k, 0, bytes.fromhex(p)) for s, (k, p) in held["rows"].items()}
            self.handled = {int(s): bytes.fromhex(d) for s, d in held["handled"].items()}

    def put(self, kind: str, payload: bytes) -> None:
        super().put(kind, payload)
        self._save()

    def record(self, seq: int, digest: bytes) -> None:
        super().record(seq, digest)
        self._save()

    def trim(self, through: int) -> None:
        super().trim(through)
        self._save()

    def _save(self) -> None:
        with self._lock:
            rows = {s: [r.kind, r.payload.hex()] for s, r in self.rows.items()}
            handled = {s: d.hex() for s, d in self.handled.items()}
            draft = self._path.with_suffix(".draft")
            draft.write_text(json.dumps({"last": self.last, "rows": rows, "handled": handled}))
            draft.replace(self._path)


@pytest.fixture
def memory_store() -> Callable[[], MemoryStore]:
    return MemoryStore


@pytest.fixture
def file_store(tmp_path: Path) -> Callable[[str], FileStore]:
    return lambda name: FileStore(tmp_path / f"{name}.json")


@pytest.fixture(scope="session")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Homes of coordinator, bank, platform and stranger."""
    root = tmp_path_factory.mktemp("federation") / "certs"
    init_federation(root, [PartySpec("bank", "bank"), PartySpec("platform", "platform"),
                           PartySpec("stranger", "platform")], 2)
    return root


@pytest.fixture(scope="session")
def identities(federation: Path) -> dict[str, bytes]:
    return {name: bytes.fromhex(e["identity"])
            for name, e in json.loads((federation / "trust.json").read_text()).items()}


class HubProcess:
    """A hub that can be killed and started again on the same port."""

    def __init__(self, federation: Path, state: Path):
        self._federation, self.state, self._port = federation, state, 0
        self.set_state("running")
        self.start()

    def set_state(self, state: str, cause: str = "") -> None:
        draft = self.state.with_suffix(".draft")
        draft.write_text(json.dumps({"state": state, "cause": cause, "parties": ["bank", "platform"]}))
        draft.replace(self.state)

    def start(self) -> None:
        command = [sys.executable, str(HUB_PROCESS), str(self._federation / "coordinator"), str(self._port),
                   str(self.state)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.address = json.loads(self._process.stdout.readline())["hub"]
        self._port = int(self.address.rpartition(":")[2])

    def stop(self, number: int = signal.SIGTERM) -> int:
        self._process.send_signal(number)
        code = self._process.wait(10)
        self._process.stdout.close()
        return code

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def events(self) -> list[dict]:
        path = self.state.with_suffix(".events")
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture(scope="module")
def hub_process(federation: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    process = HubProcess(federation, tmp_path_factory.mktemp("hub") / "state.json")
    yield process
    if process.alive:
        assert process.stop() == 0


@pytest.fixture
def hub(hub_process: HubProcess) -> HubProcess:
    """The hub of the module, alive, its runs in state running and without events."""
    if not hub_process.alive:
        hub_process.start()
    hub_process.set_state("running")
    hub_process.state.with_suffix(".events").unlink(missing_ok=True)
    return hub_process


@pytest.fixture
def make_link(federation: Path, identities: dict[str, bytes], hub: HubProcess) -> Iterator[Callable[..., Link]]:
    """make_link(party, peer, store, **changes of the configuration or hooks) -> a link that is closed at the end."""
    made: list[Link] = []

    def make(party: str, peer: str, store: MemoryStore, on_refusal=lambda kind: None,
             on_frame=lambda direction, frame: None, **changes) -> Link:
        values = {"hub_address": hub.address, "home": federation / party, "party": party, "peer": peer,
                  "peer_public_key": identities[peer], "run": RUN, "agreement": AGREEMENT, "deadline_s": 20.0}
        made.append(Link(LinkConfig(**{**values, **changes}), store, on_refusal, on_frame))
        return made[-1]

    yield make
    for link in made:
        link.close()
