"""Label inference by the platform and columns by the bank: against plain split networks and against ours."""
from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from protocols.crypto import seal_objects as so
from protocols.crypto.layout import layout_of
from protocols.crypto.params import DEGREE, TAG_BYTES
from protocols.crypto.product import request_bytes
from protocols.crypto.ring import RING
from protocols.network import source_layer as layer
from protocols.network.partition import partition
from protocols.role import Message
from tests.attacks.test_openings import columns_from_scores, found
from tests.keys import key_pair
from tests.protocols.network.driving import Trained
from tests.protocols.network.problems import LinearLearner, Task, task
from tests.protocols.scorecard.simulator import drive

ROWS, COLUMNS, WIDTH = 900, 8, 3


class Telling(LinearLearner):
    """Weak twin: a split network, which sends the gradient by the embeddings to the platform as it is."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.told: list[np.ndarray] = []

    def step(self, z: np.ndarray, rows: np.ndarray, number: int) -> np.ndarray:
        self.told.append(super().step(z, rows, number))
        return self.told[-1]


@pytest.fixture(scope="module")
def views() -> tuple[Task, list[np.ndarray], Trained]:
    """The task, what a split network tells the platform of each batch of the first epoch, and a training of ours."""
    made: list[Telling] = []

    def learn(*arguments) -> Telling:
        made.append(Telling(*arguments))
        return made[-1]

    network = task(ROWS, COLUMNS, seed=7, width=WIDTH, epochs=4, batch_rows=255, source_rate=2.0, learning_rate=0.3,
                   patience=9)
    network = Task(network.columns, network.bank, network.settings, learn)
    done = Trained(network, key_pair("bank"))
    return network, made[0].told, done


def seen(network: Task, done: Trained) -> list[np.ndarray]:
    """Ours: (rows, width) per batch, what stands in the place of each row's gradient in the encrypted request."""
    requests = [m.payload for m in done.to_platform() if m.kind == "backward.request"]
    batches = partition(ROWS, network.settings).batches * network.settings.epochs
    return [_places(request, len(rows)) for request, rows in zip(requests, batches, strict=True)]


def _places(request: bytes, rows: int) -> np.ndarray:
    shape = layer.backward_shape(rows, COLUMNS, WIDTH)
    plan, parts = layout_of(shape, layer.BACKWARD_LAYOUT), []
    size = (request_bytes(shape, layer.BACKWARD_LAYOUT) - TAG_BYTES) // plan.uploads
    for upload in range(plan.uploads):
        start = TAG_BYTES + upload * size + so.SEED_BYTES
        words = so.unpack_residues(memoryview(request)[start : TAG_BYTES + (upload + 1) * size], RING.q, DEGREE)
        parts.append(words[:, plan.places(upload)])
    return RING.to_float(np.concatenate(parts, axis=1)).reshape(WIDTH, rows).T / 2.0**117


def inferred(network: Task, gradients: list[np.ndarray], attack) -> float:
    """Mean AUC over the batches that the gradients are of."""
    batches = partition(ROWS, network.settings).batches
    each = [roc_auc_score(network.bank.labels[rows], attack(given, network.bank.labels[rows]))
             for given, rows in zip(gradients, batches * network.settings.epochs, strict=False)]
    return float(np.mean(each))


def by_norm(gradients: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Events are rarer, so they are predicted worse: their gradients are longer (Li et al., arXiv 2102.08504, 3.1)."""
    return np.linalg.norm(gradients, axis=1)


def by_direction(gradients: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Cosine with one row known to be an event (the same, 3.2)."""
    known = gradients[np.flatnonzero(labels)[0]]
    return gradients @ known / np.linalg.norm(gradients, axis=1)


@pytest.mark.parametrize(("attack", "least"), [(by_norm, 0.7), (by_direction, 0.99)])
def test_labels_from_what_comes_back_per_row(views, attack, least) -> None:
    network, told, done = views
    assert inferred(network, told, attack) > least, "a split network gives labels away"
    assert abs(inferred(network, seen(network, done), attack) - 0.5) < 0.06


def completed(network: Task, embeddings: np.ndarray) -> float:
    """Model completion: a head on embeddings, fitted to a few known labels (Fu et al., USENIX Security 2022, 4.1)."""
    known = np.r_[np.flatnonzero(network.bank.labels == 1)[:20], np.flatnonzero(network.bank.labels == 0)[:20]]
    rest = np.setdiff1d(np.arange(ROWS), known)
    head = LogisticRegression().fit(embeddings[known], network.bank.labels[known])
    return roc_auc_score(network.bank.labels[rest], head.decision_function(embeddings[rest]))


def test_labels_by_completing_the_model(views) -> None:
    """Weak twin: weights that the platform has, as with release = "owner". Ours: of its share only noise comes."""
    network, _, done = views
    assert completed(network, network.columns @ done.weights) > 0.7
    columns = layer.fixed_columns(network.columns)
    share = done.platform.share.reshape(2, WIDTH, COLUMNS)
    residues = np.stack([(columns.astype(object) @ share[at].T.astype(object) % q) for at, q in enumerate(RING.q)])
    own = RING.to_float(residues.reshape(2, -1).astype(np.uint64)).reshape(ROWS, WIDTH) / 2.0**117
    assert abs(completed(network, own) - 0.5) < 0.12


@pytest.mark.parametrize(("width", "activation", "least", "most"), [
    (8, "none", 0.95, 1.0), (2, "none", 0.0, 0.3), (8, "square", 0.0, 0.5)],
    ids=["as many numbers as columns", "a quarter of the rank", "strict, as many numbers as columns"])
def test_columns_from_embeddings(width: int, activation: str, least: float, most: float) -> None:
    """Bank: numbers of one batch, and 20 people whom it knows; the policy's limit is a quarter of the columns."""
    network, opened = task(300, COLUMNS, seed=3, width=width, epochs=1, batch_rows=300, activation=activation), {}
    bank, platform = network.roles(key_pair("bank"))

    def on_message(sender: str, message: Message) -> None:
        if message.kind == network.settings.kind:
            opened[bank._s["turn"]] = layer.embeddings(bank._s["z"], message.payload, network.settings)

    drive(bank, platform, on_message=on_message)
    columns = network.columns[partition(300, network.settings).rows(0)]
    assert least <= found(columns_from_scores(opened[0], columns[:20], width), columns) <= most


def test_gradients_of_the_weights_stay_unknown(views) -> None:
    """What a split network's platform would compute, XᵀG, is uniform in the share that ours has."""
    _, _, done = views
    numbers = np.concatenate([RING.to_float(share) for share in done.gradient_shares]) / 2.0**117
    assert np.abs(numbers).max() > 0.9 and np.abs(numbers).mean() == pytest.approx(0.5, abs=0.12)
