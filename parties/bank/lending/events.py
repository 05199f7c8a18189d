"""What may happen to a loan, and what each event moved: the only way an account changes, checked before anything
does."""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from parties.bank.decision.values import Fen, Instant, Label, Text, Whole
from parties.bank.lending import kept
from parties.bank.lending.account import Account, Status, advanced, drawn, opened
from parties.bank.lending.errors import LoanRefused
from parties.bank.lending.parts import Parts
from parties.bank.lending.schedule import schedule
from parties.bank.lending.terms import Terms
from protocols.plan import Name
from protocols.strict import Strict

Kind = Literal["accept", "withdraw", "draw", "cancel", "repay", "write-off"]
MAX_MOVEMENT_BYTES = 16 * 1024


class Event(Strict):
    """One thing that happened: `reference` makes a repetition of it harmless, `by` says who did it."""

    kind: Kind
    reference: Label
    at: Instant
    amount_fen: Fen = 0
    by: Text
    reason: Text | None = None


class PartnerParts(Strict):
    """What one partner paid out (`drawn_fen`) or was paid back, by part."""

    partner: Name
    drawn_fen: Fen = 0
    settled: Parts = Parts()


class Movement(Strict):
    """An entry of the loan's book: the event, what was charged since the entry before, what it settled, what is owed
    then."""

    number: Annotated[int, Whole, Field(ge=1)]
    event: Event
    charged: Parts
    settled: Parts
    owed: Parts
    status: Status
    partners: tuple[PartnerParts, ...]

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        return kept.written(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> Movement:
        """MalformedMessage unless the bytes are exactly what `to_bytes` gives for some movement."""
        return kept.read(cls, data, MAX_MOVEMENT_BYTES, "a movement of a loan")


def accepted(terms: Terms, event: Event) -> tuple[Account, Movement]:
    """The account of an offer that is accepted in time; LoanRefused after its expiry."""
    if event.kind != "accept":
        raise LoanRefused(f"a loan begins with its acceptance, not with {event.kind}; accept the offer first")
    if event.at > terms.offered_until:
        raise LoanRefused(f"the offer ended at {_told(terms.offered_until)}; apply again for a new one")
    account = opened(terms, event.at)
    return account, _movement(1, account, account, event)


def applied(account: Account, event: Event, number: int) -> tuple[Account, Movement]:
    """The account after the event and its entry; LoanRefused, and nothing changed, where the event is not allowed."""
    if event.at < account.at:
        raise LoanRefused(f"the loan's last entry is of {_told(account.at)}, later than this one; check the clock")
    handler = _HANDLERS.get(event.kind)
    if handler is None:
        raise LoanRefused("the offer was accepted before; a loan is accepted once")
    now = advanced(account, event.at)
    after = handler(now, event)
    return after, _movement(number, account, after, event)


def replayed(terms: Terms, events: Iterable[Event]) -> tuple[Account, tuple[Movement, ...]]:
    """Account and entries recomputed from the agreement and the events alone."""
    first, *later = events
    account, movement = accepted(terms, first)
    movements = [movement]
    for number, event in enumerate(later, 2):
        account, movement = applied(account, event, number)
        movements.append(movement)
    return account, tuple(movements)


def _withdraw(account: Account, event: Event) -> Account:
    _need(account, event, ("accepted",))
    return replace(account, status="withdrawn")


def _draw(account: Account, event: Event) -> Account:
    _need(account, event, ("accepted",))
    terms = account.terms
    until = terms.offered_until + timedelta(hours=terms.draw_within_h)
    if event.at > until:
        raise LoanRefused(f"the accepted loan could be drawn until {_told(until)}; apply again for a new offer")
    if not terms.minimum_fen <= event.amount_fen <= terms.amount_fen:
        raise LoanRefused(f"expected a draw-down of {terms.minimum_fen} to {terms.amount_fen} fen, got "
                          f"{event.amount_fen}; draw an amount between them")
    plan = schedule(terms, event.amount_fen, terms.day(event.at))
    return drawn(account, event.amount_fen, event.at, plan)


def _cancel(account: Account, event: Event) -> Account:
    _need(account, event, ("active",))
    if not account.cooling_off:
        raise LoanRefused(f"the cooling-off of {account.terms.cooling_off_h} hours is over; the loan can be repaid at "
                          "any time without a fee")
    if event.amount_fen != account.owed.total_fen:
        raise LoanRefused(f"cancelling returns {account.owed.total_fen} fen, got {event.amount_fen}; pay back exactly "
                          "that")
    return replace(account, status="cancelled", settled=account.charged)


def _repay(account: Account, event: Event) -> Account:
    _need(account, event, ("active", "written-off"))
    owed = account.owed
    if not 1 <= event.amount_fen <= owed.total_fen:
        raise LoanRefused(f"expected a payment of 1 to {owed.total_fen} fen, got {event.amount_fen}; "
                          f"{owed.total_fen} fen pay the loan off now")
    settled = account.settled + owed.settled_by(event.amount_fen)
    ends: Status = "repaid" if account.status == "active" else "recovered"
    return replace(account, settled=settled, status=ends if settled == account.charged else account.status)


def _write_off(account: Account, event: Event) -> Account:
    _need(account, event, ("active",))
    least = account.terms.write_off_after_days
    if account.days_past_due < least:
        raise LoanRefused(f"a loan is written off from {least} days past due, this one has {account.days_past_due}; "
                          "wait or collect")
    if event.reason is None:
        raise LoanRefused("a write-off needs its reason; say it in a few words")
    return replace(account, status="written-off")


_HANDLERS = {"withdraw": _withdraw, "draw": _draw, "cancel": _cancel, "repay": _repay, "write-off": _write_off}


def _need(account: Account, event: Event, allowed: tuple[Status, ...]) -> None:
    if account.status not in allowed:
        raise LoanRefused(f"the loan is {account.status}; {event.kind} needs one that is {' or '.join(allowed)}")


def _movement(number: int, before: Account, after: Account, event: Event) -> Movement:
    """The entry between two states; partners' parts are differences of splits of totals, hence never negative."""
    weights = after.terms.weights
    new, old = after.settled.split(weights), before.settled.split(weights)
    funded = Parts(principal_fen=after.drawn_fen - before.drawn_fen).split(weights)
    partners = tuple(PartnerParts(partner=funder.partner, drawn_fen=paid.principal_fen, settled=later - earlier)
                     for funder, paid, later, earlier in zip(after.terms.funding, funded, new, old, strict=True))
    return Movement(number=number, event=event, charged=after.charged - before.charged,
                    settled=after.settled - before.settled, owed=after.owed, status=after.status, partners=partners)


def _told(at: object) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
