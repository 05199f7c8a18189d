"""The discrete Gaussian, sampled exactly: Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy",
NeurIPS 2020, algorithms 1 to 3, on whole arrays.

No floating point takes part: every decision compares a uniform integer with an integer. The randomness is SHAKE-256 of
a secret seed, so that the same state gives the same noise and nothing can be averaged out by asking again.
"""
from __future__ import annotations

import hashlib
import math
from typing import NoReturn

import numpy as np

from protocols.commons.privacy import Variance
from protocols.crypto.ring import WORD

NOISE_SEED_BYTES = 32
_LARGEST = 2**31  # of |y|·q·t below, whose square must fit an int64
_SPARE = 2.2  # proposals per number wanted; about half of them are accepted


class Randomness:
    """Words that follow from `seed` and `label`, uniform to whoever does not know the seed. Prints as REDACTED."""

    def __init__(self, seed: bytes, label: str):
        if len(seed) != NOISE_SEED_BYTES:
            raise ValueError(f"expected a seed of {NOISE_SEED_BYTES} bytes, got {len(seed)}")
        self._key = b"sealscore-noise-1" + seed + label.encode()
        self._counter = 0

    def words(self, n: int) -> np.ndarray:
        """(n,) uint64, the next n."""
        stream = hashlib.shake_256(self._key + self._counter.to_bytes(8, "big")).digest(8 * n)
        self._counter += 1
        return np.frombuffer(stream, "<u8").astype(WORD)

    def below(self, bounds: np.ndarray) -> np.ndarray:
        """Uniform integers, result[i] in [0, bounds[i]); `bounds`: uint64 (n,), none of them 0."""
        out, left = np.zeros(len(bounds), WORD), np.arange(len(bounds))
        while len(left):
            words, bound = self.words(len(left)), bounds[left]
            fair = words < (WORD(2**64 - 1) // bound) * bound
            out[left[fair]] = words[fair] % bound[fair]
            left = left[~fair]
        return out

    def __repr__(self) -> str:
        return "Randomness(REDACTED)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("randomness cannot be pickled")


def discrete_gaussian(source: Randomness, n: int, variance: Variance) -> np.ndarray:
    """int64 (n,): independent, P(y) proportional to exp(-y²/(2·variance)); algorithm 3.

    Proposals beyond 31 deviations, which would be accepted with probability below exp(-450), are rejected unseen.
    """
    p, q = variance.numerator, variance.denominator
    t = math.isqrt(p // q) + 1
    found: list[np.ndarray] = []
    while (missing := n - sum(map(len, found))) > 0:
        proposed = _discrete_laplace(source, int(missing * _SPARE) + 32, t)
        proposed = proposed[np.abs(proposed) <= _LARGEST // (q * t)]
        numerators = (np.abs(proposed) * (q * t) - p) ** 2
        found.append(proposed[_with_probability_exp(source, numerators, 2 * p * q * t * t)])
    return np.concatenate([np.zeros(0, np.int64), *found])[:n]


def _discrete_laplace(source: Randomness, n: int, t: int) -> np.ndarray:
    """int64 (at most n,): P(y) proportional to exp(-|y|/t); algorithm 2 with s = 1."""
    low = source.below(np.full(n, t, WORD))
    low = low[_flips(source, low, np.full(n, t, WORD))].astype(np.int64)
    size = low + t * _successes(source, len(low))
    negative = (source.words(len(size)) & WORD(1)).astype(bool)
    return np.where(negative, -size, size)[~(negative & (size == 0))]


def _successes(source: Randomness, n: int) -> np.ndarray:
    """int64 (n,): how often a coin of probability exp(-1) falls well before it fails."""
    count, left = np.zeros(n, np.int64), np.arange(n)
    while len(left):
        left = left[_flips(source, np.ones(len(left), WORD), np.ones(len(left), WORD))]
        count[left] += 1
    return count


def _with_probability_exp(source: Randomness, numerators: np.ndarray, denominator: int) -> np.ndarray:
    """bool (n,): True with probability exp(-numerator/denominator), whatever its size; algorithm 1."""
    whole = numerators // denominator
    rest = (numerators % denominator).astype(WORD)
    left = np.flatnonzero(_flips(source, rest, np.full(len(rest), denominator, WORD)))
    result = np.zeros(len(numerators), bool)
    while len(left):
        done = whole[left] == 0
        result[left[done]] = True
        left = left[~done]
        whole[left] -= 1
        left = left[_flips(source, np.ones(len(left), WORD), np.ones(len(left), WORD))]
    return result


def _flips(source: Randomness, numerators: np.ndarray, denominators: np.ndarray) -> np.ndarray:
    """bool (n,): True with probability exp(-numerator/denominator), at most 1 each; algorithm 1, first case."""
    result, left, step = np.zeros(len(numerators), bool), np.arange(len(numerators)), 1
    while len(left):
        on = source.below(denominators[left] * WORD(step)) < numerators[left]
        result[left[~on]] = step % 2 == 1
        left, step = left[on], step + 1
    return result
