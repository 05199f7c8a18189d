"""One small federation for the whole session: real processes, real Flower, real TLS, 4,000 synthetic rows a side."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coordinator.demo.federation import TRIAL_RULES, Federation, Table
from tests.end_to_end import support


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    """The synthetic population, as tables of a federation."""
    return support.small_tables(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def federation(tables: dict[str, Table], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Coordinator, bank and platform, up. Tests that kill or misconfigure a node make a federation of their own."""
    with Federation(tmp_path_factory.mktemp("federation"), tables, minimum_rows=1000) as running:
        yield running


@pytest.fixture(scope="module")
def fed(
    request: pytest.FixtureRequest, tables: dict[str, Table], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Federation]:
    """A federation of the module's own, of its `tables`; `RULES` in the module: further lines of every policy."""
    rules = [*TRIAL_RULES, *getattr(request.module, "RULES", ())]
    with Federation(tmp_path_factory.mktemp("f"), tables, minimum_rows=1000, rules=rules) as running:
        yield running


@pytest.fixture(scope="session")
def trained(federation: Federation, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Summary of one finished training in `federation`."""
    plan: Path = support.write_plan(tmp_path_factory.mktemp("plan") / "plan.toml")
    return support.finished(federation, plan)
