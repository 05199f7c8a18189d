"""A demo node's policy permits what its plan asks for, and no plan that asks for anything else."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coordinator.demo.federation import FEATURE, LABEL, Federation, Table, _policy_toml
from coordinator.demo.setting import Setting, plan_text, policy_rules
from protocols.errors import PolicyRefused
from protocols.plan import Plan
from protocols.policy import Policy

USUAL = {"encoding": "dummy", "bins": 5, "steps": 8, "seed": 1}
ASKED = {
    "usual": {}, "numeric": {"encoding": "numeric"}, "woe": {"encoding": "woe"}, "deg1": {"activation": "deg1"},
    "deg3": {"activation": "deg3"}, "shared": {"release": "shared"}, "open-score": {"variant": "open-score"},
    "one polish": {"polish": 1}, "two polishes": {"polish": 2}, "more steps": {"steps": 21},
}
# plans that ask for less are within the policy
WITHIN = {"one polish": {"more steps", "usual"}, "two polishes": {"one polish", "more steps", "usual"},
          "more steps": {"usual"}}
PEERS = {FEATURE: "a" * 64}


def plan(settings: dict[str, Any]) -> Plan:
    columns = {f"c{n}": {"type": "number"} for n in range(5)}
    parts = Setting({name: Table({"columns": columns}) for name in (LABEL, FEATURE)}, {LABEL: 9000, FEATURE: 9000}, "")
    return Plan.from_toml_text(plan_text(parts, (LABEL, FEATURE), **USUAL | settings))


def policy(asked: Plan, **more: bool) -> Policy:
    return Policy.from_toml_text(_policy_toml(PEERS, 1000, policy_rules(asked, **more)))


def allowed(rules: Policy, asked: Plan) -> bool:
    try:
        rules.check(asked, LABEL)
    except PolicyRefused:
        return False
    return True


@pytest.mark.parametrize("name", ASKED)
def test_a_policy_is_as_wide_as_its_plan(name: str) -> None:
    rules = policy(plan(ASKED[name]))
    within = {other for other in ASKED if allowed(rules, plan(ASKED[other]))}
    assert within == {name} | WITHIN.get(name, set())


def test_a_training_alone_is_permitted_and_half_of_the_rows_stay_closed() -> None:
    rules = policy(plan({}))
    assert (rules.kinds, rules.encodings, rules.activations) == (("train",), ("dummy",), ("anchored",))
    assert (rules.alignments, rules.release, rules.variants, rules.maximum_polish) == (
        ("common",), ("owner",), ("strict",), 0)
    assert (rules.maximum_steps, rules.maximum_holdout_share, rules.minimum_change_rows) == (8, 0.3, 1000)


def test_only_trainings_with_fewer_platforms_may_be_about_nearly_the_same_people() -> None:
    assert policy(plan({}), again_on_nearly_the_same=True).minimum_change_rows == 1


def test_the_file_of_every_party_has_the_rules(tmp_path: Path) -> None:
    tables = {name: Table({"columns": {"c": {"type": "number"}}}) for name in (LABEL, FEATURE)}
    Federation(tmp_path / "f", tables, 1000, policy_rules(plan({"encoding": "woe"}))).prepare()
    for party in (LABEL, FEATURE):
        text = (tmp_path / "f" / party / "policy.toml").read_text(encoding="utf-8")
        assert Policy.from_toml_text(text).encodings == ("woe",)
