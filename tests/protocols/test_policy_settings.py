"""Every setting of the policy refuses what is beyond it, by its own name, before any data moves."""
from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest

from protocols.boosting.feature_party import FeatureBooster, FeatureConfig
from protocols.boosting.messages import Begin, Column
from protocols.errors import ConfigError, PolicyRefused
from protocols.plan import ModelKind, Plan
from protocols.policy import PARAMETER_SETS, Policy
from protocols.role import Message

RULES = {"purposes": ["credit-scoring"], "kinds": ["train", "score"], "encodings": ["dummy"],
         "peers": {"platform": {"fingerprint": "a" * 64, "maximum_rows": 5000, "maximum_rows_per_quarter": 9000},
                   "bank-2": {"fingerprint": "b" * 64}}}
PLAN = {
    "purpose": "credit-scoring", "label_party": "bank", "feature_parties": ["platform"],
    "parties": {"bank": {"table": "customers", "columns": ["age"]},
                "platform": {"table": "users", "columns": ["a", "b", "c", "d"]}},
}
LEVELS = {"age": "C2", "name": "C2"}


def opens_a_hundred_sums(policy: Policy) -> None:
    """A bank tells a platform that its trees open up to 100 sums."""
    allowed = FeatureConfig("bank", policy.maximum_tree_sums, 9)
    role = FeatureBooster(np.arange(40, dtype=np.uint8)[:, None] % 4, (Column(4),), allowed)
    role.start()
    role.handle(Message("bank", "begin", Begin(bytes(32), 20, 100).to_bytes()))


def checks(party: str = "bank", **changes) -> Callable[[Policy], None]:
    """The check of a plan that differs from PLAN by these sections."""
    content = Plan.model_validate(PLAN).model_dump()
    merged = {name: content[name] | value if isinstance(value, dict) else value for name, value in changes.items()}
    plan = Plan.model_validate(content | merged)
    return lambda policy: policy.check(plan, party)


def two_banks(policy: Policy) -> None:
    parties = PLAN["parties"] | {"bank-2": PLAN["parties"]["bank"]}
    plan = Plan.model_validate(
        {name: value for name, value in PLAN.items() if name != "label_party"}
        | {"parties": parties, "label_parties": ["bank", "bank-2"], "model": {"commons_rho": 0.5}})
    policy.check(plan, "bank")


# setting -> (a policy that allows it, one that does not, what is checked)
CASES: dict[str, tuple[dict, dict, Callable[[Policy], None]]] = {
    "purposes": ({}, {"purposes": ["marketing"]}, checks()),
    "peers": ({}, {"peers": {"telco": {"fingerprint": "c" * 64}}}, checks()),
    "peers.platform.maximum_rows": ({}, {}, lambda p: p.check_peer_rows("platform", 5001)),
    "peers.platform.maximum_rows_per_quarter": ({}, {}, lambda p: p.check_tested("platform", 5000, 4001)),
    "kinds": ({}, {"kinds": ["score"]}, checks()),
    "encodings": ({"encodings": ["numeric"]}, {}, checks(model={"encoding": "numeric"})),
    "alignments": ({"alignments": ["covered"]}, {}, checks(alignment={"rows": "covered"})),
    "release": ({"release": ["owner", "shared"]}, {}, checks(model={"release": "shared"})),
    "minimum_intersection_rows": ({}, {"minimum_intersection_rows": 1001}, checks()),
    "minimum_bin_rows": ({}, {"minimum_bin_rows": 21}, checks()),
    "maximum_steps": ({}, {"maximum_steps": 7}, checks()),
    "maximum_holdout_share": ({}, {"maximum_holdout_share": 0.29}, checks()),
    "maximum_commons_rho": ({}, {"maximum_commons_rho": 0.4}, two_banks),
    "maximum_woe_rho": ({"encodings": ["woe"], "maximum_woe_rho": 0.1}, {"encodings": ["woe"], "maximum_woe_rho": 0.09},
                        checks(model={"encoding": "woe", "woe_rho": 0.1})),
    "activations": ({"activations": ["deg1"]}, {}, checks(model={"activation": "deg1"})),
    "variants": ({"variants": ["open-score"]}, {}, checks(model={"variant": "open-score"})),
    "maximum_polish": ({"maximum_polish": 1}, {}, checks(model={"polish": 1})),
    "models": ({"models": ["boosting"]}, {}, checks(model={"kind": "boosting"})),
    "maximum_tree_splits": ({"maximum_tree_splits": 11}, {"maximum_tree_splits": 10},
                            lambda p: p.allowed_splits(5, 10)),
    "maximum_tree_sums": ({"maximum_tree_sums": 100}, {"maximum_tree_sums": 99}, opens_a_hundred_sums),
    "maximum_opened_rank": ({}, {"maximum_opened_rank": 0.2}, lambda p: p.check_openings(2, 2, 16)),
    "minimum_columns": ({}, {"minimum_columns": 5},
                        lambda p: p.check_columns(Plan.model_validate(PLAN), "platform")),
    "maximum_snapshots_per_person": ({"maximum_snapshots_per_person": 13}, {}, lambda p: p.check_versions(13)),
    "minimum_change_rows": ({"minimum_change_rows": 7}, {"minimum_change_rows": 8},
                            lambda p: p.check_growth("platform", 7)),
    "parameter_sets": ({}, {"parameter_sets": ["product"]}, checks()),
    "sensitivity_allowed": ({}, {"sensitivity_allowed": ["C1"]}, lambda p: p.check_sensitivity(LEVELS)),
    "columns.customers": ({"columns": {"customers": {"age": "C2"}}}, {"columns": {"customers": {"age": "C1"}}},
                          lambda p: p.check_listed("customers", ["age"], LEVELS)),
}
NEVER_ALLOWED = {"peers.platform.maximum_rows", "peers.platform.maximum_rows_per_quarter"}
AT_THE_DAEMON = {  # need files, time or a person: tests/parties/runtime/test_oversight.py and test_daemon_rules.py
    "maximum_runs_per_day", "approval", "retention_days"}
ONLINE = {"maximum_scores_per_person_per_day"}  # needs a scoring process: tests/scoring/test_desk.py
LOCAL = {"version", "maximum_message_bytes", "tile_cache_bytes"}  # no plan asks for them


def test_every_setting_has_a_case():
    assert {name.split(".")[0] for name in CASES} | AT_THE_DAEMON | ONLINE | LOCAL == Policy.model_fields.keys()


@pytest.mark.parametrize("setting", CASES)
def test_what_is_beyond_a_setting_is_refused_by_its_name(setting):
    allows, refuses, check = CASES[setting]
    if setting not in NEVER_ALLOWED:
        check(Policy.model_validate(RULES | allows))
    with pytest.raises(PolicyRefused) as refusal:
        check(Policy.model_validate(RULES | refuses))
    assert refusal.value.setting == setting and str(refusal.value).startswith(f"policy setting {setting}: ")


@pytest.mark.parametrize(("peer", "rows", "earlier"), [("platform", 5000, 4000), ("bank-2", 5_000_000, 0)])
def test_limits_of_a_peer_may_be_reached(peer, rows, earlier):
    policy = Policy.model_validate(RULES)
    policy.check_peer_rows(peer, rows)
    policy.check_tested(peer, rows, earlier)


@pytest.mark.parametrize(("columns", "table", "told"), [
    (["age"], "users", "allowed: none"), (["age", "name"], "customers", "would take name, allowed: age"),
])
def test_with_a_list_what_is_not_in_it_takes_no_part(columns, table, told):
    with pytest.raises(PolicyRefused, match=f"columns.{table}.*{told}"):
        Policy.model_validate(RULES | {"columns": {"customers": {"age": "C2"}}}).check_listed(table, columns, LEVELS)


def test_without_a_list_every_declared_column_may():
    Policy.model_validate(RULES).check_listed("customers", ["anything"], {})


def test_a_set_of_people_may_stay_or_change_much():
    policy = Policy.model_validate(RULES)
    for changed in (0, 1000, 10**6):
        policy.check_growth("platform", changed)
    for changed in (1, 999):
        with pytest.raises(PolicyRefused) as refusal:
            policy.check_growth("platform", changed)
        assert not re.search(rf"\b{changed}\b", str(refusal.value))  # the number follows from private sets


def test_a_scoring_encrypts_nothing_under_keys():
    assert set(PARAMETER_SETS) == set(get_args(ModelKind))
    checks(kind="score", model_id="m-" + "0" * 16)(Policy.model_validate(RULES | {"parameter_sets": []}))


@pytest.mark.parametrize("wrong", [
    {"approval": "maybe"}, {"retention_days": 0}, {"minimum_change_rows": 0}, {"parameter_sets": ["ckks"]},
    {"columns": {"customers": {"age": "C3"}}}, {"columns": {"Customers": {"age": "C1"}}}, {"columns": ["age"]},
])
def test_what_is_no_setting_is_no_policy(wrong):
    fields = "\n".join(f"{name} = {json.dumps(value)}" for name, value in wrong.items() if not isinstance(value, dict))
    tables = "".join(f"[{name}.{table}]\n" + "".join(f'{c} = "{v}"\n' for c, v in listed.items())
                     for name, value in wrong.items() if isinstance(value, dict) for table, listed in value.items())
    text = f'purposes = ["x"]\n{fields}\n[peers.platform]\nfingerprint = "{"a" * 64}"\n{tables}'
    with pytest.raises(ConfigError, match=r"p\.toml: setting"):
        Policy.from_toml_text(text, "p.toml")
