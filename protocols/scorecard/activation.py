"""Activations that do not know the bank's scores: fixed polynomials in place of the sigmoid (`deg1`, `deg3`).

    p(z) = c0 + c1 x + c2 x² + c3 x³,      x = z - ln(event_rate / (1 - event_rate))

The coefficients are the least-squares fit of the sigmoid where z is normal around the log odds of the plan's
`event_rate` with deviation SPREAD. Both are public: nothing about the bank's scores follows from them (a fit to the
scores themselves would tell their mean and spread). `deg1` needs no element-wise product, `deg3` two.
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from protocols.scorecard.logistic import sigmoid

ActivationName = Literal["anchored", "deg1", "deg3"]
SPREAD = 1.5  # deviation of z in the fit, in log odds
REACH = 1.0  # the step size is made for slopes up to so far from the bank's own score
_NODES = np.linspace(-8, 8, 1601)


@dataclass(frozen=True)
class Polynomial:
    """`centre` in log odds; `coefficients`: (degree + 1,) of powers of x, lowest first."""

    centre: float
    coefficients: tuple[float, ...]

    @classmethod
    def of(cls, name: ActivationName, event_rate: float) -> Polynomial:
        """The fit for deg1 or deg3; 0 < event_rate < 1."""
        degree, centre = int(name.removeprefix("deg")), math.log(event_rate / (1 - event_rate))
        x = SPREAD * _NODES
        weights = np.exp(-_NODES**2 / 2)
        powers = np.vander(x, degree + 1, increasing=True)
        gram = (powers * weights[:, None]).T @ powers
        fitted = np.linalg.solve(gram, (powers * weights[:, None]).T @ sigmoid(centre + x))
        return cls(centre, tuple(round(float(c), 6) for c in fitted))  # so that all machines get the same

    @property
    def degree(self) -> int:
        """1 or 3."""
        return len(self.coefficients) - 1

    def value(self, z: np.ndarray) -> np.ndarray:
        """What stands for the sigmoid of each score; (n,) -> (n,)."""
        return np.polynomial.polynomial.polyval(z - self.centre, self.coefficients)

    def slope(self, z: np.ndarray) -> np.ndarray:
        """The steepest p' near each score, at most REACH away; (n,) -> (n,)."""
        derivative = np.polynomial.polynomial.polyder(self.coefficients)
        near = [np.polynomial.polynomial.polyval(z - self.centre + step, derivative) for step in (-REACH, 0, REACH)]
        return np.max(near, axis=0)

    def fixed(self, power: int, bits: int) -> int:
        """Coefficient of x^power as an integer with so many fractional bits."""
        return round(self.coefficients[power] * 2.0**bits)
