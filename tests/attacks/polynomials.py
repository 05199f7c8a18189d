"""Arithmetic of the attacks: polynomials modulo X^N + 1, exactly modulo q0, or as real numbers in least squares."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tenseal.sealapi as seal

from protocols.crypto import seal_objects as so
from protocols.crypto.keys import KeyPair
from protocols.crypto.params import DEGREE
from protocols.crypto.ring import RING

_Q = RING.q[0]
_TWIST = np.exp(1j * np.pi * np.arange(DEGREE) / DEGREE)
_FLAG = 48  # of a serialized ciphertext: whether it is transformed


def transformed(words: np.ndarray) -> np.ndarray:
    """(2, N) residues -> their number-theoretic transform modulo q0, (N,)."""
    scheme = so.product_scheme()
    pair = so.ciphertext(scheme, np.stack([words, words]))
    scheme.evaluator.transform_to_ntt_inplace(pair)
    return so.ciphertext_words(pair, 2)[0, 0]


def centred(transform: np.ndarray) -> np.ndarray:
    """Inverse of `transformed`: coefficients modulo q0, centred, int64 (N,)."""
    scheme = so.product_scheme()
    both = np.stack([transform, transform]).astype(np.uint64)
    data = so.ciphertext_bytes(scheme.data_id, np.stack([both, both]))
    loaded = so.load(seal.Ciphertext(), scheme.context, data[:_FLAG] + b"\1" + data[_FLAG + 1 :])
    scheme.evaluator.transform_from_ntt_inplace(loaded)
    values = so.ciphertext_words(loaded, 2)[0, 0].astype(np.int64)
    return np.where(values > _Q // 2, values - _Q, values)


def quotient(dividend: np.ndarray, divisor: np.ndarray) -> np.ndarray:
    """dividend / divisor modulo q0, centred, int64 (N,); both (2, N) residues."""
    return centred(_divided(transformed(dividend), transformed(divisor)))


def _divided(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    pairs = zip(above.tolist(), below.tolist(), strict=True)
    return np.array([a * pow(b, -1, _Q) % _Q for a, b in pairs], np.uint64)


def transformed_quotient(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """The same of two polynomials modulo q0 that are transformed already, (N,) each."""
    return centred(_divided(above, below))


def secret_of(keys: KeyPair) -> np.ndarray:
    """The truth that an attack is measured by: ternary coefficients of the product key, int64 (N,)."""
    return centred(keys._secrets[0][0])


class Hints:
    """Rows `places[k]` of polynomials[k] · x for an unknown polynomial x, as a linear map and its transpose."""

    def __init__(self, polynomials: Sequence[np.ndarray], places: Sequence[np.ndarray]):
        self._factors = [np.fft.fft(polynomial * _TWIST) for polynomial in polynomials]
        self._places = list(places)

    def __call__(self, x: np.ndarray) -> list[np.ndarray]:
        spectrum = np.fft.fft(x * _TWIST)
        return [np.real(np.fft.ifft(factor * spectrum) * np.conj(_TWIST))[places]
                for factor, places in zip(self._factors, self._places, strict=True)]

    def transpose(self, values: Sequence[np.ndarray]) -> np.ndarray:
        total = np.zeros(DEGREE, complex)
        for factor, places, value in zip(self._factors, self._places, values, strict=True):
            full = np.zeros(DEGREE)
            full[places] = value
            total += np.conj(factor) * np.fft.fft(full * _TWIST)
        return np.real(np.fft.ifft(total) * np.conj(_TWIST))

    def solve(self, values: Sequence[np.ndarray], ridge: float, steps: int = 300) -> np.ndarray:
        """The x with the least Σ (hint - value)² + ridge·x², float (N,), by conjugate gradients."""
        rest = self.transpose(values)
        x, direction, size, first = np.zeros(DEGREE), rest.copy(), rest @ rest, rest @ rest
        for _ in range(steps):
            turned = self.transpose(self(direction)) + ridge * direction
            length = size / (direction @ turned)
            x, rest = x + length * direction, rest - length * turned
            size, before = rest @ rest, size
            if size < 1e-14 * first:
                break
            direction = rest + size / before * direction
        return x
