"""What the node's ledgers about people have in common: a private SQLite file in which people are keyed hashes."""
from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from parties.runtime.files import make_private, people_key
from protocols.crypto.box import Box
from protocols.psi.identifiers import STEPS, normalise

_TAG_BYTES, _MARK_BYTES = 8, 8
_MARK = "the counter of marks"


class PeopleFile:
    """A file of mode 0600; the key of people's hashes in it is sealed in `box`: without the node's identity key nobody
    tells whether a person is among them. `schema` makes its tables, `salt` among them. For threads: hold `_lock`."""

    def __init__(self, path: Path, box: Box, schema: str):
        make_private(path)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False)
        self._db.execute("PRAGMA secure_delete=ON").close()
        self._box = box
        with self._db:
            self._db.executescript(schema + "CREATE TABLE IF NOT EXISTS mark (value BLOB NOT NULL);")
        self._salt = people_key(self._db, box)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @property
    def mark(self) -> int:
        """How often the file was marked; an older copy of it shows less (rollback.py). TrustError if it was changed."""
        with self._lock:
            return self._marked()

    def advance(self) -> int:
        """Mark the file, durably; gives the new count."""
        with self._lock, self._db:
            count = self._marked() + 1
            self._db.execute("DELETE FROM mark")
            self._db.execute("INSERT INTO mark VALUES (?)", (self._box.seal(_MARK, count.to_bytes(_MARK_BYTES)),))
        return count

    def _marked(self) -> int:
        row = self._db.execute("SELECT value FROM mark").fetchone()
        return 0 if row is None else int.from_bytes(self._box.open(_MARK, row[0]))

    def tags(self, ids: Iterable[str]) -> np.ndarray:
        """uint64 (n,): who these are. All normalisation there is: another spelling is not another person."""
        hashes = (hashlib.blake2b(text.encode(), digest_size=_TAG_BYTES, key=self._salt).digest()
                  for text in normalise(ids, tuple(STEPS)))
        return np.frombuffer(b"".join(hashes), np.uint64)
