"""Simulators: one party's view of a strict training, made from its own input and its own output alone.

A simulator runs the party's own role and answers it in all peers' names: public keys that it draws itself, encryptions
of random numbers under them, uniform numbers where a share, a masked reply or a sum of such is due, and at the end the
message that opens to the given output. It never sees a peer's table. What sizes need (rows, columns, steps) is public.
The hub's view of what it adds is simulated by `uniform_sum` alone: it has neither input nor output.
"""
from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from protocols.crypto import elementwise, product, summed_product
from protocols.crypto.aggregate import add
from protocols.crypto.keys import KeyPair
from protocols.crypto.layout import LayoutName
from protocols.crypto.params import DEGREE, SLOT_REPLY_PRIMES
from protocols.crypto.product import ReplyCoding
from protocols.crypto.ring import RING, Ring
from protocols.crypto.summed_product import SEED_BYTES, Seed
from protocols.role import Message
from protocols.scorecard.label_party import SCALE
from protocols.scorecard.training import BACKWARD, FORWARD, LAYOUT, SETUP, Coefficients, Trainer

View = list[tuple[str, bytes]]  # (kind, payload) of every message that came, in order


@dataclass
class Simulator:
    """`role`: the party's, on its own input, not started. `keys`: drawn for all peers. `bank_columns`, `widths`: of the
    banks' block and of each platform, the lead first. `output`: what the party is to end with; `norms`: the two numbers
    opened to the speaker of the banks; `scales`: what the other banks tell a bank of theirs."""

    role: Trainer
    keys: KeyPair
    bank_columns: int
    widths: Sequence[int]
    output: Coefficients
    norms: np.ndarray | None = None
    scales: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def run(self) -> View:
        """The whole view."""
        view: View = []
        self.role.start()
        while self.role.result() is None:
            sender, kind = self.role._s["from"], self.role._s["expect"]
            payload = getattr(self, "_" + kind.replace(".", "_"))(sender)
            view.append((kind, payload))
            self.role.handle(Message(sender, kind, payload))
        return view

    @property
    def _config(self):
        return self.role._config

    def _request(self, shape: tuple[int, int], layout: LayoutName = LAYOUT) -> bytes:
        return product.ask(self.keys, RING.random(shape[1]), shape, layout)

    def _keys(self, sender: str) -> bytes:
        return self.keys.public_bytes()

    def _step_size(self, sender: str) -> bytes:
        return struct.pack("<b", self.output.grid)

    def _coefficients(self, sender: str) -> bytes:
        """What opens, beside the share that the role holds, to the given coefficients."""
        kept = self.role._released()
        units = self.output.own / self.role._in_own_units(np.ones(len(kept)))
        scaled = [int(value) for value in np.rint(units * 2.0**self.role._layout.weight_bits)]
        return RING.to_bytes(RING.sub(RING.encode_ints(scaled), self.role._s["w_own"][:, kept]))


class BankSimulator(Simulator):
    """A bank's view, alone or among several, of one platform or of the sum over several."""

    @property
    def _rows(self) -> int:
        return self.role._rows()

    def _width(self, platform: str) -> int:
        return self.widths[self._config.platforms.index(platform)]

    def _scale(self, bank: str) -> bytes:
        return SCALE.pack(*self.scales[bank])

    def _setup(self, platform: str) -> bytes:
        rows = len(self.role._given)
        told = SETUP.pack(rows, self.output.rows, self._width(platform))
        if platform != self._config.lead:
            return told
        return told + (os.urandom(2 * SEED_BYTES) if self._config.several else self.keys.public_bytes())

    def _init(self, platform: str) -> bytes:
        return uniform(2 * self._width(platform))

    def _forward_request(self, lead: str) -> bytes:
        return self._request((self._rows, self.bank_columns))

    def _residual_request(self, lead: str) -> bytes:
        return elementwise.ask(self.keys, RING.random(self._rows))

    def _backward_request(self, lead: str) -> bytes:
        return self._request((self.bank_columns, self._rows), self.role._banks_layout())

    def _forward_reply(self, sender: str) -> bytes:
        return self._reply("forward", self.role._forward_shape(), FORWARD)

    def _backward_reply(self, sender: str) -> bytes:
        return self._reply("backward", self.role._backward_shape(), BACKWARD)

    def _reply(self, kind: str, shape: tuple[int, int], coding: ReplyCoding) -> bytes:
        if not self._config.summed:
            return uniform_reply(shape, coding)
        label = self.role._label(kind, self._config.party)
        pads = [self.role._pad_seed(index).expand(label, 1) for index in range(len(self.widths))]
        return uniform_sum(shape, LAYOUT, coding, Seed(self.role._s["point"]), pads)

    def _norms_reply(self, platform: str) -> bytes:
        """Uniform, and a share: all together, the last one's make the sum open to the given norms."""
        index = self._config.platforms.index(platform)
        vectors = self.role._norm_vectors(index)
        reply = uniform_slots(vectors.shape[1])
        if index + 1 < len(self.widths):
            return reply + uniform(2)
        cross = elementwise.finish(self.role._keys, reply, vectors.shape[1])
        held = RING.add(self.role._s["norms"], self.role._squares(vectors, cross))
        return reply + RING.to_bytes(RING.sub(RING.encode_ints([int(norm) for norm in self.norms]), held))


class PlatformSimulator(Simulator):
    """The view of a platform, the lead or another, of one bank or several."""

    def _rows(self, bank: str) -> int:
        return self.role._pass_rows(bank)

    def _setup(self, bank: str) -> bytes:
        told = SETUP.pack(len(self.role._matrices[bank]), self.output.rows, self.bank_columns)
        rest = os.urandom(2 * SEED_BYTES) if self._config.summed else self.keys.public_bytes()
        return told + np.array(self.widths, "<u4").tobytes() + rest

    def _seed(self, lead: str) -> bytes:
        return os.urandom(SEED_BYTES)

    def _init(self, bank: str) -> bytes:
        return uniform(2 * self.bank_columns)

    def _forward_request(self, bank: str) -> bytes:
        return self._request((self._rows(bank), max(self.widths)))

    def _forward_reply(self, bank: str) -> bytes:
        return uniform_reply((self._rows(bank), self.bank_columns), FORWARD)

    def _residual_reply(self, bank: str) -> bytes:
        return uniform_slots(self._rows(bank))

    def _residual_share(self, lead: str) -> bytes:
        return uniform(self._rows(self.role._due_residual()))

    def _backward_request(self, bank: str) -> bytes:
        return self._request((sum(self.widths), self._rows(bank)))

    def _backward_reply(self, sender: str) -> bytes:
        """Of the only bank, or the sum over several."""
        shape = self.bank_columns, self._rows(self._config.speaker)
        if not self._config.several:
            return uniform_reply(shape, BACKWARD)
        seeds = dict(zip(self._config.banks, self.role._unjoined("common.pads"), strict=True))
        pads = [seeds[bank].expand(self.role._label("common"), 1) for bank in self.role.summands]
        return uniform_sum(shape, self.role._banks_layout(), BACKWARD, Seed(self.role._s["common.point"]), pads)

    def _gradient_share(self, bank: str) -> bytes:
        return uniform(self.role._own)

    def _norms_request(self, bank: str) -> bytes:
        return elementwise.ask(self.keys, RING.random(self.role._norm_vectors().shape[1]))


# ---------------------------------------------------------------- uniform payloads


def uniform(n: int) -> bytes:
    """n ring elements."""
    return RING.to_bytes(RING.random(n))


def uniform_reply(shape: tuple[int, int], coding: ReplyCoding) -> bytes:
    """A product's reply of uniform residues."""
    parts = [product._encode(words, coding) for words in _uniform_polynomials(shape, LAYOUT)]
    return b"".join([coding.tag, *parts])


def uniform_sum(
    shape: tuple[int, int], layout: LayoutName, coding: ReplyCoding, point: Seed, pads: Sequence[np.ndarray]
) -> bytes:
    """The hub's sum of as many uniform summands as there are pads, with the check that the receiver knows."""
    total = None
    for pad in pads:
        words = summed_product._to_words(np.concatenate(_uniform_polynomials(shape, layout), axis=1), coding)
        check = RING.add(summed_product._polynomial(words, point), pad).astype("<u8")
        parts = [summed_product._tag(coding), check.tobytes(), *(word.tobytes() for word in words)]
        total = add(total, b"".join(parts))
    return bytes(total)


def _uniform_polynomials(shape: tuple[int, int], layout: LayoutName) -> list[np.ndarray]:
    """c1 and the wanted coefficients of c0 of every reply."""
    plan = product.layout_of(shape, layout)
    return [RING.random(count) for block in range(plan.replies)
            for count in (DEGREE, plan.block(block).stop - plan.block(block).start)]


def uniform_slots(n: int) -> bytes:
    """An element-wise reply of uniform residues."""
    ring = Ring(SLOT_REPLY_PRIMES)
    blocks = (elementwise._encode(np.stack([ring.random(DEGREE), ring.random(DEGREE)]))
              for _ in range(2 * elementwise.blocks(n)))
    return b"".join([elementwise._REPLY_TAG, *blocks])
