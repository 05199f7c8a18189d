"""What a peer may not send in a training is a MalformedMessage, at every point of it, and changes no state."""
from __future__ import annotations

import struct

import pytest

from protocols.crypto.ring import RING
from protocols.errors import MalformedMessage
from protocols.role import Message, Role
from protocols.scorecard.training import SETUP
from tests.protocols.scorecard.problems import problem
from tests.protocols.scorecard.simulator import drive

KINDS = ("setup", "init", "forward.request", "forward.reply", "residual.request", "residual.reply",
         "backward.request", "backward.reply", "norms.request", "norms.reply", "step.size",
         "coefficients", "nothing more", "_end_step", "")
SHARES = ("init", "coefficients")


def malformed(message: Message, sender: str) -> list[tuple[str, Message]]:
    """Variants of a message that is due, each wrong in one way."""
    body = message.payload
    found = [
        ("cut short", Message(sender, message.kind, body[:-1])),
        ("empty", Message(sender, message.kind, b"")),
        ("one byte more", Message(sender, message.kind, body + b"\0")),
        ("another sender", Message("stranger", message.kind, body)),
    ]
    found += [(f"kind {kind!r}", Message(sender, kind, body)) for kind in KINDS if kind != message.kind]
    if message.kind in SHARES:
        beyond = struct.pack("<Q", RING.q[0]) + body[8:]
        found.append(("a residue that is not reduced", Message(sender, message.kind, beyond)))
    if message.kind == "step.size":
        found += [("a step off the grid", Message(sender, message.kind, struct.pack("<b", k))) for k in (-41, 11)]
    return found


def assert_only_this_is_taken(receiver: Role, message: Message, sender: str) -> None:
    """Every variant of the message that is due is refused and changes nothing."""
    before = receiver.snapshot()
    for what, variant in malformed(message, sender):
        with pytest.raises(MalformedMessage):
            receiver.handle(variant)
            pytest.fail(f"{message.kind}: {what} was taken")
        assert receiver.snapshot() == before, f"{message.kind}: {what} changed the state"


def test_at_every_point_only_the_message_that_is_due_is_taken(bank_keys, platform_keys) -> None:
    task, checked = problem(220, 2, 2, steps=1, seed=31), set()
    roles = {"bank": task.label_trainer(bank_keys), "platform": task.feature_trainer(platform_keys)}

    def on_message(sender: str, message: Message) -> None:
        receiver = roles[message.peer]
        if (message.peer, message.kind, receiver.progress[0] in (0, 6)) in checked:
            return
        checked.add((message.peer, message.kind, receiver.progress[0] in (0, 6)))
        assert_only_this_is_taken(receiver, message, sender)

    drive(*roles.values(), on_message=on_message)
    assert {kind for _, kind, _ in checked} == set(KINDS[:12])


def test_a_message_that_comes_twice_is_refused(bank_keys, platform_keys) -> None:
    task, repeated = problem(220, 2, 2, steps=1, seed=32), 0
    roles = {"bank": task.label_trainer(bank_keys), "platform": task.feature_trainer(platform_keys)}
    last: dict[str, Message] = {}

    def on_message(sender: str, message: Message) -> None:
        nonlocal repeated
        if message.peer in last and last[message.peer].kind != message.kind:
            with pytest.raises(MalformedMessage):
                roles[message.peer].handle(last[message.peer])
            repeated += 1
        last[message.peer] = Message(sender, message.kind, message.payload)

    drive(*roles.values(), on_message=on_message)
    assert repeated > 50
    for name, role in roles.items():
        with pytest.raises(MalformedMessage, match="nothing more"):
            role.handle(last[name])


@pytest.mark.parametrize(
    ("rows", "columns", "match"),
    [(219, 2, "training rows"), (220, 0, "columns"), (220, 65537, "columns"), (2**63, 2, "training rows")],
)
def test_a_setup_that_does_not_fit_is_refused(bank_keys, platform_keys, rows, columns, match) -> None:
    task = problem(220, 2, 2, seed=33)
    bank, keys = task.label_trainer(bank_keys), platform_keys.public_bytes()
    with pytest.raises(MalformedMessage, match=match):
        bank.handle(Message("platform", "setup", SETUP.pack(rows, rows, columns) + keys))
    assert bank.peer_public is None
