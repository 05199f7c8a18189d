"""The files of an evidence folder, read by name; everything else in it is a problem."""
from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protocols.audit import Record
from protocols.crypto.identity import fingerprint
from protocols.errors import TrustError
from protocols.merkle import MerkleTree
from protocols.node.verifier.agreed import Agreed
from protocols.node.verifier.findings import NodeReport, Report
from protocols.node.verifier.names import AGREEMENTS, FILE_NAMES, MANIFEST, MAX_FILE_BYTES, POLICIES, SIGNATURE


@dataclass
class NodeEvidence:
    """A node's files and what was understood of them."""

    name: str
    public: bytes
    files: dict[str, bytes]
    tree: MerkleTree = field(default_factory=MerkleTree)
    records: list[Record] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)  # of its own checkpoints
    agreements: dict[str, Agreed] = field(default_factory=dict)
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)  # by digest
    installation: dict[str, Any] = field(default_factory=dict)
    lock: dict[str, str] = field(default_factory=dict)  # version by name; empty if the node shows none

    def at(self, file: str) -> str:
        """The file as problems name it."""
        return f"{self.name}/{file}"

    def file(self, name: str) -> bytes:
        """Content of a file; TrustError if it is missing."""
        if name not in self.files:
            raise TrustError(f"{self.at(name)} is missing")
        return self.files[name]

    def lines(self, name: str) -> list[bytes]:
        """Lines of a file, each of which has an end; TrustError otherwise."""
        *lines, tail = self.file(name).split(b"\n")
        if tail or not lines:
            raise TrustError("does not end with a whole line")
        return lines


Nodes = Mapping[str, NodeEvidence]


def read_nodes(directory: Path, trust: Mapping[str, bytes], report: Report) -> dict[str, NodeEvidence]:
    """The evidence of every trusted node; what is missing and what is too much goes into `report`."""
    found = {entry.name: entry for entry in os.scandir(directory)}
    for name in sorted(found.keys() - trust.keys()):
        report.problems.append(f"{_shown(name)}: no node of that name is trusted, and evidence holds nothing else")
    nodes = {}
    for name in sorted(trust):
        if name not in found or not found[name].is_dir(follow_symlinks=False):
            report.problems.append(f"{name}: expected a folder of evidence of this trusted node, found none")
            continue
        nodes[name] = NodeEvidence(name, trust[name], dict(_read_files(Path(found[name].path), name, "", report)))
        report.nodes[name] = NodeReport(fingerprint(trust[name]))
    return nodes


def _read_files(folder: Path, node: str, prefix: str, report: Report) -> Iterator[tuple[str, bytes]]:
    """Relative name and content of every expected file; everything else is a problem."""
    entries: list[os.DirEntry[str]] = []
    with report.checking(f"{node}/{prefix}"):
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    if prefix and not entries:
        report.problems.append(f"{node}/{prefix}: an empty folder that is no part of the evidence")
    for entry in entries:
        name = prefix + entry.name
        if entry.is_dir(follow_symlinks=False) and name in (AGREEMENTS, POLICIES):
            yield from _read_files(Path(entry.path), node, name + "/", report)
        elif name in (MANIFEST, SIGNATURE) or FILE_NAMES.fullmatch(name):
            with report.checking(f"{node}/{name}"):
                yield name, _content(entry.path)
        else:
            report.problems.append(f"{node}/{_shown(name)}: a file or folder that is no part of the evidence")


def _content(path: str) -> bytes:
    """Bytes of a regular file of bounded size; links and devices are refused."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        raise TrustError("expected a readable file, found a link or another thing") from None
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE_BYTES:
            raise TrustError(f"expected a regular file of at most {MAX_FILE_BYTES} bytes")
        return file.read(MAX_FILE_BYTES + 1)


def _shown(name: str) -> str:
    """A file's name as it can be printed anywhere."""
    return name.encode("ascii", errors="backslashreplace").decode()
