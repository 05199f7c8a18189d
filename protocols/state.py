"""Role state as bytes: a JSON header and raw arrays. No pickle; what is read back is exactly what was written."""
from __future__ import annotations

import json
import re
import struct
from typing import Any

import numpy as np

from protocols.errors import MalformedMessage
from protocols.json_object import json_object

_MAGIC = b"SSST1"
_NUMBERS = re.compile(r"[<|][biufc?]\d{1,2}")


def pack(state: dict[str, Any]) -> bytes:
    """Serialise a flat dict of None, bool, int, float, str, bytes and numpy arrays."""
    header: dict[str, Any] = {}
    blobs: list[bytes] = []
    for name, value in state.items():
        if isinstance(value, np.ndarray):
            data = np.ascontiguousarray(value)
            header[name] = {"array": data.dtype.str, "shape": list(value.shape), "size": data.nbytes}
            blobs.append(data.tobytes())
        elif isinstance(value, bytes):
            header[name] = {"bytes": len(value), "size": len(value)}
            blobs.append(value)
        elif value is None or isinstance(value, (bool, int, float, str)):
            header[name] = {"value": value}
        else:
            raise TypeError(f"state {name!r} of type {type(value).__name__} cannot be kept")
    head = json.dumps(header).encode()
    return b"".join([_MAGIC, struct.pack("<I", len(head)), head, *blobs])


def unpack(data: bytes) -> dict[str, Any]:
    """The dict that `pack` was given; MalformedMessage if the bytes are not one."""
    if data[:5] != _MAGIC or len(data) < 9:
        raise MalformedMessage("saved state that does not begin as one")
    start = 9 + struct.unpack_from("<I", data, 5)[0]
    state, offset = {}, start
    for name, entry in _header(data[9:start]):
        if "value" in entry:
            state[name] = entry["value"]
            continue
        size = entry.get("size")
        blob = data[offset : offset + size] if type(size) is int and size >= 0 else None
        if blob is None or len(blob) != size:
            raise MalformedMessage("saved state that is cut short")
        offset += size
        state[name] = _array(blob, entry) if "array" in entry else blob
    if offset != len(data):
        raise MalformedMessage("saved state with bytes left over")
    return state


def _header(data: bytes) -> list[tuple[str, dict[str, Any]]]:
    header = json_object(data, "the header of saved state")
    if not all(isinstance(entry, dict) for entry in header.values()):
        raise MalformedMessage("saved state whose header is none")
    return list(header.items())


def _array(blob: bytes, entry: dict[str, Any]) -> np.ndarray:
    kind = entry["array"]
    if not isinstance(kind, str) or _NUMBERS.fullmatch(kind) is None:
        raise MalformedMessage("saved state with something else than numbers in an array")
    try:
        return np.frombuffer(blob, dtype=np.dtype(kind)).reshape(entry.get("shape")).copy()
    except (ValueError, TypeError, OverflowError):
        raise MalformedMessage("saved state with an array of another shape than its bytes") from None
