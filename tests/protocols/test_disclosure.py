"""What a person reads before approving follows from the plan, whoever takes part."""
from __future__ import annotations

import json

import pytest

from protocols.disclosure import COORDINATOR, disclose
from protocols.openings import expected
from tests.protocols.test_openings import plan_of

SCORE = {"kind": "score", "model_id": "m-" + "0" * 16}


@pytest.mark.parametrize(("banks", "platforms", "more"), [
    (1, 1, {}), (1, 3, {}), (3, 1, {}), (2, 2, {}), (1, 2, SCORE), (1, 1, {"alignment": {"rows": "covered"}}),
])
def test_every_opening_of_every_party_is_told(banks, platforms, more):
    plan = plan_of(banks, platforms, **more)
    for party in plan.parties:
        told = disclose(plan, party)
        openings = {(item.to, item.opening) for item in told.leaves if item.opening}
        assert openings == {(peer, kind.name) for peer in plan.parties if peer != party
                            for kind in expected(plan, party, peer)}
        assert set(told.learns) == {*plan.parties, COORDINATOR} and told.peers == tuple(sorted(
            set(plan.parties) - {party}))
        assert json.loads(json.dumps(told.to_json()))["party"] == party


def test_the_numbers_are_those_of_the_plan():
    plan = plan_of(1, 1, slices={"train": 0.5, "calibration": 0.15, "test": 0.35}, model={"steps": 11})
    text = "\n".join(disclose(plan, "platform-0", {"platform-0": 7000}).lines())
    for told in ("15% of the rows", "35% of the rows", "11 steps", "up to 7000 people", "50% to train", "at least 1000",
                 "the score of a training row", "the coefficients of the receiver's own columns"):
        assert told in text, told


def test_a_scoring_promises_nothing_about_training_rows():
    told = disclose(plan_of(1, 1, **SCORE), "platform-0")
    assert not any("training row" in sentence for sentence in told.never)
    assert any("training rows may be among them" in sentence for sentence in told.learns["bank-0"])
    assert told.model == f"scores with the published model {SCORE['model_id']}"
