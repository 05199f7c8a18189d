"""A throw-away Redis server on 127.0.0.1, with a password, that can be killed and started again."""
from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import redis

PASSWORD = "s3cret/with:signs@#"
_START_S = 20.0


def installed() -> bool:
    """Whether there is one on PATH."""
    return shutil.which("redis-server") is not None


class RedisServer:
    """Listens on a free port; nothing of it is on the disk but its configuration. `tls`: has server.crt, server.key."""

    def __init__(self, folder: Path, tls: Path | None = None):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._tls, self._config = tls, folder / "redis.conf"
        ports = f"port {self.port}" if tls is None else (
            f"port 0\ntls-port {self.port}\ntls-cert-file {tls}/server.crt\ntls-key-file {tls}/server.key\n"
            "tls-auth-clients no")
        self._config.write_text(f"bind 127.0.0.1\n{ports}\nsave \"\"\ndir {folder}\nrequirepass {PASSWORD}\n")
        self._process: subprocess.Popen | None = None

    def url(self, password: str = PASSWORD) -> str:
        """What `scoring.store` says."""
        if self._tls is None:
            return f"redis://:{quote(password, safe='')}@127.0.0.1:{self.port}/0"
        return f"rediss://:{quote(password, safe='')}@localhost:{self.port}/0?ssl_ca_certs={self._tls}/server.crt"

    def start(self) -> None:
        """Return once it answers."""
        self._process = subprocess.Popen(["redis-server", str(self._config)], stdout=subprocess.DEVNULL)
        end = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("redis-server did not start")
            time.sleep(0.02)

    def _answers(self) -> bool:
        with redis.Redis.from_url(self.url()) as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False

    def freeze(self, frozen: bool) -> None:
        """A server that takes connections and says nothing, and back."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    def kill(self) -> None:
        """At once, as a fault does; what it had is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None
