"""The demo's report: one HTML file that needs nothing else, neither network nor script.

`render_report(data, path)` takes a plain dictionary (JSON types only). Keys marked * may be missing.

    title         str
    generated_at  str                                   as it is to be shown
    model_id      str
    rows          {bank, platform, aligned, train, calibration, test: int, events_test*: int}
    metrics       {joint: {auc, ks, gini, log_loss}, bank_only*: {the same}, oracle*: {auc, ks, gini*, log_loss*},
                   uplift*: {low, high}}                 95 % interval of joint − bank_only AUC
    curves        {joint: {roc: [[fpr, tpr], ...], ks: [[share, events, non-events], ...]}, bank_only*: {the same}}
    calibration   asdict of the rows of protocols.scorecard.evaluation.calibration_table (joint model, test slice)
    lift          asdict of the rows of protocols.scorecard.evaluation.lift_table (joint model, test slice)
    importances*  {party: [{name, splits, gain*}]}      boosted trees, in place of points; gains are known to the bank
    models*       [row() of models.py]                  kinds of models that were trained on the same people
    columns       {party: [{column, bins: [{label, count (or null), coefficient, points}]}]}
    phases        {name: {seconds, bytes_<party>: int for each party}}     in the order in which they ran
    openings      {kind: count}                         what was opened, from the ledgers
    openings_meaning*  {kind: sentence}
    learned       {party or coordinator: [sentence, ...]}
    agreement     {digest: hex, parties: {name: fingerprint hex}}
    verify*       [command, ...]                        how a reader checks the evidence
    banks*        {bank: its figures in metrics.json and curves, calibration, lift as above}   several banks
    together      {auc_joint, auc_bank_only, auc_pooled_oracle, auc_uplift, auc_uplift_low, auc_uplift_high} with banks
    decisions*    as figures() of decided.py gives it
    ablations*    {trainings, refused, contributions} as in metrics.json

`bank` is the label party and `platform` the feature party whatever their names are: the order of `columns` counts,
banks first. With several banks the sections of one bank give way to those of all.
Raises UsageError naming the first key that is missing.
"""
from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from coordinator.demo import charts, report_banks, report_decisions
from protocols.errors import UsageError

REQUIRED = {
    "": ("title", "generated_at", "model_id", "rows", "metrics", "curves", "calibration", "lift", "columns", "phases",
         "openings", "learned", "agreement"),
    "rows": ("bank", "platform", "aligned", "train", "calibration", "test"),
    "metrics": ("joint",),
    "metrics.joint": ("auc", "ks", "gini", "log_loss"),
    "curves": ("joint",),
    "curves.joint": ("roc", "ks"),
    "agreement": ("digest", "parties"),
}
VERIFY = ["sealscore audit verify evidence --trust trust.json"]


def render_report(data: dict[str, Any], out: Path) -> Path:
    """Write the report to `out` (its folder is made) and return the path."""
    check(data)
    environment = Environment(loader=PackageLoader("coordinator.demo", "."), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"percent": charts.percent, "size": size, "duration": duration, "grouped": grouped,
                            "thousands": thousands, "signed": signed}
    page = environment.get_template("report.html.j2").render(**_view(data))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    return out


def check(data: dict[str, Any]) -> None:
    """Every required key is there; UsageError names the first that is not."""
    for path, keys in REQUIRED.items():
        place: Any = data
        for step in filter(None, path.split(".")):
            place = place[step]
        for key in keys:
            if not isinstance(place, dict) or key not in place:
                where = f"{path}.{key}".strip(".")
                raise UsageError(f"the report expects {where}, which the run's result does not hold; "
                                 "run the demo again with this version")


def _view(data: dict[str, Any]) -> dict[str, Any]:
    metrics, curves = data["metrics"], data["curves"]
    bank_only, bank_curve = metrics.get("bank_only"), curves.get("bank_only")
    return {
        **data,
        "models": _models(metrics),
        "uplift": metrics["joint"]["auc"] - bank_only["auc"] if bank_only else None,
        "interval": metrics.get("uplift"),
        "gap_to_oracle": metrics["oracle"]["auc"] - metrics["joint"]["auc"] if "oracle" in metrics else None,
        "ruler": _ruler(metrics),
        "roc_svg": charts.roc_chart(curves["joint"]["roc"], bank_curve and bank_curve["roc"]),
        "ks_svg": charts.ks_chart(curves["joint"]["ks"]),
        "calibration_svg": charts.calibration_chart(data["calibration"]),
        "lift_svg": charts.lift_chart(data["lift"]),
        "has_bank_curve": bool(bank_curve),
        "sides": _sides(report_banks.once(data)),
        "phase_rows": _phases(data["phases"], list(data["columns"])),
        "parties": list(data["columns"]),
        "hues": report_banks.hues(data),
        "banks": report_banks.view(data),
        "added": report_banks.added(data),
        "compared": data.get("models", []),
        "importances": _importances(data.get("importances", {})),
        **report_decisions.view(data),
        "openings_meaning": data.get("openings_meaning", {}),
        "verify": data.get("verify", VERIFY),
    }


NAMES = {"joint": "Joint model", "bank_only": "Bank alone", "oracle": "Pooled oracle"}


def _models(metrics: dict[str, dict]) -> list[dict[str, Any]]:
    """Rows of the comparison, bank first, with None for what was not measured."""
    order = [key for key in ("bank_only", "joint", "oracle") if key in metrics]
    return [{"style": key.replace("_", "-"), "name": NAMES[key],
             **{m: metrics[key].get(m) for m in ("auc", "ks", "gini", "log_loss")}} for key in order]


def _ruler(metrics: dict[str, dict]) -> str:
    order = [key for key in ("bank_only", "oracle", "joint") if key in metrics]
    return charts.auc_ruler([(key.replace("_", "-"), NAMES[key], metrics[key]["auc"]) for key in order])


def _sides(columns: dict[str, list[dict]]) -> list[dict[str, Any]]:
    """Columns of each party by falling spread of points, bars scaled to the largest points of the whole model."""
    spans = [abs(b["points"]) for side in columns.values() for column in side for b in column["bins"]]
    top = max(spans, default=0) or 1
    sides = []
    for party, side in columns.items():
        shown = [{**column, "spread": _spread(column["bins"]),
                  "bins": [{**b, "width": 50 * abs(b["points"]) / top} for b in column["bins"]]} for column in side]
        sides.append({"party": party, "columns": sorted(shown, key=lambda c: -c["spread"])})
    return sides


def _spread(bins: list[dict]) -> float:
    points = [b["points"] for b in bins]
    return max(points, default=0) - min(points, default=0)


def _importances(parties: dict[str, list[dict]]) -> list[dict[str, Any]]:
    """Bars in per cent of a party's largest: by gain where it is known, else by number of splits."""
    shown = []
    for party, rows in parties.items():
        by = "gain" if rows and "gain" in rows[0] else "splits"
        top = max((row[by] for row in rows), default=0) or 1
        shown.append({"party": party, "by": by, "rows": [
            {**row, "whose": row["name"].partition(":")[0], "shown": row["name"].partition(":")[2],
             "width": 100 * row[by] / top} for row in rows]})
    return shown


def _phases(phases: dict[str, dict], parties: list[str]) -> dict[str, Any]:
    """One row per phase with bar widths in per cent of the largest phase, and the totals."""
    rows = [{"name": name, "seconds": phase["seconds"], "bytes": [phase.get(f"bytes_{p}", 0) for p in parties],
             "each": [phase[f"seconds_{p}"] for p in parties if f"seconds_{p}" in phase]}
            for name, phase in phases.items()]
    slowest = max((row["seconds"] for row in rows), default=0) or 1
    largest = max((sum(row["bytes"]) for row in rows), default=0) or 1
    for row in rows:
        row["time_width"] = 100 * row["seconds"] / slowest
        row["byte_widths"] = [100 * b / largest for b in row["bytes"]]
    return {"rows": rows, "seconds": sum(row["seconds"] for row in rows),
            "bytes": [sum(row["bytes"][i] for row in rows) for i in range(len(parties))]}


def size(count: int) -> str:
    """Bytes in decimal units: 43100000 -> 43.1 MB."""
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f}\u202f{unit}" if unit == "B" or value >= 99.95 else f"{value:.1f}\u202f{unit}"


def duration(seconds: float) -> str:
    """0.42 -> 0.4 s, 83 -> 1 min 23 s."""
    if seconds < 59.95:
        return f"{seconds:.1f}\u202fs"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}\u202fmin {rest:02d}\u202fs"


def grouped(digest: str) -> str:
    """A digest in groups of eight, for reading aloud."""
    return " ".join(digest[i:i + 8] for i in range(0, len(digest), 8))


def thousands(count: int) -> str:
    """30000 -> 30,000, as the sentences have it."""
    return f"{count:,}"


def signed(value: float, digits: int = 0) -> str:
    """With its sign, a true minus; nothing before a rounded zero."""
    text = f"{abs(value):.{digits}f}"
    return text if float(text) == 0 else ("+" if value > 0 else "\u2212") + text
