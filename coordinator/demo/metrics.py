"""metrics.json, the contract of the demo, out of what the nodes hold when a run has ended.

One bank: the figures are those of its report. Several banks: `rows_bank`, `rows_aligned` and the other counts are sums
over banks; AUC, KS and log-loss are means over the banks, weighted by their test rows; the uplift's interval is that of
this mean; columns are the first bank's, the banks' columns being one common set. `banks` then holds the same keys for
each bank. With --ablations: `auc_platforms_only` of each bank, and `ablations`.
"""
from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from coordinator.demo.ablations import Training, without
from coordinator.demo.federation import is_bank

PHASES = ("align", "encode", "train", "evaluate", "publish")
Facts = dict[str, dict[str, Any]]  # party -> what its node holds of a run
_NOTE = "auc_pooled_oracle joins all tables in the clear; the demo harness computes it for comparison only"
_TRAINING = ("steps", "trees", "splits", "depth", "epochs", "width", "activation")
_MEANS = ("auc_joint", "ks_joint", "log_loss_joint", "auc_bank_only", "ks_bank_only", "log_loss_bank_only")


@dataclass(frozen=True)
class Outcome:
    """A training with fewer parties: its plan (canonical JSON as a dict), its run and facts, or why there is none."""

    training: Training
    plan: dict[str, Any]
    run: str | None = None
    facts: Facts | None = None
    refused: str | None = None


def collect(
    summary: dict[str, Any], facts: Facts, pooled: dict[str, Any], rows: dict[str, int], wall_s: float,
    outcomes: Sequence[Outcome] = (),
) -> dict[str, Any]:
    """The whole file as a dictionary."""
    banks = [party for party in facts if is_bank(party)]
    each = {bank: bank_figures(bank, facts, pooled, rows[bank]) for bank in banks}
    for bank in banks if len(banks) > 1 else ():
        each[bank] |= _platforms_only(bank, pooled, outcomes)
    first = facts[banks[0]]["report"]
    together = each[banks[0]] if len(banks) == 1 else _together(each, pooled)
    return {
        "run": summary["run"], "model_id": summary["model_id"],
        "rows_bank": sum(rows[bank] for bank in banks),
        "rows_platform": max(n for party, n in rows.items() if party not in banks),
        **{key: value for key, value in together.items() if key not in ("rows", "events_train", "events_test")},
        "rows_aligned_oracle": pooled["rows_aligned"], "note": _NOTE,
        **_steps(first), "training": _training(first), "wall_s": round(wall_s, 2), "phases": phases_of(facts),
        "openings": total_openings(facts),
        **({"banks": each} if len(banks) > 1 else {}),
        **({"ablations": ablations(facts, pooled, outcomes)} if outcomes else {}),
    }


def _steps(report: dict[str, Any]) -> dict[str, int]:
    """Of a scorecard."""
    return {"steps": report["training"]["steps"]} if "steps" in report["training"] else {}


def _training(report: dict[str, Any]) -> dict[str, Any]:
    """What the first bank's report says of its training: kind of model, and its steps or trees."""
    told = report["training"]
    return {"kind": report.get("kind", "scorecard"), **{key: told[key] for key in _TRAINING if key in told}}


def bank_figures(bank: str, facts: Facts, pooled: dict[str, Any], rows: int) -> dict[str, Any]:
    """One bank's figures."""
    report, oracle = facts[bank]["report"], pooled["banks"][bank]
    joint, alone, uplift = (report["metrics"][name] for name in ("joint", "bank_only", "uplift"))
    train = oracle["rows"]["train"]
    return {
        "rows": rows, "rows_aligned": train + report["rows"]["calibration"] + report["rows"]["test"],
        "rows_train": train, "rows_calibration": report["rows"]["calibration"], "rows_test": report["rows"]["test"],
        "events_train": oracle["events"]["train"], "events_test": oracle["events"]["test"],
        "columns_bank": _columns(facts[bank]) + (report.get("kind", "scorecard") == "scorecard"),
        "columns_platform": sum(_columns(facts[party]) for party in facts if not is_bank(party)),
        **{f"{name}_{key}": values[name] for key, values in (("joint", joint), ("bank_only", alone))
           for name in ("auc", "ks", "log_loss")},
        "auc_uplift": uplift["difference"], "auc_uplift_low": uplift["low"], "auc_uplift_high": uplift["high"],
        "auc_pooled_oracle": oracle["metrics"]["auc"], "ks_pooled_oracle": oracle["metrics"]["ks"],
    }


def _columns(told: dict[str, Any]) -> int:
    """Coefficients without the intercept, or columns that compete for splits."""
    half = told["half"]
    if half.get("kind", "scorecard") != "scorecard" and "whitening" not in half:
        return len(half["encoder"]["columns"])
    return len(half["coefficients"]) if "coefficients" in half else len(half["whitening"]["rotation"][0])


def _platforms_only(bank: str, pooled: dict[str, Any], outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Of the bank's own training with all platforms, if there was one."""
    own = pooled["trainings"].get(f"own.{bank}", {}).get(bank)
    return {"auc_platforms_only": own["auc"], "ks_platforms_only": own["ks"]} if own else {}


def _together(each: dict[str, dict[str, Any]], pooled: dict[str, Any]) -> dict[str, Any]:
    weights = [bank["rows_test"] for bank in each.values()]
    first = next(iter(each.values()))
    uplift = _mean([(b["auc_uplift"], b["auc_uplift_low"], b["auc_uplift_high"]) for b in each.values()], weights)
    return {
        **{f"rows_{name}": sum(b[f"rows_{name}"] for b in each.values())
           for name in ("aligned", "train", "calibration", "test")},
        "columns_bank": first["columns_bank"], "columns_platform": first["columns_platform"],
        **{key: _weighted([b[key] for b in each.values()], weights) for key in _MEANS},
        "auc_uplift": uplift[0], "auc_uplift_low": uplift[1], "auc_uplift_high": uplift[2],
        "auc_pooled_oracle": pooled["metrics"]["auc"], "ks_pooled_oracle": pooled["metrics"]["ks"],
    }


def _weighted(values: Iterable[float], weights: Sequence[int]) -> float:
    return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)


def _mean(intervals: Sequence[tuple[float, float, float]], weights: Sequence[int]) -> tuple[float, float, float]:
    """Weighted mean of (value, low, high) and its interval: test rows of different banks count as independent."""
    value = _weighted([v for v, _, _ in intervals], weights)
    half = math.sqrt(sum(((high - low) / 2 * w) ** 2 for (_, low, high), w in zip(intervals, weights, strict=True)))
    return value, value - half / sum(weights), value + half / sum(weights)


def phases_of(facts: Facts) -> dict[str, dict[str, float]]:
    """`seconds` is the slowest party's; `bytes_bank` and `bytes_platform` are those of all banks and all platforms."""
    phases, several = {}, len(facts) > 2
    for name in PHASES:
        spent = {party: facts[party].get(f"spent.{name}", {"seconds": 0, "bytes": 0}) for party in facts}
        phases[name] = {"seconds": round(max(s["seconds"] for s in spent.values()), 3)}
        phases[name] |= {f"seconds_{party}": round(spent[party]["seconds"], 3) for party in spent if several}
        phases[name] |= {f"bytes_{party}": spent[party]["bytes"] for party in spent}
        phases[name]["bytes_bank"] = sum(s["bytes"] for party, s in spent.items() if is_bank(party))
        phases[name]["bytes_platform"] = sum(s["bytes"] for party, s in spent.items() if not is_bank(party))
    return phases


def total_openings(facts: Facts) -> dict[str, int]:
    """Numbers opened by all parties, by kind."""
    total: dict[str, int] = {}
    for party in facts:
        for kind, learners in facts[party].get("ledger.openings", {}).items():
            total[kind] = total.get(kind, 0) + sum(learners.values())
    return dict(sorted(total.items()))


# -- who contributed what


def ablations(facts: Facts, pooled: dict[str, Any], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Trainings that ran, those that were refused and why, and what each party added."""
    ran = {o.training.name: o for o in outcomes if o.refused is None}
    return {
        "trainings": {name: {"run": o.run, "banks": list(o.training.banks), "platforms": list(o.training.platforms),
                             "seconds": round(sum(p["seconds"] for p in phases_of(o.facts).values()), 1),
                             "auc": {bank: pooled["trainings"][name][bank]["auc"] for bank in o.training.banks}}
                      for name, o in ran.items()},
        "refused": {o.training.name: o.refused for o in outcomes if o.refused is not None},
        "contributions": contributions(facts, pooled, ran),
    }


def contributions(facts: Facts, pooled: dict[str, Any], ran: dict[str, Outcome]) -> list[dict[str, Any]]:
    """{party, at, difference, low, high}: the AUC at a bank's test rows with the party minus that without it.

    `at` is a bank, or `all` for the mean over those banks, weighted by test rows. A platform that is the only one is
    compared with each bank alone, in that bank's own training or in the only one there is.
    """
    banks = tuple(party for party in facts if is_bank(party))
    platforms = tuple(party for party in facts if not is_bank(party))
    found = []
    for party in (*platforms, *(banks if len(banks) > 1 else ())):
        where = [bank for bank in banks if bank != party]
        if party in platforms and len(platforms) == 1:
            gains = {bank: ran[f"own.{bank}"].facts[bank]["report"]["metrics"]["uplift"]
                     for bank in where if f"own.{bank}" in ran}
        else:
            measured = pooled["trainings"].get(without(party, banks), {})
            gains = {bank: measured[bank] for bank in where if bank in measured}
        found += _rows(party, gains, pooled)
    return found


def _rows(party: str, gains: dict[str, dict[str, float]], pooled: dict[str, Any]) -> list[dict[str, Any]]:
    rows = [{"party": party, "at": bank, **{k: gain[k] for k in ("difference", "low", "high")}}
            for bank, gain in gains.items()]
    if len(rows) < 2:
        return rows
    weights = [pooled["banks"][row["at"]]["rows"]["test"] for row in rows]
    value, low, high = _mean([(r["difference"], r["low"], r["high"]) for r in rows], weights)
    return [*rows, {"party": party, "at": "all", "difference": value, "low": low, "high": high}]
