"""The bank's side: it learns the scores of the rows, to 2^-5, and neither side's weights.

The whole score is opened, the bank's own columns included: their coefficients are shared like the platform's.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from protocols.crypto.opening import open_shares
from protocols.crypto.ring import RING
from protocols.errors import MalformedMessage, ProtocolError
from protocols.role import Message, Role
from protocols.scorecard.holdout import SCORE_STEP_BITS, verdicts
from protocols.scorecard.shared_weights import SCORE_SCALE_BITS
from protocols.sharedscore.messages import BANK_PART, PLATFORM_PART, places, stacked, take_digest
from protocols.sharedscore.model import SharedModel
from protocols.state import pack, unpack

SCORE_BOUND = 2.0**10
Scores = dict[str, np.ndarray]


class LabelSharedScores(Role):
    """`columns`: per slice (m, d) whitened, the first column of ones; `data`: 32 bytes, the name of the data that these
    rows come from: the same for the same data, another for any other."""

    def __init__(self, platform: str, model: SharedModel, columns: Mapping[str, np.ndarray], data: bytes):
        self._platform, self._model, self._data = platform, model, data
        self._columns, self._places = stacked(columns), places(columns)
        self._due = [PLATFORM_PART, *(f"shared.{name}" for name in columns)]
        self._share = RING.zeros(0)  # one's own of the scores, (2, rows)
        self._opened: dict[str, np.ndarray] = {}

    def start(self) -> list[Message]:
        """One's own part, for the platform to finish."""
        reply, self._share = self._model.multiply(self._columns)
        return [Message(self._platform, BANK_PART, self._model.weights.digest + self._data + reply)]

    @property
    def expects(self) -> str | None:
        """The platform, until all slices are open."""
        return self._platform if self._due else None

    def handle(self, message: Message) -> list[Message]:
        """Take the platform's part, then what opens one slice after another."""
        due = self._due[0] if self._due else None
        if (message.peer, message.kind) != (self._platform, due):
            raise MalformedMessage(f"shared scores: got {message.kind} from {message.peer}, which was not due")
        if due == PLATFORM_PART:
            reply = take_digest(message.payload, self._model.weights.digest)
            self._share = RING.add(self._share, self._model.finish(reply, len(self._columns)))
        else:
            self._open(due.removeprefix("shared."), message.payload)
        self._due = self._due[1:]
        return [] if self._due else self._end()

    def _open(self, name: str, payload: bytes) -> None:
        """The scores of one slice, rounded to 2^-5."""
        own = self._share[:, self._places[name]]
        scores = open_shares(f"shared.{name}", own, RING.from_bytes(payload, own.shape[1])).floats(SCORE_SCALE_BITS)
        if np.abs(scores).max(initial=0) > SCORE_BOUND:
            raise ProtocolError(f"shared scores: expected scores between -{SCORE_BOUND:.0f} and {SCORE_BOUND:.0f}, got "
                                "one beyond; the shares of the two sides do not fit, start a new run")
        self._opened[name] = np.rint(scores * 2**SCORE_STEP_BITS) / 2**SCORE_STEP_BITS

    def _end(self) -> list[Message]:
        """All slices are open."""
        return []

    def result(self) -> Scores | None:
        """Log-odds before calibration per slice, float (m,)."""
        return None if self._due else self._opened

    def snapshot(self) -> bytes:
        """The own share and what was opened so far."""
        return pack({"share": self._share} | {f"open.{name}": scores for name, scores in self._opened.items()}
                    | {"left": len(self._due)})

    def restore(self, state: bytes) -> None:
        """Take back a snapshot."""
        saved = unpack(state)
        self._share, left = saved["share"], saved["left"]
        self._due = self._due[len(self._due) - left:]
        self._opened = {name: saved[f"open.{name}"] for name in self._places if f"open.{name}" in saved}


class LabelSharedHoldout(LabelSharedScores):
    """`judge(scores)` says whether the joint model may be published; the platform is told."""

    def __init__(
        self, platform: str, model: SharedModel, columns: Mapping[str, np.ndarray], data: bytes,
        judge: Callable[[Scores], bool],
    ):
        super().__init__(platform, model, columns, data)
        self._judge = judge

    def _end(self) -> list[Message]:
        return verdicts(self._judge(self._opened), (self._platform,))
