"""The pooled oracle of the demo: the same model fitted in the clear on all tables joined, and a look at each training.

    python -m coordinator.demo.oracle --spec SPEC.json --out OUT.json

It exists for comparison only and runs as a process of its own: it is the one place that reads all parties' tables,
which only a demo on one machine can. SPEC.json holds

    plan       the plan, as `Plan.canonical()` writes it
    tables     {party: table section of that party's configuration}; relative paths count from SPEC.json's folder
    halves     {party: {encoder, whitening, ...}}   each party's half of the published model
    trainings  {name: {plan, halves}}, may be missing: trainings with fewer parties and the same slices; their halves
               and those above then need `coefficients`

and OUT.json gets {rows_aligned, rows: {train, calibration, test}, metrics: {auc, ks, gini, log_loss},
curve: ROC points, converged, banks: {bank: {rows_aligned, rows, events: {...}, metrics, curve}},
trainings: {name: {bank: {auc, ks, difference, low, high}}}}. Row slices, encoders, whitening and ridge are those of
the run, so the difference that is left is what training on shares cost. Every bank's rows come with an intercept of
its own unless the plan says otherwise; metrics are taken on its test slice, after a calibration on its calibration
slice. Over several banks `metrics` is the mean weighted by test rows, `curve` the first bank's. `difference` is the AUC
of the model of all parties minus that of the training on the same test rows, with its 95 % interval.
"""
from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import typer
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from coordinator.demo import oracle_network, oracle_trees
from parties.runtime.tables import Table, TableConfig, load_table
from protocols.binning.encoder import Encoder
from protocols.boosting.columns import TreeColumns
from protocols.errors import ConfigError, DataError
from protocols.network.columns import NetworkEncoder
from protocols.node import cli
from protocols.plan import Plan
from protocols.psi.identifiers import normalise_set
from protocols.psi.slices import CALIBRATION, TEST, TRAIN, slice_of
from protocols.scorecard import evaluation, logistic
from protocols.scorecard.calibration import calibrate
from protocols.scorecard.whitening import Whitening
from protocols.strict import first_problem

app = typer.Typer(add_completion=False)
SLICES = {"train": TRAIN, "calibration": CALIBRATION, "test": TEST}
LARGE = 100.0  # the ridge of a bank's intercept is divided by its square
COARSE = 32  # scores are opened in units of 1/32


class Half(BaseModel):
    """What the oracle takes from a party's half of a model; it fits without the coefficients."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    encoder: dict[str, Any]
    whitening: dict[str, Any] | None = None
    coefficients: tuple[float, ...] | None = None


class Trained(BaseModel):
    """A plan and the halves that came of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    plan: Plan
    halves: dict[str, Half]

    @model_validator(mode="after")
    def _all_halves(self) -> Self:
        _check_parties("halves", self.halves, self.plan)
        lacking = [party for party, half in self.halves.items() if half.whitening is None]
        if lacking and self.plan.model.kind == "scorecard":
            raise ValueError(f"halves.{lacking[0]}.whitening is missing")
        return self


class Spec(Trained):
    """The file given by --spec."""

    tables: dict[str, TableConfig]
    trainings: dict[str, Trained] = {}

    @model_validator(mode="after")
    def _all_tables(self) -> Self:
        _check_parties("tables", self.tables, self.plan)
        return self

    @classmethod
    def read(cls, path: Path) -> Spec:
        """Raises ConfigError when the file is absent, not JSON or does not hold each party of the plan."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise ConfigError(f"{path.name}: cannot be read ({error.strerror}); pass the file that the demo wrote"
                              ) from None
        except ValidationError as error:
            raise ConfigError(f"{path.name}: {first_problem(error)}") from None


def _check_parties(key: str, given: dict[str, Any], plan: Plan) -> None:
    if set(given) != set(plan.parties):
        raise ValueError(f"{key} must have exactly {', '.join(sorted(plan.parties))}; "
                         f"got {', '.join(sorted(given)) or 'none'}")


@dataclass(frozen=True, repr=False)
class Joined:
    """A bank's customers whom every platform knows: places in each table, slice and label of each, (m,)."""

    rows: dict[str, np.ndarray]
    slices: np.ndarray
    labels: np.ndarray

    def part(self, index: int) -> np.ndarray:
        """Places of one slice among the m."""
        return np.flatnonzero(self.slices == index)

    @property
    def counts(self) -> dict[str, int]:
        """Rows per slice."""
        return {name: len(self.part(index)) for name, index in SLICES.items()}


def pooled(spec: Spec, folder: Path) -> dict[str, Any]:
    """Join, encode, fit and measure; the dictionary documented above."""
    tables = {party: load_table(spec.tables[party], folder) for party in spec.plan.parties}
    for bank in spec.plan.label_parties:
        if tables[bank].label is None:
            raise DataError(f"{spec.tables[bank].path.name}: the label party's table needs a label column")
    places = {party: {name: row for row, name in enumerate(normalise_set(table.ids, spec.plan.alignment.normalise))}
              for party, table in tables.items()}
    joined = {bank: _joined(bank, tables, places, spec.plan) for bank in spec.plan.label_parties}
    fitted = _fit(joined, tables, spec)
    return fitted | {"trainings": _compare(joined, tables, spec)}


def _joined(bank: str, tables: dict[str, Table], places: dict[str, dict[str, int]], plan: Plan) -> Joined:
    parties = (bank, *plan.feature_parties)
    shared = [name for name in places[bank] if all(name in places[party] for party in plan.feature_parties)]
    if not shared:
        raise DataError(f"the tables of {' and '.join(parties)} have no identifier in common; expected the tables that "
                        "the run aligned")
    rows = {party: np.array([places[party][name] for name in shared], dtype=np.int64) for party in parties}
    fractions = (plan.slices.train, plan.slices.calibration, plan.slices.test)
    return Joined(rows, slice_of(shared, plan.slices.key(), fractions), tables[bank].label[rows[bank]].astype(float))


def _whitened(table: Table, half: Half) -> np.ndarray:
    """A party's columns as it trained on them, (m, r)."""
    encoder, whitening = Encoder.from_json(half.encoder), Whitening.from_json(half.whitening)
    names = [column.column for column in encoder.columns]
    return whitening.transform(encoder.transform(table.select(names)))


def _fit(joined: dict[str, Joined], tables: dict[str, Table], spec: Spec) -> dict[str, Any]:
    """One model on the training rows of all banks, measured at each."""
    if spec.plan.model.kind != "scorecard":
        return (_fit_trees if spec.plan.model.kind == "boosting" else _fit_network)(joined, tables, spec)
    own = len(joined) - 1 if spec.plan.model.intercepts == "bank" else 0
    columns = {bank: np.hstack([_intercepts(number, len(j.labels), own),
                                *(_whitened(tables[party].take(rows), spec.halves[party])
                                  for party, rows in j.rows.items())])
               for number, (bank, j) in enumerate(joined.items())}
    train = {bank: j.part(TRAIN) for bank, j in joined.items()}
    fitted = logistic.fit(np.vstack([columns[bank][rows] for bank, rows in train.items()]),
                          np.concatenate([joined[bank].labels[rows] for bank, rows in train.items()]),
                          spec.plan.model.l2)
    banks = {bank: _measure(j, fitted.score(columns[bank])) for bank, j in joined.items()}
    return _told(banks, fitted.converged)


def _fit_trees(joined: dict[str, Joined], tables: dict[str, Table], spec: Spec) -> dict[str, Any]:
    """A plan of trees has one bank."""
    ((bank, here),) = joined.items()
    encoders = {party: TreeColumns.model_validate(spec.halves[party].encoder) for party in here.rows}
    columns = {party: tables[party].take(rows).select(sorted({one.column for one in encoders[party].columns}))
               for party, rows in here.rows.items()}
    found = oracle_trees.scores(columns, encoders, here.labels, here.part(TRAIN), spec.plan)
    return _told({bank: _measure(here, found)}, True)


def _fit_network(joined: dict[str, Joined], tables: dict[str, Table], spec: Spec) -> dict[str, Any]:
    """A plan of a network has one bank and one platform."""
    ((bank, here),), (platform,) = joined.items(), spec.plan.feature_parties
    encoder = NetworkEncoder.from_json(spec.halves[bank].encoder)
    found = oracle_network.scores(
        tables[bank].take(here.rows[bank]).select(encoder.names), encoder,
        _whitened(tables[platform].take(here.rows[platform]), spec.halves[platform]), here.labels, here.part(TRAIN),
        spec.plan)
    return _told({bank: _measure(here, found)}, True)


def _told(banks: dict[str, dict[str, Any]], converged: bool) -> dict[str, Any]:
    first = next(iter(banks.values()))
    return {
        "rows_aligned": sum(b["rows_aligned"] for b in banks.values()),
        "rows": {name: sum(b["rows"][name] for b in banks.values()) for name in SLICES},
        "metrics": {name: _mean(banks, name) for name in first["metrics"]},
        "curve": first["curve"], "converged": converged, "banks": banks,
    }


def _intercepts(number: int, rows: int, own: int) -> np.ndarray:
    """One column per bank but the first, (rows, own), so large that the ridge does not weigh on its coefficient."""
    columns = np.zeros((rows, own))
    if own and number:
        columns[:, number - 1] = LARGE
    return columns


def _measure(joined: Joined, scores: np.ndarray) -> dict[str, Any]:
    calibration, test = joined.part(CALIBRATION), joined.part(TEST)
    probability = calibrate(scores[calibration], joined.labels[calibration]).probability(scores[test])
    return {
        "rows_aligned": len(joined.labels), "rows": joined.counts,
        "events": {name: int(joined.labels[joined.part(index)].sum()) for name, index in SLICES.items()},
        "metrics": asdict(evaluation.evaluate(joined.labels[test], probability)),
        "curve": evaluation.roc_curve(joined.labels[test], probability),
    }


def _mean(banks: dict[str, Any], name: str) -> float:
    """Of a metric over the banks, weighted by their test rows."""
    weights = [bank["rows"]["test"] for bank in banks.values()]
    return float(np.average([bank["metrics"][name] for bank in banks.values()], weights=weights))


def _compare(joined: dict[str, Joined], tables: dict[str, Table], spec: Spec) -> dict[str, Any]:
    """Every training on the test rows of each of its banks, beside the model of all."""
    return {
        name: {bank: _beside(joined[bank], bank, tables, spec, trained) for bank in trained.plan.label_parties}
        for name, trained in spec.trainings.items()
    }


def _beside(joined: Joined, bank: str, tables: dict[str, Table], spec: Spec, trained: Trained) -> dict[str, float]:
    everyone, fewer = (_scores(joined, bank, tables, model) for model in (spec, trained))
    labels = joined.labels[joined.part(TEST)]
    return {"auc": evaluation.auc(labels, fewer), "ks": evaluation.ks(labels, fewer),
            **asdict(evaluation.auc_uplift(labels, everyone, fewer))}


def _scores(joined: Joined, bank: str, tables: dict[str, Table], model: Trained) -> np.ndarray:
    """Log-odds of a bank's test rows without its intercept; platforms' parts rounded as they were opened."""
    test = joined.part(TEST)
    parts = {party: _part(tables[party].take(joined.rows[party][test]), model.halves[party], party)
             for party in (bank, *model.plan.feature_parties)}
    return parts.pop(bank) + sum(np.round(part * COARSE) / COARSE for part in parts.values())


def _part(table: Table, half: Half, party: str) -> np.ndarray:
    if half.coefficients is None:
        raise DataError(f"the half of {party} has no coefficients; trainings are compared by them")
    return _whitened(table, half) @ np.array(half.coefficients)


@app.command()
def oracle(
    spec: Annotated[Path, typer.Option(help="plan, tables and halves, as JSON")],
    out: Annotated[Path, typer.Option(help="where the figures go, as JSON")],
) -> None:
    """Fit the run's model on all tables pooled, for comparison only."""
    result = pooled(Spec.read(spec), spec.resolve().parent)
    out.write_text(json.dumps(result, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def main(argv: list[str]) -> int:
    """Entry point of `python -m coordinator.demo.oracle`."""
    return cli.run(app, argv, "demo oracle")


if __name__ == "__main__":
    import sys

    sys.exit(main(sys.argv[1:]))
