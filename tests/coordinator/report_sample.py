"""Plausible input for the report: made of random scores, with the shapes that a run produces."""
from __future__ import annotations

from dataclasses import asdict

import numpy as np

from protocols.scorecard import evaluation as ev

BANK = ["credit_utilisation", "oldest_account_months", "inquiries_6m", "late_payments_24m", "open_loans",
        "monthly_income", "employment_months", "housing"]
PLATFORM = ["paid_bills_on_time", "monthly_transfers", "merchant_spend", "night_payments_share", "red_packets_sent",
            "social_degree", "friends_with_default_flag", "device_age_days", "device_changes_12m", "sim_changes_12m",
            "app_sessions_weekly", "wallet_balance_median", "top_up_regularity", "address_stability", "os_version"]


def sample_report(seed: int = 7, rows: int = 6000) -> dict:
    """The dictionary documented in coordinator/demo/report.py, filled with every optional key."""
    rng = np.random.default_rng(seed)
    bank, platform = rng.normal(size=rows), rng.normal(size=rows)
    true = -2.7 + 0.75 * bank + 0.95 * platform
    labels = (rng.random(rows) < _sigmoid(true)).astype(int)
    joint, alone = _sigmoid(true + rng.normal(0, 0.25, rows)), _sigmoid(-2.4 + 0.7 * bank)
    metrics = {name: asdict(ev.evaluate(labels, p)) for name, p in
               (("joint", joint), ("bank_only", alone), ("oracle", _sigmoid(true + rng.normal(0, 0.22, rows))))}
    uplift = ev.auc_uplift(labels, joint, alone)
    metrics["uplift"] = {"low": uplift.low, "high": uplift.high}
    curves = {name: {"roc": ev.roc_curve(labels, p), "ks": ev.ks_curve(labels, p)}
              for name, p in (("joint", joint), ("bank_only", alone))}
    return {
        "title": "Sealscore: joint scorecard of bank and platform", "generated_at": "14 March 2026, 10:22",
        "model_id": "m-4f0c9a61be22d07e",
        "rows": {"bank": 40_000, "platform": 52_000, "aligned": 30_114, "train": 21_093, "calibration": 3_021,
                 "test": rows, "events_test": int(labels.sum())},
        "metrics": metrics, "curves": curves,
        "calibration": [asdict(r) for r in ev.calibration_table(labels, joint)],
        "lift": [asdict(r) for r in ev.lift_table(labels, joint)],
        "columns": {"bank": _columns(rng, BANK), "platform": _columns(rng, PLATFORM)},
        "phases": _phases(),
        "openings": {"coefficients": 148, "scores.calibration": 3_021, "scores.test": rows, "step.bound": 1,
                     "intersection.size": 1},
        "openings_meaning": {
            "coefficients": "each party's own coefficients, released to their owner at the end",
            "scores.calibration": "joint scores of the calibration rows, once, to the bank",
            "scores.test": "joint scores of the test rows, once, to the bank",
            "step.bound": "an upper bound on the largest eigenvalue, on a coarse grid",
            "intersection.size": "how many people both parties know"},
        "learned": {
            "bank": ["which of its customers the platform knows (the intersection)",
                     "the coefficients of its own columns",
                     "joint scores of calibration and test rows, rounded; no score of a training row",
                     "how many features the platform's side has"],
            "platform": ["which of its users the bank knows (the intersection)",
                         "the coefficients of its own columns", "no label, no score, no gradient"],
            "coordinator": ["sizes and timing of sealed frames", "the metrics that the bank reported",
                            "no row, no key, no coefficient"]},
        "agreement": {"digest": rng.bytes(32).hex(),
                      "parties": {"bank": rng.bytes(32).hex(), "platform": rng.bytes(32).hex()}},
        "verify": ["sealscore audit verify evidence --trust trust.json"],
    }


def sample_report_of_banks(seed: int = 11) -> dict:
    """The same for three banks and two platforms with further trainings, one of them refused."""
    rng, data = np.random.default_rng(seed), sample_report(seed)
    banks, platforms = ("bank-1", "bank-2", "bank-3"), ("platform-1", "platform-2")
    data["banks"] = {name: _bank(rng, rows) for name, rows in zip(banks, (2400, 1500, 700), strict=True)}
    del data["banks"]["bank-3"]["auc_platforms_only"], data["banks"]["bank-3"]["ks_platforms_only"]
    data["together"] = {"auc_joint": 0.812, "auc_bank_only": 0.718, "auc_pooled_oracle": 0.8125,
                        "auc_uplift": 0.094, "auc_uplift_low": 0.071, "auc_uplift_high": 0.117}
    half = len(PLATFORM) // 2
    data["columns"] = {name: data["columns"]["bank"] for name in banks} | {
        "platform-1": data["columns"]["platform"][:half], "platform-2": data["columns"]["platform"][half:]}
    data["phases"] = {name: phase | {f"seconds_{p}": phase["seconds"] / 2 for p in (*banks, *platforms)}
                      | {f"bytes_{p}": phase["bytes_bank"] // 3 for p in (*banks, *platforms)}
                      for name, phase in data["phases"].items()}
    data["learned"] = {name: data["learned"]["bank"] for name in banks} | {
        name: data["learned"]["platform"] for name in platforms} | {"coordinator": data["learned"]["coordinator"]}
    data["agreement"]["parties"] = {name: rng.bytes(32).hex() for name in (*banks, *platforms)}
    data["ablations"] = {
        "trainings": {"own.bank-1": {"run": "r-1", "banks": ["bank-1"], "platforms": list(platforms), "seconds": 31.0,
                                     "auc": {"bank-1": 0.801}}},
        "refused": {"own.bank-3": "bank-3, in train: too few rows"},
        "contributions": [
            {"party": party, "at": at, "difference": d, "low": d - 0.02, "high": d + 0.02}
            for party, d in (("platform-1", 0.061), ("platform-2", 0.034), ("bank-2", 0.004))
            for at in ("bank-1", "bank-3", "all")],
    }
    return data


def _bank(rng: np.random.Generator, rows: int) -> dict:
    """What metrics.json holds of a bank, and its curves and tables."""
    part = sample_report(int(rng.integers(1000)), rows)
    m = part["metrics"]
    figures = {f"{name}_{kind}": m[key][name] for kind, key in
               (("bank_only", "bank_only"), ("joint", "joint"), ("pooled_oracle", "oracle")) for name in ("auc", "ks")}
    return figures | {
        "rows": rows * 6, "rows_aligned": rows * 5, "events_train": rows // 3, "auc_platforms_only": 0.8,
        "ks_platforms_only": 0.47, "auc_uplift": 0.09, "auc_uplift_low": 0.06, "auc_uplift_high": 0.12,
        **{key: part[key] for key in ("curves", "calibration", "lift")}}


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def _phases() -> dict:
    sizes = {"agree": (6.1, 3_900, 3_700), "align": (11.8, 3_310_000, 4_820_000), "encode": (0.4, 1_400, 1_300),
             "train": (6.9, 21_400_000, 24_900_000), "calibrate": (0.6, 1_130_000, 890_000),
             "evaluate": (0.9, 2_300_000, 1_710_000), "publish": (6.0, 5_200, 4_100)}
    return {name: {"seconds": s, "bytes_bank": b, "bytes_platform": p} for name, (s, b, p) in sizes.items()}


def _columns(rng: np.random.Generator, names: list[str]) -> list[dict]:
    return [_column(rng, name) for name in names]


def _column(rng: np.random.Generator, name: str) -> dict:
    if name == "housing":
        labels = ["owner", "tenant", "with family", "other", "missing"]
    else:
        cuts = np.sort(rng.integers(1, 400, size=4))
        labels = [f"< {cuts[0]}", *(f"[{a}, {b})" for a, b in zip(cuts, cuts[1:], strict=False)), f"≥ {cuts[-1]}",
                  "missing", "special -999"]
    scale = rng.gamma(2.0, 0.22)
    trend = np.linspace(-1, 1, len(labels)) * scale * rng.choice([-1, 1]) + rng.normal(0, 0.05, len(labels))
    trend[rng.integers(len(labels))] = 0.0
    return {"column": name, "bins": [
        {"label": label, "count": int(rng.integers(80, 5200)), "coefficient": float(c),
         "points": float(-20 / np.log(2) * c)} for label, c in zip(labels, trend, strict=True)]}
