"""The hold-out: both slices once, rounded and only in the sum, then the verdict; and nothing else is taken."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from protocols.errors import ConfigError, DataError, MalformedMessage, ProtocolError
from protocols.role import Message, Role
from protocols.scorecard.holdout import FeatureHoldout, LabelHoldout, coarse
from tests.protocols.scorecard.simulator import drive, drive_all

ROWS = {"calibration": 40, "test": 70}
ONE = ("platform",)
THREE = ("first", "second", "third")


def parts(seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=count) for name, count in ROWS.items()}


def single(scores: dict[str, np.ndarray]) -> FeatureHoldout:
    return FeatureHoldout("platform", "bank", ONE, scores)


def several(scores: dict[str, dict[str, np.ndarray]], judge=lambda scores: True) -> dict[str, Role]:
    platforms = tuple(scores)
    roles = {name: FeatureHoldout(name, "bank", platforms, part) for name, part in scores.items()}
    return {"bank": LabelHoldout(platforms, ROWS, judge), **roles}


def sums(scores: dict[str, dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: sum(coarse(part[name]).astype(float) for part in scores.values()) / 32 for name in ROWS}


@pytest.mark.parametrize("better", [True, False])
def test_the_bank_learns_rounded_parts_and_the_platform_the_verdict(better: bool) -> None:
    scores, judged, opened = parts(), [], []
    platform = single(scores)
    bank = LabelHoldout(ONE, ROWS, lambda got: judged.append(got) or better)
    drive(bank, platform, on_message=lambda sender, m: m.opening and opened.append((m.opening.kind, m.opening.count)))
    assert platform.result() is better
    assert opened == [("scores.calibration", 40), ("scores.test", 70), ("verdict", 1)]
    assert len(judged) == 1
    for name, part in bank.result().items():
        assert np.abs(part - scores[name]).max() <= 2.0**-6
        assert np.array_equal(part * 32, np.rint(part * 32))


def test_one_platform_sends_its_steps_as_they_are() -> None:
    scores = parts()
    assert [(m.peer, m.kind, m.payload) for m in single(scores).start()] == [
        ("bank", f"scores.{name}", coarse(scores[name]).tobytes()) for name in ROWS]


def test_the_bank_takes_slices_in_order_of_the_right_size_and_once() -> None:
    bank = LabelHoldout(ONE, ROWS, lambda scores: True)
    first = Message("platform", "scores.calibration", bytes(80))
    for wrong in (Message("platform", "scores.test", bytes(140)), Message("platform", first.kind, bytes(78)),
                  Message("platform", "verdict", b"\1"), Message("stranger", first.kind, bytes(80))):
        with pytest.raises(MalformedMessage):
            bank.handle(wrong)
    assert bank.handle(first) == []
    with pytest.raises(MalformedMessage):
        bank.handle(first)
    (verdict,) = bank.handle(Message("platform", "scores.test", bytes(140)))
    assert verdict.payload == b"\1" and bank.expects is None
    with pytest.raises(MalformedMessage):
        bank.handle(Message("platform", "scores.test", bytes(140)))


@pytest.mark.parametrize("message", [
    Message("bank", "verdict", b""), Message("bank", "verdict", b"\2"), Message("bank", "verdict", b"\1\1"),
    Message("bank", "seed", bytes(32)), Message("platform", "seed", bytes(32)), Message("stranger", "verdict", b"\1"),
])
def test_the_platform_takes_only_a_verdict(message: Message) -> None:
    platform = single(parts())
    with pytest.raises(MalformedMessage):
        platform.handle(Message("bank", "verdict", b"\1"))  # nothing was sent yet
    platform.start()
    with pytest.raises(MalformedMessage):
        platform.handle(message)
    assert platform.result() is None


def test_the_verdict_is_taken_once() -> None:
    platform = single(parts())
    platform.start()
    platform.handle(Message("bank", "verdict", b"\0"))
    with pytest.raises(MalformedMessage):
        platform.handle(Message("bank", "verdict", b"\1"))
    assert platform.result() is False


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1025.0, -1025.0])
def test_scores_of_a_model_that_diverged_are_not_sent(bad: float) -> None:
    with pytest.raises(DataError, match="diverged"):
        coarse(np.array([0.0, bad]))
    role = several({name: {"calibration": np.full(40, bad), "test": np.zeros(70)} for name in THREE})["second"]
    with pytest.raises(DataError, match="diverged"):
        role.handle(Message("first", "seed", bytes(32)))
    assert role.expects == "first"


# ---------------------------------------------------------------- several platforms


@pytest.mark.parametrize("count", [2, 3, 6])
@pytest.mark.parametrize("better", [True, False])
def test_of_several_platforms_the_bank_learns_the_sum_and_all_learn_the_verdict(count: int, better: bool) -> None:
    names = tuple(f"p{i}" for i in range(count))
    scores = {name: parts(seed) for seed, name in enumerate(names)}
    roles, sent = several(scores, lambda got: better), []
    drive_all(roles, lambda sender, m: sent.append((sender, m.peer, m.kind, m.opening and m.opening.count)))
    for name, total in sums(scores).items():
        assert np.array_equal(roles["bank"].result()[name], total)
    assert [roles[name].result() for name in names] == [better] * count
    expected = [("p0", name, "seed", None) for name in names[1:]]
    expected += [(name, "bank", f"scores.{part}", rows) for name in names for part, rows in ROWS.items()]
    expected += [("bank", name, "verdict", 1) for name in names]
    assert sorted(sent, key=str) == sorted(expected, key=str)


def test_the_largest_parts_of_many_platforms_add_up() -> None:
    for extreme in (32767 / 32, -32767 / 32):
        scores = {f"p{i}": {name: np.full(rows, extreme) for name, rows in ROWS.items()} for i in range(15)}
        roles = several(scores)
        drive_all(roles)
        assert all((part == 15 * extreme).all() for part in roles["bank"].result().values())


def test_all_messages_but_one_are_uniform_to_the_bank() -> None:
    """For every set of two among three platforms, the words and their sum; the scores are the same each time."""
    scores, seen = {name: parts(seed) for seed, name in enumerate(THREE)}, []
    for _ in range(60):
        words: dict[str, np.ndarray] = {}
        drive_all(several(scores), lambda sender, m, words=words: words.__setitem__(
            sender, np.frombuffer(m.payload, "<u4")) if m.kind == "scores.test" else None)
        first, second, third = (words[name] for name in THREE)
        seen.append([first, second, third, first + second, first + third, second + third])
        assert np.array_equal((first + second + third).view("<i4") / 32, sums(scores)["test"])
    for values in np.stack(seen).transpose(1, 0, 2):
        for part in (values >> 28, values & 15):
            counts, expected = np.bincount(part.ravel(), minlength=16), values.size / 16
            assert ((counts - expected) ** 2 / expected).sum() < 63  # chi², 15 degrees: p = 1e-7


def test_slices_and_platforms_have_their_own_masks() -> None:
    zero = {name: {part: np.zeros(rows) for part, rows in ROWS.items()} for name in THREE}
    roles = several(zero)
    seeds = [m for m in roles["first"].start() if m.kind == "seed"]
    assert [m.peer for m in seeds] == ["second", "third"] and seeds[0].payload != seeds[1].payload
    one, other = roles["second"].handle(Message("first", "seed", seeds[0].payload))
    assert one.payload[:160] != other.payload[:160]
    assert seeds[0].payload not in roles["second"].snapshot() and seeds[0].payload not in roles["first"].snapshot()


class Restarted(Role):
    """A role in a process that dies after every message."""

    def __init__(self, make: Callable[[], Role]):
        self._make, self._role = make, make()

    def _reborn(self, answers: list[Message]) -> list[Message]:
        state, self._role = self._role.snapshot(), self._make()
        self._role.restore(state)
        if self._role.snapshot() != state:
            raise AssertionError("another snapshot after restoring one")
        return answers

    @property
    def expects(self) -> str | None:
        return self._role.expects

    def start(self) -> list[Message]:
        return self._reborn(self._role.start())

    def handle(self, message: Message) -> list[Message]:
        return self._reborn(self._role.handle(message))

    def result(self):
        return self._role.result()

    def snapshot(self) -> bytes:
        return self._role.snapshot()

    def restore(self, state: bytes) -> None:
        self._role.restore(state)


@pytest.mark.parametrize("names", [ONE, THREE])
def test_a_crash_after_every_message_changes_nothing(names: tuple[str, ...]) -> None:
    scores, judged = {name: parts(seed) for seed, name in enumerate(names)}, []
    roles = {name: Restarted(lambda name=name: several(scores, lambda got: judged.append(got) or False)[name])
             for name in ("bank", *names)}
    drive_all(roles)
    assert len(judged) == 1
    assert all(np.array_equal(roles["bank"].result()[name], total) for name, total in sums(scores).items())
    assert [roles[name].result() for name in names] == [False] * len(names)


@pytest.mark.parametrize("message", [
    Message("first", "seed", bytes(31)), Message("first", "seed", bytes(33)), Message("first", "seed", b""),
    Message("bank", "seed", bytes(32)), Message("third", "seed", bytes(32)), Message("bank", "verdict", b"\1"),
    Message("first", "verdict", b"\1"),
])
def test_a_platform_that_waits_for_its_seed_takes_nothing_else(message: Message) -> None:
    role = several({name: parts() for name in THREE})["second"]
    before = role.snapshot()
    with pytest.raises(MalformedMessage):
        role.handle(message)
    assert role.snapshot() == before and role.expects == "first"
    assert len(role.handle(Message("first", "seed", bytes(32)))) == 2 and role.expects == "bank"
    with pytest.raises(MalformedMessage):
        role.handle(Message("first", "seed", bytes(32)))


def test_the_lead_takes_no_seed() -> None:
    role = several({name: parts() for name in THREE})["first"]
    with pytest.raises(MalformedMessage):
        role.handle(Message("first", "seed", bytes(32)))
    role.start()
    with pytest.raises(MalformedMessage):
        role.handle(Message("second", "seed", bytes(32)))
    assert role.expects == "bank"


@pytest.mark.parametrize("message", [
    Message("first", "scores.calibration", bytes(160)), Message("third", "scores.calibration", bytes(160)),
    Message("second", "scores.test", bytes(280)), Message("second", "scores.calibration", bytes(80)),
    Message("second", "scores.calibration", bytes(164)), Message("second", "verdict", b"\1"),
])
def test_the_bank_takes_the_platforms_in_the_plan_s_order(message: Message) -> None:
    bank = LabelHoldout(THREE, ROWS, lambda scores: True)
    for name, rows in ROWS.items():
        assert bank.expects == "first"
        bank.handle(Message("first", f"scores.{name}", bytes(4 * rows)))
    before = bank.snapshot()
    with pytest.raises(MalformedMessage):
        bank.handle(message)
    assert bank.snapshot() == before and bank.expects == "second" and bank.result() is None


def test_masks_that_do_not_cancel_are_refused() -> None:
    roles = several({name: parts(seed) for seed, name in enumerate(("first", "second"))})
    for message in roles["first"].start():
        if message.peer == "bank":
            roles["bank"].handle(Message("first", message.kind, message.payload))
    (wrong, _) = roles["second"].handle(Message("first", "seed", bytes(32)))
    before = roles["bank"].snapshot()
    with pytest.raises(ProtocolError, match="masks do not cancel"):
        roles["bank"].handle(Message("second", wrong.kind, wrong.payload))
    assert roles["bank"].snapshot() == before


@pytest.mark.parametrize(("steps", "taken"), [(2 * 32767, True), (2 * 32767 + 1, False), (-2 * 32767 - 1, False)])
def test_a_sum_beyond_what_the_platforms_can_send_is_refused(steps: int, taken: bool) -> None:
    bank = LabelHoldout(("first", "second"), ROWS, lambda scores: True)
    for name, rows in ROWS.items():
        bank.handle(Message("first", f"scores.{name}", bytes(4 * rows)))
    payload = bytes(156) + (steps % 2**32).to_bytes(4, "little")
    if taken:
        assert bank.handle(Message("second", "scores.calibration", payload)) == []
        return
    with pytest.raises(ProtocolError, match="between -65534 and 65534 steps"):
        bank.handle(Message("second", "scores.calibration", payload))


def test_a_platform_that_is_not_in_the_plan_makes_no_role() -> None:
    with pytest.raises(ConfigError, match="among the platforms"):
        FeatureHoldout("fourth", "bank", THREE, parts())
    with pytest.raises(ConfigError, match="at least one platform"):
        LabelHoldout((), ROWS, lambda scores: True)
