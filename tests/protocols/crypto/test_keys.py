"""Keys: what leaves is seeds and first polynomials, nothing else is accepted, secrets stay inside."""
from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import tenseal.sealapi as seal

from protocols.crypto import seal_objects as so
from protocols.crypto.keys import GALOIS_ELEMENTS, KeyPair, PeerKeys, public_key_bytes
from protocols.crypto.params import DEGREE, PRODUCT, TAG_BYTES
from protocols.errors import MalformedMessage

PART = so.SEED_BYTES + 3 * 8 * DEGREE


def test_public_bytes_have_the_stated_length(keys: KeyPair):
    assert len(keys.public_bytes()) == public_key_bytes() == 5_785_424


def test_public_key_is_what_seal_would_make(keys: KeyPair, peer: PeerKeys):
    """pk0 + pk1·s is small, with pk1 expanded from the seed: checked by decrypting fresh zeros."""
    scheme = so.product_scheme()
    sealed = so.secret_key(scheme.context, scheme.key_id, keys._secrets[0])
    decryptor, plain = seal.Decryptor(scheme.context, sealed), seal.Plaintext()
    zero = peer.fresh_zero()
    assert decryptor.invariant_noise_budget(zero) >= 60
    decryptor.decrypt(zero, plain)
    assert plain.to_string() == "0"


def test_fresh_zeros_differ(peer: PeerKeys):
    one, two = (so.ciphertext_words(peer.fresh_zero(), 2) for _ in range(2))
    assert (one != two).mean() > 0.999


def test_second_polynomials_come_from_the_seed(keys: KeyPair):
    part = keys.public_bytes()[TAG_BYTES : TAG_BYTES + PART]
    words = so.unpack_residues(part[so.SEED_BYTES :], PRODUCT.primes, DEGREE)
    scheme = so.product_scheme()

    def second(seed: bytes) -> np.ndarray:
        made = so.save(so.public_key(scheme, words, seed))
        return np.frombuffer(made[-8 * 3 * DEGREE :], "<u8")

    assert np.array_equal(second(part[:64]), second(part[:64]))
    assert (second(part[:64]) != second(bytes(64))).mean() > 0.999
    assert second(bytes(64)).any(), "even a chosen seed gives no structure"


def test_galois_keys_turn_polynomials(keys: KeyPair, peer: PeerKeys):
    scheme = so.product_scheme()
    sealed = so.secret_key(scheme.context, scheme.key_id, keys._secrets[0])
    encryptor, decryptor = seal.Encryptor(scheme.context, sealed), seal.Decryptor(scheme.context, sealed)
    coefficients = np.zeros(DEGREE, np.uint64)
    coefficients[1] = 7
    source, turned, plain = seal.Ciphertext(), seal.Ciphertext(), seal.Plaintext()
    encryptor.encrypt_symmetric(so.plaintext(scheme, coefficients), source)
    for element in GALOIS_ELEMENTS:
        scheme.evaluator.apply_galois(source, element, peer.galois, turned)
        decryptor.decrypt(turned, plain)
        sign, power = divmod(element, DEGREE)
        assert plain[power] == (7 if sign % 2 == 0 else PRODUCT.plain_modulus - 7)


def test_generated_keys_differ(keys: KeyPair):
    other = KeyPair.generate()
    assert all((a != b).mean() > 0.999 for a, b in zip(keys._secrets, other._secrets, strict=True))
    assert keys.public_bytes()[16:80] != other.public_bytes()[16:80]


def test_reload_reproduces_everything(keys: KeyPair):
    again = KeyPair.from_secret_bytes(keys.secret_bytes())
    assert again.public_bytes() == keys.public_bytes()
    assert again.secret_bytes() == keys.secret_bytes()


def test_vault_bytes_are_checked(keys: KeyPair):
    data = keys.secret_bytes()
    for bad in (data[:-1], b"\0" * 16 + data[16:], keys.public_bytes()):
        with pytest.raises(MalformedMessage):
            KeyPair.from_secret_bytes(bad)


def test_secrets_do_not_print_pickle_or_copy(keys: KeyPair):
    assert repr(keys) == str(keys) == "KeyPair(REDACTED)"
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="neither pickled nor copied"):
            attempt(keys)


def _changed(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


FIRST_WORDS = TAG_BYTES + so.SEED_BYTES


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda d: b"", "expected 5785424 bytes"),
        (lambda d: d[:-1], "expected 5785424 bytes"),
        (lambda d: d + b"\0", "expected 5785424 bytes"),
        (lambda d: _changed(d, 0, bytes(16)), "parameters"),
        (lambda d: _changed(d, FIRST_WORDS, (PRODUCT.primes[0]).to_bytes(8, "little")), "below their primes"),
        (lambda d: _changed(d, FIRST_WORDS + 16 * DEGREE, b"\xff" * 8), "below their primes"),
        (lambda d: _changed(d, len(d) - 3, b"\xff" * 3), "below their primes"),
        (lambda d: _changed(d, FIRST_WORDS, bytes(24 * DEGREE)), "first polynomial is zero"),
        (lambda d: _changed(d, TAG_BYTES + PART, d[TAG_BYTES : TAG_BYTES + 64]), "fresh seed"),
    ],
    ids=["empty", "short", "long", "tag", "residue0", "residue2", "slot-residue", "zero-c0", "seed-twice"],
)
def test_malformed_public_bytes_are_refused(keys: KeyPair, make, reason: str):
    with pytest.raises(MalformedMessage, match=reason):
        PeerKeys.from_bytes(make(keys.public_bytes()))


def test_unseeded_seal_keys_are_refused(keys: KeyPair):
    """The form in which a chosen second polynomial could travel has no place in the format."""
    scheme = so.product_scheme()
    part = keys.public_bytes()[TAG_BYTES : TAG_BYTES + PART]
    words = so.unpack_residues(part[so.SEED_BYTES :], PRODUCT.primes, DEGREE)
    unseeded = so.save(so.public_key(scheme, words, part[:64]))
    with pytest.raises(MalformedMessage):
        PeerKeys.from_bytes(unseeded)
    with pytest.raises(MalformedMessage):
        PeerKeys.from_bytes(keys.public_bytes()[:TAG_BYTES] + unseeded + keys.public_bytes()[TAG_BYTES + PART :])


def test_stocked_zeros_are_handed_out_once(keys: KeyPair):
    own, peer = KeyPair.from_secret_bytes(keys.secret_bytes()), PeerKeys.from_bytes(keys.public_bytes())
    own.stock(3)  # of new objects: nothing is in stock from other tests
    seeds = [own.seeded_zero()[1] for _ in range(4)]
    assert len(set(seeds)) == 4
    peer.stock(2)
    zeros = [so.ciphertext_words(peer.fresh_zero(), 2) for _ in range(3)]
    assert all((a != b).mean() > 0.999 for a, b in zip(zeros, zeros[1:], strict=False))
