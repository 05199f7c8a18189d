"""`sealscore bank limits`: reviews of what is due, and one customer's limit: show, signal, freeze, unfreeze, season.

The running service reviews by itself; `review` is for a bank without it, from a timer.
"""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from parties.bank.decision import limits
from parties.bank.decision.limits import LimitChange
from parties.bank.decision.rulebook import Rulebook
from parties.bank.service import limit_reviews, limit_signals
from parties.bank.service.limit_signals import Reported
from parties.bank.service.messages import SignalReport
from parties.bank.service.settings import beside, decisions_of
from parties.bank.store import Reader, Store, Unit
from parties.bank.store.cli import PersonOption, PurposeOption, opened, person_of, plain, print_told
from parties.bank.store.errors import Conflict
from parties.runtime.config import LoadedParty
from parties.runtime.oversight_cli import ConfigArgument, JsonOption, who
from protocols.errors import UsageError
from protocols.strict import first_problem

ReasonOption = Annotated[str, typer.Option("--reason", help="kept with the change")]


@dataclass(frozen=True)
class _Bank:
    """A bank's store under its rulebook, at one time."""

    party: LoadedParty
    store: Store
    rulebook: Rulebook
    now: datetime


def add_limit_commands(app: typer.Typer) -> None:
    """Give `sealscore bank` the commands of this module."""
    group = typer.Typer(help="Limits: reviews that are due, and one customer's limit.", no_args_is_help=True)
    for command in (review, show, signal, freeze, unfreeze, season):
        group.command()(command)
    app.add_typer(group, name="limits")


def review(config: ConfigArgument, as_json: JsonOption = False) -> None:
    """Review every limit that is due, each in a transaction of its own."""
    reader = _reader("review of a limit")
    with _bank(config) as bank:
        done = [one for person in _due(bank)
                if (one := bank.store.write(lambda unit, whom=person: limit_reviews.review(
                    unit, bank.rulebook, whom, bank.now, reader))) is not None]
    told = [{"person": one.person, "application_id": one.application_id,
             **one.change.model_dump(mode="json", include={"kind", "before_fen", "after_fen", "reason"})}
            for one in done]
    print_told(told, as_json, [f"{len(done)} limits reviewed", *(
        f"{one.person[:12]}  {_shown(one.change)}" for one in done if one.change.kind != "unchanged")])


def show(config: ConfigArgument, purpose: PurposeOption, person: PersonOption = None,
         as_json: JsonOption = False) -> None:
    """Show a customer's limit and every change of it."""
    with _bank(config) as bank:
        whom, reader = person_of(bank.party, person), _reader(purpose)

        def look(unit: Unit) -> tuple[Any, list[Any]]:
            unit.accesses.note(reader, "limit", bank.now, whom)
            return unit.customers.locked(whom), unit.customers.changes(whom)

        account, changes = bank.store.write(look)
    print_told({"account": plain(account), "changes": [plain(one) for one in changes]}, as_json, [
        f"limit {_yuan(account.limit_at(bank.now))}, drawn {_yuan(account.outstanding_fen)}, free "
        f"{_yuan(account.free_at(bank.now))}" + (", frozen" if account.frozen else ""),
        *(f"{one.at:%Y-%m-%d %H:%M}  {one.what:<9}  {_yuan(one.before_fen)} -> {_yuan(one.after_fen)}  "
          f"{one.reason} ({one.changed_by})" for one in changes)])


def signal(config: ConfigArgument,
           code: Annotated[str, typer.Argument(metavar="SIGNAL", help="as limits.toml names it: fraud-alert, …")],
           reference: Annotated[str, typer.Option("--reference", help="your own for this signal; it acts once")],
           person: PersonOption = None, as_json: JsonOption = False) -> None:
    """Report a risk signal: the limit is cut or frozen at once, as the rulebook says."""
    with _bank(config) as bank:
        one = _reported(person_of(bank.party, person), reference, code)
        kept, first = bank.store.write(lambda unit: limit_signals.act(
            unit, bank.rulebook, one, bank.now, _reader(limit_signals.purpose(one)), who()))
    acted = limit_signals.acted(kept)
    print_told(acted.model_dump(mode="json"), as_json, [
        f"{acted.change}: {_yuan(acted.before_fen)} -> {_yuan(acted.after_fen)}  {acted.en} ({acted.reason})"
        + ("" if first else f", at {acted.acted_at:%Y-%m-%d %H:%M} already")])


def freeze(config: ConfigArgument, reason: ReasonOption, person: PersonOption = None) -> None:
    """Freeze a customer's limit: nothing more can be drawn."""
    with _bank(config) as bank:
        whom = person_of(bank.party, person)

        def job(unit: Unit) -> None:
            if unit.customers.locked(whom).frozen:
                raise Conflict("this limit is frozen already; `limits show` says why")
            unit.customers.freeze(whom, reason, who(), bank.now)

        bank.store.write(job)
    typer.echo("the limit is frozen; `limits unfreeze` ends it")


def unfreeze(config: ConfigArgument, reason: ReasonOption, person: PersonOption = None) -> None:
    """End a freeze, unless there is none or the bank's own loans would freeze again."""
    with _bank(config) as bank:
        whom = person_of(bank.party, person)

        def job(unit: Unit) -> None:
            account = unit.customers.locked(whom)
            standing = limit_reviews.standing_of(unit, bank.rulebook, account, bank.now)
            change = limits.thaw(bank.rulebook.limits, standing, bank.rulebook.business_date(bank.now))
            if change.kind != "thawed":
                raise Conflict(f"the limit stays as it is: {change.en} ({change.reason})")
            unit.customers.unfreeze(whom, reason, who(), bank.now)

        bank.store.write(job)
    typer.echo("what the limit has left can be drawn again")


def season(config: ConfigArgument, person: PersonOption = None, as_json: JsonOption = False) -> None:
    """Give a customer the temporary raise of the season that lasts, or say why not."""
    with _bank(config) as bank:
        whom, reader = person_of(bank.party, person), _reader("seasonal raise of a limit")
        change = bank.store.write(lambda unit: limit_reviews.season(unit, bank.rulebook, whom, bank.now, reader))
    until = "" if change.until is None else f", {_yuan(change.extra_fen)} more until {change.until:%Y-%m-%d}"
    print_told(change.model_dump(mode="json"), as_json, [_shown(change) + until])


@contextmanager
def _bank(config: Path) -> Iterator[_Bank]:
    with opened(config) as (party, store):
        yield _Bank(party, store, Rulebook.load(beside(party.home, decisions_of(party).rulebook)), datetime.now(UTC))


def _due(bank: _Bank) -> Iterator[str]:
    """People whose review is due, each once."""
    seen: set[str] = set()
    while people := [one for one in bank.store.read(lambda unit: limit_reviews.due(unit, bank.rulebook, bank.now))
                     if one not in seen]:
        seen.update(people)
        yield from people


def _reported(person: str, reference: str, code: str) -> Reported:
    """As the service would take it; UsageError for a reference or a signal that cannot be one."""
    try:
        report = SignalReport(reference=reference, signal=code)
    except ValidationError as error:
        raise UsageError(first_problem(error)) from None
    return Reported(person, report.reference, report.signal)


def _reader(purpose: str) -> Reader:
    return Reader(who(), "operator", purpose)


def _shown(change: LimitChange) -> str:
    return f"{change.kind}: {_yuan(change.before_fen)} -> {_yuan(change.after_fen)}  {change.en} ({change.reason})"


def _yuan(fen: int) -> str:
    return f"{fen // 100:,}.{fen % 100:02d}"
