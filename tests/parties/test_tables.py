"""Tables: what is read, and that every problem is a sentence with file, column and count but without a value."""
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parties.runtime.tables import (
    ColumnConfig,
    TableConfig,
    catalogue,
    infer_config,
    load_table,
    parse_table_config,
)
from protocols.errors import ConfigError, DataError

DATA = Path("/work/shared/data")
SECRET = "S3CRET"


def _config(path, label="y", **columns):
    declared = columns or {"a": ColumnConfig(special=("-999", "-998"), missing=("NA",)),
                           "b": ColumnConfig(type="category", missing=("?",))}
    return TableConfig(path=path, id="id", label=label, columns=declared)


@pytest.fixture
def write(tmp_path):
    def to_file(text, encoding="utf-8"):
        path = tmp_path / "own.csv"
        path.write_text(text, encoding=encoding, newline="")
        return path
    return to_file


GOOD = 'id,y,a,b,unused\np1,1, 1.5,foo,x\np2,0,-999.0,"b,ar",x\np3,0,,?,x\np4,1.0,NA,foo,x\np5,0,-998,"q""uo",x\n'


def test_values_missing_special_and_categories(write):
    table = load_table(_config(write(GOOD)))
    assert table.ids == ["p1", "p2", "p3", "p4", "p5"] and table.label.tolist() == [1, 0, 0, 1, 0]
    a, b = table.columns["a"], table.columns["b"]
    assert np.array_equal(a.values, [1.5, *[np.nan] * 4], equal_nan=True)
    assert a.special.tolist() == [0, 1, 0, 0, 2] and a.missing.tolist() == [False, False, True, True, False]
    assert b.labels == ("b,ar", "foo", 'q"uo') and b.values.tolist() == [1, 0, -1, 1, 2]
    assert set(table.columns) == {"a", "b"}


@pytest.mark.parametrize("change", [
    lambda text: text.replace("\n", "\r\n"), lambda text: "\ufeff" + text, lambda text: text.rstrip("\n"),
])
def test_line_ends_and_byte_order_marks_do_not_matter(write, change):
    table = load_table(_config(write(change(GOOD))))
    assert len(table) == 5 and table.columns["b"].labels == ("b,ar", "foo", 'q"uo')


def test_other_delimiter(write):
    config = _config(write("id;y;a\np1;0;1\np2;1;2\n"), a=ColumnConfig())
    assert load_table(config.model_copy(update={"delimiter": ";"})).columns["a"].values.tolist() == [1, 2]


def test_relative_paths_count_from_the_folder(write):
    path = write(GOOD)
    assert len(load_table(_config(Path(path.name)), path.parent)) == 5


BAD = [
    (f"id,y,a,b\np1,1,{SECRET},x\np2,0,1,x\n", "column 'a' holds 1 of 2 cells that are not numbers"),
    ("id,y,a,b\np1,1,inf,x\np2,0,nan,x\n", "column 'a' holds 2 of 2 cells"),
    ("id,y,a,b\np1,1,1e999,x\np2,0,1,x\n", "column 'a' holds 1 of 2 cells"),
    (f"id,y,a,b\np1,1,1,x\np2,0,{SECRET}\n", "1 rows do not have the 4 fields.*first at line 3"),
    (f"id,y,a,b\np1,1,1,x\np2,0,1,x,{SECRET}\np3,0,1,x,1\n", "2 rows do not have the 4 fields"),
    (f'id,y,a,b\np1,1,1,"{SECRET}\np2,0,1,x\n', "own.csv"),
    (f"id,y,a,b\n{SECRET},1,1,x\n{SECRET},0,1,x\n", "repeats ids in 1 of 2 rows"),
    (f"id,y,a,b\n{SECRET},1,1,x\n {SECRET},0,1,x\n", "repeats ids in 1 of 2 rows"),
    ("id,y,a,b\n,1,1,x\np2,0,1,x\n", "empty in 1 of 2 rows"),
    (f"id,y,a,b\np1,{SECRET},1,x\np2,0,1,x\n", "neither 0 nor 1 in 1 of 2"),
    ("id,y,a,b\np1,,1,x\np2,0,1,x\n", "neither 0 nor 1 in 1 of 2"),
    ("id,y,a,b\np1,2,1,x\np2,0.5,1,x\np3,1,1,x\n", "neither 0 nor 1 in 2 of 3"),
    ("id,y,a,b\np1,0,1,x\np2,0,1,x\n", "one class only"),
    ("id,y,a,b\n", "no data rows"),
    ("", "header line"),
    ("id,y,a,a\np1,0,1,1\n", "repeats 'a'"),
    ("id,y,,a\np1,0,1,1\n", "empty name"),
    ("id,y,a\np1,0,1\n", "no column 'b' among the 3 columns"),
    ("id;y;a;b\np1;0;1;x\n", "no column 'id', 'y', 'a', 'b' among the 1 columns.*delimiter"),
]


@pytest.mark.parametrize(("text", "match"), BAD)
def test_problems_name_file_and_count_but_no_value(write, text, match):
    path = write(text)
    with pytest.raises(DataError, match=match) as caught:
        load_table(_config(path))
    assert str(caught.value).startswith("own.csv:") and SECRET not in str(caught.value)
    assert str(path.parent) not in str(caught.value) and caught.value.__cause__ is None


def test_text_that_is_not_utf_8(write):
    with pytest.raises(DataError, match=r"^own.csv: "):
        load_table(_config(write("id,y,a,b\np1,1,1,\xe9\np2,0,1,x\n", "latin-1")))


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"^gone.csv: no such file"):
        load_table(_config(tmp_path / "gone.csv"))


def test_identifiers_cannot_be_categories(write):
    rows = "".join(f"p{i},{i % 2},1,text {i}\n" for i in range(1001))
    with pytest.raises(DataError, match="1001 distinct texts"):
        load_table(_config(write("id,y,a,b\n" + rows)))


@pytest.mark.parametrize(("raw", "match"), [
    ({"columns": {"a": {"sensitivity": "C3"}}}, "C3 columns"),
    ({"columns": {"a": {"type": "category", "special": ["1"]}}}, "belong to number columns"),
    ({"columns": {"a": {"special": ["x"]}}}, "distinct numbers"),
    ({"columns": {"id": {}}}, "cannot be a feature"),
    ({"columns": {}}, "at least 1 item"),
    ({"columns": {"a": {}}, "label": "id"}, "two different columns"),
    ({"columns": {"a": {}}, "surprise": 1}, "surprise"),
    ({"columns": {"a": {"type": "date"}}}, "columns.a.type"),
])
def test_configuration_is_checked(raw, match):
    with pytest.raises(ConfigError, match=match):
        parse_table_config({"path": "x.csv", "id": "id"} | raw)


def test_catalogue_holds_no_values(write):
    table = load_table(_config(write(GOOD)))
    facts = catalogue(table)
    assert facts == {"rows": 5, "label": "y", "columns": [
        {"name": "a", "type": "number", "sensitivity": "C2", "missing_rate": 0.4},
        {"name": "b", "type": "category", "sensitivity": "C2", "missing_rate": 0.2}]}
    assert "foo" not in json.dumps(facts) and "p1" not in repr(table)


def test_take_and_select(write):
    table = load_table(_config(write(GOOD)))
    part = table.take(np.array([4, 0]))
    assert part.ids == ["p5", "p1"] and part.label.tolist() == [0, 1]
    assert part.columns["a"].special.tolist() == [2, 0] and list(part.select(["b"])) == ["b"]
    with pytest.raises(DataError, match="no column 'z'"):
        part.select(["z"])


def test_parquet_equals_csv(write, tmp_path):
    path = tmp_path / "own.parquet"
    pq.write_table(pa.table({"id": [7, 8, 9], "y": [0, 1, 0], "a": [0.1, None, -999.0], "b": ["u", "v", None]}), path)
    config = _config(path).model_copy(update={"format": "parquet"})
    table = load_table(config)
    assert table.ids == ["7", "8", "9"] and table.label.tolist() == [0, 1, 0]
    assert table.columns["a"].values[0] == 0.1 and table.columns["a"].special.tolist() == [0, 0, 1]
    assert table.columns["b"].values.tolist() == [0, 1, -1]


def test_parquet_ids_must_match_exactly(tmp_path):
    path = tmp_path / "own.parquet"
    pq.write_table(pa.table({"id": [7.0, 8.0], "y": [0, 1], "a": [1, 2], "b": ["u", "v"]}), path)
    with pytest.raises(DataError, match="is of type float64; expected text or whole numbers"):
        load_table(_config(path).model_copy(update={"format": "parquet"}))


def test_a_file_that_is_no_parquet(write):
    with pytest.raises(DataError, match="not readable as parquet"):
        load_table(_config(write(GOOD)).model_copy(update={"format": "parquet"}))


def test_infer_config(write):
    config = infer_config(write(GOOD), "id", "y", ["a", "b"])
    assert config.columns["a"].type == "category" and config.columns["b"].type == "category"  # NA is text
    config = infer_config(write(GOOD.replace("NA", "")), "id", "y")
    assert {name: column.type for name, column in config.columns.items()} == {
        "a": "number", "b": "category", "unused": "category"}


def test_infer_config_refuses_free_text(write):
    path = write("id,y,a\n" + "".join(f"p{i},0,{SECRET} {i}\n" for i in range(1001)))
    with pytest.raises(DataError, match="1001 distinct texts") as caught:
        infer_config(path, "id", "y")
    assert SECRET not in str(caught.value)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=30))
def test_numbers_survive_text_exactly(tmp_path, values):
    path = tmp_path / "drawn.csv"
    path.write_text("id,a\n" + "".join(f"p{i},{'' if v is None else repr(v)}\n" for i, v in enumerate(values)))
    got = load_table(_config(path, None, a=ColumnConfig())).columns["a"]
    expected = np.array([np.nan if v is None else v for v in values])
    assert np.array_equal(got.values, expected, equal_nan=True)


@pytest.mark.skipif(not DATA.is_dir(), reason="the credit-card data set is not on this machine")
def test_real_data():
    path = DATA / "UCI_Credit_Card.csv"
    table = load_table(infer_config(path, "ID", "default.payment.next.month"))
    assert len(table) == 30_000 and table.label.sum() == 6636 and len(table.columns) == 23
    expected = np.genfromtxt(path, delimiter=",", names=True)
    assert np.array_equal(table.columns["BILL_AMT1"].values, expected["BILL_AMT1"])
