"""Drives roles against each other in one process, as the daemons and the hub do."""
from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable

from protocols.crypto.aggregate import add
from protocols.role import SUM, Message, Role


def drive(first, second, names=("bank", "platform"), on_message=None) -> None:
    """Two roles, until both have a result; fails when neither can go on."""
    drive_all(dict(zip(names, (first, second), strict=True)), on_message)


class Network:
    """Messages under way, in order per sender and receiver; summands wait until all have come."""

    def __init__(self):
        self._queues: dict[tuple[str, str], deque[Message]] = defaultdict(deque)
        self._waiting: dict[tuple, dict[str, deque[Message]]] = defaultdict(lambda: defaultdict(deque))
        self._sums: dict[tuple[str, tuple[str, ...]], deque[Message]] = defaultdict(deque)

    def send(self, sender: str, message: Message) -> None:
        if not message.contributors:
            self._queues[message.peer, sender].append(message)
            return
        waiting = self._waiting[message.peer, message.kind, message.contributors]
        waiting[sender].append(message)
        if all(waiting[name] for name in message.contributors):
            parts = [waiting[name].popleft() for name in message.contributors]
            total = None
            for part in parts:
                total = add(total, part.payload)
            self._sums[message.peer, message.contributors].append(Message(message.peer, message.kind, bytes(total)))

    def next_for(self, receiver: str, role: Role) -> tuple[str, Message] | None:
        """(sender, message) that the role may have now."""
        if role.expects == SUM:
            sums = self._sums[receiver, role.summands]
            return (SUM, sums.popleft()) if sums else None
        senders = [role.expects] if role.expects else [s for r, s in self._queues if r == receiver]
        for sender in senders:
            if self._queues[receiver, sender]:
                return sender, self._queues[receiver, sender].popleft()
        return None


def drive_all(
    roles: dict[str, Role], on_message: Callable[[str, Message], None] | None = None, network: Network | None = None
) -> None:
    """Deliver until every role has a result; fails when none can go on."""
    network = network or Network()
    for name, role in roles.items():
        for message in role.start():
            network.send(name, message)
    while (due := _due(roles, network)) is not None:
        receiver, sender, message = due
        if on_message is not None:
            on_message(sender, message)
        for answer in roles[receiver].handle(Message(sender, message.kind, message.payload)):
            network.send(receiver, answer)
    for name, role in roles.items():
        if role.result() is None:
            raise AssertionError(f"{name} has no result and no message is under way")


def _due(roles: dict[str, Role], network: Network) -> tuple[str, str, Message] | None:
    for name, role in roles.items():
        found = network.next_for(name, role)
        if found is not None:
            return (name, *found)
    return None
