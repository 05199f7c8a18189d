from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FrameKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FRAME_KIND_UNSPECIFIED: _ClassVar[FrameKind]
    HELLO_INITIATOR: _ClassVar[FrameKind]
    HELLO_RESPONDER: _ClassVar[FrameKind]
    SEALED: _ClassVar[FrameKind]
    HELLO_REQUEST: _ClassVar[FrameKind]

class NoticeKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NOTICE_KIND_UNSPECIFIED: _ClassVar[NoticeKind]
    PEER_ATTACHED: _ClassVar[NoticeKind]
    PEER_DETACHED: _ClassVar[NoticeKind]
    RUN_CANCELLED: _ClassVar[NoticeKind]
    RUN_FAILED: _ClassVar[NoticeKind]
FRAME_KIND_UNSPECIFIED: FrameKind
HELLO_INITIATOR: FrameKind
HELLO_RESPONDER: FrameKind
SEALED: FrameKind
HELLO_REQUEST: FrameKind
NOTICE_KIND_UNSPECIFIED: NoticeKind
PEER_ATTACHED: NoticeKind
PEER_DETACHED: NoticeKind
RUN_CANCELLED: NoticeKind
RUN_FAILED: NoticeKind

class HubFrame(_message.Message):
    __slots__ = ("attach", "relay", "notice")
    ATTACH_FIELD_NUMBER: _ClassVar[int]
    RELAY_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    attach: Attach
    relay: Relay
    notice: Notice
    def __init__(self, attach: _Optional[_Union[Attach, _Mapping]] = ..., relay: _Optional[_Union[Relay, _Mapping]] = ..., notice: _Optional[_Union[Notice, _Mapping]] = ...) -> None: ...

class Attach(_message.Message):
    __slots__ = ("version", "run", "party", "peer")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    PARTY_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    version: int
    run: str
    party: str
    peer: str
    def __init__(self, version: _Optional[int] = ..., run: _Optional[str] = ..., party: _Optional[str] = ..., peer: _Optional[str] = ...) -> None: ...

class Header(_message.Message):
    __slots__ = ("version", "run", "sender", "receiver", "kind", "session", "counter")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    RECEIVER_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    COUNTER_FIELD_NUMBER: _ClassVar[int]
    version: int
    run: str
    sender: str
    receiver: str
    kind: FrameKind
    session: bytes
    counter: int
    def __init__(self, version: _Optional[int] = ..., run: _Optional[str] = ..., sender: _Optional[str] = ..., receiver: _Optional[str] = ..., kind: _Optional[_Union[FrameKind, str]] = ..., session: _Optional[bytes] = ..., counter: _Optional[int] = ...) -> None: ...

class Relay(_message.Message):
    __slots__ = ("header", "body")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    header: Header
    body: bytes
    def __init__(self, header: _Optional[_Union[Header, _Mapping]] = ..., body: _Optional[bytes] = ...) -> None: ...

class Notice(_message.Message):
    __slots__ = ("kind", "party", "cause")
    KIND_FIELD_NUMBER: _ClassVar[int]
    PARTY_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    kind: NoticeKind
    party: str
    cause: str
    def __init__(self, kind: _Optional[_Union[NoticeKind, str]] = ..., party: _Optional[str] = ..., cause: _Optional[str] = ...) -> None: ...

class ProgressEvent(_message.Message):
    __slots__ = ("party", "run", "phase", "state", "step", "steps", "fraction", "eta_s", "bytes_out", "bytes_in", "cause", "next_step", "body_json")
    PARTY_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    FRACTION_FIELD_NUMBER: _ClassVar[int]
    ETA_S_FIELD_NUMBER: _ClassVar[int]
    BYTES_OUT_FIELD_NUMBER: _ClassVar[int]
    BYTES_IN_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    NEXT_STEP_FIELD_NUMBER: _ClassVar[int]
    BODY_JSON_FIELD_NUMBER: _ClassVar[int]
    party: str
    run: str
    phase: str
    state: str
    step: int
    steps: int
    fraction: float
    eta_s: float
    bytes_out: int
    bytes_in: int
    cause: str
    next_step: str
    body_json: bytes
    def __init__(self, party: _Optional[str] = ..., run: _Optional[str] = ..., phase: _Optional[str] = ..., state: _Optional[str] = ..., step: _Optional[int] = ..., steps: _Optional[int] = ..., fraction: _Optional[float] = ..., eta_s: _Optional[float] = ..., bytes_out: _Optional[int] = ..., bytes_in: _Optional[int] = ..., cause: _Optional[str] = ..., next_step: _Optional[str] = ..., body_json: _Optional[bytes] = ...) -> None: ...

class PartyCatalogue(_message.Message):
    __slots__ = ("party", "catalogue_json")
    PARTY_FIELD_NUMBER: _ClassVar[int]
    CATALOGUE_JSON_FIELD_NUMBER: _ClassVar[int]
    party: str
    catalogue_json: bytes
    def __init__(self, party: _Optional[str] = ..., catalogue_json: _Optional[bytes] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class BulkHeader(_message.Message):
    __slots__ = ("version", "run", "slot", "sender", "receivers", "contributors", "size", "sha256")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    RECEIVERS_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTORS_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    version: int
    run: str
    slot: str
    sender: str
    receivers: _containers.RepeatedScalarFieldContainer[str]
    contributors: _containers.RepeatedScalarFieldContainer[str]
    size: int
    sha256: bytes
    def __init__(self, version: _Optional[int] = ..., run: _Optional[str] = ..., slot: _Optional[str] = ..., sender: _Optional[str] = ..., receivers: _Optional[_Iterable[str]] = ..., contributors: _Optional[_Iterable[str]] = ..., size: _Optional[int] = ..., sha256: _Optional[bytes] = ...) -> None: ...

class BulkOffer(_message.Message):
    __slots__ = ("sender", "size", "sha256")
    SENDER_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    sender: str
    size: int
    sha256: bytes
    def __init__(self, sender: _Optional[str] = ..., size: _Optional[int] = ..., sha256: _Optional[bytes] = ...) -> None: ...

class NotReady(_message.Message):
    __slots__ = ("missing",)
    MISSING_FIELD_NUMBER: _ClassVar[int]
    missing: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, missing: _Optional[_Iterable[str]] = ...) -> None: ...

class BulkChunk(_message.Message):
    __slots__ = ("header", "data", "offer", "not_ready")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    NOT_READY_FIELD_NUMBER: _ClassVar[int]
    header: BulkHeader
    data: bytes
    offer: BulkOffer
    not_ready: NotReady
    def __init__(self, header: _Optional[_Union[BulkHeader, _Mapping]] = ..., data: _Optional[bytes] = ..., offer: _Optional[_Union[BulkOffer, _Mapping]] = ..., not_ready: _Optional[_Union[NotReady, _Mapping]] = ...) -> None: ...

class BulkRequest(_message.Message):
    __slots__ = ("version", "run", "slot", "party", "wait_ms")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    PARTY_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    version: int
    run: str
    slot: str
    party: str
    wait_ms: int
    def __init__(self, version: _Optional[int] = ..., run: _Optional[str] = ..., slot: _Optional[str] = ..., party: _Optional[str] = ..., wait_ms: _Optional[int] = ...) -> None: ...

class BulkAck(_message.Message):
    __slots__ = ("known",)
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    known: bool
    def __init__(self, known: _Optional[bool] = ...) -> None: ...

class CallRequest(_message.Message):
    __slots__ = ("version", "caller", "callee", "method", "body")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    CALLEE_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    version: int
    caller: str
    callee: str
    method: str
    body: bytes
    def __init__(self, version: _Optional[int] = ..., caller: _Optional[str] = ..., callee: _Optional[str] = ..., method: _Optional[str] = ..., body: _Optional[bytes] = ...) -> None: ...

class CallReply(_message.Message):
    __slots__ = ("body",)
    BODY_FIELD_NUMBER: _ClassVar[int]
    body: bytes
    def __init__(self, body: _Optional[bytes] = ...) -> None: ...

class CallFrame(_message.Message):
    __slots__ = ("callee", "called", "answered")
    CALLEE_FIELD_NUMBER: _ClassVar[int]
    CALLED_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_FIELD_NUMBER: _ClassVar[int]
    callee: Callee
    called: Called
    answered: Answered
    def __init__(self, callee: _Optional[_Union[Callee, _Mapping]] = ..., called: _Optional[_Union[Called, _Mapping]] = ..., answered: _Optional[_Union[Answered, _Mapping]] = ...) -> None: ...

class Callee(_message.Message):
    __slots__ = ("version", "party")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PARTY_FIELD_NUMBER: _ClassVar[int]
    version: int
    party: str
    def __init__(self, version: _Optional[int] = ..., party: _Optional[str] = ...) -> None: ...

class Called(_message.Message):
    __slots__ = ("number", "caller", "method", "within_ms", "body")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    WITHIN_MS_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    number: int
    caller: str
    method: str
    within_ms: int
    body: bytes
    def __init__(self, number: _Optional[int] = ..., caller: _Optional[str] = ..., method: _Optional[str] = ..., within_ms: _Optional[int] = ..., body: _Optional[bytes] = ...) -> None: ...

class Answered(_message.Message):
    __slots__ = ("number", "body")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    number: int
    body: bytes
    def __init__(self, number: _Optional[int] = ..., body: _Optional[bytes] = ...) -> None: ...
