"""A small prepared pair of nodes for all tests of joint scoring."""
from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from parties.platform.scoring.online_store import open_store
from parties.platform.scoring.refresh import refresh
from parties.runtime.scoring.directory import prepare
from tests.scoring.homes import MODEL, Homes, make_homes

SUFFICIENCY = 'sufficiency = [{ name = "payments", column = "payments", minimum = 5 }]'


def made_ready(homes: Homes) -> Homes:
    """Tokens at both nodes and features at the platform."""
    for role in ("bank", "platform"):
        prepare(homes.party(role), homes.identity(role), MODEL)
    fill(homes)
    return homes


def fill(homes: Homes, now: datetime | None = None) -> None:
    """Run the feature job."""
    party = homes.party("platform")
    store = open_store(party.config.scoring.store, party.home)
    try:
        refresh(party, homes.identity("platform"), store, now or datetime.now(UTC))
    finally:
        store.close()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Homes:
    """Made once; tests get copies."""
    return made_ready(make_homes(tmp_path_factory.mktemp("prepared"), scoring=SUFFICIENCY))


@pytest.fixture
def homes(prepared: Homes, tmp_path: Path) -> Homes:
    """A pair of nodes of the test's own."""
    shutil.copytree(prepared.bank.parent, tmp_path, dirs_exist_ok=True)
    return Homes(tmp_path / "bank", tmp_path / "platform", prepared.shared)
