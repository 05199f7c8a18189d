"""Runs that Flower has lost go on under another Flower run, a bounded number of times."""
from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from coordinator.flower.adapter import FlowerStatus
from coordinator.registry import ATTEMPTS, Registry
from coordinator.watch import BACKOFF_S, CANCEL_S, GRACE_S, SUBMIT_S, UNREACHABLE_S, RunWatch
from protocols.errors import SealscoreError

RUN, OTHER = "r-00000000000000aa", "r-00000000000000bb"
LONG_S = 10_000.0
RUNNING, FAILED = FlowerStatus("running", "", ""), FlowerStatus("finished", "failed", "")


class FakeControl:
    def __init__(self):
        self.known: dict[int, FlowerStatus] = {}
        self.stopped: list[int] = []
        self.submitted: list[str] = []
        self.away = False
        self.at_submit = lambda: None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def status(self, flower_run_id):
        if self.away:
            raise SealscoreError("the SuperLink does not answer")
        return self.known.get(flower_run_id)

    def stop(self, flower_run_id):
        self.stopped.append(flower_run_id)

    def submit(self, run):
        self.at_submit()
        self.submitted.append(run)
        self.known[100 + len(self.submitted)] = RUNNING
        return 100 + len(self.submitted)


class World:
    """The registry's run, Flower, the seats, and both clocks."""

    def __init__(self, registry: Registry):
        self.registry, self.control = registry, FakeControl()
        self.taken: set[str] = set()
        self.wall = datetime.now(UTC)
        self.now = 0.0
        registry.create_run(RUN, "{}", "0" * 64)
        self.restart()

    def restart(self) -> None:
        """Another process of the coordinator's node."""
        self.watch = RunWatch(self.registry, lambda: self.control, lambda run: run in self.taken, lambda: self.wall)

    def pass_s(self, seconds: float) -> None:
        self.now += seconds
        self.wall += timedelta(seconds=seconds)

    def look(self, after_s: float = 0.0) -> None:
        self.pass_s(after_s)
        self.watch.look(self.now)

    def conduct(self, flower_run: int = 7) -> None:
        """A ServerApp conducts the run."""
        if flower_run == 7:
            self.registry.attach_flower_run(RUN, 7)
        self.control.known[flower_run] = RUNNING
        self.registry.conducted(RUN, str(flower_run))
        self.taken.add(RUN)

    def kill(self) -> None:
        """Flower has not noticed yet."""
        self.taken.discard(RUN)

    @property
    def numbers(self) -> list[int]:
        return [attempt["number"] for attempt in self.registry.attempts(RUN)]


@pytest.fixture
def world(registry: Registry) -> World:
    return World(registry)


def test_a_conducted_run_is_left_alone(world: World):
    world.conduct()
    for _ in range(3):
        world.look(LONG_S)
    assert world.registry.standing(RUN) == ("submitted", "7") and world.control.submitted == []


def test_a_killed_server_app_is_followed_by_another_before_flower_notices(world: World):
    world.conduct()
    world.registry.set_state(RUN, "agreeing")
    world.kill()
    world.look(LONG_S)
    assert world.registry.standing(RUN) == ("agreeing", "101")  # neither failed in between nor set back
    assert world.control.stopped == [] and world.numbers == [1, 2]
    assert world.registry.attempts(RUN)[0]["cause"] == "its ServerApp is gone"
    world.conduct(101)
    world.look(LONG_S)
    assert world.control.submitted == [RUN]


@pytest.mark.parametrize(("status", "words"), [(FAILED, "ended early"), (None, "does not know")])
def test_one_that_never_got_to_conduct_has_a_grace(world: World, status: FlowerStatus | None, words: str):
    world.registry.attach_flower_run(RUN, 7)
    if status:
        world.control.known[7] = status
    world.look(LONG_S)
    assert world.control.submitted == []
    world.look(GRACE_S + 1)
    assert world.control.submitted == [RUN] and words in world.registry.attempts(RUN)[0]["cause"]


def test_a_flower_run_that_waits_for_its_turn_is_waited_for(world: World):
    world.registry.attach_flower_run(RUN, 7)
    world.control.known[7] = FlowerStatus("pending", "", "")
    for _ in range(3):
        world.look(LONG_S)
    assert world.control.submitted == []


def test_attempts_follow_each_other_slower_and_slower_and_end(world: World):
    world.conduct()
    for number in range(1, ATTEMPTS):
        world.kill()
        pause_s = BACKOFF_S * 2 ** (number - 1)
        world.wall = datetime.fromisoformat(world.registry.attempts(RUN)[-1]["started_at"])
        world.look(pause_s - 1)
        assert world.numbers[-1] == number
        world.restart()  # what counts is in the registry
        world.look(2)
        assert world.numbers[-1] == number + 1
        world.conduct(100 + number)
    world.kill()
    world.look(1)
    row = world.registry.run(RUN)
    assert row["state"] == "failed" and row["party"] == "coordinator" and len(world.control.submitted) == ATTEMPTS - 1
    assert f"lost {ATTEMPTS} times" in row["cause"] and f"runs resume {RUN}" in row["next_step"]


def test_a_clock_that_was_set_back_holds_nobody_up(world: World):
    world.conduct()
    world.kill()
    world.wall -= timedelta(days=1)
    world.look()
    assert world.numbers == [1, 2]


def test_a_run_of_a_registry_without_attempts_goes_on(world: World):
    world.registry.attach_flower_run(RUN, 7)
    with world.registry._write() as connection:
        connection.exec_driver_sql("DELETE FROM attempts")
    world.control.known[7] = FAILED
    world.look()
    world.look(GRACE_S + 1)
    assert world.numbers == [2]


def test_one_that_was_never_submitted_fails(world: World):
    world.look()
    world.look(SUBMIT_S + 1)
    assert "never submitted" in world.registry.run(RUN)["cause"] and world.control.submitted == []


# -- cancelled meanwhile


def test_a_cancel_during_the_submission_wins(world: World):
    world.conduct()
    world.kill()
    world.control.at_submit = lambda: world.registry.cancel(RUN)
    world.look(LONG_S)
    assert world.registry.standing(RUN) == ("cancelling", "7") and world.numbers == [1]
    assert world.control.stopped == [101]
    world.look(1)
    assert world.registry.run_state(RUN) == "cancelled" and world.control.submitted == [RUN]


def test_a_cancel_that_nobody_finishes_is_finished(world: World):
    world.conduct()
    world.registry.cancel(RUN)
    world.look()
    assert world.registry.run_state(RUN) == "cancelling"
    world.look(CANCEL_S + 1)
    assert world.registry.run_state(RUN) == "cancelled" and world.control.stopped == [7]


def test_a_cancel_after_the_server_app_is_gone_is_quick(world: World):
    world.conduct()
    world.kill()
    world.registry.cancel(RUN)
    world.look()
    assert world.registry.run_state(RUN) == "cancelled" and world.control.submitted == []


def test_a_cancelled_run_is_closed_without_a_superlink(world: World):
    world.conduct()
    world.control.away = True
    world.registry.cancel(RUN)
    world.look()
    world.look(CANCEL_S + 1)
    assert world.registry.run_state(RUN) == "cancelled"


# -- a SuperLink that is away


def test_a_superlink_that_comes_back_costs_no_attempt(world: World):
    world.registry.attach_flower_run(RUN, 7)
    world.control.known[7] = RUNNING
    world.control.away = True
    world.look()
    world.look(UNREACHABLE_S - 1)
    world.control.away = False
    world.look(1)
    world.control.away = True
    world.look(UNREACHABLE_S - 1)
    assert world.registry.standing(RUN) == ("submitted", "7") and world.numbers == [1]


def test_a_superlink_that_stays_away_ends_what_nobody_conducts(world: World):
    world.conduct()
    world.control.away = True
    world.look()
    world.look(UNREACHABLE_S + 1)
    assert world.registry.run_state(RUN) == "submitted"
    world.control.submit = lambda run: world.control.status(0)
    world.kill()
    world.look()
    row = world.registry.run(RUN)
    assert row["state"] == "failed" and "no SuperLink for 601 s" in row["cause"] and "does not answer" in row["cause"]


def test_one_run_does_not_hold_up_another(world: World):
    world.conduct()
    world.registry.create_run(OTHER, "{}", "0" * 64)
    world.registry.attach_flower_run(OTHER, 8)
    world.registry.conducted(OTHER, "8")
    world.kill()

    def refuse(run: str) -> int:
        if run == RUN:
            raise SealscoreError("the SuperLink answers HTTP 500")
        return 200

    world.control.submit = refuse
    world.look(LONG_S)
    assert world.registry.standing(OTHER)[1] == "200" and world.registry.standing(RUN)[1] == "7"


def test_a_resumed_run_starts_its_grace_anew(world: World):
    world.registry.attach_flower_run(RUN, 7)
    world.look()
    world.registry.fail(RUN, "bank", "train", "x", "y")
    world.look(1)
    world.registry.reopen(RUN)
    world.registry.attach_flower_run(RUN, 8)
    world.look(GRACE_S + 1)
    assert world.registry.standing(RUN) == ("submitted", "8")
