"""The three rounds, without Flower: replies come from a function, time from a counter."""
from __future__ import annotations

import json

import pytest

from coordinator.conductor import CANCEL_GRACE_S, Conductor
from coordinator.registry import Registry
from protocols.errors import RunFailed
from protocols.plan import Plan

RUN = "r-00000000000000aa"
IDENTITIES = {"bank": "a" * 64, "platform": "b" * 64, "stranger": "c" * 64}


class Parties:
    """Plays both parties; `replies` replaces an answer, `before` runs at the start of a round."""

    def __init__(self, registry: Registry):
        self.registry, self.asked, self.replies, self.before = registry, [], {}, {}
        self.outcomes = {p: {"phase": "run", "state": "finished"} for p in ("bank", "platform")}

    def __call__(self, method, bodies, stop):
        self.asked.append((method, bodies))
        self.before.get(method, lambda: None)()
        stop()
        if method == "execute":
            for party, event in self.outcomes.items():
                self.registry.record_progress(RUN, party, event)
        return {p: self.replies.get((method, p)) or getattr(self, method)(p) for p in bodies}

    def agree(self, party):
        return {"ok": True, "statement": f'{{"party":"{party}"}}', "signature": "00"}

    def execute(self, party):
        return {"ok": True, "state": "started"}

    def publish(self, party):
        return {"ok": True, "half": {"party": party, "digest": party[0] * 64}, "metrics": {"auc": 0.8}}


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def parties(registry: Registry, plan: Plan) -> Parties:
    registry.create_run(RUN, plan.canonical().decode(), plan.digest())
    return Parties(registry)


def conduct(registry: Registry, parties: Parties, clock: Clock | None = None) -> None:
    clock = clock or Clock()
    Conductor(registry, RUN, IDENTITIES, parties, clock, clock.sleep).conduct()


def test_a_run_publishes_a_card(registry: Registry, parties: Parties, plan: Plan):
    conduct(registry, parties)
    assert registry.run_state(RUN) == "finished"
    card = registry.model("m-00000000000000aa")["card"]
    assert card["halves"]["bank"]["digest"] == "b" * 64 and card["metrics"] == {"auc": 0.8}
    assert card["plan_digest"] == plan.digest() and card["agreement"] == registry.run(RUN)["agreement_digest"]
    assert [m for m, _ in parties.asked] == ["agree", "execute", "publish"]


def test_bodies_hold_ids_plan_and_statements_only(registry: Registry, parties: Parties, plan: Plan):
    conduct(registry, parties)
    agree, execute, publish = (bodies["bank"] for _, bodies in parties.asked)
    pinned = {p: IDENTITIES[p] for p in plan.parties}
    assert agree == {"run": RUN, "plan": plan.canonical().decode(), "identities": pinned}
    assert set(execute) == {"run", "plan", "statements"} and set(execute["statements"]) == {"bank", "platform"}
    assert publish == {"run": RUN, "card": None}


def test_announced_digests_are_shown_to_both(registry: Registry, parties: Parties):
    for party in parties.outcomes:
        parties.outcomes[party] = {"phase": "run", "state": "finished", "body_json": json.dumps({"digest": party})}
    conduct(registry, parties)
    assert parties.asked[-1][1]["bank"]["card"] == {"bank": "bank", "platform": "platform"}


@pytest.mark.parametrize("method", ["agree", "execute", "publish"])
def test_a_refusal_names_party_cause_and_setting(registry: Registry, parties: Parties, method: str):
    parties.replies[(method, "platform")] = {"ok": False, "refused": "no such purpose", "setting": "purposes"}
    with pytest.raises(RunFailed):
        conduct(registry, parties)
    row = registry.run(RUN)
    assert (row["state"], row["party"], row["phase"], row["cause"]) == ("failed", "platform", method, "no such purpose")
    assert "purposes" in row["next_step"] and registry.models() == []


def test_a_reported_failure_ends_the_run_with_the_party_s_words(registry: Registry, parties: Parties):
    parties.outcomes["bank"] = {"phase": "align", "state": "failed", "cause": "too few rows", "next_step": "add rows"}
    parties.outcomes["platform"] = {"phase": "align", "state": "cancelled"}
    with pytest.raises(RunFailed, match="bank in phase align: too few rows; next: add rows"):
        conduct(registry, parties)
    assert registry.models() == []


def test_the_deadline_names_the_late_party(registry: Registry, parties: Parties, plan: Plan):
    parties.outcomes["platform"] = {"phase": "train", "state": "running"}
    clock = Clock()
    with pytest.raises(RunFailed, match="platform.*run_deadline_s = 60"):
        conduct(registry, parties, clock)
    assert clock.now == pytest.approx(plan.limits.run_deadline_s, abs=1.0)


@pytest.mark.parametrize("method", ["agree", "execute", "publish"])
def test_cancel_ends_the_run_in_any_round(registry: Registry, parties: Parties, method: str):
    parties.before[method] = lambda: registry.cancel(RUN)
    clock = Clock()
    conduct(registry, parties, clock)
    assert registry.run_state(RUN) == "cancelled" and clock.now <= CANCEL_GRACE_S + 1 and registry.models() == []


def test_a_resumed_run_keeps_its_agreement(registry: Registry, parties: Parties):
    parties.replies[("publish", "bank")] = {"ok": False, "error": "disk full"}
    with pytest.raises(RunFailed):
        conduct(registry, parties)
    agreed = registry.run(RUN)["agreement_digest"]
    registry.reopen(RUN)
    parties.replies.clear()
    conduct(registry, parties)
    assert registry.run_state(RUN) == "finished" and registry.run(RUN)["agreement_digest"] == agreed


def test_a_resumed_run_refuses_another_agreement(registry: Registry, parties: Parties):
    parties.replies[("publish", "bank")] = {"ok": False, "error": "disk full"}
    with pytest.raises(RunFailed):
        conduct(registry, parties)
    registry.reopen(RUN)
    parties.replies = {("agree", "bank"): {"ok": True, "statement": "another", "signature": "00"}}
    with pytest.raises(Exception, match="another agreement"):
        conduct(registry, parties)
    assert registry.run_state(RUN) == "failed"


@pytest.mark.parametrize("field", ["statement", "signature"])
def test_an_agreement_without_its_parts_fails(registry: Registry, parties: Parties, field: str):
    parties.replies[("agree", "bank")] = {**parties.agree("bank"), field: None}
    with pytest.raises(RunFailed, match=f"no {field}"):
        conduct(registry, parties)


def test_no_model_without_both_halves(registry: Registry, parties: Parties):
    parties.replies[("publish", "platform")] = {"ok": True}
    with pytest.raises(RunFailed, match="no half"):
        conduct(registry, parties)
    assert registry.models() == []


def test_an_internal_fault_carries_no_text_of_it(registry: Registry, parties: Parties):
    def burst():
        raise ValueError("customer 4711")

    parties.before["execute"] = burst
    with pytest.raises(ValueError, match="4711"):
        conduct(registry, parties)
    row = registry.run(RUN)
    assert row["state"] == "failed" and row["party"] == "coordinator" and "4711" not in row["cause"]
