"""`sealscore bank loans|voucher`: what an officer, an auditor or a partner looks at. Loans are moved by the service
only."""
from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from parties.bank.lending import told, voucher
from parties.bank.lending.agreement import LendingPolicy
from parties.bank.lending.book import Loan, Loans
from parties.bank.lending.statement import outlook, statement
from parties.bank.store import Reader, Store
from parties.bank.store.opening import decisions_part, open_node_store
from parties.runtime.config import LoadedParty
from parties.runtime.oversight_cli import ConfigArgument, JsonOption, who
from protocols.crypto.identity import public_from_hex
from protocols.errors import TrustError, UsageError
from protocols.node.identity_files import load_trust, read_private, write_private

T = TypeVar("T")
LoanArgument = Annotated[str, typer.Argument(metavar="LOAN", help="as `loans list` shows it")]
PurposeOption = Annotated[str, typer.Option("--purpose", help="why you look; kept in the access log")]
FromOption = Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="default: acceptance")]
ToOption = Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="default: today")]
RecipientOption = Annotated[Path | None, typer.Option("--to", help="encrypt for this X25519 public key (PEM)")]
VoucherArgument = Annotated[Path, typer.Argument(metavar="VOUCHER", help="a voucher's file")]
OutOption = Annotated[Path, typer.Option("--out", help="the file to write; it must not exist")]


def add_lending_commands(app: typer.Typer) -> None:
    """Give `sealscore bank` the commands of this module."""
    loans = typer.Typer(help="The loan book: every look is in the access log.", no_args_is_help=True)
    loans.command("list")(list_loans)
    for command in (show, schedule, partners, forget):
        loans.command()(command)
    loans.command("statement")(print_statement)
    vouchers = typer.Typer(help="Signed vouchers of loans.", no_args_is_help=True)
    vouchers.command("open")(open_sealed)
    for command in (issue, verify):
        vouchers.command()(command)
    app.add_typer(loans, name="loans")
    app.add_typer(vouchers, name="voucher")


def list_loans(config: ConfigArgument, purpose: PurposeOption,
               status: Annotated[str | None, typer.Option(help="only loans that are so")] = None,
               before: Annotated[int | None, typer.Option(min=1, help="go on before this number")] = None,
               limit: Annotated[int, typer.Option(min=1, max=1000)] = 50, as_json: JsonOption = False) -> None:
    """List loans, the newest first."""
    found = _write(config, lambda book, now: book.page(_reader(purpose), now, before, limit, status=status))
    rows = [(f"{one.number}", one.loan_id, one.application_id, one.product, one.status, told.yuan(one.drawn_fen),
             told.yuan(one.drawn_fen - one.repaid_fen), f"{one.accepted_at:%Y-%m-%d}") for one in found]
    _print(told.plain(found), as_json, told.columns(
        ("no", "loan", "application", "product", "status", "drawn", "principal", "accepted"), rows))


def show(config: ConfigArgument, loan_id: LoanArgument, purpose: PurposeOption, as_json: JsonOption = False) -> None:
    """Show a loan: what was agreed, what is owed to whom, every entry."""
    loan, now = _loan(config, loan_id, purpose)
    account = loan.at(now)
    value = {"terms": told.plain(loan.terms), "account": told.account_json(account),
             "movements": told.plain(loan.movements)}
    _print(value, as_json, told.loan_lines(loan, account))


def schedule(config: ConfigArgument, loan_id: LoanArgument, purpose: PurposeOption,
             as_json: JsonOption = False) -> None:
    """Show a loan's plan, and what is still to be paid if it is paid on time from now on."""
    loan, now = _loan(config, loan_id, purpose)
    account = loan.at(now)
    payments = outlook(account)
    _print({"plan": told.plain(account.plan), "outlook": told.plain(payments)}, as_json,
           told.schedule_lines(account, payments))


def print_statement(config: ConfigArgument, loan_id: LoanArgument, purpose: PurposeOption, first: FromOption = None,
                    last: ToOption = None, as_json: JsonOption = False) -> None:
    """Show a loan's statement of a period, both dates included."""
    loan, now = _loan(config, loan_id, purpose)
    day = loan.terms.day
    sheet = statement(loan.terms, loan.events, first.date() if first else day(loan.events[0].at),
                      last.date() if last else day(now), now)
    _print(told.plain(sheet), as_json, told.statement_lines(sheet, loan.terms))


def partners(config: ConfigArgument, as_json: JsonOption = False) -> None:
    """Show what each funding partner has outstanding; fails unless it adds up to all loans."""
    with _opened(config) as store:
        books = store.read(lambda unit: Loans(unit).partners())
    value = {name: told.plain(book) | {"outstanding_fen": book.outstanding_fen} for name, book in books.items()}
    _print(value, as_json, told.partner_lines(books))


def forget(config: ConfigArgument, as_json: JsonOption = False) -> None:
    """Delete loans that ended longer ago than they are kept: once a day, from a timer."""
    policy, now, gone = lending_policy(LoadedParty(config, "bank")), datetime.now(UTC), []
    reader, before = _reader("loans past their retention"), policy.ended_before(datetime.now(UTC))
    with _opened(config) as store:
        while batch := store.write(lambda unit: Loans(unit).forget(before, reader, now)):
            gone += batch
    _print(gone, as_json, [f"forgotten: {len(gone)} loans that ended before {before:%Y-%m-%d}", *gone])


def lending_policy(party: LoadedParty) -> LendingPolicy:
    """The section `[decisions.lending]`, or its defaults; ConfigError names the setting that is wrong."""
    return decisions_part(party, "lending", LendingPolicy)


def issue(config: ConfigArgument, loan_id: LoanArgument, purpose: PurposeOption, out: OutOption,
          to: RecipientOption = None) -> None:
    """Write the voucher of a loan, encrypted where a recipient's key is given."""
    recipient = voucher.public_key(to.read_bytes()) if to else None
    data = _write(config, lambda book, now: book.voucher(loan_id, _reader(purpose), now))
    _keep(out, data if recipient is None else voucher.sealed(data, recipient))
    typer.echo(f"{out}: the voucher of loan {loan_id}, " + ("encrypted" if recipient else "signed, not encrypted"))


def open_sealed(file: VoucherArgument, out: OutOption,
                key: Annotated[Path, typer.Option("--key", help="your X25519 private key (PEM, mode 0600)")]) -> None:
    """Open a voucher that was encrypted for you; verify it afterwards."""
    _keep(out, voucher.unsealed(file.read_bytes(), voucher.private_key(read_private(key))))
    typer.echo(f"{out}: opened, not verified yet: sealscore bank voucher verify {out}")


def verify(file: VoucherArgument,
           trust: Annotated[Path | None, typer.Option(help="trust.json, with the bank in it")] = None,
           identity: Annotated[str | None, typer.Option(help="or the bank's identity, 64 hex digits")] = None,
           as_json: JsonOption = False) -> None:
    """Verify a voucher: the bank's signature, and that plan and shares follow from the terms."""
    data = file.read_bytes()
    one = voucher.verified(data, _identity(data, trust, identity))
    lines = [f"the voucher holds: loan {one.terms.loan_id} of {told.yuan(one.drawn_fen)}, drawn "
             f"{one.drawn_at:%Y-%m-%d %H:%M} UTC, signed by {one.issuer}",
             *(f"{part.partner}: {told.yuan(part.fen)}" for part in one.funding)]
    _print(one.model_dump(mode="json"), as_json, lines)


def _identity(data: bytes, trust: Path | None, identity: str | None) -> bytes:
    """The identity to check against: the one given, or the one that trust.json has for the voucher's issuer."""
    if (trust is None) == (identity is None):
        raise UsageError("expected either --trust FILE or --identity HEX; take it from the bank, not from the voucher")
    if identity is not None:
        return public_from_hex(identity)
    known, name = load_trust(Path(trust or "")), voucher.issuer_of(data)
    if name not in known:
        raise TrustError(f"the voucher says {name} made it out, whom {trust} does not name; compare with the bank")
    return known[name]


def _loan(config: Path, loan_id: str, purpose: str) -> tuple[Loan, datetime]:
    return _write(config, lambda book, now: (book.get(loan_id, _reader(purpose), now), now))


def _write(config: Path, job: Callable[[Loans, datetime], T]) -> T:
    now = datetime.now(UTC)
    with _opened(config) as store:
        return store.write(lambda unit: job(Loans(unit), now))


@contextmanager
def _opened(config: Path) -> Iterator[Store]:
    with open_node_store(LoadedParty(config, "bank")) as store:
        yield store


def _reader(purpose: str) -> Reader:
    return Reader(who(), "operator", purpose)


def _keep(path: Path, data: bytes) -> None:
    try:
        write_private(path, data)
    except FileExistsError:
        raise UsageError(f"{path} exists already; name another file") from None


def _print(value: Any, as_json: bool, lines: Sequence[str]) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False) if as_json else "\n".join(lines))
