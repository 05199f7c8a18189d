"""The party's Flower side: a SuperNode that dials the coordinator's front, and our executor, both supervised."""
from __future__ import annotations

from pathlib import Path

from protocols.errors import ConfigError
from protocols.node.protection import path_for_children
from protocols.node.supervise import (
    Service,
    Supervised,
    Supervisor,
    environment,
    free_port,
    python_module,
    secret_file,
)


class PartyFlower(Supervised):
    """`start()`, `stop()`, `alive()` for the SuperNode and the executor of one party.

    A SuperNode that is restarted soon after it was killed is turned away by the SuperLink and exits; it is restarted
    with back-off until it is let in.
    """

    def __init__(self, home: Path, front_address: str, party: str, socket: Path):
        self._home, self._front, self._party, self._socket = Path(home), front_address, party, Path(socket)

    def start(self) -> None:
        """Start both processes; returns at once (the SuperNode keeps dialling until the coordinator is there)."""
        self._supervisor = Supervisor(self._services())
        self._supervisor.start()

    def stop(self) -> None:
        """Stop both processes within ten seconds."""
        if self._supervisor is not None:
            self._supervisor.stop(within_s=6.0)

    def _services(self) -> list[Service]:
        runtime, logs = f"127.0.0.1:{free_port()}", self._home / "logs"
        secret = secret_file(self._home / "state" / "superexec.secret")
        env = environment(FLWR_HOME=str(self._home / "state" / "flower"))
        supernode, executor = self._supernode(runtime, secret), self._executor(runtime, secret)
        return [
            Service("supernode", supernode, logs / "supernode.log", env, backoff_s=2.0, backoff_limit_s=8.0),
            Service("executor", executor, logs / "executor.log", env),
        ]

    def _supernode(self, runtime: str, secret: Path) -> tuple[str, ...]:
        key = self._home / "flower" / "supernode.key"
        if not key.is_file():
            raise ConfigError(f"{key} is missing; `sealscore certs init` makes it")
        host, port = runtime.rsplit(":", 1)
        return (
            *python_module("parties.runtime.flower_supernode"), "--superlink", self._front,
            "--root-certificates", str(self._home / "tls" / "ca.crt"),
            "--auth-supernode-private-key", path_for_children(key),
            "--host", host, "--port", port, "--isolation", "process", "--node-config", f'party="{self._party}"',
            "--superexec-auth-secret-file", str(secret),
        )

    def _executor(self, runtime: str, secret: Path) -> tuple[str, ...]:
        return python_module(
            "parties.runtime.executor", "--runtime", runtime, "--secret", str(secret), "--socket", str(self._socket)
        )
