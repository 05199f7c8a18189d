"""The sealing handshake and session: against the specification, and against everybody on the way."""
from __future__ import annotations

import hashlib
import hmac
import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from protocols.crypto import sealing
from protocols.crypto.identity import IdentityKey
from protocols.crypto.sealing import AgreementMismatch, Initiator, SealingContext, Session, respond
from protocols.errors import MalformedMessage, ReplayRefused, TrustError
from protocols.wire import codec
from protocols.wire.envelope_pb2 import HelloInitiator, HelloResponder, SignedHello
from protocols.wire.hub_pb2 import HubFrame, Relay

VECTOR = json.loads((Path(__file__).parents[2] / "vectors" / "wire" / "sealing.json").read_text())
RUN = "r-" + "00" * 8
BANK_KEY, PLATFORM_KEY = IdentityKey.generate(), IdentityKey.generate()
BANK = SealingContext(RUN, bytes(32), "bank", "platform", BANK_KEY, PLATFORM_KEY.public)
PLATFORM = SealingContext(RUN, bytes(32), "platform", "bank", PLATFORM_KEY, BANK_KEY.public)


def pair(bank: SealingContext = BANK, platform: SealingContext = PLATFORM) -> tuple[Session, Session]:
    initiator = Initiator(bank)
    answer, theirs = respond(platform, initiator.hello)
    return initiator.finish(answer), theirs


def test_both_directions_in_order() -> None:
    bank, platform = pair()
    assert bank.id == platform.id
    for text in (b"one", b"", b"x" * 600_000):
        assert platform.open(bank.seal(text)) == text
        assert bank.open(platform.seal(text)) == text


def test_every_handshake_has_its_own_session_and_keys() -> None:
    frames = [pair()[0].seal(b"same") for _ in range(8)]
    assert len({f.header.session for f in frames}) == len({f.body for f in frames}) == 8


def test_the_two_directions_have_different_keys() -> None:
    bank, platform = pair()
    assert bank.seal(b"same").body != platform.seal(b"same").body


def test_a_replayed_hello_gives_another_session_that_opens_nothing() -> None:
    initiator = Initiator(BANK)
    answer, first = respond(PLATFORM, initiator.hello)
    again_answer, second = respond(PLATFORM, initiator.hello)
    bank = initiator.finish(answer)
    frame = bank.seal(b"text")
    assert answer != again_answer
    assert first.id != second.id
    assert first.seal(b"same").body != second.seal(b"same").body
    with pytest.raises(MalformedMessage):
        second.open(frame)
    with pytest.raises(ReplayRefused):
        initiator.finish(again_answer)


def test_an_answer_to_another_hello_is_refused() -> None:
    answer, _ = respond(PLATFORM, Initiator(BANK).hello)
    with pytest.raises(ReplayRefused, match="another hello"):
        Initiator(BANK).finish(answer)


def test_a_frame_again_is_refused_and_the_session_goes_on() -> None:
    bank, platform = pair()
    first = bank.seal(b"1")
    platform.open(first)
    for _ in range(2):
        with pytest.raises(ReplayRefused, match="again"):
            platform.open(first)
    assert platform.open(bank.seal(b"2")) == b"2"
    assert not platform.broken


def test_a_lost_or_reordered_frame_breaks_the_session() -> None:
    bank, platform = pair()
    bank.seal(b"lost")
    with pytest.raises(ReplayRefused, match="reordered or lost"):
        platform.open(bank.seal(b"2"))
    assert platform.broken


def test_a_forged_counter_does_not_break_the_session() -> None:
    bank, platform = pair()
    frame = bank.seal(b"1")
    forged = Relay()
    forged.CopyFrom(frame)
    for counter in (1, 2**62, 2**64 - 1):
        forged.header.counter = counter
        with pytest.raises(MalformedMessage):
            platform.open(forged)
    assert not platform.broken
    assert platform.open(frame) == b"1"


def test_every_changed_byte_is_noticed() -> None:
    bank, platform = pair()
    frame = bank.seal(b"secret")
    data = codec.encode(HubFrame(relay=frame))
    for position in range(len(data)):
        changed = data[:position] + bytes([data[position] ^ 1]) + data[position + 1:]
        with pytest.raises((MalformedMessage, ReplayRefused)):
            platform.open(codec.decode(HubFrame, changed, len(changed)).relay)
    assert platform.open(frame) == b"secret"


def test_a_frame_reflected_to_its_sender_is_refused() -> None:
    bank, _ = pair()
    frame = bank.seal(b"1")
    with pytest.raises(MalformedMessage):
        bank.open(frame)
    frame.header.sender, frame.header.receiver = "platform", "bank"
    with pytest.raises(MalformedMessage):
        bank.open(frame)


@pytest.mark.parametrize("change", [{"run": "r-" + "11" * 8}, {"peer": "other"}, {"own": "other"}])
def test_hellos_of_another_run_or_pair_are_refused(change: dict) -> None:
    with pytest.raises(MalformedMessage, match="another run or another pair"):
        respond(replace(PLATFORM, **change), Initiator(BANK).hello)


def test_another_agreement_is_refused_by_name() -> None:
    with pytest.raises(AgreementMismatch, match="bank is in run .* another agreement"):
        respond(replace(PLATFORM, agreement=b"\1" * 32), Initiator(BANK).hello)
    initiator = Initiator(BANK)
    body = codec.decode(SignedHello, respond(PLATFORM, initiator.hello)[0], 4096).body
    answer = codec.decode(HelloResponder, body, 4096)
    answer.agreement = b"\1" * 32
    with pytest.raises(AgreementMismatch):
        initiator.finish(signed(PLATFORM_KEY, sealing.RESPONDER_CONTEXT, codec.encode(answer)))


def signed(key: IdentityKey, context: bytes, body: bytes) -> bytes:
    return codec.encode(SignedHello(body=body, signature=key.sign(context, body)))


def test_an_identity_that_is_not_pinned_is_refused_on_both_sides() -> None:
    stranger = IdentityKey.generate()
    with pytest.raises(TrustError, match="identity pinned"):
        respond(PLATFORM, Initiator(replace(BANK, identity=stranger)).hello)
    initiator = Initiator(BANK)
    answer, _ = respond(replace(PLATFORM, identity=stranger), initiator.hello)
    with pytest.raises(TrustError, match="identity pinned"):
        initiator.finish(answer)


def test_a_hello_does_not_pass_as_its_answer() -> None:
    initiator = Initiator(BANK)
    with pytest.raises(TrustError):
        initiator.finish(initiator.hello)


@pytest.mark.parametrize("point", [bytes(32), b"\1" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"])
def test_ephemeral_keys_of_small_order_are_refused(point: bytes) -> None:
    hello = codec.decode(SignedHello, Initiator(BANK).hello, 4096)
    body = codec.decode(HelloInitiator, hello.body, 4096)
    body.ephemeral = point
    with pytest.raises(MalformedMessage, match="small order"):
        respond(PLATFORM, signed(BANK_KEY, sealing.INITIATOR_CONTEXT, codec.encode(body)))


def test_sessions_are_neither_printed_nor_pickled() -> None:
    session, _ = pair()
    assert repr(session) == "Session(REDACTED)"
    with pytest.raises(TypeError):
        pickle.dumps(session)


# the specification, computed again from the vector with the standard library

def hkdf(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869 with SHA-256."""
    key = hmac.digest(salt, secret, "sha256")
    return hmac.digest(key, info + b"\1", "sha256")[:length]


def unhex(name: str, party: str | None = None) -> bytes:
    return bytes.fromhex(VECTOR[name][party] if party else VECTOR[name])


def test_vector_keys_and_frames_follow_the_specification() -> None:
    peer = X25519PrivateKey.from_private_bytes(unhex("ephemerals", "platform")).public_key().public_bytes_raw()
    own = X25519PrivateKey.from_private_bytes(unhex("ephemerals", "bank"))
    shared = own.exchange(X25519PublicKey.from_public_bytes(peer))
    hellos = hashlib.sha256(unhex("initiator_hello")).digest() + hashlib.sha256(unhex("responder_hello")).digest()
    salt = hashlib.sha256(b"sealscore sealing transcript v1\0" + hellos).digest()
    assert hkdf(shared, salt, b"sealscore sealing v1 session id", 16) == unhex("session")
    keys = {"bank": hkdf(shared, salt, b"sealscore sealing v1 initiator to responder", 32),
            "platform": hkdf(shared, salt, b"sealscore sealing v1 responder to initiator", 32)}
    counters = {"bank": 0, "platform": 0}
    for entry in VECTOR["frames"]:
        relay = codec.decode(HubFrame, bytes.fromhex(entry["frame"]), 1000).relay
        nonce = bytes(4) + counters[entry["sender"]].to_bytes(8, "big")
        plain = ChaCha20Poly1305(keys[entry["sender"]]).decrypt(nonce, relay.body, relay.header.SerializeToString())
        assert plain.hex() == entry["plaintext"]
        counters[entry["sender"]] += 1


class Fixed:
    """Stands for both random sources of the module; `party` says whose turn it is."""

    party = "bank"

    @classmethod
    def generate(cls) -> X25519PrivateKey:
        return X25519PrivateKey.from_private_bytes(unhex("ephemerals", cls.party))

    @classmethod
    def urandom(cls, length: int) -> bytes:
        return unhex("nonces", cls.party)[:length]


def test_vector_is_what_the_code_produces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "X25519PrivateKey", Fixed)
    monkeypatch.setattr(sealing, "os", Fixed)
    monkeypatch.setattr(Fixed, "party", "bank")
    keys = {p: IdentityKey(Ed25519PrivateKey.from_private_bytes(unhex("identity_seeds", p)))
            for p in ("bank", "platform")}
    bank = SealingContext(VECTOR["run"], unhex("agreement"), "bank", "platform", keys["bank"],
                          keys["platform"].public)
    platform = SealingContext(VECTOR["run"], unhex("agreement"), "platform", "bank", keys["platform"],
                              keys["bank"].public)
    initiator = Initiator(bank)
    Fixed.party = "platform"
    answer, theirs = respond(platform, initiator.hello)
    assert (initiator.hello, answer) == (unhex("initiator_hello"), unhex("responder_hello"))
    sessions = {"bank": initiator.finish(answer), "platform": theirs}
    for entry in VECTOR["frames"]:
        relay = sessions[entry["sender"]].seal(bytes.fromhex(entry["plaintext"]))
        assert codec.encode(HubFrame(relay=relay)).hex() == entry["frame"]
