"""What a role of a training is given beside its data."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from protocols.network.settings import NetworkSettings


@dataclass(frozen=True)
class NetworkConfig:
    """What a role is given beside its data. The checks raise PolicyRefused.

    `check_openings(numbers per row, columns)`: the platform's; `check_rows(rows, coefficients)`: of released weights.
    """

    bank: str
    platform: str
    settings: NetworkSettings
    check_openings: Callable[[int, int], None]
    check_rows: Callable[[int, int], None]
    release: Literal["owner", "shared"] = "shared"  # what becomes of the source layer's weights
    cache_bytes: int = 1 << 26
