"""What an applicant asks for and says, and what the bureau answered about them: immutable, money in fen."""
from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from parties.bank.decision.values import Columns, Count, Fen, Instant, Label, Province, Whole
from protocols.plan import Name
from protocols.strict import Strict

Purpose = Literal[
    "consumption", "education", "medical", "renovation", "travel", "business", "securities", "virtual-currency"
]
BUREAU_INQUIRY, JOINT_SCORING = "bureau-inquiry", "joint-scoring"  # purposes of consents
Customer = Annotated[str, StringConstraints(min_length=1, max_length=128, strip_whitespace=True), Field(repr=False)]


class Identity(Strict):
    """Who applies, as far as eligibility asks (domain row 7); the payment score is the platform's public one."""

    real_name_verified: bool
    own_bank_card: bool
    age: Annotated[int, Whole, Field(ge=0, le=150)]
    student: bool
    payment_score: Annotated[int, Whole, Field(ge=0, le=1000)] | None = None
    invited: bool = False


class ConsentReference(Strict):
    """A consent the applicant says was given: one purpose, one expiry. The store decides whether it holds."""

    reference: Label
    purpose: Name
    expires_at: Instant


class Bureau(Strict):
    """The bureau's answer: `columns` are those of the bank's own table, as text, None where empty."""

    columns: Columns = Field(default_factory=dict, validate_default=True)
    credit_lines_elsewhere_fen: Fen
    annual_income_fen: Fen | None = None
    provident_fund_months: Count = 0
    inquiries_6m: Count = 0
    overdue_days_worst: Count = 0
    reported_at: Instant


class Facts(Strict):
    """An application without the identifier: everything that a decision may depend on and a record may keep."""

    application_id: Label
    product: Name
    amount_fen: Fen
    term_months: Annotated[int, Whole, Field(ge=1, le=120)]
    purpose: Purpose
    province: Province
    applied_at: Instant
    identity: Identity
    consents: tuple[ConsentReference, ...] = Field(default=(), max_length=16)
    bureau: Bureau | None = None


class Application(Facts):
    """The facts and the customer's identifier, which is masked when printed and enters no record."""

    customer: Customer

    def facts(self) -> Facts:
        """Without the identifier."""
        return Facts.model_construct(**{name: getattr(self, name) for name in Facts.model_fields})
