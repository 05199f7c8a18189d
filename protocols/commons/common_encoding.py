"""A bank's part in agreeing with the others on one encoding and one whitening basis.

    bank -> each bank after it   seeds           seeds of the circle, settings, declarations of the columns
    bank -> first                histogram       covered counts of its rows in fixed cells, with its own noise
    first -> each other          histogram.sum   noisy counts of all banks together; all make the same encoder from it
    bank -> first                moments         covered counts of levels and of pairs of levels, with its own noise
    first -> each other          moments.sum     noisy counts of all banks together

Everything travels sealed from bank to bank. Only the sums are opened, to all banks and nobody else, and every bank's
own noise alone makes its part differentially private (README.md).
"""
from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from protocols.binning.columns import ColumnData
from protocols.binning.encoder import Encoder
from protocols.commons.cells import DIGEST_BYTES, declaration, histogram, histogram_length
from protocols.commons.discrete_gaussian import NOISE_SEED_BYTES, Randomness, discrete_gaussian
from protocols.commons.encoding import CommonSettings, common_encoder
from protocols.commons.moments import Moments, estimate, length, tables
from protocols.commons.privacy import Variance, histogram_sensitivity, moments_sensitivity, noise_variance
from protocols.crypto.opening import open_shares
from protocols.crypto.ring import RING, Array
from protocols.crypto.summed_product import SEED_BYTES
from protocols.crypto.zero_sharing import Circle
from protocols.errors import ConfigError, DataError, MalformedMessage
from protocols.role import Message, Opening, Role
from protocols.state import pack, unpack

HISTOGRAM, MOMENTS = "histogram", "moments"
_NUMBER = np.dtype("<i8")
_MOST = 2**62  # of a sum; anything beyond is covers that do not cancel


@dataclass(frozen=True, eq=False, repr=False)
class Commons:
    """What all banks have in common: the same at each but for `circle`, the bank's own view of it.

    mean (d,), covariance (d, d) and noise (d, d), the deviation of the covariance's noise: of the encoder's d features.
    """

    encoder: Encoder
    mean: np.ndarray
    covariance: np.ndarray
    noise: np.ndarray
    circle: Circle

    def __repr__(self) -> str:
        return f"Commons({len(self.mean)} features, REDACTED)"


class CommonEncoding(Role):
    """`banks`: all of them in plan order, the first one adds up; `columns`: one's own training rows."""

    def __init__(
        self, party: str, banks: tuple[str, ...], columns: Mapping[str, ColumnData], settings: CommonSettings
    ):
        if len(banks) < 2 or party not in banks:
            raise ConfigError(f"expected {party} to be one of at least two banks, got {', '.join(banks) or 'none'}")
        if not columns:
            raise ConfigError("expected at least one column of the banks, got none")
        settings.check(len(columns))
        self._party, self._banks, self._columns, self._settings = party, tuple(banks), dict(columns), settings
        self._circle = Circle(party, self._banks)
        self._due = self._order()
        self._taken = 0  # messages
        self._noise_seed: bytes | None = None
        self._sum: Array | None = None  # (2, n), at the first bank, while a round lasts
        self._counts: np.ndarray | None = None  # int64, the published histogram
        self._encoder: Encoder | None = None
        self._pairs: np.ndarray | None = None  # int64, the published moments
        self._moments: Moments | None = None

    def _order(self) -> list[tuple[str, str]]:
        """(peer, kind) of every message that comes, in order."""
        first, index = self._banks[0], self._banks.index(self._party)
        if index == 0:
            return [(name, kind) for kind in (HISTOGRAM, MOMENTS) for name in self._banks[1:]]
        return [*((name, "seeds") for name in self._banks[:index]),
                (first, f"{HISTOGRAM}.sum"), (first, f"{MOMENTS}.sum")]

    # ------------------------------------------------------------ what comes

    def start(self) -> list[Message]:
        """Seeds for the banks after this one; the first bank's own counts are ready then."""
        self._noise_seed = os.urandom(NOISE_SEED_BYTES)
        drawn = self._circle.draw()
        if self._circle.first == self._party:
            self._sum = self._covered(HISTOGRAM)
        return [Message(name, "seeds", b"".join([seeds, *self._declarations()])) for name, seeds in drawn.items()]

    @property
    def expects(self) -> str | None:
        """The bank whose message is due."""
        return None if self._taken == len(self._due) else self._due[self._taken][0]

    def handle(self, message: Message) -> list[Message]:
        """Take the message that is due. Raises MalformedMessage for any other, DataError for columns that differ."""
        if self._taken == len(self._due) or (message.peer, message.kind) != self._due[self._taken]:
            raise MalformedMessage(f"common encoding: got {message.kind} from {message.peer}, which was not due")
        steps: dict[str, Callable[[Message], list[Message]]] = {
            "seeds": self._take_seeds, HISTOGRAM: self._add, MOMENTS: self._add,
            f"{HISTOGRAM}.sum": self._take_sum, f"{MOMENTS}.sum": self._take_sum,
        }
        answers = steps[message.kind](message)
        self._taken += 1
        return answers

    def result(self) -> Commons | None:
        """The common encoding, mean and covariance, once both rounds are over."""
        found = self._moments
        if found is None:
            return None
        return Commons(self._encoder, found.mean, found.covariance, found.noise, self._circle)

    def _take_seeds(self, message: Message) -> list[Message]:
        own = self._declarations()
        size = SEED_BYTES * (2 if message.peer == self._circle.first else 1)
        expected = size + DIGEST_BYTES * len(own)
        if len(message.payload) != expected:
            raise MalformedMessage(f"common encoding: expected {expected} bytes of seeds from {message.peer}, got "
                                   f"{len(message.payload)}")
        theirs = message.payload[size:]
        for index, name in enumerate(["", *self._columns]):
            if theirs[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES] != own[index]:
                raise DataError(self._difference(message.peer, name))
        self._circle.take(message.peer, message.payload[:size])
        return [self._part(HISTOGRAM)] if self._circle.complete else []

    def _add(self, message: Message) -> list[Message]:
        """The first bank: one more covered part; after the last one the sum is opened."""
        n = self._length(message.kind)
        self._sum = RING.add(self._sum, RING.from_bytes(message.payload, n))
        if message.peer != self._banks[-1]:
            return []
        total = _opened(message.kind, self._sum)
        self._conclude(message.kind, total)
        self._sum = self._covered(MOMENTS) if message.kind == HISTOGRAM else None
        self._forget()
        payload = total.astype(_NUMBER).tobytes()
        return [Message(name, f"{message.kind}.sum", payload, Opening(f"commons.{message.kind}", name, n))
                for name in self._banks[1:]]

    def _take_sum(self, message: Message) -> list[Message]:
        kind = message.kind.removesuffix(".sum")
        size = _NUMBER.itemsize * self._length(kind)
        if len(message.payload) != size:
            raise MalformedMessage(f"common encoding: expected {size} bytes of {message.kind}, got "
                                   f"{len(message.payload)}")
        total = np.frombuffer(message.payload, _NUMBER).astype(np.int64)
        if ((total <= -_MOST) | (total >= _MOST)).any():
            raise MalformedMessage(f"common encoding: {message.kind} holds a number beyond 2^62")
        self._conclude(kind, total)
        answers = [self._part(MOMENTS)] if kind == HISTOGRAM else []
        self._forget()
        return answers

    # ------------------------------------------------------------ what goes

    def _part(self, kind: str) -> Message:
        n = self._length(kind)
        opening = Opening(f"commons.{kind}", self._banks[0], n)
        return Message(self._banks[0], kind, RING.to_bytes(self._covered(kind)), opening)

    def _covered(self, kind: str) -> Array:
        """(2, n): one's own counts, with noise enough for oneself alone, under the cover of the circle."""
        counts = histogram(self._columns) if kind == HISTOGRAM else tables(self._encoder, self._columns)
        noise = discrete_gaussian(Randomness(self._noise_seed, kind), len(counts), self._variance(kind))
        return RING.add(RING.encode(counts + noise), self._circle.cover(f"commons.{kind}", len(counts)))

    def _forget(self) -> None:
        """Once the last noise is drawn its seed is of no use to its owner."""
        if self._encoder is not None:
            self._noise_seed = None

    def _conclude(self, kind: str, total: np.ndarray) -> None:
        if kind == HISTOGRAM:
            self._encoder = common_encoder(self._columns, total, self._deviation(kind), self._settings)
            self._counts = total
        else:
            self._moments = estimate(self._encoder, total, self._deviation(kind))
            self._pairs = total

    def _length(self, kind: str) -> int:
        return histogram_length(self._columns) if kind == HISTOGRAM else length(self._encoder)

    def _variance(self, kind: str) -> Variance:
        """Of one bank's noise."""
        sensitivity = (histogram_sensitivity(len(self._columns)) if kind == HISTOGRAM
                       else moments_sensitivity(len(self._encoder.columns)))
        return noise_variance(sensitivity, self._settings.rho)

    def _deviation(self, kind: str) -> float:
        """Of all banks' noise together."""
        return (len(self._banks) * float(self._variance(kind))) ** 0.5

    def _declarations(self) -> list[bytes]:
        return [self._settings.digest(), *(declaration(name, data) for name, data in self._columns.items())]

    def _difference(self, peer: str, column: str) -> str:
        if not column:
            return (f"common encoding: {peer} and {self._party} run with other settings of bins, minimum_support or "
                    "commons_rho; start a new run from one plan")
        return (f"column {column!r}: {peer} and {self._party} declare it differently; give it the same place, type and "
                "special codes in the table configuration of all banks")

    # ------------------------------------------------------------ state

    def snapshot(self) -> bytes:
        """Seeds, messages taken, and the sums so far."""
        return pack({"circle": self._circle.to_bytes(), "taken": self._taken, "noise": self._noise_seed,
                     "sum": self._sum, "counts": self._counts, "pairs": self._pairs})

    def restore(self, state: bytes) -> None:
        """Take back a snapshot. What is sent next is what would have been sent, noise included."""
        saved = unpack(state)
        self._circle = Circle.from_bytes(self._party, self._banks, saved["circle"])
        self._taken, self._noise_seed, self._sum = saved["taken"], saved["noise"], saved["sum"]
        for kind, total in ((HISTOGRAM, saved["counts"]), (MOMENTS, saved["pairs"])):
            if total is not None:
                self._conclude(kind, total)


def _opened(kind: str, total: Array) -> np.ndarray:
    """int64 (n,): a sum whose covers have cancelled; MalformedMessage where they have not."""
    numbers = open_shares(f"commons.{kind}", total).integers()
    if any(abs(number) >= _MOST for number in numbers):
        raise MalformedMessage("common encoding: the banks' covers do not cancel; start a new run")
    return np.array(numbers, dtype=np.int64)
