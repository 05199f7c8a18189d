"""The element-wise product: exact for every operand, flooded, freshly masked, strictly parsed."""
from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.crypto import elementwise
from protocols.crypto import seal_objects as so
from protocols.crypto.keys import KeyPair, PeerKeys
from protocols.crypto.params import DEGREE, ERROR_LIMIT, FLOOD_BITS, PRODUCT, SLOT_DATA_PRIMES, SLOTS, TAG_BYTES
from protocols.crypto.ring import RING
from protocols.errors import MalformedMessage

UPLOAD = 64 + 26 * DEGREE


def run(keys: KeyPair, peer: PeerKeys, pairs: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    n = pairs[0][0].shape[1]
    terms = [(elementwise.ask(keys, u), v) for u, v in pairs]
    assert {len(request) for request, _ in terms} == {elementwise.request_bytes(n)}
    reply, share = elementwise.answer(peer, terms)
    assert len(reply) == elementwise.reply_bytes(n)
    return RING.add(elementwise.finish(keys, reply, n), share)


def wanted(pairs: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    total = RING.zeros(pairs[0][0].shape[1])
    for u, v in pairs:
        total = RING.add(total, RING.mul(u, v))
    return total


@settings(max_examples=5, deadline=None)
@given(n=st.one_of(st.integers(1, 50), st.sampled_from([8191, 8192, 8193])), count=st.integers(1, 3))
def test_exact_on_drawn_sizes(keys, peer, n, count):
    pairs = [(RING.random(n), RING.random(n)) for _ in range(count)]
    assert np.array_equal(run(keys, peer, pairs), wanted(pairs))


@pytest.mark.parametrize("value", [0, 1, RING.modulus - 1, RING.modulus // 2])
def test_exact_at_the_edges(keys, peer, value):
    edge, other = RING.encode_ints([value] * 100), RING.random(100)
    for pair in ((edge, other), (other, edge), (edge, edge)):
        assert np.array_equal(run(keys, peer, [pair]), wanted([pair]))


def test_one_request_serves_several_answers(keys, peer):
    u, v, w = (RING.random(64) for _ in range(3))
    request = elementwise.ask(keys, u)
    reply, share = elementwise.answer(peer, [(request, v), (request, w)])
    got = RING.add(elementwise.finish(keys, reply, 64), share)
    assert np.array_equal(got, RING.mul(u, RING.add(v, w)))


def test_bounds_of_the_readme():
    """Exactness and flooding, as README.md derives them, in integers and worst case."""
    for index, slots in enumerate(SLOTS):
        q, t = 1, slots.plain_modulus
        for prime in SLOT_DATA_PRIMES:
            q *= prime
        kept = SLOT_DATA_PRIMES[0] * SLOT_DATA_PRIMES[1]
        assert t == RING.q[index]
        products = elementwise.MOST_TERMS * DEGREE * (ERROR_LIMIT + 1) * t
        assert products < 2**83
        switched = (2**FLOOD_BITS + products) * kept / q + 2 * (1 + DEGREE)
        coding = 2**35 + DEGREE * 2**19  # half of 2^36 in c0; half of 2^20 per coefficient of c1, times the key
        assert switched + coding < kept / (2 * t) / 3, "exact with room to spare"
        typical = elementwise.MOST_TERMS**0.5 * DEGREE**0.5 * 3.2 * t / 3**0.5
        assert typical / 2**FLOOD_BITS < 2**-63


def noise_budget(keys: KeyPair, reply: bytes, index: int) -> int:
    block = 18 * DEGREE
    words = elementwise._decode(memoryview(reply)[TAG_BYTES + index * block : TAG_BYTES + (index + 1) * block])
    scheme = so.slot_schemes()[index]
    return keys.slot_decryptors[index].invariant_noise_budget(so.ciphertext(scheme, words, scheme.reply_id))


def test_replies_are_flooded(keys, peer, monkeypatch):
    """The budget left to the requester is what the flood leaves; without it there would be several bits more."""
    request, v = elementwise.ask(keys, RING.random(10)), RING.random(10)
    reply, _ = elementwise.answer(peer, [(request, v)])
    assert [noise_budget(keys, reply, i) for i in (0, 1)] == [1, 1]
    monkeypatch.setattr(elementwise, "FLOOD_BITS", 1)
    bare, _ = elementwise.answer(peer, [(request, v)])
    assert min(noise_budget(keys, bare, i) for i in (0, 1)) > 3


def test_masks_and_floods_are_fresh(keys, peer):
    request, v = elementwise.ask(keys, RING.random(10)), RING.random(10)
    (one, mask_one), (two, mask_two) = (elementwise.answer(peer, [(request, v)]) for _ in range(2))
    assert not (mask_one == mask_two).any()
    pairs = zip(*(np.frombuffer(r[TAG_BYTES:], "<u2") for r in (one, two)), strict=True)
    assert np.mean([a == b for a, b in pairs]) < 0.001


def test_every_block_has_its_own_zero(keys, peer, monkeypatch):
    made = []
    original = PeerKeys.fresh_slot_zero
    monkeypatch.setattr(PeerKeys, "fresh_slot_zero", lambda self, i: made.append(i) or original(self, i))
    elementwise.answer(peer, [(elementwise.ask(keys, RING.random(9_000)), RING.random(9_000))])
    assert made == [0, 0, 1, 1]


def _changed(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda d: b"", "bytes of element-wise request"),
        (lambda d: d[:-1], "bytes of element-wise request"),
        (lambda d: d + b"\0", "bytes of element-wise request"),
        (lambda d: _changed(d, 0, bytes(16)), "parameters"),
        (lambda d: _changed(d, TAG_BYTES + 64, SLOT_DATA_PRIMES[0].to_bytes(7, "little")), "below their primes"),
        (lambda d: _changed(d, len(d) - 6, b"\xff" * 6), "below their primes"),
    ],
    ids=["empty", "short", "long", "tag", "first-prime", "last-prime"],
)
def test_malformed_requests_are_refused(keys, peer, make, reason):
    request = elementwise.ask(keys, RING.random(10))
    with pytest.raises(MalformedMessage, match=reason):
        elementwise.answer(peer, [(make(request), RING.random(10))])


def test_malformed_replies_are_refused(keys, peer):
    reply, _ = elementwise.answer(peer, [(elementwise.ask(keys, RING.random(10)), RING.random(10))])
    cases = {
        "bytes of element-wise reply": [b"", reply[:-1], reply + b"\0"],
        "parameters": [_changed(reply, 0, bytes(16))],
        "below their primes": [_changed(reply, TAG_BYTES + at, b"\xff" * 8) for at in (0, 8 * DEGREE)],
    }
    for reason, bad_ones in cases.items():
        for bad in bad_ones:
            with pytest.raises(MalformedMessage, match=reason):
                elementwise.finish(keys, bad, 10)


def test_a_reply_of_the_product_is_no_reply_here(keys):
    with pytest.raises(MalformedMessage):
        elementwise.finish(keys, bytes(elementwise.reply_bytes(10)), 10)


def test_operands_are_checked(keys, peer):
    with pytest.raises(ValueError, match="n > 0"):
        elementwise.ask(keys, RING.zeros(0))
    with pytest.raises(ValueError, match="1 to 64 terms"):
        elementwise.answer(peer, [])
    request = elementwise.ask(keys, RING.random(4))
    with pytest.raises(ValueError, match="one shape"):
        elementwise.answer(peer, [(request, RING.random(4)), (request, RING.random(5))])


def test_stated_bytes_per_slot():
    assert (elementwise.request_bytes(DEGREE) - TAG_BYTES - 128) / DEGREE == 52
    assert (elementwise.reply_bytes(DEGREE) - TAG_BYTES) / DEGREE == 36
    assert PRODUCT.data_primes == RING.q


def test_a_veil_hides_one_reply_only(keys, peer):
    u, v = RING.random(20), RING.random(20)
    request, veil = elementwise.ask(keys, u), elementwise.Veil(peer, 20)
    with pytest.raises(RuntimeError, match="unused veil"):
        elementwise.answer(peer, [(request, v)], elementwise.Veil(peer, 21))
    reply, share = elementwise.answer(peer, [(request, v)], veil)
    assert np.array_equal(RING.add(elementwise.finish(keys, reply, 20), share), RING.mul(u, v))
    with pytest.raises(RuntimeError, match="unused veil"):
        elementwise.answer(peer, [(request, v)], veil)
    with pytest.raises(TypeError, match="one reply"):
        pickle.dumps(veil)
    assert "REDACTED" in repr(veil)


def test_a_factor_may_serve_many_products(keys, peer):
    factor = elementwise.Factor(RING.encode(np.r_[np.zeros(8192, np.int64), np.arange(5)]))
    for _ in range(2):
        u = RING.random(8197)
        reply, share = elementwise.answer(peer, [(elementwise.ask(keys, u), factor)])
        assert np.array_equal(RING.add(elementwise.finish(keys, reply, 8197), share), RING.mul(u, factor.values))
    assert "REDACTED" in repr(factor)
