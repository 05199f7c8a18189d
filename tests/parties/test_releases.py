"""The count of released coefficients across runs."""
from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from parties.runtime.ledger import Ledger
from parties.runtime.releases import Releases
from protocols.crypto.box import Box
from protocols.errors import TrustError

BOX = Box(bytes(32))
PEOPLE = [f"SYN-{n:04d}" for n in range(500)]


@pytest.fixture
def releases(tmp_path: Path):
    kept = Releases(tmp_path / "node" / "releases.db", BOX)
    yield kept
    kept.close()


def test_trainings_that_share_a_person_add_up(releases: Releases) -> None:
    releases.record("r-1", b"a", PEOPLE[:300], 40)
    releases.record("r-2", b"b", PEOPLE[299:], 30)
    assert releases.earlier("r-3", b"c", PEOPLE[:299]) == 40
    assert releases.earlier("r-3", b"c", PEOPLE[300:]) == 30
    assert releases.earlier("r-3", b"c", PEOPLE[299:300]) == 70
    assert releases.earlier("r-3", b"c", ["somebody else"]) == 0


def test_the_same_training_on_the_same_people_counts_once(releases: Releases) -> None:
    for run in ("r-1", "r-2", "r-3"):
        releases.record(run, b"a", PEOPLE, 40)
    assert releases.earlier("r-4", b"a", PEOPLE[::-1]) == 0
    assert releases.earlier("r-4", b"b", PEOPLE) == 40
    assert releases.earlier("r-4", b"a", PEOPLE[:-1]) == 40


def test_a_run_does_not_count_against_itself_and_is_forgotten_when_it_released_nothing(releases: Releases) -> None:
    releases.record("r-1", b"a", PEOPLE, 40)
    assert releases.earlier("r-1", b"b", PEOPLE) == 0
    releases.forget("r-1")
    assert releases.earlier("r-2", b"b", PEOPLE) == 0


def test_another_spelling_is_the_same_person(releases: Releases) -> None:
    releases.record("r-1", b"a", ["Müller ", "x"], 40)
    assert releases.earlier("r-2", b"b", ["mu\N{COMBINING DIAERESIS}ller"]) == 40


def test_the_file_is_private_holds_no_identifier_and_outlives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "releases.db"
    first = Releases(path, BOX)
    first.record("r-1", b"a", PEOPLE, 40)
    first.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"SYN-" not in path.read_bytes()
    second = Releases(path, BOX)
    assert second.earlier("r-2", b"b", PEOPLE[:1]) == 40
    second.close()


def test_openings_of_training_scores_add_up_over_runs_that_share_a_person(releases: Releases) -> None:
    assert releases.open_scores("r-1", PEOPLE[:300], 2) == 0
    assert releases.open_scores("r-2", PEOPLE[300:], 4) == 0
    assert releases.open_scores("r-3", PEOPLE[299:301], 1) == 6
    assert releases.open_scores("r-3", PEOPLE[299:301], 1) == 6  # continued: its own count once
    assert releases.open_scores("r-4", ["syn-0299 "], 1) == 3  # another spelling of the same person
    releases.unopen_scores("r-1")
    assert releases.open_scores("r-4", PEOPLE[299:300], 1) == 1


def test_what_common_encodings_spend_adds_up_over_runs_that_share_a_person(tmp_path):
    kept = Releases(tmp_path / "releases.db", BOX)
    assert kept.spend("r-1", ["a", "b"], 0.4) == 0
    assert kept.spend("r-2", ["c"], 0.3) == 0
    assert kept.spend("r-3", ["B ", "c"], 0.2) == pytest.approx(0.7)  # another spelling of the same person
    assert kept.spend("r-3", ["B ", "c"], 0.2) == pytest.approx(0.7)  # continued: its own part counts once
    kept.unspend("r-1")
    assert kept.spend("r-4", ["a", "b"], 0.1) == pytest.approx(0.2)


def tags(*values: int) -> np.ndarray:
    return np.array(values, np.uint64)


def test_versions_of_a_person_are_counted_per_model_and_equal_ones_once(releases: Releases) -> None:
    assert releases.admit("m-1", ["a", "b"], tags(1, 1), 3) == 1
    assert releases.admit("m-1", ["a", "b"], tags(1, 1), 3) == 1
    assert releases.admit("m-1", ["b", "c"], tags(2, 2), 3) == 2
    assert releases.admit("m-1", ["c"], tags(3), 3) == 2
    assert releases.admit("m-2", ["b"], tags(4), 3) == 1
    assert releases.admit("m-1", [" B "], tags(5), 3) == 3


def test_versions_that_are_refused_are_not_recorded(releases: Releases) -> None:
    releases.admit("m-1", ["a", "b"], tags(1, 1), 2)
    releases.admit("m-1", ["a"], tags(2), 2)
    for _ in range(2):
        assert releases.admit("m-1", ["a", "b"], tags(3, 3), 2) == 3
    assert releases.admit("m-1", ["b"], tags(4), 2) == 2
    assert releases.admit("m-1", ["a"], tags(1), 2) == 2


def test_versions_outlive_the_process(tmp_path: Path) -> None:
    first = Releases(tmp_path / "releases.db", BOX)
    first.admit("m-1", PEOPLE, tags(*range(len(PEOPLE))), 12)
    first.close()
    second = Releases(tmp_path / "releases.db", BOX)
    assert second.admit("m-1", PEOPLE[:1], tags(10_000), 12) == 2
    second.close()
    assert b"SYN-" not in (tmp_path / "releases.db").read_bytes()


@pytest.mark.parametrize("kind", [Releases, Ledger])
def test_the_key_of_the_hashes_is_sealed_also_one_of_an_earlier_version(tmp_path, kind) -> None:
    path = tmp_path / "people.db"
    made = kind(path, BOX)
    key = made._salt
    made.close()
    assert len(key) == 32 and key not in path.read_bytes()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE salt SET value = ?", (key,))
    assert key in path.read_bytes()
    for _ in range(2):
        again = kind(path, BOX)
        assert again._salt == key
        again.close()
        assert key not in path.read_bytes()
    with pytest.raises(TrustError, match="does not open"):
        kind(path, Box(bytes([1] * 32)))
