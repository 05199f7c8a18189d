"""Backup and restore of a node's home: a sealed tar with a manifest, taken while the node runs.

What is in it: configuration, identity, TLS and SuperNode keys, the parties a coordinator knows, and `state`. SQLite
files are copied by SQLite's backup API; the audit log is read so that a restored one fits its checkpoints and
agreements. What is not: tables, logs, sockets and Flower's own files, which are made again, and the stores of runs
that have not finished. Those hold one-time masks: a node that went on from an older copy of one could send two
different values under the same mask, which would show their difference.
"""
from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any

from protocols.audit import Record
from protocols.errors import SealscoreError, TrustError, UsageError
from protocols.node.audit_log import AuditLog
from protocols.node.evidence import AUDIT_FOLDER
from protocols.node.identity_files import load_identity, sync_folder
from protocols.node.marks import KIND
from protocols.node.sealed_file import OpeningReader, SealingWriter
from protocols.node.tls import NodeTls
from protocols.node.verifier.names import LOG

MANIFEST = "manifest.json"
FOLDERS = ("identity", "tls", "flower", "parties", "state")
FILES = ("*.toml", "request.json", "bundle.json")
MAX_MANIFEST_BYTES = 64 * 1024**2
MAX_FILES = 200_000
MAX_NAME_BYTES = 1024
_AUDIT_FIRST = ("state/audit/checkpoints.jsonl", "state/audit/log.jsonl")  # the rest, also agreements, after these
_LEFT_OUT = ("state/flower/", "state/local/", "state/superlink.db", "state/ready.json", "state/superexec.secret",
             "state/audit/lock")
_SUFFIXES_LEFT_OUT = (".part", ".new", "-wal", "-shm", "-journal", ".lock")
_SQLITE = b"SQLite format 3\0"


@dataclass(frozen=True)
class Summary:
    """What a backup holds."""

    node: str
    made_at: str
    files: int
    bytes: int
    runs_left_out: tuple[str, ...]


def backup(home: Path, out: Path, passphrase: bytes) -> Summary:
    """Write a sealed backup of the node at `home` to the new file `out` (0600), whole or not at all."""
    load_identity(home)
    if out.exists():
        raise UsageError(f"{out} exists already; choose another name with --out")
    draft = out.with_name(out.name + ".part")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as sink:
            summary = _write(home, sink, passphrase)
            sink.flush()
            os.fsync(sink.fileno())
        os.rename(draft, out)
        sync_folder(out.absolute().parent)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return summary


def restore(source: Path, home: Path, passphrase: bytes) -> Summary:
    """Make `home` anew from a backup, after the whole file was verified; UsageError if it is there and not empty."""
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise UsageError(f"{home} is there and not empty; restore into a new home, then stop the old node and move it")
    with source.open("rb") as file:
        manifest = _verify(OpeningReader(file, passphrase, str(source)), str(source))
    home.absolute().parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{home.name}-", dir=home.absolute().parent))
    try:
        with source.open("rb") as file:
            _extract(OpeningReader(file, passphrase, str(source)), draft, manifest)
        _note_restored(draft, manifest["made_at"])
        os.replace(draft, home)
    except OSError as fault:
        shutil.rmtree(draft, ignore_errors=True)
        why = (fault.strerror or type(fault).__name__).lower()
        raise SealscoreError(f"{home} cannot be written: {why}; nothing was kept, mend it and try again") from None
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    sync_folder(home.absolute().parent)
    return _summary(manifest)


# -- writing


def _write(home: Path, sink: IO[bytes], passphrase: bytes) -> Summary:
    writer = SealingWriter(sink, passphrase)
    unfinished = _unfinished_runs(home)
    entries: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=home) as scratch, \
            tarfile.open(fileobj=writer, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for name in _names(home, unfinished):
            entry = _add(archive, home / name, name, Path(scratch))
            if entry is not None:
                entries[name] = entry
        manifest = {"format": 1, "node": _node_name(home), "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
                    "files": entries, "runs_left_out": sorted(unfinished)}
        data = json.dumps(manifest, sort_keys=True).encode()
        if len(entries) > MAX_FILES or len(data) > MAX_MANIFEST_BYTES:
            raise SealscoreError(f"{home} holds {len(entries)} files, more than the {MAX_FILES} that a backup takes; "
                                 "move folders of old runs away, or copy the disk with the node stopped")
        archive.addfile(_header(MANIFEST, len(data), 0o600), io.BytesIO(data))
    writer.finish()
    return _summary(manifest)


def _names(home: Path, unfinished: set[str]) -> Iterator[str]:
    """Relative names of what belongs in a backup, the audit log's files first."""
    found = [p for pattern in FILES for p in home.glob(pattern)]
    found += [p for folder in FOLDERS for p in (home / folder).rglob("*")]
    names = sorted({p.relative_to(home).as_posix() for p in found if p.is_file() and not p.is_symlink()})
    kept = [n for n in names if not n.startswith(_LEFT_OUT) and not n.endswith(_SUFFIXES_LEFT_OUT)
            and not (n.startswith("state/runs/") and n.split("/")[2] in unfinished)]
    first = [n for n in _AUDIT_FIRST if n in kept]
    yield from first
    yield from (n for n in kept if n not in first)


def _unfinished_runs(home: Path) -> set[str]:
    """Runs that go on or might be resumed, and those whose store cannot be read: their masks stay here.

    One whose state was deleted after its time (parties/runtime/retention.py) has none.
    """
    return {p.name for p in (home / "state" / "runs").glob("*")
            if not _finished(p / "run.db") and not (p / "deleted.json").exists()}


def _finished(store: Path) -> bool:
    try:
        with contextlib.closing(_reading(store)) as connection:
            row = connection.execute("SELECT value FROM fact WHERE name = 'state'").fetchone()
        return row is not None and json.loads(row[0])["state"] in ("finished", "cancelled")
    except (sqlite3.Error, ValueError, KeyError, TypeError):
        return False


def _reading(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30.0)


def _add(archive: tarfile.TarFile, path: Path, name: str, scratch: Path) -> dict[str, Any] | None:
    """Put one file in; what is recorded of it, or None if it went away meanwhile."""
    try:
        mode = 0o600 if path.stat().st_mode & 0o077 == 0 else 0o644
        with _frozen(path, scratch).open("rb") as file:
            size = os.fstat(file.fileno()).st_size  # a log may grow meanwhile: what is there now is what counts
            hashing = _Hashing(file, size)
            archive.addfile(_header(name, size, mode), hashing)
    except FileNotFoundError:
        return None
    return {"sha256": hashing.digest.hexdigest(), "bytes": size, "mode": mode}


def _frozen(path: Path, scratch: Path) -> Path:
    """The file itself, or a consistent copy of an SQLite database."""
    with path.open("rb") as file:
        if file.read(len(_SQLITE)) != _SQLITE:
            return path
    copy = scratch / "copy.db"
    copy.unlink(missing_ok=True)
    os.close(os.open(copy, os.O_CREAT | os.O_WRONLY, 0o600))
    try:
        with contextlib.closing(_reading(path)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode=DELETE").close()
    except sqlite3.Error as fault:
        raise SealscoreError(f"{path} cannot be copied ({type(fault).__name__}); check the disk, try again") from None
    return copy


class _Hashing:
    """Reads exactly `size` bytes of a file and hashes them."""

    def __init__(self, file: IO[bytes], size: int):
        self._file, self._left, self.digest = file, size, hashlib.sha256()

    def read(self, count: int) -> bytes:
        data = self._file.read(min(count, self._left))
        self._left -= len(data)
        self.digest.update(data)
        return data


def _header(name: str, size: int, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, mode
    return info


def _node_name(home: Path) -> str:
    """The node's certified name, or that of its folder."""
    try:
        return NodeTls.load(home).name
    except TrustError:  # an expired certificate must not keep a node from being backed up
        return home.resolve().name


# -- reading


class _Header(tarfile.TarInfo):
    """A header as `backup` writes them: plain files and their long names. Refused before what it announces is read:
    links, devices, sparse files (a few bytes that stand for many), negative sizes, names of megabytes."""

    @classmethod
    def frombuf(cls, buf: bytes, encoding: str, errors: str) -> tarfile.TarInfo:
        """As tarfile's; TarError for any other kind of member."""
        info = super().frombuf(buf, encoding, errors)
        if info.size < 0 or info.type not in (tarfile.REGTYPE, tarfile.XHDTYPE) or (
                info.type == tarfile.XHDTYPE and info.size > 4 * MAX_NAME_BYTES):
            raise tarfile.StreamError("a member that is no plain file")
        return info


def _members(stream: IO[bytes], source: str) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    """Plain files of a home, each name once and none of them another's folder; TrustError for anything else."""
    names: set[str] = set()
    folders: set[str] = set()
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as archive:
        for info in archive:
            file = archive.extractfile(info)
            inside = {str(folder) for folder in PurePosixPath(info.name).parents}
            if file is None or info.sparse is not None or info.size < 0 or not _is_plain(info.name) \
                    or info.name in names or info.name in folders or inside & names or len(names) > MAX_FILES:
                raise TrustError(f"{source} holds {info.name[:80]!r}, which is no plain file of a home; it was not "
                                 "made by `sealscore backup`")
            names.add(info.name)
            folders |= inside
            yield info, file
    while stream.read(1024 * 1024):  # to the authenticated end
        continue


@contextlib.contextmanager
def _damage_told(source: str) -> Iterator[None]:
    """What reading a malformed archive raises, at its headers or in the middle of a file, as TrustError."""
    try:
        yield
    except (tarfile.TarError, ValueError, OverflowError) as fault:
        raise TrustError(f"{source} is damaged inside ({type(fault).__name__}); use another backup") from None


def _is_plain(name: str) -> bool:
    """A relative name in one of a home's folders, or of one of its files, that every file system takes."""
    path, size = PurePosixPath(name), len(name.encode(errors="surrogateescape"))
    if name != path.as_posix() or path.is_absolute() or not path.parts or ".." in path.parts or "\0" in name:
        return False
    if size > MAX_NAME_BYTES or max(len(part.encode(errors="surrogateescape")) for part in path.parts) > 255:
        return False
    return path.parts[0] in FOLDERS if len(path.parts) > 1 else any(path.match(p) for p in (*FILES, MANIFEST))


def _verify(stream: IO[bytes], source: str) -> dict[str, Any]:
    """Read everything, write nothing; the manifest, which fits what was read."""
    found: dict[str, dict[str, Any]] = {}
    manifest: Any = None
    with _damage_told(source):
        for info, file in _members(stream, source):
            if info.name == MANIFEST:
                manifest = _manifest(file.read(info.size)) if info.size <= MAX_MANIFEST_BYTES else None
            else:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                found[info.name] = {"sha256": digest, "bytes": info.size, "mode": info.mode}
    if manifest is None or manifest["files"] != found:
        raise TrustError(f"{source}: its files are not those of its manifest; use another backup")
    return manifest


def _manifest(data: bytes) -> dict[str, Any] | None:
    """What `_write` put there, or None."""
    try:
        made = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(made, dict) or made.get("format") != 1 or not isinstance(made.get("files"), dict):
        return None
    runs = made.get("runs_left_out")
    texts = [made.get("node"), made.get("made_at"), *(runs if isinstance(runs, list) else [None])]
    return made if all(isinstance(text, str) for text in texts) else None


def _extract(stream: IO[bytes], draft: Path, manifest: dict[str, Any]) -> None:
    with _damage_told("the backup"):
        for info, file in _members(stream, "the backup"):
            if info.name == MANIFEST:
                continue
            target = draft / info.name
            _write_file(target, file, 0o600 if info.mode & 0o077 == 0 else 0o644)
            with target.open("rb") as written:
                digest = hashlib.file_digest(written, "sha256").hexdigest()
            if digest != manifest["files"].get(info.name, {}).get("sha256"):
                raise TrustError(f"{info.name} was not written as it is in the backup; check the disk")


def _note_restored(draft: Path, made_at: str) -> None:
    """Record that these are copies: stores of unfinished runs are missing, and the node notices (marks.py)."""
    identity, folder = load_identity(draft), draft / AUDIT_FOLDER
    if not (folder / LOG).exists():
        return
    with (folder / LOG).open("rb") as file:
        first = file.readline().removesuffix(b"\n")
    with AuditLog(folder, Record.decode(first).body.get("node", ""), identity) as log:
        log.append(KIND, {"event": "restored", "made_at": made_at})
    (folder / "lock").unlink()


def _write_file(target: Path, content: IO[bytes], mode: int) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as sink:
        shutil.copyfileobj(content, sink)
        sink.flush()
        os.fsync(sink.fileno())


def _summary(manifest: dict[str, Any]) -> Summary:
    sizes = [entry["bytes"] for entry in manifest["files"].values()]
    return Summary(manifest["node"], manifest["made_at"], len(sizes), sum(sizes), tuple(manifest["runs_left_out"]))
