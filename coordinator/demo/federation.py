"""A federation on one machine for the demo: certificates, configuration and supervised nodes."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coordinator import launch
from coordinator.certs import PartySpec, init_federation
from coordinator.options import opened
from coordinator.plan_file import read_plan
from protocols.crypto.identity import fingerprint
from protocols.errors import SealscoreError
from protocols.node.progress import ProgressView
from protocols.node.supervise import Service, Supervisor, environment, free_port, script

LABEL, FEATURE = "bank", "platform"
PURPOSE = "credit-scoring"
TRIAL_RULES = ('kinds = ["train", "score"]', 'models = ["scorecard", "boosting", "network"]',
               'encodings = ["dummy", "numeric", "woe"]',
               'activations = ["anchored", "deg1", "deg3"]')  # for runs of several kinds in one federation
READY_S = 240.0  # twice what one process may take: the first start on a busy machine is slow


@dataclass(frozen=True)
class Table:
    """A party's table section (the schema in parties/runtime/tables.py), as a plain dict."""

    section: dict[str, Any]

    @property
    def columns(self) -> list[str]:
        """Names of the feature columns."""
        return list(self.section["columns"])


def inferred_table(role: str, path: Path, id_column: str, label: str | None) -> Table:
    """Describe a CSV file with the party's own command; SealscoreError repeats its sentence."""
    command = [script("sealscore"), role, "table", str(path), "--id", id_column, "--json"]
    done = subprocess.run([*command, *(["--label", label] if label else [])], capture_output=True, text=True)
    if done.returncode:
        raise SealscoreError(done.stderr.strip().removeprefix("error: ") or f"{path.name} cannot be described")
    return Table(json.loads(done.stdout))


class Federation:
    """`with Federation(folder, tables, minimum_rows) as federation:` starts the nodes and stops them cleanly.

    `rules`: further lines of every party's policy; the demo gives those that its plan asks for (setting.py).
    """

    def __init__(self, folder: Path, tables: dict[str, Table], minimum_rows: int, rules: Sequence[str] = TRIAL_RULES):
        self.folder, self.tables, self._minimum_rows, self._rules = folder, tables, minimum_rows, rules
        self.parties = tuple(tables)
        self._supervisor: Supervisor | None = None

    @property
    def nodes(self) -> tuple[str, ...]:
        """The coordinator and all parties."""
        return ("coordinator", *self.parties)

    @property
    def config(self) -> Path:
        """The coordinator's file, for the other commands."""
        return self.folder / "coordinator" / "coordinator.toml"

    def home(self, node: str) -> Path:
        """A node's home folder."""
        return self.folder / node

    def prepare(self) -> None:
        """Make keys, certificates and configuration files; the same commands a person would use."""
        identities = init_federation(self.folder, [PartySpec(p, _role(p)) for p in self.parties], days=30)
        coordinator = fingerprint(identities["coordinator"])
        ports = {name: f"127.0.0.1:{free_port()}" for name in ("front", "hub", "superlink")}
        _write(self.config, _coordinator_toml(ports, {party: identities[party] for party in self.parties}))
        for party in self.parties:
            home = self.home(party)
            peers = {peer: fingerprint(identities[peer]) for peer in self.parties if peer != party}
            _write(home / f"{party}.toml", _party_toml(party, ports, coordinator, self.tables[party]))
            _write(home / "policy.toml", _policy_toml(peers, self._minimum_rows, self._rules))

    def __enter__(self) -> Federation:
        self.prepare()
        services = [self._service(node) for node in self.nodes]
        self._supervisor = Supervisor(services)
        self._supervisor.start()
        try:
            self._wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the nodes; what they keep stays on disk."""
        if self._supervisor is not None:
            self._supervisor.stop(within_s=15.0)
            self._supervisor = None

    def _service(self, node: str) -> Service:
        home = self.home(node)
        command = (script("sealscore"), _role(node), "serve", str(home / f"{node}.toml"))
        return Service(f"{node} node", command, home / "logs" / "node.log", environment(), stable_s=5.0)

    def _wait_ready(self) -> None:
        """All have written their ready file and all parties said hello; otherwise the log's last error."""
        end = time.monotonic() + READY_S
        while time.monotonic() < end:
            waiting = [node for node in self.nodes if not (self.home(node) / "state" / "ready.json").exists()]
            if not waiting and self._parties_seen():
                return
            for node in waiting:
                self._raise_if_refused(node)
            time.sleep(0.1)
        raise SealscoreError(f"expected all nodes to be up within {READY_S:.0f} s; see the logs in {self.folder}")

    def _raise_if_refused(self, node: str) -> None:
        """A node that ends with a sentence about its configuration or data will end so again."""
        log = self.home(node) / "logs" / "node.log"
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
        refusal = next((line for line in lines if line.startswith("error: ")), None)
        if refusal is not None:
            raise SealscoreError(f"{node}: {refusal.removeprefix('error: ')}")

    def _parties_seen(self) -> bool:
        with opened(self.config) as (_, registry):
            return set(registry.parties()) >= set(self.parties)

    def run(self, plan: Path, *, quiet: bool) -> dict[str, Any]:
        """As `sealscore run PLAN`: follow it on stderr; the run's summary. RunFailed unless it finished."""
        with opened(self.config) as (settings, registry):
            run = launch.submit(settings, registry, read_plan(plan))
            with ProgressView(run, quiet=quiet) as view:
                row = launch.follow(settings, registry, run, view)
            launch.raise_unless_finished(row)
            return launch.summary(registry, row)

    def runs(self) -> list[dict[str, Any]]:
        """`sealscore runs list`."""
        return self._command("runs", "list", "--json")

    def _command(self, *words: str) -> Any:
        command = [script("sealscore"), *words, "--config", str(self.config)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SealscoreError(done.stderr.strip().removeprefix("error: "))
        return json.loads(done.stdout)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def is_bank(party: str) -> bool:
    """Banks are called bank or bank-1, bank-2, …; every other party is a platform."""
    return party == LABEL or party.startswith(f"{LABEL}-")


def _role(node: str) -> str:
    """What a node is by its name here: coordinator, bank or platform."""
    if node == "coordinator":
        return node
    return LABEL if is_bank(node) else FEATURE


def _coordinator_toml(ports: dict[str, str], identities: dict[str, bytes]) -> str:
    lines = ["[listen]", *(f'{name} = "{address}"' for name, address in ports.items())]
    for party, identity in identities.items():
        lines += ["", f"[parties.{party}]", f'role = "{_role(party)}"', f'identity = "{identity.hex()}"',
                  f'supernode_public_key = "../{party}/flower/supernode.pub"']
    return "\n".join([*lines, ""])


def _party_toml(party: str, ports: dict[str, str], coordinator: str, table: Table) -> str:
    section = dict(table.section)
    columns = section.pop("columns")
    lines = [
        "[node]", f'name = "{party}"', f'role = "{_role(party)}"', "",
        "[coordinator]", f'front = "{ports["front"]}"', f'hub = "{ports["hub"]}"', f'fingerprint = "{coordinator}"', "",
        "[tables.customers]", *(f"{key} = {json.dumps(value)}" for key, value in section.items()), "",
        "[tables.customers.columns]",
    ]
    for name, spec in columns.items():
        inline = ", ".join(f"{key} = {json.dumps(value)}" for key, value in spec.items() if value != [])
        lines.append(f"{json.dumps(name)} = {{ {inline} }}")
    return "\n".join([*lines, ""])


def _policy_toml(peers: dict[str, str], minimum_rows: int, rules: Sequence[str]) -> str:
    """`peers`: fingerprints by name."""
    lines = [f'purposes = ["{PURPOSE}"]', f"minimum_intersection_rows = {minimum_rows}", *rules, ""]
    for peer, digest in peers.items():
        lines += [f"[peers.{peer}]", "# confirmed out of band: compare it with the peer by telephone",
                  f'fingerprint = "{digest}"', ""]
    return "\n".join(lines)


def run_module(module: str, *words: str) -> None:
    """Run a module of this installation as a process of its own; SealscoreError repeats its sentence."""
    done = subprocess.run([sys.executable, "-m", module, *words], capture_output=True, text=True, env=dict(os.environ))
    if done.returncode:
        raise SealscoreError(done.stderr.strip().removeprefix("error: ") or f"{module} failed")
