"""`sealscore demo`: a bank, a platform and a coordinator on this machine train one model, for real.

Three nodes run as processes of their own, exactly as `sealscore coordinator|bank|platform serve` start them; the demo
writes their configuration, launches one run through Flower, and at the end collects what each node has.
"""
from __future__ import annotations

import csv
import json
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from coordinator.demo import results
from coordinator.demo.federation import FEATURE, LABEL, PURPOSE, Federation, Table, inferred_table
from coordinator.demo.population import MOST_PLATFORMS, split_platform, write_population
from protocols.errors import UsageError
from protocols.node import cli
from protocols.plan import Plan

app = typer.Typer(help="Train one model between a bank and a platform on this machine.", add_completion=False)
MARK = ".sealscore-demo"
ENCODINGS = ("dummy", "numeric")
Tables = tuple[dict[str, Table], dict[str, int], str]  # both parties' tables, the rows of each, where they come from
BINS = ((16_000, 5), (6_500, 3), (0, 2))  # fewer bins for fewer rows: every coefficient needs 50 training rows
FEWEST_ROWS = 1_000


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="folder of results; a former demo's is replaced")] = Path("demo-out"),
    rows: Annotated[int, typer.Option(min=FEWEST_ROWS, help="rows of each side's synthetic table")] = 20_000,
    seed: Annotated[int, typer.Option(help="seed of the synthetic population and of the row slices")] = 1,
    bank_csv: Annotated[Path | None, typer.Option(help="the bank's own CSV instead of synthetic data")] = None,
    platform_csv: Annotated[Path | None, typer.Option(help="the platform's own CSV")] = None,
    id_column: Annotated[str, typer.Option("--id", help="identifier column of both files")] = "id",
    label: Annotated[str, typer.Option(help="label column of the bank's file, 0 or 1")] = "default",
    encoding: Annotated[str, typer.Option(help="dummy or numeric")] = "dummy",
    platforms: Annotated[int, typer.Option(min=1, max=MOST_PLATFORMS, help="platforms of the synthetic data")] = 1,
    steps: Annotated[int, typer.Option(min=1, max=32, help="gradient steps")] = 8,
    bins: Annotated[int | None, typer.Option(min=2, max=32, help="bins per number (dummy); default by rows")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print metrics.json and no progress")] = False,
) -> None:
    """Align, train, evaluate and publish one strict scorecard; write metrics.json, report.html and evidence/."""
    began = time.monotonic()
    say = (lambda text: None) if as_json else (lambda text: sys.stderr.write(f"{text}\n"))
    if (bank_csv is None) != (platform_csv is None):
        raise UsageError("give both --bank-csv and --platform-csv, or neither")
    if bank_csv is not None and platforms > 1:
        raise UsageError("--platforms splits the synthetic data; with files of your own there is one platform")
    if encoding not in ENCODINGS:
        offered = " or ".join(ENCODINGS)
        why = "woe would show each party the default rate of its bins; " if encoding == "woe" else ""
        raise UsageError(f"encoding {encoding!r} is not offered: {why}choose {offered}")
    given = bank_csv and _given_tables(bank_csv, platform_csv, id_column, label, say)  # before anything is removed
    _clear(out)
    tables, counts, source = given or _synthetic_tables(out, rows, seed, platforms, say)
    plan = _plan(tables, encoding, steps, bins or _bins(min(counts.values())), seed)
    plan_path = out / "plan.toml"
    plan_path.write_text(plan, encoding="utf-8")
    parsed = Plan.from_toml_text(plan, "plan.toml")
    federation = Federation(out / "federation", tables, parsed.alignment.minimum_intersection)
    say(f"starting coordinator, {', '.join(tables)} …")
    with federation:
        say(f"running; the nodes' logs are in {federation.folder}")
        summary = federation.run(plan_path, quiet=as_json)
    facts = {party: results.party_facts(federation, party, summary["run"]) for party in tables}
    pooled = results.oracle(federation, parsed, tables, facts)
    metrics = results.collect(summary, facts, pooled, counts, time.monotonic() - began)
    fingerprints = results.write_evidence(federation, out)
    results.write_report(out, metrics, summary, facts, pooled, fingerprints, source)
    _write_whole(out / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    typer.echo(json.dumps(metrics, indent=2) if as_json else _words(metrics, out))


def _bins(rows: int) -> int:
    return next(bins for least, bins in BINS if rows >= least)


def _clear(out: Path) -> None:
    """Use an empty folder or replace a former demo's; never anything else."""
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            if not (out / MARK).is_file():
                raise UsageError(f"{out} is there and was not made by a demo; choose another folder with --out")
            shutil.rmtree(out)
        out.mkdir(parents=True, exist_ok=True)
        (out / MARK).write_text("made by sealscore demo; replaced by the next one\n", encoding="utf-8")
    except OSError as fault:
        why = (fault.strerror or type(fault).__name__).lower()
        raise UsageError(f"{out} cannot be written ({why}); choose another folder with --out") from None


def _given_tables(bank_csv: Path, platform_csv: Path, id_column: str, label: str, say: Any) -> Tables:
    say(f"reading {bank_csv.name} and {platform_csv.name} …")
    tables = {
        LABEL: inferred_table("bank", bank_csv, id_column, label),
        FEATURE: inferred_table("platform", platform_csv, id_column, None),
    }
    return tables, {LABEL: _lines(bank_csv), FEATURE: _lines(platform_csv)}, f"{bank_csv.name} and {platform_csv.name}"


def _synthetic_tables(out: Path, rows: int, seed: int, platforms: int, say: Any) -> Tables:
    say(f"making a synthetic population (seed {seed}, {rows:,} rows a side); no real person is in it …")
    files = write_population(out / "data", rows, seed)
    source = f"a synthetic population, seed {seed}"
    if platforms == 1:
        tables = {LABEL: Table(files.bank_table), FEATURE: Table(files.platform_table)}
        return tables, {LABEL: rows, FEATURE: rows}, source
    parts = split_platform(files, platforms, seed)
    tables = {LABEL: Table(files.bank_table)} | {name: Table(part.table) for name, part in parts.items()}
    counts = {LABEL: rows} | {name: part.rows for name, part in parts.items()}
    return tables, counts, f"{source}, the platform's columns split among {platforms}"


def _lines(path: Path) -> int:
    """Data rows of a CSV file; quoted line breaks count as the csv module reads them."""
    with path.open(encoding="utf-8", newline="") as file:
        return sum(1 for row in csv.reader(file) if row) - 1


def _plan(tables: dict[str, Table], encoding: str, steps: int, bins: int, seed: int) -> str:
    platforms = [party for party in tables if party != LABEL]
    lines = [f'purpose = "{PURPOSE}"', f'label_party = "{LABEL}"', f"feature_parties = {json.dumps(platforms)}", ""]
    for party, table in tables.items():
        lines += [f"[parties.{party}]", 'table = "customers"', f"columns = {json.dumps(table.columns)}", ""]
    lines += ["[model]", f"encoding = {json.dumps(encoding)}", f"bins = {bins}", f"steps = {steps}", "",
              "[slices]", f'seed = "{seed}"', ""]
    return "\n".join(lines)


def _write_whole(path: Path, text: str) -> None:
    draft = path.with_suffix(".part")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _words(metrics: dict[str, Any], out: Path) -> str:
    """The end of the demo in a few lines."""
    m, sent = metrics, sum(p["bytes_bank"] + p["bytes_platform"] for p in metrics["phases"].values())
    return "\n".join([
        "",
        f"common customers      {m['rows_aligned']:>9,}   of {m['rows_bank']:,} and {m['rows_platform']:,}",
        f"bank alone            AUC {m['auc_bank_only']:.4f}   KS {m['ks_bank_only']:.4f}",
        f"bank and platform     AUC {m['auc_joint']:.4f}   KS {m['ks_joint']:.4f}   "
        f"(+{m['auc_joint'] - m['auc_bank_only']:.4f})",
        f"pooled in the clear   AUC {m['auc_pooled_oracle']:.4f}   KS {m['ks_pooled_oracle']:.4f}   "
        "(for comparison only)",
        f"training              {m['phases']['train']['seconds']:.1f} s, {m['steps']} steps; all sealed traffic "
        f"{sent / 1e6:.0f} MB; whole demo {m['wall_s']:.0f} s",
        "",
        f"report    {out / 'report.html'}",
        f"metrics   {out / 'metrics.json'}",
        f"verify    {_program()} audit verify {out / 'evidence'} --trust {out / 'trust.json'}",
    ])


def _end_on_signal(number: int, _frame: Any) -> None:
    """Unwind, so that every process the demo started is stopped; a second signal does not interrupt that."""
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    sys.stderr.write("stopping the nodes …\n")
    raise SystemExit(128 + number)


def _program() -> str:
    """How this command was called, when that was by a path that works again from here."""
    called = sys.argv[0]
    return called if called.endswith("sealscore") and not Path(called).is_absolute() else "sealscore"


def main(argv: list[str]) -> int:
    """Entry point of `sealscore demo`."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end_on_signal)
    return cli.run(app, argv, "demo")
