"""The four parts of what is owed, in the fixed order in which a payment settles them, and their split over partners."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated

from pydantic import Field

from parties.bank.decision.values import Whole
from parties.bank.lending.amounts import apportion

Amount = Annotated[int, Whole, Field(ge=0)]


@dataclass(frozen=True)
class Parts:
    """Fen by part. The order of the fields is the order in which a payment settles them."""

    fee_fen: Amount = 0
    penalty_fen: Amount = 0
    interest_fen: Amount = 0
    principal_fen: Amount = 0

    @property
    def values(self) -> tuple[int, ...]:
        """In the order of settlement."""
        return self.fee_fen, self.penalty_fen, self.interest_fen, self.principal_fen

    @property
    def total_fen(self) -> int:
        """Of all parts."""
        return sum(self.values)

    def __add__(self, other: Parts) -> Parts:
        return Parts(*(a + b for a, b in zip(self.values, other.values, strict=True)))

    def __sub__(self, other: Parts) -> Parts:
        return Parts(*(a - b for a, b in zip(self.values, other.values, strict=True)))

    def settled_by(self, fen: int) -> Parts:
        """What a payment of `fen` settles of these parts, at most all of them."""
        taken = []
        for value in self.values:
            taken.append(min(value, fen))
            fen -= taken[-1]
        return Parts(*taken)

    def split(self, weights: Sequence[int]) -> tuple[Parts, ...]:
        """Over partners: each part adds up, and no partner's falls when a total rises."""
        columns = [apportion(value, weights) for value in self.values]
        return tuple(Parts(*row) for row in zip(*columns, strict=True))


NAMES = tuple(field.name for field in fields(Parts))
