"""What the demo says about decided applications: `decisions` of metrics.json, out of answers and what became of people.

`bad` compares with the labels of the synthetic population, which no service has at the time it decides. Rates carry
their 95 % interval (Wilson). Latency is what the caller waited for, in milliseconds.
"""
from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from coordinator.demo.charts import wilson

OUTCOMES = ("approved", "declined", "referred", "insufficient-data", "deferred")
EDGES = (0.0, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 1.0)  # up to 0.15 those of limits and prices
PERCENTS = (0, 1, 2, 5, *range(10, 91, 5), 92, 94, 95, 96, 97, 98, 99, 100)
MOST_REASONS = 10


@dataclass(frozen=True)
class Decided:
    """One application and what came of it. `answer`: of POST /v1/applications; `probability`: joint, where it was got;
    `score`: the joint score's status in the record, with its cause where there is no score."""

    answer: dict[str, Any]
    score: str
    probability: float | None
    milliseconds: float
    defaulted: bool
    known: bool
    held_out: bool

    @property
    def outcome(self) -> str:
        """One of OUTCOMES."""
        return self.answer["outcome"]


def figures(decided: Sequence[Decided], seconds: float) -> dict[str, Any]:
    """The whole section; `seconds` is how long all applications took together."""
    by_outcome = {name: [one for one in decided if one.outcome == name] for name in OUTCOMES}
    waits = sorted(one.milliseconds for one in decided)
    return {
        "applications": len(decided), "known_to_platform": sum(one.known for one in decided),
        "never_trained_on": sum(one.held_out for one in decided),
        "outcomes": {name: len(some) for name, some in by_outcome.items()},
        "approval_rate": len(by_outcome["approved"]) / len(decided),
        "bad": {"all": bad(decided)} | {name: bad(some) for name, some in by_outcome.items() if some},
        "offers": _offers([one.answer["offer"] for one in by_outcome["approved"]]),
        "joint_scores": dict(Counter(one.score for one in decided).most_common()),
        "bands": [_band(decided, low, high) for low, high in zip(EDGES, EDGES[1:], strict=False)],
        "reasons": reasons(one.answer for one in decided if one.outcome != "approved"),
        "latency_ms": {f"p{p}": round(quantile(waits, p / 100), 2) for p in (50, 95, 99)} | {
            "max": round(waits[-1], 2), "curve": [[p, round(quantile(waits, p / 100), 2)] for p in PERCENTS]},
        "seconds": round(seconds, 2), "per_s": round(len(decided) / seconds, 1),
    }


def bad(some: Sequence[Decided]) -> dict[str, Any]:
    """{count, events, rate, low, high}: how many of them defaulted."""
    events = sum(one.defaulted for one in some)
    low, high = wilson(events, len(some))
    return {"count": len(some), "events": events, "rate": events / len(some), "low": low, "high": high}


def _offers(offers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over approved applications, and what they come to; without any, nothing."""
    if not offers:
        return {}
    funded = Counter()
    for offer in offers:
        funded.update({share["partner"]: share["fen"] for share in offer["funding"]})
    return {
        "mean_limit_fen": round(_mean(o["limit_fen"] for o in offers)),
        "mean_amount_fen": round(_mean(o["amount_fen"] for o in offers)),
        "mean_daily_rate": _mean(float(o["daily_rate"]) for o in offers),
        "mean_annual_cost": _mean(float(o["annual_cost"]) for o in offers),
        "highest_annual_cost": max(float(o["annual_cost"]) for o in offers),
        "amount_fen": sum(o["amount_fen"] for o in offers), "funding_fen": dict(funded.most_common()),
    }


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return math.fsum(found) / len(found)


def _band(decided: Sequence[Decided], low: float, high: float) -> dict[str, Any]:
    """Applications whose joint probability lies in [low, high), the last band with its end."""
    some = [one for one in decided if one.probability is not None
            and (low <= one.probability < high or one.probability == high == EDGES[-1])]
    return {"from": low, "to": high, **(bad(some) if some else {"count": 0, "events": 0}),
            "outcomes": {name: sum(one.outcome == name for one in some) for name in OUTCOMES}}


def reasons(answers: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The most frequent reasons, {code, count, en, zh}; where texts of a code differ, the most frequent one."""
    texts: dict[str, Counter[tuple[str, str]]] = {}
    for answer in answers:
        for reason in answer["reasons"]:
            texts.setdefault(reason["code"], Counter())[reason["en"], reason["zh"]] += 1
    found = sorted(texts.items(), key=lambda item: (-item[1].total(), item[0]))[:MOST_REASONS]
    return [{"code": code, "count": told.total(), "en": told.most_common(1)[0][0][0],
             "zh": told.most_common(1)[0][0][1]} for code, told in found]


def quantile(ascending: Sequence[float], share: float) -> float:
    """The smallest value that `share` of them do not exceed."""
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)]
