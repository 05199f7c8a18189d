"""The coordinator's own audit log: what it launched, what the parties signed, how it ended, their checkpoints.

The parties countersign its checkpoints as it does theirs, so a log that is rewritten later contradicts them.

Several server applications may run at once, so the log is opened for one record at a time and waited for.
"""
from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from protocols.agreement import SignedAgreement
from protocols.node.audit_log import AuditLog, LogInUse
from protocols.node.evidence import AUDIT_FOLDER
from protocols.node.identity_files import load_identity

WAIT_S = 20.0


class Trail:
    """The log of the coordinator at `home`, whose name is `node`."""

    def __init__(self, home: Path, node: str):
        self._home, self._node = home, node
        self._identity = load_identity(home)

    def canary(self, outcome: dict[str, Any]) -> None:
        """What the canary tried at a start, and what of it succeeded."""
        with self._opened() as log:
            log.append("canary", outcome)

    def run(self, run: str, event: str, **facts: Any) -> None:
        """A run began or ended."""
        with self._opened() as log:
            log.append("run", {"run": run, "event": event, **facts})

    def agreement(self, agreement: SignedAgreement) -> None:
        """Keep what the parties signed."""
        with self._opened() as log:
            log.keep_agreement(agreement.run, agreement.encode())

    def held(self, party: str) -> int:
        """How many records of a party's log are covered by the newest checkpoint held here."""
        with self._opened() as log:
            return log.held(party)

    def checkpoint(self, party: str, public: bytes, message: bytes) -> bytes:
        """Check and keep a party's checkpoint and give it countersigned; TrustError if its log was rewritten."""
        with self._opened() as log:
            return log.record_peer_checkpoint(party, public, message)

    @property
    def identity(self) -> str:
        """The raw public key under which this log is signed, hex."""
        return self._identity.public.hex()

    def own_checkpoint(self, held: int) -> bytes:
        """A checkpoint for a party that holds one of the first `held` records; TrustError if the log has fewer."""
        with self._opened() as log:
            return log.checkpoint_message(held)

    def countersigned(self, party: str, public: bytes, message: bytes) -> None:
        """Check and keep what a party signed back; TrustError if that is no checkpoint of this log."""
        with self._opened() as log:
            log.record_countersigned(party, public, message)

    @contextmanager
    def _opened(self) -> Iterator[AuditLog]:
        log = self._wait()
        try:
            yield log
        finally:
            log.close()

    def _wait(self) -> AuditLog:
        end = time.monotonic() + WAIT_S
        while True:
            try:
                return AuditLog(self._home / AUDIT_FOLDER, self._node, self._identity)
            except LogInUse:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
