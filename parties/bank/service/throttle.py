"""Throttles by token buckets: a surge of one region or one caller must not take the service from all others.

A bucket holds at most `burst` permits and gains `rate` per second. A call takes one permit from every bucket it falls
under, or none at all. Pure: the clock's reading is an argument.
"""
from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from parties.bank.service.refusals import TooMany

MOST_KEYS = 4096  # callers and provinces together; the ones seen longest ago are forgotten


@dataclass(frozen=True)
class Rate:
    """Permits per second, and how many may be saved up."""

    per_second: float
    burst: float


class Throttle:
    """Buckets by key, such as ("all", "") or ("province", "44")."""

    def __init__(self, rates: dict[str, Rate]):
        self._rates = dict(rates)
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def take(self, keys: Iterable[tuple[str, str]], now_s: float) -> None:
        """One permit of every bucket; TooMany names the first that is empty and when to come again."""
        held = {key: self._level(key, now_s) for key in keys if key[0] in self._rates}
        for (kind, _), level in held.items():
            if level < 1:
                wait = math.ceil((1 - level) / self._rates[kind].per_second)
                raise TooMany(f"more requests than the limit per {kind} allows; come again in {wait} s", wait)
        for key, level in held.items():
            self._buckets[key] = (level - 1, now_s)
            self._buckets.move_to_end(key)
        while len(self._buckets) > MOST_KEYS:
            self._buckets.popitem(last=False)

    def _level(self, key: tuple[str, str], now_s: float) -> float:
        rate = self._rates[key[0]]
        level, then = self._buckets.get(key, (rate.burst, now_s))
        return min(rate.burst, level + max(0.0, now_s - then) * rate.per_second)
