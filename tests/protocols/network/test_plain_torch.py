"""Private trainings against a plain one in torch that shares no stepping with them: what does privacy cost in AUC?"""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from protocols.network.square import in_clear
from tests.protocols.network.driving import Trained
from tests.protocols.network.problems import Task, task

pytest.importorskip("torch")

from protocols.network.tower import Learner  # noqa: E402
from tests.protocols.network.plain_torch import fit, log_odds  # noqa: E402

ROWS, HELD = 3000, 6000


def population(seed: int, **more) -> tuple[Task, Task]:
    """Training rows and held-out rows."""
    given = {"width": 2, "epochs": 8, "batch_rows": 200, "source_rate": 0.25, "patience": 3}
    drawn = task(ROWS + HELD, 8, seed=seed, **(given | more))
    whole = replace(drawn, learn=Learner, settings=drawn.settings.model_copy(update={"seed": seed}))
    return whole.of(slice(0, ROWS)), whole.of(slice(ROWS, None))


def private_auc(done: Trained, held: Task) -> float:
    learner, z = held.learner(), held.columns @ done.weights
    learner.load_module(done.bank.module)
    if held.settings.strict:
        z = in_clear(z, held.settings)
    return roc_auc_score(held.bank.labels, learner.scores(z, np.arange(HELD)))


@pytest.mark.slow
def test_auc_is_that_of_a_plain_training(bank_keys) -> None:
    """Each side starts where it likes, from the same distribution; the mean over populations is compared."""
    gaps = []
    for seed in range(6):
        network, held = population(seed)
        plain = roc_auc_score(held.bank.labels, log_odds(fit(network, seed), held))
        gaps.append(private_auc(Trained(network, bank_keys), held) - plain)
    print("AUC, private minus plain:", np.round(gaps, 4), "mean", round(float(np.mean(gaps)), 5))
    assert abs(np.mean(gaps)) <= 0.005


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["none", "square"])
def test_from_the_same_start_auc_is_that_of_a_plain_training(bank_keys, activation) -> None:
    network, held = population(3, activation=activation, epochs=3, batch_rows=500, source_rate=0.0625)
    done = Trained(network, bank_keys)
    plain = roc_auc_score(held.bank.labels, log_odds(fit(network, 3, done.start), held))
    print("AUC, private", private_auc(done, held), "plain", plain)
    assert abs(private_auc(done, held) - plain) <= 0.001
