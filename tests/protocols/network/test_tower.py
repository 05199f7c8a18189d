"""torch above the source layer: seeds, any module, state, and whole trainings against plaintext."""
from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from protocols.errors import ConfigError, DataError
from protocols.network.bank_rows import BankColumns
from protocols.network.feature_scores import FeatureNetworkHoldout
from protocols.network.halves import FeatureHalf, LabelHalf
from protocols.network.label_scores import LabelNetworkHoldout
from tests.protocols.network import oracle
from tests.protocols.network.driving import Trained, crashing
from tests.protocols.network.problems import Task, task
from tests.protocols.scorecard.simulator import drive

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from protocols.network.tower import CLIP, Learner, Scorer  # noqa: E402


def with_torch(network: Task, head=None) -> Task:
    return replace(network, learn=partial(Learner, head=head))


def with_dropout(inputs: int) -> nn.Module:
    """No bias before the normalisation: its gradient is rounding error, which Adam turns into whole steps."""
    return nn.Sequential(nn.Linear(inputs, 6, bias=False), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.3),
                         nn.Linear(6, 1))


def auc(held: Task, weights: np.ndarray, module: dict[str, np.ndarray]) -> float:
    learner = held.learner()
    learner.load_module(module)
    rows = np.arange(len(held.columns))
    return roc_auc_score(held.bank.labels, learner.scores(held.columns @ weights, rows))


def test_it_scores_as_the_same_network_trained_in_plaintext(bank_keys) -> None:
    """The bar is 0.005; seen: equal to all digits."""
    whole = with_torch(task(4500, 12, seed=3, width=3, epochs=4, batch_rows=400, source_rate=0.5))
    network, held = whole.of(slice(0, 3000)), whole.of(slice(3000, None))
    done = Trained(network, bank_keys)
    plain = oracle.train(network.columns, network.learner(), network.settings, done.start)
    best = auc(held, plain.weights, plain.module)
    assert best > auc(held, 0 * plain.weights, plain.module) + 0.05, "the platform's columns matter"
    assert abs(auc(held, done.weights, done.bank.module) - best) < 0.005
    assert done.bank.losses == pytest.approx(plain.losses, abs=1e-3)


def test_noise_on_the_embeddings_costs_accuracy_and_no_more(bank_keys) -> None:
    network = with_torch(task(300, 4, seed=4, width=2, epochs=2, batch_rows=300, noise=1.0))
    done = Trained(network, bank_keys)
    plain = oracle.train(network.columns, network.learner(), network.settings, done.start)
    gap = np.abs(done.weights - plain.weights).max()
    assert 1e-4 < gap < 1


def test_a_crash_after_every_message_changes_nothing(bank_keys) -> None:
    """Adam's moments, running means and the randomness of dropout go on where they were."""
    network = with_torch(task(60, 3, seed=6, width=2, epochs=2, batch_rows=30), with_dropout)
    bank, platform, start = crashing(network, bank_keys)
    plain = oracle.train(network.columns, network.learner(), network.settings, start)
    assert np.abs(network.opened(bank.share, platform.share) - plain.weights).max() < 1e-4
    assert bank.module.keys() == plain.module.keys()
    for name, value in plain.module.items():
        assert bank.module[name] == pytest.approx(value, abs=1e-3), name


def test_the_seed_decides_everything_and_torch_is_left_as_it_was() -> None:
    network = with_torch(task(50, 2, seed=1, batch_rows=50), with_dropout)
    z, rows = np.random.default_rng(0).normal(size=(50, 2)), np.arange(50)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, second = network.learner(), network.learner()
    assert np.array_equal(first.step(z, rows, 1), second.step(z, rows, 1))
    assert not np.array_equal(first.step(z, rows, 2), second.step(z, rows, 3))
    assert torch.equal(torch.random.get_rng_state(), before)
    seeds = [network.settings.model_copy(update={"seed": seed}) for seed in (0, 1)]
    weights = [replace(network, settings=given).learner().module_state()["head.0.weight"] for given in seeds]
    assert not np.array_equal(*weights), "the seed decides the start weights"


def test_the_gradient_is_that_of_the_mean_loss_and_clipped_row_by_row() -> None:
    def steep(inputs: int) -> nn.Module:
        linear = nn.Linear(inputs, 1)
        with torch.no_grad():
            linear.weight.fill_(100.0)
        return linear

    network = with_torch(task(30, 2, seed=1, own=0, levels=(), width=2), steep)
    rows = np.arange(30)
    found = network.learner().step(np.zeros((30, 2)), rows, 1)
    assert set(np.sign(found[:, 0])) == {-1, 1} and np.abs(found) == pytest.approx(CLIP / 30)
    plain = with_torch(network, lambda inputs: nn.Linear(inputs, 1)).learner()
    weight = plain.module_state()["head.weight"][0]
    wrong = 1 / (1 + np.exp(-plain.scores(np.zeros((30, 2)), rows))) - network.bank.labels
    assert plain.step(np.zeros((30, 2)), rows, 1) == pytest.approx(np.outer(wrong, weight) / 30, abs=1e-6)


def test_a_module_without_parameters_is_refused() -> None:
    network = with_torch(task(30, 2, seed=1, own=0, levels=(), width=1), lambda inputs: nn.Flatten())
    with pytest.raises(ConfigError, match="with parameters"):
        network.learner()


@pytest.mark.parametrize("release", ["owner", "shared"])
def test_rows_of_later_are_scored_as_in_plaintext(bank_keys, release) -> None:
    """A training, its halves by way of the vault, a hold-out by the module that is built again from the half."""
    whole = with_torch(task(900, 6, seed=3, width=2, epochs=2, batch_rows=300, source_rate=0.5, release=release))
    network, held = whole.of(slice(0, 600)), whole.of(slice(600, None))
    done = Trained(network, bank_keys)
    label, feature = LabelHalf.from_bytes(done.bank.to_bytes()), FeatureHalf.from_bytes(done.platform.to_bytes())
    parts = {"calibration": slice(0, 100), "test": slice(100, 300)}
    own, columns = {name: held.of(part).bank.columns for name, part in parts.items()}, \
        {name: held.columns[part] for name, part in parts.items()}
    rows, people = {"calibration": 100, "test": 200}, [f"p{at}" for at in range(300)]
    bank = LabelNetworkHoldout("platform", label, rows, Scorer(label, own), lambda scores: True, bytes(32))
    platform = FeatureNetworkHoldout("bank", feature, columns, people, lambda people, tags: None)
    drive(bank, platform)
    learner = held.learner()
    learner.load_module(done.bank.module)
    plain = learner.scores(held.columns @ done.weights, np.arange(300))
    found = np.concatenate([bank.result()[name] for name in parts])
    assert np.abs(found - plain).max() < 0.3 and np.abs(found - plain).mean() < 0.06
    assert abs(roc_auc_score(held.bank.labels, found) - roc_auc_score(held.bank.labels, plain)) < 0.005
    assert platform.result() is True


def test_a_scorer_takes_columns_and_parameters_of_the_training_only(bank_keys) -> None:
    network = with_torch(task(60, 3, seed=6, epochs=1, batch_rows=60))
    half, own = Trained(network, bank_keys).bank, network.bank.columns
    before = torch.random.get_rng_state()
    assert Scorer(half, {"batch": own})("batch", slice(0, 5), np.zeros((5, 2))).shape == (5,)
    assert torch.equal(torch.random.get_rng_state(), before)
    with pytest.raises(DataError, match="as the training did"):
        Scorer(half, {"batch": BankColumns(own.numeric[:, 1:], own.categories, own.levels)})
    with pytest.raises(DataError, match="the head that was trained"):
        Scorer(half, {"batch": own}, with_dropout)
