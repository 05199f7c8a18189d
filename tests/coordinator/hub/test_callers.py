"""A step is dozens of calls: the registry is asked about a run that goes on twice a second, not at each of them."""
from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest

from coordinator import hub_calls
from coordinator.hub_calls import Callers, Refused

RUN = "r-0123456789abcdef"


class Counted:
    """A registry of one run that counts what it is asked."""

    def __init__(self) -> None:
        self.state: str | None = "running"
        self.asked: Counter[str] = Counter()

    def run(self, run: str) -> dict:
        self.asked["run"] += 1
        return {"plan_json": json.dumps({"parties": {"bank": {}, "platform": {}}})}

    def run_state(self, run: str) -> str | None:
        self.asked["state"] += 1
        return self.state


def check(callers: Callers, party: str = "bank") -> str:
    return asyncio.run(callers.check_member(RUN, party)).state


def test_a_run_that_goes_on_is_read_once_for_many_calls() -> None:
    registry = Counted()
    callers = Callers(registry)
    assert [check(callers, party) for party in ("bank", "platform") * 5] == ["running"] * 10
    assert registry.asked == {"run": 1, "state": 1}
    with pytest.raises(Refused, match="stranger is no party"):
        check(callers, "stranger")


def test_the_end_is_seen_soon_and_a_resumed_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Counted()
    callers = Callers(registry)
    check(callers)
    registry.state = "failed"
    monkeypatch.setattr(hub_calls, "KNOWN_S", -1.0)
    assert check(callers) == "failed"
    monkeypatch.setattr(hub_calls, "KNOWN_S", 60.0)
    assert check(callers) == "failed"
    registry.state = "running"
    assert check(callers) == "running"


def test_a_run_that_is_gone_is_refused_and_few_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Counted()
    callers = Callers(registry)
    monkeypatch.setattr(hub_calls, "MAX_KNOWN", 2)
    for run in ("r-1", "r-2", "r-3"):
        asyncio.run(callers.check_member(run, "bank"))
    assert list(callers._known) == ["r-2", "r-3"]
    registry.state = None
    with pytest.raises(Refused, match="no run"):
        check(callers)
