"""Keeps a node's processes running: starts them, restarts what dies with back-off, stops all within seconds.

Every child dies with its supervisor, however that ends (`die_with_parent`), and leads a process group of its own, so
that stopping it also stops what it started.
"""
from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from protocols.errors import ConfigError, SealscoreError
from protocols.node import die_with_parent

log = logging.getLogger(__name__)
MAX_LOG_BYTES = 32 * 1024 * 1024
_POLL_S = 0.1


@dataclass(frozen=True)
class Service:
    """One process to keep alive. `ready` (optional) is asked until it is true, at most `ready_timeout_s`."""

    name: str
    command: tuple[str, ...]
    log_path: Path
    environment: dict[str, str] = field(repr=False)
    ready: Callable[[], bool] | None = None
    ready_timeout_s: float = 90.0
    backoff_s: float = 1.0  # doubles with each death within `stable_s`, up to `backoff_limit_s`
    backoff_limit_s: float = 15.0
    stable_s: float = 60.0


@dataclass
class _Child:
    service: Service
    process: subprocess.Popen[bytes]
    started: float
    deaths: int = 0
    restart_at: float | None = None


class Supervised:
    """What a node that runs its processes under a supervisor says of them; `_supervisor`: None before it started."""

    _supervisor: Supervisor | None = None

    def alive(self) -> bool:
        """Whether every process runs right now."""
        return self._supervisor is not None and self._supervisor.alive()

    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        return self._supervisor.pids() if self._supervisor is not None else {}


class Supervisor:
    """Runs services from one thread of its own: the kernel ties a child to the thread that started it."""

    def __init__(self, services: Iterable[Service]):
        self._services = tuple(services)
        self._children: dict[str, _Child] = {}
        self._stop, self._up = threading.Event(), threading.Event()
        self._fault: SealscoreError | None = None
        self._within_s = 8.0
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start all services, return when each is ready; if one is not, all are stopped and it is named."""
        self._thread.start()
        self._up.wait()
        if self._fault is not None:
            raise self._fault

    def stop(self, within_s: float = 8.0) -> None:
        """Terminate all children, newest first; what is left after `within_s` seconds is killed."""
        self._within_s = within_s
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(within_s + 5.0)

    def alive(self) -> bool:
        """Whether every service runs right now."""
        return bool(self._children) and all(c.process.poll() is None for c in list(self._children.values()))

    def pids(self) -> dict[str, int]:
        """Process ids by service name."""
        return {name: child.process.pid for name, child in list(self._children.items())}

    def _run(self) -> None:
        """All of a child's life happens here: when this thread ends, the kernel kills what is left."""
        try:
            self._start_all()
            self._up.set()
            while not self._stop.wait(_POLL_S):
                for child in self._children.values():
                    self._look_after(child)
        except (SealscoreError, OSError) as fault:
            self._fault = fault if isinstance(fault, SealscoreError) else SealscoreError(f"cannot start: {fault}")
            log.error("%s", self._fault)
        finally:
            terminate([c.process for c in reversed(self._children.values())], self._within_s)
            self._up.set()

    def _start_all(self) -> None:
        for service in self._services:
            self._children[service.name] = _Child(service, spawn(service), time.monotonic())
        for child in self._children.values():
            self._await_ready(child)

    def _await_ready(self, child: _Child) -> None:
        service, end = child.service, time.monotonic() + child.service.ready_timeout_s
        while service.ready is not None and not self._stop.is_set():
            if child.process.poll() is not None:
                raise SealscoreError(f"process {service.name} ended with code {child.process.returncode} before it "
                                     f"was ready; see {service.log_path}")
            if service.ready():
                return
            if time.monotonic() > end:
                raise SealscoreError(f"process {service.name} was not ready within {service.ready_timeout_s:g} s; "
                                     f"see {service.log_path}")
            self._stop.wait(0.05)

    def _look_after(self, child: _Child) -> None:
        if child.process.poll() is None:
            return
        now = time.monotonic()
        if child.restart_at is None:
            child.deaths = 1 if now - child.started > child.service.stable_s else child.deaths + 1
            wait_s = min(child.service.backoff_s * 2 ** min(child.deaths - 1, 10), child.service.backoff_limit_s)
            child.restart_at = now + wait_s
            code = child.process.returncode
            log.warning("%s ended with code %s; restart in %.0f s", child.service.name, code, wait_s)
        elif now >= child.restart_at:
            signal_group(child.process, signal.SIGKILL)  # what a dead leader left behind
            child.process, child.started, child.restart_at = spawn(child.service), now, None


def spawn(service: Service) -> subprocess.Popen[bytes]:
    """Start one process under `die_with_parent`, its output appended to its log (mode 0600)."""
    service.log_path.parent.mkdir(parents=True, exist_ok=True)
    with open_log(service.log_path) as sink:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", die_with_parent.__file__, str(os.getpid()), *service.command],
            env=service.environment, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT,
            start_new_session=True,
        )


@contextlib.contextmanager
def open_log(path: Path):
    """A log opened for appending; one that has grown beyond 32 MiB is moved aside first."""
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        path.replace(path.with_suffix(".old.log"))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab") as sink:
        yield sink


def terminate(processes: list[subprocess.Popen[bytes]], within_s: float) -> None:
    """SIGTERM to every group, then SIGKILL to what is left after `within_s` seconds; nothing survives."""
    for process in processes:
        signal_group(process, signal.SIGTERM)
    end = time.monotonic() + within_s
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, end - time.monotonic()))
    for process in processes:
        signal_group(process, signal.SIGKILL)
        process.wait()


def signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal a child and all it started; a group that is gone is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def environment(**extra: str) -> dict[str, str]:
    """The environment of a node's processes: this environment's programs first, no proxy, no Flower surprises."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FLWR_") and not k.lower().endswith("_proxy")}
    scripts = str(Path(sys.executable).parent)
    return {
        **kept,
        "PATH": f"{scripts}:{kept.get('PATH', '/usr/bin:/bin')}",  # SuperExec finds flwr-serverapp by PATH
        "NO_PROXY": "*",
        "PYTHONUNBUFFERED": "1",
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        **extra,
    }


def script(name: str) -> str:
    """The path of a console script of this environment."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise ConfigError(f"{name} is not installed beside {sys.executable}; install sealscore in this environment")
    return str(path)


def python_module(module: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs an installed module, with the working directory kept off `sys.path`."""
    return (sys.executable, "-P", "-m", module, *arguments)


def require_free_port(host: str, port: int, setting: str) -> None:
    """ConfigError when something listens on the port: a left-over process would silently take the node's work."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as fault:
            raise ConfigError(
                f"{setting} = {host}:{port} cannot be used ({os.strerror(fault.errno or 0).lower()}); stop what uses "
                "it or choose another port"
            ) from None


def free_port(host: str = "127.0.0.1") -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def secret_file(path: Path, size: int = 32) -> Path:
    """A file of `size` random bytes, made on first use with mode 0600."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as sink:
            sink.write(secrets.token_bytes(size))
    return path
