"""Both roles of a strict training: what the source layer makes of a row stays shared, only U of `square` is opened.

    bank -> platform   forward.request   its share of W, encrypted
    platform -> bank   forward.reply     a fresh share of the units z, exact
    bank -> platform   square.request    its share of z, encrypted
    platform -> bank   square.reply      a fresh share of z_B z_P
    platform -> bank   activations       the platform's share of U, flooded: opens U of these rows to the bank
    bank -> platform   slope.request     (a batch) G, encrypted
    platform -> bank   slope.reply       (a batch) a fresh share of G z_P
    bank -> platform   backward.request  (a batch) its share of dZ, encrypted; the rest as in `training`
"""
from __future__ import annotations

import numpy as np

from protocols.crypto import elementwise
from protocols.crypto.ring import RING
from protocols.network import exact, square
from protocols.network import source_layer as layer
from protocols.network.exact import Grid
from protocols.network.feature_party import FeatureNetwork
from protocols.network.label_party import LabelNetwork
from protocols.network.settings import NetworkSettings
from protocols.network.training import NetworkRole
from protocols.role import Message


class _Strict(NetworkRole):
    def _grid(self) -> Grid:
        return Grid.cheapest(len(self._turn_rows()), self._s["columns"])

    def _forward_weights(self) -> np.ndarray:
        return square.forward_weights(self._s["w"], self._scales().weight, second=self.second)

    def prepare(self) -> None:
        """What other trainings make ahead is of no use here."""


class StrictLabelNetwork(_Strict, LabelNetwork):
    """The bank."""

    def _ask_forward(self) -> Message:
        self._s["expect"] = "forward.reply"
        return self._message("forward.request", exact.ask(self._keys, self._forward_weights(), self._grid()))

    def _on_forward_reply(self, payload: bytes) -> list[Message]:
        rows, numbers = len(self._turn_rows()), self._settings.numbers
        z = square.units(exact.finish(self._keys, payload, rows, numbers, self._grid()), second=False)
        self._s |= {"units": z, "expect": "square.reply"}
        return [self._message("square.request", elementwise.ask(self._keys, z))]

    def _on_square_reply(self, payload: bytes) -> list[Message]:
        z = self._s["units"]
        cross = elementwise.finish(self._keys, payload, z.shape[1])
        if self._in_validation():
            del self._s["units"]
        self._s |= {"z": square.opened_share(z, cross, self._settings), "expect": self._settings.kind}
        return []

    _on_activations = LabelNetwork._on_embeddings

    def _after_gradient(self, gradient: np.ndarray) -> Message:
        repeated = square.repeated(gradient, self._settings)
        self._s |= {"gradient": repeated, "expect": "slope.reply"}
        return self._message("slope.request", elementwise.ask(self._keys, repeated))

    def _on_slope_reply(self, payload: bytes) -> list[Message]:
        gradient, z = self._s["gradient"], self._s["units"]
        cross = RING.add(RING.mul(gradient, z), elementwise.finish(self._keys, payload, z.shape[1]))
        del self._s["gradient"], self._s["units"]
        return [super()._after_gradient(square.by_units(cross, self._settings, gradient))]

    def _seal(self, bits: int) -> bytes:
        return exact.ask(self._keys, self._forward_weights(), exact.scoring_grid(self._s["columns"]))


class StrictFeatureNetwork(_Strict, FeatureNetwork):
    """The platform."""

    def _on_forward_request(self, payload: bytes) -> list[Message]:
        columns = self._columns[self._turn_rows()]
        reply, share = exact.answer(columns, self._keys, self._forward_weights(), payload, self._grid())
        self._s |= {"units": square.units(share, second=True), "expect": "square.request"}
        return [self._message("forward.reply", reply)]

    def _on_square_request(self, payload: bytes) -> list[Message]:
        z = self._s["units"]
        reply, cross = elementwise.answer(self._keys, [(payload, z)])
        self._s["expect"] = "slope.request"
        if self._in_validation():
            del self._s["units"]
            self._s["expect"] = "epoch"
        return [self._message("square.reply", reply), self._opening(square.opened_share(z, cross, self._settings))]

    def _on_slope_request(self, payload: bytes) -> list[Message]:
        reply, cross = elementwise.answer(self._keys, [(payload, self._s["units"])])
        self._s |= {"slope": square.by_units(cross, self._settings), "expect": "backward.request"}
        return [self._message("slope.reply", reply)]

    def _on_backward_request(self, payload: bytes) -> list[Message]:
        columns = self._columns[self._turn_rows()]
        reply, gradient = layer.answer_backward(
            columns, self._keys, payload, self._settings.numbers, self._s["slope"])
        del self._s["slope"], self._s["units"]
        self._step(gradient)
        self._s["expect"] = "forward.request"
        return [self._message("backward.reply", reply)]

    def _check_sealed(self, payload: bytes) -> None:
        exact.requests(payload, exact.scoring_grid(self._s["columns"]), self._settings.numbers)


def bank_role(settings: NetworkSettings) -> type[LabelNetwork]:
    """What the bank is in a training with these settings."""
    return StrictLabelNetwork if settings.strict else LabelNetwork


def platform_role(settings: NetworkSettings) -> type[FeatureNetwork]:
    """What the platform is."""
    return StrictFeatureNetwork if settings.strict else FeatureNetwork
