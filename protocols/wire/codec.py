"""The strict, canonical codec of every message between nodes.

`encode` checks a message and gives its one canonical encoding (fields in order of number, defaults absent, shortest
varints). `decode` takes exactly that: it refuses more bytes than allowed, bytes that do not parse, unknown fields at
any depth, any other spelling of the same message, and values outside their rules. Signatures and digests can
therefore cover transported bytes.
"""
from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, EncodeError, Message

from protocols.errors import MalformedMessage
from protocols.wire import envelope_pb2 as envelope
from protocols.wire import hub_pb2 as hub

VERSION = 1
CHUNK_BYTES = 512 * 1024  # payload of every chunk of a message but the last
MAX_FRAME_BYTES = 1024 * 1024  # one HubFrame, header and all
MAX_HELLO_BYTES = 4096
MAX_EVENT_BYTES = 128 * 1024
MAX_BODY_JSON_BYTES = 64 * 1024
MAX_CATALOGUE_BYTES = 1024 * 1024
MAX_SENTENCE_CHARS = 500
MAX_BULK_BYTES = 1 << 30
MAX_BULK_PARTIES = 128
MAX_BULK_WAIT_MS = 20_000
MAX_CALL_BYTES = MAX_FRAME_BYTES - 1024  # what one call outside runs carries, either way
MAX_CALL_MS = 60_000
DIGEST_BYTES = 32
SESSION_BYTES = 16
EVENT_STATES = ("started", "running", "finished", "failed", "cancelled")

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")
_RUN = re.compile(r"r-[0-9a-f]{16}\Z")
_KIND = re.compile(r"[a-z][a-z0-9._-]{0,63}\Z")
_METHOD = re.compile(r"[A-Z][A-Za-z]{0,31}\Z")
_SLOT = re.compile(r"[a-z0-9.:-]{1,96}\Z")

M = TypeVar("M", bound=Message)


def encode(message: Message) -> bytes:
    """The canonical bytes of a message; MalformedMessage if a value is outside its rule."""
    check(message)
    try:
        return message.SerializeToString(deterministic=True)
    except EncodeError:
        raise MalformedMessage(f"a {_name(message)} that cannot be encoded") from None


def decode(cls: type[M], data: bytes, max_bytes: int) -> M:
    """The message that `encode` turned into exactly `data`; MalformedMessage otherwise."""
    message = parse(cls, data, max_bytes)
    check(message)
    return message


def parse(cls: type[M], data: bytes, max_bytes: int) -> M:
    """The message whose canonical encoding is exactly `data`, its values not looked at; MalformedMessage otherwise."""
    label = cls.DESCRIPTOR.name
    if len(data) > max_bytes:
        raise MalformedMessage(f"expected a {label} of at most {max_bytes} bytes, got {len(data)}")
    message = cls()
    try:
        message.ParseFromString(data)
    except DecodeError:
        raise MalformedMessage(f"{len(data)} bytes that are no {label}") from None
    message.DiscardUnknownFields()  # so that they are missing below
    if message.SerializeToString(deterministic=True) != data:
        raise MalformedMessage(f"{label} with unknown fields or not in canonical form")
    return message


def check(message: Message) -> None:
    """Check every value of a message against its rule; MalformedMessage names type and field."""
    rule = _RULES.get(type(message))
    if rule is None:
        raise MalformedMessage(f"a {_name(message)} is no message of this protocol")
    rule(message)


def message_digest(kind: str, round_number: int, payload: bytes) -> bytes:
    """SHA-256 by which a message is recognised when it comes again: kind, round and payload; 32 bytes."""
    head = b"sealscore message v1\0" + len(kind).to_bytes(1, "big") + kind.encode() + round_number.to_bytes(4, "big")
    digest = hashlib.sha256(head)
    digest.update(payload)
    return digest.digest()


def is_name(text: str) -> bool:
    """True for a party name."""
    return _NAME.match(text) is not None


def is_run(text: str) -> bool:
    """True for a run id."""
    return _RUN.match(text) is not None


def is_kind(text: str) -> bool:
    """True for a message kind."""
    return _KIND.match(text) is not None


def is_slot(text: str) -> bool:
    """True for the name of a bulk."""
    return _SLOT.match(text) is not None


def _name(message: Message) -> str:
    return type(message).DESCRIPTOR.name


def _require(condition: bool, message: Message, field: str, expected: str) -> None:
    if not condition:
        raise MalformedMessage(f"{_name(message)}.{field}: expected {expected}")


def _check_version(message: Any) -> None:
    _require(message.version == VERSION, message, "version", f"{VERSION}; update the older node")


def _check_names(message: Any, *fields: str) -> None:
    for field in fields:
        _require(is_name(getattr(message, field)), message, field, "a party name")


def _check_run(message: Any) -> None:
    _require(is_run(message.run), message, "run", "r- and 16 hex digits")


def _check_lengths(message: Any, **lengths: int) -> None:
    for field, length in lengths.items():
        _require(len(getattr(message, field)) == length, message, field, f"{length} bytes")


def _check_envelope(message: envelope.Envelope) -> None:
    _check_version(message)
    _check_run(message)
    _check_names(message, "sender", "receiver")
    _require(message.sender != message.receiver, message, "receiver", "another party than the sender")
    _require(is_kind(message.kind), message, "kind", "a message kind")
    _check_lengths(message, agreement=DIGEST_BYTES, digest=DIGEST_BYTES)
    _require(message.seq >= 1, message, "seq", "at least 1")
    _require(message.chunks == chunk_count(message.size), message, "chunks", "size / 512 KiB, rounded up, at least 1")
    _require(message.chunk < message.chunks, message, "chunk", "a number below chunks")
    _check_lengths(message, payload=chunk_length(message.size, message.chunk))


def chunk_count(size: int) -> int:
    """Chunks of a payload of `size` bytes; an empty payload has one."""
    return max(1, -(-size // CHUNK_BYTES))


def chunk_length(size: int, chunk: int) -> int:
    """Bytes in chunk `chunk` of a payload of `size` bytes."""
    return min(CHUNK_BYTES, size - chunk * CHUNK_BYTES)


def _check_body(message: Any) -> None:
    body = message.WhichOneof("body")
    _require(body is not None, message, "body", "one body")
    check(getattr(message, body))


def _check_signed_hello(message: envelope.SignedHello) -> None:
    _check_lengths(message, signature=64)
    _require(0 < len(message.body) <= 1024, message, "body", "1 to 1024 bytes")


def _check_hello(message: Any) -> None:
    _check_version(message)
    _check_run(message)
    _check_names(message, "initiator", "responder")
    _require(message.initiator < message.responder, message, "initiator", "the name that sorts first")
    _check_lengths(message, agreement=DIGEST_BYTES, ephemeral=32, nonce=32)


def _check_hello_responder(message: envelope.HelloResponder) -> None:
    _check_hello(message)
    _check_lengths(message, hello=DIGEST_BYTES)


def _check_attach(message: hub.Attach) -> None:
    _check_version(message)
    _check_run(message)
    _check_names(message, "party", "peer")
    _require(message.party != message.peer, message, "peer", "another party")


def _check_header(message: hub.Header) -> None:
    _check_version(message)
    _check_run(message)
    _check_names(message, "sender", "receiver")
    _require(message.sender != message.receiver, message, "receiver", "another party than the sender")
    _require(hub.HELLO_INITIATOR <= message.kind <= hub.HELLO_REQUEST, message, "kind", "a known frame kind")
    if message.kind == hub.SEALED:
        _check_lengths(message, session=SESSION_BYTES)
    else:
        _check_lengths(message, session=0)
        _require(message.counter == 0, message, "counter", "0 outside a session")


def _check_relay(message: hub.Relay) -> None:
    _require(message.HasField("header"), message, "header", "a header")
    check(message.header)
    if message.header.kind == hub.HELLO_REQUEST:
        _check_lengths(message, body=0)
    elif message.header.kind != hub.SEALED:
        _require(0 < len(message.body) <= MAX_HELLO_BYTES, message, "body", f"1 to {MAX_HELLO_BYTES} bytes")
    else:
        _require(0 < len(message.body) <= MAX_FRAME_BYTES, message, "body", f"1 to {MAX_FRAME_BYTES} bytes")


def _check_notice(message: hub.Notice) -> None:
    if message.kind in (hub.PEER_ATTACHED, hub.PEER_DETACHED):
        _check_names(message, "party")
        _require(message.cause == "", message, "cause", "nothing")
    else:
        _require(message.kind in (hub.RUN_CANCELLED, hub.RUN_FAILED), message, "kind", "a known notice")
        _require(message.party == "", message, "party", "nothing")
        _check_sentence(message, "cause")


def _check_sentence(message: Any, field: str) -> None:
    text = getattr(message, field)
    _require(len(text) <= MAX_SENTENCE_CHARS and (text.isprintable() or not text), message, field,
             f"at most {MAX_SENTENCE_CHARS} printable characters")


def _check_event(message: hub.ProgressEvent) -> None:
    _check_names(message, "party")
    _check_run(message)
    _require(is_kind(message.phase), message, "phase", "a phase name")
    _require(message.state in EVENT_STATES, message, "state", " or ".join(EVENT_STATES))
    _require(0 <= message.fraction <= 1, message, "fraction", "a number from 0 to 1")
    _require(math.isfinite(message.eta_s) and message.eta_s >= 0, message, "eta_s", "seconds, 0 or more")
    _check_sentence(message, "cause")
    _check_sentence(message, "next_step")
    _require(len(message.body_json) <= MAX_BODY_JSON_BYTES, message, "body_json",
             f"at most {MAX_BODY_JSON_BYTES} bytes")


def _check_catalogue(message: hub.PartyCatalogue) -> None:
    _check_names(message, "party")
    _require(0 < len(message.catalogue_json) <= MAX_CATALOGUE_BYTES, message, "catalogue_json",
             f"1 to {MAX_CATALOGUE_BYTES} bytes")


def _check_slot(message: Any) -> None:
    _require(is_slot(message.slot), message, "slot", "1 to 96 characters of a-z, 0-9 and . : -")


def _check_parties(message: Any, field: str, least: int) -> None:
    names = getattr(message, field)
    _require(least <= len(names) <= MAX_BULK_PARTIES, message, field, f"{least} to {MAX_BULK_PARTIES} names")
    _require(all(map(is_name, names)), message, field, "party names")
    _require(all(one < other for one, other in zip(names, names[1:], strict=False)), message, field,
             "names in ascending order, each once")


def _check_bulk_size(message: Any) -> None:
    _require(1 <= message.size <= MAX_BULK_BYTES, message, "size", f"1 to {MAX_BULK_BYTES} bytes")


def _check_bulk_header(message: hub.BulkHeader) -> None:
    _check_version(message)
    _check_run(message)
    _check_slot(message)
    _check_names(message, "sender")
    _check_parties(message, "receivers", 1)
    _check_parties(message, "contributors", 0)
    if message.contributors:
        _require(message.sender in message.contributors, message, "sender", "one of the contributors")
    _check_bulk_size(message)
    _check_lengths(message, sha256=DIGEST_BYTES)


def _check_bulk_offer(message: hub.BulkOffer) -> None:
    _check_bulk_size(message)
    if message.sender:
        _check_names(message, "sender")
    _check_lengths(message, sha256=DIGEST_BYTES if message.sender else 0)


def _check_not_ready(message: hub.NotReady) -> None:
    _check_parties(message, "missing", 0)


def _check_bulk_chunk(message: hub.BulkChunk) -> None:
    if message.WhichOneof("body") == "data":
        _require(1 <= len(message.data) <= CHUNK_BYTES, message, "data", f"1 to {CHUNK_BYTES} bytes")
    else:
        _check_body(message)


def _check_bulk_request(message: hub.BulkRequest) -> None:
    _check_version(message)
    _check_run(message)
    _check_slot(message)
    _check_names(message, "party")
    _require(message.wait_ms <= MAX_BULK_WAIT_MS, message, "wait_ms", f"at most {MAX_BULK_WAIT_MS}")


def _check_call_body(message: Any) -> None:
    _require(1 <= len(message.body) <= MAX_CALL_BYTES, message, "body", f"1 to {MAX_CALL_BYTES} bytes")


def _check_method(message: Any) -> None:
    _require(_METHOD.match(message.method) is not None, message, "method", "a word of letters")


def _check_call_request(message: hub.CallRequest) -> None:
    _check_version(message)
    _check_names(message, "caller", "callee")
    _require(message.caller != message.callee, message, "callee", "another party than the caller")
    _check_method(message)
    _check_call_body(message)


def _check_callee(message: hub.Callee) -> None:
    _check_version(message)
    _check_names(message, "party")


def _check_called(message: hub.Called) -> None:
    _check_names(message, "caller")
    _check_method(message)
    _require(message.number >= 1, message, "number", "at least 1")
    _require(1 <= message.within_ms <= MAX_CALL_MS, message, "within_ms", f"1 to {MAX_CALL_MS}")
    _check_call_body(message)


def _check_answered(message: hub.Answered) -> None:
    _require(message.number >= 1, message, "number", "at least 1")
    _check_call_body(message)


def _check_nothing(message: Message) -> None:
    """Every value of the type is allowed."""


_RULES: dict[type[Message], Callable[[Any], None]] = {
    envelope.Envelope: _check_envelope,
    envelope.Progress: _check_nothing,
    envelope.Sealed: _check_body,
    envelope.SignedHello: _check_signed_hello,
    envelope.HelloInitiator: _check_hello,
    envelope.HelloResponder: _check_hello_responder,
    hub.HubFrame: _check_body,
    hub.Attach: _check_attach,
    hub.Header: _check_header,
    hub.Relay: _check_relay,
    hub.Notice: _check_notice,
    hub.ProgressEvent: _check_event,
    hub.PartyCatalogue: _check_catalogue,
    hub.Ack: _check_nothing,
    hub.BulkHeader: _check_bulk_header,
    hub.CallRequest: _check_call_request,
    hub.CallReply: _check_call_body,
    hub.CallFrame: _check_body,
    hub.Callee: _check_callee,
    hub.Called: _check_called,
    hub.Answered: _check_answered,
    hub.BulkOffer: _check_bulk_offer,
    hub.NotReady: _check_not_ready,
    hub.BulkChunk: _check_bulk_chunk,
    hub.BulkRequest: _check_bulk_request,
    hub.BulkAck: _check_nothing,
}
