"""Files of a node: private ones, and tables recognised again."""
from __future__ import annotations

import hashlib
import os
import secrets
import sqlite3
from pathlib import Path

from protocols.crypto.box import KEY_BYTES, Box
from protocols.node.identity_files import sync_folder, write_private


def digest(path: Path) -> bytes | None:
    """SHA-256 of a file (32 bytes), or None when there is none. Never leaves the node."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def write_whole(path: Path, data: bytes) -> None:
    """All of it or nothing, durable, mode 0600."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    temporary.unlink(missing_ok=True)
    write_private(temporary, data, durable=True)
    temporary.replace(path)
    sync_folder(path.parent)


def people_key(database: sqlite3.Connection, box: Box) -> bytes:
    """The key under which a database hashes people, kept sealed in its table `salt` and made on first use (32 bytes).

    One that an earlier version kept in the clear is sealed. TrustError if it was changed or is another node's.
    """
    row = database.execute("SELECT value FROM salt").fetchone()
    if row is not None and len(row[0]) != KEY_BYTES:
        return box.open("the key of people's hashes", row[0])
    key = secrets.token_bytes(KEY_BYTES) if row is None else row[0]
    with database:
        database.execute("DELETE FROM salt")
        database.execute("INSERT INTO salt VALUES (?)", (box.seal("the key of people's hashes", key),))
    return key


def make_private(path: Path) -> None:
    """An empty file (mode 0600) in a folder for nobody else, unless it is there."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
