"""Plans as files: drafts are valid plans, checks name party, table and column."""
from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.config import load_config
from coordinator.plan_file import draft, notes, problems, read_plan, require_sound, scoring_plan
from protocols.errors import ConfigError, UsageError
from protocols.plan import Plan


def column(name: str, sensitivity: str = "C1") -> dict:
    return {"name": name, "type": "number", "sensitivity": sensitivity, "missing_rate": 0.02}


CATALOGUES = {
    "bank": {"loans": {"rows": 10, "label": "default", "columns": [column("income"), column("secret", "C3")]}},
    "platform": {"behaviour": {"rows": 20, "label": None, "columns": [column("paid"), column('odd "name"')]}},
}


@pytest.fixture
def config(tmp_path: Path):
    path = tmp_path / "coordinator.toml"
    path.write_text("".join(
        f'[parties.{n}]\nrole = "{n}"\nidentity = "{"a" * 64}"\nsupernode_public_key = "x"\n' for n in CATALOGUES
    ))
    return load_config(path)


def test_a_draft_is_a_sound_plan(config):
    text = draft(config, CATALOGUES)
    plan = Plan.from_toml_text(text)
    assert problems(plan, config, CATALOGUES) == []
    assert plan.parties["bank"].columns == ("income",) and plan.parties["platform"].columns == ("paid", 'odd "name"')
    assert "2 % missing" in text and "secret" not in text


def test_a_draft_needs_both_catalogues(config):
    with pytest.raises(ConfigError, match="platform has published no table"):
        draft(config, {"bank": CATALOGUES["bank"]})


@pytest.mark.parametrize(
    ("party", "change", "words"),
    [
        ("platform", {"table": "other"}, "no table other; there are behaviour"),
        ("platform", {"columns": ["paid", "age"]}, "no column age"),
        ("bank", {"columns": ["secret"]}, "level C3.*secret"),
    ],
)
def test_problems_are_named(config, plan: Plan, party: str, change: dict, words: str):
    content = plan.model_dump(mode="json")
    content["parties"][party] |= change
    with pytest.raises(ConfigError, match=words):
        require_sound(Plan.model_validate(content), config, CATALOGUES)


def test_all_problems_are_listed(config, plan: Plan):
    content = plan.model_dump(mode="json")
    content["parties"]["platform"]["table"] = content["parties"]["bank"]["table"] = "nothing"
    assert len(problems(Plan.model_validate(content), config, CATALOGUES)) == 2


@pytest.mark.parametrize(("model", "words"), [
    ({"encoding": "woe"}, ["without noise"]), ({"encoding": "woe", "woe_rho": 0.1}, []), ({"activation": "deg3"}, []),
    ({}, []),
])
def test_what_a_plan_shows_or_costs_beyond_the_usual_is_noted(plan: Plan, model: dict, words: list[str]):
    content = plan.model_dump(mode="json")
    content["model"] |= model
    found = notes(Plan.model_validate(content))
    assert len(found) == len(words) and all(word in note for word, note in zip(words, found, strict=True))


def test_unknown_parties_are_named(config, plan: Plan):
    content = plan.model_dump(mode="json")
    content["parties"]["shop"] = content["parties"].pop("platform")
    content["feature_parties"] = ["shop"]
    assert "party shop" in problems(Plan.model_validate(content), config, {})[0]


def test_labels_must_exist(config, plan: Plan):
    unlabelled = {**CATALOGUES, "bank": {"loans": {**CATALOGUES["bank"]["loans"], "label": None}}}
    assert "no label column" in problems(plan, config, unlabelled)[0]


def test_rows_are_common_unless_the_plan_says_covered(config, plan: Plan):
    drafted = draft(config, CATALOGUES)
    assert '\nrows = "common"' in drafted and plan.alignment.rows == "common" and notes(plan) == []
    alone = Plan.from_toml_text(drafted.replace('\nrows = "common"', '\nrows = "covered"'))
    assert problems(alone, config, CATALOGUES) == []
    assert notes(alone) == ["alignment.rows = 'covered' is the same as 'common' with one platform"]
    content = alone.model_dump(mode="json")
    content["parties"]["other"] = content["parties"]["platform"]
    assert notes(Plan.model_validate(content | {"feature_parties": ["platform", "other"]})) == []
    assert scoring_plan(alone, "m-0123456789abcdef", {}).alignment.rows == "covered"


def test_scoring_takes_other_tables(plan: Plan):
    scoring = scoring_plan(plan, "m-" + "0" * 16, {"platform": "today"})
    assert scoring.kind == "score" and scoring.model_id == "m-" + "0" * 16
    assert {p: t.table for p, t in scoring.parties.items()} == {"bank": "loans", "platform": "today"}
    with pytest.raises(UsageError, match="no party shop"):
        scoring_plan(plan, "m-" + "0" * 16, {"shop": "x"})


@pytest.fixture
def several(tmp_path: Path):
    """(config, catalogues) of two banks of one schema and a platform; bank-2 lists its columns in another order."""
    path = tmp_path / "several.toml"
    path.write_text("".join(
        f'[parties.{n}]\nrole = "{n.split("-")[0]}"\nidentity = "{"a" * 64}"\nsupernode_public_key = "x"\n'
        for n in ("bank-1", "bank-2", "platform")))
    columns = {"bank-1": ["income", "age", "secret"], "bank-2": ["age", "rate", "income"]}
    tables = {bank: {"loans": {"rows": 10, "label": "default", "columns": [
        column(n, "C3" if n == "secret" else "C1") for n in names]}} for bank, names in columns.items()}
    return load_config(path), tables | {"platform": CATALOGUES["platform"]}


def test_a_draft_for_several_banks_takes_what_all_have(several):
    config, catalogues = several
    text = draft(config, catalogues)
    plan = Plan.from_toml_text(text)
    assert plan.label_parties == ("bank-1", "bank-2") and problems(plan, config, catalogues) == []
    assert {plan.parties[bank].columns for bank in plan.label_parties} == {("income", "age")}
    assert plan.model.intercepts == "bank" and "commons_rho" in text


def test_a_draft_leaves_out_a_bank_that_published_nothing(several):
    config, catalogues = several
    plan = Plan.from_toml_text(draft(config, {p: t for p, t in catalogues.items() if p != "bank-1"}))
    assert plan.label_parties == ("bank-2",) and plan.parties["bank-2"].columns == ("age", "rate", "income")


def test_banks_need_common_columns_of_one_type(several):
    config, catalogues = several
    plan = Plan.from_toml_text(draft(config, catalogues))
    catalogues["bank-2"]["loans"]["columns"][0]["type"] = "category"
    assert problems(plan, config, catalogues) == [
        "column age is category at bank-2 and number at bank-1; banks that train together bring columns of the same "
        "types"]
    assert Plan.from_toml_text(draft(config, catalogues)).parties["bank-1"].columns == ("income",)
    catalogues["bank-2"]["loans"]["columns"][2]["type"] = "category"
    with pytest.raises(ConfigError, match="no column of the same name and type"):
        draft(config, catalogues)


def test_scoring_is_for_one_bank_of_several(several):
    config, catalogues = several
    trained, model = Plan.from_toml_text(draft(config, catalogues)), "m-" + "0" * 16
    scoring = scoring_plan(trained, model, {"bank-2": "today", "bank-1": "today"}, "bank-2")
    assert scoring.label_parties == ("bank-2",) and set(scoring.parties) == {"bank-2", "platform"}
    assert scoring.parties["bank-2"].table == "today"
    for bank, words in ((None, "none is named"), ("platform", "platform is not one of them"), ("x", "no party x")):
        with pytest.raises(UsageError, match=words):
            scoring_plan(trained, model, {}, bank)


def test_scoring_needs_no_bank_where_there_is_one(plan: Plan):
    model = "m-" + "0" * 16
    assert scoring_plan(plan, model, {}, "bank") == scoring_plan(plan, model, {})
    with pytest.raises(UsageError, match="choose with --bank"):
        scoring_plan(plan, model, {}, "platform")


def test_missing_and_broken_files_are_one_sentence(tmp_path: Path):
    with pytest.raises(ConfigError, match="no plan at"):
        read_plan(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_plan(tmp_path / "bad.toml")
