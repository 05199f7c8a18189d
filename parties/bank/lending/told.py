"""Loans in words and columns for a terminal, and as plain JSON for programs."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Any

from parties.bank.lending.account import Account
from parties.bank.lending.book import Loan, PartnerBook
from parties.bank.lending.parts import Parts
from parties.bank.lending.statement import Payment, Statement
from parties.bank.lending.terms import Terms

PARTS = ("fees", "surcharge", "interest", "principal")


def yuan(fen: int) -> str:
    """1234567 -> 12,345.67"""
    return f"{fen // 100:,}.{fen % 100:02d}"


def columns(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table; the first column to the left, all others to the right."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(head))]
    return ["  ".join(cell.ljust(width) if k == 0 else cell.rjust(width)
                      for k, (cell, width) in enumerate(zip(line, widths, strict=True))).rstrip() for line in lines]


def loan_lines(loan: Loan, now: Account) -> list[str]:
    """What stands on one loan's page."""
    terms = loan.terms
    lines = [f"loan {terms.loan_id} of application {terms.application_id}: {now.status}, {terms.product}",
             f"{terms.term_months} months, {terms.repayment}, {terms.daily_rate:f} a day, overdue "
             f"{terms.overdue_daily_rate:f}; drawn {yuan(now.drawn_fen)} of {yuan(terms.amount_fen)}"]
    if now.cooling_off:
        lines.append(f"may be cancelled for {yuan(now.owed.total_fen)} until {terms.cooling_off_h} hours after the "
                     "draw-down")
    if now.days_past_due:
        lines.append(f"{now.days_past_due} days past due: {yuan(now.payable.total_fen)} leave no bill open, of which "
                     f"{yuan(now.owed.penalty_fen)} are surcharge")
    rows = [(name, *_parts(parts)) for name, parts in now.balances().items()] + [("owed", *_parts(now.owed))]
    entries = [(_day(movement.event.at, terms), movement.event.kind, yuan(movement.charged.total_fen),
                yuan(movement.settled.total_fen), yuan(movement.owed.total_fen)) for movement in loan.movements]
    return [*lines, "", *columns(("partner", *PARTS, "total"), rows), "",
            *columns(("date", "entry", "charged", "settled", "owed"), entries)]


def schedule_lines(account: Account, payments: Sequence[Payment]) -> list[str]:
    """The plan as agreed, and what is still to be paid."""
    plan = [(f"{due.due_on}", yuan(due.fee_fen), yuan(due.interest_fen), yuan(due.principal_fen), yuan(due.total_fen),
             _state(account, number)) for number, due in enumerate(account.plan)]
    left = [(f"{pay.due_on}", *_parts(pay.parts)) for pay in payments]
    lines = ["as agreed", *columns(("due", "fees", "interest", "principal", "total", "state"), plan)]
    return [*lines, "", "still to be paid", *columns(("by", *PARTS, "total"), left)] if left else lines


def statement_lines(sheet: Statement, terms: Terms) -> list[str]:
    """A statement of a period."""
    rows = [(f"{sheet.first}", "opening", "", "", "", "", "", yuan(sheet.opening.total_fen))]
    for line in sheet.lines:
        charged = tuple(yuan(value) if value else "" for value in line.charged.values)
        settled = yuan(line.settled.total_fen) if line.settled.total_fen else ""
        rows.append((_day(line.at, terms), line.what, *charged, settled, yuan(line.owed.total_fen)))
    rows.append((f"{sheet.last}", "closing", "", "", "", "", "", yuan(sheet.closing.total_fen)))
    partners = [(name, *_parts(parts)) for name, parts in sheet.balances.items()]
    head = f"loan {sheet.loan_id}, {sheet.first} to {sheet.last}: {sheet.status}, {sheet.days_past_due} days past due"
    return [head, "", *columns(("date", "entry", *PARTS, "settled", "owed"), rows), "",
            *columns(("partner", *PARTS, "total"), partners)]


def partner_lines(books: dict[str, PartnerBook]) -> list[str]:
    """Principal by partner, and all together."""
    whole = PartnerBook(0, sum(book.drawn_fen for book in books.values()),
                        sum(book.repaid_fen for book in books.values()))
    rows = [(name, f"{book.loans}", yuan(book.drawn_fen), yuan(book.repaid_fen), yuan(book.outstanding_fen))
            for name, book in books.items()]
    rows.append(("together", "", yuan(whole.drawn_fen), yuan(whole.repaid_fen), yuan(whole.outstanding_fen)))
    return columns(("partner", "loans", "drawn", "repaid", "outstanding"), rows)


def plain(value: Any) -> Any:
    """Frozen values as JSON: dates, times and decimals as text."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value.isoformat() if isinstance(value, date | datetime) else value


def account_json(account: Account) -> dict[str, Any]:
    """Where a loan stands."""
    return {"status": account.status, "at": account.at.isoformat(), "drawn_fen": account.drawn_fen,
            "owed": asdict(account.owed), "overdue": asdict(account.overdue), "payable": asdict(account.payable),
            "days_past_due": account.days_past_due,
            "may_be_cancelled": account.cooling_off, "balances": plain(account.balances())}


def _parts(parts: Parts) -> tuple[str, ...]:
    return (*map(yuan, parts.values), yuan(parts.total_fen))


def _state(account: Account, number: int) -> str:
    if number >= len(account.bills):
        return ""
    return "open" if account.bills[number].unpaid(account.settled).total_fen else "paid"


def _day(at: datetime, terms: Terms) -> str:
    return f"{terms.day(at)}"
