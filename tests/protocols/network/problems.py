"""Small joint populations and the two roles on them."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from protocols.crypto.keys import KeyPair
from protocols.crypto.ring import RING
from protocols.network.bank_rows import BankRows
from protocols.network.config import NetworkConfig
from protocols.network.feature_party import FeatureNetwork
from protocols.network.label_party import LabelNetwork, Learner
from protocols.network.partition import partition
from protocols.network.precision import CLIP_BITS, Scales
from protocols.network.settings import NetworkSettings
from protocols.network.strict import bank_role, platform_role
from protocols.scorecard.logistic import sigmoid
from protocols.scorecard.whitening import Whitening


def anything(*numbers: int) -> None:
    """A limit that refuses nothing."""


class LinearLearner:
    """A logistic regression over Z and the bank's numeric columns, by gradient descent: a module without torch."""

    def __init__(self, rows: BankRows, settings: NetworkSettings):
        self._rows, self._rate, self.shape = rows, settings.learning_rate, rows.columns.shape
        rate, inputs = np.clip(rows.labels.mean(), 0.01, 0.99), rows.numeric.shape[1] + settings.width
        drawn = np.random.default_rng(settings.seed).normal(scale=0.3, size=inputs)
        self._weights = np.r_[np.log(rate / (1 - rate)), drawn]

    def _inputs(self, z: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.hstack([np.ones((len(rows), 1)), self._rows.numeric[rows], z])

    def scores(self, z: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return self._inputs(z, rows) @ self._weights

    def step(self, z: np.ndarray, rows: np.ndarray, number: int) -> np.ndarray:
        wrong = (sigmoid(self.scores(z, rows)) - self._rows.labels[rows]) / len(rows)
        clip = 2.0**CLIP_BITS / len(rows)
        by_z = np.clip(np.outer(wrong, self._weights[-z.shape[1]:]), -clip, clip)
        self._weights = self._weights - self._rate * (self._inputs(z, rows).T @ wrong)
        return by_z

    def loss(self, z: np.ndarray, rows: np.ndarray) -> float:
        return float(np.logaddexp(0, -np.where(self._rows.labels[rows] == 1, 1, -1) * self.scores(z, rows)).mean())

    def module_state(self) -> dict[str, np.ndarray]:
        return {"weights": self._weights}

    def load_module(self, state: dict[str, np.ndarray]) -> None:
        self._weights = state["weights"]

    def optimiser_state(self) -> dict[str, np.ndarray]:
        return {}

    def load_optimiser(self, state: dict[str, np.ndarray]) -> None:
        """It has no state."""


@dataclass(frozen=True)
class Task:
    """The platform's whitened columns (n, d), what the bank has, and the settings."""

    columns: np.ndarray
    bank: BankRows
    settings: NetworkSettings
    learn: Callable[[BankRows, NetworkSettings], Learner] = LinearLearner
    release: str = "shared"

    def learner(self) -> Learner:
        return self.learn(self.bank, self.settings)

    def config(self, **limits) -> NetworkConfig:
        return NetworkConfig("bank", "platform", self.settings,
                             **({"check_openings": anything, "check_rows": anything, "release": self.release} | limits))

    def label_network(self, keys: KeyPair, **limits) -> LabelNetwork:
        return bank_role(self.settings)(self.learner(), len(self.columns), keys, self.config(**limits))

    def feature_network(self, public: bytes | None = None, **limits) -> FeatureNetwork:
        return platform_role(self.settings)(self.columns, self.config(**limits), public)

    def roles(self, keys: KeyPair) -> tuple[LabelNetwork, FeatureNetwork]:
        return self.label_network(keys), self.feature_network()

    def scales(self) -> Scales:
        batches = partition(len(self.columns), self.settings).batches
        return Scales.of(len(batches), self.columns.shape[1], self.settings)

    def opened(self, *shares: np.ndarray) -> np.ndarray:
        """(d, width): what shares of weights add up to."""
        total = RING.zeros(shares[0].shape[1])
        for share in shares:
            total = RING.add(total, share)
        return (RING.to_float(total) / 2.0**self.scales().weight).reshape(self.settings.numbers, -1).T

    def of(self, rows: slice) -> Task:
        """These rows of the same population."""
        bank = BankRows(self.bank.labels[rows], self.bank.numeric[rows], self.bank.categories[rows], self.bank.levels)
        return replace(self, columns=self.columns[rows], bank=bank)


def task(
    rows: int, columns: int, *, own: int = 3, levels: tuple[int, ...] = (4,), seed: int = 0, release: str = "shared",
    **settings,
) -> Task:
    """A fifth to a third of the labels are 1; the platform's columns matter alone, in pairs and beside the bank's."""
    rng = np.random.default_rng(seed)
    raw = rng.normal(size=(rows, columns)) + 0.4 * rng.normal(size=(rows, 1))
    numeric = rng.normal(size=(rows, own))
    categories = np.stack([rng.integers(0, count, rows) for count in levels], axis=1) if levels else \
        np.zeros((rows, 0), np.int64)
    truth = rng.normal(size=columns) / np.sqrt(columns)
    first = raw @ truth
    z = 1.5 * first + 0.8 * np.abs(raw @ np.roll(truth, 1)) + 0.7 * numeric.sum(axis=1) / np.sqrt(max(own, 1)) - 2
    if levels:
        z = z + 0.8 * (categories[:, 0] == 1)
    labels = (rng.random(rows) < sigmoid(z)).astype(np.int64)
    return Task(Whitening.fit(raw).transform(raw), BankRows(labels, numeric, categories, levels),
                NetworkSettings(**settings), release=release)


def start_of(network: Task, bank: LabelNetwork, platform: FeatureNetwork) -> np.ndarray:
    """(d, width): the start weights, once both have them."""
    return network.opened(bank._s["w"], platform._s["w"])
