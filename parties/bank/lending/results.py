"""What became of loans, for reports of experiments: looked at when their performance window is over, not before.

A bad loan shows itself before the window ends, a good one only then; whoever counts what is known today counts the bad
ones first. So a loan has no result until its window is over, and then the window alone decides.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice

from parties.bank.decision.lateness import worst
from parties.bank.lending.agreement import LendingPolicy
from parties.bank.lending.book import Loan, Loans
from parties.bank.lending.statement import lateness, standing

_CHUNK = 500


def turned_bad(loan: Loan, policy: LendingPolicy, now: datetime) -> bool | None:
    """Whether it was `bad_from_days` past due at any time within `performance_days` of its draw-down; None before they
    are over, and of a loan that was never drawn or was cancelled."""
    drawn_at = loan.account.drawn_at
    if drawn_at is None or loan.account.status == "cancelled" or policy.window_end(drawn_at) > now:
        return None
    end = policy.window_end(drawn_at)
    last = standing(loan.terms, loan.events, end)
    late = worst(lateness(loan.terms, [event for event in loan.events if event.at < end]))
    return max(late, last.days_past_due if last else 0) >= policy.bad_from_days


def results(book: Loans, application_ids: Iterable[str], policy: LendingPolicy, now: datetime) -> dict[str, bool]:
    """By application, of those whose loan has one. It tells no person's data, so no access is logged here."""
    found = {}
    for chunk in _chunks(application_ids):
        for loan in book.of_applications(chunk, policy.window_begin(now)):
            if (bad := turned_bad(loan, policy, now)) is not None:
                found[loan.terms.application_id] = bad
    return found


def _chunks(names: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(names)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk
