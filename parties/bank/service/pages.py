"""Cursors of lists: where the next page begins, sealed with a key so that only what a page gave can be asked for."""
from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json

from parties.bank.service.refusals import Unprocessable

MOST = 200
_TAG_BYTES = 16


class Cursors:
    """Makes and reads cursors; `key` is 32 bytes of this node."""

    def __init__(self, key: bytes):
        self._key = key

    def make(self, listing: str, place: list[str | int]) -> str:
        """A cursor into `listing` behind `place`; URL-safe text."""
        body = json.dumps([listing, *place], separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._tag(body) + body).decode().rstrip("=")

    def read(self, listing: str, cursor: str) -> list[str | int]:
        """The place; Unprocessable for anything that `make` has not given out for this listing."""
        try:
            raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        except (binascii.Error, ValueError):
            raw = b""
        tag, body = raw[:_TAG_BYTES], raw[_TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(body)):
            raise Unprocessable("expected a cursor as a page's `next` gave it, got another; begin without a cursor")
        named, *place = json.loads(body)
        if named != listing:
            raise Unprocessable(f"expected a cursor of the list {listing}, got one of {named}; begin without a cursor")
        return place

    def _tag(self, body: bytes) -> bytes:
        return hmac.digest(self._key, b"cursor\0" + body, hashlib.sha256)[:_TAG_BYTES]
