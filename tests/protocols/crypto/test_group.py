"""ristretto255 against the RFCs' vectors, good and bad."""
from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import rbcl

from protocols.crypto.group import (
    Scalar,
    decode_point,
    expand_message,
    hash_and_multiply,
    hash_to_group,
    multiply,
    multiply_all,
)
from protocols.errors import MalformedMessage

VECTORS = json.loads((Path(__file__).parents[2] / "vectors/psi/ristretto255.json").read_text())
GENERATOR = bytes.fromhex(VECTORS["multiples_of_generator"][0])


def _scalar(value: int) -> Scalar:
    return Scalar(value.to_bytes(32, "little"))


def test_multiples_of_the_generator():
    for factor, encoding in enumerate(VECTORS["multiples_of_generator"], start=1):
        assert multiply(GENERATOR, _scalar(factor)).hex() == encoding


def test_map_from_uniform_bytes():
    vector = VECTORS["from_uniform_bytes"]
    assert rbcl.crypto_core_ristretto255_from_hash(bytes.fromhex(vector["input"])).hex() == vector["output"]


def test_hash_to_group_as_in_rfc_9497():
    vector = VECTORS["blinded_element"]
    domain = b"HashToGroup-OPRFV1-\x00-ristretto255-SHA512"
    point = hash_to_group(bytes.fromhex(vector["input"]), domain)
    assert multiply(point, Scalar(bytes.fromhex(vector["blind"]))).hex() == vector["output"]


@pytest.mark.parametrize("bad", VECTORS["bad_encodings"], ids=lambda bad: bad["reason"])
def test_bad_encodings_are_refused_everywhere(bad):
    data = bytes.fromhex(bad["hex"])
    for refuse in (decode_point, lambda d: multiply(d, _scalar(1)), lambda d: multiply_all(d, _scalar(1), map)):
        with pytest.raises(MalformedMessage):
            refuse(data)


def test_good_encoding_is_accepted():
    assert decode_point(GENERATOR) == GENERATOR


def test_domains_separate():
    assert hash_to_group(b"person", b"one") != hash_to_group(b"person", b"two")
    assert expand_message(b"ab", b"c") != expand_message(b"a", b"bc")


@pytest.mark.parametrize("length", [0, 256])
def test_domain_length_is_checked(length):
    with pytest.raises(ValueError, match="1 to 255 bytes"):
        expand_message(b"m", bytes(length))


def test_exponents_commute():
    a, b, point = Scalar.random(), Scalar.random(), hash_to_group(b"x", b"d")
    assert multiply(multiply(point, a), b) == multiply(multiply(point, b), a)


@pytest.mark.parametrize("value", [0, 2**252 + 27742317777372353535851937790883648493, 2**256 - 1])
def test_scalars_outside_the_group_order_are_refused(value):
    with pytest.raises(MalformedMessage):
        _scalar(value)


def test_scalar_keeps_its_secret():
    scalar = Scalar.random()
    secret = scalar.to_bytes()
    assert repr(scalar) == "Scalar(REDACTED)" and secret.hex() not in repr(vars(scalar).keys())
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(scalar)
    scalar.erase()
    with pytest.raises(ValueError, match="erased"):
        scalar.to_bytes()


def test_batches_equal_single_calls_whatever_maps_them():
    scalar, messages = Scalar.random(), [str(i).encode() for i in range(600)]
    single = [multiply(hash_to_group(m, b"d"), scalar) for m in messages]
    with ThreadPoolExecutor(2) as threads:
        for parallel_map in (map, threads.map):
            assert hash_and_multiply(messages, b"d", scalar, parallel_map) == b"".join(single)
            doubled = multiply_all(b"".join(single), scalar, parallel_map)
            assert doubled[-32:] == multiply(single[-1], scalar)
