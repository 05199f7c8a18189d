"""The processes of online scoring, for real: the platform's, the bank's decision service, the coordinator's hub."""
from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.scoring.homes import Homes

SEALSCORE = (sys.executable, "-m", "protocols")


@contextlib.contextmanager
def _process(log: Path, *command: str) -> Iterator[tuple[subprocess.Popen, dict[str, Any]]]:
    """(process, what its first line says), ready; stopped with SIGTERM, and that must work."""
    with log.open("ab") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True,
                                   cwd=Path(__file__).parents[2], env=os.environ | {"GRPC_VERBOSITY": "NONE"})
    try:
        told = process.stdout.readline()
        if not told:
            raise RuntimeError(log.read_text()[-2000:])
        yield process, json.loads(told)
        if process.poll() is None:
            process.terminate()
            if process.wait(20) != 0:
                raise RuntimeError(f"{log.stem} ended with {process.returncode}")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()


@contextlib.contextmanager
def platform_process(homes: Homes) -> Iterator[tuple[subprocess.Popen, str]]:
    """(process, address) of the platform's scoring process."""
    words = ("platform", "scoring", "serve", str(homes.platform / "platform.toml"))
    with _process(homes.platform / "scoring.log", *SEALSCORE, *words) as (process, told):
        yield process, f"127.0.0.1:{told['port']}"


@contextlib.contextmanager
def decisions_process(homes: Homes) -> Iterator[tuple[subprocess.Popen, str]]:
    """(process, URL) of the bank's decision service."""
    words = ("bank", "decisions", "serve", str(homes.bank / "bank.toml"))
    with _process(homes.bank / "decisions.log", *SEALSCORE, *words) as (process, told):
        yield process, f"http://{told['http']}"


@contextlib.contextmanager
def hub_process(homes: Homes) -> Iterator[tuple[subprocess.Popen, str]]:
    """(process, address) of a coordinator's hub; both nodes are told of it, and the platform to take calls there."""
    home = homes.bank.parent / "coordinator"
    words = ("--home", str(home), "--port", "0", "--registry", f"sqlite:///{home}/registry.db")
    with _process(home / "hub.log", sys.executable, "-m", "coordinator.hub_main", *words) as (process, told):
        for role in ("bank", "platform"):
            path = getattr(homes, role) / f"{role}.toml"
            text = path.read_text().replace('hub = "127.0.0.1:1"', f'hub = "{told["hub"]}"')
            path.write_text(text.replace("[scoring]", "[scoring]\nhub = true") if role == "platform" else text)
        yield process, told["hub"]
