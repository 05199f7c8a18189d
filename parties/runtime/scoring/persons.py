"""A person without an identifier: HMAC-SHA256 under a key of the node, the same for every spelling of the identifier.

    HOME/identity/persons.key    32 random bytes as hex, mode 0600, made on first use

What a node keeps about people while it scores and decides it keeps under this. Whoever has the key can test every
telephone number, so it stays with the node's other keys, and backups carry it.
"""
from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from protocols.errors import TrustError
from protocols.node.private_files import read_private_bytes, write_private
from protocols.psi.identifiers import STEPS, normalise

KEY_FILE = Path("identity") / "persons.key"
KEY_BYTES = 32
_DOMAIN = b"sealscore person v1\0"


class PersonKey:
    """Names people. Unprintable and unpicklable."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes):
        self._key = key

    @classmethod
    def load(cls, home: Path) -> PersonKey:
        """The key of the node at `home`, made now if there is none; TrustError if others can read it or it is none."""
        path = home / KEY_FILE
        if not path.exists():
            path.parent.mkdir(mode=0o700, exist_ok=True)
            _make(path)
        text = read_private_bytes(path)
        try:
            key = bytes.fromhex(text.decode("ascii"))
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            raise TrustError(f"{path.name} is not a key of {KEY_BYTES} bytes as hex; restore it from a backup")
        return cls(key)

    def person(self, identifier: str) -> str:
        """64 hex digits that stand for whoever has this identifier."""
        return self.persons([identifier])[0].hex()

    def persons(self, identifiers: Iterable[str]) -> list[bytes]:
        """32 bytes each. All normalisation there is: another spelling is not another person."""
        return [hmac.digest(self._key, _DOMAIN + text.encode(), hashlib.sha256)
                for text in normalise(identifiers, tuple(STEPS))]

    def __repr__(self) -> str:
        return "PersonKey(REDACTED)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a PersonKey cannot be pickled or copied")


def _make(path: Path) -> None:
    try:
        write_private(path, secrets.token_bytes(KEY_BYTES).hex().encode(), durable=True)
    except FileExistsError:  # another process of this node made it just now
        return
