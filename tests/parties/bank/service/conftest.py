"""A deciding node per test, and a client of its HTTP interface in process."""
from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from parties.bank.service.assembly import Service
from tests.parties.bank.service.support import Platform, make_home, make_service


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node nobody has decided at yet."""
    return make_home(tmp_path_factory.mktemp("template") / "bank").parent


@pytest.fixture
def file(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "bank")) / "bank.toml"


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def service(file: Path, platform: Platform) -> Iterator[Service]:
    made = make_service(file, platform)
    yield made
    made.store.close()


@pytest.fixture
def client(service: Service):
    """`async with client() as http`."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(service.app(), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://bank") as http:
            yield http

    return opened
