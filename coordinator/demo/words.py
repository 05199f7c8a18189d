"""What the demo says on the terminal."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coordinator.demo.ablations import Training

REASONS = 4  # of applications that were not approved


def ablation_words(order: Sequence[Training], passes: bool) -> str:
    """Which trainings there will be, and whether the rows may be too few for some."""
    doubt = "" if passes else ("; with so few rows some will be refused, because every training releases coefficients "
                               "about the same people")
    return f"{len(order)} trainings, one after another: {', '.join(t.name for t in order)}{doubt}"


def end_words(metrics: dict[str, Any], out: Path, program: str) -> str:
    """The end of the demo in a few lines."""
    sent = sum(p["bytes_bank"] + p["bytes_platform"] for p in metrics["phases"].values())
    train_s, made_of = metrics["phases"]["train"]["seconds"], _made_of(metrics["training"])
    figures = _banks(metrics) if "banks" in metrics else _one_bank(metrics)
    return "\n".join([
        "",
        *figures,
        *_compared(metrics.get("models")),
        *_added(metrics.get("ablations")),
        *_decided(metrics.get("decisions")),
        f"training              {train_s:.1f} s, {made_of}; all sealed traffic {sent / 1e6:.0f} MB; "
        f"whole demo {metrics['wall_s']:.0f} s",
        "",
        f"report    {out / 'report.html'}",
        f"metrics   {out / 'metrics.json'}",
        f"privacy   {out / 'privacy.html'}",
        f"verify    {program} audit verify {out / 'evidence'} --trust {out / 'trust.json'}",
    ])


def _made_of(training: dict[str, Any]) -> str:
    return next(f"{training[name]} {name}" for name in ("steps", "trees", "epochs") if name in training)


def _compared(models: list[dict[str, Any]] | None) -> list[str]:
    """The kinds of models that were trained on the same people."""
    if models is None:
        return []
    head = f"{'model':<22}{'AUC':<8}{'KS':<8}{'pooled':<9}{'training':>10}{'traffic':>10}"
    return ["", head, *(f"{m['name']:<22}{m['auc']:<8.4f}{m['ks']:<8.4f}{m['auc_pooled_oracle']:<9.4f}"
                        f"{m['train_s']:>8.1f} s{(m['bytes_bank'] + m['bytes_platform']) / 1e6:>7.0f} MB"
                        for m in models), ""]


def _one_bank(m: dict[str, Any]) -> list[str]:
    return [
        f"common customers      {m['rows_aligned']:>9,}   of {m['rows_bank']:,} and {m['rows_platform']:,}",
        f"bank alone            AUC {m['auc_bank_only']:.4f}   KS {m['ks_bank_only']:.4f}",
        f"bank and platform     AUC {m['auc_joint']:.4f}   KS {m['ks_joint']:.4f}   "
        f"(+{m['auc_joint'] - m['auc_bank_only']:.4f})",
        f"pooled in the clear   AUC {m['auc_pooled_oracle']:.4f}   KS {m['ks_pooled_oracle']:.4f}   "
        "(for comparison only)",
    ]


def _banks(m: dict[str, Any]) -> list[str]:
    """AUC and KS of each bank alone, with the platforms, with everyone, and pooled."""
    head = f"{'AUC (KS)':<10}{'customers':>10}{'common':>9}{'defaults':>10}   " + "".join(
        f"{name:<17}" for name in ("alone", "with platforms", "with everyone", "pooled (*)"))
    lines = [head.rstrip(), *(_bank(name, bank) for name, bank in m["banks"].items())]
    told = [f"all banks: alone {m['auc_bank_only']:.4f}, with everyone {m['auc_joint']:.4f} "
            f"({m['auc_uplift']:+.4f}), pooled {m['auc_pooled_oracle']:.4f}; means weighted by test rows",
            "defaults are those of the training rows; (*) joined in the clear, for comparison only"]
    if not any("auc_platforms_only" in bank for bank in m["banks"].values()):
        told.append("--ablations trains each bank with the platforms alone, too")
    return [*lines, "", *told]


def _bank(name: str, bank: dict[str, Any]) -> str:
    kinds = ("bank_only", "platforms_only", "joint", "pooled_oracle")
    cells = [f"{bank[f'auc_{kind}']:.4f} ({bank[f'ks_{kind}']:.3f})" if f"auc_{kind}" in bank else "-"
             for kind in kinds]
    return (f"{name:<10}{bank['rows']:>10,}{bank['rows_aligned']:>9,}{bank['events_train']:>10,}   "
            + "".join(f"{cell:<17}" for cell in cells)).rstrip()


def _added(ablations: dict[str, Any] | None) -> list[str]:
    """What each party added, over all banks where there are several, and what was refused."""
    if ablations is None:
        return []
    found = ablations["contributions"]
    several = {row["party"] for row in found if row["at"] == "all"}
    shown = [row for row in found if row["at"] == "all" or row["party"] not in several]
    lines = [f"added by {row['party']:<13}AUC {row['difference']:+.4f}   95 % {row['low']:+.4f} to {row['high']:+.4f}"
             f"   at {'the banks' if row['at'] == 'all' else row['at']}" for row in shown]
    return [*lines, *(f"not trained: {name} ({why})" for name, why in ablations["refused"].items())]


def _decided(told: dict[str, Any] | None) -> list[str]:
    """Applications: outcomes, who defaulted, offers, reasons, latency."""
    if told is None:
        return []
    offers, wait, bad = told["offers"], told["latency_ms"], told["bad"]
    shown = {name: bad[name] for name in ("approved", "declined") if name in bad}
    lines = [f"applications          {told['applications']:>9,}   " + ", ".join(
                 f"{count:,} {name}" for name, count in told["outcomes"].items() if count),
             "defaults among        " + ", ".join(
                 f"{name} {100 * group['rate']:.1f} % ({group['events']} of {group['count']})"
                 for name, group in shown.items())]
    if offers:
        lines.append(f"offers on average     limit {offers['mean_limit_fen'] / 100:,.0f} CNY, "
                     f"{100 * offers['mean_daily_rate']:.4f} % a day, {100 * offers['mean_annual_cost']:.1f} % a year "
                     "all in")
    lines += [f"{'reasons' if not place else '':<22}{row['count']:>9,}   {row['en']}"
              for place, row in enumerate(told["reasons"][:REASONS])]
    return [*lines, f"decided in            p50 {wait['p50']:.0f} ms, p95 {wait['p95']:.0f} ms, p99 {wait['p99']:.0f} "
            f"ms; {told['per_s']:.0f} a second"]
