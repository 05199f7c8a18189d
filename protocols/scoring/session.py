"""Sealing of single calls between a bank and a platform: keys agreed once per process, calls in any order.

    BankHello{names, identity, X25519 e_b, nonce}, signed                         ->
                     <-  PlatformHello{the same, e_p, nonce, SHA-256 of the bank's hello}, signed
    keys, session id = HKDF-SHA256(X25519(e_b, e_p), salt = SHA-256(both hellos as transported))

Sign-and-bind as in SIGMA (Krawczyk 2003 §3; both names stand under both signatures). An identity counts only if its
fingerprint is the pinned one, so whoever runs the certificate authority still cannot speak for a party.

A call is ChaCha20-Poly1305 (RFC 8439 §2.8) under the key of its direction; nonce = the call's counter, associated data
= method, session and counter. Calls overtake each other, so the platform takes each counter once, within a window
(RFC 4303 §3.4.3); the reply has the counter of its request and there is one reply, so no nonce comes twice.
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

from protocols.crypto.identity import IdentityKey, fingerprint, verify
from protocols.errors import MalformedMessage, ReplayRefused, TrustError
from protocols.scoring import messages as m
from protocols.scoring import scoring_pb2 as pb

BANK_CONTEXT = b"sealscore scoring bank v1"
PLATFORM_CONTEXT = b"sealscore scoring platform v1"
WINDOW = 4096
_MAX_COUNTER = 2**62


@dataclass(frozen=True, repr=False)
class Pair:
    """Who talks to whom, seen from one side: `pinned` is the fingerprint of the other side's identity."""

    bank: str
    platform: str
    identity: IdentityKey
    pinned: str

    def names(self) -> dict[str, str]:
        """The fields of a hello that name both."""
        return {"bank": self.bank, "platform": self.platform}


class BankHandshake:
    """One handshake of the bank: send `hello`, give the answer to `finish`."""

    def __init__(self, pair: Pair):
        self._pair, self._ephemeral = pair, X25519PrivateKey.generate()
        body = m.encode(pb.BankHello(version=m.VERSION, **pair.names(), **_fresh(pair, self._ephemeral)))
        self.hello = _signed(pair.identity, BANK_CONTEXT, body)

    def finish(self, answer: bytes) -> BankSession:
        """The session with the platform; TrustError, MalformedMessage or ReplayRefused."""
        told = _opened(self._pair, self._pair.platform, PLATFORM_CONTEXT, pb.PlatformHello, answer)
        if told.hello != hashlib.sha256(self.hello).digest():
            raise ReplayRefused("an answer to another hello than the last one sent")
        keys = _Keys(self._ephemeral, told.ephemeral, self.hello, answer)
        return BankSession(keys.id, keys.of_bank, keys.of_platform)


def welcome(pair: Pair, hello: bytes) -> tuple[bytes, PlatformSession]:
    """The platform's signed answer to a bank's hello, and the session; TrustError or MalformedMessage."""
    told = _opened(pair, pair.bank, BANK_CONTEXT, pb.BankHello, hello)
    ephemeral = X25519PrivateKey.generate()
    body = m.encode(pb.PlatformHello(version=m.VERSION, **pair.names(), **_fresh(pair, ephemeral),
                                     hello=hashlib.sha256(hello).digest()))
    answer = _signed(pair.identity, PLATFORM_CONTEXT, body)
    keys = _Keys(ephemeral, told.ephemeral, hello, answer)
    return answer, PlatformSession(keys.id, keys.of_platform, keys.of_bank, pair.bank, told.identity)


def announced(hello: bytes) -> str:
    """The bank that a hello names, before anything is verified; MalformedMessage."""
    return m.decode(pb.BankHello, m.decode(pb.SignedHello, hello, m.MAX_HELLO_BYTES).body, m.MAX_HELLO_BYTES).bank


class _Session:
    """Two ciphers. Unprintable and unpicklable; for one thread at a time."""

    def __init__(self, session_id: bytes, send: bytes, receive: bytes):
        self.id = session_id
        self._send, self._receive = ChaCha20Poly1305(send), ChaCha20Poly1305(receive)

    def _seal(self, method: str, counter: int, plaintext: bytes) -> bytes:
        body = self._send.encrypt(_nonce(counter), plaintext, self._bound(method, counter))
        return m.encode(pb.Sealed(session=self.id, counter=counter, body=body))

    def _open(self, method: str, frame: pb.Sealed) -> bytes:
        if frame.session != self.id or frame.counter >= _MAX_COUNTER:
            raise MalformedMessage("a sealed call of another session")
        try:
            return self._receive.decrypt(_nonce(frame.counter), frame.body, self._bound(method, frame.counter))
        except InvalidTag:
            raise MalformedMessage("a sealed call that was changed on its way") from None

    def _bound(self, method: str, counter: int) -> bytes:
        return b"sealscore scoring call v1\0" + self.id + counter.to_bytes(8, "big") + method.encode()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(REDACTED)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a scoring session cannot be pickled or copied")


class BankSession(_Session):
    """Seals requests, opens their replies."""

    def __init__(self, session_id: bytes, send: bytes, receive: bytes):
        super().__init__(session_id, send, receive)
        self._next = 0

    def request(self, method: str, plaintext: bytes) -> tuple[int, bytes]:
        """(counter, bytes of the next request)."""
        counter, self._next = self._next, self._next + 1
        if counter >= _MAX_COUNTER:
            raise ReplayRefused("this session has sealed all calls it may; say hello again")
        return counter, self._seal(method, counter, plaintext)

    def reply(self, method: str, counter: int, frame: pb.Sealed) -> bytes:
        """The plaintext of the reply to request `counter`; MalformedMessage for anything else."""
        if frame.counter != counter:
            raise MalformedMessage("a reply to another request")
        return self._open(method, frame)


class PlatformSession(_Session):
    """Opens the requests of `bank`, whose raw identity is `public`, each once, and seals one reply to each."""

    def __init__(self, session_id: bytes, send: bytes, receive: bytes, bank: str, public: bytes):
        super().__init__(session_id, send, receive)
        self.bank, self.public = bank, public
        self._highest, self._seen = -1, set[int]()

    def request(self, method: str, frame: pb.Sealed) -> bytes:
        """The plaintext; MalformedMessage, or ReplayRefused for a counter that came before or is too old."""
        plaintext = self._open(method, frame)
        if frame.counter in self._seen or frame.counter <= self._highest - WINDOW:
            raise ReplayRefused("a sealed call that came before")
        self._seen.add(frame.counter)
        self._highest = max(self._highest, frame.counter)
        if len(self._seen) > 2 * WINDOW:
            self._seen = {seen for seen in self._seen if seen > self._highest - WINDOW}
        return plaintext

    def reply(self, method: str, counter: int, plaintext: bytes) -> bytes:
        """The bytes of the reply to request `counter`, which may be sealed once."""
        return self._seal(method, counter, plaintext)


class _Keys:
    """What both hellos give."""

    def __init__(self, own: X25519PrivateKey, peer: bytes, hello: bytes, answer: bytes):
        try:
            shared = own.exchange(X25519PublicKey.from_public_bytes(peer))
        except ValueError:  # RFC 7748 §6.1: an all-zero result means a point of small order
            raise MalformedMessage("a hello whose ephemeral key is of small order") from None
        salt = hashlib.sha256(hashlib.sha256(hello).digest() + hashlib.sha256(answer).digest()).digest()
        self.of_bank = _derive(shared, salt, b"bank to platform", 32)
        self.of_platform = _derive(shared, salt, b"platform to bank", 32)
        self.id = _derive(shared, salt, b"session id", m.SESSION_BYTES)


def _derive(secret: bytes, salt: bytes, purpose: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, b"sealscore scoring v1 " + purpose).derive(secret)


def _fresh(pair: Pair, ephemeral: X25519PrivateKey) -> dict[str, bytes]:
    return {"identity": pair.identity.public, "ephemeral": ephemeral.public_key().public_bytes_raw(),
            "nonce": os.urandom(32)}


def _signed(identity: IdentityKey, context: bytes, body: bytes) -> bytes:
    return m.encode(pb.SignedHello(body=body, signature=identity.sign(context, body)))


def _opened(pair: Pair, peer: str, context: bytes, cls: type, data: bytes) -> pb.BankHello | pb.PlatformHello:
    """The hello of `peer`: of these two names, and signed by the identity that is pinned for it."""
    signed = m.decode(pb.SignedHello, data, m.MAX_HELLO_BYTES)
    told = m.decode(cls, signed.body, m.MAX_HELLO_BYTES)
    if fingerprint(told.identity) != pair.pinned:
        raise TrustError(f"{peer} says hello with another identity than the one pinned for it; compare fingerprints "
                         f"with {peer} by telephone")
    verify(told.identity, context, signed.body, signed.signature)
    if (told.bank, told.platform) != (pair.bank, pair.platform):
        raise MalformedMessage("a hello between two other parties")
    return told


def _nonce(counter: int) -> bytes:
    return counter.to_bytes(12, "big")
