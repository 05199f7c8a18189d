"""The three rounds, without Flower: replies come from a function, time from a counter."""
from __future__ import annotations

import json

import pytest

from coordinator.conductor import CANCEL_GRACE_S, Conductor
from coordinator.registry import Registry
from protocols.agreement import sign_statement, statement
from protocols.crypto.identity import IdentityKey
from protocols.errors import RunFailed, TrustError
from protocols.plan import Plan

RUN = "r-00000000000000aa"
KEYS = {name: IdentityKey.generate() for name in ("bank", "platform", "stranger")}
IDENTITIES = {name: key.public.hex() for name, key in KEYS.items()}


class Trail:
    """An audit log that keeps names of events."""

    def __init__(self):
        self.events: list[str] = []
        self.rewritten: set[str] = set()

    def run(self, run, event, **facts):
        self.events.append(event)

    def agreement(self, agreement):
        self.events.append("agreement")

    def held(self, party):
        return 7

    def checkpoint(self, party, public, message):
        if party in self.rewritten:
            raise TrustError("the log was rewritten")
        self.events.append(f"checkpoint {party}")


class Parties:
    """Plays both parties; `replies` replaces an answer, `before` runs at the start of a round."""

    def __init__(self, registry: Registry, plan: Plan):
        self.registry, self.asked, self.replies, self.before = registry, [], {}, {}
        self.plan, self.trail = plan, Trail()
        self.outcomes = {p: {"phase": "run", "state": "finished"} for p in ("bank", "platform")}

    def __call__(self, method, bodies, stop):
        self.asked.append((method, bodies))
        self.before.get(method, lambda: None)()
        stop()
        if method == "execute":
            for party, event in self.outcomes.items():
                self.registry.record_progress(RUN, party, event)
        return {p: self.replies.get((method, p)) or getattr(self, method)(p) for p in bodies}

    def agree(self, party, policy="0" * 64, key=None):
        text = statement(party, RUN, self.plan, policy)
        return {"ok": True, "statement": text, "signature": sign_statement(key or KEYS[party], text).hex()}

    def execute(self, party):
        return {"ok": True, "state": "started"}

    def publish(self, party):
        half = {"party": party, "digest": party[0] * 64}
        return {"ok": True, "half": half, "metrics": {"auc": 0.8}, "checkpoint": "00"}


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
    return Parties(registry, plan)


def conduct(registry: Registry, parties: Parties, clock: Clock | None = None) -> None:
    clock = clock or Clock()
    Conductor(registry, RUN, IDENTITIES, parties, parties.trail, clock, clock.sleep).conduct()


def test_a_run_publishes_a_card(registry: Registry, parties: Parties, plan: Plan):
    conduct(registry, parties)
    assert registry.run_state(RUN) == "finished"
    card = registry.model("m-00000000000000aa")["card"]
    assert card["halves"]["bank"]["digest"] == "b" * 64 and card["metrics"] == {"auc": 0.8}
    assert card["plan_digest"] == plan.digest() and card["agreement"] == registry.run(RUN)["agreement_digest"]
    assert [m for m, _ in parties.asked] == ["agree", "execute", "publish"]
    assert parties.trail.events == ["launched", "agreement", "checkpoint bank", "checkpoint platform", "finished"]


def test_bodies_hold_ids_plan_and_statements_only(registry: Registry, parties: Parties, plan: Plan):
    conduct(registry, parties)
    agree, execute, publish = (bodies["bank"] for _, bodies in parties.asked)
    pinned = {p: IDENTITIES[p] for p in plan.parties}
    assert agree == {"run": RUN, "plan": plan.canonical().decode(), "identities": pinned}
    assert set(execute) == {"run", "plan", "statements"} and set(execute["statements"]) == {"bank", "platform"}
    assert publish == {"run": RUN, "card": None, "held": 7}


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
    parties.replies = {("agree", "bank"): parties.agree("bank", policy="1" * 64)}
    with pytest.raises(Exception, match="another agreement"):
        conduct(registry, parties)
    assert registry.run_state(RUN) == "failed"


@pytest.mark.parametrize("field", ["statement", "signature"])
def test_an_agreement_without_its_parts_fails(registry: Registry, parties: Parties, field: str):
    parties.replies[("agree", "bank")] = {**parties.agree("bank"), field: None}
    with pytest.raises(RunFailed, match=f"no {field}"):
        conduct(registry, parties)


def test_a_statement_signed_by_somebody_else_ends_the_run(registry: Registry, parties: Parties):
    parties.replies[("agree", "bank")] = parties.agree("bank", key=KEYS["stranger"])
    with pytest.raises(RunFailed, match="coordinator in phase agree.*compare the identity keys"):
        conduct(registry, parties)
    assert registry.run(RUN)["agreement_digest"] is None and "agreement" not in parties.trail.events


@pytest.mark.parametrize("checkpoint", [None, "xyz", 7])
def test_a_party_without_a_checkpoint_publishes_nothing(registry: Registry, parties: Parties, checkpoint):
    parties.replies[("publish", "bank")] = {**parties.publish("bank"), "checkpoint": checkpoint}
    with pytest.raises(RunFailed, match="bank in phase publish"):
        conduct(registry, parties)
    assert registry.models() == []


def test_a_party_that_rewrote_its_log_publishes_nothing(registry: Registry, parties: Parties):
    parties.trail.rewritten.add("platform")
    with pytest.raises(RunFailed, match="platform in phase publish: the log was rewritten"):
        conduct(registry, parties)
    assert registry.models() == [] and parties.trail.events[-1] == "failed"


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
