"""A whole control plane with parties whose daemons are a few lines: everything but the data plane is real."""
from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from coordinator import certs, launch
from coordinator.config import CoordinatorConfig, load_config
from coordinator.registry import Registry
from coordinator.supervisor import CoordinatorNode
from parties.runtime import local_api
from parties.runtime.supernode import PartyFlower
from protocols.agreement import sign_statement, statement
from protocols.node.audit_log import AuditLog
from protocols.node.evidence import AUDIT_FOLDER
from protocols.node.identity_files import load_identity
from protocols.node.supervise import free_port
from protocols.plan import Plan

PLAN = """
purpose = "credit-risk"
label_party = "bank"
feature_parties = ["platform"]
[parties.bank]
table = "loans"
columns = ["income"]
[parties.platform]
table = "behaviour"
columns = ["paid"]
[limits]
run_deadline_s = 60
"""


@pytest.fixture(scope="module")
def plan() -> Plan:
    return Plan.from_toml_text(PLAN)


@pytest.fixture
def registry(tmp_path: Path):
    registry = Registry(f"sqlite:///{tmp_path / 'registry.db'}")
    yield registry
    registry.close()


class DummyDaemon:
    """Answers the three calls; `answers` replaces one, and with `finish` its part ends at once and well."""

    def __init__(self, name: str, home: Path, socket_path: Path, registry: Registry):
        self.name, self.registry, self.calls = name, registry, []
        self.identity = load_identity(home)
        self.audit = AuditLog(home / AUDIT_FOLDER, name, self.identity)
        self.reset()
        methods = {m: self._handler(m) for m in ("agree", "execute", "publish", "refused")}
        self.server = local_api.serve(socket_path, methods)

    def reset(self) -> None:
        """Answer as a party that is content."""
        self.calls.clear()
        self.answers: dict[str, dict] = {}
        self.finish = True

    def _handler(self, method: str):
        def answer(body: dict) -> dict:
            self.calls.append((method, body))
            return self.answers.get(method) or getattr(self, "_" + method)(body)

        return answer

    def _agree(self, body: dict) -> dict:
        text = statement(self.name, body["run"], Plan.from_canonical(body["plan"].encode()), "0" * 64)
        return {"ok": True, "statement": text, "signature": sign_statement(self.identity, text).hex()}

    def _execute(self, body: dict) -> dict:
        if self.finish:
            threading.Timer(0.1, self.report, (body["run"],)).start()
        return {"ok": True, "state": "started"}

    def report(self, run: str, **event) -> None:
        self.registry.record_progress(run, self.name, {"phase": "run", "state": "finished", "bytes_out": 10, **event})

    def _publish(self, body: dict) -> dict:
        self.audit.append("run", {"run": body["run"], "event": "published"})
        half = {"party": self.name, "digest": self.name[0] * 64}
        metrics = {"metrics": {"auc_joint": 0.8}} if self.name == "bank" else {}
        return {"ok": True, "half": half, "checkpoint": self.audit.checkpoint_message(body["held"]).hex(), **metrics}

    def _refused(self, _body: dict) -> dict:
        return {"ok": True}


class Federation:
    """A coordinator node and two parties on free ports of this machine."""

    def __init__(self, root: Path):
        self.root = root
        self.config = self._configure()
        self.registry = Registry(self.config.registry_url)
        self.node = CoordinatorNode(self.config)
        self.daemons = {p: self._daemon(p) for p in self.config.parties}
        self.flowers = {p: self.flower(p) for p in self.config.parties}
        self._stop = threading.Event()

    def _configure(self) -> CoordinatorConfig:
        parties = [certs.PartySpec("bank", "bank"), certs.PartySpec("platform", "platform")]
        identities = certs.init_federation(self.root / "nodes", parties, 30, [])
        (self.root / "nodes" / "coordinator" / "state").mkdir(exist_ok=True)
        text = "".join(
            f'[parties.{p.name}]\nrole = "{p.role}"\nidentity = "{identities[p.name].hex()}"\n'
            f'supernode_public_key = "nodes/{p.name}/flower/supernode.pub"\n' for p in parties
        )
        ports = "".join(f'{n} = "127.0.0.1:{free_port()}"\n' for n in ("front", "hub", "superlink"))
        path = self.root / "coordinator.toml"
        path.write_text(f'[node]\nhome = "nodes/coordinator"\n[listen]\n{ports}{text}')
        return load_config(path)

    def _daemon(self, party: str) -> DummyDaemon:
        return DummyDaemon(party, self.root / "nodes" / party, self.root / f"{party}-run" / "s", self.registry)

    def flower(self, party: str) -> PartyFlower:
        home = self.root / "nodes" / party
        return PartyFlower(home, self.config.listen.front, party, self.root / f"{party}-run" / "s")

    def start(self) -> None:
        self.node.start()
        for flower in self.flowers.values():
            flower.start()
        threading.Thread(target=self.node.watch, args=(self._stop,), daemon=True).start()

    def stop(self) -> None:
        self._stop.set()
        for part in (*self.flowers.values(), self.node):
            part.stop()
        for daemon in self.daemons.values():
            daemon.server.stop(0.1)
            daemon.audit.close()
            daemon.audit.close()
        self.registry.close()

    def submit(self, plan: Plan) -> str:
        """Start a run as the command does; its id."""
        return launch.submit(self.config, self.registry, plan)

    def wait_for(self, run: str, *states: str, within_s: float = 90.0) -> str:
        end = time.monotonic() + within_s
        while (state := self.registry.run_state(run)) not in states and time.monotonic() < end:
            time.sleep(0.1)
        return str(state)


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory):
    federation = Federation(tmp_path_factory.mktemp("f"))
    try:
        federation.start()
        yield federation
    finally:
        federation.stop()
