"""Small values that several repositories share, and how columns keep times and amounts."""
from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, TypeDecorator

from parties.bank.decision.values import LARGEST_FEN
from protocols.errors import UsageError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)


class Instant(TypeDecorator):
    """An aware time as whole microseconds since 1970 UTC: exact, ordered, the same on every database and session."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        """ValueError for a time without a zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("expected a time with its zone; use datetime.now(UTC)")
        return (value - _EPOCH) // _TICK

    def process_result_value(self, value: int | None, dialect: Any) -> datetime | None:
        """In UTC."""
        return None if value is None else _EPOCH + value * _TICK


@dataclass(frozen=True)
class Reader:
    """Who reads what is kept about a person, in which role and why: the access log keeps all three."""

    who: str
    role: str
    purpose: str

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, str) or not value.strip() or len(value) > 256:
                raise UsageError(f"reading a person's record needs its {name} in 1 to 256 characters")


def checked_fen(fen: int, least: int = 1) -> int:
    """The amount if it is a whole number of fen from `least` up; UsageError otherwise."""
    if isinstance(fen, bool) or not isinstance(fen, int) or not least <= fen <= LARGEST_FEN:
        raise UsageError(f"expected a whole amount of {least} to {LARGEST_FEN} fen, got {str(fen)[:32]}")
    return fen


def checked_text(name: str, text: str, most: int = 256) -> str:
    """The text if it says something and is not too long; UsageError otherwise."""
    if not isinstance(text, str) or not text.strip() or len(text) > most:
        raise UsageError(f"expected {name} in 1 to {most} characters; say it in a few words")
    return text
