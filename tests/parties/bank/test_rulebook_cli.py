"""`sealscore bank rulebook` as a risk manager meets it."""
from __future__ import annotations

import json
from pathlib import Path

import pytest

from parties.bank.cli import main
from parties.bank.decision.engine import decide
from parties.bank.decision.rulebook import Rulebook
from tests.parties.bank.decision.cases import application, context

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    assert main(["rulebook", "init", str(tmp_path / "rules")]) == 0
    return tmp_path / "rules"


def test_init_writes_what_check_accepts_and_touches_nothing_that_is_there(folder: Path, capsys: Capture) -> None:
    assert main(["rulebook", "check", str(folder)]) == 0
    assert Rulebook.load(folder).digest in capsys.readouterr().out
    assert main(["rulebook", "init", str(folder)]) == 2
    assert "not there yet" in capsys.readouterr().err
    assert main(["rulebook", "check", str(folder / "none")]) == 2


def test_check_tells_a_rule_that_would_never_fire(folder: Path, capsys: Capture) -> None:
    graph = folder / "graphs/champion.json"
    graph.write_text(graph.read_text().replace('"i2": "< 18"', '"i2": "< eighteen"'))
    assert main(["rulebook", "check", str(folder)]) == 2
    assert capsys.readouterr().err == ("error: graphs/champion.json: eligibility: reads eighteen, which nothing before "
                                       "it makes\n")


def test_show_tells_what_decides(folder: Path, capsys: Capture) -> None:
    assert main(["rulebook", "show", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["decides"] == "champion" and told["without the platform"] == "refer"
    assert told["graphs"]["champion"].startswith("eligibility (9), consent (5)")
    assert main(["rulebook", "show", str(folder)]) == 0
    assert "red line of the annual cost: 0.24" in capsys.readouterr().out


def test_draw_marks_what_a_record_took(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    record = tmp_path / "record.json"
    record.write_bytes(decide(application(), context(), Rulebook.load(folder)).to_bytes())
    page = tmp_path / "graph.html"
    assert main(["rulebook", "draw", str(folder), "--out", str(page), "--record", str(record)]) == 0
    html = page.read_text()
    assert "rule E0" in html and 'class="table taken"' in html and "<script" not in html
    assert html.count("<h2>") == 9 and "&lt; 18" in html
    assert main(["rulebook", "draw", str(folder), "--out", str(page), "--graph", "none"]) == 2
    assert "expected one of the graphs challenger, champion" in capsys.readouterr().err


def test_a_drawn_name_is_no_markup(folder: Path, tmp_path: Path) -> None:
    graph = folder / "graphs/champion.json"
    graph.write_text(graph.read_text().replace("too young", "<img src=x onerror=alert(1)>"))
    page = tmp_path / "graph.html"
    assert main(["rulebook", "draw", str(folder), "--out", str(page)]) == 0
    assert "<img" not in page.read_text()


def test_replay_and_diff(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    record = tmp_path / "record.json"
    record.write_bytes(decide(application(), context(), Rulebook.load(folder)).to_bytes())
    assert main(["rulebook", "replay", str(record), str(folder)]) == 0
    assert "approved, replayed bit for bit" in capsys.readouterr().out
    other = tmp_path / "other"
    assert main(["rulebook", "init", str(other)]) == 0
    settings = other / "rulebook.toml"
    settings.write_text(settings.read_text().replace('"refer"', '"defer"', 1))
    capsys.readouterr()
    assert main(["rulebook", "diff", str(folder), str(other)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["rulebook", "replay", str(record), str(other)]) == 2
    record.write_bytes(record.read_bytes().replace(b'"approved"', b'"referred"'))
    assert main(["rulebook", "replay", str(record), str(folder)]) == 1
