"""Small joint training problems, the two roles on them, and the same algorithm on the joined plaintext in floats."""
from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from protocols.crypto.fixed_point import to_fixed
from protocols.crypto.keys import KeyPair
from protocols.scorecard import layout as fixed
from protocols.scorecard import logistic, reopening
from protocols.scorecard.feature_party import FeatureTrainer, feature_trainer
from protocols.scorecard.label_party import LabelTrainer
from protocols.scorecard.training import TrainingConfig
from protocols.scorecard.whitening import Whitening


@dataclass(frozen=True)
class Problem:
    """Whitened columns of both sides, (n, d) each, labels (n,) and the settings of a training."""

    bank: np.ndarray
    platform: np.ndarray
    labels: np.ndarray
    steps: int
    l2: float
    polish: int = 0
    polish_steps: int = 0
    openings: int = 0
    own_model: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        fit = logistic.fit(self.bank, self.labels, self.l2)
        object.__setattr__(self, "own_model", np.r_[fit.intercept, fit.coefficients])

    @property
    def bank_columns(self) -> np.ndarray:
        """With the intercept, as the bank trains."""
        return np.c_[np.ones(len(self.bank)), self.bank]

    def config(
        self, party: str, platforms=("platform",), check_rows=lambda rows, coefficients: None, shared: bool = False
    ) -> TrainingConfig:
        return TrainingConfig(party, ("bank",), platforms, self.steps, self.l2, check_rows, 2**28, shared=shared,
                              polish=self.polish, polish_steps=self.polish_steps, openings=self.openings)

    def label_trainer(self, keys: KeyPair, peer_public: bytes | None = None, **settings) -> LabelTrainer:
        config = self.config("bank", **settings)
        return LabelTrainer(self.bank_columns, self.labels, self.own_model, keys, config, peer_public)

    def feature_trainer(self, keys: KeyPair, peer_public: bytes | None = None, **settings) -> FeatureTrainer:
        columns = {"bank": self.platform}
        return feature_trainer(columns, lambda: keys, self.config("platform", **settings), peer_public)

    def split_trainers(self, keys: KeyPair, widths: list[int]) -> dict[str, FeatureTrainer]:
        """The platform's columns in the hands of several: the first so many at the lead, and so on."""
        names, ends = tuple(f"platform-{i}" for i in range(len(widths))), np.cumsum(widths)
        return {name: feature_trainer({"bank": self.platform[:, end - width:end]}, lambda: keys,
                                      self.config(name, names))
                for name, end, width in zip(names, ends, widths, strict=True)}


def problem(rows: int, bank: int, platform: int, *, steps: int = 2, l2: float = 0.001, seed: int = 0) -> Problem:
    """Correlated columns, about a quarter of the labels 1, signal on both sides."""
    rng = np.random.default_rng(seed)
    raw = rng.normal(size=(rows, bank + platform)) + 0.6 * rng.normal(size=(rows, 1))
    truth = rng.normal(size=bank + platform) / np.sqrt(bank + platform)
    labels = (rng.random(rows) < logistic.sigmoid(raw @ truth - 1.2)).astype(float)
    sides = raw[:, :bank], raw[:, bank:]
    return Problem(*(Whitening.fit(side).transform(side) for side in sides), labels, steps, l2)


class Anchored(Protocol):
    """A least-squares problem in floats: columns (n, d), slope and offset (n,), start (d,)."""

    columns: np.ndarray
    slope: np.ndarray
    offset: np.ndarray
    start: np.ndarray


class Steps(Protocol):
    """What of a training's settings the steps depend on."""

    steps: int
    l2: float


@dataclass(frozen=True)
class Reference:
    """The anchored problem in floats: inputs rounded as the layout rounds them, arithmetic exact."""

    columns: np.ndarray
    slope: np.ndarray
    offset: np.ndarray
    start: np.ndarray
    first: np.ndarray
    bank_eigenvalue: float


def reference(task: Problem, widths: list[int] | None = None) -> Reference:
    """What all parties compute together, in one place; `widths`: the platform's columns as several platforms' own."""
    columns = np.hstack([to_fixed(x, fixed.FEATURE_BITS) / 2.0**fixed.FEATURE_BITS
                         for x in (task.bank_columns, task.platform)])
    bank = columns[:, :len(task.own_model)]
    anchor = bank @ task.own_model
    rate = logistic.sigmoid(anchor)
    bits = fixed.choose(len(columns), columns.shape[1], task.steps).slope_bits
    slope = np.maximum(np.rint(rate * (1 - rate) * 2.0**bits), 1) / 2.0**bits
    values, vectors = np.linalg.eigh((bank * (rate * (1 - rate))[:, None]).T @ bank / len(bank))
    count = task.platform.shape[1]
    cosines = [np.cos(np.arange(1, width + 1) * 2.399963) for width in widths or [count]]
    return Reference(
        columns, slope, rate - slope * anchor - task.labels, np.r_[task.own_model, np.zeros(count)],
        np.r_[vectors[:, -1], *(cosine / np.linalg.norm(cosine) for cosine in cosines)], float(values[-1]),
    )


def power_estimate(task: Problem, rows: int | None = None, widths: list[int] | None = None) -> float:
    """Eigenvalue estimate after the six passes, on the first `rows` rows."""
    at = reference(task, widths)
    x, slope = at.columns[:rows], at.slope[:rows] / (2 * at.bank_eigenvalue)
    vector = at.first
    for _ in range(fixed.POWER_PASSES):
        before, vector = vector, x.T @ (slope * (x @ vector)) / len(x)
    return 2 * at.bank_eigenvalue * float(np.linalg.norm(vector) / np.linalg.norm(before))


def largest_eigenvalue(task: Problem) -> float:
    """The true one, of the joint weighted Gram matrix."""
    at = reference(task)
    return float(np.linalg.eigvalsh((at.columns * at.slope[:, None]).T @ at.columns / len(at.columns))[-1])


def trained_in_floats(task: Problem, grid: int) -> np.ndarray:
    """(1 + d_bank + d_platform,): the accelerated steps for the announced grid, step constants as in the layout."""
    return accelerated(reference(task), len(task.labels), task, grid)


def polished_in_floats(task: Problem, grid: int, seed: int = 0) -> np.ndarray:
    """(1 + d_bank + d_platform,): those steps, then after each noisy opening of the scores `polish_steps` more."""
    at, rng, rows = reference(task), np.random.default_rng(seed), len(task.labels)
    w = accelerated(at, rows, task, grid, momentum=fixed.POLISH_MOMENTUM)
    for _ in range(task.polish):
        scores = at.columns @ w + rng.uniform(-(2.0**-17), 2.0**-17, rows)
        slope = reopening.secant_slopes(scores, task.labels, task.l2)
        offset = logistic.sigmoid(scores) - slope * scores - task.labels
        at = replace(at, slope=slope, offset=offset, start=w)
        w = accelerated(at, rows, replace(task, steps=task.polish_steps), grid, momentum=fixed.POLISH_MOMENTUM)
    return w


def accelerated(
    at: Anchored, rows: int, task: Steps, grid: int, constants: int = 1, momentum: int = fixed.MOMENTUM
) -> np.ndarray:
    """The steps from `at.start`; `rows`: declared; `constants`: leading columns without ridge."""
    rate, bits = fixed.learning_rate(grid, task.l2), fixed.choose(rows, len(at.start), task.steps)
    shift = 2.0 ** (bits.weight_bits - bits.gradient_bits)
    step, ridge = fixed.step_scales(bits, rate, rows, task.l2)
    w = old = at.start
    for _ in range(task.steps):
        v = w + momentum / 16 * (w - old)
        gradient = at.columns.T @ (at.slope * (at.columns @ v) + at.offset)
        new = v - step.constant / 2.0**step.shift / shift * gradient
        if ridge is not None:
            shrink = ridge.constant / 2.0**ridge.shift * 2.0**fixed.MOMENTUM_BITS * v
            new[constants:] -= shrink[constants:]
        old, w = w, new
    return w


def anchored_solution(task: Problem) -> np.ndarray:
    """The minimum that the steps go to: one re-weighted least-squares step around the bank's own score."""
    at, rows = reference(task), len(task.labels)
    ridge = task.l2 * np.diag(np.r_[0.0, np.ones(at.columns.shape[1] - 1)])
    gram = (at.columns * at.slope[:, None]).T @ at.columns / rows
    return np.linalg.solve(gram + ridge, -at.columns.T @ at.offset / rows)
