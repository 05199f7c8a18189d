"""What the coordinator's commands share: options, and opening configuration and registry."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from coordinator.config import CoordinatorConfig, load_config
from coordinator.registry import Registry

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="coordinator.toml; default $SEALSCORE_COORDINATOR or ./coordinator.toml")
]
JsonOption = Annotated[bool, typer.Option("--json", help="print one JSON object and no progress")]
DetachOption = Annotated[bool, typer.Option("--detach", help="start and return at once")]


@contextmanager
def opened(path: Path | None) -> Iterator[tuple[CoordinatorConfig, Registry]]:
    """The configuration and its registry, closed afterwards."""
    config = load_config(path)
    (config.home / "state").mkdir(mode=0o700, parents=True, exist_ok=True)
    registry = Registry(config.registry_url)
    try:
        yield config, registry
    finally:
        registry.close()
