"""Attacks on labels: from gradients, from residuals, from released coefficients, from counts of two runs."""
from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

from protocols.commons.cells import histogram, width
from protocols.commons.encoding import CommonSettings
from protocols.crypto.ring import RING
from protocols.errors import PolicyRefused
from protocols.policy import Policy
from protocols.scorecard import layout as fixed
from protocols.scorecard.feature_party import feature_trainer
from protocols.scorecard.label_party import LabelTrainer
from protocols.scorecard.training import TrainingConfig
from protocols.scorecard.whitening import Whitening
from tests.attacks.watching import Pair, Watched
from tests.protocols.commons.banks import NEARLY_EXACT, customers, roles_for
from tests.protocols.scorecard.simulator import drive, drive_all

POLICY = Policy(purposes=("credit-scoring",), peers={"platform": {"fingerprint": "0" * 64}})


def alone(pair: Pair, bits: int) -> np.ndarray:
    """What the platform holds of a vector without the bank: its share."""
    return RING.to_float(pair.platform) / 2.0**bits


def ranked_right(scores: np.ndarray, labels: np.ndarray) -> float:
    """AUC of scores for labels."""
    order = np.argsort(np.argsort(scores)) + 1.0
    positives = labels == 1
    count = positives.sum()
    return float((order[positives].sum() - count * (count + 1) / 2) / (count * (len(labels) - count)))


# ---------------------------------------------------------------- gradients in the clear (small batch)


def labels_from_gradient(columns: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Platform: solve X^T r = g for r; who defaulted has a negative residual (Tan et al., arXiv 2205.04166)."""
    residual, *_ = np.linalg.lstsq(columns.T, gradient, rcond=None)
    return (residual < 0).astype(float)


def test_labels_from_the_gradient_of_a_small_batch(small_batch: Watched) -> None:
    task, bits, first = small_batch.task, small_batch.layout.gradient_bits, small_batch.gradients[0]
    weak = labels_from_gradient(task.platform, first.opened(bits))
    assert np.array_equal(weak, task.labels), "every label from one gradient"
    ours = [labels_from_gradient(task.platform, alone(pair, bits)) for pair in small_batch.gradients]
    assert np.mean([guess == task.labels for guess in ours]) < 0.95, "coins"


def counts_from_gradient(columns: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Platform: of a model that starts from zero, g_j = n_j / 2 - (defaults in level j)."""
    return np.rint(columns.sum(axis=0) / 2 - gradient)


def test_label_counts_from_one_hot_columns(one_hot: Watched) -> None:
    task, bits, first = one_hot.task, one_hot.layout.gradient_bits, one_hot.gradients[0]
    truth = task.platform.T @ task.labels
    assert np.array_equal(counts_from_gradient(task.platform, first.opened(bits)), truth)
    assert np.abs(counts_from_gradient(task.platform, alone(first, bits)) - truth).min() > len(task.labels)


# ---------------------------------------------------------------- the norm attack on embeddings


def defaulters_by_norm(per_row: np.ndarray) -> np.ndarray:
    """Platform: the length of what comes back for a row; the rarer class gets the longer one (arXiv 2102.08504)."""
    return np.abs(per_row)


def test_labels_from_the_norm_of_what_comes_back_per_row(training: Watched) -> None:
    """A split network returns dL/d(embedding) = (p - y)·w for every row; ours leaves a share of the residual there."""
    labels, bits, first = training.task.labels, training.layout.residual_bits, training.residuals[0]
    assert labels.mean() < 0.4
    assert ranked_right(defaulters_by_norm(first.opened(bits)), labels) > 0.9
    for pair in training.residuals:
        assert 0.35 < ranked_right(defaulters_by_norm(alone(pair, bits)), labels) < 0.65


def test_nothing_per_row_comes_to_the_platform_but_shares(training: Watched) -> None:
    """Payloads of a size that grows with the rows are requests and replies under a key or a mask."""
    rows = len(training.task.labels)
    kinds = {message.kind for sender, message in training.tape
             if sender == "bank" and len(message.payload) >= rows and message.kind != "setup"}
    assert kinds == {"forward.request", "forward.reply", "residual.reply", "backward.request", "backward.reply",
                     "norms.request"}


# ---------------------------------------------------------------- released coefficients with few rows


class Released:
    """A training whose row rule was left out: the bank has an intercept only, so all else is X^T y."""

    def __init__(self, rows: int, columns: int, rate: float, keys, other_keys, seed: int = 3):
        rng = np.random.default_rng(seed)
        self.columns = Whitening.fit(rng.normal(size=(rows, columns))).transform(rng.normal(size=(rows, columns)))
        self.columns = Whitening.fit(self.columns).transform(self.columns)
        self.labels = np.zeros(rows)
        self.labels[rng.choice(rows, int(rate * rows), replace=False)] = 1
        model = np.array([np.log(self.labels.mean() / (1 - self.labels.mean()))])

        def config(party: str) -> TrainingConfig:
            return TrainingConfig(party, ("bank",), ("platform",), 8, 0.0, lambda rows, coefficients: None, 2**26)

        bank = LabelTrainer(np.ones((rows, 1)), self.labels, model, keys, config("bank"))
        platform = feature_trainer({"bank": self.columns}, lambda: other_keys, config("platform"))
        drive(bank, platform)
        self.layout, self.result = platform._layout, platform.result()


def labels_from_coefficients(released: Released) -> np.ndarray:
    """Platform: coefficients are A·X^T y for a matrix A that the public steps give; then the sparsest y that fits."""
    columns, defaults = released.columns, int(released.labels.sum())
    sums = np.linalg.solve(_steps(released, defaults), released.result.own)
    tolerance = np.full(len(sums), 0.05)
    fit = linprog(np.ones(len(columns)), A_ub=np.r_[columns.T, -columns.T],
                  b_ub=np.r_[sums + tolerance, tolerance - sums], A_eq=np.ones((1, len(columns))), b_eq=[defaults],
                  bounds=(0, 1), method="highs")
    likely = np.zeros(len(columns)) if fit.x is None else fit.x
    guess = np.zeros(len(columns))
    guess[np.argsort(-likely)[:defaults]] = fit.x is not None
    return guess


def _steps(released: Released, defaults: int) -> np.ndarray:
    """A: what eight accelerated steps from zero make of X^T y; default rate and step size are known."""
    columns, layout, rows = released.columns, released.layout, len(released.columns)
    rate = defaults / rows
    shift = 2.0 ** (layout.weight_bits - layout.gradient_bits)
    step = fixed.scale(fixed.learning_rate(released.result.grid, 0.0) / rows * shift)
    length, gram = step.constant / 2.0**step.shift / shift, columns.T @ columns
    now = before = np.zeros_like(gram)
    for _ in range(released.result.steps):
        point = now + fixed.MOMENTUM / 16 * (now - before)
        before, now = now, point + length * (np.eye(len(gram)) - rate * (1 - rate) * gram @ point)
    return now


def defaulters_found(released: Released) -> float:
    """Share of the defaulters among those whom the attack names."""
    return float(labels_from_coefficients(released)[released.labels == 1].mean())


def test_labels_from_coefficients_of_few_rows(keys, other_keys) -> None:
    assert defaulters_found(Released(128, 32, 0.05, keys, other_keys)) > 0.9, "n = 4 d: nearly every defaulter"
    with pytest.raises(PolicyRefused, match="at least 1650 training rows"):
        POLICY.check_rows(128, 32 + 1)
    allowed = Released(450, 8, 0.05, keys, other_keys)  # n = 50 (8 + 1): the fewest rows that a policy lets through
    POLICY.check_rows(450, 8 + 1)
    with pytest.raises(PolicyRefused):
        POLICY.check_rows(449, 8 + 1)
    assert defaulters_found(allowed) < 0.35


# ---------------------------------------------------------------- counts of two runs


def cells_of_the_one(with_one: np.ndarray, without: np.ndarray, columns: dict) -> list[int]:
    """All other banks together: in which cell of each column the counts of two runs differ most."""
    difference, at, found = with_one - without, 1, []
    for data in columns.values():
        found.append(int(np.argmax(difference[at : at + width(data)])))
        at += width(data)
    return found


def counts(parts: dict, settings: CommonSettings) -> np.ndarray:
    """What a run publishes to all banks."""
    roles = roles_for(parts, settings)
    drive_all(roles)
    return roles["bank-2"]._counts.astype(float)


def test_bins_of_one_person_from_two_runs() -> None:
    """The person is in the first run and has left before the second. The twin's noise is none (rho = 10^7)."""
    everybody, others = customers(4, 500), customers(5, 400)
    fewer = {name: data.take(np.arange(1, 500)) for name, data in everybody.items()}
    truth = cells_of_the_one(histogram(everybody).astype(float), histogram(fewer).astype(float), everybody)

    def attack(settings: CommonSettings) -> float:
        first, second = (counts({"bank-1": one, "bank-2": others}, settings) for one in (everybody, fewer))
        return float(np.mean([a == b for a, b in zip(cells_of_the_one(first, second, everybody), truth, strict=True)]))

    assert attack(NEARLY_EXACT) == 1
    assert np.mean([attack(CommonSettings(rho=0.1)) for _ in range(3)]) < 0.4
    with pytest.raises(PolicyRefused, match="rho = 1e"):
        POLICY.check_spent(NEARLY_EXACT.rho, 0.0)
    with pytest.raises(PolicyRefused, match="after 0.95"):
        POLICY.check_spent(0.1, 0.95)
    with pytest.raises(PolicyRefused, match="minimum_change_rows"):
        POLICY.check_growth("platform", 1)

