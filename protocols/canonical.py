"""The one JSON form that is signed, and its strict decoder."""
from __future__ import annotations

import json
from typing import Any

from protocols.errors import MalformedMessage


def canonical_json(value: Any) -> bytes:
    """Sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def parse_canonical_json(data: bytes, max_bytes: int) -> Any:
    """Decode canonical JSON and refuse any other spelling of the same value."""
    if len(data) > max_bytes:
        raise MalformedMessage(f"expected at most {max_bytes} bytes of JSON, got {len(data)}")
    try:
        value = json.loads(data)
        if canonical_json(value) != data:
            raise MalformedMessage("JSON that is not in canonical form")
    except (ValueError, RecursionError):
        raise MalformedMessage("bytes that are not JSON") from None
    return value
