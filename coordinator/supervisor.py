"""The coordinator's node: SuperLink, SuperExec, TLS front and hub, kept running, and the runs watched.

    parties ──TLS──► front ──/v1/fleet/* only──► SuperLink ◄── SuperExec ──► ServerApp (one per Flower run)
    parties ──mTLS─► hub
"""
from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import socket
import ssl
import threading
import time
from pathlib import Path

import httpx

from coordinator.config import CONFIG_VARIABLE, CoordinatorConfig, load_config, split_address
from coordinator.flower.adapter import Control, healthy, supernode_public_key
from coordinator.members import signed_key, stamp_of, supernode_digests
from coordinator.registry import Registry
from coordinator.seat import is_taken
from coordinator.watch import RunWatch
from protocols.errors import SealscoreError
from protocols.node.protection import lend, path_for_children, unlock
from protocols.node.supervise import (
    Service,
    Supervised,
    Supervisor,
    environment,
    python_module,
    require_free_port,
    script,
    secret_file,
)
from protocols.node.tls import NodeTls

log = logging.getLogger(__name__)
WATCH_S = 1.0
RETRY_S = 10.0  # after parties could not be taken over: the SuperLink may be on its way back


class CoordinatorNode(Supervised):
    """`start()` returns when everything is up and `state/ready.json` is written; `stop()` takes at most ten seconds."""

    def __init__(self, config: CoordinatorConfig):
        self._config, self._state = config, config.home / "state"
        self._ca = config.home / "tls" / "ca.crt"
        self._nodes: dict[str, int] = {}  # SuperNodes as registered
        self._told: dict[str, int] = {}  # process ids in the ready file
        self._stamp = stamp_of(config.source)
        self._keys: dict[str, str] = {}  # SHA-256 of the registered SuperNode keys
        self._reload_error: str | None = None
        self._retry_at = math.inf
        self._asked = threading.Event()

    def start(self) -> None:
        """Check files, keys and ports, start all processes, register the parties' SuperNodes."""
        unlock(self._config.home, self._config.keys)
        keys = _supernode_keys(self._config)
        NodeTls.load(self._config.home)  # expired or foreign: its sentence here, not four processes that cannot start
        self._require_ports()
        self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
        Registry(self._config.registry_url).close()  # makes the tables before four processes want them
        self._supervisor = Supervisor(self._services())
        self._supervisor.start()
        with Control(self._config.listen.superlink, self._ca) as control:
            self._nodes = control.register(keys)
        self._keys = supernode_digests(self._config)
        self._write_ready()

    def reload(self) -> None:
        """Ask for the parties to be read again; `watch` does it within a second."""
        self._asked.set()

    def watch(self, stop: threading.Event) -> None:
        """Until `stop`: continue runs that Flower has lost, close cancelled ones, keep the ready file up to date."""
        registry = Registry(self._config.registry_url)
        run_watch = RunWatch(
            registry, lambda: Control(self._config.listen.superlink, self._ca),
            lambda run: is_taken(self._config.home, run),
        )
        try:
            while not stop.wait(WATCH_S):
                due = self._asked.is_set() or time.monotonic() > self._retry_at
                if due or stamp_of(self._config.source) != self._stamp:
                    self._take_parties()
                if self.pids() != self._told:
                    self._write_ready()
                try:
                    run_watch.look(time.monotonic())
                except SealscoreError as error:
                    log.warning("runs could not be watched: %s", error)
        finally:
            registry.close()

    def stop(self) -> None:
        """Stop all processes."""
        (self._state / "ready.json").unlink(missing_ok=True)
        if self._supervisor is not None:
            self._supervisor.stop(within_s=8.0)

    def _take_parties(self) -> None:
        """Register the SuperNodes of the parties in the file as it is now; nobody else is touched.

        A file or key that is wrong is told in the log and the ready file, and the parties stay as they were.
        """
        self._asked.clear()
        self._stamp = stamp_of(self._config.source)
        try:
            self._register(load_config(self._config.source))
            self._reload_error, self._retry_at = None, math.inf
        except (SealscoreError, OSError) as error:
            self._reload_error, self._retry_at = str(error), time.monotonic() + RETRY_S
            log.error("parties were not taken over: %s", error)
        self._write_ready()

    def _register(self, new: CoordinatorConfig) -> None:
        if new.model_copy(update={"parties": self._config.parties}) != self._config:
            log.warning("%s: only changed parties are taken over now; restart for the rest", new.source.name)
        with Control(self._config.listen.superlink, self._ca) as control:
            self._nodes = control.register(_supernode_keys(new))
        gone, come = set(self._keys) - set(new.parties), set(new.parties) - set(self._keys)
        self._keys = supernode_digests(new)
        self._config = self._config.model_copy(update={"parties": new.parties})
        log.info("parties taken over: %s added, %s removed", ", ".join(sorted(come)) or "none",
                 ", ".join(sorted(gone)) or "none")

    def _require_ports(self) -> None:
        for name in ("front", "hub", "superlink"):
            require_free_port(*split_address(getattr(self._config.listen, name)), f"listen.{name}")

    def _services(self) -> list[Service]:
        listen, logs, home = self._config.listen, self._config.home / "logs", str(self._config.home)
        secret = secret_file(self._state / "superexec.secret")
        env = environment(
            FLWR_HOME=str(self._state / "flower"), FLWR_SUPEREXEC_TASK_POLL_INTERVAL="1.0",
            **{CONFIG_VARIABLE: str(self._config.source)}, **lend(self._config.home),
        )
        edge = python_module("coordinator.edge", "--listen", listen.front, "--upstream", listen.superlink,
                             "--home", home)
        return [
            Service("superlink", self._superlink(secret), logs / "superlink.log", env,
                    ready=lambda: healthy(listen.superlink, self._ca)),
            Service("superexec", self._superexec(secret), logs / "superexec.log", env),
            Service("front", edge, logs / "front.log", env, ready=lambda: _front_answers(listen.front, self._ca)),
            Service("hub", self._hub(), logs / "hub.log", env, ready=lambda: _listens(listen.hub)),
        ]

    def _superlink(self, secret: Path) -> tuple[str, ...]:
        host, port = split_address(self._config.listen.superlink)
        tls = self._config.home / "tls"
        return (
            script("flower-superlink"), "--host", host, "--port", str(port),
            "--ssl-ca-certfile", str(tls / "ca.crt"), "--ssl-certfile", str(tls / "node.crt"),
            "--ssl-keyfile", path_for_children(tls / "node.key"), "--enable-supernode-auth",
            "--database", str(self._state / "superlink.db"), "--isolation", "process",
            "--disable-runtime-dependency-installation", "--superexec-auth-secret-file", str(secret),
        )

    def _superexec(self, secret: Path) -> tuple[str, ...]:
        return (
            script("flower-superexec"), "--root-certificates", str(self._ca),
            "--runtime-api-address", self._config.listen.superlink, "--superexec-auth-secret-file", str(secret),
        )

    def _hub(self) -> tuple[str, ...]:
        host, port = split_address(self._config.listen.hub)
        return python_module("coordinator.hub_main", "--home", str(self._config.home), "--host", host,
                             "--port", str(port), "--registry", self._config.registry_url,
                             "--config", str(self._config.source),
                             "--bulk-mib", str(self._config.hub.bulk_mib))

    def _write_ready(self) -> None:
        listen, self._told = self._config.listen, self.pids()
        facts = {
            "pid": os.getpid(), "processes": self._told, "nodes": {n: str(i) for n, i in self._nodes.items()},
            "front": listen.front, "hub": listen.hub, "superlink": listen.superlink,
            "supernodes": self._keys, "reload_error": self._reload_error,
            "stamp": self._stamp,  # of the file that was last looked at
        }
        draft = self._state / "ready.json.new"
        draft.write_text(json.dumps(facts, indent=2) + "\n")
        draft.replace(self._state / "ready.json")


def _supernode_keys(config: CoordinatorConfig) -> dict[str, bytes]:
    """Registered form of each party's SuperNode key; errors unless the party's identity signed it."""
    for name in config.parties:
        signed_key(config, name)
    return {n: supernode_public_key(config.resolve(p.supernode_public_key)) for n, p in config.parties.items()}


def _listens(address: str) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(split_address(address), timeout=1.0):
        return True
    return False


def _front_answers(address: str, ca: Path) -> bool:
    trust = ssl.create_default_context(cafile=str(ca))
    with contextlib.suppress(httpx.HTTPError, OSError), httpx.Client(verify=trust, trust_env=False) as client:
        return client.get(f"https://{address}/").status_code == 404
    return False
