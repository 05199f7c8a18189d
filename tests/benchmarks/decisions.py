"""`python -m tests.benchmarks.decisions scoring|service|http [--rate 60] [--seconds 60] …`: load at a fixed rate.

Prints one table.
scoring   makes two small nodes, starts the platform's scoring process (mutual TLS, loopback) and asks it as the bank's
          client does, one applicant per request, each with a consent signed for it. --release owner|shared,
          --through direct|hub: straight, or by a hub that relays what it cannot read. The bank's process is this one,
          the generator included.
service   makes the same nodes, starts the platform's scoring process and the bank's decision service with TLS, client
          certificates and a SQLite store, and posts applications: each is consented, scored jointly, decided, kept.
          --release as above.
http      posts applications to a decision service that runs already: --url, --bodies FILE (one JSON object a line,
          taken in turn; "application_id" is made new), --header NAME=VALUE, --ca, --cert, --key, --pid NAME=PID.

The exit code is 1 when there was an error or a bar was missed (--p99-ms).
"""
from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import itertools
import json
import os
import secrets
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from parties.bank.scoring.client import Ask, JointScorer
from parties.bank.scoring.transport import DirectTransport, HubTransport, Transport
from tests.benchmarks.decision_service import Running, bank_values, service_process
from tests.benchmarks.http_load import HttpTarget, tls
from tests.benchmarks.open_loop import OK, Send, due_times, measured, table
from tests.scoring.asking import Asking, scorer
from tests.scoring.conftest import made_ready
from tests.scoring.homes import MODEL, Homes, make_homes
from tests.scoring.processes import hub_process, platform_process
from tests.scoring.shared_homes import share_weights

POLICY = "maximum_scores_per_person_per_day = 1000000\nmaximum_snapshots_per_person = 1000000"
SCORING = "scores_per_s = 100000\nqueue = 1000"
DEADLINE_S, DEADLINE_MS = 2.0, 2000


# ---------------------------------------------------------------- the scoring service


class Applicants:
    """Requests of a bank for its people in turn."""

    def __init__(self, homes: Homes, shared: bool):
        self._asking, self._people = Asking(homes), homes.shared
        self._values = bank_values(homes)
        self.model = self._asking.model if shared else None

    def ask(self, number: int) -> Ask:
        """The consent is signed and the row encoded here, as the bank does for every applicant."""
        at = number % self._people
        asked = self._asking.ask(at)
        if self.model is None:
            return asked
        return Ask(asked.token, asked.grant, asked.use, self.model.shared.row(self._values[at]))

    def client(self, transport: Transport) -> contextlib.AbstractAsyncContextManager[JointScorer]:
        """The bank's."""
        return scorer(self._asking, transport)


async def load_scoring(applicants: Applicants, connect: Callable[[], Transport], pids: dict[str, int],
                       options: argparse.Namespace) -> dict[str, Any]:
    """Drive the scoring process through the bank's client; `connect` is called in its loop."""
    async with applicants.client(connect()) as client:
        if applicants.model is not None:
            client.share(applicants.model)

        async def send(number: int) -> str:
            answer = await client.score(applicants.ask(number), MODEL, DEADLINE_S)
            return OK if answer.status == "answered" else f"{answer.status}: {answer.cause}"

        return await _warm_and_measured(send, options, {"bank + generator": os.getpid(), **pids})


def bench_scoring(options: argparse.Namespace) -> dict[str, Any]:
    """Both nodes in a temporary folder."""
    shared = options.release == "shared"
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
        homes = make_homes(Path(folder), options.people, policy=POLICY, scoring=SCORING)
        halves = {role: homes.half(role) for role in ("bank", "platform")}
        made_ready(share_weights(homes) if shared else homes)
        applicants = Applicants(homes, shared)
        hub = running.enter_context(hub_process(homes)) if options.through == "hub" else None
        process, address = running.enter_context(platform_process(homes))
        pids = {"platform": process.pid} | ({} if hub is None else {"hub": hub[0].pid})

        def connect() -> Transport:
            return HubTransport(hub[1], homes.bank, "platform") if hub else DirectTransport(address, homes.bank)

        told = asyncio.run(load_scoring(applicants, connect, pids, options))
    return told | {"columns": {role: len(half["coefficients"]) for role, half in halves.items()}}


# ---------------------------------------------------------------- the decision service


async def load_service(service: Running, pids: dict[str, int], options: argparse.Namespace) -> dict[str, Any]:
    """Applications of all applicants in turn, each with a key of its own."""
    target = HttpTarget(service.url, context=service.context)

    async def send(number: int) -> str:
        body = service.bodies[number % len(service.bodies)]
        status, answer = await target.post(body, {"Idempotency-Key": secrets.token_hex(16)})
        if status != 201:
            return f"HTTP {status}"
        score = json.loads(answer)["score"]
        return OK if score == "joint" else f"score {score}"

    try:
        return await _warm_and_measured(send, options, {"generator": os.getpid(), "bank": service.pid, **pids})
    finally:
        await target.close()


def bench_service(options: argparse.Namespace) -> dict[str, Any]:
    """Both nodes in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        homes = make_homes(Path(folder), options.people, policy=POLICY, scoring=SCORING)
        made_ready(share_weights(homes) if options.release == "shared" else homes)
        with platform_process(homes) as (process, address), \
                service_process(homes, address, DEADLINE_MS, f"workers = {options.workers}\n") as service:
            return asyncio.run(load_service(service, {"platform": process.pid}, options))


async def load_http(options: argparse.Namespace) -> dict[str, Any]:
    """Drive a decision service."""
    context = tls(options.ca, options.cert, options.key) if options.url.startswith("https") else None
    target = HttpTarget(options.url, dict(pair.split("=", 1) for pair in options.header), context)
    lines = [json.loads(line) for line in Path(options.bodies).read_text().splitlines() if line.strip()]

    async def send(number: int) -> str:
        name = secrets.token_hex(16)
        body = json.dumps(lines[number % len(lines)] | {"application_id": name}).encode()
        status, _ = await target.post(body, {"Idempotency-Key": name})
        return OK if 200 <= status < 300 else f"HTTP {status}"

    processes = {name: int(pid) for name, _, pid in (pair.partition("=") for pair in options.pid)}
    try:
        return await _warm_and_measured(send, options, {"generator": os.getpid(), **processes})
    finally:
        await target.close()


async def _warm_and_measured(send: Send, options: argparse.Namespace, processes: dict[str, int]) -> dict[str, Any]:
    gc.collect()
    gc.freeze()  # as the processes that it stands for do
    warm = list(itertools.islice(due_times(options.rate, options.warm_s, poisson=False), 10_000))
    async with asyncio.timeout(options.warm_s + 60):
        await measured(send, iter(warm), {})
    due = due_times(options.rate, options.seconds, poisson=options.arrivals == "poisson")
    try:
        return await measured(send, due, processes)
    finally:
        gc.unfreeze()


BARS_P99_MS = {"scoring": 20.0, "scoring --release shared": 60.0, "service": 200.0}


def measure() -> dict[str, Any]:
    """Each for twenty seconds, with a bar for its 99th percentile."""
    found = {}
    for words in BARS_P99_MS:
        options = _options([*words.split(), "--seconds", "20"])
        found[words] = TARGETS[options.target](options)
    return found


# ---------------------------------------------------------------- command line


def _options(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.decisions", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=["scoring", "service", "http"])
    parser.add_argument("--rate", type=float, default=60.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--warm-s", type=float, default=2.0, help="seconds before that do not count")
    parser.add_argument("--arrivals", choices=["even", "poisson"], default="poisson")
    parser.add_argument("--p99-ms", type=float, help="the bar")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--release", choices=["owner", "shared"], default="owner")
    parser.add_argument("--through", choices=["direct", "hub"], default="direct")
    parser.add_argument("--workers", type=int, default=1, help="processes of the decision service")
    parser.add_argument("--people", type=int, default=2000)
    parser.add_argument("--url", default="")
    parser.add_argument("--bodies")
    parser.add_argument("--header", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--pid", action="append", default=[], metavar="NAME=PID")
    for name in ("--ca", "--cert", "--key"):
        parser.add_argument(name, metavar="FILE")
    options = parser.parse_args(words)
    if options.target == "http" and not (options.url and options.bodies):
        parser.error("http needs --url and --bodies")
    return options


TARGETS = {"scoring": bench_scoring, "service": bench_service,
           "http": lambda options: asyncio.run(load_http(options))}


def main(words: list[str]) -> int:
    """Run and print."""
    options = _options(words)
    told = TARGETS[options.target](options)
    release = f"{options.release} release"
    title = {"scoring": f"scoring, {release}", "service": f"decision service, {release}", "http": options.url}
    print(json.dumps(told, indent=2) if options.json else table(title[options.target], told))
    missed = options.p99_ms is not None and told["latency_ms"]["p99"] > options.p99_ms
    return 1 if told["errors"] or missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
