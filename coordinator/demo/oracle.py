"""The pooled oracle of the demo: the same model fitted in the clear on both tables joined.

    python -m coordinator.demo.oracle --spec SPEC.json --out OUT.json

It exists for comparison only and runs as a process of its own: it is the one place that reads both parties' tables,
which only a demo on one machine can. SPEC.json holds

    plan    the plan, as `Plan.canonical()` writes it
    tables  {party: table section of that party's configuration}; relative paths count from SPEC.json's folder
    halves  {party: {encoder, whitening, ...}}   each party's half of the published model; other keys are ignored

and OUT.json gets {rows_aligned, rows: {train, calibration, test}, metrics: {auc, ks, gini, log_loss},
curve: ROC points, converged}. Row slices, encoders, whitening and ridge are those of the run, so the difference that is
left is what training on shares cost. Metrics are taken on the test slice, after the calibration that the parties use.
"""
from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from pydantic import BaseModel, ConfigDict, ValidationError

from parties.runtime.tables import Table, TableConfig, load_table
from protocols.binning.encoder import Encoder
from protocols.errors import ConfigError, DataError
from protocols.node import cli
from protocols.plan import Plan, first_problem
from protocols.psi.identifiers import normalise_set
from protocols.psi.slices import CALIBRATION, TEST, TRAIN, slice_of
from protocols.scorecard import evaluation, logistic
from protocols.scorecard.calibration import calibrate
from protocols.scorecard.whitening import Whitening

app = typer.Typer(add_completion=False)


class Half(BaseModel):
    """What the oracle takes from a party's half of the model; coefficients are left aside."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    encoder: dict[str, Any]
    whitening: dict[str, Any]


class Spec(BaseModel):
    """The file given by --spec."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    plan: Plan
    tables: dict[str, TableConfig]
    halves: dict[str, Half]

    @classmethod
    def read(cls, path: Path) -> Spec:
        """Raises ConfigError when the file is absent, not JSON or does not hold each party of the plan."""
        try:
            spec = cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise ConfigError(f"{path.name}: cannot be read ({error.strerror}); pass the file that the demo wrote"
                              ) from None
        except ValidationError as error:
            raise ConfigError(f"{path.name}: {first_problem(error)}") from None
        for key in ("tables", "halves"):
            if set(getattr(spec, key)) != set(spec.plan.parties):
                raise ConfigError(f"{path.name}: {key} must have exactly {', '.join(sorted(spec.plan.parties))}; "
                                  f"got {', '.join(sorted(getattr(spec, key))) or 'none'}")
        return spec


def pooled(spec: Spec, folder: Path) -> dict[str, Any]:
    """Join, encode, fit and measure; the dictionary documented above."""
    bank, order = spec.plan.label_parties[0], [*spec.plan.label_parties, *spec.plan.feature_parties]
    tables = {party: load_table(spec.tables[party], folder) for party in order}
    label = tables[bank].label
    if label is None:
        raise DataError(f"{spec.tables[bank].path.name}: the label party's table needs a label column")
    rows, slices = _aligned(tables, spec.plan)
    columns = np.hstack([_whitened(tables[party].take(rows[party]), spec.halves[party]) for party in order])
    return _measure(columns, label[rows[bank]].astype(float), slices, spec.plan.model.l2)


def _aligned(tables: dict[str, Table], plan: Plan) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Rows of each table with the same person at the same place, (m,), and the slice 0, 1 or 2 of each, (m,)."""
    steps = plan.alignment.normalise
    places = {party: {name: row for row, name in enumerate(normalise_set(table.ids, steps))}
              for party, table in tables.items()}
    shared = [name for name in places[plan.label_parties[0]] if all(name in place for place in places.values())]
    if not shared:
        raise DataError("the two tables have no identifier in common; expected the tables that the run aligned")
    rows = {party: np.array([place[name] for name in shared], dtype=np.int64) for party, place in places.items()}
    fractions = (plan.slices.train, plan.slices.calibration, plan.slices.test)
    return rows, slice_of(shared, plan.slices.key(), fractions)


def _whitened(table: Table, half: Half) -> np.ndarray:
    """A party's columns as it trained on them, (m, r)."""
    encoder, whitening = Encoder.from_json(half.encoder), Whitening.from_json(half.whitening)
    names = [column.column for column in encoder.columns]
    return whitening.transform(encoder.transform(table.select(names)))


def _measure(columns: np.ndarray, labels: np.ndarray, slices: np.ndarray, l2: float) -> dict[str, Any]:
    train, calibration, test = (np.flatnonzero(slices == index) for index in (TRAIN, CALIBRATION, TEST))
    fitted = logistic.fit(columns[train], labels[train], l2)
    scale = calibrate(fitted.score(columns[calibration]), labels[calibration])
    probability = scale.probability(fitted.score(columns[test]))
    return {
        "rows_aligned": len(labels),
        "rows": {"train": len(train), "calibration": len(calibration), "test": len(test)},
        "metrics": asdict(evaluation.evaluate(labels[test], probability)),
        "curve": evaluation.roc_curve(labels[test], probability),
        "converged": fitted.converged,
    }


@app.command()
def oracle(
    spec: Annotated[Path, typer.Option(help="plan, tables and halves, as JSON")],
    out: Annotated[Path, typer.Option(help="where the figures go, as JSON")],
) -> None:
    """Fit the run's model on both tables pooled, for comparison only."""
    result = pooled(Spec.read(spec), spec.resolve().parent)
    out.write_text(json.dumps(result, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def main(argv: list[str]) -> int:
    """Entry point of `python -m coordinator.demo.oracle`."""
    return cli.run(app, argv, "demo oracle")


if __name__ == "__main__":
    import sys

    sys.exit(main(sys.argv[1:]))
