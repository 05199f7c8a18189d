"""What the bank knows when it decides: the time, scores, the person's history here, quotas and consents."""
from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from parties.bank.decision.values import Count, Fen, Instant, Label, Number, Person, Probability, Text
from protocols.plan import Name
from protocols.strict import Strict

ScoreStatus = Literal["answered", "unavailable", "refused", "not-asked"]
ConsentStatus = Literal["valid", "expired", "used", "off", "unknown"]


class JointScore(Strict):
    """The joint model's answer; log-odds are multiples of 2^-5. `lacks` names what a person's behaviour has too little
    of (domain row 6), `cause` says why there is no score. Its latency is measured elsewhere: it may not decide."""

    status: ScoreStatus
    cause: Text | None = None
    log_odds: Number | None = None
    probability: Probability | None = None
    model: Label | None = None
    snapshot: Label | None = None
    age_s: Count | None = None
    lacks: tuple[Name, ...] = Field(default=(), max_length=32)
    fraud_score: Probability | None = None

    @model_validator(mode="after")
    def _score_and_status_agree(self) -> JointScore:
        if (self.probability is not None) != (self.status == "answered" and not self.lacks):
            raise ValueError("a probability comes with the status answered and nothing lacking, and only then")
        return self


class Contribution(Strict):
    """One column of a scorecard: the bin the person is in, None where the value itself is taken, its points and the
    most the column gives; more is safer."""

    column: Text
    bin: Text | None
    points: Number
    most: Number


class BankOnly(Strict):
    """The bank's own score, and the contributions that reasons are taken from; None where there is no bureau answer."""

    probability: Probability | None = None
    contributions: tuple[Contribution, ...] = Field(default=(), max_length=512)


class History(Strict):
    """The person as a customer of this bank; all zero for a first loan. `new_overdue_days` are those after the last
    review, `late_at` is when the person was last late: None for never, and in records from before they were kept."""

    existing_limit_fen: Fen = 0
    outstanding_fen: Fen = 0
    loans_repaid: Count = 0
    worst_overdue_days: Count = 0
    idle_days: Count | None = None
    last_review: Instant | None = None
    frozen: bool = False
    new_overdue_days: Count | None = Field(default=None, exclude_if=lambda days: days is None)
    late_at: Instant | None = Field(default=None, exclude_if=lambda at: at is None)


class Quota(Strict):
    """What a funding partner can still take: free fen of its quota and its caps; and what it has taken, in fen where
    that is known (records from before have no such field), else as a share of the partner's net tier-1 capital."""

    free_fen: Fen
    used_fen: Fen | None = Field(default=None, exclude_if=lambda fen: fen is None)
    concentration: Annotated[Number, Field(ge=0, le=1)] = Field(default=0, validate_default=True)


class ConsentState(Strict):
    """A consent as the store has it: `valid` also when this very application has just used it up."""

    reference: Label
    purpose: Name
    status: ConsentStatus


class Context(Strict):
    """Everything but the application and the rulebook. `person` is the keyed hash of the identifier."""

    now: Instant
    person: Person
    score: JointScore
    bank_only: BankOnly = BankOnly()
    history: History = History()
    quotas: dict[Name, Quota] = Field(default_factory=dict, max_length=256)
    consents: tuple[ConsentState, ...] = Field(default=(), max_length=16)
    switched_off: bool = False
    arm: Name | None = None
