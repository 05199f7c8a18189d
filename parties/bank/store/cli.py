"""`sealscore bank store|consents|deletions|accesses`: what an operator does with the store.

A customer is named by `--person`, the 64 digits that the store knows, or by their identifier, which is asked for or
read from standard input: a command line is visible to everybody on the machine.
"""
from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from parties.bank.store import migrate
from parties.bank.store.database import Store
from parties.bank.store.engines import shown
from parties.bank.store.opening import node_engine, open_node_store, store_config
from parties.bank.store.values import Reader
from parties.runtime.config import LoadedParty
from parties.runtime.oversight_cli import ConfigArgument, JsonOption, who
from parties.runtime.scoring.persons import PersonKey
from protocols.errors import UsageError

_PERSON_DIGITS = 64
PersonOption = Annotated[str | None, typer.Option("--person", help="the customer's 64 digits; without them the "
                                                  "identifier is asked for, or read from standard input")]
PurposeOption = Annotated[str, typer.Option("--purpose", help="why you look; kept in the access log")]
ReasonOption = Annotated[str, typer.Option("--reason", help="kept with the hold")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="what the hold is called")]
UntilOption = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="the hold ends by itself")]
LimitOption = Annotated[int, typer.Option(min=1, max=10_000, help="lines at most")]


def add_store_commands(app: typer.Typer) -> None:
    """Give `sealscore bank` the commands of this module."""
    app.add_typer(_app("The store of decisions: its tables.", upgrade, check), name="store")
    app.add_typer(_app("What customers agreed to, and their switch.", consents_list, withdraw, off, on),
                  name="consents")
    app.add_typer(_app("Deletions: asked for, held, carried out.", deletions_list, ask, cancel, hold, release, run),
                  name="deletions")
    app.add_typer(_app("Who looked at whose record, when and why.", accesses_list), name="accesses")


def upgrade(config: ConfigArgument) -> None:
    """Make or change the store's tables to those of this version; whole or not at all."""
    engine = node_engine(LoadedParty(config, "bank"))
    try:
        before, after = migrate.upgrade(engine)
    finally:
        engine.dispose()
    typer.echo(f"{shown(engine)}: revision {after}" + (f", was {before or 'none'}" if before != after else " already"))


def check(config: ConfigArgument) -> None:
    """Say whether the store's tables are those of this version; changes nothing."""
    engine = node_engine(LoadedParty(config, "bank"))
    try:
        typer.echo(f"{shown(engine)}: revision {migrate.check(engine)}, as this version needs it")
    finally:
        engine.dispose()


def consents_list(config: ConfigArgument, purpose: PurposeOption, person: PersonOption = None,
                  as_json: JsonOption = False) -> None:
    """List the consents of one customer and whether their services are on."""
    with opened(config) as (party, store):
        who_it_is, now = person_of(party, person), _now()

        def look(unit: Any) -> tuple[bool, list[Any]]:
            unit.accesses.note(_reader(purpose), "consents", now, who_it_is)
            return unit.consents.is_off(who_it_is), unit.consents.of(who_it_is)

        is_off, grants = store.write(look)
        lines = [{**plain(one), "status": one.status(now, is_off)} for one in grants]
    print_told({"person": who_it_is, "off": is_off, "consents": lines}, as_json, [
        "services are " + ("off" if is_off else "on"),
        *(f"{one['reference']}  {one['purpose']}  until {one['expires_at']}  "
          f"{one['uses']} of {one['maximum_uses']} uses  {one['status']}" for one in lines)])


def withdraw(config: ConfigArgument,
             reference: Annotated[str, typer.Argument(metavar="REFERENCE", help="as `consents list` shows it")],
             person: PersonOption = None) -> None:
    """Withdraw one consent for good."""
    with opened(config) as (party, store):
        who_it_is = person_of(party, person)
        new = store.write(lambda unit: unit.consents.withdraw(reference, who_it_is, _now()))
    typer.echo(f"{reference} is withdrawn" + ("" if new else " already"))


def off(config: ConfigArgument, person: PersonOption = None) -> None:
    """Switch a customer's financial services off: nothing of theirs is scored from now on."""
    with opened(config) as (party, store):
        who_it_is = person_of(party, person)
        gone = store.write(lambda unit: unit.consents.switch_off(who_it_is, who(), _now()))
    typer.echo(f"services are off; {len(gone)} consents withdrawn" + (f": {', '.join(gone)}" if gone else ""))


def on(config: ConfigArgument, person: PersonOption = None) -> None:
    """Switch them on again; consents have to be given anew."""
    with opened(config) as (party, store):
        who_it_is = person_of(party, person)
        store.write(lambda unit: unit.consents.switch_on(who_it_is, who(), _now()))
    typer.echo("services are on; consents have to be given anew")


def deletions_list(config: ConfigArgument, purpose: PurposeOption, as_json: JsonOption = False) -> None:
    """List the deletions that have not ended, and what holds each."""
    with opened(config) as (_, store):
        found = store.write(lambda unit: unit.deletions.queue(_reader(purpose), _now()))
    print_told([plain(one) for one in found], as_json, [_deletion(one) for one in found] or ["no deletion waits"])


def ask(config: ConfigArgument, person: PersonOption = None) -> None:
    """Queue the deletion of a customer's data, as they ask, and switch their services off."""
    with opened(config) as (party, store):
        who_it_is, kept = person_of(party, person), store_config(party).retention
        one, gone = store.write(lambda unit: unit.deletions.ask(who_it_is, who(), _now(), kept))
    typer.echo(f"{_deletion(one)}; services are off, {len(gone)} consents withdrawn")


def cancel(config: ConfigArgument, person: PersonOption = None) -> None:
    """Take a deletion back that has not been carried out, as the customer asks."""
    with opened(config) as (party, store):
        who_it_is = person_of(party, person)
        store.write(lambda unit: unit.deletions.cancel(who_it_is, _now()))
    typer.echo("the deletion is cancelled; services stay off until they are switched on")


def hold(config: ConfigArgument, name: NameArgument, reason: ReasonOption, until: UntilOption = None,
         person: PersonOption = None) -> None:
    """Keep a customer's data in spite of a deletion: a dispute, a court order."""
    end = None if until is None else until.replace(tzinfo=UTC)
    with opened(config) as (party, store):
        who_it_is = person_of(party, person)
        store.write(lambda unit: unit.deletions.hold(who_it_is, name, reason, who(), _now(), end))
    typer.echo(f"hold {name} is placed" + ("" if end is None else f" until {end:%Y-%m-%d}"))


def release(config: ConfigArgument, name: NameArgument, person: PersonOption = None) -> None:
    """End a hold."""
    with opened(config) as (party, store):
        who_it_is = person_of(party, person)
        store.write(lambda unit: unit.deletions.release(who_it_is, name))
    typer.echo(f"hold {name} is released")


def run(config: ConfigArgument, as_json: JsonOption = False) -> None:
    """Carry out what is due and delete what is older than its retention: once a day, from a timer."""
    done: list[Any] = []
    with opened(config) as (party, store):
        kept, now, reader = store_config(party).retention, _now(), _reader("deletions that are due")
        while batch := store.write(lambda unit: unit.deletions.run(reader, now, kept)):
            done += batch
        swept = [store.write(lambda unit: unit.deletions.sweep(now, kept))]
        while any(vars(swept[-1]).values()):
            swept.append(store.write(lambda unit: unit.deletions.sweep(now, kept)))
    total = {name: sum(getattr(one, name) for one in swept) for name in ("records", "answers", "accesses")}
    print_told({"deletions": [plain(one) for one in done], "swept": total}, as_json, [
        *(_deletion(one) for one in done),
        f"past their retention: {total['records']} records, {total['answers']} idempotency keys, "
        f"{total['accesses']} lines of the access log"])


def accesses_list(config: ConfigArgument, purpose: PurposeOption, person: PersonOption = None,
                  customer: Annotated[bool, typer.Option("--customer", help="of one customer, whose identifier is "
                                                         "asked for")] = False,
                  limit: LimitOption = 100, as_json: JsonOption = False) -> None:
    """List who read what, the newest first; this look is in the log as well."""
    with opened(config) as (party, store):
        whom = person_of(party, person) if customer or person else None
        found = store.write(lambda unit: unit.accesses.of(_reader(purpose), _now(), whom, limit=limit))
    lines = [f"{one.at:%Y-%m-%d %H:%M:%S}  {one.who} ({one.role})  {one.action}  {one.application_id or ''}  "
             f"{(one.person or '')[:12]}  {one.purpose}" for one in found]
    print_told([plain(one) for one in found], as_json, lines or ["nobody looked yet"])


def _app(text: str, *commands: Any) -> typer.Typer:
    app = typer.Typer(help=text, no_args_is_help=True)
    for command in commands:
        app.command("list" if command.__name__.endswith("_list") else None)(command)
    return app


@contextmanager
def opened(config: Any) -> Iterator[tuple[LoadedParty, Store]]:
    """A bank and its open store."""
    party = LoadedParty(config, "bank")
    with open_node_store(party) as store:
        yield party, store


def person_of(party: LoadedParty, given: str | None) -> str:
    """The keyed hash of whom the command is about, given or asked for; UsageError when it is neither."""
    if given is not None:
        if len(given) != _PERSON_DIGITS or set(given) - set("0123456789abcdef"):
            raise UsageError(f"--person takes {_PERSON_DIGITS} hex digits; leave it out to be asked for the identifier")
        return given
    asked = typer.prompt("the customer's identifier", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()
    if not asked.strip():
        raise UsageError("no identifier came on standard input; give one line, or --person")
    return PersonKey.load(party.home).person(asked.strip())


def _reader(purpose: str) -> Reader:
    return Reader(who(), "operator", purpose)


def _now() -> datetime:
    return datetime.now(UTC)


def plain(value: Any) -> dict[str, Any]:
    """A frozen value as plain JSON."""
    fields = dataclasses.asdict(value).items()
    return {name: one.isoformat() if isinstance(one, datetime) else one for name, one in fields}


def print_told(value: Any, as_json: bool, lines: Sequence[str]) -> None:
    """A value as JSON, or its lines."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False) if as_json else "\n".join(lines))


def _deletion(one: Any) -> str:
    due = "" if one.due_at is None else f", looked at on {one.due_at:%Y-%m-%d}"
    held = "" if one.held_by is None else f" by {one.held_by}"
    return f"{one.number}  {(one.person or 'nobody any more')[:15]}  {one.state}{held}{due}"
