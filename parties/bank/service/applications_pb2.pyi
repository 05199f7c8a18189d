from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SubmitRequest(_message.Message):
    __slots__ = ("idempotency_key", "submission")
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    SUBMISSION_FIELD_NUMBER: _ClassVar[int]
    idempotency_key: str
    submission: Submission
    def __init__(self, idempotency_key: _Optional[str] = ..., submission: _Optional[_Union[Submission, _Mapping]] = ...) -> None: ...

class Submission(_message.Message):
    __slots__ = ("customer", "product", "amount_fen", "term_months", "purpose", "province", "identity", "consents", "bureau")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FEN_FIELD_NUMBER: _ClassVar[int]
    TERM_MONTHS_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    PROVINCE_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    CONSENTS_FIELD_NUMBER: _ClassVar[int]
    BUREAU_FIELD_NUMBER: _ClassVar[int]
    customer: str
    product: str
    amount_fen: int
    term_months: int
    purpose: str
    province: str
    identity: Identity
    consents: _containers.RepeatedCompositeFieldContainer[ConsentReference]
    bureau: Bureau
    def __init__(self, customer: _Optional[str] = ..., product: _Optional[str] = ..., amount_fen: _Optional[int] = ..., term_months: _Optional[int] = ..., purpose: _Optional[str] = ..., province: _Optional[str] = ..., identity: _Optional[_Union[Identity, _Mapping]] = ..., consents: _Optional[_Iterable[_Union[ConsentReference, _Mapping]]] = ..., bureau: _Optional[_Union[Bureau, _Mapping]] = ...) -> None: ...

class Identity(_message.Message):
    __slots__ = ("real_name_verified", "own_bank_card", "age", "student", "payment_score", "invited")
    REAL_NAME_VERIFIED_FIELD_NUMBER: _ClassVar[int]
    OWN_BANK_CARD_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    STUDENT_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_SCORE_FIELD_NUMBER: _ClassVar[int]
    INVITED_FIELD_NUMBER: _ClassVar[int]
    real_name_verified: bool
    own_bank_card: bool
    age: int
    student: bool
    payment_score: int
    invited: bool
    def __init__(self, real_name_verified: _Optional[bool] = ..., own_bank_card: _Optional[bool] = ..., age: _Optional[int] = ..., student: _Optional[bool] = ..., payment_score: _Optional[int] = ..., invited: _Optional[bool] = ...) -> None: ...

class ConsentReference(_message.Message):
    __slots__ = ("reference", "purpose", "expires_at")
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    reference: str
    purpose: str
    expires_at: str
    def __init__(self, reference: _Optional[str] = ..., purpose: _Optional[str] = ..., expires_at: _Optional[str] = ...) -> None: ...

class Bureau(_message.Message):
    __slots__ = ("columns", "credit_lines_elsewhere_fen", "annual_income_fen", "provident_fund_months", "inquiries_6m", "overdue_days_worst", "reported_at")
    class ColumnsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    CREDIT_LINES_ELSEWHERE_FEN_FIELD_NUMBER: _ClassVar[int]
    ANNUAL_INCOME_FEN_FIELD_NUMBER: _ClassVar[int]
    PROVIDENT_FUND_MONTHS_FIELD_NUMBER: _ClassVar[int]
    INQUIRIES_6M_FIELD_NUMBER: _ClassVar[int]
    OVERDUE_DAYS_WORST_FIELD_NUMBER: _ClassVar[int]
    REPORTED_AT_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.ScalarMap[str, str]
    credit_lines_elsewhere_fen: int
    annual_income_fen: int
    provident_fund_months: int
    inquiries_6m: int
    overdue_days_worst: int
    reported_at: str
    def __init__(self, columns: _Optional[_Mapping[str, str]] = ..., credit_lines_elsewhere_fen: _Optional[int] = ..., annual_income_fen: _Optional[int] = ..., provident_fund_months: _Optional[int] = ..., inquiries_6m: _Optional[int] = ..., overdue_days_worst: _Optional[int] = ..., reported_at: _Optional[str] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("application_id", "person", "outcome", "score", "lacks", "offer", "reasons", "decided_at", "record")
    APPLICATION_ID_FIELD_NUMBER: _ClassVar[int]
    PERSON_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    LACKS_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    DECIDED_AT_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    application_id: str
    person: str
    outcome: str
    score: str
    lacks: _containers.RepeatedScalarFieldContainer[str]
    offer: Offer
    reasons: _containers.RepeatedCompositeFieldContainer[Reason]
    decided_at: str
    record: str
    def __init__(self, application_id: _Optional[str] = ..., person: _Optional[str] = ..., outcome: _Optional[str] = ..., score: _Optional[str] = ..., lacks: _Optional[_Iterable[str]] = ..., offer: _Optional[_Union[Offer, _Mapping]] = ..., reasons: _Optional[_Iterable[_Union[Reason, _Mapping]]] = ..., decided_at: _Optional[str] = ..., record: _Optional[str] = ...) -> None: ...

class Offer(_message.Message):
    __slots__ = ("limit_fen", "amount_fen", "daily_rate", "term_months", "annual_cost", "installments", "funding")
    LIMIT_FEN_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FEN_FIELD_NUMBER: _ClassVar[int]
    DAILY_RATE_FIELD_NUMBER: _ClassVar[int]
    TERM_MONTHS_FIELD_NUMBER: _ClassVar[int]
    ANNUAL_COST_FIELD_NUMBER: _ClassVar[int]
    INSTALLMENTS_FIELD_NUMBER: _ClassVar[int]
    FUNDING_FIELD_NUMBER: _ClassVar[int]
    limit_fen: int
    amount_fen: int
    daily_rate: str
    term_months: int
    annual_cost: str
    installments: _containers.RepeatedCompositeFieldContainer[Installment]
    funding: _containers.RepeatedCompositeFieldContainer[FundingShare]
    def __init__(self, limit_fen: _Optional[int] = ..., amount_fen: _Optional[int] = ..., daily_rate: _Optional[str] = ..., term_months: _Optional[int] = ..., annual_cost: _Optional[str] = ..., installments: _Optional[_Iterable[_Union[Installment, _Mapping]]] = ..., funding: _Optional[_Iterable[_Union[FundingShare, _Mapping]]] = ...) -> None: ...

class Installment(_message.Message):
    __slots__ = ("month", "principal_fen", "interest_fen", "fee_fen")
    MONTH_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FEN_FIELD_NUMBER: _ClassVar[int]
    INTEREST_FEN_FIELD_NUMBER: _ClassVar[int]
    FEE_FEN_FIELD_NUMBER: _ClassVar[int]
    month: int
    principal_fen: int
    interest_fen: int
    fee_fen: int
    def __init__(self, month: _Optional[int] = ..., principal_fen: _Optional[int] = ..., interest_fen: _Optional[int] = ..., fee_fen: _Optional[int] = ...) -> None: ...

class FundingShare(_message.Message):
    __slots__ = ("partner", "share", "fen")
    PARTNER_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    FEN_FIELD_NUMBER: _ClassVar[int]
    partner: str
    share: str
    fen: int
    def __init__(self, partner: _Optional[str] = ..., share: _Optional[str] = ..., fen: _Optional[int] = ...) -> None: ...

class Reason(_message.Message):
    __slots__ = ("code", "zh", "en", "improve_zh", "improve_en", "weight")
    CODE_FIELD_NUMBER: _ClassVar[int]
    ZH_FIELD_NUMBER: _ClassVar[int]
    EN_FIELD_NUMBER: _ClassVar[int]
    IMPROVE_ZH_FIELD_NUMBER: _ClassVar[int]
    IMPROVE_EN_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    code: str
    zh: str
    en: str
    improve_zh: str
    improve_en: str
    weight: str
    def __init__(self, code: _Optional[str] = ..., zh: _Optional[str] = ..., en: _Optional[str] = ..., improve_zh: _Optional[str] = ..., improve_en: _Optional[str] = ..., weight: _Optional[str] = ...) -> None: ...

class ApplicationName(_message.Message):
    __slots__ = ("application_id",)
    APPLICATION_ID_FIELD_NUMBER: _ClassVar[int]
    application_id: str
    def __init__(self, application_id: _Optional[str] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("answer", "review")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    REVIEW_FIELD_NUMBER: _ClassVar[int]
    answer: Answer
    review: ReviewState
    def __init__(self, answer: _Optional[_Union[Answer, _Mapping]] = ..., review: _Optional[_Union[ReviewState, _Mapping]] = ...) -> None: ...

class RecordRequest(_message.Message):
    __slots__ = ("application_id", "purpose")
    APPLICATION_ID_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    application_id: str
    purpose: str
    def __init__(self, application_id: _Optional[str] = ..., purpose: _Optional[str] = ...) -> None: ...

class Record(_message.Message):
    __slots__ = ("digest", "record")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    digest: str
    record: bytes
    def __init__(self, digest: _Optional[str] = ..., record: _Optional[bytes] = ...) -> None: ...

class ListRequest(_message.Message):
    __slots__ = ("purpose", "cursor", "limit", "outcome")
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    purpose: str
    cursor: str
    limit: int
    outcome: str
    def __init__(self, purpose: _Optional[str] = ..., cursor: _Optional[str] = ..., limit: _Optional[int] = ..., outcome: _Optional[str] = ...) -> None: ...

class Page(_message.Message):
    __slots__ = ("items", "next")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Listed]
    next: str
    def __init__(self, items: _Optional[_Iterable[_Union[Listed, _Mapping]]] = ..., next: _Optional[str] = ...) -> None: ...

class Listed(_message.Message):
    __slots__ = ("application_id", "person", "outcome", "product", "decided_at")
    APPLICATION_ID_FIELD_NUMBER: _ClassVar[int]
    PERSON_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_FIELD_NUMBER: _ClassVar[int]
    DECIDED_AT_FIELD_NUMBER: _ClassVar[int]
    application_id: str
    person: str
    outcome: str
    product: str
    decided_at: str
    def __init__(self, application_id: _Optional[str] = ..., person: _Optional[str] = ..., outcome: _Optional[str] = ..., product: _Optional[str] = ..., decided_at: _Optional[str] = ...) -> None: ...

class ReviewRequest(_message.Message):
    __slots__ = ("application_id", "text")
    APPLICATION_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    application_id: str
    text: str
    def __init__(self, application_id: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class ReviewDecision(_message.Message):
    __slots__ = ("application_id", "outcome", "note")
    APPLICATION_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    application_id: str
    outcome: str
    note: str
    def __init__(self, application_id: _Optional[str] = ..., outcome: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class ReviewState(_message.Message):
    __slots__ = ("state", "asked_at", "outcome", "note", "decided_at")
    STATE_FIELD_NUMBER: _ClassVar[int]
    ASKED_AT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    DECIDED_AT_FIELD_NUMBER: _ClassVar[int]
    state: str
    asked_at: str
    outcome: str
    note: str
    decided_at: str
    def __init__(self, state: _Optional[str] = ..., asked_at: _Optional[str] = ..., outcome: _Optional[str] = ..., note: _Optional[str] = ..., decided_at: _Optional[str] = ...) -> None: ...

class Purpose(_message.Message):
    __slots__ = ("purpose",)
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    purpose: str
    def __init__(self, purpose: _Optional[str] = ...) -> None: ...

class Reviews(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Review]
    def __init__(self, items: _Optional[_Iterable[_Union[Review, _Mapping]]] = ...) -> None: ...

class Review(_message.Message):
    __slots__ = ("application_id", "asked_at", "text")
    APPLICATION_ID_FIELD_NUMBER: _ClassVar[int]
    ASKED_AT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    application_id: str
    asked_at: str
    text: str
    def __init__(self, application_id: _Optional[str] = ..., asked_at: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class Customer(_message.Message):
    __slots__ = ("customer",)
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    customer: str
    def __init__(self, customer: _Optional[str] = ...) -> None: ...

class Person(_message.Message):
    __slots__ = ("person",)
    PERSON_FIELD_NUMBER: _ClassVar[int]
    person: str
    def __init__(self, person: _Optional[str] = ...) -> None: ...

class ConsentGiven(_message.Message):
    __slots__ = ("person", "reference", "purpose", "expires_at", "maximum_uses")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_USES_FIELD_NUMBER: _ClassVar[int]
    person: str
    reference: str
    purpose: str
    expires_at: str
    maximum_uses: int
    def __init__(self, person: _Optional[str] = ..., reference: _Optional[str] = ..., purpose: _Optional[str] = ..., expires_at: _Optional[str] = ..., maximum_uses: _Optional[int] = ...) -> None: ...

class ConsentName(_message.Message):
    __slots__ = ("person", "reference")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    person: str
    reference: str
    def __init__(self, person: _Optional[str] = ..., reference: _Optional[str] = ...) -> None: ...

class SwitchRequest(_message.Message):
    __slots__ = ("person", "off")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    OFF_FIELD_NUMBER: _ClassVar[int]
    person: str
    off: bool
    def __init__(self, person: _Optional[str] = ..., off: _Optional[bool] = ...) -> None: ...

class PersonState(_message.Message):
    __slots__ = ("person", "switched_off", "consents")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    SWITCHED_OFF_FIELD_NUMBER: _ClassVar[int]
    CONSENTS_FIELD_NUMBER: _ClassVar[int]
    person: str
    switched_off: bool
    consents: _containers.RepeatedCompositeFieldContainer[ConsentKept]
    def __init__(self, person: _Optional[str] = ..., switched_off: _Optional[bool] = ..., consents: _Optional[_Iterable[_Union[ConsentKept, _Mapping]]] = ...) -> None: ...

class ConsentKept(_message.Message):
    __slots__ = ("reference", "purpose", "status", "expires_at", "uses", "maximum_uses")
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    USES_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_USES_FIELD_NUMBER: _ClassVar[int]
    reference: str
    purpose: str
    status: str
    expires_at: str
    uses: int
    maximum_uses: int
    def __init__(self, reference: _Optional[str] = ..., purpose: _Optional[str] = ..., status: _Optional[str] = ..., expires_at: _Optional[str] = ..., uses: _Optional[int] = ..., maximum_uses: _Optional[int] = ...) -> None: ...

class DeletionState(_message.Message):
    __slots__ = ("person", "state", "due_at", "held_by")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DUE_AT_FIELD_NUMBER: _ClassVar[int]
    HELD_BY_FIELD_NUMBER: _ClassVar[int]
    person: str
    state: str
    due_at: str
    held_by: str
    def __init__(self, person: _Optional[str] = ..., state: _Optional[str] = ..., due_at: _Optional[str] = ..., held_by: _Optional[str] = ...) -> None: ...

class AccessesRequest(_message.Message):
    __slots__ = ("person", "purpose")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    person: str
    purpose: str
    def __init__(self, person: _Optional[str] = ..., purpose: _Optional[str] = ...) -> None: ...

class Accesses(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Access]
    def __init__(self, items: _Optional[_Iterable[_Union[Access, _Mapping]]] = ...) -> None: ...

class Access(_message.Message):
    __slots__ = ("at", "who", "role", "purpose", "action", "application_id")
    AT_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_ID_FIELD_NUMBER: _ClassVar[int]
    at: str
    who: str
    role: str
    purpose: str
    action: str
    application_id: str
    def __init__(self, at: _Optional[str] = ..., who: _Optional[str] = ..., role: _Optional[str] = ..., purpose: _Optional[str] = ..., action: _Optional[str] = ..., application_id: _Optional[str] = ...) -> None: ...
