"""Entries of `parsers.py`: what both sides of a network's training read."""
from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from protocols.role import Message, Role
from tests.attacks.samples import Parser
from tests.keys import key_pair
from tests.protocols.network.problems import Task
from tests.protocols.network.problems import task as population
from tests.protocols.scorecard.simulator import drive

READ = ("protocols.scorecard.stepwise.Stepwise.handle", "protocols.network.training.NetworkRole._parse_setup")
OTHER = {"bank": "platform", "platform": "bank"}


@cache
def _task() -> Task:
    return population(12, 2, width=1, epochs=1, batch_rows=12, release="owner")


@cache
def _taped() -> dict[tuple[str, str], tuple[bytes, bytes, bytes | None]]:
    """By receiver and kind: its state when the first such message came, the payload, and the peer's keys."""
    roles, tape = dict(zip(("bank", "platform"), _task().roles(key_pair("bank")), strict=True)), {}

    def on_message(sender: str, message: Message) -> None:
        role = roles[message.peer]
        tape.setdefault((message.peer, message.kind), (role.snapshot(), message.payload, role.peer_public))

    drive(*roles.values(), on_message=on_message)
    return tape


def _take(receiver: str, kind: str, data: bytes) -> object:
    state, _, public = _taped()[receiver, kind]
    role: Role = _task().label_network(key_pair("bank")) if receiver == "bank" else _task().feature_network(public)
    role.restore(state)
    return role.handle(Message(OTHER[receiver], kind, data))


def network() -> Iterator[Parser]:
    kinds = {"bank": ("setup", "init", "forward.reply", "embeddings", "backward.reply"),
             "platform": ("setup", "init", "forward.request", "backward.request", "epoch", "weights")}
    for receiver, names in kinds.items():
        for kind in names:
            yield Parser(f"{kind} of a network at the {receiver}",
                         lambda data, receiver=receiver, kind=kind: _take(receiver, kind, data),
                         lambda receiver=receiver, kind=kind: [_taped()[receiver, kind][1]], READ, 4)
