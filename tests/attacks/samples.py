"""What entries of `parsers.py` have in common: how one is written down, and what good input is made of."""
from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from protocols import plan as plans
from protocols.agreement import SignedAgreement, sign_statement, statement
from protocols.audit import Checkpoint, SignedCheckpoint
from protocols.crypto import product, sealing
from protocols.crypto.identity import IdentityKey
from protocols.crypto.keys import KeyPair, PeerKeys
from protocols.crypto.product import MatrixTiles, ReplyCoding
from protocols.crypto.ring import RING
from protocols.errors import MalformedMessage
from tests.keys import key_pair, peer_keys
from tests.protocols.scorecard.problems import problem

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "tests" / "vectors"
RUN = "r-" + "ab" * 8
FULL, SHORT = ReplyCoding.FULL, ReplyCoding.SHORT
SHAPE = (30, 3)


@dataclass(frozen=True)
class Parser:
    """`take` gets bytes that anybody may have made; `good` are such that it takes; `covers`: qualified names;
    `examples`: how many damaged inputs a run of the tests tries; `json`: damage the tree, too."""

    name: str
    take: Callable[[bytes], object]
    good: Callable[[], list[bytes]]
    covers: tuple[str, ...]
    examples: int = 40
    json: bool = False


def keys() -> KeyPair:
    return key_pair("bank")


def peer() -> PeerKeys:
    return peer_keys("bank")


@cache
def names() -> dict[str, IdentityKey]:
    return {name: IdentityKey.generate() for name in ("bank", "platform")}


@cache
def tiles() -> MatrixTiles:
    return MatrixTiles(np.ones(SHAPE, np.int64), layout="tile")


@cache
def request() -> bytes:
    return product.ask(keys(), RING.random(SHAPE[1]), SHAPE, "tile")


def context(own: str = "platform", other: str = "bank") -> sealing.SealingContext:
    return sealing.SealingContext(RUN, bytes(32), own, other, names()[own], names()[other].public)


def pair() -> tuple[sealing.Session, sealing.Session]:
    initiator = sealing.Initiator(context("bank", "platform"))
    answer, theirs = sealing.respond(context(), initiator.hello)
    return initiator.finish(answer), theirs


@cache
def plan() -> plans.Plan:
    return plans.Plan.model_validate({
        "purpose": "credit-scoring", "label_party": "bank", "feature_parties": ["platform"],
        "parties": {"bank": {"table": "loans", "columns": ["age"]},
                    "platform": {"table": "users", "columns": ["pay"]}}})


@cache
def agreement() -> SignedAgreement:
    texts = {name: statement(name, RUN, plan(), "ab" * 32, rows=7) for name in names()}
    return SignedAgreement(RUN, plan(), texts, {name: sign_statement(names()[name], text)
                                                for name, text in texts.items()})


@cache
def signed_checkpoint() -> SignedCheckpoint:
    checkpoint = Checkpoint("bank", 9, hashlib.sha256(b"root").digest(), "2026-01-31T12:00:00.000Z")
    return SignedCheckpoint.sign(names()["bank"], checkpoint)


@cache
def task():
    return problem(60, 2, 2, steps=1, seed=1)


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def value_of(data: bytes) -> Any:
    """JSON that the caller of an entry has read already; what is none is not the entry's to refuse."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise MalformedMessage("not JSON") from None
