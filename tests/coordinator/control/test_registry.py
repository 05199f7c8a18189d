"""The registry: states move only along the drawn edges, progress is bounded, models are published once."""
from __future__ import annotations

import threading

import pytest

from coordinator.registry import MOVES, Registry, model_id_of, new_run_id
from protocols.errors import ConfigError, ProtocolError, UsageError

RUN = "r-00000000000000aa"


@pytest.fixture
def run(registry: Registry) -> str:
    registry.create_run(RUN, "{}", "0" * 64)
    return RUN


def test_ids_have_the_agreed_form():
    run = new_run_id()
    assert len(run) == 18 and run != new_run_id()
    assert model_id_of(run) == "m-" + run[2:]


def test_unknown_run_has_no_state_and_a_clear_error(registry: Registry):
    assert registry.run_state("r-ffffffffffffffff") is None
    with pytest.raises(UsageError, match="no run"):
        registry.run("r-ffffffffffffffff")


@pytest.mark.parametrize("target", sorted(MOVES))
@pytest.mark.parametrize("start", sorted(MOVES))
def test_only_drawn_moves_happen(registry: Registry, run: str, start: str, target: str):
    _force(registry, run, start)
    assert registry.set_state(run, target) is (start in MOVES[target])
    assert registry.run_state(run) == (target if start in MOVES[target] else start)


def test_enter_is_repeatable_and_never_goes_back(registry: Registry, run: str):
    assert registry.enter(run, "agreeing") and registry.enter(run, "running")
    assert registry.enter(run, "agreeing")
    assert registry.run_state(run) == "running"
    registry.cancel(run)
    assert not registry.enter(run, "running")


def test_the_first_failure_is_kept(registry: Registry, run: str):
    assert registry.fail(run, "bank", "train", "first", "next")
    assert not registry.fail(run, "platform", "train", "second", "next")
    assert registry.run(run)["cause"] == "first"


def test_reopen_forgets_failures_and_keeps_what_was_finished(registry: Registry, run: str):
    registry.record_progress(run, "bank", {"phase": "align", "state": "finished"})
    registry.record_progress(run, "bank", {"phase": "train", "state": "failed", "cause": "gone"})
    registry.fail(run, "bank", "train", "gone", "resume")
    registry.reopen(run)
    assert [(p["phase"], p["state"]) for p in registry.progress(run)] == [("align", "finished")]
    assert registry.run(run)["cause"] is None and registry.run_state(run) == "submitted"
    with pytest.raises(UsageError, match="only failed runs"):
        registry.reopen(run)


def test_finished_runs_cannot_be_cancelled(registry: Registry, run: str):
    _force(registry, run, "finished")
    with pytest.raises(UsageError, match="nothing to cancel"):
        registry.cancel(run)


def test_another_agreement_for_the_same_run_is_refused(registry: Registry, run: str):
    registry.set_agreement(run, "a" * 64, {"bank": {}})
    registry.set_agreement(run, "a" * 64, {"bank": {}})
    with pytest.raises(ProtocolError, match="another agreement"):
        registry.set_agreement(run, "b" * 64, {})


def test_outcome_is_the_end_of_a_part_and_not_of_a_phase(registry: Registry, run: str):
    registry.record_progress(run, "bank", {"phase": "train", "state": "finished"})
    assert registry.outcome(run, "bank") is None
    registry.record_progress(run, "bank", {"phase": "run", "state": "finished"})
    assert registry.outcome(run, "bank")["state"] == "finished"
    registry.record_progress(run, "platform", {"phase": "align", "state": "failed", "cause": "too few rows"})
    assert registry.outcome(run, "platform")["cause"] == "too few rows"


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"phase": "Train", "state": "running"},
        {"phase": "train", "state": "dancing"},
        {"phase": "train", "state": "running", "step": -1},
        {"phase": "train", "state": "running", "fraction": float("nan")},
        {"phase": "train", "state": "running", "bytes_out": True},
        {"phase": "train", "state": "running", "cause": "x" * 501},
        {"phase": "train", "state": "running", "body_json": "x" * 65_537},
        {"phase": "train", "state": "running", "cause": 7},
    ],
)
def test_reports_out_of_bounds_are_refused(registry: Registry, run: str, event: dict):
    with pytest.raises(ProtocolError):
        registry.record_progress(run, "bank", event)
    assert registry.progress(run) == []


def test_progress_of_an_unknown_run_is_refused(registry: Registry):
    with pytest.raises(ProtocolError, match="does not know"):
        registry.record_progress("r-ffffffffffffffff", "bank", {"phase": "train", "state": "running"})


def test_a_model_is_published_once(registry: Registry, run: str):
    registry.publish_model(model_id_of(run), run, {"a": 1}, {"bank": "d"})
    registry.publish_model(model_id_of(run), run, {"a": 1}, {"bank": "d"})
    with pytest.raises(UsageError, match="already with another card"):
        registry.publish_model(model_id_of(run), run, {"a": 2}, {})
    registry.revoke_model(model_id_of(run), "bank")
    assert registry.model(model_id_of(run))["state"] == "revoked" and len(registry.models()) == 1


def test_hello_without_a_catalogue_keeps_the_last_one(registry: Registry):
    registry.party_online("bank", {"tables": {"loans": {}}}, identity="a" * 64)
    registry.party_online("bank", {})
    bank = registry.parties()["bank"]
    assert bank["catalogue"] == {"tables": {"loans": {}}} and bank["identity"] == "a" * 64


def test_many_writers_lose_nothing(registry: Registry, run: str):
    def report(party: str) -> None:
        for step in range(20):
            registry.record_progress(run, party, {"phase": "train", "state": "running", "step": step})

    threads = [threading.Thread(target=report, args=(f"p{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted((p["party"], p["step"], p["count"]) for p in registry.progress(run)) == [
        (f"p{i}", 19, 20) for i in range(4)
    ]


@pytest.mark.parametrize("url", ["nonsense", "mysql+nodriver://x/y", "sqlite:////no/such/folder/r.db"])
def test_a_bad_address_is_a_configuration_error(url: str):
    with pytest.raises(ConfigError, match="registry.url"):
        Registry(url)


# -- attempts


def test_attempts_are_numbered_and_say_why_one_was_lost(registry: Registry, run: str):
    registry.attach_flower_run(run, 2**63 + 1)
    registry.conducted(run, str(2**63 + 1))
    assert registry.replace_flower_run(run, str(2**63 + 1), 8, "its ServerApp is gone")
    first, second = registry.attempts(run)
    assert (first["number"], first["flower_run_id"], first["cause"]) == (1, str(2**63 + 1), "its ServerApp is gone")
    assert first["conducted_at"] and first["lost_at"] and second["number"] == 2
    assert (second["flower_run_id"], second["conducted_at"], second["lost_at"]) == ("8", None, None)
    assert registry.standing(run) == ("submitted", "8")


@pytest.mark.parametrize("state", ["finished", "failed", "cancelling", "cancelled"])
def test_a_run_that_ended_or_is_cancelled_gets_no_further_attempt(registry: Registry, run: str, state: str):
    registry.attach_flower_run(run, 7)
    _force(registry, run, state)
    assert not registry.replace_flower_run(run, "7", 8, "lost")
    assert registry.standing(run) == (state, "7") and len(registry.attempts(run)) == 1


def test_an_attempt_is_replaced_once(registry: Registry, run: str):
    registry.attach_flower_run(run, 7)
    assert registry.replace_flower_run(run, "7", 8, "lost")
    assert not registry.replace_flower_run(run, "7", 9, "lost")
    assert registry.standing(run)[1] == "8" and len(registry.attempts(run)) == 2


def test_a_resumed_run_counts_its_attempts_anew(registry: Registry, run: str):
    registry.attach_flower_run(run, 7)
    registry.replace_flower_run(run, "7", 8, "lost")
    registry.fail(run, "coordinator", "running", "gone", "resume")
    registry.reopen(run)
    assert registry.attempts(run) == []
    registry.attach_flower_run(run, 9)
    assert [(a["number"], a["flower_run_id"]) for a in registry.attempts(run)] == [(1, "9")]


def test_only_the_newest_attempt_changes_the_run(registry: Registry, run: str):
    registry.attach_flower_run(run, 7)
    registry.replace_flower_run(run, "7", 8, "lost")
    assert not registry.enter(run, "agreeing", by="7") and registry.enter(run, "agreeing", by="8")
    assert not registry.enter(run, "agreeing", by="7")  # also where it is there already
    assert not registry.fail(run, "bank", "agree", "late", "nothing", by="7")
    assert not registry.set_state(run, "running", by="7") and registry.set_state(run, "running", by="8")
    assert registry.run(run)["cause"] is None


def test_an_unknown_run_stands_nowhere(registry: Registry):
    assert registry.standing("r-ffffffffffffffff") == (None, None)


def _force(registry: Registry, run: str, state: str) -> None:
    paths = {"submitted": [], "agreeing": ["agreeing"], "running": ["agreeing", "running"]}
    paths["publishing"] = [*paths["running"], "publishing"]
    paths["finished"] = [*paths["publishing"], "finished"]
    paths |= {"failed": ["failed"], "cancelling": ["cancelling"], "cancelled": ["cancelling", "cancelled"]}
    for step in paths[state]:
        assert registry.set_state(run, step)
