"""`sealscore bank rulebook`: write, check, show, draw and compare rulebooks; replay a record under one."""
from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parties.bank.decision.compare import differences
from parties.bank.decision.draw import page
from parties.bank.decision.jdm import TABLE
from parties.bank.decision.record import MAX_RECORD_BYTES, DecisionRecord
from parties.bank.decision.replay import verify
from parties.bank.decision.rulebook import Rulebook, default_files
from protocols.canonical import canonical_json
from protocols.errors import UsageError

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="a rulebook's folder")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


def rulebook_app() -> typer.Typer:
    """The typer app of `sealscore bank rulebook`."""
    app = typer.Typer(help="The rules that decide on applications: graphs, products, limits, prices, reasons.",
                      no_args_is_help=True)
    for command in (init, check, show, draw, diff, replay):
        app.command()(command)
    return app


def init(folder: Folder) -> None:
    """Write the shipped rulebook into a new folder, to be changed."""
    if folder.exists():
        raise UsageError(f"{folder}: expected a folder that is not there yet; name another, or edit this one")
    files = default_files()
    (folder / "graphs").mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_bytes(text)
    typer.echo(f"{folder}: {len(files)} files; change them, then run `sealscore bank rulebook check {folder}`")


def check(folder: Folder, as_json: AsJson = False) -> None:
    """Check everything: settings, figures, every rule of every graph on examples; exit code 2 and every problem."""
    rulebook = Rulebook.load(folder)
    if as_json:
        typer.echo(canonical_json({"digest": rulebook.digest, "version": rulebook.version}).decode())
    else:
        typer.echo(f"rulebook {rulebook.version} holds: {len(rulebook.graphs)} graphs, digest {rulebook.digest}")


def show(folder: Folder, as_json: AsJson = False) -> None:
    """Print what decides: graphs and their steps, products, red line, what happens without the platform."""
    rulebook = Rulebook.load(folder)
    told = summary(rulebook)
    if as_json:
        typer.echo(canonical_json(told).decode())
        return
    for name, value in told.items():
        typer.echo(f"{name}: {value}" if not isinstance(value, dict) else f"{name}:")
        for inner, text in value.items() if isinstance(value, dict) else ():
            typer.echo(f"  {inner}: {text}")


def summary(rulebook: Rulebook) -> dict[str, str | dict[str, str]]:
    """What `show` prints."""
    settings = rulebook.settings
    return {
        "version": rulebook.version,
        "digest": rulebook.digest,
        "decides": settings.champion,
        "shadows": ", ".join(settings.shadows) or "none",
        "without the platform": settings.platform_failure,
        "forbidden purposes": ", ".join(settings.forbidden_purposes),
        "red line of the annual cost": str(rulebook.pricing.annual_cost_red_line),
        "cap of one customer, fen": str(rulebook.products.single_customer_cap_fen),
        "graphs": {name: _steps(rulebook, name) for name in rulebook.graphs},
        "products": {p.name: f"{p.minimum_fen} to {p.maximum_fen} fen, {p.minimum_daily_rate} to "
                             f"{p.maximum_daily_rate} a day, {'/'.join(map(str, p.terms_months))} months"
                     for p in rulebook.products.products},
    }


def draw(
    folder: Folder,
    graph: Annotated[str | None, typer.Option(help="which graph; default: the one that decides")] = None,
    out: Annotated[Path, typer.Option(help="the HTML page to write")] = Path("graph.html"),
    record: Annotated[Path | None, typer.Option(help="mark what this decision's record took")] = None,
) -> None:
    """Draw a decision graph with all its tables as one HTML page."""
    rulebook = Rulebook.load(folder)
    kept = None if record is None else verify(_read(record), rulebook)
    name = graph or (kept.graph if kept else rulebook.settings.champion)
    if name not in rulebook.graphs:
        raise UsageError(f"expected one of the graphs {', '.join(rulebook.graphs)}, got {name!r:.40}")
    out.write_text(page(rulebook.graphs[name].document, f"Decision graph {name}", _about(rulebook, kept),
                        {step.name: step.rule for step in kept.steps} if kept else None), encoding="utf-8")
    typer.echo(f"{out}: graph {name} of rulebook {rulebook.version}")


def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="a rulebook's folder")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="another's")],
) -> None:
    """Print what differs between two rulebooks, rule by rule."""
    found = differences(Rulebook.load(old), Rulebook.load(new))
    typer.echo("\n".join(found) or "the same rulebook")


def replay(
    record: Annotated[Path, typer.Argument(metavar="RECORD", help="the bytes of a decision's record")],
    folder: Folder,
) -> None:
    """Recompute a record under its rulebook; exit code 1 if a single bit differs."""
    kept = verify(_read(record), Rulebook.load(folder))
    typer.echo(f"{kept.application.application_id}: {kept.outcome}, replayed bit for bit, record {kept.digest()}")


def _read(file: Path) -> bytes:
    with file.open("rb") as source:
        return source.read(MAX_RECORD_BYTES + 1)


def _steps(rulebook: Rulebook, graph: str) -> str:
    document = rulebook.graphs[graph].document
    nodes = [document.nodes[node] for node in document.order]
    return ", ".join(f"{n.name} ({len(n.rules)})" if n.kind == TABLE else n.name
                     for n in nodes if n.kind in (TABLE, "customNode"))


def _about(rulebook: Rulebook, kept: DecisionRecord | None) -> str:
    about = f"Rulebook {rulebook.version}, digest {rulebook.digest}."
    return about if kept is None else f"{about} Marked: {kept.application.application_id}, {kept.outcome}."
