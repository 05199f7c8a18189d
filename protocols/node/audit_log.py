"""A node's audit log on disk: append-only, one writer, durable before anything leaves the node.

    HOME/state/audit/log.jsonl             one record a line, the leaves of the Merkle log
    HOME/state/audit/checkpoints.jsonl     the node's own signed checkpoints, sizes strictly rising
    HOME/state/audit/agreements/RUN.json   the signed agreements that the log names by digest
    HOME/state/audit/policies/DIGEST.json  the policies that were in force, named by SHA-256

A crash can leave half a line at the end of either `.jsonl`: it was never acknowledged, so opening the log cuts it off
and says so in a record. Anything else that does not fit (a changed line, a log shorter than its own checkpoint) is
refused with TrustError. `append` returns after fsync; if the disk refuses, the log takes nothing more and the caller
must not send what it could not record.
"""
from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, Self

from protocols.audit import (
    RUN_ID,
    Checkpoint,
    CheckpointMessage,
    Countersigned,
    Record,
    SignedCheckpoint,
    held_checkpoint,
    named_agreement,
)
from protocols.crypto.identity import IdentityKey
from protocols.errors import MalformedMessage, ProtocolError, SealscoreError, TrustError, UsageError
from protocols.merkle import MerkleTree, verify_consistency
from protocols.node.marks import Marks
from protocols.node.private_files import sync_folder
from protocols.node.redaction import refuse_leaks, without_paths
from protocols.node.verifier.names import AGREEMENTS, CHECKPOINTS, LOG, POLICIES

_OWN_METHODS = {"log": "opening a log", "agreement": "keep_agreement", "checkpoint.peer": "record_peer_checkpoint",
                "checkpoint.countersigned": "record_countersigned"}


class LogInUse(UsageError):
    """Another process writes this log."""


class AuditLog:
    """The log of one node, open for writing. Thread-safe; a second writer is refused.

    `directory` is created (0700) if it is absent; `identity` signs the checkpoints of `node`.
    Raises LogInUse, and TrustError when the files do not fit together.
    """

    def __init__(self, directory: Path, node: str, identity: IdentityKey,
                 clock: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self.directory, self.node = directory, node
        self._identity, self._clock = identity, clock
        self._mutex = threading.RLock()
        self._tree = MerkleTree()
        self._held: dict[str, dict[int, bytes]] = {}  # by peer: root by size of every checkpoint held
        self._agreements: dict[str, str] = {}
        self._marks = Marks()
        self._last: SignedCheckpoint | None = None
        self._broken = False
        self._files = contextlib.ExitStack()
        try:
            self._open()
        except BaseException:
            self._files.close()
            raise

    @property
    def size(self) -> int:
        """Number of records."""
        with self._mutex:
            return self._tree.size

    @property
    def marks(self) -> dict[str, int]:
        """What each store of the node must have reached, by file name or run (marks.py)."""
        with self._mutex:
            return dict(self._marks.least)

    def append(self, kind: str, body: dict[str, Any]) -> int:
        """Record what happened; durable when this returns. Returns the record's index.

        `body` is plain JSON; absolute paths in its texts are cut down to the file's name. MalformedMessage for a kind
        or a body that cannot be recorded, SealscoreError if the disk refuses. Agreements and peers' checkpoints have
        methods of their own.
        """
        return self.extend([(kind, body)])

    def extend(self, entries: Sequence[tuple[str, dict[str, Any]]]) -> int:
        """Record several things in this order, with one write for all; returns the index of the first.

        Durable when this returns. Errors as in `append`; of wrong entries none is recorded.
        """
        for kind, _ in entries:
            if kind in _OWN_METHODS:
                raise MalformedMessage(f"a record of kind {kind} is made by {_OWN_METHODS[kind]}")
        return self._extend(entries)

    def _append(self, kind: str, body: dict[str, Any]) -> int:
        return self._extend([(kind, body)])

    def _extend(self, entries: Sequence[tuple[str, dict[str, Any]]]) -> int:
        with self._mutex:
            first = self._tree.size
            records = [Record(index, self._now(), kind, without_paths(body))
                       for index, (kind, body) in enumerate(entries, first)]
            lines = [record.encode() for record in records]
            for line in lines:
                refuse_leaks("the record", line)
            if lines:
                self._write(self._log, b"\n".join(lines))
            for record, line in zip(records, lines, strict=True):
                self._take(record, line)
            return first

    def checkpoint(self) -> SignedCheckpoint:
        """Sign the log as it is now; the same checkpoint again if nothing was appended since."""
        with self._mutex:
            if self._last is None or self._last.checkpoint.size != self._tree.size:
                now = Checkpoint(self.node, self._tree.size, self._tree.root(), self._now())
                signed = SignedCheckpoint.sign(self._identity, now)
                self._write(self._checkpoints, signed.encode())
                self._last = signed
            return self._last

    def checkpoint_message(self, since: int = 0) -> bytes:
        """A checkpoint for a peer that holds one of our first `since` records, with the proof that it continues it.

        TrustError if the peer holds more than this log has: the log was put back to an older state.
        """
        with self._mutex:
            signed = self.checkpoint()
            if since > signed.checkpoint.size:
                raise TrustError(f"a peer holds a checkpoint of {since} records of this log, which has "
                                 f"{signed.checkpoint.size}: it was cut or restored; restore the newest copy")
            return CheckpointMessage(signed, since, tuple(self._tree.consistency_proof(since))).encode()

    def held(self, peer: str) -> int:
        """Size of the newest checkpoint of `peer`'s log that this log holds; 0 if none."""
        with self._mutex:
            return max(self._held.get(peer, {}), default=0)

    def record_peer_checkpoint(self, peer: str, public: bytes, message: bytes) -> bytes:
        """Check a peer's checkpoint message against its pinned key and what is held already, record and countersign it.

        Returns the countersigned checkpoint, for the peer. A message that does not hold is recorded as a refusal, with
        the peer's signed checkpoint if the signature is right, for that is evidence; then TrustError or
        MalformedMessage.
        """
        with self._mutex:
            evidence: dict[str, Any] = {"peer": peer}
            try:
                received = CheckpointMessage.decode(message)
                received.signed.check(peer, public)
                evidence |= received.signed.to_json()
                evidence["proved_from"] = self._check_continues(peer, received)
            except (TrustError, ProtocolError) as error:
                self.append("refusal", {**evidence, "what": "checkpoint", "cause": str(error)})
                raise
            countersigned = Countersigned.sign(self._identity, received.signed, self.node, self._tree.size)
            self._append("checkpoint.peer", {**evidence, "countersignature": countersigned.countersignature.hex()})
            return countersigned.encode()

    def record_countersigned(self, witness: str, public: bytes, message: bytes) -> int:
        """Check and keep what `witness` countersigned: a checkpoint of this log, under the witness's pinned key.

        Returns the index of the record. What does not hold is recorded as a refusal; then TrustError or
        MalformedMessage.
        """
        with self._mutex:
            try:
                countersigned = Countersigned.decode(message)
                countersigned.check(witness, public)
                self._check_own(countersigned.signed)
            except (TrustError, ProtocolError) as error:
                self.append("refusal", {"peer": witness, "what": "countersignature", "cause": str(error)})
                raise
            return self._append("checkpoint.countersigned", countersigned.to_json())

    def _check_own(self, signed: SignedCheckpoint) -> None:
        checkpoint = signed.check(self.node, self._identity.public)
        if checkpoint.size > self._tree.size or self._tree.root(checkpoint.size) != checkpoint.root:
            raise TrustError(f"expected a checkpoint of the log of {self.node} back, got one of another log")

    def keep_agreement(self, run: str, agreement: bytes) -> None:
        """Keep the signed agreement of a run and record its digest; repeating it changes nothing.

        TrustError if another agreement is already kept for the run.
        """
        if RUN_ID.fullmatch(run) is None:
            raise MalformedMessage("expected a run as r- and 16 lower-case hex digits")
        digest = hashlib.sha256(agreement).hexdigest()
        with self._mutex:
            if self._agreements.get(run, digest) != digest:
                raise TrustError(f"run {run} has another agreement already; start a new run")
            _keep(self.directory / AGREEMENTS / f"{run}.json", agreement)
            if run not in self._agreements:
                self._append("agreement", {"run": run, "sha256": digest})

    def keep_policy(self, policy: bytes) -> str:
        """Keep a policy in canonical JSON; returns its SHA-256 in hex, as agreements name it."""
        digest = hashlib.sha256(policy).hexdigest()
        with self._mutex:
            _keep(self.directory / POLICIES / f"{digest}.json", policy)
        return digest

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """Proof that record `index` is among the first `size`."""
        with self._mutex:
            return self._tree.inclusion_proof(index, size)

    def records(self) -> Iterator[Record]:
        """All records acknowledged so far, oldest first."""
        with open(self.directory / LOG, "rb") as file:
            for _ in range(self.size):
                yield Record.decode(file.readline().removesuffix(b"\n"))

    def close(self) -> None:
        """Give the log up to the next writer."""
        with self._mutex:
            self._broken = True
            self._files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        for folder in (self.directory, self.directory / AGREEMENTS, self.directory / POLICIES):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock()
        self._log = self._descriptor(LOG)
        self._checkpoints = self._descriptor(CHECKPOINTS)
        sync_folder(self.directory)
        torn = {self._log: self._load_log(), self._checkpoints: self._load_checkpoints()}
        for descriptor, count in torn.items():  # only now: what a checkpoint covers is never cut
            _cut(descriptor, count)
        if self._tree.size == 0:
            self._append("log", {"event": "opened", "node": self.node, "identity": self._identity.fingerprint})
        elif any(torn.values()):
            self._append("log", {"event": "repaired", "dropped_bytes": sum(torn.values())})

    def _lock(self) -> None:
        lock = self._descriptor("lock")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LogInUse(f"another process writes the audit log of {self.node}; stop it first") from None

    def _descriptor(self, name: str) -> int:
        descriptor = os.open(self.directory / name, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._files.callback(os.close, descriptor)
        return descriptor

    def _load_log(self) -> int:
        """Read all records; returns the number of bytes of a torn tail."""
        lines, torn = self._lines(LOG)
        for number, line in enumerate(lines):
            record = self._decoded(Record.decode, line, LOG, number)
            if record.index != number:
                self._refuse(LOG, number)
            self._decoded(functools.partial(self._take, record), line, LOG, number)
        first = lines and Record.decode(lines[0])
        if first and (first.kind != "log" or first.body.get("node") != self.node):
            raise TrustError(f"expected the audit log of {self.node}, found another node's; check the home folder")
        return torn

    def _load_checkpoints(self) -> int:
        lines, torn = self._lines(CHECKPOINTS)
        for number, line in enumerate(lines):
            signed = self._decoded(SignedCheckpoint.decode, line, CHECKPOINTS, number)
            checkpoint = signed.check(self.node, self._identity.public)
            if checkpoint.size > self._tree.size or self._tree.root(checkpoint.size) != checkpoint.root:
                raise TrustError(f"the audit log of {self.node} does not fit its own checkpoint of "
                                 f"{checkpoint.size} records; it was changed or cut: restore the newest copy")
            self._last = signed
        return torn

    def _lines(self, name: str) -> tuple[list[bytes], int]:
        *lines, tail = (self.directory / name).read_bytes().split(b"\n")
        return lines, len(tail)

    def _decoded(self, decode: Callable[[bytes], Any], line: bytes, name: str, number: int) -> Any:
        try:
            return decode(line)
        except MalformedMessage:
            self._refuse(name, number)

    def _refuse(self, name: str, number: int) -> NoReturn:
        raise TrustError(f"line {number + 1} of {name} of {self.node} was changed; restore the newest copy")

    def _take(self, record: Record, line: bytes) -> None:
        self._tree.append(line)
        self._marks.take(record)
        if record.kind == "checkpoint.peer":
            peer, signed = held_checkpoint(record)
            self._held.setdefault(peer, {})[signed.checkpoint.size] = signed.checkpoint.root
        elif record.kind == "agreement":
            run, digest = named_agreement(record)
            self._agreements[run] = digest

    def _check_continues(self, peer: str, received: CheckpointMessage) -> int | None:
        """Check a new checkpoint against those held: the size it was proved from, or None if it brings no proof.

        The proof may start at any checkpoint held, since runs side by side exchange theirs in any order, and the same
        checkpoint may come again after a restart.
        """
        new, held = received.signed.checkpoint, self._held.get(peer, {})
        since, proof = (new.size, ()) if new.size in held else (received.since, received.proof)
        if since in held:
            verify_consistency(since, held[since], new.size, new.root, proof)
            return since
        if since != 0:
            raise TrustError(f"expected a proof from {self.held(peer)} records of {peer}, got one from {since}")
        if new.size < self.held(peer):
            raise TrustError(f"{peer} sent a checkpoint of {new.size} records after one of {self.held(peer)}: "
                             "its log was cut or restored")
        return None

    def _write(self, descriptor: int, line: bytes) -> None:
        if self._broken:
            raise SealscoreError(f"the audit log of {self.node} is closed: nothing may leave; restart the node")
        try:
            if os.write(descriptor, line + b"\n") != len(line) + 1:
                raise OSError("the disk took only part of a line")
            os.fsync(descriptor)
        except OSError as error:
            self._broken = True
            raise SealscoreError(f"the audit log of {self.node} could not be written ({error.strerror or error}): "
                                 "nothing may leave; free the disk and restart the node") from None

    def _now(self) -> str:
        return instant(self._clock())


def instant(moment: datetime) -> str:
    """UTC to the millisecond, as records and checkpoints write it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _keep(path: Path, content: bytes) -> None:
    """Write a file that never changes: all of it or nothing, durable; TrustError if it is there with other content."""
    if path.exists():
        if path.read_bytes() != content:
            raise TrustError(f"{path.parent.name}/{path.name} was changed on disk; restore the newest copy")
        return
    draft = path.with_suffix(".part")
    with open(draft, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def _cut(descriptor: int, count: int) -> None:
    if not count:
        return
    os.ftruncate(descriptor, os.fstat(descriptor).st_size - count)
    os.fsync(descriptor)
