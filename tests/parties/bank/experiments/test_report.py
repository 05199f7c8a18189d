"""`sealscore bank experiments report`: files in, lines, JSON and a page out, and files it must refuse."""
from __future__ import annotations

import csv
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties.bank.cli import main
from parties.bank.decision.trial import OutcomeRow, report
from parties.bank.experiments import page
from parties.bank.experiments.table import COLUMNS, read_outcomes
from parties.bank.experiments.words import WORDS
from protocols.errors import DataError
from tests.parties.bank.decision.test_experiments import BOTH, TEXT
from tests.parties.bank.decision.test_trial import RELEASE, outcomes

ROWS = outcomes("release", 1500)


def fields(row: OutcomeRow) -> list[str]:
    answer = {True: "yes", False: "no", None: ""}
    money = [row.limit_fen, row.amount_fen, row.daily_rate]
    return [row.person, row.arm, row.decided_on.isoformat(), answer[row.approved], answer[row.bad],
            *("" if value is None else str(value) for value in money)]


def write(path: Path, rows: list[list[str]], header: tuple[str, ...] = COLUMNS) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, ...]:
    """The command's first arguments."""
    table = write(tmp_path / "outcomes.csv", [fields(r) for r in ROWS])
    (tmp_path / "experiments.toml").write_text(TEXT, encoding="utf-8")
    return ("experiments", "report", str(table), "--experiments", str(tmp_path / "experiments.toml"), "--name")


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_outcomes(write(tmp_path / "a.csv", [fields(r) for r in ROWS[:200]])) == ROWS[:200]


def test_lines_json_and_page_agree(files: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report.html"
    assert main([*files, "release", "--out", str(out)]) == 0
    lines = capsys.readouterr().out
    assert f"release: {len(ROWS)} of 1000 planned people, sound" in lines
    assert main([*files, "release", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data == report(BOTH, RELEASE, ROWS).model_dump(mode="json")
    assert out.read_text(encoding="utf-8") == page.render(report(BOTH, RELEASE, ROWS), "en")
    change = report(BOTH, RELEASE, ROWS).phases[0].comparisons[0]
    assert page.shown(change.metric, change.difference, signed=True) in lines
    assert out.stat().st_mode & 0o777 == 0o600


class Text(HTMLParser):
    """The words of a page, and every tag that is opened must be closed."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.open = "", []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.open += [] if tag in ("meta", "line", "circle") else [tag]
        assert not any(name in ("src", "href") for name, _ in attrs), "the page must need nothing else"

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("line", "circle"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], [], ROWS[200:]], ids=["all", "one", "none", "late"])
def test_the_page_is_whole(language: str, rows: list[OutcomeRow]) -> None:
    text = Text()
    text.feed(page.render(report(BOTH, RELEASE, rows), language))
    assert text.open == []
    assert WORDS[language]["title"].format("release") in text.words
    assert WORDS[language]["sound"] in text.words


def test_both_languages_have_the_same_words() -> None:
    assert WORDS["en"].keys() == WORDS["zh"].keys()
    assert all(WORDS["en"][k].count("{}") == WORDS["zh"][k].count("{}") for k in WORDS["en"])


def test_markup_in_an_experiment_is_text() -> None:
    odd = RELEASE.model_copy(update={"about": "<script>alert(1)</script>"})
    assert "<script>" not in page.render(report(BOTH, odd, ROWS), "en")


def test_an_unsound_comparison_is_said_and_ends_with_1(
    files: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    swapped = [r.model_copy(update={"arm": "after"}) if r.arm == "before" and n % 7 == 0 else r
               for n, r in enumerate(ROWS)]
    write(Path(files[2]), [fields(r) for r in swapped])
    assert main([*files, "release", "--out", str(tmp_path / "x.html")]) == 1
    assert "NOT SOUND" in capsys.readouterr().out
    assert WORDS["en"]["unsound"] in (tmp_path / "x.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("column", "text"), [
    ("person", "13800001234"), ("arm", "Not A Name"), ("decided_on", "yesterday"), ("approved", "maybe"),
    ("approved", ""), ("bad", "1"), ("limit_fen", "12.5"), ("amount_fen", "-1"), ("amount_fen", "9" * 30),
    ("daily_rate", "NaN"), ("daily_rate", "1e99"),
])
def test_a_wrong_value_is_told_by_column_and_count_alone(tmp_path: Path, column: str, text: str) -> None:
    loan = next(r for r in ROWS if r.approved)
    wrong = fields(loan)
    wrong[COLUMNS.index(column)] = text
    with pytest.raises(DataError) as caught:
        read_outcomes(write(tmp_path / "a.csv", [fields(ROWS[0]), wrong]))
    assert f"column {column} in 1 of 2 rows" in str(caught.value)
    assert not text or len(text) < 4 or text not in str(caught.value)


@pytest.mark.parametrize(("content", "sentence"), [
    (b"", "expected the columns"), (b"person,arm\n", "expected the columns"), (b"\xff\xfe", "UTF-8"),
    ((",".join(COLUMNS) + "\n").encode(), "at least one row"),
    ((",".join(COLUMNS) + "\na,b\n").encode(), "number of fields in 1 of 1 rows"),
    ((",".join(COLUMNS) + '\n"a"b,').encode(), "not valid CSV"),
])
def test_files_that_are_no_outcomes(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        read_outcomes(tmp_path / "a.csv")


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_reader(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzzed.csv"
    file.write_bytes((",".join(COLUMNS) + "\n").encode() + content)
    with pytest.raises(DataError):
        read_outcomes(file)


def test_an_unknown_experiment_is_told_the_known_ones(
    files: tuple[str, ...], capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*files, "nothing"]) == 2
    assert "expected an experiment named nothing; it has: model, release" in capsys.readouterr().err
