from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Fault(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAULT_NONE: _ClassVar[Fault]
    UNKNOWN_SESSION: _ClassVar[Fault]
    MALFORMED: _ClassVar[Fault]
    BUSY: _ClassVar[Fault]
    TOO_LATE: _ClassVar[Fault]
    REFUSED: _ClassVar[Fault]
    BROKEN: _ClassVar[Fault]

class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATUS_UNSPECIFIED: _ClassVar[Status]
    SCORED: _ClassVar[Status]
    INSUFFICIENT_DATA: _ClassVar[Status]
    UNKNOWN_PERSON: _ClassVar[Status]
    CONSENT_UNKNOWN: _ClassVar[Status]
    CONSENT_REVOKED: _ClassVar[Status]
    CONSENT_EXPIRED: _ClassVar[Status]
    CONSENT_USED_UP: _ClassVar[Status]
    PURPOSE_REFUSED: _ClassVar[Status]
    LIMIT_REACHED: _ClassVar[Status]

class Refusal(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REFUSAL_NONE: _ClassVar[Refusal]
    UNKNOWN_MODEL: _ClassVar[Refusal]
    MODEL_REVOKED: _ClassVar[Refusal]
    NOT_ALLOWED: _ClassVar[Refusal]
    NOT_READY: _ClassVar[Refusal]
    AUDIT_BEHIND: _ClassVar[Refusal]
FAULT_NONE: Fault
UNKNOWN_SESSION: Fault
MALFORMED: Fault
BUSY: Fault
TOO_LATE: Fault
REFUSED: Fault
BROKEN: Fault
STATUS_UNSPECIFIED: Status
SCORED: Status
INSUFFICIENT_DATA: Status
UNKNOWN_PERSON: Status
CONSENT_UNKNOWN: Status
CONSENT_REVOKED: Status
CONSENT_EXPIRED: Status
CONSENT_USED_UP: Status
PURPOSE_REFUSED: Status
LIMIT_REACHED: Status
REFUSAL_NONE: Refusal
UNKNOWN_MODEL: Refusal
MODEL_REVOKED: Refusal
NOT_ALLOWED: Refusal
NOT_READY: Refusal
AUDIT_BEHIND: Refusal

class SignedHello(_message.Message):
    __slots__ = ("body", "signature", "fault")
    BODY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    body: bytes
    signature: bytes
    fault: Fault
    def __init__(self, body: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., fault: _Optional[_Union[Fault, str]] = ...) -> None: ...

class BankHello(_message.Message):
    __slots__ = ("version", "bank", "platform", "identity", "ephemeral", "nonce")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BANK_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    EPHEMERAL_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    version: int
    bank: str
    platform: str
    identity: bytes
    ephemeral: bytes
    nonce: bytes
    def __init__(self, version: _Optional[int] = ..., bank: _Optional[str] = ..., platform: _Optional[str] = ..., identity: _Optional[bytes] = ..., ephemeral: _Optional[bytes] = ..., nonce: _Optional[bytes] = ...) -> None: ...

class PlatformHello(_message.Message):
    __slots__ = ("version", "bank", "platform", "identity", "ephemeral", "nonce", "hello")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BANK_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    EPHEMERAL_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    version: int
    bank: str
    platform: str
    identity: bytes
    ephemeral: bytes
    nonce: bytes
    hello: bytes
    def __init__(self, version: _Optional[int] = ..., bank: _Optional[str] = ..., platform: _Optional[str] = ..., identity: _Optional[bytes] = ..., ephemeral: _Optional[bytes] = ..., nonce: _Optional[bytes] = ..., hello: _Optional[bytes] = ...) -> None: ...

class Sealed(_message.Message):
    __slots__ = ("session", "counter", "body", "fault")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    COUNTER_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    counter: int
    body: bytes
    fault: Fault
    def __init__(self, session: _Optional[bytes] = ..., counter: _Optional[int] = ..., body: _Optional[bytes] = ..., fault: _Optional[_Union[Fault, str]] = ...) -> None: ...

class GrantBody(_message.Message):
    __slots__ = ("version", "bank", "platform", "token", "reference", "purpose", "issued_at_s", "not_after_s", "maximum_uses")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BANK_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    ISSUED_AT_S_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_S_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_USES_FIELD_NUMBER: _ClassVar[int]
    version: int
    bank: str
    platform: str
    token: bytes
    reference: bytes
    purpose: str
    issued_at_s: int
    not_after_s: int
    maximum_uses: int
    def __init__(self, version: _Optional[int] = ..., bank: _Optional[str] = ..., platform: _Optional[str] = ..., token: _Optional[bytes] = ..., reference: _Optional[bytes] = ..., purpose: _Optional[str] = ..., issued_at_s: _Optional[int] = ..., not_after_s: _Optional[int] = ..., maximum_uses: _Optional[int] = ...) -> None: ...

class Grant(_message.Message):
    __slots__ = ("body", "signature")
    BODY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    body: bytes
    signature: bytes
    def __init__(self, body: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class ScoreItem(_message.Message):
    __slots__ = ("token", "grant", "use")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    GRANT_FIELD_NUMBER: _ClassVar[int]
    USE_FIELD_NUMBER: _ClassVar[int]
    token: bytes
    grant: Grant
    use: bytes
    def __init__(self, token: _Optional[bytes] = ..., grant: _Optional[_Union[Grant, _Mapping]] = ..., use: _Optional[bytes] = ...) -> None: ...

class ScoreRequest(_message.Message):
    __slots__ = ("version", "model", "items", "shared")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    version: int
    model: str
    items: _containers.RepeatedCompositeFieldContainer[ScoreItem]
    shared: bytes
    def __init__(self, version: _Optional[int] = ..., model: _Optional[str] = ..., items: _Optional[_Iterable[_Union[ScoreItem, _Mapping]]] = ..., shared: _Optional[bytes] = ...) -> None: ...

class ScoreResult(_message.Message):
    __slots__ = ("status", "partial", "lacks", "fraud_score", "snapshot", "age_s", "sides")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    LACKS_FIELD_NUMBER: _ClassVar[int]
    FRAUD_SCORE_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    AGE_S_FIELD_NUMBER: _ClassVar[int]
    SIDES_FIELD_NUMBER: _ClassVar[int]
    status: Status
    partial: int
    lacks: _containers.RepeatedScalarFieldContainer[str]
    fraud_score: int
    snapshot: str
    age_s: int
    sides: bytes
    def __init__(self, status: _Optional[_Union[Status, str]] = ..., partial: _Optional[int] = ..., lacks: _Optional[_Iterable[str]] = ..., fraud_score: _Optional[int] = ..., snapshot: _Optional[str] = ..., age_s: _Optional[int] = ..., sides: _Optional[bytes] = ...) -> None: ...

class ScoreReply(_message.Message):
    __slots__ = ("version", "refusal", "results", "shared")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    version: int
    refusal: Refusal
    results: _containers.RepeatedCompositeFieldContainer[ScoreResult]
    shared: bytes
    def __init__(self, version: _Optional[int] = ..., refusal: _Optional[_Union[Refusal, str]] = ..., results: _Optional[_Iterable[_Union[ScoreResult, _Mapping]]] = ..., shared: _Optional[bytes] = ...) -> None: ...

class RevokeConsents(_message.Message):
    __slots__ = ("version", "references", "tokens", "at_s")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REFERENCES_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    AT_S_FIELD_NUMBER: _ClassVar[int]
    version: int
    references: _containers.RepeatedScalarFieldContainer[bytes]
    tokens: _containers.RepeatedScalarFieldContainer[bytes]
    at_s: int
    def __init__(self, version: _Optional[int] = ..., references: _Optional[_Iterable[bytes]] = ..., tokens: _Optional[_Iterable[bytes]] = ..., at_s: _Optional[int] = ...) -> None: ...

class RevokeAck(_message.Message):
    __slots__ = ("version", "revoked")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    version: int
    revoked: int
    def __init__(self, version: _Optional[int] = ..., revoked: _Optional[int] = ...) -> None: ...
