from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Envelope(_message.Message):
    __slots__ = ("version", "run", "round", "sender", "receiver", "kind", "agreement", "seq", "chunk", "chunks", "size", "digest", "payload")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    RECEIVER_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    version: int
    run: str
    round: int
    sender: str
    receiver: str
    kind: str
    agreement: bytes
    seq: int
    chunk: int
    chunks: int
    size: int
    digest: bytes
    payload: bytes
    def __init__(self, version: _Optional[int] = ..., run: _Optional[str] = ..., round: _Optional[int] = ..., sender: _Optional[str] = ..., receiver: _Optional[str] = ..., kind: _Optional[str] = ..., agreement: _Optional[bytes] = ..., seq: _Optional[int] = ..., chunk: _Optional[int] = ..., chunks: _Optional[int] = ..., size: _Optional[int] = ..., digest: _Optional[bytes] = ..., payload: _Optional[bytes] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("handled", "taken")
    HANDLED_FIELD_NUMBER: _ClassVar[int]
    TAKEN_FIELD_NUMBER: _ClassVar[int]
    handled: int
    taken: int
    def __init__(self, handled: _Optional[int] = ..., taken: _Optional[int] = ...) -> None: ...

class Sealed(_message.Message):
    __slots__ = ("envelope", "progress")
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    envelope: Envelope
    progress: Progress
    def __init__(self, envelope: _Optional[_Union[Envelope, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ...) -> None: ...

class SignedHello(_message.Message):
    __slots__ = ("body", "signature")
    BODY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    body: bytes
    signature: bytes
    def __init__(self, body: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class HelloInitiator(_message.Message):
    __slots__ = ("version", "run", "agreement", "initiator", "responder", "ephemeral", "nonce")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    INITIATOR_FIELD_NUMBER: _ClassVar[int]
    RESPONDER_FIELD_NUMBER: _ClassVar[int]
    EPHEMERAL_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    version: int
    run: str
    agreement: bytes
    initiator: str
    responder: str
    ephemeral: bytes
    nonce: bytes
    def __init__(self, version: _Optional[int] = ..., run: _Optional[str] = ..., agreement: _Optional[bytes] = ..., initiator: _Optional[str] = ..., responder: _Optional[str] = ..., ephemeral: _Optional[bytes] = ..., nonce: _Optional[bytes] = ...) -> None: ...

class HelloResponder(_message.Message):
    __slots__ = ("version", "run", "agreement", "initiator", "responder", "ephemeral", "nonce", "hello")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    INITIATOR_FIELD_NUMBER: _ClassVar[int]
    RESPONDER_FIELD_NUMBER: _ClassVar[int]
    EPHEMERAL_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    version: int
    run: str
    agreement: bytes
    initiator: str
    responder: str
    ephemeral: bytes
    nonce: bytes
    hello: bytes
    def __init__(self, version: _Optional[int] = ..., run: _Optional[str] = ..., agreement: _Optional[bytes] = ..., initiator: _Optional[str] = ..., responder: _Optional[str] = ..., ephemeral: _Optional[bytes] = ..., nonce: _Optional[bytes] = ..., hello: _Optional[bytes] = ...) -> None: ...
