"""The bank's fast path for one applicant against the path of whole tables, bit for bit."""
from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parties.bank.scoring.model import BankModel
from parties.bank.scoring.own import FACTOR, Cells, OwnScorecard
from parties.runtime.preparation import partial_scores
from parties.runtime.tables import load_table, parse_table_config
from protocols.binning.encoder import Encoder
from protocols.errors import DataError
from protocols.scorecard.whitening import Whitening
from tests.scoring.homes import MODEL, make_homes

METHODS = ("dummy", "numeric", "woe")
CONFIG = {"id": "id", "columns": {
    "income": {"special": ["-999", "1e3"], "missing": ["n/a"]}, "inquiries": {},
    "employment": {"type": "category", "missing": ["?"]}}}
NUMBERS = st.one_of(
    st.sampled_from(["", " ", "-999", "-999.0", "1000", "1e3", "n/a", " n/a ", "+5", ".5", "5.", "1E-3", " 7 ", "-0"]),
    st.integers(-10**6, 10**6).map(str), st.floats(-1e9, 1e9).map(repr), st.floats(-1e3, 1e3).map("{:.3f}".format))
LABELS = st.sampled_from(["", "?", " worker ", "worker", "clerk", "own", "never seen", "Worker"])
ROWS = st.lists(st.fixed_dictionaries({"income": NUMBERS, "inquiries": st.integers(0, 9).map(str) | st.just(""),
                                       "employment": LABELS}), min_size=80, max_size=80)


def table_of(folder: Path, rows: list[dict[str, str]]):
    text = io.StringIO()
    writer = csv.DictWriter(text, ["id", "income", "inquiries", "employment"])
    writer.writeheader()
    writer.writerows({"id": f"p{n}"} | row for n, row in enumerate(rows))
    path = folder / "rows.csv"
    path.write_text(text.getvalue())
    return load_table(parse_table_config(CONFIG | {"path": str(path)}))


@pytest.fixture(scope="module", params=METHODS)
def fitted(request, tmp_path_factory):
    """(folder, encoder, whitening) fitted on made-up rows."""
    rng, folder = np.random.default_rng(3), tmp_path_factory.mktemp("fit")
    rows = [{"income": str(rng.choice(["", "-999", "1000", f"{rng.normal(5000, 3000):.2f}"], p=[.1, .1, .1, .7])),
             "inquiries": str(rng.integers(0, 9)), "employment": str(rng.choice(["worker", "clerk", "own", "?"]))}
            for _ in range(600)]
    columns = table_of(folder, rows).columns
    encoder = Encoder.fit(columns, method="dummy" if request.param == "woe" else request.param, bins=4)
    if request.param == "woe":
        encoder = encoder.weighted(rng.integers(1, 9, sum(len(column.bins) for column in encoder.columns)))
    return folder, encoder, Whitening.fit(encoder.transform(columns))


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=ROWS)
def test_one_row_is_encoded_to_the_very_bits_of_the_encoder(fitted, rows):
    folder, encoder, whitening = fitted
    table = table_of(folder, rows)
    weights = np.linspace(-1, 1, whitening.rotation.shape[1])
    card = OwnScorecard(table.config, encoder, whitening, 0.25, weights)
    expected = encoder.transform(table.columns)
    half = {"encoder": encoder.to_json(), "whitening": whitening.to_json(), "coefficients": weights.tolist()}
    scores = 0.25 + partial_scores(table, np.arange(len(rows)), half)
    for row, bits, score in zip(rows, expected, scores, strict=True):
        assert card.encode(row).tobytes() == bits.tobytes()
        told = card.score(row)
        assert told.log_odds == pytest.approx(score, abs=1e-9)
        assert all(part.points <= part.most + 1e-9 for part in told.parts)


def test_points_are_those_of_the_scorecards_table(fitted):
    folder, encoder, whitening = fitted
    weights = np.linspace(-1, 1, whitening.rotation.shape[1])
    row = {"income": "4321.5", "inquiries": "3", "employment": "clerk"}
    told = OwnScorecard(parse_table_config(CONFIG | {"path": "x.csv"}), encoder, whitening, 0.0, weights).score(row)
    if encoder.method == "numeric":
        assert [part.bin for part in told.parts] == [None, None, "clerk"]
        return
    own, _ = whitening.coefficients(weights)
    table = {entry["column"]: {level["label"]: level["points"] for level in entry["bins"]}
             for entry in encoder.points_table(own)}
    for part in told.parts:
        assert part.points == pytest.approx(table[part.column][part.bin])
        assert part.most == pytest.approx(max(table[part.column].values()))


@pytest.mark.parametrize("text", ["abc", "inf", "nan", "１２", "1e400", "--1", "0x10", "1,5"])
def test_what_the_table_refuses_is_refused_here_and_not_repeated(fitted, text):
    folder, encoder, whitening = fitted
    row = {"income": text, "inquiries": "1", "employment": "own"}
    with pytest.raises(DataError):
        table_of(folder, [row])
    card = OwnScorecard(parse_table_config(CONFIG | {"path": "x.csv"}), encoder, whitening, 0.0,
                        np.ones(whitening.rotation.shape[1]))
    with pytest.raises(DataError, match="income") as refused:
        card.score(row)
    assert text not in str(refused.value)


def test_grouped_digits_are_refused_where_one_applicant_is_scored():
    cells = Cells(parse_table_config(CONFIG | {"path": "x.csv"}), ["income"])
    with pytest.raises(DataError, match="not a number"):
        cells.read("income", "1_000")


def test_a_column_that_is_not_there_counts_as_missing(fitted):
    _, encoder, whitening = fitted
    card = OwnScorecard(parse_table_config(CONFIG | {"path": "x.csv"}), encoder, whitening, 0.0,
                        np.ones(whitening.rotation.shape[1]))
    assert card.score({}) == card.score({"income": None, "inquiries": " ", "employment": "?"})


def test_the_banks_own_model_answers_alone(tmp_path):
    homes = make_homes(tmp_path)
    model = BankModel.load(homes.party("bank"), homes.identity("bank"), MODEL)
    values = {"inquiries": "3", "income": "5000", "employment": "clerk"}
    told = model.bank_only(values)
    log_odds = model.alone.score(values).log_odds
    assert float(told.probability) == pytest.approx(1 / (1 + np.exp(0.25 - 0.9 * log_odds)), abs=6e-5)
    assert [part.column for part in told.contributions] == list(values)
    assert sum(float(part.points) for part in told.contributions) == pytest.approx(
        -FACTOR * sum(part.log_odds for part in model.alone.score(values).parts), abs=0.02)
    assert model.bank_only(None).probability is None
