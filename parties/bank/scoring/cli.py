"""`sealscore bank scoring prepare|ask`."""
from __future__ import annotations

import asyncio
import json
import time
from typing import Annotated, Any

import typer

from parties.bank.scoring.client import Ask, joint_score
from parties.bank.scoring.connect import Terms, ask_of, grant, scorer_of
from parties.bank.scoring.model import BankModel
from parties.runtime.config import LoadedParty
from parties.runtime.oversight_cli import ConfigArgument
from parties.runtime.scoring.cli import ModelArgument, scoring_app
from parties.runtime.scoring.directory import Directories
from parties.runtime.scoring.persons import PersonKey
from protocols.crypto.identity import IdentityKey
from protocols.errors import UsageError
from protocols.node import protection
from protocols.node.identity_files import load_identity

GRANT_S = 600  # how long the platform may use the consent of this one inquiry


def bank_scoring() -> typer.Typer:
    """The app of `sealscore bank scoring`."""
    app = scoring_app("bank")
    app.command("ask")(ask)
    return app


def ask(
    config: ConfigArgument, model: ModelArgument,
    identifier: Annotated[str, typer.Option("--id", help="the customer")],
    consent: Annotated[str, typer.Option(help="reference of the customer's consent to this one inquiry")],
    values: Annotated[str, typer.Option(help="the bureau's answer as JSON: {column: text or null}")] = "{}",
    purpose: Annotated[str, typer.Option(help="what the customer agreed to")] = "credit-scoring",
    deadline_ms: Annotated[int, typer.Option(min=1, help="how long to wait for the platform")] = 1000,
) -> None:
    """Score one customer now, under a consent that the bank has, and print the answer as JSON."""
    party = LoadedParty(config, "bank")
    protection.unlock(party.home, party.config.keys)
    identity, row = load_identity(party.home), _values(values)
    found = BankModel.load(party, identity, model)
    token = Directories(party.state, identity).load(model, found.platform).token(
        PersonKey.load(party.home).person(identifier))
    if token is None:
        raise UsageError("this customer is not among the people that the alignment found; score with the model once, "
                         "then prepare with --run RUN of that scoring")
    now = int(time.time())
    terms = Terms(consent, purpose, now, now + GRANT_S)
    asked = ask_of(found, token, grant(identity, party.name, found.platform, token, terms), consent, row)
    typer.echo(json.dumps(asyncio.run(_ask(party, identity, found, asked, row, deadline_ms / 1000)), indent=2))


async def _ask(party: LoadedParty, identity: IdentityKey, model: BankModel, asked: Ask,
               values: dict[str, str | None], deadline_s: float) -> dict[str, Any]:
    scorer = scorer_of(party, identity, model.platform)
    if model.shared is not None:
        scorer.share(model)
    try:
        began = time.perf_counter()
        answer = await scorer.score(asked, model.id, deadline_s)
        took_ms = (time.perf_counter() - began) * 1000
    finally:
        await scorer.close()
    own = model.own_log_odds(values, answer.sides)
    return {"score": joint_score(answer, model, own).model_dump(mode="json"),
            "bank_only": model.bank_only(values).model_dump(mode="json"), "milliseconds": round(took_ms, 1)}


def _values(text: str) -> dict[str, str | None]:
    try:
        told = json.loads(text)
    except ValueError:
        told = None
    if not isinstance(told, dict) or not all(value is None or isinstance(value, str) for value in told.values()):
        raise UsageError("expected --values as a JSON object of texts and nulls, such as '{\"inquiries_6m\": \"2\"}'")
    return told
