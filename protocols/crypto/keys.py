"""Key pairs: one secret per scheme, and what the peer receives of it.

The public part holds, per key, only c0 and the 64-byte seed of c1. The receiver expands every c1 itself with SEAL's
BLAKE2Xb generator: a peer cannot choose c1 = 0 or any other structure, the attack that read matrices from replies
(README.md, "Why everything is seeded").
"""
from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property

import numpy as np
import tenseal.sealapi as seal

from protocols.crypto import seal_objects as so
from protocols.crypto.params import DEGREE, TAG_BYTES, wire_tag
from protocols.crypto.ring import Array
from protocols.errors import MalformedMessage

GALOIS_ELEMENTS = tuple((1 << level) + 1 for level in range(1, DEGREE.bit_length()))
"""x -> x^e for e = 2^l + 1, l = 1 … log2 N: all that packing and expansion need."""

_PUBLIC_TAG, _SECRET_TAG = wire_tag("public keys"), wire_tag("secret keys")


def _schemes() -> tuple[so.Scheme, so.Scheme, so.Scheme]:
    return (so.product_scheme(), *so.slot_schemes())


def _part_schemes() -> list[so.Scheme]:
    """Scheme of each seeded part of the public bytes, in order: product key, Galois keys, slot keys."""
    product, *slots = _schemes()
    components = len(product.parameters.data_primes)
    return [product] * (1 + components * len(GALOIS_ELEMENTS)) + slots


def _part_bytes(scheme: so.Scheme) -> int:
    return so.SEED_BYTES + DEGREE * sum(so.residue_widths(scheme.parameters.primes))


def public_key_bytes() -> int:
    """Exact length of `KeyPair.public_bytes()`."""
    return TAG_BYTES + sum(_part_bytes(scheme) for scheme in _part_schemes())


def _secret_bytes(scheme: so.Scheme) -> int:
    return DEGREE * sum(so.residue_widths(scheme.parameters.primes))


def _encode_part(scheme: so.Scheme, part: so.SeededPart) -> bytes:
    return part[1] + so.pack_residues(part[0], scheme.parameters.primes)


def _decode_parts(body: memoryview) -> Iterator[so.SeededPart]:
    at = 0
    for scheme in _part_schemes():
        seed, end = bytes(body[at : at + so.SEED_BYTES]), at + _part_bytes(scheme)
        yield so.unpack_residues(body[at + so.SEED_BYTES : end], scheme.parameters.primes, DEGREE), seed
        at = end


class KeyPair:
    """Secret keys of one party for one run. Never printed, copied or pickled."""

    def __init__(self, secrets: tuple[Array, Array, Array], public: bytes):
        self._secrets, self._public = secrets, public
        product, *slots = _schemes()
        keys = [so.secret_key(s.context, s.key_id, words) for s, words in zip(_schemes(), secrets, strict=True)]
        data_primes = len(product.parameters.data_primes)
        self.encryptor = seal.Encryptor(product.context, keys[0])
        self.transformed_secret = so.plaintext(product, secrets[0][:data_primes], product.data_id)
        self.slot_encryptors = [seal.Encryptor(s.context, key) for s, key in zip(slots, keys[1:], strict=True)]
        self.slot_decryptors = [seal.Decryptor(s.context, key) for s, key in zip(slots, keys[1:], strict=True)]
        self._stock: list[so.SeededPart] = []

    @classmethod
    def generate(cls) -> KeyPair:
        """Fresh keys from the operating system's generator (SEAL seeds itself from it); 0.4 s."""
        generators = [seal.KeyGenerator(scheme.context) for scheme in _schemes()]
        secrets = tuple(
            so.secret_key_words(generator.secret_key(), len(scheme.parameters.primes))
            for scheme, generator in zip(_schemes(), generators, strict=True)
        )
        publics = [so.seeded_public_key(s, words) for s, words in zip(_schemes(), secrets, strict=True)]
        parts = [publics[0], *so.seeded_galois_keys(_schemes()[0], generators[0], GALOIS_ELEMENTS), *publics[1:]]
        encoded = [_encode_part(scheme, part) for scheme, part in zip(_part_schemes(), parts, strict=True)]
        return cls(secrets, b"".join([_PUBLIC_TAG, *encoded]))

    def public_bytes(self) -> bytes:
        """What the peer gets: seeds and first polynomials of all public and Galois keys (5.8 MB), always the same."""
        return self._public

    @cached_property
    def turned_secret(self) -> Array:
        """The secret polynomial s of the matrix product as -s_0 … -s_(N-1), s_0 … s_(N-1), float64 (2N,): for single
        coefficients of a product with s."""
        product = so.product_scheme()
        words = self._secrets[0][: len(product.parameters.data_primes)]
        pair = so.ciphertext(product, np.stack([words, words]), ntt=True)
        product.evaluator.transform_from_ntt_inplace(pair)
        first = so.ciphertext_words(pair, len(words))[0, 0]
        secret = np.where(first > 1, -1.0, first.astype(np.float64))
        return np.concatenate([-secret, secret])

    def seeded_zero(self) -> so.SeededPart:
        """A new encryption of zero at data level, (c0 words, seed of c1), never handed out twice."""
        return self._stock.pop() if self._stock else self._new_zero()

    def _new_zero(self) -> so.SeededPart:
        return so.split_seeded(so.save(self.encryptor.encrypt_zero_symmetric()), 2)

    def stock(self, count: int) -> None:
        """Make zeros ahead, while there is nothing else to do, until `count` are there. They live in memory only."""
        while len(self._stock) < count:
            self._stock.append(self._new_zero())

    def secret_bytes(self) -> bytes:
        """For the vault only: the secret keys and the public bytes."""
        rows = [so.pack_residues(w, s.parameters.primes) for s, w in zip(_schemes(), self._secrets, strict=True)]
        return b"".join([_SECRET_TAG, *rows, self._public])

    @classmethod
    def from_secret_bytes(cls, data: bytes) -> KeyPair:
        """Inverse of `secret_bytes`; MalformedMessage when the vault holds something else."""
        expected = TAG_BYTES + sum(_secret_bytes(s) for s in _schemes()) + public_key_bytes()
        body, secrets, at = so.require_length(data, expected, _SECRET_TAG, "secret keys"), [], 0
        for scheme in _schemes():
            end = at + _secret_bytes(scheme)
            secrets.append(so.unpack_residues(body[at:end], scheme.parameters.primes, DEGREE))
            at = end
        public = bytes(body[at:])
        so.require_length(public, public_key_bytes(), _PUBLIC_TAG, "public keys")
        return cls(tuple(secrets), public)

    def __repr__(self) -> str:
        return "KeyPair(REDACTED)"

    def __reduce__(self):
        raise TypeError("a KeyPair is neither pickled nor copied; use secret_bytes() and the vault")


class PeerKeys:
    """The peer's public keys, expanded and checked."""

    def __init__(self, parts: list[so.SeededPart], digest: str):
        product, *slots = _schemes()
        self.digest = digest
        self._stock: list[seal.Ciphertext] = []
        self.encryptor = seal.Encryptor(product.context, so.public_key(product, *parts[0]))
        self.galois = so.galois_keys(product, GALOIS_ELEMENTS, parts[1:-2])
        self.slot_encryptors = [
            seal.Encryptor(scheme.context, so.public_key(scheme, *part))
            for scheme, part in zip(slots, parts[-2:], strict=True)
        ]

    @classmethod
    def from_bytes(cls, data: bytes) -> PeerKeys:
        """Strict inverse of `KeyPair.public_bytes`.

        MalformedMessage on another length, tag or parameter set, a residue that is not below its prime, a first
        polynomial that is zero, or a seed used twice.
        """
        parts = list(_decode_parts(so.require_length(data, public_key_bytes(), _PUBLIC_TAG, "public keys")))
        if any(not words.any() for words, _ in parts):
            raise MalformedMessage("expected public keys, got one whose first polynomial is zero; refuse this peer")
        if len({seed for _, seed in parts}) != len(parts):
            raise MalformedMessage("expected a fresh seed for every public key, got one twice; refuse this peer")
        return cls(parts, hashlib.sha256(data).hexdigest())

    def fresh_zero(self) -> seal.Ciphertext:
        """A new public-key encryption of zero at data level, never handed out twice."""
        return self._stock.pop() if self._stock else self._new_zero()

    def _new_zero(self) -> seal.Ciphertext:
        zero = seal.Ciphertext()
        self.encryptor.encrypt_zero(so.product_scheme().data_id, zero)
        return zero

    def stock(self, count: int) -> None:
        """Make zeros ahead, while there is nothing else to do, until `count` are there. They live in memory only."""
        while len(self._stock) < count:
            self._stock.append(self._new_zero())

    def fresh_slot_zero(self, index: int) -> seal.Ciphertext:
        """The same under slot key `index` (0 or 1)."""
        zero = seal.Ciphertext()
        self.slot_encryptors[index].encrypt_zero(so.slot_schemes()[index].data_id, zero)
        return zero
