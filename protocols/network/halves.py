"""What a training leaves at each side, as the vault keeps it. All of it is secret."""
from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from protocols.crypto.keys import KeyPair
from protocols.crypto.ring import RING
from protocols.errors import MalformedMessage
from protocols.network.bank_rows import Shape
from protocols.network.settings import NetworkSettings
from protocols.state import pack, unpack

SECRET_BYTES = 32
MODULE = "module."


@dataclass(frozen=True, repr=False)
class LabelHalf:
    """The bank's: its module's parameters by name, and with shared release a share (2, columns·numbers) of the source
    layer, `weight_bits` fractional bits, its keys and SHA-256 of the upload that the platform multiplies from now on.

    `shape`: of the bank's own columns; `epoch`: whose weights these are, from 1; `losses`: mean log-loss on the
    validation rows after each epoch.
    """

    module: dict[str, np.ndarray]
    shape: Shape
    columns_peer: int
    epoch: int
    losses: tuple[float, ...]
    settings: NetworkSettings
    weight_bits: int
    share: np.ndarray | None = None
    keys: KeyPair | None = None
    sealed: bytes | None = None

    @property
    def card(self) -> dict[str, Any]:
        """What a model card says of the training; epsilon is None where it is infinite, `weights` where the platform
        has them."""
        settings = self.settings
        return {"columns_peer": self.columns_peer, "width": settings.width, "activation": settings.activation,
                "epochs": len(self.losses),
                "epoch": self.epoch, "openings_per_row": len(self.losses) * settings.width, "noise": settings.noise,
                "epsilon": settings.epsilon if settings.noise else None,
                "weights": None if self.sealed is None else self.sealed.hex()}

    def to_bytes(self) -> bytes:
        """For the vault only."""
        shared = {} if self.share is None else {
            "share": RING.to_bytes(self.share), "keys": self.keys.secret_bytes(), "sealed": self.sealed}
        return pack({"settings": self.settings.model_dump_json(), "own": self.shape[0],
                     "levels": np.array(self.shape[1], np.int64), "columns_peer": self.columns_peer,
                     "epoch": self.epoch, "losses": np.array(self.losses, float), "weight_bits": self.weight_bits,
                     **shared, **{MODULE + name: value for name, value in self.module.items()}})

    @classmethod
    def from_bytes(cls, data: bytes) -> LabelHalf:
        """Inverse of `to_bytes`; MalformedMessage for anything else."""
        taken = _Taken(data)
        size = taken.settings.numbers * taken.count("columns_peer", 1)
        shared = {} if "share" not in taken.kept else {
            "share": taken.share(size), "keys": KeyPair.from_secret_bytes(taken.bytes("keys")),
            "sealed": taken.bytes("sealed", 32)}
        losses = taken.floats("losses", 1)
        levels = tuple(taken.whole("levels").tolist())
        module = {name.removeprefix(MODULE): taken.parameter(name) for name in list(taken.kept) if
                  name.startswith(MODULE)}
        made = cls(module, (taken.count("own", 0), levels), taken.count("columns_peer", 1), taken.count("epoch", 1),
                   tuple(losses.tolist()), taken.settings, taken.count("weight_bits", 1), **shared)
        taken.end(min(levels, default=1) >= 1 and made.epoch <= len(losses) and bool(module))
        return made

    def __reduce__(self):
        raise TypeError("a LabelHalf is neither pickled nor copied; use to_bytes() and the vault")


@dataclass(frozen=True, repr=False)
class FeatureHalf:
    """The platform's: with owner release `weights`, float64 (columns, numbers); with shared release a share
    (2, columns·numbers), the bank's share as the bank encrypted it once (`received`) with its public keys, and 32 bytes
    that nobody else has, for the floods.

    `epoch`: whose weights these are, from 1; `epochs`: trained.
    """

    settings: NetworkSettings
    columns: int
    epoch: int
    epochs: int
    weight_bits: int
    weights: np.ndarray | None = None
    share: np.ndarray | None = None
    received: bytes = b""
    peer_public: bytes = b""
    secret: bytes = b""

    @property
    def sealed(self) -> bytes:
        """SHA-256 of the bank's upload: the bank's half names the same."""
        return hashlib.sha256(self.received).digest()

    def to_bytes(self) -> bytes:
        """For the vault only."""
        left = {"weights": self.weights} if self.share is None else {
            "share": RING.to_bytes(self.share), "received": self.received, "peer": self.peer_public,
            "secret": self.secret}
        return pack({"settings": self.settings.model_dump_json(), "columns": self.columns, "epoch": self.epoch,
                     "epochs": self.epochs, "weight_bits": self.weight_bits, **left})

    @classmethod
    def from_bytes(cls, data: bytes) -> FeatureHalf:
        """Inverse of `to_bytes`; MalformedMessage for anything else."""
        taken = _Taken(data)
        columns, numbers = taken.count("columns", 1), taken.settings.numbers
        if "weights" in taken.kept:
            left: dict[str, Any] = {"weights": taken.floats("weights", 2)}
            taken.require(left["weights"].shape == (columns, numbers))
        else:
            left = {"share": taken.share(columns * numbers), "received": taken.bytes("received"),
                    "peer_public": taken.bytes("peer"), "secret": taken.bytes("secret", SECRET_BYTES)}
        made = cls(taken.settings, columns, taken.count("epoch", 1), taken.count("epochs", 1),
                   taken.count("weight_bits", 1), **left)
        taken.end(made.epoch <= made.epochs)
        return made

    def __reduce__(self):
        raise TypeError("a FeatureHalf is neither pickled nor copied; use to_bytes() and the vault")


class _Taken:
    """Fields of a stored half, each checked as it is taken."""

    def __init__(self, data: bytes):
        self.kept = unpack(data)
        self._names: set[str] = set()
        try:
            self.settings = NetworkSettings.model_validate_json(self._of("settings", lambda value: type(value) is str))
        except ValidationError:
            raise _damaged() from None

    def _of(self, name: str, fits: Callable[[Any], bool]) -> Any:
        self.require(name in self.kept and fits(self.kept[name]))
        self._names.add(name)
        return self.kept[name]

    def require(self, condition: bool) -> None:
        """MalformedMessage unless it holds."""
        if not condition:
            raise _damaged()

    def end(self, condition: bool) -> None:
        """MalformedMessage unless it holds and every field was taken."""
        self.require(condition and self._names == self.kept.keys())

    def count(self, name: str, least: int) -> int:
        return self._of(name, lambda value: type(value) is int and least <= value < 2**31)

    def bytes(self, name: str, size: int | None = None) -> bytes:
        return self._of(name, lambda value: type(value) is bytes and size in (None, len(value)))

    def share(self, size: int) -> np.ndarray:
        return RING.from_bytes(self.bytes("share"), size)

    def floats(self, name: str, dimensions: int) -> np.ndarray:
        return self._of(name, lambda value: isinstance(value, np.ndarray) and value.ndim == dimensions
                        and value.dtype == np.float64 and bool(np.isfinite(value).all()))

    def whole(self, name: str) -> np.ndarray:
        return self._of(name, lambda value: isinstance(value, np.ndarray) and value.ndim == 1
                        and value.dtype == np.int64)

    def parameter(self, name: str) -> np.ndarray:
        return self._of(name, lambda value: isinstance(value, np.ndarray) and value.dtype.kind in "fiub"
                        and bool(np.isfinite(value).all()))


def _damaged() -> MalformedMessage:
    return MalformedMessage("expected the half of a network, got one that lacks a part or has one of another form; "
                            "restore it from a backup")
