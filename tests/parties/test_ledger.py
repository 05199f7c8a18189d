"""The ledger of openings across runs, row sets of trainings, and tested identifiers."""
from __future__ import annotations

import stat
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties.runtime.ledger import QUARTER_S, Ledger, Line
from parties.runtime.people import RunPeople
from protocols.crypto.box import Box
from protocols.errors import PolicyRefused
from protocols.policy import Policy
from protocols.psi.parameters import UNKNOWN

BOX = Box(bytes(32))
PEOPLE = [f"SYN-{n:04d}" for n in range(500)]
POLICY = Policy.model_validate({"purposes": ["p"], "peers": {"bank": {"fingerprint": "a" * 64}},
                                "minimum_change_rows": 100})


@pytest.fixture
def ledger(tmp_path: Path):
    kept = Ledger(tmp_path / "node" / "openings.db", BOX)
    yield kept
    kept.close()


def opened(ledger: Ledger, run: str, people: list[str] | None, numbers: int = 5, kind: str = "scores.test") -> None:
    ledger.opened(run, kind, "bank", numbers, None if people is None else ledger.keep(ledger.tags(people)))


def test_openings_add_up_over_runs_and_people_are_counted_once(ledger: Ledger) -> None:
    opened(ledger, "r-1", PEOPLE[:300])
    opened(ledger, "r-2", PEOPLE[:300])
    opened(ledger, "r-3", PEOPLE[250:])
    assert ledger.lines() == [Line("scores.test", "bank", 15, 3, 500, 3)]


def test_the_same_opening_told_again_counts_once(ledger: Ledger) -> None:
    for numbers in (10, 25, 25, 10):
        opened(ledger, "r-1", None, numbers, "membership")
    assert ledger.lines() == [Line("membership", "bank", 25, 1, None, None)]
    ledger.about("r-1", "membership", "platform", ledger.keep(ledger.tags(PEOPLE)))  # another learner's
    assert ledger.lines()[0].people is None
    ledger.about("r-1", "membership", "bank", ledger.keep(ledger.tags(PEOPLE[:7])))
    ledger.about("r-1", "membership", None, ledger.keep(ledger.tags(PEOPLE)))  # known already
    assert ledger.lines() == [Line("membership", "bank", 25, 1, 7, 1)]


@given(sets=st.lists(st.sets(st.integers(0, 30)), min_size=1, max_size=6))
def test_nobody_was_opened_more_often_than_the_ledger_says(sets, tmp_path_factory) -> None:
    ledger = Ledger(tmp_path_factory.mktemp("l") / "openings.db", BOX)
    for number, people in enumerate(sets):
        opened(ledger, f"r-{number}", [str(person) for person in people])
    times = Counter(person for people in sets for person in people)
    (line,) = ledger.lines()
    assert (line.people, line.times) == (len(times), max(times.values(), default=0))
    ledger.close()


def test_another_spelling_is_the_same_person(ledger: Ledger) -> None:
    opened(ledger, "r-1", ["Müller ", "x"])
    opened(ledger, "r-2", ["mu\N{COMBINING DIAERESIS}ller"])
    assert (ledger.lines()[0].people, ledger.lines()[0].times) == (2, 2)


def test_the_file_is_private_holds_no_identifier_and_outlives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "openings.db"
    first = Ledger(path, BOX)
    opened(first, "r-1", PEOPLE)
    first.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and b"SYN-" not in path.read_bytes()
    second = Ledger(path, BOX)
    opened(second, "r-2", PEOPLE[:1])
    assert second.lines() == [Line("scores.test", "bank", 10, 2, 500, 2)]
    second.close()


def share(ledger: Ledger, run: str, people: list[str], peer: str = "bank") -> int:
    return ledger.share(run, peer, ledger.keep(ledger.tags(people)))


def test_the_smallest_change_of_a_row_set_counts_whichever_run_it_is_to(ledger: Ledger) -> None:
    assert share(ledger, "r-1", PEOPLE[:400]) == 0
    assert share(ledger, "r-2", PEOPLE[:400][::-1]) == 0
    assert share(ledger, "r-3", PEOPLE[100:450]) == 150
    assert share(ledger, "r-4", PEOPLE[:401]) == 1
    assert share(ledger, "r-4", PEOPLE[:401]) == 1  # continued
    assert share(ledger, "r-5", PEOPLE[:300], peer="telco") == 0
    ledger.unshare("r-4")
    assert share(ledger, "r-6", PEOPLE[:402]) == 2


def test_tested_identifiers_add_up_within_a_quarter(ledger: Ledger) -> None:
    assert ledger.test("r-1", "bank", 1000, 0.0) == 0
    assert ledger.test("r-2", "bank", 500, 10.0) == 1000
    assert ledger.test("r-2", "bank", 500, 11.0) == 1000  # continued
    assert ledger.test("r-3", "telco", 500, 12.0) == 0
    assert ledger.test("r-4", "bank", 1, QUARTER_S + 5.0) == 500
    ledger.untest("r-2")
    assert ledger.test("r-4", "bank", 1, QUARTER_S + 5.0) == 0


def slices(*parts: list[int]) -> SimpleNamespace:
    return SimpleNamespace(rows=tuple(np.array(part, dtype=np.int64) for part in parts))


def test_a_run_tells_whom_its_openings_are_about(ledger: Ledger) -> None:
    people = RunPeople(ledger, "r-1")
    people.note("membership", "bank", 400)
    people.shared(PEOPLE, {"bank": np.arange(200), "bank-2": np.arange(300)})
    people.note("coefficients", "bank", 3)
    both = {"bank": slices([0, 1, UNKNOWN], [2], [3, 4, UNKNOWN]), "bank-2": slices([0, 5], [6], [7])}
    people.prepared(PEOPLE, SimpleNamespace(training_rows=np.array([0, 1, 5]), of=both))
    people.note("scores.test", "bank", 3)
    people.note("scores.test", "bank-2", 1)
    people.note("verdict", "somebody", 1)
    about = {(line.kind, line.learner): line.people for line in ledger.lines()}
    assert about == {("membership", "bank"): 200, ("coefficients", "bank"): 3, ("scores.test", "bank"): 2,
                     ("scores.test", "bank-2"): 1, ("verdict", "somebody"): 3}


def test_a_training_on_nearly_the_same_people_is_refused_and_does_not_count(ledger: Ledger) -> None:
    def train(run: str, rows: np.ndarray) -> None:
        people = RunPeople(ledger, run)
        people.shared(PEOPLE, {"bank": rows})
        people.check_growth(POLICY)

    train("r-1", np.arange(400))
    train("r-2", np.arange(400))
    for near in (np.arange(401), np.arange(1, 400), np.arange(50, 449)):
        with pytest.raises(PolicyRefused, match="minimum_change_rows.*fewer than 100"):
            train("r-3", near)
    train("r-4", np.arange(300))
    train("r-5", np.arange(100, 500))
