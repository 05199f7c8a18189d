"""With several platforms: which people all of them know, after the bank has aligned with each one by itself.

Each pair has its own order of the people whom the bank and that platform share (`aligner.py`). The bank alone sees all
pairs; it keeps the people that are in every one, in the order of the first, and tells each platform where they stand.

    bank -> platform   joint   positions u32 in the order of this pair, one per person known to all, in joint order

A platform learns which of the people that it shares with the bank all other platforms know too. The order says nothing
about a table: it is that of double-blinded points of the first pair.

`LabelRows` and `FeatureRows` are what this choice of rows and the other one (`covered.py`) have in common.
"""
from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from protocols.errors import ConfigError, MalformedMessage, PolicyRefused
from protocols.psi.parameters import Alignment
from protocols.role import Message, Opening, Role
from protocols.state import pack, unpack

KIND = "joint"
MEMBERSHIP = "membership.joint"  # which of the people shared with the bank the other platforms know too
WORD = np.dtype("<u4")
NOT_KNOWN = 2**32 - 1


class _Rows(Role):
    """What both sides keep: the joint rows, once they are known."""

    kind: str  # of the one message
    too_few: str  # with a place for the minimum

    def __init__(self, minimum: int):
        self._minimum = minimum
        self._joint: Alignment | None = None

    def _check_enough(self, people: int) -> None:
        if people < self._minimum:
            raise PolicyRefused("alignment.minimum_intersection", f"{self.too_few.format(self._minimum)}; bring more "
                                "rows or check that all of them use the same kind of identifier")

    def result(self) -> Alignment | None:
        """One's own rows in joint order."""
        return self._joint

    def snapshot(self) -> bytes:
        """The result, once it is known."""
        joint = self._joint
        return pack({} if joint is None else {"rows": joint.rows, "slices": joint.slices, "lacking": joint.lacking})

    def restore(self, state: bytes) -> None:
        """Take back a snapshot."""
        saved = unpack(state)
        self._joint = Alignment(**saved) if saved else None


class LabelRows(_Rows):
    """The bank's side, which ends as soon as it has sent. `pairs[i]`: rows of its own table, int (m_i,), in the order
    of its alignment with `platforms[i]`; `minimum`: fewer people end the run."""

    def __init__(self, platforms: tuple[str, ...], pairs: Sequence[np.ndarray], minimum: int):
        super().__init__(minimum)
        if not platforms or len(platforms) != len(pairs):
            raise ConfigError(f"expected one alignment for each of the platforms, got {len(pairs)} for "
                              f"{len(platforms)}")
        self._platforms, self._pairs = platforms, [np.asarray(pair, dtype=np.int64) for pair in pairs]

    def _tell(self, known: list[np.ndarray], counts: Sequence[int] = ()) -> list[Message]:
        """`counts`, then to each platform its positions; `known[i]`: those of `platforms[i]`, int64 (n,)."""
        head = np.asarray(counts, dtype=np.int64)
        payloads = [np.concatenate([head, positions]).astype(WORD).tobytes() for positions in known]
        return [Message(name, self.kind, payload, Opening(MEMBERSHIP, name, len(known[0])))
                for name, payload in zip(self._platforms, payloads, strict=True)]

    def handle(self, message: Message) -> list[Message]:
        """Nothing is due."""
        raise MalformedMessage(f"joint alignment: got {message.kind} from {message.peer}, nothing was due")


class FeatureRows(_Rows):
    """A platform's side. `rows`: rows of its own table, int (m,), in the order of its alignment with `bank`."""

    def __init__(self, bank: str, rows: np.ndarray, minimum: int):
        super().__init__(minimum)
        self._bank, self._pair = bank, np.asarray(rows, dtype=np.int64)

    def start(self) -> list[Message]:
        """The platform waits."""
        return []

    @property
    def expects(self) -> str | None:
        """The bank, until its positions have come."""
        return self._bank if self._joint is None else None

    def handle(self, message: Message) -> list[Message]:
        """Take the positions. Raises MalformedMessage, PolicyRefused for too few people, or ProtocolError."""
        if self._joint is not None or (message.peer, message.kind) != (self._bank, self.kind):
            raise MalformedMessage(f"joint alignment: got {message.kind} from {message.peer}, which was not due")
        self._joint = self._parse(message.payload)
        return []

    @abstractmethod
    def _parse(self, payload: bytes) -> Alignment:
        """What the bank's one message says."""


class LabelJoint(LabelRows):
    """The bank's side: people known to all platforms."""

    kind = KIND
    too_few = "all parties together have fewer than {} people in common"

    def start(self) -> list[Message]:
        """Tell each platform its positions. Raises PolicyRefused for too few people, and nothing is sent then."""
        rows = self._pairs[0]
        for pair in self._pairs[1:]:
            rows = rows[np.isin(rows, pair)]
        self._check_enough(len(rows))
        self._joint = Alignment(rows)
        return self._tell([positions_in(pair, rows) for pair in self._pairs])


class FeatureJoint(FeatureRows):
    """A platform's side: people whom all other platforms know too."""

    kind, too_few = LabelJoint.kind, LabelJoint.too_few

    def _parse(self, payload: bytes) -> Alignment:
        """Distinct positions of people shared with the bank."""
        if len(payload) % WORD.itemsize or len(payload) > WORD.itemsize * len(self._pair):
            raise MalformedMessage(f"{KIND}: expected {WORD.itemsize} bytes for each of at most {len(self._pair)} "
                                   f"people, got {len(payload)} bytes")
        positions = np.frombuffer(payload, WORD).astype(np.int64)
        if (positions >= len(self._pair)).any():
            raise MalformedMessage(f"{KIND}: expected positions below {len(self._pair)}, got one beyond")
        if len(np.unique(positions)) != len(positions):
            raise MalformedMessage(f"{KIND}: expected distinct positions, got one more than once")
        self._check_enough(len(positions))
        return Alignment(self._pair[positions])


def positions_in(pair: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """int64 (n,): where each of `rows` stands in `pair`, NOT_KNOWN if nowhere."""
    if len(pair) == 0:
        return np.full(len(rows), NOT_KNOWN)
    order = np.argsort(pair)
    place = np.minimum(np.searchsorted(pair, rows, sorter=order), len(pair) - 1)
    position = order[place]
    return np.where(pair[position] == rows, position, NOT_KNOWN)
