"""The section `[decisions.store]` of a bank's file: where the store is and how long what is kept."""
from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import Field

from protocols.strict import Strict

_DAY = timedelta(days=1)
_YEAR_DAYS = 366  # a year of retention is never shorter than one


class Retention(Strict):
    """How long what stays. The defaults are common practice for credit records, no legal advice: a bank's lawyers set
    its own."""

    deletion_days: int = Field(15, ge=0, le=365, description="a deletion is due so long after it was asked for")
    decision_years: int = Field(5, ge=0, le=100, description="a decision record is kept, then erased, whoever it is of")
    access_years: int = Field(5, ge=1, le=100, description="a line of the access log is kept")
    answer_days: int = Field(7, ge=1, le=365, description="an idempotency key is remembered")

    def due(self, asked_at: datetime) -> datetime:
        """When a deletion is due."""
        return asked_at + self.deletion_days * _DAY

    def decided_before(self, now: datetime) -> datetime:
        """Records of decisions before this are erased."""
        return now - self.decision_years * _YEAR_DAYS * _DAY

    def erased_at(self, decided_at: datetime) -> datetime:
        """When the record of a decision is erased."""
        return decided_at + self.decision_years * _YEAR_DAYS * _DAY

    def accessed_before(self, now: datetime) -> datetime:
        """Lines of the access log before this are deleted."""
        return now - self.access_years * _YEAR_DAYS * _DAY

    def answered_before(self, now: datetime) -> datetime:
        """Idempotency keys before this are forgotten."""
        return now - self.answer_days * _DAY


class StoreConfig(Strict):
    """Where the store is."""

    url: str = Field("sqlite:///state/decisions.db", description="sqlite:///FILE, relative to the node's file, or "
                     "postgresql+psycopg://USER@HOST/NAME; the password in ~/.pgpass")
    retention: Retention = Retention()
