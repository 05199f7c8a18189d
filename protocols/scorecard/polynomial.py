"""Strict training with a polynomial for the sigmoid: one bank, one or more platforms.

The power iterations are those of `training.py`, with slopes of the polynomial. A step's residual is p(z) - y on shares:

    deg1   c1 x + c0 - y                            local, no message
    deg3   bank -> lead   square.request, and back square.reply     shares of 2 x_B x_L, hence of u = x², truncated
           bank -> lead   cube.request, and back cube.reply         shares of x_B u_L + u_B x_L, hence of x u, truncated

x is z minus a public constant. Every truncation is of a sum with a fresh product, so its shares are uniform, as
truncation needs; `layout.choose` counts them. The slopes at the bank's own scores serve the step size only.
"""
from __future__ import annotations

from functools import cached_property

import numpy as np

from protocols.crypto import elementwise
from protocols.crypto.fixed_point import to_fixed
from protocols.crypto.ring import RING
from protocols.errors import MalformedMessage
from protocols.role import Message
from protocols.scorecard import layout as fixed
from protocols.scorecard.activation import Polynomial
from protocols.scorecard.feature_party import LeadTrainer
from protocols.scorecard.label_party import LabelTrainer
from protocols.scorecard.training import Trainer, TrainingConfig, even_start


class _Powers(Trainer):
    """What bank and lead do alike with shares of x, u and t = x u: x at SCORE_BITS, u and t at POWER_BITS."""

    @cached_property
    def polynomial(self) -> Polynomial:
        """That of the plan."""
        return Polynomial.of(self._config.activation, self._config.event_rate)

    def _square(self, x: np.ndarray, cross: np.ndarray) -> np.ndarray:
        """Share of u from one's x and one's share of x_B x_L."""
        product = RING.add(RING.mul(x, x), RING.mul_public(cross, 2))
        return self._truncated(product, 2 * fixed.SCORE_BITS - fixed.POWER_BITS)

    def _cube(self, x: np.ndarray, u: np.ndarray, cross: np.ndarray) -> np.ndarray:
        """Share of t from one's x and u and one's share of x_B u_L + u_B x_L."""
        return self._truncated(RING.add(RING.mul(x, u), cross), fixed.SCORE_BITS)

    def _combined(self, x: np.ndarray, higher: tuple[np.ndarray, ...] = ()) -> np.ndarray:
        """Share of p(z) - c0 with the residual's fractional bits; `higher`: u and t for degree 3."""
        bits = self._layout.residual_bits
        total = RING.mul_public(x, self.polynomial.fixed(1, bits - fixed.SCORE_BITS))
        for power, share in enumerate(higher, start=2):
            total = RING.add(total, RING.mul_public(share, self.polynomial.fixed(power, bits - fixed.POWER_BITS)))
        return total


class PolynomialBank(_Powers, LabelTrainer):
    """The bank."""

    def _slope_at(self, anchor: np.ndarray) -> np.ndarray:
        return self.polynomial.slope(anchor)

    def _power_start(self) -> np.ndarray:
        """With one slope for all rows every direction of the whitened block is stretched alike, so none stands out, and
        a single column may be exactly the direction that the platform's start cancels."""
        return even_start(self._own) if self.polynomial.degree == 1 else super()._power_start()

    def _on_forward_reply(self, payload: bytes) -> list[Message]:
        messages = super()._on_forward_reply(payload)
        if self._in_power_pass():
            return messages
        centre = RING.encode(np.full(self._rows(), to_fixed(self.polynomial.centre, fixed.SCORE_BITS)))
        x = RING.sub(self._s.pop("z"), centre)
        if self.polynomial.degree == 1:
            return self._ask_backward(self._residual(self._combined(x)))
        self._await(self._config.lead, "square.reply", x=x)
        return [Message(self._config.lead, "square.request", elementwise.ask(self._keys, x))]

    def _on_square_reply(self, payload: bytes) -> list[Message]:
        x = self._s["x"]
        u = self._square(x, elementwise.finish(self._keys, payload, x.shape[1]))
        self._await(self._config.lead, "cube.reply", u=u)
        request = elementwise.ask(self._keys, x) + elementwise.ask(self._keys, u)
        return [Message(self._config.lead, "cube.request", request)]

    def _on_cube_reply(self, payload: bytes) -> list[Message]:
        x, u = self._s["x"], self._s["u"]
        t = self._cube(x, u, elementwise.finish(self._keys, payload, x.shape[1]))
        del self._s["x"], self._s["u"]
        return self._ask_backward(self._residual(self._combined(x, (u, t))))

    def _residual(self, share: np.ndarray) -> np.ndarray:
        """With what the bank alone adds: c0 - y."""
        offset = self.polynomial.coefficients[0] - self._labels
        return RING.add(share, RING.encode(to_fixed(offset, self._layout.residual_bits)))

    def prepare(self) -> None:
        """What is made ahead serves the power iterations only."""
        if self._in_power_pass():
            super().prepare()


class PolynomialLead(_Powers, LeadTrainer):
    """The first platform. The others do the same whatever the activation is."""

    def _in_power_pass(self) -> bool:
        return self._s["number"] < fixed.POWER_PASSES

    def _ask_residual(self, bank: str, z: np.ndarray) -> list[Message]:
        if self._in_power_pass():
            return super()._ask_residual(bank, z)
        if self.polynomial.degree == 1:
            return self._share_residual(bank, self._combined(z))
        self._await(bank, "square.request", x=z)
        return []

    def _on_square_request(self, payload: bytes) -> list[Message]:
        bank, x = self._bank(), self._s["x"]
        reply, cross = elementwise.answer(self._peer_keys[bank], [(payload, x)])
        self._await(bank, "cube.request", u=self._square(x, cross))
        return [Message(bank, "square.reply", reply)]

    def _on_cube_request(self, payload: bytes) -> list[Message]:
        bank, x, u = self._bank(), self._s["x"], self._s["u"]
        half = elementwise.request_bytes(x.shape[1])
        if len(payload) != 2 * half:
            raise MalformedMessage(f"cube.request: expected {2 * half} bytes, got {len(payload)}")
        terms = [(payload[:half], u), (payload[half:], x)]
        reply, cross = elementwise.answer(self._peer_keys[bank], terms)
        t = self._cube(x, u, cross)
        del self._s["x"], self._s["u"]
        return [Message(bank, "cube.reply", reply), *self._share_residual(bank, self._combined(x, (u, t)))]


def bank_role(config: TrainingConfig) -> type[LabelTrainer]:
    """What the bank is in a training with this activation."""
    return LabelTrainer if config.activation == "anchored" else PolynomialBank


def lead_role(config: TrainingConfig) -> type[LeadTrainer]:
    """What the first platform is."""
    return LeadTrainer if config.activation == "anchored" else PolynomialLead
