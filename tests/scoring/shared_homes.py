"""The nodes of `homes.py` with a model whose weights stay shared: the same weights in shares and sealed uploads, as the
end of a training leaves them."""
from __future__ import annotations

import hashlib
import os

import numpy as np

from protocols.crypto import product
from protocols.crypto.keys import KeyPair
from protocols.crypto.ring import RING
from protocols.scorecard.shared_weights import LAYOUT, WEIGHT_SCALE_BITS, SharedWeights
from protocols.sharedscore.model import SharedModel
from tests.scoring.homes import MODEL, Homes

ROLES = ("bank", "platform")
_GONE = ("intercept", "coefficients")


def share_weights(homes: Homes) -> Homes:
    """Put shares in the place of both halves' coefficients."""
    halves = {role: homes.half(role) for role in ROLES}
    weights = {"bank": [halves["bank"]["intercept"], *halves["bank"]["coefficients"]],
               "platform": halves["platform"]["coefficients"]}
    for role, model in shared_models(weights).items():
        kept = {name: value for name, value in halves[role].items() if name not in _GONE}
        told = {"release": "shared", "weights": model.weights.pinned,
                "shares": homes.vault(role).keep_shares(MODEL, model.to_bytes())}
        homes.vault(role).put(MODEL, kept | told)
    return homes


def shared_models(weights: dict[str, list[float]]) -> dict[str, SharedModel]:
    """Both sides' part of a model with these weights."""
    keys = {role: KeyPair.generate() for role in ROLES}
    own = {role: RING.random(len(weights[role])) for role in ROLES}
    uploads = {}  # by receiver: the other side's share of the receiver's weights
    for role, other in zip(ROLES, reversed(ROLES), strict=True):
        whole = RING.encode_ints([round(weight * 2**40) << (WEIGHT_SCALE_BITS - 40) for weight in weights[role]])
        uploads[role] = product.ask(keys[other], RING.sub(whole, own[role]), (1, len(weights[role])), LAYOUT)
    sealed = tuple(hashlib.sha256(uploads[other]).digest() for other in reversed(ROLES))
    return {role: SharedModel(keys[role], keys[other].public_bytes(), SharedWeights(
        own[role], uploads[role], sealed, os.urandom(32), 1000, len(weights[other]), 0, 1))
        for role, other in zip(ROLES, reversed(ROLES), strict=True)}


def exact_scores(homes: Homes, halves: dict[str, dict], rows: np.ndarray) -> np.ndarray:
    """Of whitened bank rows (n, d) with the platform's part of the first n shared people, in the clear."""
    own = np.array([halves["bank"]["intercept"], *halves["bank"]["coefficients"]])
    return rows @ own + homes.partials()[: len(rows)]
