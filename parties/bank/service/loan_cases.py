"""Loans after a decision: accept, draw, cancel, repay, and what the borrower may look at. HTTP only translates.

A loan has its application's name (`l-` for `a-`), so that a channel reaches the loans of its own applications only.
Every change carries a reference of the caller's own: the same one again changes nothing and gets the same answer.
"""
from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal, TypeVar

from parties.bank.decision.record import DecisionRecord
from parties.bank.decision.rulebook import Rulebook, product_of
from parties.bank.lending import told as shown
from parties.bank.lending.agreement import LendingPolicy, agreement
from parties.bank.lending.book import Loan, Loans, Notary
from parties.bank.lending.errors import LoanRefused
from parties.bank.lending.events import Event
from parties.bank.lending.statement import outlook, statement
from parties.bank.service import messages as m
from parties.bank.service.callers import Caller
from parties.bank.service.names import ApplicationIds
from parties.bank.service.refusals import Conflict, NotFound
from parties.bank.service.use_cases import told
from parties.bank.store import LimitExceeded, Reader, Store, Unit

T = TypeVar("T")
Kind = Literal["draw", "cancel", "repay", "withdraw"]
BORROWER = "the borrower's own loan"


@dataclass(frozen=True)
class LoanParts:
    """What the loan cases rest on."""

    store: Store
    rulebook: Rulebook
    ids: ApplicationIds
    policy: LendingPolicy
    notary: Notary
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)


class LoanCases:
    """The loans of one process."""

    def __init__(self, parts: LoanParts):
        self._parts = parts

    async def accept(self, caller: Caller, application_id: str, change: m.LoanChange) -> m.LoanState:
        """Accept the offer of an approved application."""
        caller.require("borrow")
        self._owned(caller, application_id)
        reader, now = self._reader(caller), self._parts.clock()
        event = Event(kind="accept", reference=change.reference, at=now, by=str(caller))

        def job(unit: Unit) -> Loan:
            record = DecisionRecord.from_bytes(unit.decisions.read(application_id, reader, now))
            rulebook = self._rulebook(unit, record.rulebook)
            terms = agreement(record, product_of(rulebook, record.application.product), rulebook.pricing,
                              self._parts.policy, loan_of(application_id))
            return Loans(unit, self._parts.notary).accept(terms, event)

        return _state(await self._write(job), now)

    async def act(self, caller: Caller, loan_id: str, kind: Kind, change: m.LoanChange, amount_fen: int = 0
                  ) -> m.LoanState:
        """Draw, cancel, repay or withdraw; LoanRefused, limit and quota are conflicts, and nothing was changed."""
        caller.require("borrow")
        self._owned(caller, application_of(loan_id))
        now = self._parts.clock()
        event = Event(kind=kind, reference=change.reference, at=now, amount_fen=amount_fen, by=str(caller))
        return _state(await self._write(lambda unit: Loans(unit, self._parts.notary).act(loan_id, event)), now)

    async def loan(self, caller: Caller, loan_id: str) -> m.LoanState:
        """Where a loan stands now."""
        return _state(*await self._get(caller, loan_id))

    async def schedule(self, caller: Caller, loan_id: str) -> m.LoanPlan:
        """The plan as agreed, and what is still to be paid if it is paid as billed."""
        loan, now = await self._get(caller, loan_id)
        account = loan.at(now)
        return m.LoanPlan(loan_id=loan_id, plan=tuple(map(shown.plain, account.plan)),
                          still=tuple(map(shown.plain, outlook(account))))

    async def statement(self, caller: Caller, loan_id: str, first: date | None, last: date | None) -> m.LoanStatement:
        """A period, both dates included; by default from the acceptance until today."""
        loan, now = await self._get(caller, loan_id)
        day = loan.terms.day
        with told():
            sheet = statement(loan.terms, loan.events, first or day(loan.events[0].at), last or day(now), now)
        return m.LoanStatement(loan_id=loan_id, statement=shown.plain(sheet))

    async def voucher(self, caller: Caller, loan_id: str) -> bytes:
        """The signed voucher: canonical JSON."""
        caller.require("read-loan")
        self._owned(caller, application_of(loan_id))
        reader, now = self._reader(caller), self._parts.clock()
        return await self._write(lambda unit: Loans(unit).voucher(loan_id, reader, now))

    async def _get(self, caller: Caller, loan_id: str) -> tuple[Loan, datetime]:
        caller.require("read-loan")
        self._owned(caller, application_of(loan_id))
        reader, now = self._reader(caller), self._parts.clock()
        return await self._write(lambda unit: Loans(unit).get(loan_id, reader, now)), now

    def _rulebook(self, unit: Unit, digest: str) -> Rulebook:
        """The rulebook that decided, which an accepted offer keeps to."""
        if digest == self._parts.rulebook.digest:
            return self._parts.rulebook
        return Rulebook.from_bytes(unit.configurations.get(digest))

    def _owned(self, caller: Caller, application_id: str) -> None:
        if caller.role == "channel" and not self._parts.ids.is_of(caller.name, application_id):
            raise NotFound("there is no such application or loan of this channel; use the id that its answer gave")

    def _reader(self, caller: Caller) -> Reader:
        return Reader(caller.name, caller.role, BORROWER)

    async def _write(self, job: Callable[[Unit], T]) -> T:
        with told():
            try:
                return await asyncio.wrap_future(self._parts.store.submit(job))
            except (LoanRefused, LimitExceeded) as refused:
                raise Conflict(str(refused)) from None


def loan_of(application_id: str) -> str:
    """The name of an application's loan."""
    return f"l-{application_id.removeprefix('a-')}"


def application_of(loan_id: str) -> str:
    """The application of a loan's name."""
    return f"a-{loan_id.removeprefix('l-')}"


def _state(loan: Loan, now: datetime) -> m.LoanState:
    account: dict[str, Any] = shown.account_json(loan.at(now))
    return m.LoanState(loan_id=loan.terms.loan_id, application_id=loan.terms.application_id, product=loan.terms.product,
                       amount_fen=loan.terms.amount_fen, daily_rate=loan.terms.daily_rate, status=account.pop("status"),
                       account=account)
