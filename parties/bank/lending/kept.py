"""Reading back what the loan book keeps: canonical JSON of a model, to the byte."""
from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from protocols.canonical import canonical_json, parse_canonical_json
from protocols.errors import MalformedMessage
from protocols.strict import Strict, first_problem

Kept = TypeVar("Kept", bound=Strict)


def written(model: Strict) -> bytes:
    """Canonical JSON, no floats."""
    return canonical_json(model.model_dump(mode="json"))


def read(cls: type[Kept], data: bytes, most_bytes: int, what: str, whose: str = "its") -> Kept:
    """The model of which `data` is exactly what `written` gives; MalformedMessage, which names `what`, otherwise."""
    parse_canonical_json(data, most_bytes)
    try:
        model = cls.model_validate_json(data)
    except ValidationError as error:
        raise MalformedMessage(f"expected {what}: {first_problem(error)}") from None
    if written(model) != data:
        raise MalformedMessage(f"{what} in another spelling than {whose} own")
    return model
