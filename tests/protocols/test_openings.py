"""One table says what may be opened: the READMEs, the code and the door say the same, and there is one way in."""
from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pytest

from protocols.crypto.opening import open_shares
from protocols.crypto.ring import RING
from protocols.errors import PolicyRefused
from protocols.openings import KINDS, TABLE, allowed, expected
from protocols.plan import Plan
from protocols.role import Opening
from tests.packaging.project import ROOT

READMES = {path.parent.name: path.read_text(encoding="utf-8") for path in (ROOT / "protocols").glob("*/README.md")}
CODED = re.compile(r"`([^`]+)`")
TO_PLAINTEXT = {"to_float", "to_ints"}
MAY = {"protocols/crypto/opening.py"}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def declared(text: str) -> set[str]:
    """Kinds that a README's leakage tables name: a column `what it opens`, or the words `the opening KIND`."""
    found, column = set(re.findall(r"the opening `([^`]+)`", text)), None
    for line in text.splitlines():
        if not line.startswith("|"):
            column = None
        elif "what it opens" in line:
            column = cells(line).index("what it opens")
        elif column is not None:
            row = cells(line)
            told = row[0] if row[column].startswith("same names") else row[column].split(", learner")[0]
            found |= set(CODED.findall(told))
    return found


def sources() -> list[Path]:
    return [path for folder in ("protocols", "parties") for path in sorted((ROOT / folder).rglob("*.py"))]


def calls(path: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]


def users(attributes: set[str]) -> set[str]:
    """Files that use one of these attributes."""
    return {str(path.relative_to(ROOT)) for path in sources()
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Attribute) and node.attr in attributes}


def test_every_kind_stands_in_the_leakage_table_of_its_readme():
    assert {name: declared(text) & KINDS.keys() for name, text in READMES.items() if declared(text)} == {
        name: {kind.name for kind in TABLE if kind.readme == name} for name in {kind.readme for kind in TABLE}}


def test_the_readmes_declare_no_kind_that_is_not_in_the_table():
    assert not {name: declared(text) - KINDS.keys() for name, text in READMES.items() if declared(text) - KINDS.keys()}


def test_the_check_reads_leakage_tables():
    head = "| m | from → to | what it opens |\n|---|---|---|\n"
    rows = ("| `a` | x | `b.c`, 2 numbers |\n| `d` | x | – |\n"
            "| `e`, `f` | x | same names, one a row |\n\ntext: the opening `g` and `h`")
    assert declared(head + rows) == {"b.c", "e", "f", "g"}


def test_every_kind_is_there_once():
    assert len(KINDS) == len(TABLE) >= 12


def test_kinds_named_in_code_are_in_the_table():
    named = {argument.value for path in sources() for call in calls(path)
             if getattr(call.func, "id", "") in ("Opening", "open_shares") and call.args
             and isinstance(argument := call.args[0], ast.Constant)}
    assert named <= KINDS.keys() and {"coefficients", "step.norms", "verdict"} <= named


def test_there_is_one_way_from_shares_to_plaintext():
    """Whoever calls the ring's decoding elsewhere opens something without naming it."""
    assert users(TO_PLAINTEXT) == MAY
    assert {name.rpartition("/")[0] for name in users({"digits"})} == {"protocols/crypto"}


@pytest.mark.parametrize("kind", ["scores.everything", "", "membership "])
def test_an_undeclared_kind_is_refused_wherever_it_is_named(kind):
    for use in (lambda: Opening(kind, "bank", 1), lambda: open_shares(kind, RING.zeros(1)),
                lambda: allowed("train", kind)):
        with pytest.raises(PolicyRefused, match="no declared kind of opening"):
            use()


def test_shares_open_to_their_sum():
    secret = np.array([5, -7, 2**40], dtype=np.int64)
    parts = [RING.random(3), RING.random(3)]
    last = RING.sub(RING.encode(secret), RING.add(*parts))
    assert open_shares("coefficients", *parts, last).integers() == secret.tolist()
    assert open_shares("coefficients", *parts, last).floats(1).tolist() == [2.5, -3.5, 2.0**39]
    assert "2.5" not in repr(open_shares("coefficients", *parts, last))


@pytest.mark.parametrize("count", [1, 17, 5000])
def test_a_total_is_the_sum_whatever_overflows(count):
    largest = np.tile(np.array([[q - 1] for q in RING.q], dtype=np.uint64), count)
    assert RING.to_ints(RING.total(largest)) == [-count]
    mixed = RING.random(count)
    assert (sum(RING.to_ints(mixed)) - RING.to_ints(RING.total(mixed))[0]) % RING.modulus == 0


def plan_of(banks: int, platforms: int, **more) -> Plan:
    names = [f"bank-{i}" for i in range(banks)], [f"platform-{i}" for i in range(platforms)]
    return Plan.model_validate({
        "purpose": "test", "label_parties": names[0], "feature_parties": names[1],
        "parties": {name: {"table": "t", "columns": ["x"]} for part in names for name in part}, **more})


def kinds(plan: Plan, giver: str, learner: str) -> set[str]:
    return {kind.name for kind in expected(plan, giver, learner)}


def test_what_one_bank_and_one_platform_open_to_each_other():
    plan = plan_of(1, 1)
    assert kinds(plan, "bank-0", "platform-0") == {"membership", "coefficients", "step.size", "verdict"}
    assert kinds(plan, "platform-0", "bank-0") == {"membership", "coefficients", "step.norms", "scores.calibration",
                                                   "scores.test"}


def test_event_counts_are_opened_with_woe_only():
    plan = plan_of(1, 2, model={"encoding": "woe"})
    for platform in plan.feature_parties:
        assert "woe.counts" in kinds(plan, "bank-0", platform)
        assert "woe.counts" not in kinds(plan, platform, "bank-0") | kinds(plan_of(1, 2), "bank-0", platform)


def test_what_several_parties_open_to_each_other():
    plan = plan_of(2, 2)
    assert kinds(plan, "bank-1", "bank-0") == {"commons.histogram", "commons.moments", "scale", "verdict"}
    assert kinds(plan, "platform-1", "bank-1") == {"membership", "scores.calibration", "scores.test"}
    assert "membership.joint" in kinds(plan, "bank-1", "platform-1")
    assert kinds(plan, "platform-0", "platform-1") == set()


def test_a_scoring_opens_scores_and_membership_only():
    plan = plan_of(1, 1, kind="score", model_id="m-" + "0" * 16)
    assert kinds(plan, "platform-0", "bank-0") == {"membership", "scores.batch"}
    assert kinds(plan, "bank-0", "platform-0") == {"membership"}


def test_a_shared_model_opens_joint_scores_and_no_coefficient():
    shared = {"model": {"release": "shared"}}
    training, scoring = plan_of(1, 1, **shared), plan_of(1, 1, kind="score", model_id="m-" + "0" * 16, **shared)
    assert kinds(training, "bank-0", "platform-0") == {"membership", "step.size", "verdict"}
    assert kinds(training, "platform-0", "bank-0") == {"membership", "step.norms", "shared.calibration", "shared.test"}
    assert kinds(scoring, "platform-0", "bank-0") == {"membership", "shared.batch"}
    assert not allowed("train", "coefficients", "shared") and not allowed("train", "shared.test")
