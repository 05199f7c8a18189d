"""Between gRPC messages and the models of messages.py, by field name: both have the same."""
from __future__ import annotations

import json
from typing import Any, TypeVar

from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from pydantic import BaseModel, ValidationError

from parties.bank.service.refusals import Unprocessable
from protocols.strict import first_problem

M = TypeVar("M", bound=BaseModel)
R = TypeVar("R", bound=Message)
Told = dict[str, Any]


def plain(message: Message) -> Told:
    """Fields of a message that are set, by name; numbers stay numbers."""
    found: Told = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            found[field.name] = dict(value)
        elif field.is_repeated:
            found[field.name] = [plain(one) if isinstance(one, Message) else one for one in value]
        elif not field.has_presence:
            found[field.name] = value
        elif message.HasField(field.name):
            found[field.name] = plain(value) if isinstance(value, Message) else value
    return found


def read(model: type[M], told: Told) -> M:
    """A model from plain fields; Unprocessable names fields, never their values."""
    try:
        return model.model_validate(told)
    except ValidationError as error:
        raise Unprocessable(first_problem(error)) from None


def apart(model: type[M], told: Told) -> tuple[M, Told]:
    """What HTTP has in the path, as a model, and the fields of its body."""
    rest = {name: value for name, value in told.items() if name not in model.model_fields}
    return read(model, {name: value for name, value in told.items() if name in model.model_fields}), rest


def written(body: bytes | BaseModel, cls: type[R]) -> R:
    """A reply from a model, or from its JSON."""
    text = body.model_dump_json().encode() if isinstance(body, BaseModel) else body
    return ParseDict(json.loads(text), cls())
