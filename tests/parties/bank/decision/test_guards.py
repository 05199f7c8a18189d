"""Guards: a rulebook whose graph lets everybody through approves nobody who may not be approved."""
from __future__ import annotations

import functools
import json
from decimal import Decimal

import pytest
from hypothesis import given, settings

from parties.bank.decision.application import Application
from parties.bank.decision.codes import GUARD_CODES
from parties.bank.decision.context import Context, History, JointScore
from parties.bank.decision.engine import decide
from parties.bank.decision.guards import GUARDS, broken
from parties.bank.decision.rulebook import Rulebook, default_files
from tests.parties.bank.decision.cases import application, applications, consents, context, contexts, score, shipped
from tests.parties.bank.decision.test_engine import _check_approval


@functools.cache
def careless() -> Rulebook:
    """Every table keeps its last row alone: nothing is ever declined, and the bank's own score will do."""
    files = default_files()
    for name in ("champion", "challenger"):
        graph = json.loads(files[f"graphs/{name}.json"])
        for node in graph["nodes"]:
            if node["type"] == "decisionTableNode":
                node["content"]["rules"] = _kept(node)
        files[f"graphs/{name}.json"] = json.dumps(graph).encode()
    text = files["rulebook.toml"].decode().replace('platform_failure = "refer"', 'platform_failure = "bank-only"')
    return Rulebook(files | {"rulebook.toml": text.encode()})


def _kept(node: dict) -> list[dict]:
    rules = node["content"]["rules"]
    return [rules[0], rules[-1]] if node["name"] in ("platform", "risk") else rules[-1:]


@pytest.mark.parametrize(("app", "at", "code"), [
    ({"purpose": "securities"}, {}, "guard-purpose"),
    ({}, {"consents": consents(bureau="used")}, "guard-consent"),
    ({}, {"consents": consents(joint="unknown")}, "guard-consent"),
    ({}, {"switched_off": True}, "guard-consent"),
    ({"bureau": None}, {}, "guard-sufficiency"),
])
def test_a_careless_graph_is_stopped_by_a_guard(app: dict, at: dict, code: str) -> None:
    record = decide(application(**app), context(**at), careless())
    assert (record.outcome, record.offer, record.reasons[0].code) == ("declined", None, code)
    assert record.steps[-1].name == "guards" and record.steps[-1].rule == code
    assert record.steps[-2].outcome["outcome"] == "approved"


def test_lacking_behaviour_never_passes_a_careless_graph() -> None:
    lacking = JointScore(status="answered", lacks=("contacts",))
    assert decide(application(), context(score=lacking), careless()).outcome == "referred"


@settings(max_examples=50, deadline=None)
@given(applications(), contexts())
def test_no_careless_graph_approves_what_may_not_be(app: Application, at: Context) -> None:
    record = decide(app, at, careless())
    assert (record.offer is not None) == (record.outcome == "approved")
    if record.offer is not None:
        _check_approval(app, at, record)
        assert record.steps[-1].name == "guards" and record.steps[-1].rule is None


def test_a_frozen_limit_is_refused_by_the_limit_step_too() -> None:
    frozen = History(frozen=True, existing_limit_fen=800_000, loans_repaid=2)
    record = decide(application(), context(history=frozen, score=score("0.01")), careless())
    assert (record.outcome, record.reasons[0].code) == ("declined", "account-frozen")


@pytest.mark.parametrize(("changes", "code"), [
    ({"amount_fen": 500_001}, "guard-cap"),  # more than asked for
    ({"amount_fen": 40_000}, "guard-cap"),
    ({"limit_fen": 20_000_001}, "guard-cap"),
    ({"limit_fen": 499_999}, "guard-cap"),
    ({"daily_rate": Decimal("0.000501")}, "guard-red-line"),
    ({"daily_rate": Decimal("0.000199")}, "guard-red-line"),
    ({"annual_cost": Decimal("0.240001")}, "guard-red-line"),
    ({"funding": ()}, "guard-funding"),
    ({}, None),
])
def test_an_offer_that_a_step_got_wrong_is_refused(changes: dict, code: str | None) -> None:
    app, at = application(), context()
    offer = decide(app, at, shipped()).offer.model_copy(update=changes)
    assert broken(app.facts(), at, offer, shipped()) == code
    assert broken(app.facts(), at, None, shipped()) == "guard-offer"


def test_every_guard_has_its_words() -> None:
    assert {*GUARDS, "guard-offer"} == set(GUARD_CODES)
