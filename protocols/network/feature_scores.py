"""The platform's side of scoring rows that were not trained on: it opens their numbers to the bank, piece by piece.

    bank -> platform   piece.request      which piece is next
    platform -> bank   piece.reply        (release = "shared") X·W of the piece: a fresh share
    bank -> platform   square.request     (shared, strict) its share of the units, encrypted
    platform -> bank   square.reply       (shared, strict) a fresh share of their products
    platform -> bank   embeddings.SLICE   what opens the piece; activations.SLICE where the layer is strict
    bank -> platform   verdict            hold-out only

With owner release the platform has W and computes Z itself.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np

from protocols.crypto import elementwise
from protocols.crypto.keys import PeerKeys
from protocols.crypto.product import MatrixTiles
from protocols.crypto.ring import RING
from protocols.errors import ConfigError, DataError, MalformedMessage
from protocols.network import exact, square
from protocols.network import source_layer as layer
from protocols.network.halves import FeatureHalf
from protocols.network.pieces import Piece, coarse, pieces, take_request
from protocols.network.score_flood import cover, tags
from protocols.role import Message, Opening
from protocols.scorecard.holdout import ToldVerdict
from protocols.scorecard.layout import FEATURE_BITS
from protocols.scorecard.stepwise import Stepwise
from protocols.state import pack, unpack

Admit = Callable[[Sequence[str], np.ndarray], None]
CACHE_BYTES = 1 << 26


class FeatureNetworkScores(Stepwise):
    """`columns`: per slice (m, d) whitened, in joint row order. With shared release also `people`: their identifiers,
    normalised, all slices one after the other, and `admit(people, tags)`, which records which versions of whom are
    opened before anything leaves, or raises PolicyRefused."""

    def __init__(
        self, bank: str, half: FeatureHalf, columns: Mapping[str, np.ndarray], people: Sequence[str] = (),
        admit: Admit | None = None,
    ):
        self._bank, self._half, self._people, self._admit = bank, half, people, admit
        self._columns = np.concatenate([layer.fixed_columns(part) for part in columns.values()])
        self._pieces = pieces({name: len(part) for name, part in columns.items()}, half.settings)
        self._check()
        self._s = {"expect": "piece.request", "done": 0, "data": b""}

    def _check(self) -> None:
        if self._shared and self._half.settings.strict:
            square.check_truncations(len(self._columns), self._half.settings)
        if self._columns.shape[1] != self._half.columns:
            raise DataError(f"expected {self._half.columns} encoded columns for this model, got "
                            f"{self._columns.shape[1]}")
        if self._shared and (self._admit is None or len(self._people) != len(self._columns)):
            raise ConfigError("expected for a shared model who the rows are and what admits them, got "
                              f"{len(self._people)} identifiers for {len(self._columns)} rows")

    @property
    def _shared(self) -> bool:
        return self._half.share is not None

    @cached_property
    def _keys(self) -> PeerKeys:
        return PeerKeys.from_bytes(self._half.peer_public)

    @property
    def _sent(self) -> bool:
        return self._s["expect"] is None

    @property
    def expects(self) -> str | None:
        """The bank, until all pieces are open."""
        return None if self._sent else self._bank

    @property
    def progress(self) -> tuple[int, int]:
        """Pieces opened, and all."""
        return self._s["done"], len(self._pieces)

    def start(self) -> list[Message]:
        """The bank begins."""
        return []

    def _on_piece_request(self, payload: bytes) -> list[Message]:
        data = take_request(payload, self._s["done"], self._half.sealed if self._shared else None)
        if self._s["done"] == 0:
            self._admit_all(data)
        elif data != self._s["data"]:
            raise MalformedMessage("expected one name of the bank's data for all pieces, got another")
        piece = self._pieces[self._s["done"]]
        if not self._shared:
            return self._open_piece(piece, self._clear(piece))
        reply, share = self._multiplied(piece)
        answer = Message(self._bank, "piece.reply", reply)
        if self._half.settings.strict:
            self._s |= {"units": square.units(share, second=True), "expect": "square.request"}
            return [answer]
        return [answer, *self._open_piece(piece, self._covered(piece, share))]

    def _on_square_request(self, payload: bytes) -> list[Message]:
        z, piece = self._s.pop("units"), self._pieces[self._s["done"]]
        reply, cross = elementwise.answer(self._keys, [(payload, z)])
        share = square.opened_share(z, cross, self._half.settings)
        return [Message(self._bank, "square.reply", reply), *self._open_piece(piece, self._covered(piece, share))]

    def _admit_all(self, data: bytes) -> None:
        self._s["data"] = data
        if self._shared:
            self._admit(self._people, tags(self._half.secret, self._people, self._columns, data))

    def _open_piece(self, piece: Piece, payload: bytes) -> list[Message]:
        """What opens a piece, after which the next is due."""
        done = self._s["done"] + 1
        self._s |= {"done": done, "expect": "piece.request" if done < len(self._pieces) else None}
        kind = f"{self._half.settings.kind}.{piece.name}"
        return [Message(self._bank, kind, payload, Opening(kind, self._bank, piece.count * self._half.settings.width))]

    def _clear(self, piece: Piece) -> bytes:
        """Owner release: computed in the clear."""
        z = self._columns[piece.among_all] / 2.0**FEATURE_BITS @ self._half.weights
        return coarse(square.in_clear(z, self._half.settings) if self._half.settings.strict else z)

    def _multiplied(self, piece: Piece) -> tuple[bytes, np.ndarray]:
        """Reply and own share (2, rows·numbers) of X·W, by the upload that the training pinned."""
        half, columns = self._half, self._columns[piece.among_all]
        if half.settings.strict:
            weights = square.forward_weights(half.share, half.weight_bits, second=True)
            return exact.answer(columns, self._keys, weights, half.received, exact.scoring_grid(half.columns))
        tiles = MatrixTiles(columns, layout=layer.SCORING_LAYOUT, cache_bytes=CACHE_BYTES)
        return layer.answer_forward(tiles, self._keys, half.share, half.received, half.settings.width,
                                    half.weight_bits, layer.SCORING_LAYOUT)

    def _covered(self, piece: Piece, share: np.ndarray) -> bytes:
        """The share of a piece under both floods."""
        place = piece.among_all
        floods = cover(self._half.secret, self._people[place], self._columns[place], self._s["data"],
                       self._half.settings.width)
        return RING.to_bytes(RING.add(share, floods))

    def result(self) -> bool | None:
        """True once all is sent."""
        return self._sent or None

    def snapshot(self) -> bytes:
        """How far it is, and the name of the bank's data."""
        return pack(self._s)

    def restore(self, state: bytes) -> None:
        """Take back a snapshot."""
        self._s = unpack(state)


class FeatureNetworkHoldout(ToldVerdict, FeatureNetworkScores):
    """Ends with the bank's verdict: 1, keep your half; 0, the joint model is no better, discard it."""

    what = "hold-out of a network"

    def snapshot(self) -> bytes:
        """How far it is, and the verdict, if it came."""
        return pack(self._s | {"kept": self._kept})
