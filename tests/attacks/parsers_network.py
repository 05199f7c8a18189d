"""Entries of `parsers.py`: what both sides of a network's training read."""
from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np

from protocols.binning.columns import ColumnData
from protocols.network.columns import NetworkEncoder
from protocols.network.halves import FeatureHalf, LabelHalf
from protocols.role import Message, Role
from tests.attacks.samples import Parser, encoded, value_of
from tests.keys import key_pair
from tests.protocols.network.finished import Finished, finished
from tests.protocols.network.problems import Task
from tests.protocols.network.problems import task as population
from tests.protocols.scorecard.simulator import drive

READ = ("protocols.scorecard.stepwise.Stepwise.handle", "protocols.network.training.NetworkRole._parse_setup")
PIECES = {"owner": ("piece.request", "embeddings.batch"),
          "shared": ("piece.request", "piece.reply", "embeddings.batch"),
          "strict": ("piece.request", "piece.reply", "square.request", "square.reply", "activations.batch")}
OTHER = {"bank": "platform", "platform": "bank"}


@cache
def _task(release: str = "owner") -> Task:
    """`release`: owner, shared, or strict, which is shared."""
    more = {"activation": "square"} if release == "strict" else {}
    return population(12, 2, width=1, epochs=1, batch_rows=12, release=release.replace("strict", "shared"), **more)


@cache
def _finished(release: str) -> Finished:
    """`release`: owner, shared, or strict, which is shared."""
    more = {"activation": "square"} if release == "strict" else {}
    return finished(key_pair("bank"), {"batch": 3}, 2, release.replace("strict", "shared"), width=1, **more)


def _score(name: str, rows: slice, z: np.ndarray) -> np.ndarray:
    return z[:, 0]


@cache
def _asked(release: str) -> list[bytes]:
    """All messages of the only piece."""
    done = _finished(release)
    sent: list[bytes] = []
    drive(done.bank(_score), done.platform(), on_message=lambda sender, message: sent.append(message.payload))
    return sent


def _take_of_piece(release: str, number: int, data: bytes) -> object:
    """Damaged message `number` at whom it is for, after the good ones before it."""
    bank, platform = _finished(release).bank(_score), _finished(release).platform()
    if number > 0:
        bank.start()
    for kind, body in zip(PIECES[release][:number + 1], [*_asked(release)[:number], data], strict=True):
        receiver, sender = (platform, "bank") if kind.endswith(".request") else (bank, "platform")
        taken = receiver.handle(Message(sender, kind, body))
    return taken


def _scoring() -> Iterator[Parser]:
    for release, kinds in PIECES.items():
        for number in range(len(kinds)):
            yield Parser(f"message {number} of a piece scored by a network, {release}",
                         lambda data, release=release, number=number: _take_of_piece(release, number, data),
                         lambda release=release, number=number: [_asked(release)[number]], READ, 6)
        for kind in (LabelHalf, FeatureHalf):
            yield Parser(f"{kind.__name__} of a network in the vault, {release}", kind.from_bytes,
                         lambda release=release, kind=kind: [_half(release, kind).to_bytes()],
                         (f"protocols.network.halves.{kind.__name__}.from_bytes",), 6)


def _half(release: str, kind: type) -> LabelHalf | FeatureHalf:
    return _finished(release).label if kind is LabelHalf else _finished(release).feature


@cache
def _taped(release: str = "owner") -> dict[tuple[str, str], tuple[bytes, bytes, bytes | None]]:
    """By receiver and kind: its state when the first such message came, the payload, and the peer's keys."""
    roles, tape = dict(zip(("bank", "platform"), _task(release).roles(key_pair("bank")), strict=True)), {}

    def on_message(sender: str, message: Message) -> None:
        role = roles[message.peer]
        tape.setdefault((message.peer, message.kind), (role.snapshot(), message.payload, role.peer_public))

    drive(*roles.values(), on_message=on_message)
    return tape


def _take(release: str, receiver: str, kind: str, data: bytes) -> object:
    task = _task(release)
    state, _, public = _taped(release)[receiver, kind]
    role: Role = task.label_network(key_pair("bank")) if receiver == "bank" else task.feature_network(public)
    role.restore(state)
    return role.handle(Message(OTHER[receiver], kind, data))


KINDS = [*(("owner", "bank", kind) for kind in ("setup", "init", "forward.reply", "embeddings", "backward.reply")),
         *(("owner", "platform", kind) for kind in ("setup", "init", "forward.request", "backward.request", "epoch",
                                                    "weights")),
         ("shared", "platform", "sealed"),
         *(("strict", "bank", kind) for kind in ("forward.reply", "square.reply", "activations", "slope.reply")),
         *(("strict", "platform", kind) for kind in ("forward.request", "square.request", "slope.request",
                                                     "backward.request", "sealed"))]


def _encoder() -> list[bytes]:
    numbers = {"age": ColumnData.of_numbers(np.arange(200.0)), "job": ColumnData.of_labels(["clerk", "cook"] * 100)}
    return [encoded(NetworkEncoder.fit(numbers, 20).to_json())]


def network() -> Iterator[Parser]:
    """Both roles of a training, one piece of scoring, the halves, and how the bank's columns are read."""
    yield from _scoring()
    yield Parser("encoder of a network", lambda data: NetworkEncoder.from_json(value_of(data)), _encoder,
                 ("protocols.network.columns.NetworkEncoder.from_json",), 20, True)
    for place in KINDS:
        yield Parser(f"{place[2]} of a network at the {place[1]}, {place[0]}",
                     lambda data, place=place: _take(*place, data),
                     lambda place=place: [_taped(place[0])[place[1:]][1]], READ, 4)
