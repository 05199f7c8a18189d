"""What callers send and get: the shapes of the OpenAPI document. Money is fen, rates and probabilities decimal text."""
from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from parties.bank.decision.application import Bureau, ConsentReference, Customer, Identity, Purpose
from parties.bank.decision.limits import Change
from parties.bank.decision.record import Digest, Offer, Outcome, Reason
from parties.bank.decision.values import Count, Fen, Instant, Label, Number, Person, Province, Whole
from protocols.plan import Name
from protocols.strict import Strict

IdempotencyKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{8,64}$")]
Why = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{3,200}$")]
Said = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]{1,1000}$")]
ReviewOutcome = Literal["upheld", "overturned"]


class Submission(Strict):
    """One application. The service gives it its id and time; `customer` is kept as a keyed hash only."""

    customer: Customer = Field(description="the identifier that the bank's table has, such as a telephone number")
    product: Name
    amount_fen: Fen
    term_months: Annotated[int, Whole, Field(ge=1, le=120)]
    purpose: Purpose
    province: Province = Field(description="GB/T 2260, two digits")
    identity: Identity
    consents: tuple[ConsentReference, ...] = Field((), max_length=16)
    bureau: Bureau | None = Field(None, description="the bureau's answer; without it the bank has no score of its own")


class ReviewState(Strict):
    """A review by a person of the bank."""

    state: Literal["asked", "decided"]
    asked_at: Instant
    outcome: str | None = None
    note: str | None = None
    decided_at: Instant | None = None


class Answer(Strict):
    """A decided application: what came out and why. `score` says whose score it rests on."""

    application_id: Label
    person: Person = Field(description="the keyed hash of the customer: names the person in /v1/persons")
    outcome: Outcome
    score: Literal["joint", "bank-only", "none"]
    lacks: tuple[Name, ...] = Field((), description="insufficient-data: what there is too little of")
    offer: Offer | None = None
    reasons: tuple[Reason, ...] = ()
    decided_at: Instant
    record: Digest = Field(description="SHA-256 of the decision record")


class Progress(Strict):
    """An application now: the answer as it was given, and its review if somebody asked for one."""

    answer: Answer
    review: ReviewState | None = None


class Listed(Strict):
    """One line of a list of decisions."""

    application_id: Label
    person: Person | None
    outcome: Outcome
    product: Name
    decided_at: Instant


class Page(Strict):
    """Decisions, newest first; `next` asks for the following page and is None on the last."""

    items: tuple[Listed, ...]
    next: str | None = None


class Record(Strict):
    """A whole decision record and its digest."""

    digest: Digest
    record: dict[str, Any]


class Waiting(Strict):
    """A review that waits for an officer."""

    application_id: Label
    asked_at: Instant
    text: str


class Waitings(Strict):
    """Reviews that wait, the oldest first."""

    items: tuple[Waiting, ...]


class ReviewRequest(Strict):
    """Why the applicant wants a person to look again."""

    text: Said


class ReviewDecision(Strict):
    """What the officer found. `upheld`: the decision stands; `overturned`: it does not, and officers go on by hand."""

    outcome: ReviewOutcome
    note: Said


class CustomerQuery(Strict):
    """Whom to find."""

    customer: Customer


class PersonFound(Strict):
    """The keyed hash that stands for a customer."""

    person: Person


class ConsentGiven(Strict):
    """One authorisation: a purpose, an end, one use unless said otherwise."""

    reference: Label
    purpose: Name
    expires_at: Instant
    maximum_uses: Annotated[int, Whole, Field(ge=1, le=1000)] = 1


class ConsentKept(Strict):
    """A consent as the store has it."""

    reference: Label
    purpose: Name
    status: str
    expires_at: Instant
    uses: Count
    maximum_uses: Count


class PersonState(Strict):
    """What stands about a person: consents and the switch."""

    person: Person
    switched_off: bool
    consents: tuple[ConsentKept, ...]


class Switch(Strict):
    """`off` stops scoring at once."""

    off: bool


class DeletionState(Strict):
    """A request for deletion: when it is due and what still holds it."""

    person: Person
    state: str
    due_at: Instant | None
    held_by: str | None = None


class Access(Strict):
    """One read of what is kept about a person."""

    at: Instant
    who: str
    role: str
    purpose: str
    action: str
    application_id: Label | None = None


class Accesses(Strict):
    """Reads of a person's records, newest first."""

    items: tuple[Access, ...]


class LoanChange(Strict):
    """A change of a loan; the same reference again changes nothing."""

    reference: Label


class LoanAmount(LoanChange):
    """A change that moves money."""

    amount_fen: Annotated[Fen, Field(ge=1)]


class LoanState(Strict):
    """Where a loan stands: what is owed, by part and by funding partner."""

    loan_id: Label
    application_id: Label
    product: Name
    amount_fen: Fen
    daily_rate: Number
    status: str
    account: dict[str, Any]


class LoanPlan(Strict):
    """Instalments as agreed, and payments that are still to come."""

    loan_id: Label
    plan: tuple[dict[str, Any], ...]
    still: tuple[dict[str, Any], ...]


class LoanStatement(Strict):
    """A statement of a period."""

    loan_id: Label
    statement: dict[str, Any]


class SignedVoucher(Strict):
    """What was agreed and paid out, signed by the bank's identity."""

    identity: str
    signature: str
    voucher: dict[str, Any]


class SignalReport(Strict):
    """A risk signal about a person; the same reference again changes nothing."""

    reference: Label = Field(description="the reporter's own, new for every new signal about this person")
    signal: Name = Field(description="as the rulebook's limits.toml names it")


class SignalActed(SignalReport):
    """What followed from a signal: the change of the limit, and why in words."""

    person: Person
    change: Change
    before_fen: Fen
    after_fen: Fen
    reason: Name
    zh: str
    en: str
    acted_at: Instant


class Health(Strict):
    """Whether the service answers, and on what."""

    status: Literal["ok", "stopping"]
    rulebook: Digest
    model: str | None = None
    joint_scoring: str


class Problem(Strict):
    """RFC 9457: what was refused and why, in one sentence. It carries no data of the request."""

    type: str
    title: str
    status: int
    detail: str


