"""The party's Flower client application: carries {method, body} to the resident daemon and the reply back.

It holds no state and no data. Bodies are JSON in a ConfigRecord {"body": bytes}; the daemon's socket comes from the
environment of the executor.
"""
from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from parties.runtime import local_api
from protocols.errors import MalformedMessage, SealscoreError
from protocols.json_object import json_object

SOCKET_VARIABLE = "SEALSCORE_SOCKET"
METHODS = ("agree", "execute", "publish", "witness")
RECORD = "sealscore"
CALL_TIMEOUT_S = 45.0
MAX_BODY_BYTES = 4 * 1024 * 1024

app = ClientApp()


def forward(method: str, message: Message) -> Message:
    """Ask the daemon; what it refuses, and that it is down, are replies like any other."""
    try:
        reply = local_api.call(os.environ[SOCKET_VARIABLE], method, unpack(message.content), CALL_TIMEOUT_S)
    except SealscoreError as error:
        reply = local_api.refusal(error)
    return Message(pack(reply), reply_to=message)


def pack(body: dict[str, Any]) -> RecordDict:
    """A JSON object as Flower content."""
    return RecordDict({RECORD: ConfigRecord({"body": json.dumps(body, ensure_ascii=False, allow_nan=False).encode()})})


def unpack(content: RecordDict) -> dict[str, Any]:
    """The JSON object in Flower content, or MalformedMessage."""
    record = content.get(RECORD)
    body = record.get("body") if isinstance(record, ConfigRecord) else None
    if not isinstance(body, bytes) or len(body) > MAX_BODY_BYTES or len(content) != 1:
        raise MalformedMessage(f"expected one record with a JSON body of at most {MAX_BODY_BYTES} bytes")
    return json_object(body, "the body of a control message")


def _handler(method: str) -> Callable[[Message, Context], Message]:
    return lambda message, _context: forward(method, message)


for _method in METHODS:
    app.query(_method)(_handler(_method))
