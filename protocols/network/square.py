"""The strict layer: U_k is the sum of z + s z² over the units z of number k, s = 1, -1, 1, …; only U is opened.

    bank: keys, shares                                    platform: X, shares
    forward   ── Enc(share of W) ────────────────────▶    shares of z = X W, exact; truncated to 16 bits
    square    ── Enc(own share of z) ────────────────▶    shares of z_B z_P, exact, hence of U; its own flooded
    slope     ── Enc(G, once for each unit) ─────────▶    shares of G z_P, exact, hence of dZ = G (1 + 2 s z), truncated
    backward  ── Enc(own share of dZ) ───────────────▶    Xᵀ dZ, two fresh shares

U is a quadratic form of rank `units` and a linear one of the row, so W needs no second layer. Vectors over units hold
one unit's rows after another's, the units of a number side by side.
"""
from __future__ import annotations

from functools import reduce

import numpy as np

from protocols.crypto.fixed_point import TruncationBudget
from protocols.crypto.ring import RING
from protocols.network.precision import FORWARD_BITS, UNIT_BITS, UNIT_BOUND_BITS
from protocols.network.settings import NetworkSettings
from protocols.scorecard.layout import FEATURE_BITS
from protocols.scorecard.opened import SCALE_BITS


def forward_weights(weights: np.ndarray, bits: int, *, second: bool) -> np.ndarray:
    """A share (2, columns·numbers) with FORWARD_BITS."""
    return RING.truncate(weights, bits - FORWARD_BITS, second=second)


def units(z: np.ndarray, *, second: bool) -> np.ndarray:
    """A share of z at UNIT_BITS from a uniform one of X W."""
    return RING.truncate(z, FEATURE_BITS + FORWARD_BITS - UNIT_BITS, second=second)


def opened_share(z: np.ndarray, cross: np.ndarray, settings: NetworkSettings) -> np.ndarray:
    """A share (2, rows·width) of U at scale 2^104, exact, from one's z and one's share of z_B z_P."""
    squares = RING.add(RING.mul(z, z), RING.mul_public(cross, 2))
    terms = RING.add(RING.mul_public(z, 1 << UNIT_BITS), signed(squares, settings))
    by_number = np.split(terms, settings.width, axis=1)
    sums = [reduce(RING.add, np.split(part, settings.units, axis=1)) for part in by_number]
    return RING.mul_public(np.concatenate(sums, axis=1), 1 << (SCALE_BITS - 2 * UNIT_BITS))


def signed(a: np.ndarray, settings: NetworkSettings) -> np.ndarray:
    """(2, rows·numbers): times s of each unit."""
    parts = np.split(a, settings.numbers, axis=1)
    return np.concatenate([RING.neg(part) if place % settings.units % 2 else part for place, part in
                           enumerate(parts)], axis=1)


def repeated(gradient: np.ndarray, settings: NetworkSettings) -> np.ndarray:
    """G (2, rows·width), each number's rows once for each of its units."""
    parts = np.split(gradient, settings.width, axis=1)
    return np.concatenate([np.tile(part, settings.units) for part in parts], axis=1)


def by_units(cross: np.ndarray, settings: NetworkSettings, gradient: np.ndarray | None = None) -> np.ndarray:
    """A share of dZ with G's fractional bits, from one's share of G z; `gradient`: at the bank, G itself, repeated."""
    total = signed(RING.mul_public(cross, 2), settings)
    if gradient is not None:
        total = RING.add(total, RING.mul_public(gradient, 1 << UNIT_BITS))
    return RING.truncate(total, UNIT_BITS, second=gradient is None)


def check_truncations(rows: int, settings: NetworkSettings) -> None:
    """ProtocolError where the units of so many rows cannot be truncated in one run."""
    TruncationBudget().spend(rows * settings.numbers, UNIT_BOUND_BITS + FEATURE_BITS + FORWARD_BITS)


def in_clear(z: np.ndarray, settings: NetworkSettings) -> np.ndarray:
    """float (rows, numbers) -> U (rows, width)."""
    signs = np.where(np.arange(settings.numbers) % settings.units % 2, -1.0, 1.0)
    return (z + signs * z**2).reshape(len(z), settings.width, settings.units).sum(axis=2)

