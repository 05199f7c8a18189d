"""Terms and events for tests, and the naive account: day by day, in fractions, from the payments alone."""
from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from parties.bank.lending.events import Event
from parties.bank.lending.schedule import Due
from parties.bank.lending.terms import Terms

OFFERED_UNTIL = datetime(2026, 1, 31, 12, tzinfo=UTC)
START = datetime(2026, 1, 30, 3, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")
ORDER = ("fee", "penalty", "interest", "principal")


def terms(**changes: Any) -> Terms:
    """A loan of 10,000 CNY over 12 months at 0.04 % a day, 3:7."""
    values: dict[str, Any] = {
        "loan_id": "l-1", "application_id": "a-1", "person": "0" * 64, "product": "weilidai", "decision": "1" * 64,
        "amount_fen": 1_000_000, "daily_rate": Decimal("0.0004"), "overdue_daily_rate": Decimal("0.0006"),
        "term_months": 12, "repayment": "equal-installment", "offered_until": OFFERED_UNTIL,
        "funding": ({"partner": "own", "share": Decimal("0.3")}, {"partner": "city", "share": Decimal("0.7")}),
    }
    return Terms.model_validate(values | changes)


def event(kind: str, at: datetime, amount_fen: int = 0, reference: str | None = None,
          reason: str | None = None) -> Event:
    """An event of the tests' clerk; its reference follows from kind and time unless given."""
    return Event(kind=kind, reference=reference or f"{kind}-{at:%Y%m%d%H%M%S}", at=at, amount_fen=amount_fen,
                 by="clerk", reason=reason)


def half_up(value: Fraction) -> int:
    """Nearest whole number, halves upwards."""
    return (value + Fraction(1, 2)).__floor__()


@dataclass
class NaiveAccount:
    """What a clerk with much time would write down. Recomputed from the start for every question."""

    terms: Terms
    drawn_at: datetime
    amount_fen: int
    plan: tuple[Due, ...]
    payments: list[tuple[datetime, int]] = field(default_factory=list)
    stopped_at: datetime | None = None

    def owed(self, now: datetime) -> dict[str, int]:
        """By part, at `now`."""
        self._begin()
        paid = list(self.payments)
        day = self.drawn_at.astimezone(ZONE).date()
        while True:
            self._open_day(day)
            while paid and paid[0][0].astimezone(ZONE).date() == day:
                at, fen = paid.pop(0)
                self._post(at)
                self._pay(fen)
            if day == now.astimezone(ZONE).date():
                self._post(now)
                return {part: self.charged[part] - self.settled[part] for part in ORDER}
            self._close_day(day)
            day += timedelta(days=1)

    def days_past_due(self, now: datetime) -> int:
        """Since the oldest bill that is not settled."""
        self.owed(now)
        today = now.astimezone(ZONE).date()
        for due_on, bill in self.bills:
            if any(self.settled[part] < value for part, value in bill.items()):
                return (today - due_on).days
        return 0

    def _begin(self) -> None:
        self.interest, self.surcharge = Fraction(0), Fraction(0)
        self.fees = half_up(Fraction(self.amount_fen) * Fraction(self.terms.fees.one_time_rate))
        self.charged = dict.fromkeys(ORDER, 0) | {"principal": self.amount_fen}
        self.settled = dict.fromkeys(ORDER, 0)
        self.bills: list[tuple[date, dict[str, int]]] = []

    def _outstanding(self) -> int:
        return self.amount_fen - self.settled["principal"]

    def _stopped(self, day: date) -> bool:
        return self.stopped_at is not None and day >= self.stopped_at.astimezone(ZONE).date()

    def _open_day(self, day: date) -> None:
        for due in self.plan:
            stopped = self.stopped_at is not None and day > self.stopped_at.astimezone(ZONE).date()
            if due.due_on == day and not stopped:
                planned = self.amount_fen - sum(one.principal_fen for one in self.plan if one.due_on < day)
                left = min(self._outstanding(), planned)
                base = left if self.terms.fees.monthly_on == "outstanding" else self.amount_fen if left else 0
                self.fees += half_up(Fraction(base) * Fraction(self.terms.fees.monthly_rate))
                principal = sum(d.principal_fen for d in self.plan if d.due_on <= day)
                self.bills.append((day, {"fee": self.fees, "interest": half_up(self.interest), "principal": principal}))

    def _post(self, at: datetime) -> None:
        over = at >= self.drawn_at + timedelta(hours=self.terms.cooling_off_h)
        if over or self.terms.cooling_off_interest == "charged":
            self.charged |= {"fee": self.fees, "interest": half_up(self.interest), "penalty": half_up(self.surcharge)}

    def _pay(self, fen: int) -> None:
        for part in ORDER:
            taken = min(fen, self.charged[part] - self.settled[part])
            self.settled[part] += taken
            fen -= taken
        assert fen == 0, "the naive account is never overpaid"

    def _close_day(self, day: date) -> None:
        if self._stopped(day):
            return
        self.interest += self._outstanding() * Fraction(self.terms.daily_rate)
        planned = sum(due.principal_fen for due in self.plan if due.due_on < day)
        late = max(0, planned - self.settled["principal"])
        self.surcharge += late * (Fraction(self.terms.overdue_daily_rate) - Fraction(self.terms.daily_rate))
