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

_TAG_BYTES = 8


class PeopleFile:
    """A file of mode 0600; the key of people's hashes in it is sealed in `box`: without the node's identity key nobody
    tells whether a person is among them. `schema` makes its tables, `salt` among them. For threads: hold `_lock`."""

    def __init__(self, path: Path, box: Box, schema: str):
        make_private(path)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False)
        self._db.execute("PRAGMA secure_delete=ON").close()
        with self._db:
            self._db.executescript(schema)
        self._salt = people_key(self._db, box)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def tags(self, ids: Iterable[str]) -> np.ndarray:
        """uint64 (n,): who these are. All normalisation there is: another spelling is not another person."""
        hashes = (hashlib.blake2b(text.encode(), digest_size=_TAG_BYTES, key=self._salt).digest()
                  for text in normalise(ids, tuple(STEPS)))
        return np.frombuffer(b"".join(hashes), np.uint64)
