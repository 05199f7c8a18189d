"""A run that waits for a person at a party, and a model that a party revoked, as the coordinator sees them."""
from __future__ import annotations

import json

import pytest

from coordinator import launch
from coordinator.conductor import APPROVAL_POLL_S
from coordinator.registry import Registry
from protocols.errors import RunFailed
from tests.coordinator.control import test_conductor as conductors
from tests.coordinator.control.test_conductor import RUN, Clock, Parties, conduct

parties = conductors.parties
MODEL = "m-" + RUN.removeprefix("r-")
WAITS = {"ok": True, "waiting": "approval"}


class Impatient(Clock):
    """After `seconds` of waiting, somebody does something."""

    def __init__(self, seconds: float, act):
        super().__init__()
        self._at, self._act = seconds, act

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self._act is not None and self.now >= self._at:
            act, self._act = self._act, None
            act()


def asked(parties: Parties) -> list[list[str]]:
    return [sorted(bodies) for method, bodies in parties.asked if method == "agree"]


def test_only_those_who_wait_are_asked_again_until_they_agree(registry: Registry, parties: Parties):
    parties.replies = {("agree", "bank"): WAITS}
    seen = []

    def approve() -> None:
        row = registry.run(RUN)
        facts = launch.summary(registry, row)
        seen.append((row["state"], facts["waiting_for_approval"], launch._headline(registry, row)))
        parties.replies.clear()

    conduct(registry, parties, Impatient(20.0, approve))
    assert seen == [("agreeing", ["bank"], "waiting for approval at bank")]
    assert registry.run_state(RUN) == "finished"
    rounds = asked(parties)
    assert rounds[0] == ["bank", "platform"] and set(map(tuple, rounds[1:])) == {("bank",)}
    assert len(rounds) <= 2 + 20.0 / APPROVAL_POLL_S + 1
    told = {row["phase"]: row["state"] for row in registry.progress(RUN) if row["party"] == "bank"}
    assert told["approval"] == "finished"
    assert not [row for row in registry.progress(RUN) if (row["party"], row["phase"]) == ("platform", "approval")]


def test_nobody_waits_longer_than_the_plan_allows_and_a_resume_goes_on(registry: Registry, parties: Parties):
    parties.replies = {("agree", "platform"): WAITS}
    clock = Clock()
    with pytest.raises(RunFailed, match="at platform in phase approval: nobody approved .*run_deadline_s"):
        conduct(registry, parties, clock)
    assert 60 <= clock.now < 60 + 2 * APPROVAL_POLL_S and registry.run_state(RUN) == "failed"
    assert launch.summary(registry, registry.run(RUN))["waiting_for_approval"] == []
    parties.replies.clear()
    conductors.reopen(registry)
    conduct(registry, parties)
    assert registry.run_state(RUN) == "finished"


def test_a_rejection_ends_the_run_with_the_partys_sentence(registry: Registry, parties: Parties):
    parties.replies = {("agree", "platform"): WAITS}
    refusal = {"ok": False, "setting": "approval", "refused": "a person at platform rejected it"}
    reject = Impatient(5.0, lambda: parties.replies.update({("agree", "platform"): refusal}))
    with pytest.raises(RunFailed, match="a person at platform rejected it"):
        conduct(registry, parties, reject)


def test_a_run_that_waits_can_be_cancelled(registry: Registry, parties: Parties):
    parties.replies = {("agree", "platform"): WAITS}
    conduct(registry, parties, Impatient(5.0, lambda: registry.cancel(RUN)))
    assert registry.run_state(RUN) == "cancelled"


def test_a_party_revokes_its_own_models_only(registry: Registry, parties: Parties):
    conduct(registry, parties)
    for party, models in (("telco", [MODEL]), ("bank", ["m-" + "9" * 16, 7, None]), ("bank", "m"), ("bank", None)):
        registry.party_online(party, {"tables": {}, "revoked": models})
    assert registry.model(MODEL)["state"] == "published" and registry.revoked_by(MODEL) == {}
    for _ in range(2):
        registry.party_online("platform", {"tables": {}, "revoked": [MODEL]})
    model = registry.model(MODEL)
    assert model["state"] == "revoked" and list(model["revoked_by"]) == ["platform"]
    facts = launch.summary(registry, registry.run(RUN))
    assert list(facts["revoked_by"]) == ["platform"] and json.dumps(facts)
    registry.publish_model(MODEL, RUN, model["card"], {})  # a conductor that repeats itself
    assert registry.model(MODEL)["state"] == "revoked"
