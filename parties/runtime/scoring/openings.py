"""Openings of joint scoring on their way from the scoring process into the audit log, which the daemon writes."""
from __future__ import annotations

import re
from typing import Any

from protocols.errors import SealscoreError
from protocols.openings import TABLE

METHOD = "online_openings"  # of the daemon's local socket
KINDS = frozenset(kind.name for kind in TABLE if kind.run == "online")
_TEXTS = {"run": re.compile(r"r-[0-9a-f]{16}"), "phase": re.compile("online"), "learner": re.compile(
    r"[a-z][a-z0-9-]{0,31}"), "day": re.compile(r"\d{4}-\d\d-\d\d"), "what": re.compile("|".join(sorted(KINDS)))}


def entry(model: str, bank: str, kind: str, count: int, day: str) -> dict[str, Any]:
    """What the audit log keeps: an opening of the training that made the model."""
    return {"run": "r-" + model.removeprefix("m-"), "phase": "online", "what": kind, "learner": bank, "count": count,
            "day": day}


def records(body: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Records for the log out of the body of a local call; SealscoreError for anything else."""
    entries = body.get("openings")
    if not isinstance(entries, list) or not all(map(_is_entry, entries)):
        raise SealscoreError("expected openings of joint scoring: run, phase, what, learner, count, day")
    return [("opening", one) for one in entries]


def _is_entry(one: Any) -> bool:
    return (isinstance(one, dict) and set(one) == {*_TEXTS, "count"} and type(one["count"]) is int
            and 0 < one["count"] < 2**53
            and all(isinstance(one[name], str) and rule.fullmatch(one[name]) for name, rule in _TEXTS.items()))
