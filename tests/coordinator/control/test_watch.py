"""Runs that Flower has lost are ended, whatever killed their ServerApp."""
from __future__ import annotations

import pytest

from coordinator.flower.adapter import FlowerStatus
from coordinator.registry import Registry
from coordinator.watch import CANCEL_S, GRACE_S, SUBMIT_S, RunWatch

RUN = "r-00000000000000aa"


class FakeControl:
    def __init__(self):
        self.known: dict[int, FlowerStatus] = {}
        self.stopped: list[int] = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def status(self, flower_run_id):
        return self.known.get(flower_run_id)

    def stop(self, flower_run_id):
        self.stopped.append(flower_run_id)


@pytest.fixture
def control() -> FakeControl:
    return FakeControl()


@pytest.fixture
def watch(registry: Registry, control: FakeControl) -> RunWatch:
    registry.create_run(RUN, "{}", "0" * 64)
    return RunWatch(registry, lambda: control)


def test_a_run_whose_server_app_ended_fails_with_the_next_step(registry, control, watch):
    registry.attach_flower_run(RUN, 7)
    control.known[7] = FlowerStatus("finished", "failed", "")
    watch.look(0.0)
    assert registry.run_state(RUN) == "submitted"
    watch.look(GRACE_S + 1)
    row = registry.run(RUN)
    assert row["state"] == "failed" and "ended early" in row["cause"] and f"resume {RUN}" in row["next_step"]


def test_a_running_one_is_left_alone(registry, control, watch):
    registry.attach_flower_run(RUN, 7)
    control.known[7] = FlowerStatus("running", "", "")
    for now in (0.0, 1000.0):
        watch.look(now)
    assert registry.run_state(RUN) == "submitted"


def test_one_that_was_never_submitted_fails(registry, watch):
    watch.look(0.0)
    watch.look(SUBMIT_S + 1)
    assert "never submitted" in registry.run(RUN)["cause"]


def test_an_unknown_flower_run_fails(registry, watch):
    registry.attach_flower_run(RUN, 7)
    watch.look(0.0)
    watch.look(GRACE_S + 1)
    assert "does not know" in registry.run(RUN)["cause"]


def test_a_cancel_that_nobody_finishes_is_finished(registry, control, watch):
    registry.attach_flower_run(RUN, 7)
    control.known[7] = FlowerStatus("running", "", "")
    registry.cancel(RUN)
    watch.look(0.0)
    assert registry.run_state(RUN) == "cancelling"
    watch.look(CANCEL_S + 1)
    assert registry.run_state(RUN) == "cancelled" and control.stopped == [7]


def test_a_cancel_after_the_server_app_is_gone_is_quick(registry, control, watch):
    registry.attach_flower_run(RUN, 7)
    control.known[7] = FlowerStatus("finished", "failed", "")
    registry.cancel(RUN)
    watch.look(0.0)
    watch.look(GRACE_S + 1)
    assert registry.run_state(RUN) == "cancelled" and control.stopped == []


def test_a_resumed_run_starts_its_grace_anew(registry, control, watch):
    registry.attach_flower_run(RUN, 7)
    watch.look(0.0)
    registry.fail(RUN, "bank", "train", "x", "y")
    watch.look(1.0)
    registry.reopen(RUN)
    registry.attach_flower_run(RUN, 8)
    watch.look(GRACE_S + 2)
    assert registry.run_state(RUN) == "submitted"
