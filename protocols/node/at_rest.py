"""The keys under which a party keeps what it may not forget, each derived from its identity key (RFC 5869).

    vault           halves of models                       state/vault
    releases        the key of people's hashes             state/releases.db
    ledger          the same                               state/openings.db
    scores          score files, where they are sealed     state/scores
    scoring         tokens and online features             state/scoring
    decisions       decision records and answers           the bank's store: state/decisions.db or a database
    run RUN         facts and messages of one run          state/runs/RUN/run.db

So a copy of `state` without the identity key opens nothing; with a protected identity key neither does a copy of the
whole home. What stays readable in a run's file are sizes, names of facts, and those of OPEN_FACTS.
"""
from __future__ import annotations

from pathlib import Path

from protocols.crypto.box import Box
from protocols.crypto.identity import IdentityKey
from protocols.node.identity_files import load_identity

OPEN_FACTS = ("state", "told", "began", "ledger.openings")  # how a run stands: for backup and doctor, which hold no key
OPEN_PREFIX = "spent."  # seconds and bytes of a phase
VERSION_BYTES = 8


def vault_box(identity: IdentityKey) -> Box:
    """For halves of models."""
    return Box(identity.derived(b"vault"))


def releases_box(identity: IdentityKey) -> Box:
    """For the key under which people are hashed."""
    return Box(identity.derived(b"releases"))


def ledger_box(identity: IdentityKey) -> Box:
    """For the key under which the ledger of openings hashes people."""
    return Box(identity.derived(b"ledger"))


def scores_box(identity: IdentityKey) -> Box:
    """For score files."""
    return Box(identity.derived(b"scores"))


def scoring_box(identity: IdentityKey) -> Box:
    """For token directories and online features of joint scoring."""
    return Box(identity.derived(b"scoring"))


def decisions_box(identity: IdentityKey) -> Box:
    """For records of decisions and answers under idempotency keys, also in a database elsewhere."""
    return Box(identity.derived(b"decisions"))


def run_box(identity: IdentityKey, run: str) -> Box:
    """For one run: a file of another run does not open."""
    return Box(identity.derived(b"run " + run.encode()))


def is_open(fact: str) -> bool:
    """Whether a fact of a run is kept in the clear."""
    return fact in OPEN_FACTS or fact.startswith(OPEN_PREFIX)


def opened_fact(box: Box, name: str, value: bytes) -> bytes:
    """A fact as it stands in a run's file."""
    return value if is_open(name) else box.open(f"fact {name}", value)


def opened_half(home: Path, model_id: str) -> bytes:
    """A model half of the vault at `home` as canonical JSON, whatever its version; its owner's key must be there."""
    data = (home / "state" / "vault" / f"{model_id}.sealed").read_bytes()
    return vault_box(load_identity(home)).open(model_id, data)[VERSION_BYTES:]
