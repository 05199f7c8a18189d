"""A throw-away PostgreSQL cluster, one per test process.

    from tests.parties.bank.store.postgres import postgresql_url  # a fixture

It listens on a socket and on 127.0.0.1 and dies with the process that started it. PostgreSQL does not run as root;
then it runs as another account. Where it is not installed the tests that need it are skipped, and say why.
"""
from __future__ import annotations

import atexit
import functools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

_START_S = 60.0


@dataclass(frozen=True)
class Cluster:
    """A running server; `superuser` is who may do everything in it."""

    port: int
    superuser: str = "sealscore"

    def url(self, database: str) -> str:
        """For SQLAlchemy."""
        return f"postgresql+psycopg://{self.superuser}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str) -> None:
        """Outside a transaction, in the cluster's own database."""
        with psycopg.connect(self._dsn(), autocommit=True) as connection:
            connection.execute(statement)

    def answers(self) -> bool:
        """Whether the server takes connections by now."""
        try:
            psycopg.connect(self._dsn(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _dsn(self) -> str:
        return f"host=127.0.0.1 port={self.port} user={self.superuser} dbname=postgres"


def binaries() -> Path | None:
    """The folder of initdb and postgres, the newest version first."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: path.parts[-3])
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


@functools.cache
def cluster(durable: bool = False) -> Cluster | None:
    """The cluster of this process, started on first use; None where PostgreSQL is not installed."""
    folder = binaries()
    if folder is None:
        return None
    home = Path(tempfile.mkdtemp(prefix="sealscore-pg-", dir="/tmp"))
    account = _account()
    if account is not None:
        shutil.chown(home, account.pw_uid, account.pw_gid)
    run = _as(account)
    subprocess.run([*run, str(folder / "initdb"), "-D", str(home / "data"), "-A", "trust", "-U", "sealscore",
                    "-E", "UTF8", "--no-sync"], check=True, stdout=subprocess.DEVNULL, cwd=home)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["-D", str(home / "data"), "-k", str(home), "-h", "127.0.0.1", "-p", str(port),
               "-c", "max_connections=200", *([] if durable else ["-F"])]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen([*run, str(folder / "postgres"), *options], stdout=log, stderr=log, cwd=home)
    atexit.register(_stop, server, home)
    found = Cluster(port)
    deadline = time.monotonic() + _START_S
    while not found.answers():
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"PostgreSQL did not start: {(home / 'log').read_text()[-2000:]}")
        time.sleep(0.05)
    return found


def _account() -> pwd.struct_passwd | None:
    """Whom the server runs as; None for the account that runs the tests."""
    if os.getuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return known.get("postgres", known["nobody"])


def _as(account: pwd.struct_passwd | None) -> list[str]:
    who = [] if account is None else [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    return ["setpriv", "--pdeathsig", "INT", *who]


def _stop(server: subprocess.Popen, home: Path) -> None:
    server.send_signal(signal.SIGINT)  # fast shutdown
    server.wait(30)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def postgresql_url() -> Iterator[str]:
    """The address of a fresh, empty database, dropped afterwards."""
    server = cluster()
    if server is None:
        pytest.skip("PostgreSQL is not installed here (no initdb in /usr/lib/postgresql/*/bin or on PATH)")
    name = f"t_{uuid.uuid4().hex}"
    server.execute(f"CREATE DATABASE {name}")
    yield server.url(name)
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")
