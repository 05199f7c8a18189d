"""The platform's side: it multiplies its bins with the encrypted labels and learns how many events each bin holds."""
from __future__ import annotations

import numpy as np

from protocols.crypto import product
from protocols.crypto.keys import PeerKeys, public_key_bytes
from protocols.crypto.opening import open_shares
from protocols.crypto.ring import RING
from protocols.errors import MalformedMessage
from protocols.role import Message, Role
from protocols.state import pack, unpack
from protocols.woe import messages as m
from protocols.woe.one_hot import OneHotTiles

_HALF = 1 << (m.SCALE_BITS - 1)


class FeatureWoe(Role):
    """`assigned`: int32 (n, columns), the bin of each training row in joint order, numbered through all columns, -1 for
    a person without columns here; `rows_of`: int (bins,), rows of each bin; `tag`: names the bins, 32 bytes; `noised`:
    whether the plan has the bank add noise."""

    def __init__(self, bank: str, assigned: np.ndarray, rows_of: np.ndarray, tag: bytes, noised: bool):
        self._bank, self._assigned, self._rows_of, self._noised = bank, assigned, np.asarray(rows_of), noised
        self._setup = m.Setup(len(assigned), len(self._rows_of), tag)
        self._share: np.ndarray | None = None
        self._counts: np.ndarray | None = None

    def start(self) -> list[Message]:
        """Say how many rows and bins there are; ConfigError when a run of this size cannot be covered."""
        m.check_flood(self._setup.rows, self._setup.bins)
        return [Message(self._bank, m.SETUP, self._setup.to_bytes())]

    @property
    def expects(self) -> str | None:
        """The bank, until the counts are there."""
        return self._bank if self._counts is None else None

    def handle(self, message: Message) -> list[Message]:
        """Labels, then counts; MalformedMessage for anything else."""
        due = m.LABELS if self._share is None else m.COUNTS
        if self._counts is not None or (message.peer, message.kind) != (self._bank, due):
            raise MalformedMessage(f"woe: got {message.kind} from {message.peer}, which was not due")
        return self._answer(message.payload) if due == m.LABELS else self._take(message.payload)

    def _answer(self, payload: bytes) -> list[Message]:
        expected, keys = m.labels_bytes(self._setup.rows, self._setup.bins), public_key_bytes()
        if len(payload) != expected:
            raise MalformedMessage(f"{m.LABELS}: expected {expected} bytes, got {len(payload)}")
        peer, tiles = PeerKeys.from_bytes(payload[:keys]), OneHotTiles(self._assigned, self._setup.bins)
        reply, self._share = product.answer(tiles, peer, None, payload[keys:], m.CODING)
        return [Message(self._bank, m.REPLY, reply)]

    def _take(self, payload: bytes) -> list[Message]:
        opened = open_shares(m.COUNTS, self._share, RING.from_bytes(payload, self._setup.bins))
        counts = np.array([(value + _HALF) >> m.SCALE_BITS for value in opened.integers()], dtype=np.int64)
        if not self._noised and ((counts < 0) | (counts > self._rows_of)).any():
            raise MalformedMessage(f"{m.COUNTS}: expected counts of events from 0 to the rows of each bin, got others")
        self._counts = counts
        return []

    def result(self) -> np.ndarray | None:
        """int64 (bins,): training rows with label 1 in each bin, with the bank's noise if the plan has any."""
        return self._counts

    def snapshot(self) -> bytes:
        """The own share once the reply is made, then the counts."""
        return pack({"share": None if self._counts is not None else self._share, "counts": self._counts})

    def restore(self, state: bytes) -> None:
        """Take back a snapshot."""
        kept = unpack(state)
        self._share, self._counts = kept["share"], kept["counts"]
