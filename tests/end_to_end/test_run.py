"""A data scientist's day at the coordinator: plan, run, runs, score; and what the parties refuse."""
from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coordinator.demo.federation import FEATURE, LABEL, Federation, Table
from parties.runtime import local_api
from parties.runtime.preparation import partial_scores
from parties.runtime.tables import TableConfig, load_table
from parties.runtime.vault import Vault
from protocols.node.identity_files import load_identity, load_trust
from protocols.plan import Plan, canonical_json
from protocols.psi.identifiers import normalise
from protocols.scorecard.calibration import Calibration
from protocols.scorecard.holdout import coarse
from tests.end_to_end import support

RUN = "r-" + "5" * 16


def agree(federation: Federation, party: str, plan: Plan) -> dict[str, Any]:
    """Ask a party's daemon directly, as its executor does, whatever the coordinator would have refused before."""
    identities = {name: key.hex() for name, key in load_trust(federation.folder / "trust.json").items()}
    body = {"run": RUN, "plan": plan.canonical().decode(), "identities": identities}
    return local_api.call(federation.home(party) / "state" / "local" / "daemon.sock", "agree", body, 20)


def plan_of(**settings: Any) -> Plan:
    return Plan.from_toml_text(support.plan_text(**settings))


# -- before a run


def test_a_drafted_plan_names_every_published_column_and_is_sound(federation: Federation, tables, tmp_path) -> None:
    draft = tmp_path / "plan.toml"
    done = support.sealscore("plan", "init", "--out", str(draft), federation=federation)
    assert done.returncode == 0, done.stderr
    plan = Plan.from_toml_text(draft.read_text())
    assert {name: list(part.columns) for name, part in plan.parties.items()} == {
        name: table.columns for name, table in tables.items()}
    text = draft.read_text()
    assert '"annual_income",  # number, C2, 7 % missing' in text and "category, C1" in text
    checked = support.sealscore("plan", "check", str(draft), "--json", federation=federation)
    assert checked.returncode == 0 and json.loads(checked.stdout) == {
        "ok": True, "digest": plan.digest(), "problems": [], "notes": []}
    again = support.sealscore("plan", "init", "--out", str(draft), federation=federation)
    assert again.returncode == 2 and "exists already" in again.stderr


def test_a_drafted_plan_is_accepted_by_both_parties(federation: Federation, tmp_path: Path) -> None:
    """A purpose that no policy allows would make the first run of everybody fail."""
    drafted = support.sealscore("plan", "init", federation=federation).stdout
    for party in (LABEL, FEATURE):
        reply = agree(federation, party, Plan.from_toml_text(drafted))
        assert reply["ok"], reply


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"table": "nothing"}, "publishes no table nothing"),
        ({"columns": {LABEL: ["debt_to_income"], FEATURE: ["shoe_size"]}}, "has no column shoe_size"),
    ],
)
def test_an_unsound_plan_is_refused_in_one_sentence(
    federation: Federation, tmp_path: Path, settings: dict, sentence: str
) -> None:
    plan = str(support.write_plan(tmp_path / "plan.toml", **settings))
    assert_one_sentence(support.sealscore("plan", "check", plan, federation=federation), sentence)


def test_an_unsound_plan_starts_no_run(federation: Federation, tmp_path: Path) -> None:
    before = support.run_ids(federation)
    plan = str(support.write_plan(tmp_path / "plan.toml", table="nothing"))
    assert_one_sentence(support.sealscore("run", plan, federation=federation), "publishes no table nothing")
    assert support.run_ids(federation) == before


def assert_one_sentence(done: subprocess.CompletedProcess[str], sentence: str) -> None:
    assert done.returncode == 2
    assert sentence in done.stderr and done.stderr.count("\n") == 1 and done.stderr.startswith("error: ")


@pytest.mark.parametrize("party", [LABEL, FEATURE])
@pytest.mark.parametrize(
    ("settings", "setting", "sentence"),
    [
        ({"encoding": "woe"}, "encodings", "default rate of its bins"),
        ({"release": "shared"}, "release", "'shared' is asked for, allowed: owner"),
        ({"minimum_intersection": 999}, "minimum_intersection_rows", "at least 1000 are required"),
        ({"purpose": "marketing"}, "purposes", "allowed: credit-scoring"),
        ({"steps": 33}, "maximum_steps", "at most 32 are allowed"),
    ],
)
def test_a_party_refuses_what_its_policy_does_not_give_and_names_the_setting(
    federation: Federation, party: str, settings: dict, setting: str, sentence: str
) -> None:
    """Also when the coordinator did not refuse it: the policy is the party's own."""
    reply = agree(federation, party, plan_of(**settings))
    assert reply["ok"] is False and reply["setting"] == setting
    assert reply["refused"].startswith(f"policy setting {setting}: ") and sentence in reply["refused"]
    last = support.audit_records(federation, party)[-1]
    assert sentence in json.dumps(last, ensure_ascii=False)


def test_scoring_with_a_model_nobody_published_is_refused_everywhere(federation: Federation) -> None:
    unknown = "m-" + "0" * 16
    done = support.sealscore("score", unknown, federation=federation)
    assert done.returncode != 0 and unknown in done.stderr and done.stderr.count("\n") == 1
    content = plan_of().model_dump(mode="json") | {"kind": "score", "model_id": unknown}
    reply = agree(federation, LABEL, Plan.model_validate(content))
    assert reply["ok"] is False and "no half of model" in (reply.get("refused") or reply["error"])


def test_scoring_with_a_half_that_was_trained_but_not_published_is_refused(federation: Federation) -> None:
    model_id = "m-" + "a" * 16
    home = federation.home(FEATURE)
    vault = Vault(home / "state" / "vault", load_identity(home))
    vault.put(model_id, {"model_id": model_id, "status": "pending"})
    try:
        content = plan_of().model_dump(mode="json") | {"kind": "score", "model_id": model_id}
        reply = agree(federation, FEATURE, Plan.model_validate(content))
    finally:
        vault.discard(model_id)
    assert reply["ok"] is False and "was not published" in (reply.get("refused") or reply["error"])


# -- runs


@pytest.mark.slow
def test_a_finished_run_is_listed_and_shown(federation: Federation, trained: dict) -> None:
    assert trained["model_id"] == "m-" + trained["run"].removeprefix("r-")
    listed = next(row for row in federation.runs() if row["run"] == trained["run"])
    assert (listed["state"], listed["kind"], listed["model_id"]) == ("finished", "train", trained["model_id"])
    shown = support.show_run(federation, trained["run"])
    assert shown["agreement"] == trained["agreement"] and len(shown["agreement"]) == 64
    phases = {(p["party"], p["phase"]): p for p in shown["progress"]}
    for party in (LABEL, FEATURE):
        for phase in ("align", "encode", "train", "evaluate", "publish", "run"):
            assert phases[party, phase]["state"] == "finished", (party, phase)
    assert phases[LABEL, "train"]["bytes_out"] > 1_000_000
    text = support.sealscore("runs", "show", trained["run"], federation=federation).stdout
    assert trained["run"] in text and "finished" in text
    assert trained["run"] in support.sealscore("runs", "list", federation=federation).stdout
    unknown = support.sealscore("runs", "show", "r-" + "0" * 16, federation=federation)
    assert unknown.returncode != 0 and unknown.stderr.count("\n") == 1


@pytest.mark.slow
def test_the_model_card_carries_the_digests_of_both_halves(federation: Federation, trained: dict) -> None:
    card = trained["result"]
    halves = {party: support.vault_half(federation, party, trained["model_id"]) for party in (LABEL, FEATURE)}
    text = json.dumps(card)
    for party, half in halves.items():
        assert half["status"] == "published" and half["agreement"] == trained["agreement"]
        assert hashlib.sha256(canonical_json(half)).hexdigest() in text, party
    assert "coefficients" not in text and "intercept" not in text


@pytest.mark.slow
def test_every_released_message_and_opening_is_in_the_audit_log(federation: Federation, trained: dict) -> None:
    opened = {}
    for party in (LABEL, FEATURE):
        mine = [r for r in support.audit_records(federation, party) if r["body"].get("run") == trained["run"]]
        assert any(r["kind"] == "egress" and r["body"]["what"] == "setup" for r in mine)
        for r in mine:
            if r["kind"] == "opening":
                opened[r["body"]["what"]] = opened.get(r["body"]["what"], 0) + r["body"]["count"]
    assert set(opened) == {"membership", "coefficients", "step.norms", "step.size", "scores.calibration",
                           "scores.test", "verdict"}


@pytest.mark.slow
def test_scores_are_those_of_both_halves_in_the_clear_and_only_at_the_bank(
    federation: Federation, trained: dict, tables: dict[str, Table]
) -> None:
    done = support.sealscore("score", trained["model_id"], "--json", federation=federation)
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)["run"]
    scores = {row["id"]: float(row["probability_of_default"])
              for row in support.read_csv(federation.home(LABEL) / "state" / "scores" / f"{run}.csv")}
    expected = scores_in_the_clear(federation, trained["model_id"], tables)
    assert scores.keys() == expected.keys() and len(scores) == round(0.88 * support.ROWS)
    assert max(abs(scores[name] - expected[name]) for name in scores) <= 0.00006  # printed with four digits
    assert 0.05 < np.mean(list(scores.values())) < 0.2 and len(set(scores.values())) > 100
    elsewhere = [path for node in (FEATURE, "coordinator") for path in federation.home(node).rglob("*")
                 if "score" in path.name.replace("sealscore", "")]
    assert elsewhere == []


def scores_in_the_clear(federation: Federation, model_id: str, tables: dict[str, Table]) -> dict[str, float]:
    """Both halves applied to the joined tables; the platform's part rounded as the protocol rounds it."""
    steps = plan_of().alignment.normalise
    loaded = {p: load_table(TableConfig.model_validate(t.section), federation.folder) for p, t in tables.items()}
    places = {p: {name: row for row, name in enumerate(normalise(t.ids, steps))} for p, t in loaded.items()}
    shared = [name for name in places[LABEL] if name in places[FEATURE]]
    halves = {p: support.vault_half(federation, p, model_id) for p in tables}
    part = {p: partial_scores(loaded[p], np.array([places[p][n] for n in shared]), halves[p]) for p in tables}
    joint = halves[LABEL]["intercept"] + part[LABEL] + coarse(part[FEATURE]) / 32
    probability = Calibration.from_json(halves[LABEL]["calibration"]).probability(joint)
    return {loaded[LABEL].ids[places[LABEL][name]]: float(p) for name, p in zip(shared, probability, strict=True)}


# -- runs that must not give a model


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "phase", "sentence"),
    [
        ({"minimum_intersection": 3600}, "align", "fewer than 3600 people in common"),
        ({"columns": "all", "encoding": "dummy", "bins": 8}, "train", "needs at least"),
        ({"purpose": "marketing"}, "agree", "policy setting purposes"),
    ],
    ids=["intersection too small", "too many columns for the rows", "purpose not allowed"],
)
def test_a_run_that_a_party_refuses_says_who_where_why_and_leaves_no_model(
    federation: Federation, tables: dict[str, Table], tmp_path: Path, settings: dict, phase: str, sentence: str
) -> None:
    if settings.get("columns") == "all":
        settings = settings | {"columns": {p: t.columns for p, t in tables.items()}}
    summary = support.launch(federation, support.write_plan(tmp_path / "plan.toml", **settings))
    assert summary["exit_code"] != 0 and summary["state"] == "failed"
    failure = summary["failure"]
    assert failure["party"] in (LABEL, FEATURE) and failure["phase"].startswith(phase) and failure["next_step"]
    assert sentence in failure["cause"]
    assert failure["cause"] in summary["stderr"] and summary["stderr"].count("\n") == 1
    model_id = "m-" + summary["run"].removeprefix("r-")
    for party in (LABEL, FEATURE):
        assert support.vault_half(federation, party, model_id) is None
    refused = support.sealscore("score", model_id, federation=federation)
    assert refused.returncode != 0 and model_id in refused.stderr


@pytest.mark.slow
def test_coefficients_of_earlier_trainings_on_the_same_people_count(
    federation: Federation, trained: dict, tmp_path: Path
) -> None:
    """Alone this training has rows enough; the same one as before may be repeated, another one may not follow."""
    summary = support.launch(federation, support.write_plan(tmp_path / "plan.toml", encoding="dummy", bins=4))
    assert summary["state"] == "failed" and summary["failure"]["phase"] == "train"
    cause = summary["failure"]["cause"]
    assert "policy setting release" in cause and "of earlier trainings on the same people" in cause
    needed = int(re.search(r"needs at least (\d+) training rows", cause)[1])
    alone, before = (int(re.search(pattern, cause)[1]) for pattern in (r"releasing (\d+)", r"after (\d+)"))
    rows = int(re.search(r"there are (\d+)", cause)[1])
    assert needed == 50 * (alone + before) and 50 * alone <= rows < needed
