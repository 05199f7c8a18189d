"""The gRPC calls of loans: over the cases of loan_cases.py, as http_loans.py is."""
from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date
from typing import Annotated

from google.protobuf.message import Message
from pydantic import BaseModel, StringConstraints

from parties.bank.service import loans_pb2 as pb
from parties.bank.service import messages as m
from parties.bank.service.callers import Caller
from parties.bank.service.grpc_shapes import Told, apart, read
from parties.bank.service.loan_cases import Kind, LoanCases
from parties.bank.service.refusals import Unprocessable
from protocols.strict import Strict

LOANS = pb.DESCRIPTOR.services_by_name["Loans"]
LoanCall = Callable[[LoanCases, Caller, Told], Awaitable[BaseModel | Message]]
Day = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}$")]


class Named(Strict):
    """One loan."""

    loan_id: m.Label


class Accepting(m.LoanChange):
    """The offer of one application."""

    application_id: m.Label


class Period(Named):
    """A loan's statement from `first` to `last`, both included."""

    first: Day | None = None
    last: Day | None = None


async def _accept(loans: LoanCases, by: Caller, told: Told) -> BaseModel:
    asked = read(Accepting, told)
    return await loans.accept(by, asked.application_id, m.LoanChange(reference=asked.reference))


def _moving(kind: Kind) -> LoanCall:
    async def move(loans: LoanCases, by: Caller, told: Told) -> BaseModel:
        named, rest = apart(Named, told)
        change = read(m.LoanAmount, rest)
        return await loans.act(by, named.loan_id, kind, change, change.amount_fen)

    return move


async def _withdraw(loans: LoanCases, by: Caller, told: Told) -> BaseModel:
    named, rest = apart(Named, told)
    return await loans.act(by, named.loan_id, "withdraw", read(m.LoanChange, rest))


async def _statement(loans: LoanCases, by: Caller, told: Told) -> BaseModel:
    asked = read(Period, told)
    return await loans.statement(by, asked.loan_id, _day(asked.first), _day(asked.last))


async def _voucher(loans: LoanCases, by: Caller, told: Told) -> Message:
    return pb.Voucher(signed=await loans.voucher(by, read(Named, told).loan_id))


LOAN_CALLS: dict[str, LoanCall] = {
    "Accept": _accept,
    "Draw": _moving("draw"),
    "Repay": _moving("repay"),
    "Cancel": _moving("cancel"),
    "Withdraw": _withdraw,
    "GetLoan": lambda loans, by, told: loans.loan(by, read(Named, told).loan_id),
    "GetSchedule": lambda loans, by, told: loans.schedule(by, read(Named, told).loan_id),
    "GetStatement": _statement,
    "GetVoucher": _voucher,
}


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise Unprocessable("expected dates YYYY-MM-DD of the calendar; correct first and last") from None
