"""The application archive that Flower ships: built from the installed version, and holding no code.

A stock SuperNode runs whatever archive the coordinator sends, and code inside it comes first on `sys.path`. Ours holds
one `pyproject.toml` that names modules; every node imports what it installed itself. `check` accepts exactly the
members this installation would ship, whatever compression another one used.
"""
from __future__ import annotations

import hashlib
import io
import zipfile
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from protocols.errors import TrustError

MAX_ARCHIVE_BYTES = 64 * 1024
_EPOCH = (1980, 1, 1, 0, 0, 0)
_PYPROJECT = """\
[project]
name = "sealscore"
version = "{version}"
dependencies = []

[tool.flwr.app]
publisher = "sealscore"

[tool.flwr.app.components]
serverapp = "coordinator.server_app:app"
clientapp = "parties.runtime.client_app:app"

[tool.flwr.app.config]
run = ""
"""


class ForeignArchive(TrustError):
    """The coordinator shipped an archive that this installation would not ship."""


@cache
def members() -> dict[str, bytes]:
    """What the archive of this installation holds: path -> content (`.info/CONTENT` lists path, SHA-256, bits)."""
    project = _PYPROJECT.format(version=version("sealscore")).encode()
    listing = f"pyproject.toml,{hashlib.sha256(project).hexdigest()},{len(project) * 8}"
    return {"pyproject.toml": project, ".info/CONTENT": listing.encode()}


@cache
def build() -> tuple[bytes, str]:
    """The archive and its SHA-256 (hex), which Flower calls the hash of the bundle; the same bytes every time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as bundle:
        for path, content in members().items():
            bundle.writestr(zipfile.ZipInfo(path, _EPOCH), content)
    return buffer.getvalue(), hashlib.sha256(buffer.getvalue()).hexdigest()


def check(content: bytes, announced_hash: str) -> None:
    """Raise ForeignArchive unless `content` has the announced SHA-256 and exactly our members."""
    if hashlib.sha256(content).hexdigest() != announced_hash:
        raise ForeignArchive("the archive does not have the hash announced for the run")
    ours, ours_hash = build()
    if content != ours and _members_of(content) != members():
        raise ForeignArchive(
            f"archive {announced_hash[:16]} is not that of sealscore {version('sealscore')} ({ours_hash[:16]}); "
            "install the same version on all nodes"
        )


def _members_of(content: bytes) -> dict[str, bytes]:
    """Unpack at most two small members; anything else is foreign."""
    if len(content) > MAX_ARCHIVE_BYTES:
        raise ForeignArchive(f"expected an archive of at most {MAX_ARCHIVE_BYTES} bytes, got {len(content)}")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as bundle:
            infos = bundle.infolist()
            if {i.filename for i in infos} != set(members()) or len(infos) != len(members()):
                raise ForeignArchive("expected exactly pyproject.toml and its listing, got other members")
            if sum(i.file_size for i in infos) > MAX_ARCHIVE_BYTES:
                raise ForeignArchive("the members of the archive are larger than they say or may be")
            return {i.filename: bundle.read(i) for i in infos}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, OSError) as fault:
        raise ForeignArchive("the archive is not a readable zip file") from fault


@cache
def code_digest(*packages: str) -> str:
    """SHA-256 (hex) of the installed Python source of `packages` (default: what both parties run).

    Covers path and content of every `.py` file, in path order; the agreement carries it.
    """
    digest = hashlib.sha256(b"sealscore code v1\0")
    for package in packages or ("protocols", "parties.runtime"):
        root = _folder(package)
        for path in sorted(root.rglob("*.py")):
            name = f"{package}/{path.relative_to(root).as_posix()}".encode()
            digest.update(len(name).to_bytes(4, "big") + name + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise TrustError(f"package {package} is not installed on this node; install the full distribution")
    return Path(next(iter(spec.submodule_search_locations)))
