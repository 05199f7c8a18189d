"""The platform's scoring process, for real."""
from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.scoring.homes import Homes

SEALSCORE = (sys.executable, "-m", "protocols")


@contextlib.contextmanager
def platform_process(homes: Homes) -> Iterator[tuple[subprocess.Popen, str]]:
    """(process, address), ready to answer; stopped with SIGTERM, and that must work."""
    log = open(homes.platform / "scoring.log", "ab")  # noqa: SIM115
    process = subprocess.Popen([*SEALSCORE, "platform", "scoring", "serve", str(homes.platform / "platform.toml")],
                               stdout=subprocess.PIPE, stderr=log, text=True, cwd=Path(__file__).parents[2],
                               env=os.environ | {"GRPC_VERBOSITY": "NONE"})
    try:
        told = process.stdout.readline()
        if not told:
            raise RuntimeError((homes.platform / "scoring.log").read_text()[-2000:])
        yield process, f"127.0.0.1:{json.loads(told)['port']}"
        if process.poll() is None:
            process.terminate()
            if process.wait(20) != 0:
                raise RuntimeError(f"the scoring process ended with {process.returncode}")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()
        log.close()
