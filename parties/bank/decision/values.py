"""Field types that the models of a decision share: money in fen, exact numbers, aware times."""
from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, PlainSerializer, StringConstraints

LARGEST_FEN = 10**13  # far above any loan, far below where an integer in JSON loses its last digit


def _no_float(value: Any) -> Any:
    if isinstance(value, float | bool):
        raise ValueError("expected a whole number or a decimal in quotes, such as \"0.0312\"")
    return value


def _whole(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("expected a whole number")
    return value


Whole = BeforeValidator(_whole)
# Bounds stand before what is called first: pydantic then checks them in its core and not in Python, at every value.
Fen = Annotated[int, Field(ge=0, le=LARGEST_FEN), Whole]
Count = Annotated[int, Field(ge=0, le=10**6), Whole]
Number = Annotated[Decimal, Field(max_digits=24, decimal_places=18), BeforeValidator(_no_float)]
Probability = Annotated[Decimal, Field(ge=0, le=1, max_digits=5, decimal_places=4), BeforeValidator(_no_float)]
Instant = Annotated[AwareDatetime, AfterValidator(lambda time: time.astimezone(UTC))]
Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Person = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Province = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Columns = Annotated[
    Mapping[Annotated[str, StringConstraints(min_length=1, max_length=128)],
            Annotated[str, StringConstraints(max_length=256)] | None],
    Field(max_length=512), AfterValidator(MappingProxyType), PlainSerializer(dict, return_type=dict),
]


def iso(time: datetime) -> str:
    """UTC with a Z, as records spell it."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
