"""How records and answers lie in the database: zstd (RFC 8878), and sealed where the store was opened with a box.

    0x00 | zstd          0x01 | box over zstd, bound to the name it is kept under
"""
from __future__ import annotations

import zstandard

from protocols.crypto.box import Box
from protocols.errors import TrustError

_OPEN, _SEALED = b"\x00", b"\x01"
_LEVEL = 3
MOST_BYTES = 4 * 1024**2


class Payloads:
    """Packs and unpacks bytes; thread-safe. Without a box it reads only what was never sealed."""

    def __init__(self, box: Box | None = None):
        self._box = box

    def pack(self, name: str, data: bytes) -> bytes:
        """`data` as it is kept under `name`."""
        packed = zstandard.ZstdCompressor(level=_LEVEL).compress(data)
        return _OPEN + packed if self._box is None else _SEALED + self._box.seal(name, packed)

    def unpack(self, name: str, kept: bytes) -> bytes:
        """What was packed under `name`; TrustError when it was changed, moved, or sealed by a key that is not here."""
        kind, packed = bytes(kept[:1]), bytes(kept[1:])
        if kind == _SEALED:
            if self._box is None:
                raise TrustError(f"{name} is sealed under this node's key; open the store with the node's own file")
            packed = self._box.open(name, packed)
        elif kind != _OPEN:
            raise TrustError(f"{name} is not in a form this version knows; restore the store or update the software")
        try:
            if not 0 <= zstandard.frame_content_size(packed) <= MOST_BYTES:
                raise TrustError(f"{name} says it is larger than {MOST_BYTES} bytes; it was changed")
            return zstandard.ZstdDecompressor().decompress(packed)
        except zstandard.ZstdError:
            raise TrustError(f"{name} does not unpack; it was changed") from None
