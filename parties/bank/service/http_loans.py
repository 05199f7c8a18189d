"""The routes of loans: over the cases of loan_cases.py."""
from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import FastAPI, Path, Query, Response

from parties.bank.service import messages as m
from parties.bank.service.http_common import ApplicationPath, By, told
from parties.bank.service.loan_cases import LoanCases

LoanPath = Annotated[str, Path(pattern="^[A-Za-z0-9._-]{1,64}$", description="the id that accepting the offer gave")]


def add_loans(app: FastAPI, loans: LoanCases) -> None:
    """Give the app the routes of loans."""
    _changes(app, loans)
    _looks(app, loans)


def _changes(app: FastAPI, loans: LoanCases) -> None:
    @app.post("/v1/applications/{application_id}/accept", response_model=m.LoanState, tags=["loans"])
    async def accept(by: By, application_id: ApplicationPath, change: m.LoanChange) -> Response:
        """Accept the offer of an approved application while it stands."""
        return told(await loans.accept(by, application_id, change))

    @app.post("/v1/loans/{loan_id}/drawdown", response_model=m.LoanState, tags=["loans"])
    async def draw(by: By, loan_id: LoanPath, change: m.LoanAmount) -> Response:
        """Draw the loan against the limit; its voucher is made out."""
        return told(await loans.act(by, loan_id, "draw", change, change.amount_fen))

    @app.post("/v1/loans/{loan_id}/repay", response_model=m.LoanState, tags=["loans"])
    async def repay(by: By, loan_id: LoanPath, change: m.LoanAmount) -> Response:
        """Pay back at any time without a fee: fees, surcharge, interest, principal, in this order."""
        return told(await loans.act(by, loan_id, "repay", change, change.amount_fen))

    @app.post("/v1/loans/{loan_id}/cancel", response_model=m.LoanState, tags=["loans"])
    async def cancel(by: By, loan_id: LoanPath, change: m.LoanAmount) -> Response:
        """Cancel within the cooling-off hours: the principal goes back."""
        return told(await loans.act(by, loan_id, "cancel", change, change.amount_fen))

    @app.post("/v1/loans/{loan_id}/withdraw", response_model=m.LoanState, tags=["loans"])
    async def withdraw(by: By, loan_id: LoanPath, change: m.LoanChange) -> Response:
        """Give up a loan that was not drawn."""
        return told(await loans.act(by, loan_id, "withdraw", change))


def _looks(app: FastAPI, loans: LoanCases) -> None:
    @app.get("/v1/loans/{loan_id}", response_model=m.LoanState, tags=["loans"])
    async def loan(by: By, loan_id: LoanPath) -> Response:
        """Where a loan stands now."""
        return told(await loans.loan(by, loan_id))

    @app.get("/v1/loans/{loan_id}/schedule", response_model=m.LoanPlan, tags=["loans"])
    async def schedule(by: By, loan_id: LoanPath) -> Response:
        """The plan as agreed, and what is still to be paid."""
        return told(await loans.schedule(by, loan_id))

    @app.get("/v1/loans/{loan_id}/statement", response_model=m.LoanStatement, tags=["loans"])
    async def statement(by: By, loan_id: LoanPath, first: Annotated[date | None, Query()] = None,
                        last: Annotated[date | None, Query()] = None) -> Response:
        """A statement of a period, both dates included."""
        return told(await loans.statement(by, loan_id, first, last))

    @app.get("/v1/loans/{loan_id}/voucher", response_model=m.SignedVoucher, tags=["loans"])
    async def voucher(by: By, loan_id: LoanPath) -> Response:
        """The voucher as the bank signed it: canonical JSON, for `sealscore bank voucher verify`."""
        return Response(await loans.voucher(by, loan_id), media_type="application/json")
