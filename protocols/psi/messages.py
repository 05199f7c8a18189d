"""Messages of alignment: fixed layouts, little endian, no byte to spare.

    align.size    version u8, digest of the parameters 32, number of ids u32       first, by both sides
    align.points  chunk index u32, own points 32 each                               up to 8,192 per chunk
    align.tags    chunk index u32, tags 16 each                                      answers one align.points
    align.joint   number of people in common u32, digest 32                          last, by both sides
"""
from __future__ import annotations

import struct

from protocols.errors import MalformedMessage

SIZE, POINTS, TAGS, JOINT = "align.size", "align.points", "align.tags", "align.joint"
CHUNK = 8192  # points per message: 256 KiB
TAG_BYTES = 16  # two of 10^8 tags collide with probability 2^-75
DIGEST_BYTES = 32
VERSION = 1
_SIZE, _INDEX, _JOINT = struct.Struct("<B32sI"), struct.Struct("<I"), struct.Struct("<I32s")


def chunks(total: int) -> int:
    """Number of chunks of a set of `total` ids."""
    return -(-total // CHUNK)


def chunk_length(total: int, index: int) -> int:
    """Number of ids in chunk `index`."""
    return min(CHUNK, total - CHUNK * index)


def encode_size(digest: bytes, total: int) -> bytes:
    """align.size"""
    return _SIZE.pack(VERSION, digest, total)


def decode_size(payload: bytes) -> tuple[bytes, int]:
    """(digest of the parameters, number of ids). Raises MalformedMessage for another length or version."""
    _require(payload, _SIZE.size, SIZE)
    version, digest, total = _SIZE.unpack(payload)
    if version != VERSION:
        raise MalformedMessage(f"{SIZE}: expected version {VERSION}, got {version}; both sides need the same release")
    return digest, total


def encode_chunk(index: int, body: bytes) -> bytes:
    """align.points and align.tags"""
    return _INDEX.pack(index) + body


def decode_chunk(payload: bytes, kind: str, index: int, length: int) -> bytes:
    """The `length` bytes of chunk `index`, which is the one due."""
    _require(payload, _INDEX.size + length, kind)
    (got,) = _INDEX.unpack_from(payload)
    if got != index:
        raise MalformedMessage(f"{kind}: expected chunk {index}, got chunk {got}")
    return payload[_INDEX.size:]


def encode_joint(total: int, digest: bytes) -> bytes:
    """align.joint"""
    return _JOINT.pack(total, digest)


def decode_joint(payload: bytes) -> tuple[int, bytes]:
    """(people in common, digest of their tags in joint order)."""
    _require(payload, _JOINT.size, JOINT)
    return _JOINT.unpack(payload)


def _require(payload: bytes, length: int, kind: str) -> None:
    if len(payload) != length:
        raise MalformedMessage(f"{kind}: expected {length} bytes, got {len(payload)}")
