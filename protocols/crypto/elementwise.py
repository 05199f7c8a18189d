"""Element-wise products of two vectors, one on each side: exact shares of Σ u·v modulo Q.

    requester (keys, u)                                   evaluator (v)
    u in slots, encrypted, seeded         ── ask ──▶      Σ u·v; + fresh zero; + flood; - mask r; two primes left
    decrypts: Σ u·v - r                   ◀─ answer ──    keeps r

One BFV instance per ring prime, whose plaintext modulus is that prime, so the result is exact modulo Q. The noise
that decryption shows depends on v; a flood 2^66 times wider hides it, and c1 is covered by the fresh zero. README.md
proves exactness and the flooding. Several terms go into one reply. As in `product.py`, a reply is made only once.
"""
from __future__ import annotations

import numpy as np
import tenseal.sealapi as seal

from protocols.crypto import seal_objects as so
from protocols.crypto.keys import KeyPair, PeerKeys
from protocols.crypto.params import DEGREE, FLOOD_BITS, SLOT_DATA_PRIMES, SLOT_REPLY_PRIMES, TAG_BYTES, wire_tag
from protocols.crypto.ring import RING, WORD, Array, Ring, uniform_bits
from protocols.errors import MalformedMessage

_REQUEST_TAG, _REPLY_TAG = wire_tag("element-wise request"), wire_tag("element-wise reply")
_REPLY_RING = Ring(SLOT_REPLY_PRIMES)
_UPLOAD_BYTES = so.SEED_BYTES + DEGREE * sum(so.residue_widths(SLOT_DATA_PRIMES))
MOST_TERMS = 64
"""Terms per reply at most: keeps the flooding margin of README.md."""

_FIRST_DROP, _SECOND_DROP = 36, 20
_FIRST_BYTES, _SECOND_BYTES = 8, 10
_REPLY_BLOCK_BYTES = DEGREE * (_FIRST_BYTES + _SECOND_BYTES)
_HIGH_BITS = 50


def blocks(n: int) -> int:
    """Ciphertexts per ring prime for n entries."""
    return -(-n // DEGREE)


def request_bytes(n: int) -> int:
    """Exact length of a request for n entries: 52 bytes per slot."""
    return TAG_BYTES + 2 * blocks(n) * _UPLOAD_BYTES


def reply_bytes(n: int) -> int:
    """Exact length of a reply for n entries: 36 bytes per slot."""
    return TAG_BYTES + 2 * blocks(n) * _REPLY_BLOCK_BYTES


def ask(keys: KeyPair, u: Array) -> bytes:
    """Encrypt u, (2, n) residues."""
    _require_vector(u)
    pieces = [_REQUEST_TAG]
    for index, scheme in enumerate(so.slot_schemes()):
        for start in range(0, u.shape[1], DEGREE):
            plain = _slots(scheme, u[index, start : start + DEGREE])
            saved = so.save(keys.slot_encryptors[index].encrypt_symmetric(plain))
            words, seed = so.split_seeded(saved, len(SLOT_DATA_PRIMES))
            pieces += [seed, so.pack_residues(words, SLOT_DATA_PRIMES)]
    return b"".join(pieces)


def _require_vector(u: Array) -> None:
    if u.ndim != 2 or u.shape[0] != 2 or u.shape[1] < 1:
        raise ValueError(f"expected residues of shape (2, n) with n > 0, got {u.shape}")


def _slots(scheme: so.Scheme, values: Array) -> seal.Plaintext:
    plain = seal.Plaintext()
    scheme.encoder.encode(values.tolist(), plain)
    return plain


class Factor:
    """The evaluator's own vector, (2, n) residues; what it is transformed to is kept for further products."""

    def __init__(self, values: Array):
        _require_vector(values)
        self.values = values
        self._transformed: dict[tuple[int, int], seal.Plaintext] = {}

    def is_zero(self, index: int, block: int) -> bool:
        """Whether the block is zero modulo ring prime `index`."""
        return not self._part(index, block).any()

    def transformed(self, index: int, block: int) -> seal.Plaintext:
        """The block's polynomial under slot scheme `index`; ones in place of a zero block."""
        if (index, block) not in self._transformed:
            scheme, part = so.slot_schemes()[index], self._part(index, block)
            plain = _slots(scheme, part if part.any() else np.ones_like(part))
            scheme.evaluator.transform_to_ntt_inplace(plain, scheme.data_id)
            self._transformed[index, block] = plain
        return self._transformed[index, block]

    def _part(self, index: int, block: int) -> Array:
        return self.values[index, block * DEGREE : (block + 1) * DEGREE]

    def __repr__(self) -> str:
        return f"Factor({self.values.shape[1]} entries, REDACTED)"


class Veil:
    """What hides one reply: mask, fresh zeros and floods for n entries. Made ahead or in `answer`; used once."""

    def __init__(self, peer: PeerKeys, n: int):
        self._mask, self._blocks = RING.random(n), []
        for index, scheme in enumerate(so.slot_schemes()):
            for start in range(0, n, DEGREE):
                total = peer.fresh_slot_zero(index)
                scheme.evaluator.add_inplace(total, _flood(scheme))
                masked = RING.neg(self._mask[:, start : start + DEGREE])[index]
                scheme.evaluator.add_plain_inplace(total, _slots(scheme, masked))
                self._blocks.append(total)

    def take(self, n: int) -> tuple[Array, list[seal.Ciphertext]]:
        """Mask (2, n) and a ciphertext per ring prime and block; RuntimeError for another n or the second time."""
        mask, blocks = self._mask, self._blocks
        if mask is None or mask.shape[1] != n:
            raise RuntimeError("expected an unused veil of the product's length; make a new one for every reply")
        self._mask = self._blocks = None
        return mask, blocks

    def __repr__(self) -> str:
        return "Veil(REDACTED)"

    def __reduce__(self):
        raise TypeError("a Veil is neither pickled nor copied: it hides one reply")


def answer(
    peer: PeerKeys, terms: list[tuple[bytes, Array | Factor]], veil: Veil | None = None
) -> tuple[bytes, Array]:
    """Reply and one's own share (2, n) of Σ u·v over terms (request of u, v); 1 to MOST_TERMS terms, all of one n.

    The share is uniform modulo Q and drawn anew in every call, or comes with `veil`, which must be unused and made
    for this peer. MalformedMessage on a request of another length, tag or with residues that are not below their
    primes.
    """
    factors = [v if isinstance(v, Factor) else Factor(v) for _, v in terms]
    if not 1 <= len(terms) <= MOST_TERMS or len({v.values.shape for v in factors}) != 1:
        raise ValueError(f"expected 1 to {MOST_TERMS} terms of one shape, got {len(terms)}")
    n = factors[0].values.shape[1]
    bodies = [so.require_length(r, request_bytes(n), _REQUEST_TAG, "element-wise request") for r, _ in terms]
    mask, totals = (veil or Veil(peer, n)).take(n)
    places = [(index, block) for index in range(2) for block in range(blocks(n))]
    pieces = [_REPLY_TAG]
    for at, (place, total) in enumerate(zip(places, totals, strict=True)):
        uploads = [body[at * _UPLOAD_BYTES : (at + 1) * _UPLOAD_BYTES] for body in bodies]
        pieces.append(_answer_block(*place, list(zip(uploads, factors, strict=True)), total))
    return b"".join(pieces), mask


def _answer_block(index: int, block: int, terms: list[tuple[memoryview, Factor]], total: seal.Ciphertext) -> bytes:
    scheme = so.slot_schemes()[index]
    for upload, factor in terms:
        product = _multiply(scheme, upload, factor.transformed(index, block))
        if not factor.is_zero(index, block):
            scheme.evaluator.add_inplace(total, product)
    for _ in range(len(SLOT_DATA_PRIMES) - len(SLOT_REPLY_PRIMES)):
        scheme.evaluator.mod_switch_to_next_inplace(total)
    return _encode(so.ciphertext_words(total, 2))


def _multiply(scheme: so.Scheme, upload: memoryview, plain: seal.Plaintext) -> seal.Ciphertext:
    """Encryption of u·v for one block."""
    words = so.unpack_residues(upload[so.SEED_BYTES :], SLOT_DATA_PRIMES, DEGREE)
    product = so.seeded_ciphertext(scheme, words, bytes(upload[: so.SEED_BYTES]))
    scheme.evaluator.transform_to_ntt_inplace(product)
    scheme.evaluator.multiply_plain_inplace(product, plain)
    scheme.evaluator.transform_from_ntt_inplace(product)
    return product


def _flood(scheme: so.Scheme) -> seal.Ciphertext:
    """The ciphertext (f, 0) with f uniform in [0, 2^FLOOD_BITS) in every coefficient."""
    words = np.zeros((2, len(SLOT_DATA_PRIMES), DEGREE), dtype=WORD)
    words[0] = uniform_bits(DEGREE, FLOOD_BITS, SLOT_DATA_PRIMES)
    return so.ciphertext(scheme, words)


def _encode(words: Array) -> bytes:
    """c0 in 8 bytes and c1 in 10 bytes per coefficient: the high mixed-radix digit and upper bits of the low one."""
    low, high = _REPLY_RING.digits(words[0])
    first = (high << WORD(64 - _HIGH_BITS)) | (low >> WORD(_FIRST_DROP))
    low, high = _REPLY_RING.digits(words[1])
    kept = low >> WORD(_SECOND_DROP)
    wide = (high << WORD(64 - _HIGH_BITS)) | (kept >> WORD(16))
    return b"".join([first.astype("<u8").tobytes(), wide.astype("<u8").tobytes(), kept.astype("<u2").tobytes()])


def _decode(data: memoryview) -> Array:
    """(2, 2, N) words, each the middle of the dropped interval; strict."""
    ends = (8 * DEGREE, 16 * DEGREE)
    first, wide, rest = so.widen(data[: ends[0]], 8), so.widen(data[ends[0] : ends[1]], 8), so.widen(data[ends[1] :], 2)
    upper = WORD(64 - _HIGH_BITS)
    fraction = WORD((1 << (64 - _HIGH_BITS)) - 1)
    kept = ((wide & fraction) << WORD(16)) | rest
    return np.stack([
        _from_digits(first & fraction, first >> upper, _FIRST_DROP),
        _from_digits(kept, wide >> upper, _SECOND_DROP),
    ])


def _from_digits(kept: Array, high: Array, dropped: int) -> Array:
    q = _REPLY_RING.q
    if (high >= WORD(q[1])).any() or (kept > WORD((q[0] - 1) >> dropped)).any():
        raise MalformedMessage("expected digits below their primes; the peer runs other parameters")
    low = (kept << WORD(dropped)) + WORD(1 << (dropped - 1))
    return _REPLY_RING.from_digits(np.minimum(low, WORD(q[0] - 1)), high)


def finish(keys: KeyPair, reply: bytes, n: int) -> Array:
    """One's share (2, n) of the products; MalformedMessage as in `answer`, or when a polynomial is zero."""
    body = so.require_length(reply, reply_bytes(n), _REPLY_TAG, "element-wise reply")
    out, at = RING.zeros(n), 0
    for index, scheme in enumerate(so.slot_schemes()):
        for block in range(blocks(n)):
            values = _decrypt(keys, index, scheme, body[at : at + _REPLY_BLOCK_BYTES])
            part = out[index, block * DEGREE : (block + 1) * DEGREE]
            part[:] = values[: len(part)]
            at += _REPLY_BLOCK_BYTES
    return out


def _decrypt(keys: KeyPair, index: int, scheme: so.Scheme, block: memoryview) -> Array:
    words = _decode(block)
    if not words[1].any():
        raise MalformedMessage("expected an encrypted reply, got one whose second polynomial is zero")
    plain = seal.Plaintext()
    keys.slot_decryptors[index].decrypt(so.ciphertext(scheme, words, scheme.reply_id), plain)
    return np.array(scheme.encoder.decode_uint64(plain), dtype=WORD)
