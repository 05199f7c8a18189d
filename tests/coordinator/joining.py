"""A federation that grows by the commands a person would use."""
from __future__ import annotations

import shutil
from pathlib import Path

from coordinator import cli as coordinator_cli
from protocols.node import certs_cli


class Trial:
    """`join(NAME, ROLE)`: request, sign, install and add; exit codes are checked."""

    def __init__(self, root: Path):
        self.root, self.authority = root, root / "fed" / "ca"
        self.config = root / "fed" / "coordinator" / "coordinator.toml"
        if not self.authority.exists():
            self.certs("init", root / "fed", "--no-parties")

    @classmethod
    def copied(cls, source: Path, target: Path) -> Trial:
        """One that can be changed while `source`, the root of another, stays as it is."""
        return cls(Path(shutil.copytree(source, target)))

    def home(self, name: str) -> Path:
        return self.root / name

    def request(self, name: str) -> Path:
        return self.home(name) / "request.json"

    def bundle(self, name: str) -> Path:
        return self.root / f"{name}.bundle"

    def certs(self, *words: object, code: int = 0) -> None:
        assert certs_cli.main([str(word) for word in words]) == code, words

    def coordinator(self, *words: object, code: int = 0) -> None:
        assert coordinator_cli.main([*map(str, words), "--config", str(self.config)]) == code, words

    def sign(self, name: str, code: int = 0) -> Path:
        self.bundle(name).unlink(missing_ok=True)
        self.certs("sign", self.request(name), "--ca", self.authority, "--out", self.bundle(name), "--config",
                   self.config, code=code)
        return self.bundle(name)

    def install(self, name: str, *words: str, code: int = 0) -> None:
        self.certs("install", self.home(name), self.bundle(name), *words, code=code)

    def add(self, name: str, code: int = 0) -> None:
        self.coordinator("add", name, "--request", self.request(name), code=code)

    def join(self, name: str, role: str) -> None:
        self.certs("request", self.home(name), "--name", name, "--role", role)
        self.sign(name)
        self.install(name)
        self.add(name)
