"""How far the stores of a node had come, as its own audit log says: an older copy that is put back contradicts it.

A record of kind `state` is one of

    {"event": "marked", "stores": {NAME: n}}    the counter of each ledger, at a start, and when a run begins or ends
    {"event": "restored", "made_at"}            the home was made from a backup of that time
    {"event": "acknowledged", "behind", "by", "reason"}     a person here knows that these stores are older copies

and each `egress` record names the step that sent it, counted in the store of its run.
"""
from __future__ import annotations

from protocols.audit import Record

KIND = "state"


class Marks:
    """Takes all records in order; `least` is what each store must have reached, by file name or run."""

    def __init__(self) -> None:
        self.least: dict[str, int] = {}

    def take(self, record: Record) -> None:
        """Learn from one record."""
        body = record.body
        if record.kind == "egress" and isinstance(body.get("step"), int):
            self._raise(str(body.get("run")), body["step"] - 1)  # the step is recorded, then kept: a crash lies between
        elif record.kind == KIND and body.get("event") == "marked":
            for name, count in body["stores"].items():
                self._raise(name, count)
        elif record.kind == KIND:
            for name in body.get("behind", list(self.least)):  # a restored home has none of the runs under way
                self.least.pop(name, None)

    def _raise(self, name: str, count: int) -> None:
        self.least[name] = max(count, self.least.get(name, 0))
