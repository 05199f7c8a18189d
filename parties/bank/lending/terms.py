"""What was agreed for one loan: immutable, kept as canonical JSON, signed in the voucher."""
from __future__ import annotations

import hashlib
from datetime import date, datetime, timedelta
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from parties.bank.decision.products import DailyRate, Fees, Repayment
from parties.bank.decision.record import Digest
from parties.bank.decision.values import Fen, Instant, Label, Number, Person, Whole
from parties.bank.lending import kept
from parties.bank.lending.amounts import UNIT, scaled
from protocols.plan import Name
from protocols.strict import Strict

MAX_TERMS_BYTES = 16 * 1024
Rate = Annotated[DailyRate, Field(decimal_places=18)]


class Funder(Strict):
    """A bank that pays and owns a share of the loan, as a fraction."""

    partner: Name
    share: Annotated[Number, Field(gt=0, le=1)]


class Terms(Strict):
    """The agreement of one loan, which is drawn once.

    `overdue_daily_rate` is what overdue principal costs a day, interest included (the rate and the surcharge on it).
    Until `cooling_off_h` hours after the draw-down the loan may be cancelled; with `cooling_off_interest = "waived"`
    no interest and no fee is charged before they are over. Days are those of `time_zone`.
    """

    version: Literal[1] = 1
    loan_id: Label
    application_id: Label
    person: Person
    product: Name
    decision: Digest
    amount_fen: Annotated[Fen, Field(ge=1)]
    minimum_fen: Annotated[Fen, Field(ge=1)] = 1
    daily_rate: Rate
    overdue_daily_rate: Rate
    term_months: Annotated[int, Whole, Field(ge=1, le=120)]
    repayment: Repayment
    fees: Fees = Fees()
    funding: tuple[Funder, ...] = Field(min_length=1, max_length=16)
    offered_until: Instant
    draw_within_h: Annotated[int, Whole, Field(ge=1, le=8760)] = 720
    cooling_off_h: Annotated[int, Whole, Field(ge=0, le=336)] = 24
    cooling_off_interest: Literal["waived", "charged"] = "waived"
    write_off_after_days: Annotated[int, Whole, Field(ge=1, le=3650)] = 90
    time_zone: str = "Asia/Shanghai"

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, OSError, ValueError):  # unknown, a folder, not a key
            raise ValueError(f"expected a time zone such as Asia/Shanghai, got {name[:40]!r}") from None
        return name

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.loan_id == self.application_id:
            raise ValueError("a loan has an id of its own, not that of its application")
        names = [funder.partner for funder in self.funding]
        if len(set(names)) != len(names):
            raise ValueError("a partner funds a loan once; add its shares up")
        if sum(self.weights) != UNIT:
            raise ValueError("the shares of the partners must add up to 1")
        if self.overdue_daily_rate < self.daily_rate:
            raise ValueError("overdue_daily_rate must be at least daily_rate")
        if self.minimum_fen > self.amount_fen:
            raise ValueError("minimum_fen is above amount_fen")
        return self

    @property
    def weights(self) -> tuple[int, ...]:
        """The partners' shares as integers of 10^-18."""
        return tuple(scaled(funder.share) for funder in self.funding)

    @property
    def cooling_off(self) -> timedelta:
        """From the draw-down."""
        return timedelta(hours=self.cooling_off_h)

    def day(self, at: datetime) -> date:
        """The business date of an instant."""
        return at.astimezone(ZoneInfo(self.time_zone)).date()

    def start_of(self, day: date) -> datetime:
        """The instant at which a business date begins."""
        return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(self.time_zone))

    def to_bytes(self) -> bytes:
        """Canonical JSON, no floats."""
        return kept.written(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Terms:
        """MalformedMessage unless the bytes are exactly what `to_bytes` gives for some terms."""
        return kept.read(cls, data, MAX_TERMS_BYTES, "the terms of a loan", whose="their")

    def digest(self) -> str:
        """SHA-256 of the bytes, hex."""
        return hashlib.sha256(self.to_bytes()).hexdigest()
