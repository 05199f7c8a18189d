"""Identifiers made comparable: two parties spell one person alike after the plan's normalisation."""
from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence

from protocols.errors import ConfigError, DataError

STEPS: dict[str, Callable[[str], str]] = {
    "trim": str.strip,
    "casefold": str.casefold,
    "nfkc": lambda text: unicodedata.normalize("NFKC", text),
}


def normalise(ids: Iterable[str], steps: Sequence[str]) -> list[str]:
    """Each id after the named steps, in their order. Raises DataError for an id that is not text."""
    unknown = [step for step in steps if step not in STEPS]
    if unknown:
        raise ConfigError(f"unknown normalisation {', '.join(map(repr, unknown))}; expected some of {', '.join(STEPS)}")
    texts = list(ids)
    if odd := sum(not isinstance(text, str) for text in texts):
        raise DataError(f"{odd} of {len(texts)} ids are not text; read the id column as text on both sides")
    for step in steps:
        texts = list(map(STEPS[step], texts))
    return texts


def normalise_set(ids: Iterable[str], steps: Sequence[str]) -> list[str]:
    """`normalise`, and the result is a set: DataError if an id is empty or two become equal."""
    texts = normalise(ids, steps)
    if not texts:
        raise DataError("the table has no ids; expected at least one row")
    if empty := texts.count(""):
        raise DataError(f"{empty} of {len(texts)} ids are empty after normalisation; every row needs an id")
    if repeated := len(texts) - len(set(texts)):
        raise DataError(f"{repeated} of {len(texts)} ids repeat another one after normalisation "
                        f"({', '.join(steps) or 'none'}); expected one row per person")
    return texts
