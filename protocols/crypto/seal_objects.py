"""SEAL objects from and to numpy, through SEAL's own serialized form.

SEAL's Python bindings read and write paths only and convert coefficients one by one. Writing the serialized form
(SEAL 4, `Ciphertext::save_members`, `Plaintext::save_members`, `PublicKey`, `KSwitchKeys`) into an anonymous memory
file and loading it is a hundred times faster, and it gives this package full control over what a peer can express:
seeds and residues come from the wire, every other field is written here. SEAL thus never parses a peer's bytes.

Shapes: `words` are uint64 residues, (primes, N) for one polynomial, (polynomials, primes, N) for an object.
"""
from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import tenseal.sealapi as seal
import zstandard

from protocols.crypto.params import DEGREE, PRODUCT, SLOTS, ParameterSet
from protocols.errors import MalformedMessage

SEED_BYTES = 64
_HEADER = struct.Struct("<HBBBBHQ")
_MAGIC, _HEADER_BYTES, _MAJOR, _MINOR, _UNCOMPRESSED = 0xA15E, 16, 4, 3, 0
_BLAKE2XB = 1
_CIPHERTEXT_FIELDS = struct.Struct("<4QB3QdQ")
_PLAINTEXT_FIELDS = struct.Struct("<4QQd")
_CIPHERTEXT_WORDS = _HEADER_BYTES + _CIPHERTEXT_FIELDS.size + _HEADER_BYTES + 8
_PLAINTEXT_WORDS = _HEADER_BYTES + _PLAINTEXT_FIELDS.size + _HEADER_BYTES + 8

Identifier = tuple[int, int, int, int]
Words = np.ndarray
SeededPart = tuple[np.ndarray, bytes]


@dataclass(frozen=True)
class Scheme:
    """A parameter set with its SEAL contexts.

    `seeding` is the same ring under SEAL's CKKS label: there, zeros are encrypted in the transformed domain at key
    level, which is exactly a public key, and the bindings return them with their seed (they cannot return seeded
    public keys).
    """

    parameters: ParameterSet
    context: seal.SEALContext
    seeding: seal.SEALContext
    evaluator: seal.Evaluator
    data_id: Identifier
    key_id: Identifier
    seeding_id: Identifier
    reply_id: Identifier
    encoder: seal.BatchEncoder | None


def _context(parameters: ParameterSet, kind: seal.SCHEME_TYPE) -> seal.SEALContext:
    settings = seal.EncryptionParameters(kind)
    settings.set_poly_modulus_degree(DEGREE)
    primes = seal.CoeffModulus.Create(DEGREE, [p.bit_length() for p in parameters.primes])
    if tuple(p.value() for p in primes) != parameters.primes:
        raise RuntimeError(f"SEAL chose other primes than {parameters.name} states; install tenseal 0.3.18")
    settings.set_coeff_modulus(primes)
    if kind == seal.SCHEME_TYPE.BFV:
        settings.set_plain_modulus(parameters.plain_modulus)
    context = seal.SEALContext(settings, True, seal.SEC_LEVEL_TYPE.TC128)
    if not context.parameters_set():
        raise RuntimeError(f"SEAL refuses {parameters.name}: {context.parameters_error_name()}")
    return context


def _second_level(context: seal.SEALContext) -> Identifier:
    """Identifier of the level that keeps exactly two data primes."""
    level = context.first_context_data()
    while len(level.parms().coeff_modulus()) > 2:
        level = level.next_context_data()
    return tuple(level.parms_id())


def _scheme(parameters: ParameterSet) -> Scheme:
    context = _context(parameters, seal.SCHEME_TYPE.BFV)
    seeding = _context(parameters, seal.SCHEME_TYPE.CKKS)
    reply = _second_level(context)
    ids = (context.first_parms_id(), context.key_parms_id(), seeding.key_parms_id(), reply)
    encoder = seal.BatchEncoder(context) if parameters.plain_modulus % (2 * DEGREE) == 1 else None
    return Scheme(parameters, context, seeding, seal.Evaluator(context), *(tuple(i) for i in ids), encoder)


@cache
def product_scheme() -> Scheme:
    """Scheme of the matrix product."""
    return _scheme(PRODUCT)


@cache
def slot_schemes() -> tuple[Scheme, Scheme]:
    """Schemes of the element-wise product, one per ring prime."""
    return _scheme(SLOTS[0]), _scheme(SLOTS[1])


# ---------------------------------------------------------------- bytes of SEAL objects


def _wrap(body: bytes) -> bytes:
    return _HEADER.pack(_MAGIC, _HEADER_BYTES, _MAJOR, _MINOR, _UNCOMPRESSED, 0, len(body) + _HEADER_BYTES) + body


def save(obj: object) -> bytes:
    """Serialized form of a SEAL object, header included, decompressed."""
    handle = os.memfd_create("seal")
    try:
        obj.save(f"/proc/self/fd/{handle}")
        data = os.pread(handle, os.fstat(handle).st_size, 0)
    finally:
        os.close(handle)
    if data[5] == _UNCOMPRESSED:
        return data
    return _wrap(zstandard.ZstdDecompressor().decompressobj().decompress(data[_HEADER_BYTES:]))


def load(obj: object, context: seal.SEALContext, data: bytes) -> object:
    """Fill `obj` from bytes made by this module and return it; SEAL checks them against the context."""
    handle = os.memfd_create("seal")
    try:
        os.pwrite(handle, data, 0)
        obj.load(context, f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)
    return obj


def _array(words: Words, size: int) -> bytes:
    return struct.pack("<Q", size) + np.ascontiguousarray(words, dtype="<u8").tobytes()


def _fields(identifier: Identifier, ntt: bool, primes: int) -> bytes:
    return _CIPHERTEXT_FIELDS.pack(*identifier, ntt, 2, DEGREE, primes, 1.0, 1)


def ciphertext_bytes(identifier: Identifier, words: Words, ntt: bool = False) -> bytes:
    """Full size-2 ciphertext, in coefficient form or transformed; words (2, primes, N)."""
    body = _fields(identifier, ntt, words.shape[1]) + _wrap(_array(words, words.size))
    return _wrap(body)


def seeded_bytes(identifier: Identifier, ntt: bool, words: Words, seed: bytes) -> bytes:
    """Seeded size-2 ciphertext or public key: c0 as words (primes, N), c1 to be expanded from the 64-byte seed."""
    generator = _wrap(struct.pack("<B", _BLAKE2XB) + seed)
    body = _fields(identifier, ntt, words.shape[0]) + _wrap(_array(words, words.size)) + generator
    return _wrap(body)


def split_seeded(data: bytes, primes: int) -> SeededPart:
    """c0 (primes, N) and the seed of an object that SEAL itself serialized with its seed."""
    words = np.frombuffer(data, "<u8", primes * DEGREE, _CIPHERTEXT_WORDS).reshape(primes, DEGREE)
    seed = data[-SEED_BYTES:]
    expected = _CIPHERTEXT_WORDS + words.nbytes + _HEADER_BYTES + 1 + SEED_BYTES
    if len(data) != expected or data[-SEED_BYTES - 1] != _BLAKE2XB:
        raise RuntimeError("SEAL wrote a seeded object in another form; install tenseal 0.3.18")
    return words, seed


def ciphertext(
    scheme: Scheme, words: Words, identifier: Identifier | None = None, *, ntt: bool = False
) -> seal.Ciphertext:
    """Ciphertext in coefficient form, or transformed, from words (2, primes, N)."""
    data = ciphertext_bytes(identifier or scheme.data_id, words, ntt)
    return load(seal.Ciphertext(), scheme.context, data)


def seeded_ciphertext(scheme: Scheme, words: Words, seed: bytes) -> seal.Ciphertext:
    """Ciphertext in coefficient form whose c1 SEAL expands from the seed; words (data primes, N)."""
    return load(seal.Ciphertext(), scheme.context, seeded_bytes(scheme.data_id, False, words, seed))


def ciphertext_words(obj: seal.Ciphertext, primes: int) -> Words:
    """(2, primes, N) words of a full ciphertext."""
    return np.frombuffer(save(obj), "<u8", 2 * primes * DEGREE, _CIPHERTEXT_WORDS).reshape(2, primes, DEGREE)


def plaintext(scheme: Scheme, words: Words, identifier: Identifier = (0, 0, 0, 0)) -> seal.Plaintext:
    """Plaintext from coefficients modulo t, or with an identifier from transformed residues (primes·N)."""
    body = _PLAINTEXT_FIELDS.pack(*identifier, words.size, 1.0) + _wrap(_array(words, words.size))
    return load(seal.Plaintext(), scheme.context, _wrap(body))


def secret_key_words(key: seal.SecretKey, primes: int) -> Words:
    """(primes, N) transformed residues of a secret key."""
    return np.frombuffer(save(key), "<u8", primes * DEGREE, _PLAINTEXT_WORDS).reshape(primes, DEGREE)


def secret_key(context: seal.SEALContext, identifier: Identifier, words: Words) -> seal.SecretKey:
    """Secret key from its transformed residues (primes, N), under either context of a scheme."""
    body = _PLAINTEXT_FIELDS.pack(*identifier, words.size, 1.0) + _wrap(_array(words, words.size))
    return load(seal.SecretKey(), context, _wrap(body))


# ---------------------------------------------------------------- public keys


def seeded_public_key(scheme: Scheme, secret: Words) -> SeededPart:
    """A fresh public key as (c0 words, seed): a zero encrypted at key level in the transformed domain."""
    encryptor = seal.Encryptor(scheme.seeding, secret_key(scheme.seeding, scheme.seeding_id, secret))
    zero = encryptor.encrypt_zero_symmetric(scheme.seeding_id)
    return split_seeded(save(zero), len(scheme.parameters.primes))


def public_key(scheme: Scheme, words: Words, seed: bytes) -> seal.PublicKey:
    """The peer's public key; its second polynomial comes from the seed alone."""
    return load(seal.PublicKey(), scheme.context, seeded_bytes(scheme.key_id, True, words, seed))


def _galois_offsets(elements: Sequence[int], components: int, size: int) -> list[int]:
    """Byte offsets of the seeded components inside serialized GaloisKeys, whose slot (e-1)/2 holds element e."""
    counts = {(element - 1) // 2: components for element in elements}
    offsets, position = [], _HEADER_BYTES + 32 + 8
    for slot in range(DEGREE):
        position += 8
        for _ in range(counts.get(slot, 0)):
            offsets.append(position)
            position += size
    return offsets


def seeded_galois_keys(scheme: Scheme, generator: seal.KeyGenerator, elements: Sequence[int]) -> list[SeededPart]:
    """Fresh Galois keys for ascending `elements` as one (c0 words, seed) per element and data prime."""
    data = save(generator.create_galois_keys(list(elements)))
    primes = len(scheme.parameters.primes)
    size = _CIPHERTEXT_WORDS + 8 * primes * DEGREE + _HEADER_BYTES + 1 + SEED_BYTES
    offsets = _galois_offsets(elements, primes - 1, size)
    if offsets[-1] + size > len(data) or data[16:48] != struct.pack("<4Q", *scheme.key_id):
        raise RuntimeError("SEAL wrote Galois keys in another form; install tenseal 0.3.18")
    return [split_seeded(data[at : at + size], primes) for at in offsets]


def galois_keys(scheme: Scheme, elements: Sequence[int], parts: Sequence[SeededPart]) -> seal.GaloisKeys:
    """The peer's Galois keys from what `seeded_galois_keys` returned."""
    components = len(scheme.parameters.primes) - 1
    slots = {(element - 1) // 2: index * components for index, element in enumerate(elements)}
    pieces = [struct.pack("<4QQ", *scheme.key_id, DEGREE)]
    for slot in range(DEGREE):
        chosen = parts[slots[slot] : slots[slot] + components] if slot in slots else []
        pieces.append(struct.pack("<Q", len(chosen)))
        pieces += [seeded_bytes(scheme.key_id, True, words, seed) for words, seed in chosen]
    return load(seal.GaloisKeys(), scheme.context, _wrap(b"".join(pieces)))


# ---------------------------------------------------------------- residues on the wire


def residue_widths(primes: Sequence[int]) -> tuple[int, ...]:
    """Bytes per residue for each prime."""
    return tuple(-(-prime.bit_length() // 8) for prime in primes)


def pack_residues(words: Words, primes: Sequence[int]) -> bytes:
    """(primes, n) residues -> per prime n little-endian integers of its width."""
    rows = zip(words, residue_widths(primes), strict=True)
    return b"".join(_narrow(row, width) for row, width in rows)


def _narrow(row: Words, width: int) -> bytes:
    raw = np.ascontiguousarray(row, dtype="<u8").view(np.uint8).reshape(-1, 8)
    return np.ascontiguousarray(raw[:, :width]).tobytes()


def widen(data: bytes | memoryview, width: int) -> Words:
    """Little-endian unsigned integers of `width` <= 8 bytes -> uint64."""
    raw = np.frombuffer(data, np.uint8).reshape(-1, width)
    full = np.zeros((len(raw), 8), np.uint8)
    full[:, :width] = raw
    return full.view("<u8").reshape(-1).astype(np.uint64)


def unpack_residues(data: bytes | memoryview, primes: Sequence[int], n: int) -> Words:
    """Strict inverse of `pack_residues` for data of exactly n·sum(widths) bytes; refuses residues >= their prime."""
    rows, at = [], 0
    for prime, width in zip(primes, residue_widths(primes), strict=True):
        row = widen(data[at : at + n * width], width)
        if (row >= np.uint64(prime)).any():
            raise MalformedMessage("expected residues below their primes; the peer runs other parameters")
        rows.append(row)
        at += n * width
    return np.stack(rows)


def require_length(data: bytes, expected: int, tag: bytes, what: str) -> memoryview:
    """The body after the tag, when length and tag are exactly right."""
    if len(data) != expected:
        raise MalformedMessage(f"expected {expected} bytes of {what}, got {len(data)}; compare the agreed shapes")
    if data[: len(tag)] != tag:
        raise MalformedMessage(f"expected {what} under this version's parameters; align the installed versions")
    return memoryview(data)[len(tag) :]
