"""What the report shows beside the rest when there are several banks, or trainings with fewer parties."""
from __future__ import annotations

from typing import Any

from coordinator.demo import charts, charts_many

KINDS = {"bank_only": "alone", "platforms_only": "with the platforms", "joint": "with everyone",
         "pooled_oracle": "pooled oracle"}


def view(data: dict[str, Any]) -> dict[str, Any] | None:
    """Figures and charts by bank, or None for a single bank."""
    if "banks" not in data:
        return None
    banks, together = data["banks"], data["together"]
    return {
        "together": together, "names": list(banks), "kinds": KINDS,
        "smallest": min(banks, key=lambda name: banks[name]["events_train"]),
        "figures": banks, "gap": together["auc_pooled_oracle"] - together["auc_joint"],
        "has_platforms_only": any("auc_platforms_only" in bank for bank in banks.values()),
        "ladder": charts_many.ladder([(name, _marks(bank)) for name, bank in banks.items()]),
        "charts": [_charts(number, name, bank) for number, (name, bank) in enumerate(banks.items(), start=1)],
        "lift": _lift({name: bank["lift"] for name, bank in banks.items()}),
    }


def _marks(bank: dict[str, Any]) -> list[tuple[str, str, float]]:
    """(style, name, AUC) of what was measured at a bank."""
    styles = {"bank_only": "bank-only", "platforms_only": "platforms", "joint": "joint", "pooled_oracle": "oracle"}
    return [(styles[kind], name, bank[f"auc_{kind}"]) for kind, name in KINDS.items() if f"auc_{kind}" in bank]


def _charts(number: int, name: str, bank: dict[str, Any]) -> dict[str, Any]:
    curves = bank["curves"]
    return {
        "name": name,
        "roc": charts.roc_chart(curves["joint"]["roc"], curves["bank_only"]["roc"], f"roc-{number}"),
        "ks": charts.ks_chart(curves["joint"]["ks"], f"ks-{number}"),
        "calibration": charts.calibration_chart(bank["calibration"], f"calibration-{number}"),
    }


def _lift(tables: dict[str, list[dict]]) -> list[dict[str, Any]]:
    """One row per group that any bank has, with each bank's row of that group or None."""
    by_bin = {name: {row["bin"]: row for row in table} for name, table in tables.items()}
    groups = sorted({group for rows in by_bin.values() for group in rows})
    return [{"bin": group, "banks": [rows.get(group) for rows in by_bin.values()]} for group in groups]


def once(data: dict[str, Any]) -> dict[str, list[dict]]:
    """Columns by party; of several banks, which have the same ones, the first only."""
    repeated = list(data.get("banks", {}))[1:]
    return {party: columns for party, columns in data["columns"].items() if party not in repeated}


def hues(data: dict[str, Any]) -> list[int]:
    """Colour of each party: its number, or 0 for each of several banks and 1 for each platform beside them."""
    if "banks" not in data:
        return list(range(len(data["columns"])))
    return [0 if party in data["banks"] else 1 for party in data["columns"]]


def added(data: dict[str, Any]) -> dict[str, Any] | None:
    """Who added what, or None when nobody was left out."""
    ablations = data.get("ablations")
    if ablations is None:
        return None
    banks = data.get("banks", {})
    rows = [{**row, "style": "bank" if row["party"] in banks else "platform"} for row in ablations["contributions"]]
    return {"rows": rows, "trainings": ablations["trainings"], "refused": ablations["refused"],
            "spent": sum(len(training["banks"]) > 1 for training in ablations["trainings"].values()),
            "several": len(banks) > 1, "sole": len(data["columns"]) - len(banks) == 1,
            "chart": charts_many.contributions(rows) if rows else ""}
