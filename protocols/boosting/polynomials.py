"""Products in Z_Q[x]/(x^8192 + 1) and modulo q = p0·p1, by SEAL's transforms.

SEAL's ciphertexts only carry polynomials here, two at a time: nothing is encrypted by SEAL. Words are uint64 residues,
(polynomials, primes, 8192); the number of primes, 2 or 4, says which ring.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import tenseal.sealapi as seal

from protocols.boosting.parameters import KEY_DEGREE, PRIMES
from protocols.crypto import seal_objects as so
from protocols.crypto.ring import WORD, Array, subtract_once

_UNUSED_PRIME = 0x3fff4001
"""SEAL sets a last prime aside for key switching, which is not done here: no polynomial has residues modulo it."""
_IGNORED_PLAIN_MODULUS = 2


@dataclass(frozen=True)
class Level:
    """A ring as SEAL knows it."""

    context: seal.SEALContext
    evaluator: seal.Evaluator
    data_id: so.Identifier
    primes: tuple[int, ...]


@cache
def level(primes: int) -> Level:
    """Of 2 or 4 primes."""
    context = _context()
    data = context.first_context_data()
    while len(data.parms().coeff_modulus()) > primes:
        data = data.next_context_data()
    return Level(context, seal.Evaluator(context), tuple(data.parms_id()), PRIMES[:primes])


@cache
def _context() -> seal.SEALContext:
    settings = seal.EncryptionParameters(seal.SCHEME_TYPE.BFV)
    settings.set_poly_modulus_degree(KEY_DEGREE)
    wanted = (*PRIMES, _UNUSED_PRIME)
    primes = seal.CoeffModulus.Create(KEY_DEGREE, [prime.bit_length() for prime in wanted])
    if tuple(prime.value() for prime in primes) != wanted:
        raise RuntimeError("SEAL chose other primes than this version states; install tenseal 0.3.18")
    settings.set_coeff_modulus(primes)
    settings.set_plain_modulus(_IGNORED_PLAIN_MODULUS)
    # parameters.check compares the modulus with the standard's table; SEAL would count the unused prime in
    context = seal.SEALContext(settings, True, seal.SEC_LEVEL_TYPE.NONE)
    if not context.parameters_set():
        raise RuntimeError(f"SEAL refuses the ring of the histograms: {context.parameters_error_name()}")
    return context


class Pair:
    """Two polynomials, (2, primes, 8192), made ready to be multiplied by many.

    SEAL refuses a ciphertext whose second polynomial is zero, as that of an empty bin is: 1 is added to it here, and
    the factor is taken off the product again (`summed`), for every pair alike.
    """

    def __init__(self, words: Array):
        self.level = level(words.shape[1])
        primes, held = np.array(self.level.primes, dtype=WORD), words.copy()
        held[1, :, 0] = subtract_once(held[1, :, 0] + WORD(1), primes)
        self.held = so.load(seal.Ciphertext(), self.level.context, so.ciphertext_bytes(self.level.data_id, held))
        self.level.evaluator.transform_to_ntt_inplace(self.held)


class Factor:
    """One polynomial, (primes, 8192), made ready to multiply many."""

    def __init__(self, words: Array):
        self.level, self.words = level(len(words)), words
        transformed = so.ciphertext_words(Pair(np.stack([words, words])).held, len(words))[0]
        self.held = so.plaintext(self.level, transformed.ravel(), self.level.data_id)

    def times(self, words: Array) -> Array:
        """Its products with polynomials (any number, primes, 8192)."""
        return np.concatenate([summed([(Pair(pair), self)]) for pair in pairs(words)])[:len(words)]


def summed(terms: Iterable[tuple[Pair, Factor]]) -> Array:
    """(2, primes, 8192): the sum of the products of all terms, of which there is at least one."""
    total, added = None, WORD(0)
    for pair, factor in terms:
        product, ring = seal.Ciphertext(), factor.level
        primes = np.array(ring.primes, dtype=WORD)[:, None]
        added = subtract_once(added + factor.words, primes)
        ring.evaluator.multiply_plain(pair.held, factor.held, product)
        if total is None:
            total = product
        else:
            ring.evaluator.add_inplace(total, product)
    ring.evaluator.transform_from_ntt_inplace(total)
    words = so.ciphertext_words(total, len(ring.primes)).copy()
    words[1] = subtract_once(words[1] + (primes - added), primes)
    return words


def pairs(words: Array) -> Iterator[Array]:
    """Two at a time; a last single one goes twice."""
    for at in range(0, len(words), 2):
        pair = words[at:at + 2]
        yield pair if len(pair) == 2 else np.concatenate([pair, pair])


def spread(words: Array) -> Array:
    """Polynomials of degree 4096 in y as ones of degree 8192 in x with y = x^2: (…, 4096) -> (…, 8192)."""
    made = np.zeros((*words.shape[:-1], KEY_DEGREE), WORD)
    made[..., ::2] = words
    return made


def interleaved(even: Array, odd: Array) -> Array:
    """Two polynomials in y in one in x: even(x^2) + x·odd(x^2); its product with a `spread` one holds both products."""
    made = np.empty((*even.shape[:-1], KEY_DEGREE), WORD)
    made[..., ::2], made[..., 1::2] = even, odd
    return made


def signed(values: Array, primes: tuple[int, ...] = PRIMES) -> Array:
    """Small signed integers (…, n) as residues (…, primes, n)."""
    return np.stack([np.mod(values.astype(np.int64), np.int64(prime)).astype(WORD) for prime in primes], axis=-2)

