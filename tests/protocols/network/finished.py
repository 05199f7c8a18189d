"""Halves of a finished training without one: drawn weights, shared or released, and rows to score with them."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from protocols.crypto.keys import KeyPair
from protocols.crypto.ring import RING
from protocols.network import exact, square
from protocols.network import source_layer as layer
from protocols.network.feature_scores import FeatureNetworkHoldout, FeatureNetworkScores
from protocols.network.halves import FeatureHalf, LabelHalf
from protocols.network.label_scores import LabelNetworkHoldout, LabelNetworkScores
from protocols.network.settings import NetworkSettings

WEIGHT_BITS = 46
DATA = bytes(range(32))


@dataclass
class Finished:
    """`weights` (columns, numbers); `columns`: per slice (m, d); `admitted`: what the platform was asked to record."""

    label: LabelHalf
    feature: FeatureHalf
    weights: np.ndarray
    columns: dict[str, np.ndarray]
    admitted: list[tuple[Sequence[str], np.ndarray]]

    @property
    def people(self) -> list[str]:
        return [f"person {at}" for at in range(sum(map(len, self.columns.values())))]

    def rows(self) -> dict[str, int]:
        return {name: len(part) for name, part in self.columns.items()}

    def admit(self, people: Sequence[str], tags: np.ndarray) -> None:
        self.admitted.append((people, tags))

    def bank(self, score: Callable, data: bytes = DATA) -> LabelNetworkScores:
        return LabelNetworkScores("platform", self.label, self.rows(), score, data)

    def platform(self, admit: Callable | None = None) -> FeatureNetworkScores:
        return FeatureNetworkScores("bank", self.feature, self.columns, self.people, admit or self.admit)

    def holdouts(self, score: Callable, judge: Callable) -> tuple[LabelNetworkHoldout, FeatureNetworkHoldout]:
        return (LabelNetworkHoldout("platform", self.label, self.rows(), score, judge, DATA),
                FeatureNetworkHoldout("bank", self.feature, self.columns, self.people, self.admit))

    def exact(self, name: str) -> np.ndarray:
        """(m, numbers): what the source layer makes of a slice."""
        z = layer.fixed_columns(self.columns[name]) / 2.0**12 @ self.weights
        return square.in_clear(z, self.label.settings) if self.label.settings.strict else z


def _upload(keys: KeyPair, share: np.ndarray, given: NetworkSettings, columns: int) -> bytes:
    if not given.strict:
        return layer.seal(keys, share, given.width, WEIGHT_BITS)
    return exact.ask(keys, square.forward_weights(share, WEIGHT_BITS, second=False), exact.scoring_grid(columns))


def finished(
    keys: KeyPair, rows: dict[str, int], columns: int, release: str, seed: int = 0, **settings
) -> Finished:
    rng, given = np.random.default_rng(seed), NetworkSettings(**settings)
    fixed = np.rint(rng.normal(size=(columns, given.numbers)) * 2.0**WEIGHT_BITS).astype(np.int64)
    mine, theirs = layer.split(RING.encode(fixed.T.ravel()))
    parts = {name: rng.normal(size=(count, columns)) for name, count in rows.items()}
    module = {"weights": rng.normal(size=3)}
    facts, weights = (module, (2, (4,)), columns, 2, (0.5, 0.4), given, WEIGHT_BITS), fixed / 2.0**WEIGHT_BITS
    if release == "owner":
        return Finished(LabelHalf(*facts), FeatureHalf(given, columns, 2, 2, WEIGHT_BITS, weights=weights), weights,
                        parts, [])
    upload = _upload(keys, mine, given, columns)
    feature = FeatureHalf(given, columns, 2, 2, WEIGHT_BITS, share=theirs, received=upload,
                          peer_public=keys.public_bytes(), secret=bytes(range(32)))
    return Finished(LabelHalf(*facts, share=mine, keys=keys, sealed=sha256(upload).digest()), feature, weights, parts,
                    [])
