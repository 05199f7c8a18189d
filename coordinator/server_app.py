"""The Flower server application: one process per Flower run, started by SuperExec, conducting one Sealscore run.

A party is who its registered SuperNode key says it is; names that a node reports about itself are not looked at.
"""
from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

from coordinator.canary import guard
from coordinator.conductor import Abandoned, Body, Conductor
from coordinator.config import CoordinatorConfig, load_config
from coordinator.flower.adapter import bound_reply_waits, supernode_public_key
from coordinator.registry import Registry
from coordinator.seat import seated
from coordinator.trail import Trail
from protocols.errors import MalformedMessage, RunFailed
from protocols.json_object import json_object
from protocols.node.die_with_parent import die_with_parent

RECORD = "sealscore"
CONNECT_DEADLINE_S = 60.0
ROUND_DEADLINE_S = 180.0
RESEND_S = 15.0  # a SuperLink or SuperNode that was killed forgets what it was carrying
RETRY_S = 2.0
REPLY_WAIT_S = 10.0  # for a reply of which only the announcement came: its SuperNode may have been killed
POLL_S = 0.1
SEAT_S = 60.0  # for a ServerApp whose place this one takes to notice it
MAX_BODY_BYTES = 4 * 1024 * 1024
REFUSED = 100  # the party's executor refused the archive
TRANSIENT = frozenset({3, 4, 5, 8})  # Flower's ErrorCode: message, reply or node unavailable, client crashed

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Conduct the run named in the run configuration, its only setting."""
    die_with_parent(os.getppid())  # SuperExec does not stop what it started when it is killed
    bound_reply_waits(REPLY_WAIT_S)
    config = load_config()
    guard("ServerApp", config.home, config.node.name)
    registry = Registry(config.registry_url)
    try:
        identities = {name: party.identity for name, party in config.parties.items()}
        exchange = GridExchange(grid, _registered_keys(config))
        trail = Trail(config.home, config.node.name)
        run = str(context.run_config["run"])
        conductor = Conductor(registry, run, str(context.run_id), identities, exchange, trail)
        conductor.await_turn()
        with seated(config.home, run, SEAT_S) as alone:
            if not alone:
                raise Abandoned(f"another ServerApp has conducted {run} for {SEAT_S:.0f} s more than it should")
            conductor.conduct()
    finally:
        registry.close()


def _registered_keys(config: CoordinatorConfig) -> dict[str, bytes]:
    return {n: supernode_public_key(config.resolve(p.supernode_public_key)) for n, p in config.parties.items()}


class GridExchange:
    """Asks parties through Flower. All calls may be repeated, so what is lost on the way is sent again."""

    def __init__(self, grid: Grid, keys: dict[str, bytes], clock: Callable[[], float] = time.monotonic):
        self._grid, self._keys, self._clock = grid, keys, clock

    def __call__(self, method: str, bodies: dict[str, Body], stop: Callable[[], None]) -> dict[str, Body]:
        nodes = self._connected(method, list(bodies), stop)
        replies: dict[str, Body] = {}
        waiting: dict[str, str] = {}  # message id -> party
        due_at = dict.fromkeys(bodies, 0.0)
        end = self._clock() + ROUND_DEADLINE_S
        while True:
            stop()
            now = self._clock()
            due = [p for p in bodies if p not in replies and due_at[p] <= now]
            waiting |= self._push(method, {p: bodies[p] for p in due}, nodes)
            due_at |= dict.fromkeys(due, now + RESEND_S)
            for message in self._pull(waiting):
                party = waiting.pop(message.metadata.reply_to_message_id)
                if not self._take(method, party, message, replies):
                    due_at[party] = min(due_at[party], now + RETRY_S)
            silent = [p for p in bodies if p not in replies]
            if not silent:
                return replies
            if now > end:
                raise _silent(method, silent[0], ROUND_DEADLINE_S)
            time.sleep(POLL_S)

    def _connected(self, method: str, parties: list[str], stop: Callable[[], None]) -> dict[str, int]:
        """Node ids by party, once every party's SuperNode is connected."""
        end = self._clock() + CONNECT_DEADLINE_S
        while True:
            stop()
            with _superlink():
                by_key = {bytes(n.public_key): n.node_id for n in self._grid.get_nodes()}
            missing = [p for p in parties if self._keys.get(p) not in by_key]
            if not missing:
                return {p: by_key[self._keys[p]] for p in parties}
            if self._clock() > end:
                raise _silent(method, missing[0], CONNECT_DEADLINE_S)
            time.sleep(POLL_S)

    def _push(self, method: str, bodies: dict[str, Body], nodes: dict[str, int]) -> dict[str, str]:
        """Message ids -> party."""
        parties = list(bodies)
        if not parties:
            return {}
        kind = f"query.{method}"
        messages = [Message(_pack(bodies[p]), nodes[p], kind, ttl=ROUND_DEADLINE_S) for p in parties]
        with _superlink():
            sent = zip(self._grid.push_messages(messages), parties, strict=False)
            return {message_id: party for message_id, party in sent if message_id}

    def _pull(self, waiting: dict[str, str]) -> Iterable[Message]:
        with _superlink():
            return list(self._grid.pull_messages(list(waiting))) if waiting else []

    def _take(self, method: str, party: str, message: Message, replies: dict[str, Body]) -> bool:
        """Keep a reply; False after an error that may pass; RunFailed after any other."""
        if not message.has_error():
            replies.setdefault(party, _unpack(method, party, message))
        elif message.error.code == REFUSED:
            raise RunFailed(party, method, "the party refused the application archive of this coordinator",
                            "install the same version of sealscore on all nodes")
        elif message.error.code not in TRANSIENT:
            cause = f"the party's client failed (Flower error {message.error.code})"
            raise RunFailed(party, method, cause, f"see the log of {party}'s executor")
        return party in replies


@contextlib.contextmanager
def _superlink() -> Iterator[None]:
    """What Flower raises says nothing about a party: this Flower run is given up, the run is not."""
    try:
        yield
    except Exception as fault:
        raise Abandoned(f"the SuperLink does not serve this Flower run any more ({type(fault).__name__})") from fault


def _silent(method: str, party: str, waited_s: float) -> RunFailed:
    cause = f"the party's SuperNode did not answer within {waited_s:.0f} s"
    return RunFailed(party, method, cause, f"start {party}'s node, then resume the run")


def _pack(body: Body) -> RecordDict:
    return RecordDict({RECORD: ConfigRecord({"body": json.dumps(body, ensure_ascii=False, allow_nan=False).encode()})})


def _unpack(method: str, party: str, message: Message) -> Body:
    record: Any = message.content.get(RECORD)
    body = record.get("body") if isinstance(record, ConfigRecord) else None
    try:
        if not isinstance(body, bytes) or len(body) > MAX_BODY_BYTES:
            raise MalformedMessage("no body, or a long one")
        return json_object(body, "a reply")
    except MalformedMessage:
        raise RunFailed(party, method, "the party's reply is not one JSON object",
                        "use the same version on all nodes") from None
