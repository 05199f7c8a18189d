"""The messages of scoring.proto, checked: what decodes here is canonical, complete and within its bounds.

Every value outside its rule is a MalformedMessage that names message and field, and never the value.
"""
from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from google.protobuf.message import EncodeError, Message

from protocols.errors import MalformedMessage
from protocols.scoring import scoring_pb2 as pb
from protocols.wire.codec import is_name, parse

VERSION = 1
TOKEN_BYTES = REFERENCE_BYTES = USE_BYTES = SESSION_BYTES = 16
MAX_ITEMS = 64
MAX_USES = 1000
MAX_LACKS = 16
MAX_REVOKED = 1000
MAX_SHARED_BYTES = 16 * 1024 * 1024
MAX_HELLO_BYTES = 1024
MAX_CALL_BYTES = MAX_SHARED_BYTES + 128 * 1024  # one call, sealed
STEP = 1 / 32  # of log-odds and of the fraud score: 2^-5
MOST_STEPS = 32767  # of a platform's part, either sign
_MAX_S = 2**53

_MODEL = re.compile(r"m-[0-9a-f]{16}\Z")
_PURPOSE = re.compile(r"[a-z][a-z0-9-]{0,63}\Z")
_SNAPSHOT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}\Z")
_LACK = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")

M = TypeVar("M", bound=Message)


def encode(message: Message) -> bytes:
    """The canonical bytes of a message; MalformedMessage if a value is outside its rule."""
    _RULES[type(message)](message)
    try:
        return message.SerializeToString(deterministic=True)
    except EncodeError:
        raise MalformedMessage(f"a {type(message).DESCRIPTOR.name} that cannot be encoded") from None


def decode(cls: type[M], data: bytes, max_bytes: int = MAX_CALL_BYTES) -> M:
    """The message that `encode` turned into exactly `data`; MalformedMessage otherwise."""
    message = parse(cls, data, max_bytes)
    _RULES[cls](message)
    return message


def is_model(text: str) -> bool:
    """True for a model id."""
    return _MODEL.match(text) is not None


def is_purpose(text: str) -> bool:
    """True for the name of a purpose."""
    return _PURPOSE.match(text) is not None


def is_lack(text: str) -> bool:
    """True for the name of something that lacks."""
    return _LACK.match(text) is not None


def is_snapshot(text: str) -> bool:
    """True for the name of a snapshot of features."""
    return _SNAPSHOT.match(text) is not None


def _require(condition: bool, message: Message, field: str, expected: str) -> None:
    if not condition:
        raise MalformedMessage(f"{type(message).DESCRIPTOR.name}.{field}: expected {expected}")


def _lengths(message: Any, **lengths: int) -> None:
    for field, length in lengths.items():
        _require(len(getattr(message, field)) == length, message, field, f"{length} bytes")


def _version(message: Any) -> None:
    _require(message.version == VERSION, message, "version", f"{VERSION}; update the older node")


def _between(message: Any) -> None:
    _version(message)
    for field in ("bank", "platform"):
        _require(is_name(getattr(message, field)), message, field, "a party name")


def _signed_hello(message: pb.SignedHello) -> None:
    if message.fault:
        _require(not message.body and not message.signature, message, "fault", "no hello beside a fault")
        return
    _lengths(message, signature=64)
    _require(0 < len(message.body) <= 512, message, "body", "1 to 512 bytes")


def _bank_hello(message: Any) -> None:
    _between(message)
    _lengths(message, identity=32, ephemeral=32, nonce=32)


def _platform_hello(message: pb.PlatformHello) -> None:
    _bank_hello(message)
    _lengths(message, hello=32)


def _sealed(message: pb.Sealed) -> None:
    if message.fault:
        _require(not (message.session or message.counter or message.body), message, "fault", "nothing beside a fault")
        return
    _lengths(message, session=SESSION_BYTES)
    _require(len(message.body) >= 16, message, "body", "at least an authenticator")


def _grant_body(message: pb.GrantBody) -> None:
    _between(message)
    _lengths(message, token=TOKEN_BYTES, reference=REFERENCE_BYTES)
    _require(is_purpose(message.purpose), message, "purpose", "the name of a purpose")
    _require(0 < message.issued_at_s <= message.not_after_s < _MAX_S, message, "not_after_s",
             "a time not before issued_at_s")
    _require(1 <= message.maximum_uses <= MAX_USES, message, "maximum_uses", f"1 to {MAX_USES}")


def _grant(message: pb.Grant) -> None:
    _lengths(message, signature=64)
    _require(0 < len(message.body) <= 512, message, "body", "1 to 512 bytes")


def _score_request(message: pb.ScoreRequest) -> None:
    _version(message)
    _require(is_model(message.model), message, "model", "m- and 16 hex digits")
    _require(1 <= len(message.items) <= MAX_ITEMS, message, "items", f"1 to {MAX_ITEMS}")
    _require(len(message.shared) <= MAX_SHARED_BYTES, message, "shared", f"at most {MAX_SHARED_BYTES} bytes")
    for item in message.items:
        _lengths(item, token=TOKEN_BYTES, use=USE_BYTES)
        _grant(item.grant)


def _score_reply(message: pb.ScoreReply) -> None:
    _version(message)
    _require(message.refusal in pb.Refusal.values(), message, "refusal", "a known refusal")
    _require(len(message.shared) <= MAX_SHARED_BYTES, message, "shared", f"at most {MAX_SHARED_BYTES} bytes")
    if message.refusal:
        _require(not message.results and not message.shared, message, "refusal", "no results beside a refusal")
        return
    _require(1 <= len(message.results) <= MAX_ITEMS, message, "results", f"1 to {MAX_ITEMS}")
    for result in message.results:
        _score_result(result)


def _score_result(result: pb.ScoreResult) -> None:
    scored, lacking = result.status == pb.SCORED, result.status == pb.INSUFFICIENT_DATA
    _require(result.status in pb.Status.values()[1:], result, "status", "a known status")
    _require(abs(result.partial) <= MOST_STEPS and (scored or not result.partial), result, "partial",
             f"at most {MOST_STEPS} steps, of a scored person")
    _require(bool(result.lacks) == lacking and len(result.lacks) <= MAX_LACKS, result, "lacks",
             "names where data does not suffice, and only there")
    _require(all(map(is_lack, result.lacks)), result, "lacks", "names")
    _require(not result.HasField("fraud_score") or (scored and result.fraud_score <= 32), result, "fraud_score",
             "0 to 32, of a scored person")
    known = scored or lacking
    _require(is_snapshot(result.snapshot) if known else not result.snapshot, result, "snapshot",
             "a name where features were found, and only there")
    _require(result.age_s < _MAX_S and (known or not result.age_s), result, "age_s", "seconds")


def _revoke(message: pb.RevokeConsents) -> None:
    _version(message)
    named = [*message.references, *message.tokens]
    _require(1 <= len(named) <= MAX_REVOKED, message, "references", f"1 to {MAX_REVOKED}, tokens included")
    _require(all(len(one) == REFERENCE_BYTES for one in named), message, "references", f"{REFERENCE_BYTES} bytes each")
    _require(0 < message.at_s < _MAX_S, message, "at_s", "a time")


def _revoke_ack(message: pb.RevokeAck) -> None:
    _version(message)


_RULES: dict[type[Message], Callable[[Any], None]] = {
    pb.SignedHello: _signed_hello, pb.BankHello: _bank_hello, pb.PlatformHello: _platform_hello, pb.Sealed: _sealed,
    pb.GrantBody: _grant_body, pb.Grant: _grant, pb.ScoreRequest: _score_request, pb.ScoreReply: _score_reply,
    pb.RevokeConsents: _revoke, pb.RevokeAck: _revoke_ack,
}
