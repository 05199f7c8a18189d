"""JSON of which nothing is signed: bytes of a peer, or of another process, to one object."""
from __future__ import annotations

import json
from typing import Any

from protocols.errors import MalformedMessage


def json_object(data: bytes, what: str) -> dict[str, Any]:
    """JSON bytes as a dict; MalformedMessage, which calls them `what`, otherwise."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise MalformedMessage(f"expected one JSON object as {what}, got bytes that are not JSON") from None
    if not isinstance(value, dict):
        raise MalformedMessage(f"expected one JSON object as {what}, got JSON that is none")
    return value
