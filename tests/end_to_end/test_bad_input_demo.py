"""`sealscore demo` on bad input: one clear sentence on stderr, an exit code, no result, and soon."""
from __future__ import annotations

import csv
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from protocols.node.supervise import environment, script
from tests.end_to_end import support

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
AT_ONCE_S = 180.0  # nothing is started; about four seconds on an idle machine
Table = list[list[str]]
Change = Callable[[Table], object]


@pytest.fixture(scope="module")
def csvs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    tables = support.small_tables(tmp_path_factory.mktemp("csv"))
    return {party: Path(table.section["path"]) for party, table in tables.items()}


def spoilt(source: Path, target: Path, change: Change) -> Path:
    with source.open(newline="") as file:
        table = list(csv.reader(file))
    change(table)
    with target.open("w", newline="") as file:
        csv.writer(file).writerows(table)
    return target


def demo(out: Path, *words: str, timeout_s: float = 240.0) -> tuple[int, str, float]:
    """Exit code, the sentence after `error: `, seconds. Fails when there is more than one sentence."""
    command = [script("sealscore"), "demo", "--out", str(out), *words]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, env=environment())
    spent_s = time.monotonic() - began
    assert "Traceback" not in done.stderr
    sentences = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(sentences) == 1 and done.stderr.splitlines()[-1] == sentences[0], done.stderr
    assert done.stdout == ""
    return done.returncode, sentences[0].removeprefix("error: "), spent_s


def assert_no_result(out: Path) -> None:
    assert not [p for name in ("metrics.json", "metrics.part", "report.html", "evidence") for p in out.glob(name)]
    assert not list(out.glob("federation/*/state/vault/m-*"))


def cell(column: str, value: str, row: int = 7) -> Change:
    return lambda table: table[row].__setitem__(table[0].index(column), value)


def one_class(table: Table) -> None:
    at = table[0].index("default")
    table[1:] = [[*row[:at], "1", *row[at + 1:]] for row in table[1:]]


BANK: dict[str, tuple[Change, str]] = {
    "duplicate id": (lambda table: table.append(table[1]), "bank.csv: id column 'id' repeats ids in 1 of 4001 rows"),
    "empty id": (cell("id", ""), "bank.csv: id column 'id' is empty in 1 of 4000 rows"),
    "label 2": (cell("default", "2"), "bank.csv: label column 'default' is neither 0 nor 1 in 1 of 4000 rows"),
    "one class": (one_class, "bank.csv: label column 'default' holds one class only"),
    "ragged": (lambda table: table[9].append("more"), "bank.csv: 1 rows do not have the 12 fields of the header"),
    "text among numbers": (cell("annual_income", "plenty"), "bank.csv: column 'annual_income' holds numbers except"),
    "no rows": (lambda table: table.__delitem__(slice(1, None)), "bank.csv: no data rows"),
    "no id column": (lambda table: table[0].__setitem__(0, "customer"), "bank.csv: no column 'id'"),
    "no label column": (lambda table: table[0].__setitem__(1, "bad"), "bank.csv: no column 'default'"),
}


@pytest.mark.parametrize("case", BANK)
def test_a_bad_bank_file_is_told_before_anything_starts(csvs, tmp_path: Path, case: str) -> None:
    change, sentence = BANK[case]
    path = spoilt(csvs["bank"], tmp_path / "bank.csv", change)
    code, told, spent_s = demo(tmp_path / "out", "--bank-csv", str(path), "--platform-csv", str(csvs["platform"]))
    assert code != 0 and told.startswith(sentence) and spent_s < AT_ONCE_S
    assert "plenty" not in told
    assert not (tmp_path / "out").exists()


def test_a_former_result_survives_a_bad_file(csvs, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / ".sealscore-demo").write_text("")
    (out / "metrics.json").write_text("{}")
    code, told, _ = demo(out, "--bank-csv", str(tmp_path / "no.csv"), "--platform-csv", str(csvs["platform"]))
    assert code != 0 and told.startswith("no.csv: no such file")
    assert (out / "metrics.json").read_text() == "{}"


ARGUMENTS = {
    "one file only": (["--bank-csv", "x.csv"], "give both --bank-csv and --platform-csv"),
    "no number": (["--rows", "many"], "Invalid value for '--rows'"),
    "too few rows": (["--rows", "10"], "Invalid value for '--rows'"),
    "unknown encoding": (["--rows", "1000", "--encoding", "onehot"], "encoding 'onehot' is not offered"),
    "woe with ablations": (["--platforms", "2", "--ablations", "--encoding", "woe"], "may be opened once"),
    "unknown activation": (["--activation", "relu"], "activation 'relu' is not offered"),
    "several banks and deg3": (["--banks", "2", "--activation", "deg3"], "anchored activation"),
    "several banks and woe": (["--banks", "2", "--encoding", "woe"], "one common encoding"),
    "too many banks": (["--banks", "9"], "Invalid value for '--banks'"),
    "several banks from a file": (["--banks", "2", "--bank-csv", "x.csv", "--platform-csv", "y.csv"],
                                  "--banks splits the synthetic data"),
    "several banks and one file": (["--banks", "2", "--bank-csv", "x.csv"], "give both --bank-csv and --platform-csv"),
    "too few rows for the last bank": (["--banks", "3", "--rows", "5000"], "--rows of at least 6000, got 5000"),
    "several banks without bins": (["--banks", "2", "--encoding", "numeric"], "one common encoding"),
    "nobody to leave out": (["--ablations"], "of one bank and one platform none can be"),
    "unknown option": (["--foo"], "No such option"),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_bad_arguments_are_told_at_once(tmp_path: Path, case: str) -> None:
    words, sentence = ARGUMENTS[case]
    code, told, spent_s = demo(tmp_path / "out", *words)
    assert code == 2 and sentence in told and spent_s < AT_ONCE_S
    assert_no_result(tmp_path / "out")


def test_a_folder_that_is_not_a_demos_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    for out in (tmp_path, tmp_path / "letter.txt"):
        code, told, _ = demo(out)
        assert code == 2 and "was not made by a demo" in told
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize("out", ["/proc/none/out", "/dev/null/out"])
def test_a_folder_that_cannot_be_written_is_told(out: str) -> None:
    code, told, _ = demo(Path(out))
    assert code == 2 and told.startswith(f"{out} cannot be written")


# -- what only both parties together can see: after the start, in the run


def test_too_few_common_people_end_the_run_in_alignment(csvs, tmp_path: Path) -> None:
    def other_people(table: Table) -> None:
        for row in table[1:3500]:
            row[0] = "x" + row[0]

    path = spoilt(csvs["bank"], tmp_path / "bank.csv", other_people)
    code, told, _ = demo(tmp_path / "out", "--bank-csv", str(path), "--platform-csv", str(csvs["platform"]))
    assert code == 1
    assert "in phase align: " in told and "fewer than 1000 people in common" in told and "; next: " in told
    assert_no_result(tmp_path / "out")


def test_too_few_rows_for_the_columns_end_the_run_before_training(tmp_path: Path) -> None:
    code, told, _ = demo(tmp_path / "out", "--rows", "1500", "--encoding", "dummy", "--bins", "9")
    assert code == 1
    assert "in phase train: " in told and "training rows, there are" in told and "; next: " in told
    assert_no_result(tmp_path / "out")
