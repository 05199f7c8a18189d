"""A platform's limit on openings of training rows' scores, over the runs of a node."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from parties.runtime.phases import Phases
from parties.runtime.releases import Releases
from protocols.crypto.box import Box
from protocols.errors import PolicyRefused
from protocols.plan import Plan
from protocols.policy import Policy

BOX = Box(bytes(32))
IDS = [f"p{n}" for n in range(100)]


@pytest.fixture
def releases(tmp_path: Path) -> Iterator[Releases]:
    kept = Releases(tmp_path / "releases.db", BOX)
    yield kept
    kept.close()


def phases(releases: Releases, run: str, rows: range, party: str = "platform", **model):
    """Phases of one run and prepared columns, as far as the limit looks at them: 100 people, a rank of 16."""
    made = object.__new__(Phases)
    made._run, made._name = run, party
    made._plan = Plan.model_validate({
        "purpose": "p", "label_party": "bank", "feature_parties": ["platform"], "model": model,
        "parties": {name: {"table": "t", "columns": ["x"]} for name in ("bank", "platform")}})
    policy = Policy.model_validate({"purposes": ["p"], "peers": {"bank": {"fingerprint": "0" * 64}}})
    made._node = SimpleNamespace(releases=releases, party=SimpleNamespace(policy=policy))
    made._loaded = SimpleNamespace(ids=IDS)
    whitening = SimpleNamespace(rotation=np.zeros((20, 16)))
    return made, SimpleNamespace(training_rows=np.array(rows), whitening=whitening)


def limit(*arguments, **model) -> None:
    made, prepared = phases(*arguments, **model)
    made._limit_openings(prepared)


def test_openings_of_different_people_do_not_add_up_and_those_of_one_person_do(releases: Releases) -> None:
    limit(releases, "r-1", range(50), variant="open-score")
    limit(releases, "r-2", range(50, 100), polish=2)
    told = "opens 1 numbers of each training row after 4 of earlier runs on some of the same people, at most 4"
    with pytest.raises(PolicyRefused, match=told):
        limit(releases, "r-3", range(49, 50), polish=1)
    with pytest.raises(PolicyRefused, match="maximum_opened_rank"):
        limit(releases, "r-4", range(40, 60), polish=1)


def test_a_run_that_goes_on_counts_once_and_one_that_opened_nothing_is_forgotten(releases: Releases) -> None:
    for _ in range(3):
        limit(releases, "r-1", range(50), variant="open-score", openings=3)
    with pytest.raises(PolicyRefused, match="opens 2 numbers of each training row after 3"):
        limit(releases, "r-2", range(50), polish=2)
    releases.unopen_scores("r-2")
    limit(releases, "r-3", range(50), polish=1)


def test_strict_training_and_the_bank_count_nothing(releases: Releases) -> None:
    limit(releases, "r-1", range(50))
    limit(releases, "r-2", range(50), "bank", variant="open-score", openings=16)
    assert releases.open_scores("r-3", IDS, 1) == 0
