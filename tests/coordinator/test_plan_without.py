"""A plan with one party less."""
from __future__ import annotations

import pytest

from coordinator.launch import plan_without
from protocols.errors import UsageError
from protocols.plan import Plan

PARTY = {"table": "customers", "columns": ["a"]}


def plan(banks: list[str], platforms: list[str], **more) -> Plan:
    return Plan.model_validate({"purpose": "p", "label_parties": banks, "feature_parties": platforms,
                                "parties": {name: PARTY for name in banks + platforms}, **more})


def test_the_others_stay_as_they_were() -> None:
    whole = plan(["b1", "b2"], ["p1", "p2"], model={"steps": 9})
    assert plan_without(whole, "b1") == plan(["b2"], ["p1", "p2"], model={"steps": 9})
    assert plan_without(whole, "p1") == plan(["b1", "b2"], ["p2"], model={"steps": 9})


@pytest.mark.parametrize(("banks", "platforms", "party", "told"), [
    (["b1"], ["p1", "p2"], "b1", "only bank"), (["b1", "b2"], ["p1"], "p1", "only platform"),
    (["b1", "b2"], ["p1"], "b3", "no party b3; there are b1, b2, p1"),
])
def test_at_least_one_of_each_must_be_left(banks, platforms, party, told) -> None:
    with pytest.raises(UsageError, match=told):
        plan_without(plan(banks, platforms), party)


def test_a_model_scores_with_those_who_trained_it() -> None:
    scoring = plan(["b1"], ["p1", "p2"], kind="score", model_id="m-0123456789abcdef")
    with pytest.raises(UsageError, match="no party can be left out"):
        plan_without(scoring, "p2")
