"""`sealscore demo`: banks, platforms and a coordinator on this machine train one model, for real.

All nodes run as processes of their own, exactly as `sealscore coordinator|bank|platform serve` start them; the demo
writes their configuration, launches one run through Flower, and at the end collects what each node has. With
--ablations it launches further runs with fewer parties in the same federation, to show what each contributed.
"""
from __future__ import annotations

import json
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from coordinator.demo import ablations, applications, models, results, setting
from coordinator.demo.banks import MOST_BANKS, fewest_rows
from coordinator.demo.decided import figures
from coordinator.demo.decisions import decide
from coordinator.demo.federation import FEATURE, LABEL, Federation
from coordinator.demo.metrics import Facts, Outcome, collect
from coordinator.demo.population import MOST_PLATFORMS, platform_columns
from coordinator.demo.setting import Say, Setting
from coordinator.demo.words import ablation_words, end_words
from protocols.errors import RunFailed, SealscoreError, UsageError
from protocols.node import cli
from protocols.plan import MOST_POLISH, Plan

app = typer.Typer(help="Train one model between banks and platforms on this machine.", add_completion=False)
MARK = ".sealscore-demo"
ENCODINGS = ("dummy", "numeric", "woe")
ACTIVATIONS = ("anchored", "deg1", "deg3")
VARIANTS = ("strict", "open-score")
RELEASES = ("owner", "shared")
FEWEST_ROWS, USUAL_ROWS = 1_000, 20_000
NUMERIC_LEVELS = 2  # a numeric column has as many coefficients as one of two bins


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="folder of results; a former demo's is replaced")] = Path("demo-out"),
    rows: Annotated[int | None, typer.Option(
        min=FEWEST_ROWS, help="rows of each side's synthetic table, banks together  [default: 20000, more for "
        "--ablations]")] = None,
    seed: Annotated[int, typer.Option(help="seed of the synthetic population and of the row slices")] = 1,
    bank_csv: Annotated[Path | None, typer.Option(help="the bank's own CSV instead of synthetic data")] = None,
    platform_csv: Annotated[Path | None, typer.Option(help="the platform's own CSV")] = None,
    id_column: Annotated[str, typer.Option("--id", help="identifier column of both files")] = "id",
    label: Annotated[str, typer.Option(help="label column of the bank's file, 0 or 1")] = "default",
    model: Annotated[list[str] | None, typer.Option(help="scorecard, boosting (trees) or network; given several times, "
                                                    "all are trained and compared  [default: scorecard]")] = None,
    trees: Annotated[int, typer.Option(min=1, max=500, help="boosting: number of trees")] = 40,
    depth: Annotated[int, typer.Option(min=1, max=8, help="boosting: depth of a tree")] = 3,
    encoding: Annotated[str, typer.Option(help="scorecard: dummy, numeric or woe")] = "dummy",
    activation: Annotated[str, typer.Option(help="anchored, deg1 or deg3")] = "anchored",
    banks: Annotated[int, typer.Option(min=1, max=MOST_BANKS, help="banks of the synthetic data")] = 1,
    platforms: Annotated[int, typer.Option(min=1, max=MOST_PLATFORMS, help="platforms of the synthetic data")] = 1,
    steps: Annotated[int, typer.Option(min=1, max=32, help="gradient steps")] = 8,
    release: Annotated[str, typer.Option(help="owner: each side gets its coefficients; shared: nobody does")] = "owner",
    bins: Annotated[int | None, typer.Option(
        min=2, max=32, help="bins per number (dummy, woe, trees); default by rows, of trees 16")] = None,
    variant: Annotated[str, typer.Option(help="strict, or open-score: the bank opens training scores")] = "strict",
    polish: Annotated[int, typer.Option(min=0, max=MOST_POLISH, help="openings of training rows' scores after the "
                                        "strict steps, which lead to the maximum likelihood")] = 0,
    with_ablations: Annotated[bool, typer.Option(
        "--ablations", help="train with fewer parties too, to show what each one contributed")] = False,
    decisions: Annotated[bool, typer.Option(
        help="decide 1,000 applications with the first model; of one bank and platform, synthetic data")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="print metrics.json and no progress")] = False,
) -> None:
    """Align, train, evaluate and publish one model, decide applications with it; write what came of it."""
    began = time.monotonic()
    say = (lambda text: None) if as_json else (lambda text: sys.stderr.write(f"{text}\n"))
    _check_encoding(encoding, banks, with_ablations)
    _check_activation(activation, banks)
    _check_release(release, banks, platforms)
    _check_parties(bank_csv, platform_csv, banks, platforms, with_ablations)
    _check_openings(variant, polish, banks, platforms)
    kinds = tuple(model or ("scorecard",))
    models.check(kinds, banks, platforms, with_ablations, {
        "encoding": (encoding, "dummy"), "activation": (activation, "anchored"), "release": (release, "owner"),
        "variant": (variant, "strict"), "polish": (polish, 0), "steps": (steps, 8)})
    rows, scorecard_bins = _sizes(rows, bins, banks, platforms, with_ablations and encoding == "dummy", say)
    given = bank_csv and setting.given(bank_csv, platform_csv, id_column, label, say)  # before anything is removed
    _clear(out)
    parts = given or setting.synthetic(out / "data", rows, seed, banks, platforms, say)
    offered = {
        "scorecard": {"encoding": encoding, "bins": scorecard_bins or parts.bins, "steps": steps, "seed": seed,
                      "activation": activation, "release": release, "variant": variant, "polish": polish},
        "boosting": {"kind": "boosting", "trees": trees, "depth": depth, "bins": bins or models.TREE_BINS,
                     "learning_rate": models.LEARNING_RATE, "seed": seed},
        "network": {"kind": "network", "bins": bins or parts.bins, "seed": seed, **models.NETWORK},
    }
    settings = [offered[kind] for kind in kinds]
    decisions = decisions and not given and banks == platforms == 1 and kinds[0] != "network"
    rules = _rules(parts, settings, with_ablations and platforms > 1, decisions, say)
    federation = Federation(out / "federation", parts.tables, parts.minimum_intersection, rules)
    metrics = _run(federation, parts, settings, out, with_ablations, decisions, as_json, say, began)
    typer.echo(json.dumps(metrics, indent=2) if as_json else end_words(metrics, out, _program()))


def _check_encoding(encoding: str, banks: int, fewer: bool) -> None:
    if encoding not in ENCODINGS:
        offered = " or ".join(ENCODINGS)
        raise UsageError(f"encoding {encoding!r} is not offered: choose {offered}")
    if encoding != "dummy" and banks > 1:
        raise UsageError("several banks have one common encoding, which is of kind dummy; leave --encoding out")
    if encoding == "woe" and fewer:
        raise UsageError("--ablations trains on the same people again, and exact event counts of bins (woe) may be "
                         "opened once; leave --encoding or --ablations out")


def _check_activation(activation: str, banks: int) -> None:
    if activation not in ACTIVATIONS:
        raise UsageError(f"activation {activation!r} is not offered: choose {' or '.join(ACTIVATIONS)}")
    if activation != "anchored" and banks > 1:
        raise UsageError("several banks train with the anchored activation; leave --activation out")


def _check_release(release: str, banks: int, platforms: int) -> None:
    if release not in RELEASES:
        raise UsageError(f"release {release!r} is not offered: choose {' or '.join(RELEASES)}")
    if release == "shared" and (banks, platforms) != (1, 1):
        raise UsageError("weights stay shared between one bank and one platform; leave --release or --banks and "
                         "--platforms out")


def _check_parties(bank_csv: Path | None, platform_csv: Path | None, banks: int, platforms: int, fewer: bool) -> None:
    if (bank_csv is None) != (platform_csv is None):
        raise UsageError("give both --bank-csv and --platform-csv, or neither")
    for option, count, what in (("--banks", banks, "bank"), ("--platforms", platforms, "platform")):
        if bank_csv is not None and count > 1:
            raise UsageError(f"{option} splits the synthetic data; with files of your own there is one {what}")
    if fewer and banks == platforms == 1:
        raise UsageError("--ablations leaves parties out, and of one bank and one platform none can be; give --banks "
                         "or --platforms more than 1")


def _check_openings(variant: str, polish: int, banks: int, platforms: int) -> None:
    if variant not in VARIANTS:
        raise UsageError(f"expected --variant {' or '.join(VARIANTS)}, got {variant!r}")
    if variant != "strict" and (banks > 1 or platforms > 1 or polish):
        raise UsageError("--variant open-score is for one bank, one platform and no --polish; leave the others out")
    if polish and banks > 1:
        raise UsageError("--polish opens scores to one bank; leave --banks or --polish out")


def _sizes(rows: int | None, bins: int | None, banks: int, platforms: int, choose: bool, say: Say
           ) -> tuple[int, int | None]:
    """Rows and bins, chosen where they were not given."""
    if rows is None and choose:
        rows, bins = ablations.choose(banks, platform_columns(platforms), bins)
        say(f"taking {rows:,} rows a side and {bins} bins per number: every training releases coefficients, and each "
            "party wants 50 rows for every coefficient that was released about the same people")
    rows = rows or USUAL_ROWS
    if rows < fewest_rows(banks):
        raise UsageError(f"the smallest of {banks} banks would have too few people to train and test on; expected "
                         f"--rows of at least {fewest_rows(banks)}, got {rows}")
    return rows, bins


def _rules(parts: Setting, settings: list[dict[str, Any]], fewer_platforms: bool, online: bool, say: Say) -> list[str]:
    """Of every party's policy: what the plans ask for."""
    if fewer_platforms:
        say("trainings without a platform are about nearly the same people: the policies of this demo say "
            "minimum_change_rows = 1, which no policy about real people should")
    plans = [Plan.from_toml_text(setting.plan_text(parts, tuple(parts.tables), **each), "plan.toml")
             for each in settings]
    return setting.policy_rules(*plans, again_on_nearly_the_same=fewer_platforms, online=online)


def _run(
    federation: Federation, parts: Setting, kinds: list[dict[str, Any]], out: Path, fewer: bool, online: bool,
    quiet: bool, say: Say, began: float,
) -> dict[str, Any]:
    """Start the nodes, train, and write what there is to write; the metrics."""
    settings, *further = kinds
    everyone, *others = ablations.trainings(parts.banks, parts.platforms)
    plans = {t.name: _write_plan(parts, t.parties, settings, out / ("plan.toml" if t is everyone else
                                                                    f"plan.{t.name}.toml"))
             for t in (everyone, *(others if fewer else ()))}
    order = [everyone]
    if fewer:
        columns = {party: table.section["columns"] for party, table in parts.tables.items()}
        levels = settings["bins"] if settings["encoding"] == "dummy" else NUMERIC_LEVELS
        order, passes = ablations.in_order([everyone, *others], columns, parts.rows, levels)
        say(ablation_words(order, passes))
    outcomes, decided, beside = [], None, {}
    say(f"starting coordinator, {', '.join(parts.tables)} …")
    with federation:
        say(f"running; the nodes' logs are in {federation.folder}")
        for training in order:
            path, plan = plans[training.name]
            if training is everyone:
                summary = federation.run(path, quiet=quiet)
            else:
                outcomes.append(_train(federation, training, path, plan, quiet, say))
        for each in further:
            beside |= _beside(federation, parts, each, out, quiet, say)
        if online:
            decided = _decided(federation, summary["model_id"], plans[ablations.ALL][1], settings["seed"], say)
    facts = {party: results.party_facts(federation, party, summary["run"]) for party in parts.tables}
    pooled = results.oracle(federation, plans[ablations.ALL][1], parts.tables, facts, outcomes)
    metrics = collect(summary, facts, pooled, parts.rows, time.monotonic() - began, outcomes)
    metrics |= {"decisions": decided} if decided else {}
    if beside:
        first = models.row(settings.get("kind", "scorecard"), summary, facts, pooled)
        metrics["models"] = [first, *(
            models.row(kind, told, found, results.oracle(federation, plan, parts.tables, found))
            for kind, (told, found, plan) in beside.items())]
    fingerprints = results.write_evidence(federation, out)
    results.write_privacy(out)
    results.write_report(out, metrics, summary, facts, pooled, fingerprints, parts.source)
    _write_whole(out / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    return metrics


def _beside(federation: Federation, parts: Setting, settings: dict[str, Any], out: Path, quiet: bool, say: Say
            ) -> dict[str, tuple[dict[str, Any], Facts, Plan]]:
    """Train another kind of model on the same people: by kind its run's summary, what the nodes hold of it and its
    plan; one that ends otherwise than well says why and costs nothing else."""
    kind = settings.get("kind", "scorecard")
    say(f"training {models.NAMES[kind].lower()} on the same people …")
    path, plan = _write_plan(parts, tuple(parts.tables), settings, out / f"plan.{kind}.toml")
    try:
        summary = federation.run(path, quiet=quiet)
    except SealscoreError as error:
        say(f"{models.NAMES[kind].lower()} left out: {error}")
        return {}
    facts = {party: results.party_facts(federation, party, summary["run"]) for party in parts.tables}
    return {kind: (summary, facts, plan)}


def _write_plan(parts: Setting, parties: Sequence[str], settings: dict[str, Any], path: Path) -> tuple[Path, Plan]:
    text = setting.plan_text(parts, parties, **settings)
    path.write_text(text, encoding="utf-8")
    return path, Plan.from_toml_text(text, path.name)


def _train(federation: Federation, training: ablations.Training, path: Path, plan: Plan, quiet: bool, say: Say
           ) -> Outcome:
    """A training with fewer parties; one that ends otherwise than well leaves its reason and costs nothing else."""
    content = json.loads(plan.canonical())
    say(f"training {training.name}: {', '.join(training.parties)} …")
    try:
        run = federation.run(path, quiet=quiet)["run"]
    except RunFailed as failure:
        say(f"{training.name} was not trained: {failure.cause}")
        return Outcome(training, content, refused=f"{failure.party}, in {failure.phase}: {failure.cause}")
    except SealscoreError as error:
        say(f"{training.name} was not trained: {error}")
        return Outcome(training, content, refused=str(error))
    facts = {party: results.party_facts(federation, party, run) for party in training.parties}
    return Outcome(training, content, run=run, facts=facts)


def _decided(federation: Federation, model: str, plan: Plan, seed: int, say: Say) -> dict[str, Any]:
    """Figures of a thousand applications, decided over the bank's HTTP interface while all nodes run."""
    data = {party: Path(federation.tables[party].section["path"]) for party in federation.parties}
    drawn = applications.draw(data[LABEL], data[FEATURE], plan, seed, datetime.now(UTC))
    return figures(*decide(federation, model, drawn, say))


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


def _write_whole(path: Path, text: str) -> None:
    draft = path.with_suffix(".part")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


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
