"""What an accidental print, log line or traceback could show: no class prints bytes or arrays that are not public."""
from __future__ import annotations

import dataclasses
import importlib
import logging
import pkgutil
import traceback
from collections.abc import Iterator

import numpy as np
import pytest

from parties.runtime.run_store import Send, StoredBulk
from protocols.crypto.box import Box
from protocols.crypto.identity import IdentityKey
from protocols.crypto.keys import KeyPair
from protocols.errors import TrustError
from protocols.role import Message
from protocols.scorecard.logistic import LogisticFit
from tests.packaging.project import PACKAGES

OF_AN_EXTRA = ("protocols.network.module", "protocols.network.tower", "protocols.network.pooled")  # import torch
BYTES = ("bytes", "ndarray")
PUBLIC = {  # fields that print and may: signatures, public keys, digests, roots, plans
    "SignedAgreement.signatures", "Checkpoint.root", "SignedCheckpoint.signature", "CheckpointMessage.proof",
    "_Child.process", "AlignmentParams.session", "Route.agreement",
    "LinkConfig.peer_public_key", "LinkConfig.agreement", "Handled.digest", "Slot.digests", "Slot.pieces", "Slot.total",
    "Request.canonical", "Setup.tag", "Countersigned.countersignature", "NodeEvidence.files", "NodeEvidence.public",
}


def printing() -> Iterator[str]:
    """CLASS.FIELD of every dataclass field that holds bytes or arrays and is in its class's repr."""
    for package in PACKAGES:
        for found in pkgutil.walk_packages([package], package + "."):
            if found.name.endswith("__main__") or found.name in OF_AN_EXTRA:
                continue
            for kind in vars(importlib.import_module(found.name)).values():
                if isinstance(kind, type) and kind.__module__ == found.name and dataclasses.is_dataclass(kind):
                    yield from _printing(kind)


def _printing(kind: type) -> Iterator[str]:
    if kind.__dataclass_params__.repr:
        yield from (f"{kind.__name__}.{field.name}" for field in dataclasses.fields(kind)
                    if field.repr and any(word in str(field.type) for word in BYTES))


def test_only_public_bytes_print() -> None:
    found = set(printing())
    assert found <= PUBLIC, f"give these classes repr=False, or say why they are public: {sorted(found - PUBLIC)}"
    assert {"SignedCheckpoint.signature", "Handled.digest"} <= found, "the search sees what prints"


SECRET = np.random.default_rng(3).bytes(48)
HOLDERS = {
    "a key pair": (KeyPair.generate, lambda made: made.secret_bytes()),
    "an identity": (IdentityKey.generate, lambda made: made._key.private_bytes_raw()),
    "a box": (lambda: Box(SECRET[:32]), lambda made: SECRET[:32]),
    "a message": (lambda: Message("bank", "init", SECRET), lambda made: SECRET),
    "an outbox entry": (lambda: Send("bank", "x.y", 0, SECRET), lambda made: SECRET),
    "a bulk": (lambda: StoredBulk("s", (), (), SECRET), lambda made: SECRET),
    "a model": (lambda: LogisticFit(0.123456789012, np.frombuffer(SECRET[:40]), True, 3), lambda _: b"0.123456789012"),
}


@pytest.mark.parametrize("what", HOLDERS)
def test_what_holds_a_secret_shows_none_of_it_in_logs_and_tracebacks(what, caplog) -> None:
    make, secret_of = HOLDERS[what]
    made = make()
    secret = secret_of(made)[:32]
    try:
        raise TrustError(f"something about {made!r} and {made}") from ValueError(made)
    except TrustError as error:
        logging.getLogger("sealscore").exception("with %s and %r", made, made)
        shown = caplog.text + repr(error) + "".join(traceback.format_exception(error))
    for form in (repr(secret)[2:-1], secret.hex(), ", ".join(map(str, secret)), secret.decode("latin-1")):
        assert form not in shown
