"""Calibration and evaluation: the platforms' part of the score of each hold-out row is opened to the bank, once.

Calibration and test rows are their own slices; training rows are never opened. A platform holds its coefficients
(owner release), so it computes its part in the clear and rounds it to 2^-5 of a log-odds unit: finer scores would
identify the combination of bins a row falls into (82 % of rows at 2^-16, 0.4 % at 2^-5).

    platform -> bank   scores.calibration, scores.test     int16 multiples of 2^-5
    bank -> platform   verdict                             1: keep your half, 0: the joint model is no better, discard

With several platforms the bank learns the sum of their parts only. The first, the lead, gives each of the others a
fresh seed; each of those adds a mask expanded from it, and the lead subtracts all masks, so that any set of messages
but the whole is uniform to the bank:

    lead -> platform   seed                                32 bytes
    platform -> bank   scores.calibration, scores.test     uint32: multiples of 2^-5 plus masks, modulo 2^32
"""
from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable

import numpy as np

from protocols.crypto.summed_product import SEED_BYTES, Seed
from protocols.errors import ConfigError, DataError, MalformedMessage, ProtocolError
from protocols.role import Message, Opening, Role
from protocols.state import pack, unpack

SCORE_STEP_BITS = 5
SLICES = ("calibration", "test")
_MOST_STEPS = 32767  # of one platform, either sign: 1024 log-odds units


def coarse(scores: np.ndarray) -> np.ndarray:
    """Round to multiples of 2^-5, as int16; DataError beyond +-1024."""
    steps = np.rint(np.asarray(scores, dtype=float) * 2**SCORE_STEP_BITS)
    if not np.isfinite(steps).all() or np.abs(steps).max(initial=0) > _MOST_STEPS:
        raise DataError("expected scores between -1024 and 1024; the model has diverged or a column is out of range")
    return steps.astype("<i2")


class FeatureScores(Role):
    """A platform's side of opening `scores`: its part per slice, float (m,), in joint row order.

    `platforms`: of this run in plan order, the lead first. Only the sum over all of them reaches the bank.
    """

    what: str  # for messages to a person

    def __init__(self, party: str, bank: str, platforms: tuple[str, ...], scores: dict[str, np.ndarray]):
        if party not in platforms:
            raise ConfigError(f"expected {party} among the platforms of the run, got {', '.join(platforms) or 'none'}")
        self._party, self._bank, self._platforms, self._scores = party, bank, platforms, scores
        self._sent = False

    def start(self) -> list[Message]:
        """The lead hands out seeds and opens its part; the others wait for theirs."""
        if self._party != self._platforms[0]:
            return []
        others = self._platforms[1:]
        seeds = [Seed(os.urandom(SEED_BYTES)) for _ in others]
        opened = self._open(seeds, np.subtract)
        return [*(Message(name, "seed", seed.to_bytes()) for name, seed in zip(others, seeds, strict=True)), *opened]

    @property
    def expects(self) -> str | None:
        """The lead, until a mask can be made."""
        return None if self._sent else self._platforms[0]

    def handle(self, message: Message) -> list[Message]:
        """Take the seed, open one's own part and forget it."""
        if self._sent or self._party == self._platforms[0] or (message.peer, message.kind) != (self.expects, "seed"):
            raise MalformedMessage(f"{self.what}: got {message.kind} from {message.peer}, which was not due")
        return self._open([Seed(message.payload)], np.add)

    def _open(self, seeds: list[Seed], apply: np.ufunc) -> list[Message]:
        """Each slice, with the masks of all seeds applied; as it is when there are no others."""
        parts = {f"scores.{name}": coarse(scores) for name, scores in self._scores.items()}
        self._sent = True
        return [Message(self._bank, kind, self._masked(kind, steps, seeds, apply),
                        Opening(kind, self._bank, len(steps))) for kind, steps in parts.items()]

    def _masked(self, kind: str, steps: np.ndarray, seeds: list[Seed], apply: np.ufunc) -> bytes:
        if len(self._platforms) == 1:
            return steps.tobytes()
        words = _words(steps)
        for seed in seeds:
            words = apply(words, seed.words(kind, len(words)))
        return words.astype("<u4").tobytes()

    def snapshot(self) -> bytes:
        """Whether it was sent."""
        return pack({"sent": self._sent})

    def restore(self, state: bytes) -> None:
        """Take back a snapshot."""
        self._sent = unpack(state)["sent"]


class LabelScores(Role):
    """The bank's side: adds up what the platforms send, one platform after the other; `rows`: rows of each slice."""

    what: str

    def __init__(self, platforms: tuple[str, ...], rows: dict[str, int]):
        if not platforms:
            raise ConfigError(f"{self.what}: expected at least one platform, got none")
        self._platforms, self._rows = platforms, rows
        self._due = [(platform, name) for platform in platforms for name in rows]
        self._taken = 0  # messages
        self._sums: dict[str, np.ndarray] = {}  # uint32 (m,) per slice

    def start(self) -> list[Message]:
        """The bank waits."""
        return []

    @property
    def expects(self) -> str | None:
        """The platform whose part is due."""
        return None if self._complete else self._due[self._taken][0]

    @property
    def _complete(self) -> bool:
        return self._taken == len(self._due)

    def handle(self, message: Message) -> list[Message]:
        """Take one slice of one platform."""
        platform, name = (None, None) if self._complete else self._due[self._taken]
        size = 0 if name is None else self._rows[name] * self._width().itemsize
        got = (message.peer, message.kind, len(message.payload))
        if name is None or got != (platform, f"scores.{name}", size):
            raise MalformedMessage(f"{self.what}: got {message.kind} of {len(message.payload)} bytes from "
                                   f"{message.peer}, which was not due")
        total = _words(np.frombuffer(message.payload, self._width()))
        if name in self._sums:
            total = self._sums[name] + total
        if platform == self._platforms[-1]:
            self._check(total)
        self._sums[name] = total
        self._taken += 1
        return self._end() if self._complete else []

    def _width(self) -> np.dtype:
        return np.dtype("<i2" if len(self._platforms) == 1 else "<u4")

    def _check(self, total: np.ndarray) -> None:
        limit = _MOST_STEPS * len(self._platforms)
        if np.abs(_centred(total)).max(initial=0) > limit:
            raise ProtocolError(f"{self.what}: expected scores of {len(self._platforms)} platforms between "
                                f"-{limit} and {limit} steps, got one beyond; the platforms' masks do not cancel, so "
                                "start a new run")

    def _scores(self) -> dict[str, np.ndarray] | None:
        """All platforms' part per slice, float (m,), once complete."""
        if not self._complete:
            return None
        return {name: _centred(self._sums[name]) / 2.0**SCORE_STEP_BITS for name in self._rows}

    @abstractmethod
    def _end(self) -> list[Message]:
        """All parts are there."""

    def snapshot(self) -> bytes:
        """What has come so far, added up."""
        return pack({"taken": self._taken} | {f"sum.{name}": total for name, total in self._sums.items()})

    def restore(self, state: bytes) -> None:
        """Take back a snapshot."""
        saved = unpack(state)
        self._taken = saved["taken"]
        self._sums = {name: saved[f"sum.{name}"] for name in self._rows if f"sum.{name}" in saved}


class ToldVerdict(Role):
    """Mixed into a platform's role of opening scores: afterwards the bank says whether the joint model is better."""

    what: str
    _bank: str
    _sent: bool
    _kept: bool | None = None

    @property
    def expects(self) -> str | None:
        """Whoever is due before the scores are sent, then the bank for the verdict."""
        if not self._sent:
            return super().expects
        return self._bank if self._kept is None else None

    def handle(self, message: Message) -> list[Message]:
        """What leads to the scores, then the verdict."""
        if not self._sent:
            return super().handle(message)
        due = self._kept is None and (message.peer, message.kind) == (self._bank, "verdict")
        if not due or message.payload not in (b"\0", b"\1"):
            raise MalformedMessage(f"{self.what}: expected one verdict of the bank, got {message.kind} of "
                                   f"{len(message.payload)} bytes from {message.peer}")
        self._kept = message.payload == b"\1"
        return []

    def result(self) -> bool | None:
        """Whether the half is kept."""
        return self._kept

    def snapshot(self) -> bytes:
        """Whether the scores were sent, and the verdict, if it came."""
        return pack({"sent": self._sent, "kept": self._kept})

    def restore(self, state: bytes) -> None:
        """Take back a snapshot."""
        super().restore(state)
        self._kept = unpack(state)["kept"]


class FeatureHoldout(ToldVerdict, FeatureScores):
    """A platform's side; `scores` for each of SLICES. Ends with the bank's verdict."""

    what = "hold-out"

    def __init__(self, party: str, bank: str, platforms: tuple[str, ...], scores: dict[str, np.ndarray]):
        super().__init__(party, bank, platforms, {name: scores[name] for name in SLICES})


class LabelHoldout(LabelScores):
    """The bank's side. `rows`: rows of each slice; `judge(scores)` says whether the joint model may be published."""

    what = "hold-out"

    def __init__(
        self, platforms: tuple[str, ...], rows: dict[str, int], judge: Callable[[dict[str, np.ndarray]], bool]
    ):
        super().__init__(platforms, {name: rows[name] for name in SLICES})
        self._judge = judge

    def _end(self) -> list[Message]:
        """The same verdict for every platform."""
        return verdicts(self._judge(self._scores()), self._platforms)

    def result(self) -> dict[str, np.ndarray] | None:
        """All platforms' part of the scores per slice, float."""
        return self._scores()


def verdicts(better: bool, parties: tuple[str, ...]) -> list[Message]:
    """The same verdict for each of `parties`."""
    payload = b"\1" if better else b"\0"
    return [Message(name, "verdict", payload, Opening("verdict", name, 1)) for name in parties]


def _words(steps: np.ndarray) -> np.ndarray:
    """Integers as uint32, modulo 2^32."""
    return (steps.astype(np.int64) & 0xFFFFFFFF).astype(np.uint32)


def _centred(words: np.ndarray) -> np.ndarray:
    """int64 between -2^31 and 2^31 - 1."""
    return words.astype(np.uint32).view(np.int32).astype(np.int64)
