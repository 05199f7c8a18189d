from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AcceptRequest(_message.Message):
    __slots__ = ("application_id", "reference")
    APPLICATION_ID_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    application_id: str
    reference: str
    def __init__(self, application_id: _Optional[str] = ..., reference: _Optional[str] = ...) -> None: ...

class LoanName(_message.Message):
    __slots__ = ("loan_id",)
    LOAN_ID_FIELD_NUMBER: _ClassVar[int]
    loan_id: str
    def __init__(self, loan_id: _Optional[str] = ...) -> None: ...

class LoanChange(_message.Message):
    __slots__ = ("loan_id", "reference")
    LOAN_ID_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    loan_id: str
    reference: str
    def __init__(self, loan_id: _Optional[str] = ..., reference: _Optional[str] = ...) -> None: ...

class LoanAmount(_message.Message):
    __slots__ = ("loan_id", "reference", "amount_fen")
    LOAN_ID_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FEN_FIELD_NUMBER: _ClassVar[int]
    loan_id: str
    reference: str
    amount_fen: int
    def __init__(self, loan_id: _Optional[str] = ..., reference: _Optional[str] = ..., amount_fen: _Optional[int] = ...) -> None: ...

class StatementRequest(_message.Message):
    __slots__ = ("loan_id", "first", "last")
    LOAN_ID_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    loan_id: str
    first: str
    last: str
    def __init__(self, loan_id: _Optional[str] = ..., first: _Optional[str] = ..., last: _Optional[str] = ...) -> None: ...

class LoanState(_message.Message):
    __slots__ = ("loan_id", "application_id", "product", "amount_fen", "daily_rate", "status", "account")
    LOAN_ID_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FEN_FIELD_NUMBER: _ClassVar[int]
    DAILY_RATE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    loan_id: str
    application_id: str
    product: str
    amount_fen: int
    daily_rate: str
    status: str
    account: Account
    def __init__(self, loan_id: _Optional[str] = ..., application_id: _Optional[str] = ..., product: _Optional[str] = ..., amount_fen: _Optional[int] = ..., daily_rate: _Optional[str] = ..., status: _Optional[str] = ..., account: _Optional[_Union[Account, _Mapping]] = ...) -> None: ...

class Account(_message.Message):
    __slots__ = ("at", "drawn_fen", "owed", "overdue", "payable", "days_past_due", "may_be_cancelled", "balances")
    class BalancesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Parts
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Parts, _Mapping]] = ...) -> None: ...
    AT_FIELD_NUMBER: _ClassVar[int]
    DRAWN_FEN_FIELD_NUMBER: _ClassVar[int]
    OWED_FIELD_NUMBER: _ClassVar[int]
    OVERDUE_FIELD_NUMBER: _ClassVar[int]
    PAYABLE_FIELD_NUMBER: _ClassVar[int]
    DAYS_PAST_DUE_FIELD_NUMBER: _ClassVar[int]
    MAY_BE_CANCELLED_FIELD_NUMBER: _ClassVar[int]
    BALANCES_FIELD_NUMBER: _ClassVar[int]
    at: str
    drawn_fen: int
    owed: Parts
    overdue: Parts
    payable: Parts
    days_past_due: int
    may_be_cancelled: bool
    balances: _containers.MessageMap[str, Parts]
    def __init__(self, at: _Optional[str] = ..., drawn_fen: _Optional[int] = ..., owed: _Optional[_Union[Parts, _Mapping]] = ..., overdue: _Optional[_Union[Parts, _Mapping]] = ..., payable: _Optional[_Union[Parts, _Mapping]] = ..., days_past_due: _Optional[int] = ..., may_be_cancelled: _Optional[bool] = ..., balances: _Optional[_Mapping[str, Parts]] = ...) -> None: ...

class Parts(_message.Message):
    __slots__ = ("fee_fen", "penalty_fen", "interest_fen", "principal_fen")
    FEE_FEN_FIELD_NUMBER: _ClassVar[int]
    PENALTY_FEN_FIELD_NUMBER: _ClassVar[int]
    INTEREST_FEN_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FEN_FIELD_NUMBER: _ClassVar[int]
    fee_fen: int
    penalty_fen: int
    interest_fen: int
    principal_fen: int
    def __init__(self, fee_fen: _Optional[int] = ..., penalty_fen: _Optional[int] = ..., interest_fen: _Optional[int] = ..., principal_fen: _Optional[int] = ...) -> None: ...

class LoanPlan(_message.Message):
    __slots__ = ("loan_id", "plan", "still")
    LOAN_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    STILL_FIELD_NUMBER: _ClassVar[int]
    loan_id: str
    plan: _containers.RepeatedCompositeFieldContainer[Due]
    still: _containers.RepeatedCompositeFieldContainer[Payment]
    def __init__(self, loan_id: _Optional[str] = ..., plan: _Optional[_Iterable[_Union[Due, _Mapping]]] = ..., still: _Optional[_Iterable[_Union[Payment, _Mapping]]] = ...) -> None: ...

class Due(_message.Message):
    __slots__ = ("number", "due_on", "principal_fen", "interest_fen", "fee_fen", "principal_so_far_fen")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    DUE_ON_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FEN_FIELD_NUMBER: _ClassVar[int]
    INTEREST_FEN_FIELD_NUMBER: _ClassVar[int]
    FEE_FEN_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_SO_FAR_FEN_FIELD_NUMBER: _ClassVar[int]
    number: int
    due_on: str
    principal_fen: int
    interest_fen: int
    fee_fen: int
    principal_so_far_fen: int
    def __init__(self, number: _Optional[int] = ..., due_on: _Optional[str] = ..., principal_fen: _Optional[int] = ..., interest_fen: _Optional[int] = ..., fee_fen: _Optional[int] = ..., principal_so_far_fen: _Optional[int] = ...) -> None: ...

class Payment(_message.Message):
    __slots__ = ("due_on", "parts")
    DUE_ON_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    due_on: str
    parts: Parts
    def __init__(self, due_on: _Optional[str] = ..., parts: _Optional[_Union[Parts, _Mapping]] = ...) -> None: ...

class LoanStatement(_message.Message):
    __slots__ = ("loan_id", "statement")
    LOAN_ID_FIELD_NUMBER: _ClassVar[int]
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    loan_id: str
    statement: Statement
    def __init__(self, loan_id: _Optional[str] = ..., statement: _Optional[_Union[Statement, _Mapping]] = ...) -> None: ...

class Statement(_message.Message):
    __slots__ = ("loan_id", "first", "last", "opening", "lines", "closing", "balances", "status", "days_past_due")
    class BalancesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Parts
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Parts, _Mapping]] = ...) -> None: ...
    LOAN_ID_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    OPENING_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    CLOSING_FIELD_NUMBER: _ClassVar[int]
    BALANCES_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DAYS_PAST_DUE_FIELD_NUMBER: _ClassVar[int]
    loan_id: str
    first: str
    last: str
    opening: Parts
    lines: _containers.RepeatedCompositeFieldContainer[StatementLine]
    closing: Parts
    balances: _containers.MessageMap[str, Parts]
    status: str
    days_past_due: int
    def __init__(self, loan_id: _Optional[str] = ..., first: _Optional[str] = ..., last: _Optional[str] = ..., opening: _Optional[_Union[Parts, _Mapping]] = ..., lines: _Optional[_Iterable[_Union[StatementLine, _Mapping]]] = ..., closing: _Optional[_Union[Parts, _Mapping]] = ..., balances: _Optional[_Mapping[str, Parts]] = ..., status: _Optional[str] = ..., days_past_due: _Optional[int] = ...) -> None: ...

class StatementLine(_message.Message):
    __slots__ = ("at", "what", "charged", "settled", "owed")
    AT_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    CHARGED_FIELD_NUMBER: _ClassVar[int]
    SETTLED_FIELD_NUMBER: _ClassVar[int]
    OWED_FIELD_NUMBER: _ClassVar[int]
    at: str
    what: str
    charged: Parts
    settled: Parts
    owed: Parts
    def __init__(self, at: _Optional[str] = ..., what: _Optional[str] = ..., charged: _Optional[_Union[Parts, _Mapping]] = ..., settled: _Optional[_Union[Parts, _Mapping]] = ..., owed: _Optional[_Union[Parts, _Mapping]] = ...) -> None: ...

class Voucher(_message.Message):
    __slots__ = ("signed",)
    SIGNED_FIELD_NUMBER: _ClassVar[int]
    signed: bytes
    def __init__(self, signed: _Optional[bytes] = ...) -> None: ...
