"""`sealscore bank decisions serve|token`, `bank decide` and `bank replay`."""
from __future__ import annotations

import asyncio
import json
import logging
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from parties.bank.decision.record import DecisionRecord
from parties.bank.decision.replay import verify
from parties.bank.decision.rulebook import Rulebook
from parties.bank.service import tokens
from parties.bank.service.assembly import Node, Service, audience
from parties.bank.service.callers import ROLES, Caller
from parties.bank.service.messages import Submission
from parties.bank.service.process import run
from parties.bank.store import Reader
from parties.runtime.config import LoadedParty
from parties.runtime.oversight_cli import ConfigArgument, JsonOption
from protocols.errors import UsageError
from protocols.node import core_dumps, protection
from protocols.node.identity_files import load_identity
from protocols.strict import first_problem

TERMINAL = "terminal"
MOST_FILE_BYTES = 1024 * 1024
PurposeOption = Annotated[str, typer.Option(help="why the record is read; kept in the access log")]


def add_decisions(app: typer.Typer) -> None:
    """Give the bank's app the commands of this module."""
    decisions = typer.Typer(help="The decision service: applications over HTTP and gRPC.", no_args_is_help=True)
    decisions.command("serve")(serve)
    decisions.command("token")(token)
    app.add_typer(decisions, name="decisions")
    app.command("decide")(decide)
    app.command("replay")(replay)


def serve(config: ConfigArgument) -> None:
    """Decide applications until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    core_dumps.forbid()
    node = _node(config)
    node.party.state.mkdir(mode=0o700, exist_ok=True)
    run(node)


def token(
    config: ConfigArgument,
    role: Annotated[str, typer.Option(help=", ".join(ROLES))],
    holder: Annotated[str, typer.Option("--for", help="who will hold it; the access log names it")],
    hours: Annotated[float, typer.Option(help="how long it holds, at most 90 days")] = 12,
) -> None:
    """Print a signed token for a caller of the service."""
    party = _party(config)
    key = tokens.token_key(load_identity(party.home))
    typer.echo(tokens.issue(key, audience(party), holder, role, timedelta(hours=hours), datetime.now(UTC)))


def decide(
    file: Annotated[Path, typer.Argument(metavar="FILE.json", help="a submission, as POST /v1/applications has it")],
    config: ConfigArgument,
    key: Annotated[str, typer.Option(help="an idempotency key: the same one gives the same decision again")],
    as_json: JsonOption = False,
) -> None:
    """Decide one application and keep its record, as the service would."""
    submission = _submission(file)
    body = asyncio.run(_decide(_node(config), key, submission))
    typer.echo(json.dumps(body, ensure_ascii=False, indent=2) if as_json else _shown(body))


def replay(
    application: Annotated[str, typer.Argument(metavar="ID", help="the application's id")],
    config: ConfigArgument,
    purpose: PurposeOption = "replay of the decision",
    as_json: JsonOption = False,
) -> None:
    """Recompute a decision from its record and the rulebook it names; exit code 1 unless it is equal bit for bit."""
    reader, now = Reader(TERMINAL, "auditor", purpose), datetime.now(UTC)
    with _node(config).store() as store:
        data = store.write(lambda unit: unit.decisions.read(application, reader, now))
        kept = DecisionRecord.from_bytes(data)
        rulebook = Rulebook.from_bytes(store.read(lambda unit: unit.configurations.get(kept.rulebook)))
    verify(data, rulebook)
    if as_json:
        sys.stdout.buffer.write(data + b"\n")
        return
    typer.echo(f"{application}: {kept.outcome}, replayed bit for bit; record {kept.digest()[:16]}…, rulebook "
               f"{rulebook.version} ({kept.rulebook[:16]}…)")
    for step in kept.steps:
        typer.echo(f"  {step.name:<16} {step.rule or '-':<32} {_words(step.outcome)}")


async def _decide(node: Node, key: str, submission: Submission) -> dict[str, Any]:
    service = Service(node)
    try:
        kept = await service.use.submit(Caller(TERMINAL, "channel", "terminal"), key, submission)
        return json.loads(kept.body)
    finally:
        await service.close()


def _submission(file: Path) -> Submission:
    data = file.read_bytes()
    if len(data) > MOST_FILE_BYTES:
        raise UsageError(f"{file}: expected at most {MOST_FILE_BYTES} bytes, got {len(data)}")
    try:
        return Submission.model_validate(json.loads(data))
    except (ValueError, RecursionError) as error:
        told = first_problem(error) if isinstance(error, ValidationError) else "not JSON"
        raise UsageError(f"{file}: expected a submission, got something else: {told}") from None


def _shown(body: dict[str, Any]) -> str:
    lines = [f"{body['application_id']}: {body['outcome']} (score: {body['score']})"]
    if offer := body["offer"]:
        lines.append(f"  limit {_yuan(offer['limit_fen'])}, amount {_yuan(offer['amount_fen'])}, daily rate "
                     f"{offer['daily_rate']}, annual cost {offer['annual_cost']}, {offer['term_months']} months")
        lines += [f"  {share['partner']}: {_yuan(share['fen'])}" for share in offer["funding"]]
    if body["lacks"]:
        lines.append(f"  lacks: {', '.join(body['lacks'])}")
    return "\n".join([*lines, *(f"  {one['code']}: {one['en']} {one['improve_en']}" for one in body["reasons"])])


def _yuan(fen: int) -> str:
    return f"{fen // 100:,}.{fen % 100:02d} CNY"


def _words(outcome: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in outcome.items() if value is not None)[:120]


def _party(config: Path) -> LoadedParty:
    party = LoadedParty(config, "bank")
    protection.unlock(party.home, party.config.keys)
    return party


def _node(config: Path) -> Node:
    return Node.of(_party(config))
