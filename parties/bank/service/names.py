"""Ids of applications: they follow from the channel and its idempotency key, and tell the service whose they are.

    a- | 24 hex of HMAC(key, "id", channel, idempotency key) | 8 hex of HMAC(key, "owner", channel, the 24)

A retry after a crash names the same application, so nothing is decided twice; a channel that asks for another's
application is told that there is none, without a look into the store.
"""
from __future__ import annotations

import hashlib
import hmac
import re

_ID = re.compile(r"a-[0-9a-f]{32}\Z")


class ApplicationIds:
    """Makes and checks ids; `key` is 32 bytes of this node."""

    def __init__(self, key: bytes):
        self._key = key

    def make(self, channel: str, idempotency_key: str) -> str:
        """The id of what `channel` submits under a key."""
        body = self._mac(b"id", channel, idempotency_key)[:24]
        return f"a-{body}{self._mac(b'owner', channel, body)[:8]}"

    def is_of(self, channel: str, application_id: str) -> bool:
        """Whether `channel` submitted it."""
        if not _ID.match(application_id):
            return False
        body, tag = application_id[2:26], application_id[26:]
        return hmac.compare_digest(tag, self._mac(b"owner", channel, body)[:8])

    def _mac(self, purpose: bytes, *parts: str) -> str:
        body = b"\0".join([purpose, *(part.encode() for part in parts)])
        return hmac.digest(self._key, body, hashlib.sha256).hex()
