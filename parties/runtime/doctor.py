"""What `sealscore doctor` finds at a party: policy and pinned peers, tables, addresses, runs that keep keys."""
from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from parties.runtime.config import LoadedParty
from parties.runtime.side import Side
from parties.runtime.tables import load_table
from protocols.errors import SealscoreError
from protocols.node.enrol import COORDINATOR, JoinBundle, supernode_key
from protocols.node.health import Finding, collect, ok, problem, reach_front, reach_hub, warning
from protocols.node.identity_files import load_identity, read_private
from protocols.node.joining import BUNDLE, public_of_supernode
from protocols.node.node_file import NodeFile

FEW_ROWS = 1000


def examine(node: NodeFile, side: Callable[[], Side]) -> Iterator[Finding]:
    """All findings of a bank or platform."""
    party = LoadedParty(node.path, node.kind)
    yield ok("configuration", f"{node.path.name} and {party.config.policy} are well formed")

    home, coordinator = party.home, party.config.coordinator
    yield from collect(peers=partial(_peers, party), policy=partial(_policy, party),
                       tables=partial(_tables, party, side), supernode_key=partial(_supernode, home),
                       hub=partial(reach_hub, coordinator.hub, home),
                       front=partial(reach_front, coordinator.front, home), runs=partial(_runs, party.state / "runs"))


def _peers(party: LoadedParty) -> Iterator[Finding]:
    own = load_identity(party.home).fingerprint
    announced = _announced(party.home)
    seen: dict[str, str] = {}
    for name, peer in party.policy.peers.items():
        where = f"peers.{name} in {party.config.policy}"
        if name == party.name or peer.fingerprint == own:
            yield problem("peers", f"{where} is this node itself", "pin the other party's fingerprint")
        elif peer.fingerprint in seen:
            yield problem("peers", f"{name} and {seen[peer.fingerprint]} have the same fingerprint",
                          "ask both by telephone; every node has its own identity")
        elif announced.get(name, peer.fingerprint) != peer.fingerprint:
            yield problem("peers", f"{where} pins {peer.fingerprint[:16]}…, the join bundle announced "
                          f"{announced[name][:16]}…", f"ask {name} by telephone which one is theirs")
        else:
            yield ok("peers", f"{name} pinned, {peer.fingerprint[:16]}…")
        seen[peer.fingerprint] = name


def _announced(home: Path) -> dict[str, str]:
    path = home / BUNDLE
    if not path.exists():
        return {}
    bundle = JoinBundle.decode(path.read_bytes(), str(path))
    return {peer.name: peer.fingerprint for peer in bundle.peers if peer.role != COORDINATOR}


def _policy(party: LoadedParty) -> Iterator[Finding]:
    policy, loose = party.policy, False
    if policy.minimum_intersection_rows < FEW_ROWS:
        loose = True
        yield warning("policy", f"minimum_intersection_rows = {policy.minimum_intersection_rows} says much about few "
                      "people", f"set it to {FEW_ROWS} or more outside of trials")
    if policy.maximum_holdout_share > 0.5:
        loose = True
        yield warning("policy", f"maximum_holdout_share = {policy.maximum_holdout_share} opens most scores",
                      "set it to 0.5 or less")
    if not loose:
        yield ok("policy", f"purposes {', '.join(policy.purposes)}; kinds {', '.join(policy.kinds)}; digest "
                 f"{policy.digest()[:16]}…")


def _tables(party: LoadedParty, side: Callable[[], Side]) -> Iterator[Finding]:
    for name, config in party.config.tables.items():
        try:
            table = load_table(config, party.home)
            if config.label is not None:
                side().check_table(table)
            party.policy.check_sensitivity({c: spec.sensitivity for c, spec in config.columns.items()})
        except SealscoreError as error:
            yield problem("tables", f"{name}: {error}")
            continue
        if party.config.node.role == "bank" and config.label is None:
            yield warning("tables", f"{name} has no label", "it can be scored, not trained on; set `label`")
        else:
            yield ok("tables", f"{name}: {len(table)} rows, {len(config.columns)} columns as declared")


def _supernode(home: Path) -> Iterator[Finding]:
    path = home / "flower" / "supernode.key"
    read_private(path)
    public = home / "flower" / "supernode.pub"
    if supernode_key(public.read_text()) != public_of_supernode(path):
        yield problem("supernode key", f"{public} is not the public half of {path}", "restore both from one backup")
    else:
        yield ok("supernode key", "EC P-384, both halves fit")


def _runs(folder: Path) -> Iterator[Finding]:
    states: dict[str, list[str]] = {}
    for path in sorted(folder.glob("r-*/run.db")):
        ended, keys = _run_facts(path)
        states.setdefault(ended + (" with keys" if keys else ""), []).append(path.parent.name)
    failed = states.get("failed with keys", [])
    if failed:
        yield warning("runs", f"{len(failed)} failed runs keep their keys to be resumed: {', '.join(failed[:3])}"
                      + (" …" if len(failed) > 3 else ""),
                      "`sealscore runs resume RUN` or `sealscore runs cancel RUN` at the coordinator")
    damaged = states.get("unreadable", [])
    if damaged:
        yield problem("runs", f"{len(damaged)} run stores cannot be read: {', '.join(damaged[:3])}",
                      "check the disk; start new runs")
    if not failed and not damaged:
        told = ", ".join(f"{len(runs)} {state}" for state, runs in sorted(states.items())) or "none yet"
        yield ok("runs", told)


def _run_facts(path: Path) -> tuple[str, bool]:
    """(how the run ended or running, whether secret keys are kept); the store is only read."""
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)
        try:
            facts = dict(connection.execute("SELECT name, value FROM fact WHERE name = 'state'"))
            keys = connection.execute("SELECT count(*) FROM fact WHERE name = 'keys'").fetchone()[0]
        finally:
            connection.close()
        return (json.loads(facts["state"])["state"] if "state" in facts else "running"), bool(keys)
    except (sqlite3.Error, ValueError, KeyError, TypeError):
        return "unreadable", False
