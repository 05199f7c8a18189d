"""A board in memory that processes forked from one another share: each writes its own slot, all read all."""
from __future__ import annotations

import mmap
import struct
import zlib

SLOT_BYTES = 256 * 1024
_HEAD = struct.Struct("<II")  # length, CRC-32 of what follows


class Board:
    """`slots` of up to 256 KiB less 8 bytes; made before the fork."""

    def __init__(self, slots: int):
        self.slots, self._memory = slots, mmap.mmap(-1, slots * SLOT_BYTES)

    def post(self, slot: int, data: bytes) -> None:
        """Write one's own slot; ValueError if it does not fit."""
        if len(data) > SLOT_BYTES - _HEAD.size:
            raise ValueError(f"expected at most {SLOT_BYTES - _HEAD.size} bytes for a slot, got {len(data)}")
        place = slot * SLOT_BYTES
        block = _HEAD.pack(len(data), zlib.crc32(data)) + data
        self._memory[place:place + len(block)] = block

    def read(self, slot: int) -> bytes | None:
        """What a slot holds; None when it is empty or half written: whoever reads looks again later."""
        place = slot * SLOT_BYTES
        length, checksum = _HEAD.unpack_from(self._memory, place)
        data = self._memory[place + _HEAD.size:place + _HEAD.size + min(length, SLOT_BYTES - _HEAD.size)]
        return data if length and zlib.crc32(data) == checksum else None
