"""What all roles of a training are: one message is due at a time, and one that is refused changes nothing."""
from __future__ import annotations

from typing import Any

from protocols.errors import MalformedMessage
from protocols.role import Message, Role


class Stepwise(Role):
    """A message of kind `a.b` goes to `_on_a_b(payload)`.

    `_s`: all state that changes, replaced entry by entry and never inside one; `_s["expect"]`: the kind that is due, of
    the party `expects`, or None.
    """

    _s: dict[str, Any]

    def handle(self, message: Message) -> list[Message]:
        """Take the one message that may come now; MalformedMessage for any other, which changes nothing."""
        due = self._s["expect"]
        if due is None or (message.peer, message.kind) != (self.expects, due):
            raise MalformedMessage(f"training: expected {due or 'nothing more'} from {self.expects or 'anybody'}, got "
                                   f"{message.kind} from {message.peer}")
        before = dict(self._s)
        try:
            return getattr(self, "_on_" + due.replace(".", "_"))(message.payload)
        except Exception:
            self._s = before
            raise
