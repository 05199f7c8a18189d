"""The three rounds, without Flower: replies come from a function, time from a counter."""
from __future__ import annotations

import json

import pytest

from coordinator.conductor import CANCEL_GRACE_S, TURN_S, Abandoned, Conductor
from coordinator.registry import Registry
from protocols.agreement import sign_statement, statement
from protocols.crypto.identity import IdentityKey
from protocols.errors import RunFailed, TrustError
from protocols.plan import Plan

RUN = "r-00000000000000aa"
FLOWER_RUN = 7
KEYS = {name: IdentityKey.generate() for name in ("bank", "bank-2", "platform", "stranger")}
IDENTITIES = {name: key.public.hex() for name, key in KEYS.items()}


class Trail:
    """An audit log that keeps names of events."""

    def __init__(self):
        self.events: list[str] = []
        self.rewritten: set[str] = set()
        self.identity, self.facts, self.held_by_parties = "c0" * 32, [], []

    def run(self, run, event, **facts):
        self.events.append(event)
        self.facts.append(facts)

    def agreement(self, agreement):
        self.events.append("agreement")

    def held(self, party):
        return 7

    def checkpoint(self, party, public, message):
        if party in self.rewritten:
            raise TrustError("the log was rewritten")
        self.events.append(f"checkpoint {party}")
        return b"back to " + party.encode()

    def own_checkpoint(self, held):
        self.held_by_parties.append(held)
        return b"mine"

    def countersigned(self, party, public, message):
        if message != b"signed by " + party.encode():
            raise TrustError("not what this log showed")
        self.events.append(f"countersigned {party}")


class Parties:
    """Plays both parties; `replies` replaces an answer, `before` runs at the start of a round."""

    def __init__(self, registry: Registry, plan: Plan):
        self.registry, self.asked, self.replies, self.before = registry, [], {}, {}
        self.plan, self.trail = plan, Trail()
        self.outcomes = {p: {"phase": "run", "state": "finished"} for p in plan.parties}

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
        return {"ok": True, "half": half, "metrics": {"auc": 0.8}, "checkpoint": "00", "held": 5}

    def witness(self, party):
        return {"ok": True, "countersigned": (b"signed by " + party.encode()).hex()}


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
    registry.attach_flower_run(RUN, FLOWER_RUN)
    return Parties(registry, plan)


def conductor(registry: Registry, parties: Parties, clock: Clock | None = None, flower_run: int = 7) -> Conductor:
    clock = clock or Clock()
    return Conductor(registry, RUN, str(flower_run), IDENTITIES, parties, parties.trail, clock, clock.sleep)


def conduct(registry: Registry, parties: Parties, clock: Clock | None = None, flower_run: int = FLOWER_RUN) -> None:
    conductor(registry, parties, clock, flower_run).conduct()


def reopen(registry: Registry) -> None:
    """As `sealscore runs resume`."""
    registry.reopen(RUN)
    registry.attach_flower_run(RUN, FLOWER_RUN)


class Killed(BaseException):
    """The end of a process: nothing that would tell the registry runs any more."""


def kill_in(registry: Registry, parties: Parties, method: str) -> None:
    """A conductor that is killed when a round begins, and the node that submits another Flower run."""
    def kill() -> None:
        raise Killed

    parties.before[method] = kill
    with pytest.raises(Killed):
        conduct(registry, parties)
    parties.before.clear()
    parties.asked.clear()
    assert registry.replace_flower_run(RUN, str(FLOWER_RUN), 8, "its ServerApp is gone")


def test_a_run_publishes_a_card(registry: Registry, parties: Parties, plan: Plan):
    conduct(registry, parties)
    assert registry.run_state(RUN) == "finished"
    card = registry.model("m-00000000000000aa")["card"]
    assert card["halves"]["bank"]["digest"] == "b" * 64 and card["metrics"] == {"auc": 0.8}
    assert "metrics_by_bank" not in card
    assert card["plan_digest"] == plan.digest() and card["agreement"] == registry.run(RUN)["agreement_digest"]
    assert [m for m, _ in parties.asked] == ["agree", "execute", "publish", "witness"]
    assert parties.trail.events == ["launched", "agreement", "checkpoint bank", "checkpoint platform", "published",
                                    "countersigned bank", "countersigned platform", "finished"]


def test_a_card_has_the_metrics_of_each_bank(registry: Registry, plan: Plan):
    """The platform's are left aside whoever sent any; the first bank's stand where those of one bank do."""
    content = plan.model_dump(mode="json")
    content["parties"]["bank-2"] = content["parties"]["bank"]
    several = Plan.model_validate(content | {"label_parties": ["bank-2", "bank"]})
    registry.create_run(RUN, several.canonical().decode(), several.digest())
    registry.attach_flower_run(RUN, FLOWER_RUN)
    parties = Parties(registry, several)
    for party, auc in (("bank", 0.7), ("bank-2", 0.6), ("platform", 0.9)):
        parties.replies["publish", party] = parties.publish(party) | {"metrics": {"auc": auc}}
    conduct(registry, parties)
    card = registry.model("m-00000000000000aa")["card"]
    assert card["metrics"] == {"auc": 0.6}
    assert card["metrics_by_bank"] == {"bank-2": {"auc": 0.6}, "bank": {"auc": 0.7}}


def test_bodies_hold_ids_plan_and_statements_only(registry: Registry, parties: Parties, plan: Plan):
    conduct(registry, parties)
    agree, execute, publish, witness = (bodies["bank"] for _, bodies in parties.asked)
    pinned = {p: IDENTITIES[p] for p in plan.parties}
    assert agree == {"run": RUN, "plan": plan.canonical().decode(), "identities": pinned}
    assert set(execute) == {"run", "plan", "statements"} and set(execute["statements"]) == {"bank", "platform"}
    assert publish == {"run": RUN, "card": None, "held": 7}
    assert witness == {"run": RUN, "identity": parties.trail.identity, "checkpoint": b"mine".hex(),
                       "countersigned": b"back to bank".hex()}
    assert parties.trail.held_by_parties == [5, 5]


def test_announced_digests_are_shown_to_both(registry: Registry, parties: Parties):
    for party in parties.outcomes:
        parties.outcomes[party] = {"phase": "run", "state": "finished", "body_json": json.dumps({"digest": party})}
    conduct(registry, parties)
    assert dict(parties.asked)["publish"]["bank"]["card"] == {"bank": "bank", "platform": "platform"}


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
    reopen(registry)
    parties.replies.clear()
    conduct(registry, parties)
    assert registry.run_state(RUN) == "finished" and registry.run(RUN)["agreement_digest"] == agreed


def test_a_resumed_run_refuses_another_agreement(registry: Registry, parties: Parties):
    parties.replies[("publish", "bank")] = {"ok": False, "error": "disk full"}
    with pytest.raises(RunFailed):
        conduct(registry, parties)
    reopen(registry)
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


@pytest.mark.parametrize(("reply", "cause"), [
    ({"ok": False, "error": "the log of coordinator was cut or restored"}, "was cut or restored"),
    ({"ok": False, "refused": "run has not finished here"}, "not finished here"),
    ({"ok": True}, "no countersigned"), ({"ok": True, "countersigned": "zz"}, "hex digits"),
    ({"ok": True, "countersigned": b"of another".hex()}, "not what this log showed"),
])
def test_who_does_not_countersign_is_noted_and_the_model_stands(registry: Registry, parties: Parties, reply, cause):
    parties.replies["witness", "platform"] = reply
    conduct(registry, parties)
    assert registry.run_state(RUN) == "finished" and len(registry.models()) == 1
    assert parties.trail.events[-3:] == ["countersigned bank", "not witnessed", "finished"]
    assert parties.trail.facts[-2]["party"] == "platform" and cause in parties.trail.facts[-2]["cause"]


@pytest.mark.parametrize("held", [None, -1, True, "5"])
def test_a_party_that_does_not_say_what_it_holds_is_not_shown_the_log(registry: Registry, parties: Parties, held):
    parties.replies["publish", "bank"] = {**parties.publish("bank"), "held": held}
    conduct(registry, parties)
    assert set(parties.asked[-1][1]) == {"platform"} and "not witnessed" in parties.trail.events


def test_a_party_that_went_silent_after_publishing_does_not_cost_the_model(registry: Registry, parties: Parties):
    def silent() -> None:
        raise RunFailed("bank", "witness", "the party's SuperNode did not answer", "start it")

    parties.before["witness"] = silent
    conduct(registry, parties)
    assert registry.run_state(RUN) == "finished" and parties.trail.events[-2:] == ["not witnessed", "finished"]
    assert parties.trail.facts[-2] == {"party": "bank", "cause": "the party's SuperNode did not answer"}


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


# -- several Flower runs for one run


@pytest.mark.parametrize(("killed_in", "rounds"), [
    ("agree", ["agree", "execute", "publish", "witness"]),
    ("execute", ["execute", "publish", "witness"]),
    ("publish", ["execute", "publish", "witness"]),
    ("witness", ["execute", "publish", "witness"]),
])
def test_a_killed_conductor_s_run_is_conducted_on(registry: Registry, parties: Parties, killed_in: str, rounds: list):
    kill_in(registry, parties, killed_in)
    assert registry.run_state(RUN) not in ("failed", "finished")
    conduct(registry, parties, flower_run=8)
    assert registry.run_state(RUN) == "finished" and [method for method, _ in parties.asked] == rounds
    assert [(a["number"], bool(a["conducted_at"])) for a in registry.attempts(RUN)] == [(1, True), (2, True)]


def test_a_card_that_was_published_already_is_published_again(registry: Registry, parties: Parties):
    set_state = registry.set_state

    def killed(*_args, **_kwargs):
        raise Killed

    registry.set_state = killed  # only `finished` goes through it directly
    registry.enter = lambda run, state, by: set_state(run, state, by)
    with pytest.raises(Killed):
        conduct(registry, parties)
    del registry.set_state, registry.enter
    assert len(registry.models()) == 1 and registry.run_state(RUN) == "publishing"
    registry.replace_flower_run(RUN, str(FLOWER_RUN), 8, "its ServerApp is gone")
    conduct(registry, parties, flower_run=8)
    assert registry.run_state(RUN) == "finished" and len(registry.models()) == 1


def test_what_a_party_reported_in_between_ends_the_run(registry: Registry, parties: Parties):
    kill_in(registry, parties, "execute")
    registry.record_progress(RUN, "platform", {"phase": "train", "state": "failed", "cause": "disk full"})
    with pytest.raises(RunFailed, match="platform in phase train: disk full"):
        conduct(registry, parties, flower_run=8)
    assert registry.run_state(RUN) == "failed" and parties.asked == []


@pytest.mark.parametrize("method", ["agree", "execute", "publish"])
def test_a_conductor_whose_place_was_taken_stops_and_says_nothing(registry: Registry, parties: Parties, method: str):
    parties.before[method] = lambda: registry.replace_flower_run(RUN, str(FLOWER_RUN), 8, "lost")
    parties.replies[(method, "bank")] = {"ok": False, "error": "would end the run"}
    with pytest.raises(Abandoned, match="another Flower run"):
        conduct(registry, parties)
    row = registry.run(RUN)
    assert row["state"] in ("agreeing", "running", "publishing") and row["cause"] is None
    assert registry.models() == [] and not {"failed", "cancelled"} & set(parties.trail.events)


def test_a_fault_of_one_whose_place_was_taken_ends_nothing(registry: Registry, parties: Parties):
    class Late(Parties):
        def __call__(self, method, bodies, stop):
            registry.replace_flower_run(RUN, str(FLOWER_RUN), 8, "lost")
            raise RunFailed("bank", method, "too late", "nothing")

    with pytest.raises(RunFailed):
        conduct(registry, Late(registry, parties.plan))
    assert registry.run_state(RUN) == "agreeing" and registry.run(RUN)["cause"] is None


def test_a_lost_superlink_ends_nothing(registry: Registry, parties: Parties):
    def gone() -> None:
        raise Abandoned("the SuperLink does not serve this Flower run any more")

    parties.before["execute"] = gone
    with pytest.raises(Abandoned):
        conduct(registry, parties)
    assert registry.run_state(RUN) == "running" and "failed" not in parties.trail.events


def test_a_run_that_ended_meanwhile_is_left_alone(registry: Registry, parties: Parties):
    registry.fail(RUN, "bank", "train", "disk full", "resume")
    with pytest.raises(Abandoned, match="failed already"):
        conduct(registry, parties)
    assert parties.trail.events == [] and parties.asked == []


def test_a_run_that_was_cancelled_while_nobody_conducted_it_stays_cancelled(registry: Registry, parties: Parties):
    kill_in(registry, parties, "execute")
    registry.cancel(RUN)
    conduct(registry, parties, flower_run=8)
    assert registry.run_state(RUN) == "cancelled" and parties.asked == []


def test_a_flower_run_waits_until_it_is_the_newest(registry: Registry, parties: Parties):
    clock = Clock()
    sleep = clock.sleep

    def attach_later(seconds: float) -> None:
        sleep(seconds)
        if clock.now > 3:
            registry.replace_flower_run(RUN, str(FLOWER_RUN), 8, "lost")

    clock.sleep = attach_later
    conductor(registry, parties, clock, flower_run=8).await_turn()
    assert 3 < clock.now < 5
    with pytest.raises(Abandoned, match="belongs to another"):
        conductor(registry, parties, clock, flower_run=9).await_turn()
    assert clock.now > TURN_S
