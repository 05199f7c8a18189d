"""Sealing between two parties of a run: an authenticated key agreement and an AEAD session.

    initiator (name sorts first)                         responder
      HelloInitiator{run, agreement, names, X25519 e_i, nonce}, signed  ->
                            <-  HelloResponder{the same, e_r, nonce, digest of the initiator's hello}, signed
    keys, session id = HKDF-SHA256(X25519(e_i, e_r), salt = SHA-256(both hellos as transported))

The pattern is sign-and-bind as in SIGMA (Krawczyk 2003 §3; both names stand under both signatures). Signatures are
checked against the pinned identity of the peer and nothing else. Both ephemerals are fresh in every handshake, so a
replayed hello can never lead to a key that was used before, hence never to a repeated nonce. The responder must not
drop an older session before the new one has opened a frame: until then the hello may be a replay.

Frames: ChaCha20-Poly1305 (RFC 8439 §2.8), one key per direction, nonce = 4 zero bytes and the 8-byte big-endian
frame counter, associated data = the canonical outer header. The counter must be exactly the next one.
"""
from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocols.crypto.identity import IdentityKey, verify
from protocols.errors import MalformedMessage, ReplayRefused, TrustError
from protocols.wire import codec
from protocols.wire.envelope_pb2 import HelloInitiator, HelloResponder, SignedHello
from protocols.wire.hub_pb2 import SEALED, Header, Relay

INITIATOR_CONTEXT = b"sealscore sealing initiator v1"
RESPONDER_CONTEXT = b"sealscore sealing responder v1"
TAG_BYTES = 16
_MAX_COUNTER = 2**62


class AgreementMismatch(TrustError):
    """The peer, properly signed, is in the run under another agreement."""


@dataclass(frozen=True, repr=False)
class SealingContext:
    """Who seals for whom: `agreement` is the 32-byte digest, `peer_public` the pinned raw identity of `peer`."""

    run: str
    agreement: bytes
    own: str
    peer: str
    identity: IdentityKey
    peer_public: bytes

    @property
    def initiates(self) -> bool:
        """True at the party whose name sorts first."""
        return self.own < self.peer

    def names(self) -> dict[str, str]:
        """The `initiator` and `responder` fields of a hello."""
        return {"initiator": min(self.own, self.peer), "responder": max(self.own, self.peer)}

    def __repr__(self) -> str:
        return f"SealingContext({self.run}, {self.own} -> {self.peer})"


class Initiator:
    """One handshake of the initiator: send `hello`, then give the answer to `finish`, once."""

    def __init__(self, context: SealingContext):
        self._context = context
        self._ephemeral: X25519PrivateKey | None = X25519PrivateKey.generate()
        body = codec.encode(HelloInitiator(
            version=codec.VERSION, run=context.run, agreement=context.agreement, **context.names(),
            ephemeral=self._ephemeral.public_key().public_bytes_raw(), nonce=os.urandom(32)))
        self.hello = _signed(context.identity, INITIATOR_CONTEXT, body)

    def finish(self, response: bytes) -> Session:
        """The session agreed with the peer's signed hello; TrustError, MalformedMessage or ReplayRefused."""
        if self._ephemeral is None:
            raise ReplayRefused("a second answer to one handshake")
        body = _opened(self._context, RESPONDER_CONTEXT, response)
        answer = codec.decode(HelloResponder, body, codec.MAX_HELLO_BYTES)
        _check_fields(self._context, answer)
        if answer.hello != hashlib.sha256(self.hello).digest():
            raise ReplayRefused("an answer to another hello than the last one sent")
        session = _session(self._context, self._ephemeral, answer.ephemeral, self.hello, response)
        self._ephemeral = None
        return session


def respond(context: SealingContext, hello: bytes) -> tuple[bytes, Session]:
    """The responder's signed answer to a signed hello, and the session; TrustError or MalformedMessage."""
    body = _opened(context, INITIATOR_CONTEXT, hello)
    offer = codec.decode(HelloInitiator, body, codec.MAX_HELLO_BYTES)
    _check_fields(context, offer)
    ephemeral = X25519PrivateKey.generate()
    answer = codec.encode(HelloResponder(
        version=codec.VERSION, run=context.run, agreement=context.agreement, **context.names(),
        ephemeral=ephemeral.public_key().public_bytes_raw(), nonce=os.urandom(32),
        hello=hashlib.sha256(hello).digest()))
    response = _signed(context.identity, RESPONDER_CONTEXT, answer)
    return response, _session(context, ephemeral, offer.ephemeral, hello, response)


class Session:
    """Seals frames to the peer and opens the peer's, each direction in strict order."""

    def __init__(self, context: SealingContext, session_id: bytes, send_key: bytes, receive_key: bytes):
        self.id = session_id
        self._context = context
        self._send, self._receive = ChaCha20Poly1305(send_key), ChaCha20Poly1305(receive_key)
        self._sent = self._received = 0
        self.broken = False  # a frame was lost: nothing further can be opened

    def seal(self, plaintext: bytes) -> Relay:
        """The next frame to the peer."""
        if self._sent >= _MAX_COUNTER:
            raise ReplayRefused("this session has sealed all frames it may; make a new handshake")
        header = self._header(self._context.own, self._context.peer, self._sent)
        self._sent += 1
        body = self._send.encrypt(_nonce(header.counter), plaintext, codec.encode(header))
        return Relay(header=header, body=body)

    def open(self, frame: Relay) -> bytes:
        """The plaintext of the peer's next frame.

        ReplayRefused for a counter below the expected one, and for an authentic frame above it (then `broken`);
        MalformedMessage for a frame of another session or sender, or one that was changed.
        """
        header = frame.header
        if header != self._header(self._context.peer, self._context.own, header.counter):
            raise MalformedMessage("a sealed frame of another run, sender, receiver or session")
        if header.counter < self._received:
            raise ReplayRefused(f"expected frame {self._received}, got frame {header.counter} again")
        plaintext = self._decrypt(header, frame.body)
        if header.counter > self._received:
            self.broken = True
            raise ReplayRefused(f"expected frame {self._received}, got frame {header.counter}: reordered or lost")
        self._received += 1
        return plaintext

    def _decrypt(self, header: Header, body: bytes) -> bytes:
        if header.counter >= _MAX_COUNTER:
            raise MalformedMessage("a frame counter beyond its bound")
        try:
            return self._receive.decrypt(_nonce(header.counter), body, codec.encode(header))
        except InvalidTag:
            raise MalformedMessage("a sealed frame that was changed on its way") from None

    def _header(self, sender: str, receiver: str, counter: int) -> Header:
        return Header(version=codec.VERSION, run=self._context.run, sender=sender, receiver=receiver, kind=SEALED,
                      session=self.id, counter=counter)

    def __repr__(self) -> str:
        return "Session(REDACTED)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a sealing Session cannot be pickled or copied")


def _signed(identity: IdentityKey, context: bytes, body: bytes) -> bytes:
    return codec.encode(SignedHello(body=body, signature=identity.sign(context, body)))


def _opened(context: SealingContext, purpose: bytes, data: bytes) -> bytes:
    """The body of a signed hello, its signature checked against the pinned identity before anything is parsed."""
    signed = codec.decode(SignedHello, data, codec.MAX_HELLO_BYTES)
    try:
        verify(context.peer_public, purpose, signed.body, signed.signature)
    except TrustError:
        raise TrustError(f"a hello for {context.peer} is not signed by the identity pinned for it; compare "
                         f"fingerprints with {context.peer} by telephone") from None
    return signed.body


def _check_fields(context: SealingContext, hello: HelloInitiator | HelloResponder) -> None:
    names = context.names()
    if (hello.run, hello.initiator, hello.responder) != (context.run, names["initiator"], names["responder"]):
        raise MalformedMessage(f"a hello of {context.peer} for another run or another pair of parties")
    if hello.agreement != context.agreement:
        raise AgreementMismatch(f"{context.peer} is in run {context.run} under another agreement; start the run again")


def _session(context: SealingContext, own: X25519PrivateKey, peer: bytes, hello: bytes, response: bytes) -> Session:
    try:
        shared = own.exchange(X25519PublicKey.from_public_bytes(peer))
    except ValueError:  # RFC 7748 §6.1: an all-zero result means a point of small order
        raise MalformedMessage("a hello whose ephemeral key is of small order") from None
    transcript = hashlib.sha256(b"sealscore sealing transcript v1\0"
                                + hashlib.sha256(hello).digest() + hashlib.sha256(response).digest()).digest()
    forward = _derive(shared, transcript, b"initiator to responder", 32)
    backward = _derive(shared, transcript, b"responder to initiator", 32)
    session_id = _derive(shared, transcript, b"session id", codec.SESSION_BYTES)
    send, receive = (forward, backward) if context.initiates else (backward, forward)
    return Session(context, session_id, send, receive)


def _derive(secret: bytes, salt: bytes, purpose: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, b"sealscore sealing v1 " + purpose).derive(secret)


def _nonce(counter: int) -> bytes:
    return counter.to_bytes(12, "big")
