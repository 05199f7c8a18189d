"""Both sides of Diffie-Hellman private set intersection; they differ only in whose half of a tag they send.

    size          each side commits to the number of its ids
    points        each side sends a*H(id), in an order shuffled by its own CSPRNG, chunk by chunk
    tags          each side multiplies the other's points by its own secret b and returns, in the order they came, half
                  of hash(b*a*H(id)): the label party the first 16 bytes, the feature party the last 16
    joint         each side finds the tags that both sets share, orders them by their first half, and proves with a
                  digest that it found the same

Huberman, Franklin, Hogg (EC 1999), with points hashed into ristretto255. Only halves travel, and each side sends the
half that the other cannot compute without the double product, so echoing received bytes never makes a match. The
joint order follows from a hash of double-blinded points: it says nothing about either table.
"""
from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from protocols.crypto.group import POINT_BYTES, ParallelMap, Scalar, hash_and_multiply, multiply_all
from protocols.errors import DataError, MalformedMessage, PolicyRefused, ProtocolError
from protocols.psi import messages as m
from protocols.psi.identifiers import normalise_set
from protocols.psi.parameters import Alignment, AlignmentParams
from protocols.role import Message, Opening, Role
from protocols.state import pack, unpack

MEMBERSHIP = "membership"  # the one opening: which of the learner's ids the other side holds too
_WINDOW = 2  # own chunks under way: the peer works on one while the next travels
_DOMAIN = b"sealscore-psi-v1-ristretto255_XMD:SHA-512_R255MAP_RO_"
_SEED_BYTES = 32


class Aligner(Role):
    """One side. `ids`: one's own identifiers, any order; `result().rows` indexes into them."""

    half: ClassVar[slice]  # the half of a tag that this side sends

    def __init__(self, ids: Sequence[str], peer: str, params: AlignmentParams, parallel_map: ParallelMap = map):
        self._ids = normalise_set(ids, params.normalise)
        if len(self._ids) > params.own_declared_max:
            raise DataError(f"the table holds {len(self._ids)} ids, more than the {params.own_declared_max} declared; "
                            "raise the declared number or put fewer rows in")
        self._peer, self._params, self._map = peer, params, parallel_map
        self._scalar: Scalar | None = Scalar.random()
        self._begin_with(os.urandom(_SEED_BYTES))
        self._sent = 0  # own chunks sent
        self._peer_total: int | None = None
        self._peer_tags: list[bytes] = []  # per chunk: 32 bytes for each of the peer's points
        self._own_tags: list[bytes] = []  # per chunk: 16 bytes for each of one's own points, the peer's half
        self._apart = [0, 0]  # chunks of peer's and of own tags that were handed out as pieces
        self._joint: bytes | None = None
        self._rows: np.ndarray | None = None
        self._confirmed = False

    def _begin_with(self, seed: bytes) -> None:
        """What follows from the secret seed: the order in which ids are sent, a digest that knows them again."""
        self._seed, self._order = seed, _shuffled(seed, len(self._ids))
        self._digest = _keyed_digest(seed, self._ids)

    def start(self) -> list[Message]:
        """Commit to the size of the set."""
        return [self._message(m.SIZE, m.encode_size(self._params.digest(), len(self._ids)))]

    def handle(self, message: Message) -> list[Message]:
        """One message of the peer. Raises MalformedMessage, ProtocolError or PolicyRefused; the run ends then."""
        handlers = {m.SIZE: self._take_size, m.POINTS: self._take_points, m.TAGS: self._take_tags,
                    m.JOINT: self._take_joint}
        if message.peer != self._peer or message.kind not in handlers:
            raise MalformedMessage(f"alignment: a message of kind {message.kind!r} from {message.peer!r} is not due")
        if self._scalar is None and message.kind != m.JOINT:
            raise MalformedMessage(f"{message.kind}: both directions are complete, only {m.JOINT} can follow")
        return handlers[message.kind](message.payload)

    def result(self) -> Alignment | None:
        """The rows in joint order, once both sides have found the same."""
        return Alignment(self._rows, secret=self._pair_secret()) if self._confirmed else None

    def _pair_secret(self) -> bytes:
        """32 bytes that follow from the digest of the tags that both sides share: double-blinded points."""
        return hashlib.blake2b(self._joint, digest_size=32, key=hashlib.sha256(self._params.session).digest(),
                               person=b"sealscore-pair").digest()

    @property
    def progress(self) -> tuple[int, int]:
        """(chunks done, chunks in all) of both directions; (0, 1) before the peer's size is known."""
        if self._peer_total is None:
            return 0, 1
        total = m.chunks(len(self._ids)) + m.chunks(self._peer_total)
        return (total if self._scalar is None else len(self._own_tags) + len(self._peer_tags)), total

    def _message(self, kind: str, payload: bytes, opening: Opening | None = None) -> Message:
        return Message(self._peer, kind, payload, opening)

    def _take_size(self, payload: bytes) -> list[Message]:
        digest, total = m.decode_size(payload)
        if self._peer_total is not None:
            raise MalformedMessage(f"{m.SIZE}: the peer has committed to a size before")
        if digest != self._params.digest():
            raise ProtocolError(f"{self._peer} aligns with other parameters (run, agreement, normalisation or minimum "
                                "intersection); both sides must run the same plan")
        if not 1 <= total <= self._params.peer_declared_max:
            raise PolicyRefused("alignment.peer_declared_max", f"{self._peer} brings {total} ids, at most "
                                f"{self._params.peer_declared_max} are declared")
        if min(total, len(self._ids)) < self._params.minimum_intersection:
            raise self._too_few()
        self._peer_total = total
        return [self._next_points() for _ in range(min(_WINDOW, m.chunks(len(self._ids))))]

    def _too_few(self) -> PolicyRefused:
        return PolicyRefused("alignment.minimum_intersection", "the two sides have fewer than "
                             f"{self._params.minimum_intersection} people in common; bring more rows or check that "
                             "both sides use the same kind of identifier")

    def _next_points(self) -> Message:
        index, self._sent = self._sent, self._sent + 1
        rows = self._order[index * m.CHUNK:(index + 1) * m.CHUNK]
        ids = [self._ids[row].encode() for row in rows]
        domain = _DOMAIN + self._params.digest()
        return self._message(m.POINTS, m.encode_chunk(index, hash_and_multiply(ids, domain, self._scalar, self._map)))

    def _take_points(self, payload: bytes) -> list[Message]:
        index = len(self._peer_tags)
        if self._peer_total is None or index >= m.chunks(self._peer_total):
            raise MalformedMessage(f"{m.POINTS}: more points than the peer committed to")
        count = m.chunk_length(self._peer_total, index)
        points = m.decode_chunk(payload, m.POINTS, index, count * POINT_BYTES)
        tags = _tags(multiply_all(points, self._scalar, self._map))
        self._peer_tags.append(tags.tobytes())
        opening = Opening(MEMBERSHIP, self._peer, count)
        return [self._message(m.TAGS, m.encode_chunk(index, tags[:, self.half].tobytes()), opening), *self._finish()]

    def _take_tags(self, payload: bytes) -> list[Message]:
        index = len(self._own_tags)
        if index >= self._sent:
            raise MalformedMessage(f"{m.TAGS}: tags for points that were not sent")
        length = m.chunk_length(len(self._ids), index) * m.TAG_BYTES
        self._own_tags.append(m.decode_chunk(payload, m.TAGS, index, length))
        return [self._next_points()] if self._sent < m.chunks(len(self._ids)) else self._finish()

    def _finish(self) -> list[Message]:
        """When both directions are complete: intersect, forget the secret, tell the digest."""
        done, total = self.progress
        if done < total:
            return []
        self._scalar.erase()
        self._scalar = None
        own = np.frombuffer(b"".join(self._own_tags), np.uint8).reshape(-1, m.TAG_BYTES)
        peers = np.frombuffer(b"".join(self._peer_tags), np.uint8).reshape(-1, 2 * m.TAG_BYTES)
        self._own_tags, self._peer_tags, self._apart = [], [], [0, 0]
        positions, joint_tags = _intersect(own, peers, self.half)
        if len(positions) < self._params.minimum_intersection:
            raise self._too_few()
        self._rows = self._order[positions]
        self._joint = m.encode_joint(len(positions), hashlib.sha256(joint_tags.tobytes()).digest())
        return [self._message(m.JOINT, self._joint)]

    def _take_joint(self, payload: bytes) -> list[Message]:
        if self._joint is None or self._confirmed:
            raise MalformedMessage(f"{m.JOINT}: not due; points or tags are outstanding, or it came before")
        m.decode_joint(payload)
        if payload != self._joint:
            raise ProtocolError(f"{self._peer} found another intersection than this side; run the alignment again")
        self._confirmed = True
        return []

    def new_pieces(self) -> dict[str, bytes]:
        """Tags by chunk: with every snapshot of all tags the bytes written would grow with the square of the table."""
        peers, own = self._apart
        found = {f"peer.{index}": tags for index, tags in enumerate(self._peer_tags[peers:], peers)}
        found |= {f"own.{index}": tags for index, tags in enumerate(self._own_tags[own:], own)}
        self._apart = [len(self._peer_tags), len(self._own_tags)]
        return found

    def snapshot(self) -> bytes:
        """All state but the ids and pieces, the secret included until the last tag: for the vault only."""
        peers, own = self._apart
        return pack({
            "ids": self._digest, "seed": self._seed, "sent": self._sent, "peer_total": self._peer_total,
            "scalar": None if self._scalar is None else self._scalar.to_bytes(),
            "own_tags": b"".join(self._own_tags[own:]), "peer_tags": b"".join(self._peer_tags[peers:]),
            "own_apart": own, "peer_apart": peers, "joint": self._joint, "rows": self._rows,
            "confirmed": self._confirmed,
        })

    def restore(self, state: bytes) -> None:
        """Continue from a snapshot, byte for byte as before. Raises DataError if the ids are not the same."""
        saved = unpack(state)
        self._begin_with(saved["seed"])
        if saved["ids"] != self._digest:
            raise DataError("the ids of the table have changed since the alignment began; start a new run")
        self._scalar = None if saved["scalar"] is None else Scalar(saved["scalar"])
        self._sent, self._peer_total, self._confirmed = saved["sent"], saved["peer_total"], saved["confirmed"]
        self._apart = [saved["peer_apart"], saved["own_apart"]]
        self._own_tags = self._pieces("own", self._apart[1]) + _cut(saved["own_tags"], m.CHUNK * m.TAG_BYTES)
        self._peer_tags = self._pieces("peer", self._apart[0]) + _cut(saved["peer_tags"], m.CHUNK * 2 * m.TAG_BYTES)
        self._joint, self._rows = saved["joint"], saved["rows"]

    def _pieces(self, whose: str, count: int) -> list[bytes]:
        found = [self.pieces(f"{whose}.{index}") for index in range(count)]
        if None in found:
            raise DataError("tags of this alignment that were written before are gone; start a new run")
        return found


def _keyed_digest(seed: bytes, ids: Sequence[str]) -> bytes:
    hashing = hashlib.blake2b(key=seed, digest_size=32)
    for text in ids:
        hashing.update(hashlib.blake2b(text.encode(), digest_size=16).digest())
    return hashing.digest()


def _shuffled(seed: bytes, count: int) -> np.ndarray:
    """int64 (count,): a permutation drawn from an extendable-output function of a secret seed."""
    words = np.frombuffer(hashlib.shake_256(b"sealscore-psi-order" + seed).digest(8 * count), dtype="<u8")
    return np.argsort(words, kind="stable")


def _tags(points: bytes) -> np.ndarray:
    """uint8 (k, 32): a hash of each double-blinded point; the first half is the label party's to send."""
    starts = range(0, len(points), POINT_BYTES)
    digests = (hashlib.blake2b(points[start:start + POINT_BYTES], digest_size=2 * m.TAG_BYTES,
                               person=b"sealscore-psitag").digest() for start in starts)
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 2 * m.TAG_BYTES)


def _cut(joined: bytes, size: int) -> list[bytes]:
    return [joined[start:start + size] for start in range(0, len(joined), size)]


def _other(half: slice) -> slice:
    return slice(m.TAG_BYTES, None) if half.start in (None, 0) else slice(0, m.TAG_BYTES)


def _intersect(own: np.ndarray, peers: np.ndarray, half: slice) -> tuple[np.ndarray, np.ndarray]:
    """(positions in `own` of the tags that both share, their first halves), ordered by first half.

    own: uint8 (n, 16), the half that the peer sends; peers: uint8 (k, 32). A tag that one side has twice means that
    it put one id in twice: ProtocolError.
    """
    keys = _words(np.concatenate([own, peers[:, _other(half)]]))
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    ranked = keys[order]
    equal = np.flatnonzero((ranked[1:] == ranked[:-1]).all(axis=1))
    first, second = np.sort([order[equal], order[equal + 1]], axis=0)
    if (first >= len(own)).any() or (second < len(own)).any() or len(np.unique(first)) != len(first):
        raise ProtocolError("one side put an id into the alignment more than once; ids must be distinct")
    leading = peers[second - len(own)][:, :m.TAG_BYTES]
    words = _words(leading)
    joint = np.lexsort((words[:, 1], words[:, 0]))
    return first[joint], leading[joint]


def _words(tags: np.ndarray) -> np.ndarray:
    """uint64 (n, 2) of uint8 (n, 16), big endian so that they sort like the bytes."""
    return np.ascontiguousarray(tags).view(">u8").astype(np.uint64)
