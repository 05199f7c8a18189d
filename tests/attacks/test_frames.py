"""Attacks on the way between two parties: frames again and in another order, changed frames, another identity."""
from __future__ import annotations

import os

import pytest

from protocols.crypto import sealing
from protocols.crypto.identity import IdentityKey
from protocols.crypto.sealing import Initiator, SealingContext, Session, respond
from protocols.errors import MalformedMessage, ProtocolError, ReplayRefused, SealscoreError, TrustError
from protocols.wire.hub_pb2 import Relay

RUN = "r-" + "00" * 8
BANK_KEY, PLATFORM_KEY, COORDINATOR_KEY = (IdentityKey.generate() for _ in range(3))
BANK = SealingContext(RUN, bytes(32), "bank", "platform", BANK_KEY, PLATFORM_KEY.public)
PLATFORM = SealingContext(RUN, bytes(32), "platform", "bank", PLATFORM_KEY, BANK_KEY.public)
AS_PLATFORM = SealingContext(RUN, bytes(32), "platform", "bank", COORDINATOR_KEY, BANK_KEY.public)
PARTS = [b"part 0 of a sum", b"part 1 of a sum", b"part 2 of a sum"]


def sessions() -> tuple[Session, Session]:
    initiator = Initiator(BANK)
    answer, theirs = respond(PLATFORM, initiator.hello)
    return initiator.finish(answer), theirs


class Careless(Session):
    """Twin: opens whatever was once sealed for it, in any order and as often as it comes."""

    @classmethod
    def of(cls, session: Session) -> Careless:
        made = cls.__new__(cls)
        made.__dict__.update(session.__dict__)
        return made

    def open(self, frame: Relay) -> bytes:
        return self._decrypt(frame.header, frame.body)


# ---------------------------------------------------------------- replayed and reordered frames


def taken(receiver: Session, frames: list[Relay]) -> list[bytes]:
    """Somebody on the way hands over frames as it likes: what the receiver takes for the peer's words."""
    out = []
    for frame in frames:
        try:
            out.append(receiver.open(frame))
        except ReplayRefused:
            continue
    return out


@pytest.mark.parametrize("order", [[0, 1, 0, 2], [0, 0, 1, 2], [0, 1, 2, 2, 1, 0]])
def test_replayed_frames(order: list[int]) -> None:
    bank, platform = sessions()
    frames = [bank.seal(part) for part in PARTS]
    handed = [frames[k] for k in order]
    assert taken(Careless.of(platform), handed) == [PARTS[k] for k in order], "a part counts twice"
    assert taken(platform, handed) == PARTS


@pytest.mark.parametrize("order", [[1, 0, 2], [0, 2, 1], [2, 1, 0]])
def test_reordered_frames(order: list[int]) -> None:
    bank, platform = sessions()
    frames = [bank.seal(part) for part in PARTS]
    handed = [frames[k] for k in order]
    assert taken(Careless.of(platform), handed) == [PARTS[k] for k in order]
    ours = taken(platform, handed)
    assert ours == PARTS[: len(ours)] and len(ours) < len(PARTS), "what is taken is the beginning, in order"
    assert platform.broken, "the link makes a new session and sends the rest again"


def test_frames_of_an_earlier_session_are_none_of_this_one() -> None:
    (earlier, _), (_, platform) = sessions(), sessions()
    with pytest.raises(MalformedMessage, match="another run, sender, receiver or session"):
        platform.open(earlier.seal(PARTS[0]))


# ---------------------------------------------------------------- reading and changing frames (sealing removed)


def read(frame: Relay, secret: bytes) -> bool:
    """Hub: whether what was sealed can be seen in the frame."""
    return secret in frame.body


def flip(frame: Relay, at: int) -> Relay:
    """Hub: the same frame with one bit changed."""
    body = bytearray(frame.body)
    body[at % len(body)] ^= 1
    return Relay(header=frame.header, body=bytes(body))


class Open:
    """Twin: no AEAD."""

    def __init__(self, _key: bytes):
        """Any key will do."""

    def encrypt(self, _nonce: bytes, plaintext: bytes, _header: bytes) -> bytes:
        return plaintext + bytes(16)

    def decrypt(self, _nonce: bytes, body: bytes, _header: bytes) -> bytes:
        return body[:-16]


def test_the_hub_reads_and_changes_frames(monkeypatch) -> None:
    secret = os.urandom(64)
    with monkeypatch.context() as twin:
        twin.setattr(sealing, "ChaCha20Poly1305", Open)
        bank, platform = sessions()
        frame = bank.seal(secret)
        assert read(frame, secret)
        assert platform.open(flip(frame, 5)) != secret, "a changed frame is taken"
    bank, platform = sessions()
    frame = bank.seal(secret)
    assert not any(read(frame, secret[k : k + 8]) for k in range(57))
    for at in range(len(frame.body)):
        with pytest.raises(MalformedMessage, match="changed on its way"):
            platform.open(flip(frame, at))
    assert platform.open(frame) == secret


# ---------------------------------------------------------------- a substituted public key


def substitute(hello: bytes, finish, public: bytes) -> tuple[bytes, Relay]:
    """Coordinator: answer the bank's hello in the platform's name with its own identity, read what the bank sends to
    the platform, and send keys of its own back. -> (what it read, its frame)."""
    answer, session = respond(AS_PLATFORM, hello)
    bank = finish(answer)
    return session.open(bank.seal(b"the bank's public keys")), session.seal(public)


def test_a_substituted_public_key(monkeypatch) -> None:
    with monkeypatch.context() as twin:
        twin.setattr(sealing, "verify", lambda *parts: None)  # twin: whoever signed is believed
        initiator = Initiator(BANK)
        seen, _ = substitute(initiator.hello, initiator.finish, b"keys of the coordinator")
        assert seen == b"the bank's public keys", "the bank would now encrypt for the coordinator"
    initiator = Initiator(BANK)
    with pytest.raises(TrustError, match="not signed by the identity pinned"):
        substitute(initiator.hello, initiator.finish, b"keys of the coordinator")


def test_an_honest_answer_to_another_hello_is_no_answer() -> None:
    """The coordinator cannot splice two handshakes of the same parties either."""
    answer, _ = respond(PLATFORM, Initiator(BANK).hello)
    with pytest.raises(ReplayRefused):
        Initiator(BANK).finish(answer)


def test_every_refusal_is_one_of_ours() -> None:
    """So that a caller that ends a link on ProtocolError and TrustError ends it on all of them."""
    assert issubclass(MalformedMessage, ProtocolError) and issubclass(ReplayRefused, ProtocolError)
    assert issubclass(TrustError, SealscoreError)
