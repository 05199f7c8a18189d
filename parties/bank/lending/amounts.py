"""Exact arithmetic of a loan: interest in units of 10^-18 fen, whole fen where money is charged, splits that never
drift.

Interest of a day is principal (fen) times daily rate, an integer number of units: nothing is rounded while it
accrues. What is charged is the sum of all days rounded half up once, less what was charged before, so the remainder
of each posting is carried to the next and the total is never off by more than half a fen.
"""
from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Context, Decimal

UNIT = 10**18
_EXACT = Context(prec=60)


def scaled(rate: Decimal) -> int:
    """A rate or share of at most 18 decimal places as an integer of 10^-18; ValueError if it has more."""
    units = rate.scaleb(18, _EXACT)
    if units != units.to_integral_value(context=_EXACT):
        raise ValueError(f"expected at most 18 decimal places, got {rate}")
    return int(units)


def rounded(units: int) -> int:
    """Whole fen of an amount >= 0 in units, half up."""
    return (2 * units + UNIT) // (2 * UNIT)


def fraction_of(fen: int, rate: Decimal) -> int:
    """fen times rate in whole fen, half up: a fee."""
    return int(_EXACT.multiply(Decimal(fen), rate).to_integral_value(ROUND_HALF_UP, _EXACT))


def apportion(total: int, weights: Sequence[int]) -> tuple[int, ...]:
    """`total` >= 0 split over weights > 0; the parts add up to it, and none falls when the total rises.

    The method of Sainte-Laguë and Webster: fen number j of part k has rank (2j-1)/w_k (ties: the earlier part), and the
    `total` first ranks are given out (Balinski and Young 1982, Fair Representation, appendix A, theorems 4.3 and 6.2:
    divisor methods are monotone, and with up to three parts this one stays within one fen of the exact share). Largest
    remainders do not have the first property: from one day to the next a partner would owe a fen back.
    """
    whole = sum(weights)
    parts = [(2 * total * weight + whole) // (2 * whole) for weight in weights]
    while (missing := total - sum(parts)) != 0:
        if missing > 0:
            parts[min(_ranks(parts, weights, 1))[1]] += 1
        else:
            parts[max(_ranks(parts, weights, -1))[1]] -= 1
    return tuple(parts)


def _ranks(parts: Sequence[int], weights: Sequence[int], step: int) -> list[tuple[_Ratio, int]]:
    """The rank of each part's next fen (step 1) or of its last one (step -1, where it has one), with the part."""
    return [(_Ratio(2 * part + step, weight), k) for k, (part, weight) in enumerate(zip(parts, weights, strict=True))
            if step > 0 or part > 0]


class _Ratio:
    """A fraction that compares by cross-multiplication, without reducing."""

    __slots__ = ("over", "under")

    def __init__(self, over: int, under: int):
        self.over, self.under = over, under

    def __lt__(self, other: _Ratio) -> bool:
        return self.over * other.under < other.over * self.under

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Ratio) and self.over * other.under == other.over * self.under

    __hash__ = None  # type: ignore[assignment]
