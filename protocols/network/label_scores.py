"""The bank's side of scoring rows that were not trained on: it learns their numbers, coarsely, and scores them."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from protocols.crypto import elementwise
from protocols.crypto.opening import open_shares
from protocols.crypto.ring import RING
from protocols.errors import ConfigError, ProtocolError
from protocols.network import exact, square
from protocols.network import source_layer as layer
from protocols.network.halves import LabelHalf
from protocols.network.pieces import NAME_BYTES, NUMBER, Piece, from_coarse, pieces
from protocols.role import Message
from protocols.scorecard.holdout import SCORE_STEP_BITS, verdicts
from protocols.scorecard.opened import SCALE_BITS
from protocols.scorecard.stepwise import Stepwise
from protocols.state import pack, unpack

Score = Callable[[str, slice, np.ndarray], np.ndarray]
"""Log-odds (rows,) of these rows of a slice, from their numbers (rows, width); `tower.Scorer` is the one of torch."""
Scores = dict[str, np.ndarray]


class LabelNetworkScores(Stepwise):
    """`rows`: of each slice; `data` (shared release): 32 bytes, the name of the data that the bank's columns of these
    rows come from: the same for the same data, another for any other."""

    def __init__(self, platform: str, half: LabelHalf, rows: Mapping[str, int], score: Score, data: bytes = b""):
        self._platform, self._half, self._score, self._data = platform, half, score, data
        self._slices, self._pieces = tuple(rows), pieces(rows, half.settings)
        if self._shared and len(data) != NAME_BYTES:
            raise ConfigError(f"expected {NAME_BYTES} bytes that name the bank's data, got {len(data)}")
        self._s: dict[str, Any] = {"expect": self._first(0), "done": 0}
        self._s |= {f"scores.{name}": np.zeros(0) for name in rows}

    @property
    def _shared(self) -> bool:
        return self._half.share is not None

    @property
    def expects(self) -> str | None:
        """The platform, until all pieces are open."""
        return self._platform if self._s["expect"] else None

    @property
    def progress(self) -> tuple[int, int]:
        """Pieces opened, and all."""
        return self._s["done"], len(self._pieces)

    def start(self) -> list[Message]:
        """Ask for the first piece."""
        return [self._request(0)]

    def _first(self, number: int) -> str:
        """What comes first of a piece."""
        return "piece.reply" if self._shared else self._kind(self._pieces[number])

    def _kind(self, piece: Piece) -> str:
        return f"{self._half.settings.kind}.{piece.name}"

    def _request(self, number: int) -> Message:
        version = self._half.sealed + self._data if self._shared else b""
        return Message(self._platform, "piece.request", NUMBER.pack(number) + version)

    def _piece(self) -> Piece:
        return self._pieces[self._s["done"]]

    def _on_piece_reply(self, payload: bytes) -> list[Message]:
        shape = self._piece().count, self._half.columns_peer
        if self._half.settings.strict:
            return self._ask_square(payload, *shape)
        width = self._half.settings.width
        share = layer.finish_forward(self._half.keys, payload, shape, width, layer.SCORING_LAYOUT)
        self._s |= {"share": share, "expect": self._kind(self._piece())}
        return []

    def _ask_square(self, payload: bytes, rows: int, columns: int) -> list[Message]:
        """Strict: the units of a piece stay shared."""
        half = self._half
        share = exact.finish(half.keys, payload, rows, half.settings.numbers, exact.scoring_grid(columns))
        self._s |= {"units": square.units(share, second=False), "expect": "square.reply"}
        return [Message(self._platform, "square.request", elementwise.ask(half.keys, self._s["units"]))]

    def _on_square_reply(self, payload: bytes) -> list[Message]:
        z = self._s.pop("units")
        cross = elementwise.finish(self._half.keys, payload, z.shape[1])
        self._s |= {"share": square.opened_share(z, cross, self._half.settings), "expect": self._kind(self._piece())}
        return []

    def _on_opened(self, payload: bytes) -> list[Message]:
        """A piece is open: score it and go on."""
        piece, done = self._piece(), self._s["done"] + 1
        found = self._score(piece.name, piece.rows, self._numbers(piece, payload))
        steps = np.rint(found * 2.0**SCORE_STEP_BITS) / 2.0**SCORE_STEP_BITS
        whole, ends = np.r_[self._s[f"scores.{piece.name}"], steps], done == len(self._pieces)
        self._s |= {f"scores.{piece.name}": whole, "done": done, "expect": None if ends else self._first(done)}
        return self._end() if ends else [self._request(done)]

    _on_embeddings_calibration = _on_embeddings_test = _on_embeddings_batch = _on_opened
    _on_activations_calibration = _on_activations_test = _on_activations_batch = _on_opened

    def _numbers(self, piece: Piece, payload: bytes) -> np.ndarray:
        """float64 (rows, width) of a piece."""
        width = self._half.settings.width
        if not self._shared:
            return from_coarse(payload, piece.count, width)
        share = self._s.pop("share")
        found = open_shares(self._kind(piece), share, RING.from_bytes(payload, share.shape[1])).floats(SCALE_BITS)
        if np.abs(found).max() > layer.BOUND:
            raise ProtocolError(f"expected embeddings up to {layer.BOUND:.0f}, got one beyond; the shares of the two "
                                "sides do not fit, start a new run")
        return found.reshape(width, -1).T

    def _scores(self) -> Scores:
        return {name: self._s[f"scores.{name}"] for name in self._slices}

    def _end(self) -> list[Message]:
        """All pieces are open."""
        return []

    def result(self) -> Scores | None:
        """Log-odds before calibration per slice, float (m,), in steps of 2^-5."""
        return None if self._s["expect"] else self._scores()

    def snapshot(self) -> bytes:
        """How far it is, the scores so far and the share of the piece under way."""
        return pack(self._s)

    def restore(self, state: bytes) -> None:
        """Take back a snapshot."""
        self._s = unpack(state)


class LabelNetworkHoldout(LabelNetworkScores):
    """`judge(scores)` says whether the joint model may be published; the platform is told."""

    def __init__(
        self, platform: str, half: LabelHalf, rows: Mapping[str, int], score: Score,
        judge: Callable[[Scores], bool], data: bytes = b"",
    ):
        super().__init__(platform, half, rows, score, data)
        self._judge = judge

    def _end(self) -> list[Message]:
        return verdicts(self._judge(self._scores()), (self._platform,))
