"""People, times and records for tests of the store."""
from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from parties.bank.decision.application import Facts, Identity
from parties.bank.decision.context import Context, JointScore
from parties.bank.decision.record import DecisionRecord
from parties.bank.store import Reader

NOW = datetime(2026, 3, 2, 9, 30, 0, 123456, tzinfo=UTC)
DAY = timedelta(days=1)
OFFICER = Reader("li.wei", "risk-officer", "complaint 17")


def person(number: int = 0) -> str:
    """64 hex digits."""
    return f"{number:064x}"


def record(name: str = "a-1", who: str | None = None, at: datetime = NOW, **changes: Any) -> DecisionRecord:
    """A small record: a decline without steps."""
    facts = Facts(application_id=name, product="weilidai", amount_fen=500_000, term_months=12, purpose="consumption",
                  province="44", applied_at=at,
                  identity=Identity(real_name_verified=True, own_bank_card=True, age=30, student=False))
    context = Context(now=at, person=who or person(), score=JointScore(status="not-asked"), arm="champion")
    return DecisionRecord(**({"application": facts, "context": context, "rulebook": "b" * 64, "graph": "main",
                              "steps": (), "outcome": "declined"} | changes))
