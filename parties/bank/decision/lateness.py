"""How late somebody paid, and when: so that a look at a limit counts what came after the last one, and only once."""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Late:
    """So many days past due at a moment: just before a payment, or now."""

    days: int
    at: datetime

    def since(self, looked: datetime | None) -> int:
        """Of these days, those after a look at the limit; all of them when nobody has looked yet."""
        if looked is None:
            return self.days
        return max(0, min(self.days, -((looked - self.at) // _DAY)))


def worst(late: Iterable[Late]) -> int:
    """The most days; 0 for who was never late."""
    return max((one.days for one in late), default=0)


def worst_since(late: Iterable[Late], looked: datetime | None) -> int:
    """The most days that fell after a look; a lateness that the look has seen counts from there on."""
    return max((one.since(looked) for one in late), default=0)


def last(late: Iterable[Late]) -> datetime | None:
    """When somebody was last late, None for never."""
    return max((one.at for one in late if one.days), default=None)
