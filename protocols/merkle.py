"""Merkle trees of RFC 6962: an append-only log whose root commits to every record and to their order.

    leaf hash   SHA-256(0x00 | record)            RFC 6962 §2.1
    node hash   SHA-256(0x01 | left | right)
    root        of n leaves: node(root of the first k, root of the rest), k the largest power of two below n

An *inclusion proof* shows that a record is in the log of a given root (§2.1.1); a *consistency proof* shows that a
longer log starts with a shorter one (§2.1.2). Both have at most log2(n) + 1 hashes. The checks follow the algorithms
of RFC 9162 §2.1.3.2 and §2.1.4.2, which give the same answers for the same trees.
"""
from __future__ import annotations

import hashlib
from collections.abc import Sequence

from protocols.errors import TrustError

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(record: bytes) -> bytes:
    """Hash of one record, 32 bytes."""
    return hashlib.sha256(b"\x00" + record).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node, 32 bytes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class MerkleTree:
    """The hashes of all complete subtrees: an append, a root and a proof each cost O(log n); 64 bytes per record."""

    def __init__(self) -> None:
        self._levels: list[bytearray] = [bytearray()]

    @property
    def size(self) -> int:
        """Number of records."""
        return len(self._levels[0]) // HASH_BYTES

    def append(self, record: bytes) -> int:
        """Add a record; returns its index."""
        index, level, digest = self.size, 0, leaf_hash(record)
        self._levels[0] += digest
        while len(self._levels[level]) % (2 * HASH_BYTES) == 0:
            digest = node_hash(*self._last_two(level))
            level += 1
            if level == len(self._levels):
                self._levels.append(bytearray())
            self._levels[level] += digest
        return index

    def root(self, size: int | None = None) -> bytes:
        """Root of the first `size` records (all by default)."""
        size = self._checked(self.size if size is None else size)
        return self._subtree(0, size) if size else EMPTY_ROOT

    def inclusion_proof(self, index: int, size: int | None = None) -> list[bytes]:
        """PATH(index, D[size]) of RFC 6962 §2.1.1."""
        size = self._checked(self.size if size is None else size)
        if not 0 <= index < size:
            raise ValueError(f"record {index} is not among the first {size}")
        return self._path(index, 0, size)

    def consistency_proof(self, old: int, new: int | None = None) -> list[bytes]:
        """PROOF(old, D[new]) of RFC 6962 §2.1.2; empty when old is 0 or equals new."""
        new = self._checked(self.size if new is None else new)
        if not 0 <= old <= new:
            raise ValueError(f"a log of {new} records has no prefix of {old}")
        return self._subproof(old, 0, new, whole=True) if old else []

    def _last_two(self, level: int) -> tuple[bytes, bytes]:
        tail = bytes(self._levels[level][-2 * HASH_BYTES:])
        return tail[:HASH_BYTES], tail[HASH_BYTES:]

    def _checked(self, size: int) -> int:
        if not 0 <= size <= self.size:
            raise ValueError(f"the log has {self.size} records, not {size}")
        return size

    def _subtree(self, start: int, stop: int) -> bytes:
        """Root of records [start, stop); start is a multiple of a power of two that is at least stop - start."""
        count = stop - start
        if count & (count - 1) == 0:
            level = count.bit_length() - 1
            at = (start >> level) * HASH_BYTES
            return bytes(self._levels[level][at:at + HASH_BYTES])
        middle = start + _split(count)
        return node_hash(self._subtree(start, middle), self._subtree(middle, stop))

    def _path(self, index: int, start: int, stop: int) -> list[bytes]:
        if stop - start == 1:
            return []
        middle = start + _split(stop - start)
        if index < middle:
            return [*self._path(index, start, middle), self._subtree(middle, stop)]
        return [*self._path(index, middle, stop), self._subtree(start, middle)]

    def _subproof(self, old: int, start: int, stop: int, *, whole: bool) -> list[bytes]:
        """SUBPROOF(old - start, D[start:stop], whole): `whole` while the old tree is a left subtree of the new one."""
        if old == stop:
            return [] if whole else [self._subtree(start, stop)]
        middle = start + _split(stop - start)
        if old <= middle:
            return [*self._subproof(old, start, middle, whole=whole), self._subtree(middle, stop)]
        return [*self._subproof(old, middle, stop, whole=False), self._subtree(start, middle)]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that the record with hash `leaf` is number `index` of the `size` records under `root`; else TrustError."""
    if not 0 <= index < size:
        raise TrustError(f"an inclusion proof for record {index} of a log of {size}")
    at, last, computed = index, size - 1, leaf
    for sibling in proof:
        if last == 0 or len(sibling) != HASH_BYTES:
            raise TrustError("an inclusion proof of the wrong length")
        if at & 1 or at == last:
            computed = node_hash(sibling, computed)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        at, last = at >> 1, last >> 1
    if last != 0 or computed != root:
        raise TrustError(f"record {index} is not in the log of {size} records with the given root")


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the log (new, new_root) starts with the log (old, old_root); else TrustError."""
    if not 0 <= old <= new:
        raise TrustError(f"expected a log that grew from {old} records, got one of {new}")
    if old in (0, new):
        holds = not proof and old_root == (new_root if old else EMPTY_ROOT)
    else:
        holds = _replay(old, new, proof, old_root) == (old_root, new_root)
    if not holds:
        raise TrustError(f"the log of {new} records does not continue the log of {old}: it was rewritten")


def _replay(old: int, new: int, proof: Sequence[bytes], old_root: bytes) -> tuple[bytes, bytes]:
    """Both roots as the proof gives them (RFC 9162 §2.1.4.2); empty ones for a proof of the wrong length."""
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    if not path or any(len(node) != HASH_BYTES for node in path):
        return b"", b""
    first = second = path[0]
    for node in path[1:]:
        if last == 0:
            return b"", b""
        if at & 1 or at == last:
            first, second = node_hash(node, first), node_hash(node, second)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            second = node_hash(second, node)
        at, last = at >> 1, last >> 1
    return (first, second) if last == 0 else (b"", b"")


def _split(count: int) -> int:
    """The largest power of two below `count` (at least 2)."""
    return 1 << ((count - 1).bit_length() - 1)
