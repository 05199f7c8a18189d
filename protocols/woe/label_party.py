"""The bank's side: it asks the platform for its share of the label sums and opens them to the platform, flooded.

It learns how many bins there are, and nothing else.
"""
from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from protocols.commons.discrete_gaussian import NOISE_SEED_BYTES, Randomness, discrete_gaussian
from protocols.commons.privacy import Variance, noise_variance
from protocols.crypto import product
from protocols.crypto.keys import KeyPair
from protocols.crypto.ring import RING
from protocols.errors import MalformedMessage
from protocols.role import Message, Opening, Role
from protocols.state import pack, unpack
from protocols.woe import messages as m


@dataclass(frozen=True)
class WoeSettings:
    """`columns`: that the platform brings; `rho`: privacy (zCDP) of one label in its counts, 0 for none;
    `minimum_support`: training rows that a bin holds at least."""

    columns: int
    rho: float
    minimum_support: int

    def most_bins(self, rows: int) -> int:
        """Bins that so many rows can fill."""
        return self.columns * max(1, rows // self.minimum_support)

    def variance(self) -> Variance:
        """Of the noise in each count: a label counts in one bin per column, so the squared sensitivity is `columns`."""
        return noise_variance(self.columns, self.rho, 1, "woe_rho")


class LabelWoe(Role):
    """`labels`: int (n,), 0 or 1, training rows in joint order. `permit(bins, tag)` raises PolicyRefused."""

    def __init__(self, platform: str, labels: np.ndarray, settings: WoeSettings, permit: Callable[[int, bytes], None]):
        self._platform, self._labels, self._settings, self._permit = platform, labels, settings, permit
        self._bins = 0
        self._keys: KeyPair | None = None
        self._ended = False
        if settings.rho:
            settings.variance()  # so much noise that it cannot be drawn ends the run before it begins

    def start(self) -> list[Message]:
        """The platform begins."""
        return []

    @property
    def expects(self) -> str | None:
        """The platform, until its reply has come."""
        return None if self._ended else self._platform

    def handle(self, message: Message) -> list[Message]:
        """Setup, then the reply; MalformedMessage for anything else, PolicyRefused if nothing may be opened."""
        due = m.SETUP if self._keys is None else m.REPLY
        if self._ended or (message.peer, message.kind) != (self._platform, due):
            raise MalformedMessage(f"woe: got {message.kind} from {message.peer}, which was not due")
        return [self._ask(message.payload) if due == m.SETUP else self._open(message.payload)]

    def _ask(self, payload: bytes) -> Message:
        setup, rows = m.Setup.from_bytes(payload), len(self._labels)
        if setup.rows != rows:
            raise MalformedMessage(f"{m.SETUP}: expected {rows} training rows at the platform, got {setup.rows}")
        if not 2 <= setup.bins <= self._settings.most_bins(rows):
            raise MalformedMessage(f"{m.SETUP}: expected 2 to {self._settings.most_bins(rows)} bins of "
                                   f"{self._settings.minimum_support} rows each, got {setup.bins}")
        m.check_flood(rows, setup.bins)
        self._permit(setup.bins, setup.tag)
        keys = KeyPair.generate()
        scaled = RING.mul_public(RING.encode(self._labels.astype(np.int64)), 1 << m.SCALE_BITS)
        request = product.ask(keys, scaled, (setup.bins, rows), m.LAYOUT)
        self._bins, self._keys = setup.bins, keys
        return Message(self._platform, m.LABELS, keys.public_bytes() + request)

    def _open(self, payload: bytes) -> Message:
        share = product.finish(self._keys, payload, (self._bins, len(self._labels)), m.LAYOUT, m.CODING)
        if self._settings.rho:
            share = RING.add(share, RING.mul_public(RING.encode(self._noise()), 1 << m.SCALE_BITS))
        flooded = RING.add(share, RING.random_below_bits(self._bins, m.FLOOD_BITS))
        self._keys, self._ended = None, True
        opening = Opening(m.COUNTS, self._platform, self._bins)
        return Message(self._platform, m.COUNTS, RING.to_bytes(flooded), opening)

    def _noise(self) -> np.ndarray:
        """int64 (bins,): drawn once, since the message is kept with the state and never made again."""
        source = Randomness(os.urandom(NOISE_SEED_BYTES), m.COUNTS)
        return discrete_gaussian(source, self._bins, self._settings.variance())

    def result(self) -> int | None:
        """How many counts were opened to the platform."""
        return self._bins if self._ended else None

    def snapshot(self) -> bytes:
        """Bins, and the keys until the reply has come: for the vault only."""
        keys = None if self._keys is None else self._keys.secret_bytes()
        return pack({"bins": self._bins, "ended": self._ended, "keys": keys})

    def restore(self, state: bytes) -> None:
        """Take back a snapshot."""
        kept = unpack(state)
        self._bins, self._ended = kept["bins"], kept["ended"]
        self._keys = None if kept["keys"] is None else KeyPair.from_secret_bytes(kept["keys"])
