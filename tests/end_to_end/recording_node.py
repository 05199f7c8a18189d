"""A party's node as `sealscore ROLE serve FILE` runs it, recorded.

    python -m tests.end_to_end.recording_node ROLE FILE RECORD
"""
from __future__ import annotations

import json
import sys
from pathlib import Path

from parties.bank.sides import bank_side
from parties.platform.sides import platform_side
from parties.runtime import serve as serving
from parties.runtime.daemon import Daemon
from parties.runtime.egress import Egress
from parties.runtime.hub_client import HubClient
from parties.runtime.run_store import RunStore
from protocols.crypto.box import Box
from protocols.crypto.sealing import Session
from tests.end_to_end.recording import Recorder

SIDES = {"bank": bank_side, "platform": platform_side}
SECRETS = ("keys", "align.role.bank", "align.role.platform", "align.salt", "train.role")


def record(recorder: Recorder) -> None:
    """Wrap every way out of the node."""

    class RecordedDaemon(Daemon):
        def __init__(self, party, side):
            super().__init__(party, side, lambda way, frame: recorder.add(f"frame.{way}", frame))

        def _told(self, call: str, body: dict) -> dict:
            reply = getattr(super(), call)(body)
            recorder.add("control", json.dumps(reply).encode(), str(body.get("run", "")), call)
            return reply

        def agree(self, body: dict) -> dict:
            return self._told("agree", body)

        def execute(self, body: dict) -> dict:
            return self._told("execute", body)

        def publish(self, body: dict) -> dict:
            return self._told("publish", body)

        def witness(self, body: dict) -> dict:
            return self._told("witness", body)

    serving.Daemon = RecordedDaemon
    _wrap(Egress, "release", lambda self, phase, step, messages, *rest: [
        recorder.add("payload", m.payload, self._run, f"{phase}.{m.kind}") for m in messages])
    _wrap(HubClient, "_call", lambda self, method, request: recorder.add("control", request, name=method))
    _wrap(Session, "seal", lambda self, *parts: recorder.add("envelope", parts[-1]))
    _wrap(RunStore, "commit", lambda self, facts, *rest: [
        recorder.add("secret", value, self.run_of_record, name) for name, value in facts.items()
        if name in SECRETS and value is not None])
    first = RunStore.__init__

    def init(self, path: Path, box: Box) -> None:
        self.run_of_record = path.parent.name
        first(self, path, box)

    RunStore.__init__ = init


def _wrap(owner: type, name: str, before) -> None:
    """Call `before` with the arguments of a method, then the method."""
    method = getattr(owner, name)

    def wrapped(self, *arguments, **named):
        before(self, *arguments, *named.values())
        return method(self, *arguments, **named)

    setattr(owner, name, wrapped)


if __name__ == "__main__":
    role, config, out = sys.argv[1:]
    record(Recorder(Path(out)))
    serving.serve(Path(config), role, SIDES[role])
