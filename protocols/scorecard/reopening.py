"""Polish: after the strict steps the training rows' scores are opened to the bank, and the steps go on from there.

    bank -> platforms   scores.request     its share of the platforms' coefficients, encrypted
    lead -> bank        scores.request     its share of the bank's
    bank -> lead        scores.reply       fresh share of X_B w_B
    platforms -> bank   scores.reply       fresh shares of X_i w_i; of several platforms the hub's sum
    lead -> bank        scores.training    its share of z = X w, flooded: opens z, of several platforms only their sum

With z in the clear the bank takes it as the new anchor: p0 = sigmoid(z), z0 = z. Whatever the slopes D, the residual
D (z - z0) + p0 - y is then the exact one of the logistic likelihood where the weights stand, so the further steps are
the next step of iteratively re-weighted least squares (Hastie, Tibshirani, Friedman, "The Elements of Statistical
Learning", section 4.4.1), with slopes that look ahead (`secant_slopes`). The weights stay shared throughout. One bank
only; `opened.py` has the rules of the opening.

The classes are mixed into the roles of `label_party.py` and `feature_party.py`.
"""
from __future__ import annotations

import math

import numpy as np

from protocols.crypto import product
from protocols.crypto.ring import RING
from protocols.crypto.summed_product import Seed, contribute, mask_sum
from protocols.errors import DataError
from protocols.role import Message
from protocols.scorecard import logistic, opened

_CLOSE = 1e-3  # log-odds; below, secant and tangent agree to 10^-7
EVENTS_PER_COEFFICIENT = 8  # from so many on two openings lead to 1e-3 of the optimum (README.md, "Polish")
FIRM_L2 = 0.02  # from this ridge on they do with fewer, too


def check_events(labels: np.ndarray, coefficients: int, polish: int, l2: float) -> None:
    """DataError where two openings would end short of the optimum: few events, of (n,) labels, and little ridge.

    An opening leaves about the square of the distance before it. Few events leave the first of them far away, so that
    a third is needed, whatever the steps between. One opening promises no optimum, so it is not refused.
    """
    rarer = min(float(labels.sum()), float(len(labels) - labels.sum()))
    if polish == 2 and l2 < FIRM_L2 and rarer < EVENTS_PER_COEFFICIENT * coefficients:
        raise DataError(f"expected at least {EVENTS_PER_COEFFICIENT} events for each coefficient of all parties, so "
                        "that polish = 2 leads to the maximum likelihood, got fewer; plan polish = 3, or an l2 of "
                        f"{FIRM_L2} or more, or fewer columns")


def secant_slopes(scores: np.ndarray, labels: np.ndarray, l2: float) -> np.ndarray:
    """Slope of the sigmoid between each score and where it is expected to go, (n,), in (0, 1/4].

    Expected is the best shift and stretch of all scores under the ridge, a ray along which the bank can optimise alone:
    for whitened columns the variance of z is about the squared length of the weights. Tangents would leave an error
    proportional to the square of the step that follows, secants to the step times what the expectation misses.
    """
    spread = float(scores.std())
    if spread < _CLOSE:
        return _tangents(scores)
    unit = ((scores - scores.mean()) / spread)[:, None]
    ahead = logistic.fit(unit, labels, l2).score(unit) - scores
    far = np.abs(ahead) > _CLOSE
    rise = logistic.sigmoid(scores + ahead) - logistic.sigmoid(scores)
    return np.where(far, rise / np.where(far, ahead, 1.0), _tangents(scores))


def _tangents(scores: np.ndarray) -> np.ndarray:
    rate = logistic.sigmoid(scores)
    return rate * (1 - rate)


class Reopening:
    """What all sides need."""

    def _raised(self, side: str) -> np.ndarray:
        """One's share of a block of the coefficients, at the scale of openings."""
        return opened.raised(self._s[f"w_{side}"], self._layout.weight_bits)

    def _opening_tiles(self, columns: np.ndarray) -> product.MatrixTiles:
        """Own columns for one opening, made and forgotten: between two of them they would only take memory."""
        values = len(columns) * self._config.polish * math.sqrt(len(self._config.platforms))
        return opened.tiles(columns, values)

    def _resumed(self) -> list[Message]:
        """The opening is over: the steps again, from where the weights stand."""
        self._s["opened"] += 1
        return self._begin_training(self._s["grid"])


class LabelReopening(Reopening):
    """The bank: it learns z and changes its anchor."""

    def _begin_opening(self) -> list[Message]:
        self._await(self._config.lead, "scores.request")
        return [Message(name, "scores.request", self._opening_request(index))
                for index, name in enumerate(self._config.platforms)]

    def _opening_request(self, index: int) -> bytes:
        part, shape = self._raised("peer")[:, self._block(index)], self._forward_shape()
        padded = np.concatenate([part, RING.zeros(shape[1] - part.shape[1])], axis=1)
        return product.ask(self._keys, padded, shape, opened.LAYOUT)

    def _on_scores_request(self, payload: bytes) -> list[Message]:
        own = self._opening_tiles(self._matrices[self._name])
        lead = self._config.lead
        reply, share = product.answer(own, self._peer_keys[lead], self._raised("own"), payload, opened.CODING)
        self._await_reply("scores.reply", z=share)
        return [Message(lead, "scores.reply", reply)]

    def _on_scores_reply(self, payload: bytes) -> list[Message]:
        share = self._finish("scores", payload, self._forward_shape(), opened.CODING, opened.LAYOUT)
        self._await(self._config.lead, opened.KIND, z=RING.add(self._s["z"], share))
        return []

    def _on_scores_training(self, payload: bytes) -> list[Message]:
        scores = opened.scores(self._s.pop("z"), payload)
        self._s["anchor"] = scores
        self._anchor_anew(scores)
        return self._resumed()

    def _anchor_anew(self, scores: np.ndarray) -> None:
        self._anchor_at(scores, secant_slopes(scores, self._labels, self._config.l2))


class FeatureReopening(Reopening):
    """A platform: it learns nothing."""

    def _summand_of_scores(self, request: bytes, mask: np.ndarray, last: bool) -> Message:
        """One's part of z as a summand for the bank; `last`: nothing more of this platform is needed to open z."""
        bank, label = self._config.speaker, self._label("scores", self._config.speaker)
        missing = int(self._s["widths"].max()) - self._own
        share = np.concatenate([self._raised("own"), RING.zeros(missing)], axis=1)
        own = self._opening_tiles(np.pad(self._matrices[bank], ((0, 0), (0, missing))))
        payload = contribute(own, self._peer_keys[bank], share, request, opened.CODING, mask,
                             Seed(self._s[f"point.{bank}"]), Seed(self._s[f"pad.{bank}"]).expand(label, 1))
        declared = opened.opening(bank, len(self._matrices[bank])) if last else None
        return Message(bank, "scores.reply", payload, declared, slot=label, contributors=self._config.platforms)


class LeadReopening(FeatureReopening):
    """The lead: it holds the platforms' share of z, and opens it."""

    def _begin_opening(self) -> list[Message]:
        bank = self._config.speaker
        request = product.ask(self._keys, self._raised("peer"), self._forward_shape(bank), opened.LAYOUT)
        self._await(bank, "scores.request")
        return [Message(bank, "scores.request", request)]

    def _on_scores_request(self, payload: bytes) -> list[Message]:
        bank = self._config.speaker
        if not self._config.summed:
            own, keys = self._opening_tiles(self._matrices[bank]), self._peer_keys[bank]
            reply, z = product.answer(own, keys, self._raised("own"), payload, opened.CODING)
            message = Message(bank, "scores.reply", reply)
        else:
            rows = len(self._matrices[bank])
            mask = RING.random(rows)
            message = self._summand_of_scores(payload, mask, last=False)
            z = RING.add(mask, mask_sum(self._seeds(), self._label("scores", bank), rows))
        self._await(bank, "scores.reply", z=z)
        return [message]

    def _on_scores_reply(self, payload: bytes) -> list[Message]:
        bank = self._config.speaker
        share = product.finish(self._keys, payload, self._forward_shape(bank), opened.LAYOUT, opened.CODING)
        told = opened.message(bank, RING.add(self._s.pop("z"), share))
        return [told, *self._resumed()]


class FollowReopening(FeatureReopening):
    """Any other platform: its summand is all of its part."""

    def _begin_opening(self) -> list[Message]:
        self._await(self._config.speaker, "scores.request")
        return []

    def _on_scores_request(self, payload: bytes) -> list[Message]:
        mask = self._cover("scores", len(self._matrices[self._config.speaker]))
        return [self._summand_of_scores(payload, mask, last=True), *self._resumed()]
