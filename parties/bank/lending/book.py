"""The loan book in the bank's store: every event in one transaction with the limit, the quotas and the voucher.

The row of a loan is locked while an event is applied, so that two requests about one loan come one after the other; the
limit and the quotas are compared and changed by one statement each (parties/bank/store), so that requests about
different loans of one person never exceed a limit, whatever process they come from. What is read is recomputed from
the terms and the events: an entry that was changed in the database is noticed.
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update

from parties.bank.decision.lateness import Late
from parties.bank.lending.account import Account, advanced
from parties.bank.lending.errors import LoanRefused
from parties.bank.lending.events import Event, Movement, accepted, applied, replayed
from parties.bank.lending.statement import lateness
from parties.bank.lending.tables import loan_movements, loan_shares, loans
from parties.bank.lending.terms import Terms
from parties.bank.lending.voucher import signed, voucher_of
from parties.bank.store import Conflict, Reader, Unit, Unknown
from parties.bank.store.deletions import nothing_holds
from parties.bank.store.inserts import insert_new
from protocols.crypto.identity import IdentityKey
from protocols.errors import TrustError, UsageError

MOST_ENTRIES = 500
_MOST_FORGOTTEN = 500
_ENDED = ("withdrawn", "cancelled", "repaid", "recovered")


@dataclass(frozen=True)
class Notary:
    """Who makes out vouchers: the bank's name as a party and its identity."""

    issuer: str
    identity: IdentityKey


@dataclass(frozen=True)
class Loan:
    """One loan as it stood after its last entry."""

    account: Account
    movements: tuple[Movement, ...]

    @property
    def terms(self) -> Terms:
        """What was agreed."""
        return self.account.terms

    @property
    def events(self) -> tuple[Event, ...]:
        """What happened, in order."""
        return tuple(movement.event for movement in self.movements)

    def at(self, now: datetime) -> Account:
        """The account with everything accrued until now."""
        return advanced(self.account, max(now, self.account.at))


@dataclass(frozen=True)
class Line:
    """A loan in a list: amounts of principal, without opening its terms."""

    number: int
    loan_id: str
    application_id: str
    product: str
    status: str
    drawn_fen: int
    repaid_fen: int
    accepted_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True)
class PartnerBook:
    """Principal of all loans that one partner paid out and was paid back."""

    loans: int
    drawn_fen: int
    repaid_fen: int

    @property
    def outstanding_fen(self) -> int:
        """What borrowers owe this partner."""
        return self.drawn_fen - self.repaid_fen


class Loans:
    """The book, in one transaction of the store. Drawing needs the notary."""

    def __init__(self, unit: Unit, notary: Notary | None = None):
        self._unit, self._notary, self._connection = unit, notary, unit.connection

    # what happens

    def accept(self, terms: Terms, event: Event) -> Loan:
        """Open a loan; the same acceptance again changes nothing. Conflict when the application has another loan."""
        account, movement = accepted(terms, event)
        values = {"loan_id": terms.loan_id, "application_id": terms.application_id, "person": terms.person,
                  "product": terms.product, "status": account.status, "accepted_at": event.at, "moved_at": event.at,
                  "terms": self._unit.payloads.pack(_terms(terms.loan_id), terms.to_bytes())}
        if insert_new(self._connection, loans, values):
            self._enter(terms.loan_id, movement)
            return Loan(account, (movement,))
        row = self._row(loans.c.application_id == terms.application_id, lock=True)
        kept = None if row is None else self._loan(row)
        if kept is None or kept.terms != terms or not _same(kept.events[0], event):
            raise Conflict(f"application {terms.application_id} was accepted already, or loan {terms.loan_id} is "
                           "another one; ask for the loan that there is")
        return kept

    def act(self, loan_id: str, event: Event) -> Loan:
        """Apply an event to a loan, with all that follows from it; the same event again changes nothing.

        LoanRefused where the loan does not allow it, LimitExceeded where limit or quota do not, Conflict where its
        reference stands for another event; then nothing is changed.
        """
        row = self._found(self._row(loans.c.loan_id == loan_id, lock=True), loan_id)
        loan = self._loan(row)
        for known in loan.events:
            if known.reference == event.reference:
                return self._repeated(loan, known, event)
        _check_length(loan, event)
        account, movement = applied(loan.account, event, len(loan.movements) + 1)
        after = Loan(account, (*loan.movements, movement))
        self._enter(loan_id, movement)
        if event.kind == "draw":
            self._drawn(after, event)
        elif movement.settled.principal_fen:
            self._given_back(after, movement)
        self._consequences(after, event)
        self._update(after, event)
        return after

    # what is known

    def get(self, loan_id: str, reader: Reader, at: datetime) -> Loan:
        """A loan, recomputed and compared; the access log has the look first. Unknown, or TrustError if it was
        changed."""
        row = self._found(self._row(loans.c.loan_id == loan_id), loan_id)
        self._unit.accesses.note(reader, "loan", at, row.person, row.application_id)
        return self._loan(row)

    def owner(self, loan_id: str) -> str:
        """Whose loan it is (a keyed hash): for the process itself, to refuse others. Unknown when there is none."""
        return str(self._found(self._row(loans.c.loan_id == loan_id), loan_id).person)

    def lateness(self, person: str, now: datetime) -> list[Late]:
        """How late loans of this person, still running or written off, are now and ever were.

        For the process itself: a limit account hears of lateness only when a loan ends.
        """
        query = select(loans).where(loans.c.person == person, loans.c.status.in_(("active", "written-off")))
        running = [self._loan(row) for row in self._connection.execute(query).all()]
        ever = [late for one in running for late in lateness(one.terms, one.events)]
        return ever + [Late(days, now) for one in running if (days := one.at(now).days_past_due)]

    def of_application(self, application_id: str) -> str | None:
        """The loan of an application, if its offer was accepted."""
        query = select(loans.c.loan_id).where(loans.c.application_id == application_id)
        return self._connection.execute(query).scalar_one_or_none()

    def of_applications(self, application_ids: Sequence[str], accepted_by: datetime) -> Iterator[Loan]:
        """Drawn loans of these applications that were accepted by then: for sums, which tell nobody's data."""
        which = loans.c.application_id.in_(application_ids), loans.c.drawn_fen > 0, loans.c.accepted_at <= accepted_by
        return map(self._loan, self._connection.execute(select(loans).where(*which)).all())

    def voucher(self, loan_id: str, reader: Reader, at: datetime) -> bytes:
        """The signed voucher as it was made out at the draw-down."""
        row = self._found(self._row(loans.c.loan_id == loan_id), loan_id)
        self._unit.accesses.note(reader, "voucher", at, row.person, row.application_id)
        if row.voucher is None:
            raise UsageError("a voucher is made out for a loan that was drawn; draw it first")
        return self._unit.payloads.unpack(_voucher(loan_id), row.voucher)

    def page(self, reader: Reader, at: datetime, before: int | None = None, limit: int = 50, person: str | None = None,
             status: str | None = None) -> list[Line]:
        """The newest first, those before a line's number; the access log has the look."""
        query = select(*_LINE).order_by(loans.c.number.desc()).limit(limit)
        if before is not None:
            query = query.where(loans.c.number < before)
        if person is not None:
            query = query.where(loans.c.person == person)
        if status is not None:
            query = query.where(loans.c.status == status)
        found = [Line(**row._mapping) for row in self._connection.execute(query)]
        self._unit.accesses.note(reader, "loans", at, person, count=len(found))
        return found

    def partners(self) -> dict[str, PartnerBook]:
        """By partner; TrustError unless all partners' principal together is that of all loans."""
        sums = (func.count(), func.sum(loan_shares.c.drawn_fen), func.sum(loan_shares.c.repaid_fen))
        rows = self._connection.execute(select(loan_shares.c.partner, *sums).group_by(loan_shares.c.partner))
        found = {partner: PartnerBook(int(count), int(out), int(back)) for partner, count, out, back in rows}
        total = select(func.coalesce(func.sum(loans.c.drawn_fen), 0), func.coalesce(func.sum(loans.c.repaid_fen), 0))
        drawn, repaid = self._connection.execute(total).one()
        shares = sum(book.drawn_fen for book in found.values()), sum(book.repaid_fen for book in found.values())
        if (int(drawn), int(repaid)) != shares:
            raise TrustError("the partners' balances do not add up to the loans'; restore a backup of the store")
        return dict(sorted(found.items()))

    # what is forgotten

    def forget(self, ended_before: datetime, reader: Reader, now: datetime) -> list[str]:
        """Delete loans that ended before, of everybody whose data nothing holds; at most 500 at once. Which they were.

        What partners have outstanding stays as it is: an ended loan has nothing outstanding.
        """
        query = select(loans.c.loan_id).where(loans.c.ended_at < ended_before, nothing_holds(loans.c.person, now))
        free = list(self._connection.execute(query.order_by(loans.c.number).limit(_MOST_FORGOTTEN)).scalars())
        if not free:
            return free
        for table in (loan_movements, loan_shares, loans):
            self._connection.execute(delete(table).where(table.c.loan_id.in_(free)))
        self._unit.accesses.note(reader, "forget loans", now, count=len(free))
        return free

    # what follows from an event

    def _drawn(self, loan: Loan, event: Event) -> None:
        """Take limit and quotas, and make out the voucher. What the decision had reserved is exchanged for what is
        drawn."""
        terms, shares = loan.terms, _principal_by_partner(loan.movements[-1], "drawn_fen")
        if self._notary is None:
            raise UsageError("a draw-down makes out a voucher; give the loan book the bank's identity")
        self._unit.customers.reserve(terms.person, event.amount_fen, event.at)
        self._unit.quotas.release(terms.application_id)
        self._unit.quotas.reserve(terms.loan_id, {name: fen for name, fen in shares.items() if fen}, event.at, None)
        rows = [{"loan_id": terms.loan_id, "partner": name, "drawn_fen": fen, "repaid_fen": 0}
                for name, fen in shares.items()]
        self._connection.execute(insert(loan_shares), rows)
        voucher = signed(voucher_of(self._notary.issuer, loan.account), self._notary.identity)
        kept = self._unit.payloads.pack(_voucher(terms.loan_id), voucher)
        self._connection.execute(update(loans).where(loans.c.loan_id == terms.loan_id).values(voucher=kept))

    def _given_back(self, loan: Loan, movement: Movement) -> None:
        terms, shares = loan.terms, _principal_by_partner(movement, "settled")
        self._unit.customers.release(terms.person, movement.settled.principal_fen, movement.event.at)
        self._unit.quotas.release(terms.loan_id, {name: fen for name, fen in shares.items() if fen})
        for name, fen in shares.items():
            share = (loan_shares.c.loan_id == terms.loan_id) & (loan_shares.c.partner == name)
            self._connection.execute(update(loan_shares).where(share).values(repaid_fen=loan_shares.c.repaid_fen + fen))

    def _consequences(self, loan: Loan, event: Event) -> None:
        """For the customer: a repaid loan counts in later decisions, a written-off one freezes the limit."""
        person, status = loan.terms.person, loan.account.status
        if event.kind == "write-off":
            self._unit.customers.freeze(person, f"loan {loan.terms.loan_id} was written off: {event.reason}"[:256],
                                        event.by, event.at)
        if event.kind == "write-off" or status in ("repaid", "recovered"):
            late = lateness(loan.terms, loan.events)
            self._unit.customers.repaid(person, late, event.at, loans=int(status == "repaid"))

    # rows

    def _row(self, condition: Any, lock: bool = False) -> Row[Any] | None:
        query = select(loans).where(condition)
        return self._connection.execute(query.with_for_update() if lock else query).one_or_none()

    def _found(self, row: Row[Any] | None, loan_id: str) -> Row[Any]:
        if row is None:
            raise Unknown(f"no loan {loan_id[:64]} is kept")
        return row

    def _loan(self, row: Row[Any]) -> Loan:
        payloads, loan_id = self._unit.payloads, row.loan_id
        terms = Terms.from_bytes(payloads.unpack(_terms(loan_id), row.terms))
        query = select(loan_movements).where(loan_movements.c.loan_id == loan_id).order_by(loan_movements.c.number)
        kept = tuple(Movement.from_bytes(payloads.unpack(_entry(loan_id, entry.number), entry.movement))
                     for entry in self._connection.execute(query))
        account = _recomputed(terms, kept)
        stated = (row.status, row.drawn_fen, row.repaid_fen, row.person)
        if account is None or stated != (account.status, account.drawn_fen, account.settled.principal_fen,
                                         terms.person):
            raise TrustError(f"the entries of loan {loan_id} do not follow from its events: the store was changed; "
                             "restore a backup")
        return Loan(account, kept)

    def _enter(self, loan_id: str, movement: Movement) -> None:
        packed = self._unit.payloads.pack(_entry(loan_id, movement.number), movement.to_bytes())
        event = movement.event
        self._connection.execute(insert(loan_movements), {
            "loan_id": loan_id, "number": movement.number, "reference": event.reference, "kind": event.kind,
            "at": event.at, "movement": packed})

    def _update(self, loan: Loan, event: Event) -> None:
        account = loan.account
        values = {"status": account.status, "drawn_fen": account.drawn_fen, "repaid_fen": account.settled.principal_fen,
                  "moved_at": event.at, "ended_at": event.at if account.status in _ENDED else None}
        self._connection.execute(update(loans).where(loans.c.loan_id == loan.terms.loan_id).values(**values))

    def _repeated(self, loan: Loan, known: Event, event: Event) -> Loan:
        if not _same(known, event):
            raise Conflict(f"reference {event.reference} stands for another event of this loan; give a new one a new "
                           "reference")
        return loan


_LINE = [loans.c[name] for name in Line.__dataclass_fields__]


def _recomputed(terms: Terms, kept: tuple[Movement, ...]) -> Account | None:
    """The account, if the events lead to exactly these entries."""
    if not kept:
        return None
    try:
        account, movements = replayed(terms, [movement.event for movement in kept])
    except LoanRefused:
        return None
    return account if movements == kept else None


def _check_length(loan: Loan, event: Event) -> None:
    """Thousands of small payments would make every look at a loan slow."""
    if len(loan.movements) >= MOST_ENTRIES and event.kind == "repay":
        owed = loan.at(event.at).owed.total_fen
        if event.amount_fen < owed:
            raise LoanRefused(f"the loan has {MOST_ENTRIES} entries already; it can only be paid off, with {owed} fen")


def _same(known: Event, event: Event) -> bool:
    """Whether a request repeats an event; its time and words may differ."""
    return (known.kind, known.reference, known.amount_fen) == (event.kind, event.reference, event.amount_fen)


def _principal_by_partner(movement: Movement, what: str) -> Mapping[str, int]:
    return {entry.partner: entry.drawn_fen if what == "drawn_fen" else entry.settled.principal_fen
            for entry in movement.partners}


def _terms(loan_id: str) -> str:
    return f"the terms of loan {loan_id}"


def _entry(loan_id: str, number: int) -> str:
    return f"entry {number} of loan {loan_id}"


def _voucher(loan_id: str) -> str:
    return f"the voucher of loan {loan_id}"
