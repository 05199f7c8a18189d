"""The encoding woe between one bank and two platforms as real processes: counts as on the plain join, and what a second
run may ask for."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coordinator.demo.federation import LABEL, Federation, Table
from parties.runtime.preparation import slices_of
from parties.runtime.tables import Table as Loaded
from parties.runtime.tables import TableConfig, load_table
from protocols.binning.encoder import Encoder
from protocols.plan import Plan
from protocols.psi.slices import TRAIN
from tests.end_to_end import support

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PLATFORMS = ("platform-1", "platform-2")
RUN_S = 400.0


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    return support.split_tables(tmp_path_factory.mktemp("data"), 12_000, len(PLATFORMS))


def plan_of(tables: dict[str, Table], folder: Path, *settings: str) -> Path:
    return support.plan_of(tables, folder / "plan.toml", "[model]", 'encoding = "woe"', "steps = 8", *settings)


def run(fed: Federation, tables: dict[str, Table], folder: Path, *settings: str) -> dict:
    return support.launch(fed, plan_of(tables, folder, *settings), timeout_s=RUN_S)


@pytest.fixture(scope="module")
def trained(fed: Federation, tables: dict[str, Table], tmp_path_factory: pytest.TempPathFactory) -> dict:
    return support.finished(fed, plan_of(tables, tmp_path_factory.mktemp("p"), "bins = 3"), RUN_S)


def encoders(fed: Federation, run_id: str) -> dict[str, Encoder]:
    model = "m-" + run_id.removeprefix("r-")
    return {party: Encoder.from_json(support.vault_half(fed, party, model)["encoder"]) for party in fed.parties}


def training_rows(fed: Federation, tables: dict[str, Table], folder: Path) -> tuple[dict[str, Loaded], np.ndarray,
                                                                                    dict[str, np.ndarray]]:
    """All tables, labels of the training rows of the plain join, and their rows in each table."""
    loaded = {p: load_table(TableConfig.model_validate(t.section), fed.folder) for p, t in tables.items()}
    places = {p: {name.strip().lower(): row for row, name in enumerate(t.ids)} for p, t in loaded.items()}
    people = [name for name in places[LABEL] if all(name in places[p] for p in PLATFORMS)]
    rows = {p: np.array([places[p][name] for name in people]) for p in loaded}
    plan = Plan.from_toml_text(plan_of(tables, folder).read_text())
    train = slices_of(loaded[LABEL], rows[LABEL], plan) == TRAIN
    return loaded, loaded[LABEL].label[rows[LABEL][train]], {p: row[train] for p, row in rows.items()}


def test_every_party_has_the_counts_of_the_plain_join(fed, tables, trained, tmp_path: Path) -> None:
    loaded, labels, rows = training_rows(fed, tables, tmp_path)
    for party, encoder in encoders(fed, trained["run"]).items():
        data = loaded[party].take(rows[party]).columns
        for column in encoder.columns:
            places = column.bins.assign(data[column.column])
            events = np.bincount(places[labels == 1], minlength=len(column.events))
            assert list(column.events) == events.tolist(), (party, column.column)
            assert np.bincount(places).min() >= 20


def test_the_same_again_is_allowed_and_other_bins_are_not_unless_noised(fed, tables, trained, tmp_path: Path) -> None:
    again = run(fed, tables, tmp_path, "bins = 3")
    assert again["state"] == "finished", again["stderr"]
    assert encoders(fed, again["run"]) == encoders(fed, trained["run"])
    other = run(fed, tables, tmp_path, "bins = 2")
    assert other["state"] == "failed" and "could be one person's label" in other["stderr"]
    noised = run(fed, tables, tmp_path, "bins = 2", "woe_rho = 0.5")
    assert noised["state"] == "finished", noised["stderr"]
