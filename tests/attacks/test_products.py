"""Attacks on the matrix product: what an answer gives away when one thing is left out, and what ours gives."""
from __future__ import annotations

import numpy as np
import pytest
import tenseal.sealapi as seal

from protocols.crypto import product
from protocols.crypto import seal_objects as so
from protocols.crypto.keys import KeyPair, PeerKeys
from protocols.crypto.layout import layout_of
from protocols.crypto.params import DEGREE, PRODUCT, TAG_BYTES
from protocols.crypto.product import MatrixTiles, ReplyCoding
from protocols.crypto.ring import RING
from protocols.errors import MalformedMessage
from tests.attacks.polynomials import Hints, quotient

FULL = ReplyCoding.FULL
POLYNOMIAL = 16 * DEGREE


@pytest.fixture(scope="module")
def matrix() -> np.ndarray:
    return np.random.default_rng(1).integers(-(2**14), 2**14, (2048, 4))


@pytest.fixture(scope="module")
def tiles(matrix: np.ndarray) -> MatrixTiles:
    made = MatrixTiles(matrix, layout="tile")
    assert (made.layout.uploads, made.layout.replies, made.layout.columns_per_tile) == (1, 1, 4)
    return made


def rows_of(coefficients: np.ndarray) -> np.ndarray:
    """A tile's polynomial as the rows that it stands for."""
    return coefficients.reshape(2048, 4)[:, ::-1]


def upload(request: bytes) -> np.ndarray:
    """(2, 2, N): both polynomials of a request's only upload."""
    body = request[TAG_BYTES:]
    words = so.unpack_residues(body[so.SEED_BYTES :], RING.q, DEGREE)
    return so.ciphertext_words(so.seeded_ciphertext(so.product_scheme(), words, body[: so.SEED_BYTES]), 2)


def second(reply: bytes) -> np.ndarray:
    """(2, N): c1 of a reply's only polynomial."""
    return so.unpack_residues(reply[TAG_BYTES : TAG_BYTES + POLYNOMIAL], RING.q, DEGREE)


# ---------------------------------------------------------------- the multiplier from c1 (fresh zero removed)


def multiplier(request: bytes, reply: bytes) -> np.ndarray:
    """Requester: c1 of the reply divided by c1 of the upload."""
    return rows_of(quotient(second(reply), upload(request)[1]))


def without_zero(tiles, peer, own_share, request, mask):
    """Twin of `product.masked_replies`: no fresh encryption of zero is added."""
    plan = tiles.layout
    operands = product._operands(plan, own_share, request)
    for block, result in enumerate(product._EVALUATE[plan.kind](tiles, peer, operands)):
        words = so.ciphertext_words(result, 2)
        yield words[1], RING.sub(words[0][:, plan.positions(block)], mask[:, plan.block(block)])


def test_multiplier_from_c1(keys, peer, tiles, matrix, monkeypatch) -> None:
    request = product.ask(keys, RING.random(4), matrix.shape, "tile")
    ours, _ = product.answer(tiles, peer, None, request, FULL)
    monkeypatch.setattr(product, "masked_replies", without_zero)
    weak, _ = product.answer(tiles, peer, None, request, FULL)
    assert np.array_equal(multiplier(request, weak), matrix), "every entry of X"
    assert (multiplier(request, ours) == matrix).mean() < 0.001


# ---------------------------------------------------------------- the result itself (ring mask removed)


def result_of(keys: KeyPair, reply: bytes) -> np.ndarray:
    """Requester: what it decrypts, as signed numbers at the scale of the vector."""
    return RING.to_float(product.finish(keys, reply, (2048, 4), "tile", FULL)) / 2.0**40


def test_the_product_from_an_unmasked_reply(keys, peer, tiles, matrix, monkeypatch) -> None:
    """Four unit vectors would give X column by column; one is shown."""
    unit = RING.encode(np.array([1 << 40, 0, 0, 0]))
    request = product.ask(keys, unit, matrix.shape, "tile")
    ours, _ = product.answer(tiles, peer, None, request, FULL)
    monkeypatch.setattr(type(RING), "random", lambda self, n: self.zeros(n))
    weak, _ = product.answer(tiles, peer, None, request, FULL)
    assert np.abs(result_of(keys, weak) - matrix[:, 0]).max() < 0.01
    assert np.median(np.abs(result_of(keys, ours) - matrix[:, 0])) > 2**70


# ---------------------------------------------------------------- X from a reused mask


def from_reused_mask(keys: KeyPair, requests: list[bytes], share: np.ndarray, replies: list[bytes]) -> np.ndarray:
    """Requester: differences of decrypted replies are X times known differences of its own uploads' errors."""
    plan = layout_of((2048, 4), "tile")
    errors = [_upload_error(keys, request, share, plan.places(0)) for request in requests]
    opened = [product.finish(keys, reply, (2048, 4), "tile", FULL) for reply in replies]
    hints = Hints([error - errors[0] for error in errors[1:]], [plan.positions(0)] * (len(errors) - 1))
    return rows_of(hints.solve([RING.to_float(RING.sub(o, opened[0])) for o in opened[1:]], ridge=0.1))


def _upload_error(keys: KeyPair, request: bytes, share: np.ndarray, places: np.ndarray) -> np.ndarray:
    first, uniform = upload(request)
    error = RING.add(first, product._times_secret(keys, [uniform])[0])
    error[:, places] = RING.sub(error[:, places], share)
    return RING.to_float(error)


def with_mask(tiles: MatrixTiles, peer: PeerKeys, request: bytes, mask: np.ndarray) -> bytes:
    """Twin of `product.answer`: the mask comes from outside, as from a store that kept it instead of the reply."""
    pairs = product.masked_replies(tiles, peer, None, request, mask)
    return FULL.tag + b"".join(so.pack_residues(words, RING.q) for pair in pairs for words in pair)


def test_x_from_a_reused_mask(keys, peer, tiles, matrix) -> None:
    share, mask = RING.random(4), RING.random(2048)
    requests = [product.ask(keys, share, matrix.shape, "tile") for _ in range(8)]
    weak = from_reused_mask(keys, requests, share, [with_mask(tiles, peer, r, mask) for r in requests])
    assert (np.abs(weak - matrix) < 2**14 / 16).mean() > 0.99
    assert np.corrcoef(weak.ravel(), matrix.ravel())[0, 1] > 0.999
    replies = [product.answer(tiles, peer, None, r, FULL)[0] for r in requests]
    ours = from_reused_mask(keys, requests, share, replies)
    assert abs(np.corrcoef(ours.ravel(), matrix.ravel())[0, 1]) < 0.05


# ---------------------------------------------------------------- a chosen public key


def rows_in_c1(reply: bytes) -> np.ndarray:
    """Requester that chose c1 of its upload as 2^40 and of its public key as 0: the tile stands in c1."""
    return rows_of(np.rint(RING.to_float(second(reply)) / 2.0**40))


class Unseeded(PeerKeys):
    """Twin of a receiver that takes public keys whole, second polynomial included: here zero."""

    def __init__(self, honest: PeerKeys):
        scheme, primes = so.product_scheme(), len(PRODUCT.primes)
        words = np.zeros((2, primes, DEGREE), np.uint64)
        words[0] = np.random.default_rng(2).integers(0, 2**58, (primes, DEGREE))
        body = so._fields(scheme.key_id, True, primes) + so._wrap(so._array(words, words.size))
        public = so.load(seal.PublicKey(), scheme.context, so._wrap(body))
        self.encryptor, self.galois, self._stock = seal.Encryptor(scheme.context, public), honest.galois, []


def unseeded_operand(_upload, _own_share, _places) -> seal.Ciphertext:
    """Twin of `product._operand`: takes the upload's second polynomial from the sender, here the constant 2^40."""
    words = np.zeros((2, 2, DEGREE), np.uint64)
    words[0], words[1, :, 0] = RING.random(DEGREE), 1 << 40
    return so.ciphertext(so.product_scheme(), words)


def test_a_chosen_public_key(keys, peer, tiles, matrix, monkeypatch) -> None:
    request = product.ask(keys, RING.random(4), matrix.shape, "tile")
    with monkeypatch.context() as twin:
        twin.setattr(product, "_operand", unseeded_operand)
        weak, _ = product.answer(tiles, Unseeded(peer), None, request, FULL)
    assert np.array_equal(rows_in_c1(weak), matrix), "every row from one reply"
    public = keys.public_bytes()
    chosen = PeerKeys.from_bytes(public[:TAG_BYTES] + bytes(64) + public[TAG_BYTES + 64 :])  # all that can be chosen
    seedless = request[:TAG_BYTES] + bytes(64) + request[TAG_BYTES + 64 :]
    ours, _ = product.answer(tiles, chosen, None, seedless, FULL)
    assert (rows_in_c1(ours) == matrix).mean() < 0.001


def test_a_polynomial_of_ones_own_has_no_place_in_what_is_sent(keys, peer, tiles) -> None:
    whole = so.ciphertext_bytes(so.product_scheme().data_id, np.ones((2, 2, DEGREE), np.uint64))
    tag = product.ask(keys, RING.random(4), (2048, 4), "tile")[:TAG_BYTES]
    for upload_ in (tag + whole, tag + bytes(64) + whole):
        with pytest.raises(MalformedMessage, match="bytes of product request"):
            product.answer(tiles, peer, None, upload_, FULL)
    public = keys.public_bytes()
    with pytest.raises(MalformedMessage, match="bytes of public keys"):
        PeerKeys.from_bytes(public[:TAG_BYTES] + whole + public[TAG_BYTES:])


def test_one_seed_for_two_polynomials_is_refused(keys, peer) -> None:
    """Equal uniform parts cancel in differences, which is a way to choose one."""
    wide = MatrixTiles(np.ones((12_000, 12), np.int64), layout="tile")
    request = product.ask(keys, RING.random(12), wide.shape, "tile")
    again = TAG_BYTES + product._UPLOAD_BYTES
    with pytest.raises(MalformedMessage, match="fresh seed"):
        product.answer(wide, peer, None, request[:again] + request[TAG_BYTES : TAG_BYTES + 64] + request[again + 64 :],
                       FULL)
    public, part = keys.public_bytes(), TAG_BYTES + so.SEED_BYTES + 24 * DEGREE
    with pytest.raises(MalformedMessage, match="fresh seed"):
        PeerKeys.from_bytes(public[:part] + public[TAG_BYTES : TAG_BYTES + 64] + public[part + 64 :])


# ---------------------------------------------------------------- a transparent ciphertext as answer


def transparent(values: np.ndarray) -> bytes:
    """Evaluator: a reply without any encryption, which makes the requester's share what the evaluator wants."""
    return FULL.tag + bytes(POLYNOMIAL) + so.pack_residues(values, RING.q)


def test_a_transparent_answer(keys, monkeypatch) -> None:
    wanted, real = RING.random(2048), product._times_secret
    with pytest.raises(MalformedMessage, match="second polynomial is zero"):
        product.finish(keys, transparent(wanted), (2048, 4), "tile", FULL)
    monkeypatch.setattr(product, "_times_secret", lambda keys, polynomials: [
        real(keys, [p])[0] if p.any() else np.zeros_like(p) for p in polynomials])  # twin: no check
    taken = product.finish(keys, transparent(wanted), (2048, 4), "tile", FULL)
    assert np.array_equal(taken, wanted), "both shares are known to the evaluator"


@pytest.mark.parametrize("where", ["first", "last"])
def test_a_malformed_answer(keys, peer, tiles, where) -> None:
    """Residues beyond their primes, the only freedom that is left inside a reply of the right length."""
    request = product.ask(keys, RING.random(4), (2048, 4), "tile")
    reply, _ = product.answer(tiles, peer, None, request, FULL)
    at = TAG_BYTES if where == "first" else len(reply) - 8
    with pytest.raises(MalformedMessage, match="below their primes"):
        product.finish(keys, reply[:at] + b"\xff" * 8 + reply[at + 8 :], (2048, 4), "tile", FULL)
