"""Runs that wait for a person, what the person is told, and what a decision does."""
from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from parties.bank.cli import main
from parties.runtime.daemon import Daemon
from protocols.errors import PolicyRefused, SealscoreError, TrustError, UsageError
from tests.parties.runtime import test_daemon_rules as rules
from tests.parties.runtime.test_daemon_rules import MODEL, OTHER, RUN, SEATS, agree_body, execute_body, plan, wait_for

home, boot = rules.home, rules.boot
HUMAN = 'approval = "human"'


def command(home: Path, capsys: pytest.CaptureFixture, *words: str) -> tuple[int, str, str]:
    """`sealscore bank WORD FILE …`."""
    code = main([words[0], str(home / "bank.toml"), *words[1:]])
    told = capsys.readouterr()
    return code, told.out, told.err


def events(node: Daemon, kind: str) -> list[dict]:
    return [record.body for record in node._audit.records() if record.kind == kind]


def test_a_run_waits_is_explained_approved_and_signed(boot, home, capsys):
    node = boot(HUMAN)
    for _ in range(3):
        assert node.agree(agree_body(home, RUN, plan())) == {"ok": True, "waiting": "approval"}
    assert not list((home / "state" / "runs").glob("*/statement.json"))
    code, out, _ = command(home, capsys, "runs")
    assert code == 0 and f"{RUN}" in out and "waiting for approval at bank" in out
    for told in ("credit-scoring", "what leaves this node", "what platform learns", "what the coordinator learns",
                 "to platform: the coefficients of the receiver's own columns", "table customers, 1 columns: income"):
        assert told in out
    code, out, err = command(home, capsys, "approve", RUN)
    assert code == 2 and "--yes" in err
    code, out, _ = command(home, capsys, "approve", RUN, "--yes", "--reason", "board of 3 May")
    assert code == 0 and "is approved" in out and "what leaves this node" in out
    assert node.agree(agree_body(home, RUN, plan()))["statement"]
    (decision,) = events(node, "decision")
    assert decision == {"run": RUN, "event": "approved", "by": decision["by"], "reason": "board of 3 May"}
    assert decision["by"] and sum(body["event"] == "waits for approval" for body in events(node, "run")) == 1
    code, out, _ = command(home, capsys, "runs", "--json")
    (row,) = json.loads(out)["runs"]
    assert row["state"] == "approved" and row["reason"] == "board of 3 May" and row["disclosure"] is None


def test_the_explanation_in_json_has_every_opening_of_the_plan(boot, home, capsys):
    boot(HUMAN).agree(agree_body(home, RUN, plan()))
    told = json.loads(command(home, capsys, "runs", "--json")[1])
    disclosure = told["runs"][0]["disclosure"]
    assert {item["opening"] for item in disclosure["leaves"] if item["to"] == "platform"} == {
        "", "membership", "coefficients", "step.size", "verdict"}
    assert disclosure["purpose"] == "credit-scoring" and disclosure["columns"] == ["income"]
    assert set(disclosure["learns"]) == {"bank", "platform", "the coordinator"}
    assert any("score" in sentence for sentence in disclosure["learns"]["bank"])


def test_a_rejected_run_stays_rejected(boot, home, capsys):
    node = boot(HUMAN)
    node.agree(agree_body(home, RUN, plan()))
    assert command(home, capsys, "reject", RUN, "--reason", "no consent")[0] == 0
    reply = node.agree(agree_body(home, RUN, plan()))
    assert reply["setting"] == "approval" and "a person at bank rejected" in reply["refused"]
    assert "no consent" not in reply["refused"]  # what a person wrote stays here
    code, _, err = command(home, capsys, "approve", RUN, "--yes")
    assert code == 1 and "was rejected by" in err
    assert boot().agree(agree_body(home, RUN, plan()))["setting"] == "approval"  # whatever the policy says now


def test_a_decision_outlives_the_process(boot, home):
    boot(HUMAN).agree(agree_body(home, RUN, plan()))
    node = boot(HUMAN)
    (row,) = node._oversight.runs({})["runs"]
    assert row["state"] == "no longer asked for"
    node._oversight.approve({"run": RUN, "by": "ann"})
    assert boot(HUMAN).agree(agree_body(home, RUN, plan()))["statement"]


def test_another_plan_under_the_same_run_is_refused(boot, home):
    node = boot(HUMAN)
    node.agree(agree_body(home, RUN, plan()))
    node._oversight.approve({"run": RUN, "by": "ann"})
    with pytest.raises(TrustError, match="another plan"):
        node.agree(agree_body(home, RUN, plan(model={"steps": 3})))


def test_a_coordinator_cannot_fill_the_list(boot, home):
    node = boot(HUMAN + "\nmaximum_runs_per_day = 1")
    node.agree(agree_body(home, RUN, plan()))
    assert node.agree(agree_body(home, OTHER, plan()))["setting"] == "maximum_runs_per_day"
    assert node.agree(agree_body(home, RUN, plan()))["waiting"]


@pytest.mark.parametrize(("body", "told"), [
    ({"run": OTHER}, "nobody has asked"), ({"run": "x"}, "expected a run"), ({}, "expected a run"),
    ({"run": RUN, "reason": "x" * 201}, "at most 200"), ({"run": RUN, "by": "a\nb"}, "printable"),
])
def test_what_cannot_be_decided_is_refused(boot, home, body, told):
    node = boot(HUMAN)
    node.agree(agree_body(home, RUN, plan()))
    with pytest.raises(UsageError, match=told):
        node._oversight.approve({"by": "ann", **body})
    assert events(node, "decision") == []


def test_a_run_under_way_is_stopped_for_good(boot, home, capsys):
    node = boot()
    driver = rules.launched(node, home)
    code, out, _ = command(home, capsys, "revoke", RUN, "--yes")
    assert code == 0 and out == f"revoked: {RUN}\n"
    wait_for(lambda: driver._store.get("told") is not None)
    phase, state, values = node._hub.reports[-1]
    assert state == "cancelled" and values["cause"] == "the run was ended: a person at bank revoked it"
    assert driver.state == "cancelled" and driver._store.get("keys") is None
    assert node.agree(agree_body(home, RUN, plan()))["setting"] == "approval"
    with pytest.raises(PolicyRefused, match="revoked"):
        node.execute({"run": RUN, "plan": plan().canonical().decode(), "statements": {}})
    assert json.loads(command(home, capsys, "runs", "--json")[1])["runs"][0]["state"] == "revoked"
    assert boot()._runs[RUN].state == "cancelled"


def test_a_failed_run_that_could_be_resumed_loses_its_keys(boot, home):
    node = boot()
    driver = rules.launched(node, home)
    driver._end_at = 0.0
    wait_for(lambda: driver._store.get("told") is not None)
    driver._store.put("keys", b"secret")
    node._oversight.revoke({"what": RUN, "by": "ann"})
    wait_for(lambda: driver.state == "cancelled")
    wait_for(lambda: driver._store.get("keys") is None)


def test_a_run_that_only_waits_can_be_revoked(boot, home):
    node = boot(HUMAN)
    node.agree(agree_body(home, RUN, plan()))
    node._oversight.revoke({"what": RUN, "by": "ann"})
    assert node.agree(agree_body(home, RUN, plan()))["setting"] == "approval"
    with pytest.raises(UsageError, match="knows no run"):
        node._oversight.revoke({"what": OTHER, "by": "ann"})


def published(node: Daemon) -> None:
    node._vault.put(MODEL, {"status": "published", "encoder": {"columns": [{"column": "income"}]}} | SEATS)


def test_a_revoked_model_scores_no_more_and_the_coordinator_hears_it(boot, home, capsys):
    node = boot()
    published(node)
    scoring = plan(kind="score", model_id=MODEL)
    assert node.agree(agree_body(home, RUN, scoring))["ok"]
    before = node._vault.get(MODEL)
    assert command(home, capsys, "revoke", MODEL, "--yes", "--reason", "drift")[0] == 0
    assert node._vault.get(MODEL) == before | {"status": "revoked"}
    reply = node.agree(agree_body(home, OTHER, scoring))
    assert reply["refused"] == f"policy setting approval: model {MODEL} was revoked by bank; train another"
    wait_for(lambda: node._hub.said["revoked"] == [MODEL])
    assert command(home, capsys, "revoke", MODEL, "--yes")[0] == 0  # again: nothing new
    assert [body["event"] for body in events(node, "decision")] == ["revoked"]
    code, _, err = command(home, capsys, "revoke", "m-" + "9" * 16, "--yes")
    assert code == 1 and "no half of model" in err


def test_a_scoring_under_way_ends_with_its_model(boot, home):
    node = boot()
    published(node)
    scoring = plan(kind="score", model_id=MODEL)
    own = node.agree(agree_body(home, RUN, scoring))
    node.execute(execute_body(home, own, RUN, scoring))
    assert node._oversight.revoke({"what": MODEL, "by": "ann"})["revoked"] == [MODEL, RUN]
    wait_for(lambda: node._runs[RUN].state == "cancelled")


def test_openings_over_runs_are_shown(boot, home, capsys):
    node = boot()
    assert "nothing was opened" in command(home, capsys, "openings")[1]
    ledger = node._ledger
    for run in ("r-1", "r-2"):
        ledger.opened(run, "coefficients", "platform", 4, ledger.keep(ledger.tags(["a", "b"])))
    assert json.loads(command(home, capsys, "openings", "--json")[1])["openings"] == [
        {"kind": "coefficients", "learner": "platform", "numbers": 8, "runs": 2, "people": 2, "times": 2}]
    assert "times a person at most" in command(home, capsys, "openings")[1]


def test_without_a_daemon_a_command_says_so(home, capsys):
    (home / "state").mkdir(mode=0o700)
    code, _, err = command(home, capsys, "runs")
    assert code == 1 and "is not running" in err and err.count("\n") == 1


# -- the policy's limits at the daemon


def test_old_state_and_scores_are_deleted_and_stay_deleted(boot, home, monkeypatch):
    node = boot("retention_days = 3")
    driver = rules.launched(node, home)
    driver._end_at = 0.0
    wait_for(lambda: driver._store.get("told") is not None)
    driver._store.put("keys", b"a secret that must go")
    folder, scores = home / "state" / "runs" / RUN, home / "state" / "scores" / f"{RUN}.csv"
    scores.parent.mkdir()
    scores.write_text("id,probability_of_default\n")
    node._delete_due()
    assert driver._store.get("keys") and scores.exists()
    for path in (folder / "statement.json", scores):
        os.utime(path, (time.time() - 4 * 86400,) * 2)
    node._delete_due()
    assert {path.name for path in folder.iterdir()} == {"statement.json", "deleted.json"} and not scores.exists()
    told = [body["event"] for body in events(node, "run")]
    assert told[-2:] == ["deleted", "scores deleted"]
    assert node.agree(agree_body(home, RUN, plan()))["setting"] == "retention_days"
    assert RUN not in boot("retention_days = 3")._runs


def test_a_run_under_way_is_not_deleted(boot, home):
    node = boot("retention_days = 3")
    driver = rules.launched(node, home)
    os.utime(home / "state" / "runs" / RUN / "statement.json", (0, 0))
    node._delete_due()
    assert driver.working and (home / "state" / "runs" / RUN / "run.db").exists()


def test_a_peer_tests_no_more_in_a_quarter_than_it_may(boot, home):
    peer = rules.fingerprint(rules.load_identity(home.parent / "platform").public)
    node = boot()
    limited = node._party.policy.model_validate(node._party.policy.model_dump() | {
        "peers": {"platform": {"fingerprint": peer, "maximum_rows_per_quarter": 3000}}})
    node._party.policy = limited
    rules.launched(node, home)
    own = node.agree(agree_body(home, OTHER, plan()))
    with pytest.raises(PolicyRefused, match="peers.platform.maximum_rows_per_quarter.*2000 rows after 2000"):
        node.execute(execute_body(home, own, OTHER, plan()))
    assert OTHER not in node._runs
    own = node.agree(agree_body(home, RUN, plan()))
    assert node.execute(execute_body(home, own, RUN, plan()))["state"] == "running"  # itself it does not count


@pytest.mark.parametrize(("listed", "told"), [
    ('age = "C2"', "would take income, allowed: age"), ('income = "C1"', "income are declared at a higher level"),
    ('income = "C2"', None),
])
def test_only_listed_columns_take_part(boot, home, listed, told):
    node = boot()
    policy = node._party.policy
    column, level = listed.replace('"', "").split(" = ")
    node._party.policy = policy.model_validate(policy.model_dump() | {"columns": {"customers": {column: level}}})
    reply = node.agree(agree_body(home, RUN, plan()))
    if told is None:
        assert reply["ok"]
    else:
        assert reply["setting"] == "columns.customers" and told in reply["refused"]
    published(node)
    score = node.agree(agree_body(home, OTHER, plan(kind="score", model_id=MODEL)))
    assert score["ok"] == (told is None)


def test_openings_of_the_scoring_process_reach_the_audit_log(boot, home):
    node = boot()
    node._vault.put(MODEL, {"status": "published", "encoder": {"columns": [{"column": "income"}]}} | SEATS)
    hand_over = node._oversight.handlers()["online_openings"]
    told = {"run": "r-" + MODEL[2:], "phase": "online", "what": "online.score", "learner": "bank", "count": 5,
            "day": "2026-01-31"}
    assert hand_over({"openings": [told]}) == {"ok": True} and events(node, "opening") == [told]
    for wrong in ({"what": "scores.batch"}, {"count": 0}, {"count": True}, {"run": "r-" + "9" * 16}, {"day": "today"},
                  {"more": 1}, {"learner": "A bank"}, {"phase": "train"}):
        with pytest.raises(SealscoreError):
            hand_over({"openings": [told | wrong]})
    with pytest.raises(SealscoreError):
        hand_over({"openings": "none"})
    assert events(node, "opening") == [told]
