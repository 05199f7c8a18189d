"""Drives two roles against each other in one process, as the daemons do over the hub."""
from __future__ import annotations

from collections import deque


def drive(first, second, names=("bank", "platform"), on_message=None) -> None:
    """Deliver messages in order until both roles have a result; fails when neither can go on."""
    roles = dict(zip(names, (first, second), strict=True))
    queue = deque((name, message) for name, role in roles.items() for message in role.start())
    while queue:
        sender, message = queue.popleft()
        if on_message is not None:
            on_message(sender, message)
        received = type(message)(sender, message.kind, message.payload)
        queue.extend((message.peer, answer) for answer in roles[message.peer].handle(received))
    for name, role in roles.items():
        if role.result() is None:
            raise AssertionError(f"{name} has no result and no message is under way")
