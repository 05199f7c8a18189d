"""Notices at the start that somebody put back an older copy of a ledger or of a run's store.

A node that goes on from an older copy forgets what it opened, and may send another value under a mask that it used.
Every ledger has a counter that rises with each mark, every store of a run one that rises with each step that sends
something; the signed audit log has them too (protocols/node/marks.py). A store that shows less than the log says keeps
the node from starting until a person has acknowledged it. What a person cannot get back is the store of such a run: it
is deleted, and the run never goes on.

Not noticed: a copy no older than the last mark, or than the last step of its run; all of a home with its log, which
contradicts the checkpoints that peers hold; a counter that somebody writes who has the node's keys.
"""
from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from parties.runtime import retention
from parties.runtime.config import LoadedParty
from parties.runtime.ledger import Ledger
from parties.runtime.people_file import PeopleFile
from parties.runtime.releases import Releases
from parties.runtime.run_store import STEPS, RunStore
from protocols.audit import RUN_ID
from protocols.crypto.box import Box
from protocols.crypto.identity import IdentityKey
from protocols.errors import TrustError, UsageError
from protocols.node.at_rest import ledger_box, releases_box, run_box
from protocols.node.audit_log import AuditLog
from protocols.node.identity_files import load_identity
from protocols.node.marks import KIND

RELEASES, LEDGER = "releases.db", "openings.db"


def open_ledgers(state: Path, identity: IdentityKey) -> tuple[Releases, Ledger]:
    """The two ledgers of the node whose state is in this folder."""
    return Releases(state / RELEASES, releases_box(identity)), Ledger(state / LEDGER, ledger_box(identity))


def mark(audit: AuditLog, releases: PeopleFile, ledger: PeopleFile) -> None:
    """Count on, in the ledgers first: after a crash in between they are ahead of the log, never behind."""
    audit.append(KIND, {"event": "marked", "stores": {RELEASES: releases.advance(), LEDGER: ledger.advance()}})


def check(audit: AuditLog, ledgers: Mapping[str, PeopleFile], runs: Path, identity: IdentityKey) -> None:
    """TrustError when a store is older than the log says."""
    found = behind(audit, ledgers, runs, identity)
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise TrustError(f"{found[0]}{more} of {audit.node} is older than the audit log says: a copy was put back, or "
                         "files are missing; restore the newest backup, or run `acknowledge` with the node's file")


def behind(audit: AuditLog, ledgers: Mapping[str, PeopleFile], runs: Path, identity: IdentityKey) -> list[str]:
    """Ledgers, by file name, and runs whose stores are older than the log says. `runs`: the folder of all runs."""
    shown = {name: ledger.mark for name, ledger in ledgers.items()}
    return [name for name, least in sorted(audit.marks.items())
            if _reached(name, shown, runs / name, identity) < least]


def _reached(name: str, ledgers: dict[str, int], folder: Path, identity: IdentityKey) -> float:
    """What a store shows; infinity where nothing can go on from it."""
    if name in ledgers:
        return ledgers[name]
    if RUN_ID.fullmatch(name) is None or retention.is_gone(folder):
        return float("inf")
    return _steps(folder / "run.db", run_box(identity, name)) if (folder / "run.db").exists() else 0


def _steps(path: Path, box: Box) -> float:
    try:
        store = RunStore(path, box)
        try:
            return int(store.get(STEPS) or 0)
        finally:
            store.close()
    except (TrustError, sqlite3.Error):  # damaged: that run says so by itself, and does not go on
        return float("inf")


def acknowledge(party: LoadedParty, by: str, reason: str) -> list[str]:
    """Record that a person knows of the older copies, and delete what must not be gone on from; what was behind.

    UsageError when there is nothing to acknowledge, LogInUse while the node runs.
    """
    identity, runs = load_identity(party.home), party.state / "runs"
    with AuditLog(party.state / "audit", party.name, identity) as audit:
        ledgers = dict(zip((RELEASES, LEDGER), open_ledgers(party.state, identity), strict=True))
        try:
            found = behind(audit, ledgers, runs, identity)
        finally:
            for ledger in ledgers.values():
                ledger.close()
        if not found:
            raise UsageError(f"no store of {party.name} is older than its audit log says; there is nothing to "
                             "acknowledge, start the node")
        for run in filter(RUN_ID.fullmatch, found):  # first: a run may never go on from an older copy
            retention.delete_run(runs / run, datetime.now(UTC))
        audit.append(KIND, {"event": "acknowledged", "behind": found, "by": by, "reason": reason})
    return found
