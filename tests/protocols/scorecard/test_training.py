"""Both roles of strict training in one process, against the same algorithm in floats on the joined columns."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.crypto import elementwise
from protocols.crypto.ring import RING
from protocols.errors import PolicyRefused, ProtocolError
from protocols.policy import Policy
from protocols.role import Message
from protocols.scorecard import layout as fixed
from protocols.scorecard.training import RELEASE_FLOOD_BITS
from tests.protocols.scorecard import problems
from tests.protocols.scorecard.problems import Problem, problem
from tests.protocols.scorecard.simulator import drive

PRECISION = 2.0 ** (1 - RELEASE_FLOOD_BITS)  # declared: 2^-11 in whitened units
GRID_DOUBT = 0.002  # relative; an estimate this close to a grid point may fall on either side


def train(task: Problem, bank_keys, platform_keys, on_message=None):
    """Both results of one training."""
    bank, platform = task.label_trainer(bank_keys), task.feature_trainer(platform_keys)
    drive(bank, platform, on_message=on_message)
    return bank.result(), platform.result()


def joined(bank, platform) -> np.ndarray:
    return np.r_[bank.own, platform.own]


def assert_matches(task: Problem, bank, platform, rows: int | None = None) -> None:
    """Same public facts on both sides, the grid that six power passes give, coefficients to the declared precision."""
    assert bank.grid == platform.grid and bank.rows == platform.rows == len(task.labels)
    assert (bank.columns_peer, platform.columns_peer) == (task.platform.shape[1], task.bank.shape[1] + 1)
    estimate = problems.power_estimate(task, rows)
    assert bank.grid in {fixed.eigenvalue_grid(estimate * (1 + doubt)) for doubt in (-GRID_DOUBT, 0, GRID_DOUBT)}
    difference = np.abs(joined(bank, platform) - problems.trained_in_floats(task, bank.grid))
    assert difference.max() <= PRECISION


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(200, 700), bank=st.integers(1, 4), platform=st.integers(1, 6), steps=st.integers(1, 3),
    l2=st.sampled_from([0.0, 0.001, 0.1]), seed=st.integers(0, 2**20),
)
def test_training_on_shares_is_training_on_the_joined_columns(
    bank_keys, platform_keys, rows, bank, platform, steps, l2, seed
) -> None:
    task = problem(rows, bank, platform, steps=steps, l2=l2, seed=seed)
    assert_matches(task, *train(task, bank_keys, platform_keys))


@pytest.mark.slow
@pytest.mark.timeout(900)
@settings(max_examples=10, deadline=None)
@given(
    rows=st.integers(200, 20_000), bank=st.integers(1, 20), platform=st.integers(1, 45), steps=st.integers(1, 12),
    l2=st.sampled_from([0.0, 0.001, 0.1, 1.0]), seed=st.integers(0, 2**20),
)
def test_training_on_shares_is_training_on_the_joined_columns_for_larger_shapes(
    bank_keys, platform_keys, rows, bank, platform, steps, l2, seed
) -> None:
    rows = max(rows, 20 * (bank + platform))
    task = problem(rows, bank, platform, steps=steps, l2=l2, seed=seed)
    assert_matches(task, *train(task, bank_keys, platform_keys))


def test_the_step_does_not_depend_on_how_one_over_n_is_rounded(bank_keys, platform_keys) -> None:
    """1/496 is rounded up by 2.9 % in five bits; uncorrected, that would announce the next grid point."""
    task = problem(496, 2, 3, steps=1, seed=0)
    excess = fixed.power_excess(fixed.choose(496, 6, 1), 496)
    estimate = problems.power_estimate(task)
    assert fixed.eigenvalue_grid(estimate * excess) > fixed.eigenvalue_grid(estimate)
    assert_matches(task, *train(task, bank_keys, platform_keys))


def test_power_passes_run_on_a_sample_of_many_rows(bank_keys, platform_keys, monkeypatch) -> None:
    monkeypatch.setattr(fixed, "POWER_ROWS", 256)
    task = problem(700, 2, 3, steps=2, seed=5)
    assert_matches(task, *train(task, bank_keys, platform_keys), rows=256)


def test_enough_steps_reach_the_anchored_solution(bank_keys, platform_keys) -> None:
    """One exact re-weighted least-squares step around the bank's own score, which itself is not yet there."""
    task = problem(600, 3, 4, steps=16, l2=0.01, seed=3)
    solution = problems.anchored_solution(task)
    got = joined(*train(task, bank_keys, platform_keys))
    before = np.r_[task.own_model, np.zeros(4)]
    assert np.abs(got - solution).max() < 2 * PRECISION + 0.02 * np.abs(before - solution).max()


def test_the_step_is_safe_for_the_joint_columns(bank_keys, platform_keys) -> None:
    """A platform column that copies a bank column nearly doubles the largest eigenvalue of the bank alone."""
    rng = np.random.default_rng(8)
    base = problem(600, 3, 3, steps=3, seed=8)
    copied = base.bank[:, :3] + 0.1 * rng.normal(size=(600, 3))
    task = Problem(base.bank, (copied - copied.mean(0)) / copied.std(0), base.labels, 3, 0.001)
    bank, platform = train(task, bank_keys, platform_keys)
    largest = problems.largest_eigenvalue(task)
    assert largest > 1.5 * problems.reference(task).bank_eigenvalue
    assert 1.05 * 2.0 ** (bank.grid / 2) >= largest
    assert bank.grid == platform.grid


def test_nothing_but_the_declared_openings_is_opened(bank_keys, platform_keys) -> None:
    task, opened = problem(300, 2, 3), []

    def on_message(sender: str, message: Message) -> None:
        if message.opening is not None:
            opened.append((message.opening.kind, message.opening.learner, message.opening.count))

    train(task, bank_keys, platform_keys, on_message)
    assert sorted(opened) == [
        ("coefficients", "bank", 3), ("coefficients", "platform", 3), ("step.norms", "bank", 2),
        ("step.size", "platform", 1),
    ]


def test_two_trainings_with_the_same_keys_share_no_ciphertext_and_no_mask(bank_keys, platform_keys) -> None:
    """The same data twice: coefficients agree to the declared precision, no large payload repeats but the keys."""
    task, seen = problem(300, 2, 3), []

    def on_message(sender: str, message: Message) -> None:
        if len(message.payload) > 32 and message.kind != "setup":
            seen.append(message.payload)

    first = joined(*train(task, bank_keys, platform_keys, on_message))
    half = len(seen)
    second = joined(*train(task, bank_keys, platform_keys, on_message))
    assert len(seen) == 2 * half and len(set(seen)) == len(seen)
    assert not np.array_equal(first, second)  # floods are drawn anew
    assert np.abs(first - second).max() <= PRECISION


def test_too_few_rows_for_the_coefficients_are_refused_before_anything_is_encrypted(bank_keys, platform_keys) -> None:
    policy = Policy.model_validate({"purposes": ["p"], "peers": {"platform": {"fingerprint": "0" * 64}}})
    task = problem(300, 2, 4)  # 7 coefficients need 350 rows
    bank = task.label_trainer(bank_keys, check_rows=policy.check_rows)
    setup = task.feature_trainer(platform_keys).start()[0]
    with pytest.raises(PolicyRefused, match="350 training rows, there are 300"):
        bank.handle(Message("platform", "setup", setup.payload))


@pytest.mark.parametrize("factor", [0.3, 3.0])
def test_an_impossible_growth_of_the_power_iteration_ends_the_training(bank_keys, platform_keys, factor) -> None:
    """The bank's own block bounds the growth from below, the whitened columns from above."""
    task = problem(300, 2, 3)
    bank, forged = task.label_trainer(bank_keys), []

    def on_message(sender: str, message: Message) -> None:
        if message.kind == "norms.reply":
            forged.append(_with_growth(factor, message.payload, bank))
            with pytest.raises(ProtocolError, match="power iteration"):
                bank.handle(Message("platform", "norms.reply", forged[0]))
            raise InterruptedError

    with pytest.raises(InterruptedError):
        drive(bank, task.feature_trainer(platform_keys), on_message=on_message)
    assert bank.result() is None


def _with_growth(factor: float, payload: bytes, bank) -> bytes:
    """The platform's share of the two squared norms, changed so that they open to growth = factor."""
    vectors = bank._norm_vectors(0)
    bank_share = bank._squares(vectors, elementwise.finish(bank._keys, payload[:-32], vectors.shape[1]))
    first = RING.to_ints(RING.add(bank_share, RING.from_bytes(payload[-32:], 2)))[0]
    return payload[:-32] + RING.to_bytes(RING.sub(RING.encode_ints([first, round(first * factor**2)]), bank_share))
