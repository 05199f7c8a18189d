"""Role state as bytes: a JSON header and raw arrays. No pickle; what is read back is exactly what was written."""
from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

from protocols.errors import MalformedMessage

_MAGIC = b"SSST1"


def pack(state: dict[str, Any]) -> bytes:
    """Serialise a flat dict of None, bool, int, float, str, bytes and numpy arrays."""
    header: dict[str, Any] = {}
    blobs: list[bytes] = []
    for name, value in state.items():
        if isinstance(value, np.ndarray):
            data = np.ascontiguousarray(value)
            header[name] = {"array": data.dtype.str, "shape": list(data.shape), "size": data.nbytes}
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
    header, state, offset = json.loads(data[9:start]), {}, start
    for name, entry in header.items():
        if "value" in entry:
            state[name] = entry["value"]
            continue
        blob = data[offset : offset + entry["size"]]
        if len(blob) != entry["size"]:
            raise MalformedMessage("saved state that is cut short")
        offset += entry["size"]
        state[name] = _array(blob, entry) if "array" in entry else blob
    if offset != len(data):
        raise MalformedMessage("saved state with bytes left over")
    return state


def _array(blob: bytes, entry: dict[str, Any]) -> np.ndarray:
    dtype = np.dtype(entry["array"])
    if dtype.hasobject:
        raise MalformedMessage("saved state with objects in it")
    return np.frombuffer(blob, dtype=dtype).reshape(entry["shape"]).copy()
