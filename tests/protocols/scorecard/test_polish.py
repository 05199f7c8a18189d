"""Polish: opened scores of the training rows, and further strict steps that lead to the pooled optimum."""
from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from protocols.crypto.fixed_point import to_fixed
from protocols.errors import DataError, PolicyRefused, TrustError
from protocols.policy import Policy
from protocols.role import SUM, Message
from protocols.scorecard import layout as fixed
from protocols.scorecard import logistic, opened, reopening
from protocols.scorecard.whitening import Whitening
from tests.protocols.scorecard.problems import Problem, polished_in_floats, power_estimate, problem
from tests.protocols.scorecard.simulator import drive, drive_all
from tests.protocols.scorecard.test_training_many import Recorded, Restarted, flipped, parties
from tests.protocols.scorecard.test_training_refusals import assert_only_this_is_taken
from tests.protocols.scorecard.test_training_resume import Pair, drive_with_crashes

WITHIN = 1e-3  # the bar, whitened units
FLOOD = 2.0**-12  # of what is released


def polished(rows: int, bank: int, platform: int, *, polish: int, polish_steps: int = 32, **settings) -> Problem:
    return replace(problem(rows, bank, platform, **settings), polish=polish, polish_steps=polish_steps)


def pooled(task: Problem) -> np.ndarray:
    fit = logistic.fit(np.hstack([task.bank, task.platform]), task.labels, task.l2)
    return np.r_[fit.intercept, fit.coefficients]


def task_start(task: Problem) -> Any:
    """Where the strict steps begin: the bank's own model."""
    return SimpleNamespace(own=np.r_[task.own_model, np.zeros(task.platform.shape[1])])


def distance(task: Problem, *results) -> float:
    return float(np.abs(np.concatenate([r.own for r in results]) - pooled(task)).max())


def test_two_openings_lead_to_the_pooled_optimum(bank_keys, platform_keys) -> None:
    task = polished(500, 2, 3, steps=8, l2=0.01, seed=2, polish=2, polish_steps=10)
    roles = task.label_trainer(bank_keys), task.feature_trainer(platform_keys)
    drive(*roles)
    assert distance(task, *(role.result() for role in roles)) < WITHIN
    assert roles[0].progress == roles[1].progress == (fixed.POWER_PASSES + 8 + 20 + 2,) * 2


@pytest.mark.slow
@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(400, 900), bank=st.integers(1, 3), platform=st.integers(1, 4),
       l2=st.sampled_from([0.0, 0.001, 0.05]), seed=st.integers(0, 2**20))
def test_the_default_steps_lead_there_for_any_shape(bank_keys, platform_keys, rows, bank, platform, l2, seed) -> None:
    task = polished(rows, bank, platform, steps=32, l2=l2, seed=seed, polish=2)
    roles = task.label_trainer(bank_keys), task.feature_trainer(platform_keys)
    drive(*roles)
    assert distance(task, *(role.result() for role in roles)) < WITHIN


@st.composite
def shapes(draw: st.DrawFn) -> Problem:
    """What a policy lets train: 50 rows a coefficient; correlated columns, events from 2 in 100 to half of the rows."""
    bank, platform = draw(st.integers(1, 8)), draw(st.integers(1, 16))
    total = 1 + bank + platform
    rows, rate = draw(st.integers(max(500, 50 * total), 4000)), draw(st.floats(0.02, 0.5))
    assume(rows * rate >= 3 * total)
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    raw = rng.normal(size=(rows, total - 1)) + draw(st.floats(0, 0.8)) * rng.normal(size=(rows, 1))
    signal = raw @ rng.normal(size=total - 1)
    chance = np.argsort(draw(st.floats(0.3, 1.5)) * signal / signal.std() + rng.logistic(size=rows))
    labels = np.zeros(rows)
    labels[chance[-math.ceil(rate * rows):]] = 1
    sides = (Whitening.fit(side).transform(side) for side in (raw[:, :bank], raw[:, bank:]))
    return Problem(*sides, labels, 32, draw(st.sampled_from([0.001, 0.005, 0.02, 0.1])), polish_steps=32)


@settings(max_examples=25, deadline=None)
@given(shapes())
def test_two_openings_or_where_they_are_refused_three_lead_there_in_floats(task: Problem) -> None:
    grid = fixed.eigenvalue_grid(power_estimate(task))
    task = replace(task, polish=2)
    if refused(task):
        task = replace(task, polish=3)
    assert np.abs(polished_in_floats(task, grid) - pooled(task)).max() < WITHIN - FLOOD


def refused(task: Problem) -> bool:
    try:
        reopening.check_events(task.labels, 1 + task.bank.shape[1] + task.platform.shape[1], task.polish, task.l2)
    except DataError:
        return True
    return False


@pytest.mark.parametrize(("events", "polish", "l2", "told"), [
    (39, 2, 0.001, True), (40, 2, 0.001, False), (461, 2, 0.0, True), (460, 2, 0.0, False), (39, 2, 0.02, False),
    (39, 1, 0.0, False), (39, 3, 0.0, False), (39, 0, 0.0, False),
])
def test_two_openings_need_eight_events_a_coefficient_or_a_firm_ridge(events, polish, l2, told) -> None:
    labels = np.r_[np.ones(events), np.zeros(500 - events)]
    if not told:
        reopening.check_events(labels, 5, polish, l2)
        return
    with pytest.raises(DataError, match="plan polish = 3") as refusal:
        reopening.check_events(labels, 5, polish, l2)
    assert str(events) not in str(refusal.value)


def test_a_bank_with_few_events_refuses_before_anything_is_opened(bank_keys, platform_keys) -> None:
    task = polished(250, 2, 4, steps=1, polish=2, polish_steps=1)
    task.labels[np.flatnonzero(task.labels)[8 * 7 - 1:]] = 0
    bank, platform = task.label_trainer(bank_keys), task.feature_trainer(platform_keys)
    sent: list[Message] = []
    with pytest.raises(DataError, match="expected at least 8 events for each coefficient"):
        drive(bank, platform, on_message=lambda sender, message: sent.append(message))
    assert all(message.opening is None for message in sent)


def test_several_platforms_open_their_sum_only_and_lead_to_the_same(bank_keys, platform_keys) -> None:
    task, sent = polished(500, 2, 4, steps=2, l2=0.1, polish=1, polish_steps=6, seed=4), []
    roles = parties(task, [3, 1], bank_keys, platform_keys)
    drive_all({name: Recorded(role, sent) for name, role in roles.items()})
    assert sent.count(("scores.training", "bank", 500)) == 2
    near = distance(task, *(role.result() for role in roles.values()))
    assert near < distance(task, task_start(task)) / 8


def test_the_bank_learns_the_scores_of_the_shared_weights_and_nothing_else_is_opened(bank_keys, platform_keys) -> None:
    task, opening = polished(300, 2, 3, steps=2, polish=1, polish_steps=1, seed=6), []
    bank, platform = task.label_trainer(bank_keys), task.feature_trainer(platform_keys)

    def on_message(sender: str, message: Message) -> None:
        if message.opening is not None:
            opening.append((message.opening.kind, message.opening.learner, message.opening.count))
        if message.kind == opened.KIND:
            bits = bank._layout.weight_bits
            weights.append(np.concatenate([_opened(bank, platform, "own", "peer", bits),
                                           _opened(bank, platform, "peer", "own", bits)]))

    weights: list[np.ndarray] = []
    drive(bank, platform, on_message=on_message)
    assert sorted(opening) == [
        ("coefficients", "bank", 3), ("coefficients", "platform", 3), ("scores.training", "bank", 300),
        ("step.norms", "bank", 2), ("step.size", "platform", 1),
    ]
    columns = to_fixed(np.hstack([task.bank_columns, task.platform]), 12) / 2.0**12
    errors = bank._anchor - columns @ weights[0]
    assert np.abs(errors).max() <= 2.0**-17 * 1.001
    assert errors.std() == pytest.approx(2.0**-16 / np.sqrt(12), rel=0.2)


def _opened(bank, platform, at_bank: str, at_platform: str, bits: int) -> np.ndarray:
    from protocols.crypto.ring import RING

    return RING.to_float(RING.add(bank._s[f"w_{at_bank}"], platform._s[f"w_{at_platform}"])) / 2.0**bits


def test_a_crash_after_any_message_of_an_opening_changes_nothing(bank_keys, platform_keys) -> None:
    task = polished(250, 2, 3, steps=1, polish=1, polish_steps=2, seed=21)
    pair = Pair(task, bank_keys, platform_keys)
    kinds = ("scores.request", "scores.reply", "scores.training", "coefficients")
    after = fixed.POWER_PASSES + 1
    assert drive_with_crashes(pair, lambda done, kind: kind in kinds or done in (after, after + 1)) >= 12
    near = distance(task, *(pair.roles[name].result() for name in ("bank", "platform")))
    whole = task.label_trainer(bank_keys), task.feature_trainer(platform_keys)
    drive(*whole)
    assert near == pytest.approx(distance(task, *(role.result() for role in whole)), abs=2 * 2.0**-11)


@pytest.mark.slow
def test_a_crash_after_every_message_of_several_platforms_changes_nothing(bank_keys, platform_keys) -> None:
    task = polished(300, 2, 4, steps=8, polish=2, polish_steps=20, seed=22)
    roles = {name: Restarted(name, role, task, bank_keys, platform_keys, [2, 2])
             for name, role in parties(task, [2, 2], bank_keys, platform_keys).items()}
    drive_all(roles)
    assert distance(task, *(role.result() for role in roles.values())) < WITHIN


def test_at_every_point_of_an_opening_only_the_message_that_is_due_is_taken(bank_keys, platform_keys) -> None:
    task, checked = polished(220, 2, 2, steps=1, polish=1, polish_steps=1, seed=31), set()
    roles = {"bank": task.label_trainer(bank_keys), "platform": task.feature_trainer(platform_keys)}

    def on_message(sender: str, message: Message) -> None:
        if not message.kind.startswith("scores."):
            return
        checked.add((message.peer, message.kind))
        assert_only_this_is_taken(roles[message.peer], message, sender)

    drive(*roles.values(), on_message=on_message)
    assert len(checked) == 5


def test_a_hub_that_changes_the_sum_of_an_opening_is_caught(bank_keys, platform_keys) -> None:
    task = polished(220, 2, 4, steps=1, polish=1, polish_steps=1, seed=3)
    roles = parties(task, [2, 2], bank_keys, platform_keys)

    def on_message(sender: str, message: Message) -> None:
        if sender == SUM and message.kind == "scores.reply":
            with pytest.raises(TrustError, match="nothing was opened"):
                roles["bank"].handle(Message(SUM, message.kind, flipped(message.payload)))
            raise InterruptedError

    with pytest.raises(InterruptedError):
        drive_all(roles, on_message)


def test_openings_count_among_the_hints_about_a_key(bank_keys, platform_keys) -> None:
    task = replace(problem(220, 2, 4), polish=200, polish_steps=1)
    setup = task.feature_trainer(platform_keys).start()[0]
    with pytest.raises(DataError, match="with 200 openings"):
        task.label_trainer(bank_keys).handle(Message("platform", "setup", setup.payload))


def test_slopes_lie_between_score_and_expectation_and_are_tangents_where_nothing_is_expected() -> None:
    task = problem(600, 3, 3, seed=2)
    best = logistic.fit(task.bank, task.labels, 0.0).score(task.bank)
    rate = logistic.sigmoid(best)
    assert np.abs(reopening.secant_slopes(best, task.labels, 0.0) - rate * (1 - rate)).max() < 1e-6
    for scores in (3 * best - 1, 0.3 * best, np.zeros(600)):
        slopes = reopening.secant_slopes(scores, task.labels, 0.001)
        assert slopes.min() > 0 and slopes.max() <= 0.25
    stretched = 2 * best
    between = (logistic.sigmoid(stretched) - rate) / best
    assert np.abs(reopening.secant_slopes(stretched, task.labels, 0.0) - between).max() < 1e-5


@pytest.mark.parametrize(("openings", "earlier", "rank", "fits"), [
    (2, 0, 8, True), (2, 0, 7, False), (4, 4, 32, True), (4, 5, 32, False), (1, 0, 3, False),
])
def test_a_quarter_of_the_rank_is_the_limit(openings, earlier, rank, fits) -> None:
    policy = Policy.model_validate({"purposes": ["p"], "peers": {"platform": {"fingerprint": "0" * 64}}})
    if fits:
        policy.check_openings(openings, earlier, rank)
        return
    with pytest.raises(PolicyRefused, match="maximum_opened_rank"):
        policy.check_openings(openings, earlier, rank)
