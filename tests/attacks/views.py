"""Simulators: one party's view of a strict training, made from its own input and its own output alone.

A simulator runs the party's own role and answers it in the peer's name: public keys that it draws itself, encryptions
of random numbers under them, uniform numbers where a share or a masked reply is due, and at the end the message that
opens to the given output. It never sees the peer's table. What `sizes` need (rows, columns, steps) is public.
"""
from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from protocols.crypto import elementwise, product
from protocols.crypto.keys import KeyPair
from protocols.crypto.params import DEGREE, SLOT_REPLY_PRIMES
from protocols.crypto.product import ReplyCoding
from protocols.crypto.ring import RING, Ring
from protocols.role import Message
from protocols.scorecard.training import BACKWARD, FORWARD, LAYOUT, SETUP, Coefficients, Trainer

View = list[tuple[str, bytes]]  # (kind, payload) of every message that came, in order


@dataclass
class Simulator:
    """`role`: the party's, on its own input, not started. `peer_columns`: how many the peer announces. `output`: what
    the party is to end with; `norms`: the two numbers opened to the bank."""

    role: Trainer
    peer: str
    keys: KeyPair
    peer_columns: int
    output: Coefficients
    norms: np.ndarray | None = None

    def run(self) -> View:
        """The whole view."""
        view: View = []
        self.role.start()
        while self.role.result() is None:
            kind = self.role._s["expect"]
            payload = self._forged()[kind]()
            view.append((kind, payload))
            self.role.handle(Message(self.peer, kind, payload))
        return view

    def _forged(self) -> dict[str, Callable[[], bytes]]:
        return {
            "setup": self._setup, "init": self._init,
            "forward.request": lambda: self._request(self._forward_shape(self._own)),
            "forward.reply": lambda: uniform_reply(self._forward_shape(self.peer_columns), FORWARD),
            "residual.request": lambda: elementwise.ask(self.keys, RING.random(self._rows)),
            "residual.reply": lambda: uniform_slots(self._rows),
            "backward.request": lambda: self._request(self._forward_shape(self._own)[::-1]),
            "backward.reply": lambda: uniform_reply(self._forward_shape(self.peer_columns)[::-1], BACKWARD),
            "norms.request": lambda: elementwise.ask(self.keys, RING.random(2 * (self._own + self.peer_columns))),
            "norms.reply": self._norms_reply,
            "step.size": lambda: struct.pack("<b", self.output.grid),
            "coefficients": self._coefficients,
        }

    @property
    def _own(self) -> int:
        return self.role._own

    @property
    def _rows(self) -> int:
        return self.role._pass_rows("bank")

    def _forward_shape(self, columns: int) -> tuple[int, int]:
        return self._rows, columns

    def _setup(self) -> bytes:
        rows = self.output.rows
        widths = b"" if self.role.party_first else np.array([self._own], "<u4").tobytes()
        return SETUP.pack(rows, rows, self.peer_columns) + widths + self.keys.public_bytes()

    def _init(self) -> bytes:
        columns = self.peer_columns
        return RING.to_bytes(RING.random(columns)) + RING.to_bytes(RING.random(columns))

    def _request(self, shape: tuple[int, int]) -> bytes:
        return product.ask(self.keys, RING.random(shape[1]), shape, LAYOUT)

    def _norms_reply(self) -> bytes:
        """Uniform, and the share that opens to the given norms."""
        vectors = self.role._norm_vectors(0)
        reply = uniform_slots(vectors.shape[1])
        cross = elementwise.finish(self.role._keys, reply, vectors.shape[1])
        held = self.role._squares(vectors, cross)
        return reply + RING.to_bytes(RING.sub(RING.encode_ints([int(norm) for norm in self.norms]), held))

    def _coefficients(self) -> bytes:
        scaled = [int(value) for value in np.rint(self.output.own * 2.0**self.role._layout.weight_bits)]
        return RING.to_bytes(RING.sub(RING.encode_ints(scaled), self.role._s["w_own"]))


def uniform_reply(shape: tuple[int, int], coding: ReplyCoding) -> bytes:
    """A product's reply of uniform residues."""
    plan = product.layout_of(shape, LAYOUT)
    parts = [coding.tag]
    for block in range(plan.replies):
        for count in (DEGREE, plan.block(block).stop - plan.block(block).start):
            parts.append(product._encode(RING.random(count), coding))
    return b"".join(parts)


def uniform_slots(n: int) -> bytes:
    """An element-wise reply of uniform residues."""
    ring = Ring(SLOT_REPLY_PRIMES)
    blocks = (elementwise._encode(np.stack([ring.random(DEGREE), ring.random(DEGREE)]))
              for _ in range(2 * elementwise.blocks(n)))
    return b"".join([elementwise._REPLY_TAG, *blocks])
