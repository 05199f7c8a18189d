"""The demo's bank decides applications, in the federation that has just trained: scores, rulebook, store, HTTP service.

Everything as an engineer of each node would do it: sections in the nodes' files, `scoring prepare` at both, `scoring
refresh` and `serve` at the platform, `rulebook init`, `store upgrade` and `decisions serve` at the bank. The callers
below know the service by its HTTP interface alone: a channel that brings consents and applications, and an auditor who
reads the records afterwards.
"""
from __future__ import annotations

import http.client
import json
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from coordinator.demo.applications import DemoApplication
from coordinator.demo.decided import Decided
from coordinator.demo.federation import FEATURE, LABEL, Federation
from coordinator.demo.setting import Say
from protocols.errors import SealscoreError
from protocols.node.supervise import Service, Supervisor, environment, free_port, script

CALLERS = 8
TRIES = 5  # of a call that is told to come again
SCORE_DEADLINE_MS = 500  # a demo shares its machine with whatever else runs; the default is 120
READY = {LABEL: "decisions-ready.json", FEATURE: "scoring-ready.json"}
SERVE = {LABEL: "decisions", FEATURE: "scoring"}
# thresholds that are stated in public for such loans; the population has no column of services used
SUFFICIENCY = {"months-of-behaviour": ("account_age_months", 6), "monthly-amount": ("payment_amount_month", 800),
               "contacts": ("valid_contacts", 50), "monthly-payments": ("payments_month", 15)}
T, R = TypeVar("T"), TypeVar("R")


class Branch:
    """`with Branch(federation, model) as branch:` prepares both nodes, starts both services and stops them again.
    `deadline_ms`: how long an application waits for its joint score."""

    def __init__(self, federation: Federation, model: str, deadline_ms: int = SCORE_DEADLINE_MS):
        self._federation, self._model, self._deadline_ms = federation, model, deadline_ms
        self._address = ""
        self._tokens: dict[str, str] = {}  # by role
        self._supervisor = Supervisor([self._service(FEATURE), self._service(LABEL)])

    def __enter__(self) -> Branch:
        self._configure()
        with ThreadPoolExecutor(2) as pool:  # a command is a process; more than two at a time gain nothing on two cores
            for done in [pool.submit(work) for work in (self._prepare_bank, self._prepare_platform, self._get_tokens)]:
                done.result()
        self._supervisor.start()
        self._address = json.loads(self._ready(LABEL).read_text(encoding="utf-8"))["http"]
        return self

    def __exit__(self, *_: object) -> None:
        self._supervisor.stop(within_s=15.0)

    def decide(self, applications: Sequence[DemoApplication]) -> tuple[list[Decided], float]:
        """Consents, then all applications, then their records; and the seconds that the applications took."""
        self._each(applications, "channel", _agree)
        began = time.monotonic()
        answers = self._each(applications, "channel", _apply)
        seconds = time.monotonic() - began
        records = self._each([answer for answer, _ in answers], "auditor", _read)
        return [_decided(*told) for told in zip(applications, answers, records, strict=True)], seconds

    def _configure(self) -> None:
        address = f"127.0.0.1:{free_port()}"
        rules = ", ".join(f'{{ name = "{name}", column = "{column}", minimum = {least} }}'
                          for name, (column, least) in SUFFICIENCY.items())
        _append(self._file(FEATURE), ["[scoring]", f'listen = "{address}"', f"sufficiency = [{rules}]"])
        _append(self._file(LABEL), [
            f"[scoring.platforms.{FEATURE}]", f'address = "{address}"', "", "[decisions]", 'listen = "127.0.0.1:0"',
            f'model = "{self._model}"', f"score_deadline_ms = {self._deadline_ms}"])

    def _prepare_bank(self) -> None:
        _sealscore(LABEL, "rulebook", "init", str(self._federation.home(LABEL) / "rulebook"))
        _sealscore(LABEL, "store", "upgrade", str(self._file(LABEL)))
        _sealscore(LABEL, "scoring", "prepare", str(self._file(LABEL)), self._model)

    def _prepare_platform(self) -> None:
        _sealscore(FEATURE, "scoring", "prepare", str(self._file(FEATURE)), self._model)
        _sealscore(FEATURE, "scoring", "refresh", str(self._file(FEATURE)))

    def _get_tokens(self) -> None:
        for role in ("channel", "auditor"):
            self._tokens[role] = _sealscore(LABEL, "decisions", "token", str(self._file(LABEL)), "--role", role,
                                            "--for", f"demo-{role}", "--hours", "1")

    def _service(self, party: str) -> Service:
        command = (script("sealscore"), party, SERVE[party], "serve", str(self._file(party)))
        log = self._federation.home(party) / "logs" / f"{SERVE[party]}.log"
        return Service(f"{party} {SERVE[party]}", command, log, environment(), ready=self._ready(party).exists)

    def _ready(self, party: str) -> Path:
        return self._federation.home(party) / "state" / READY[party]

    def _file(self, party: str) -> Path:
        return self._federation.home(party) / f"{party}.toml"

    def _each(self, items: Sequence[T], role: str, work: Callable[[Caller, int, T], R]) -> list[R]:
        """`work` for every item, by callers at a time who share them out; in the order of the items."""
        found: list[Any] = [None] * len(items)

        def share(first: int) -> None:
            with Caller(self._address, self._tokens[role]) as caller:
                for number in range(first, len(items), CALLERS):
                    found[number] = work(caller, number, items[number])

        with ThreadPoolExecutor(CALLERS) as pool:
            for done in [pool.submit(share, first) for first in range(CALLERS)]:
                done.result()
        return found


class Caller:
    """One connection to the service, under one token."""

    def __init__(self, address: str, token: str):
        self._connection = http.client.HTTPConnection(address, timeout=30)
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
        """The answer's JSON; comes again where it is told to, SealscoreError repeats any other refusal."""
        data = None if body is None else json.dumps(body)
        for attempt in range(TRIES):
            self._connection.request(method, path, data, self._headers | headers)
            response = self._connection.getresponse()
            told = json.loads(response.read())
            if response.status < 300:
                return told
            if response.status not in (429, 503) or attempt == TRIES - 1:
                break
            time.sleep(float(response.headers.get("retry-after", 1)))
        raise SealscoreError(f"the decision service refused {method} {path.partition('?')[0]} with {response.status}: "
                             f"{told.get('detail', 'no detail')}")


def _agree(caller: Caller, number: int, application: DemoApplication) -> None:
    """The customer agrees to each inquiry, once."""
    person = caller.call("POST", "/v1/persons", {"customer": application.submission["customer"]})["person"]
    for consent in application.consents:
        caller.call("POST", f"/v1/persons/{person}/consents", consent)


def _apply(caller: Caller, number: int, application: DemoApplication) -> tuple[dict[str, Any], float]:
    """The answer and the milliseconds that the caller waited for it."""
    began = time.perf_counter()
    key = {"idempotency-key": f"demo-{number:06d}"}
    answer = caller.call("POST", "/v1/applications", application.submission, **key)
    return answer, (time.perf_counter() - began) * 1000


def _read(caller: Caller, number: int, answer: dict[str, Any]) -> dict[str, Any]:
    return caller.call("GET", f"/v1/applications/{answer['application_id']}/record?purpose=figures+of+the+demo")


def _decided(application: DemoApplication, told: tuple[dict[str, Any], float], kept: dict[str, Any]) -> Decided:
    answer, milliseconds = told
    if kept["digest"] != answer["record"]:
        raise SealscoreError(f"the record of {answer['application_id']} is not the one that its answer names; expected "
                             f"{answer['record']}, got {kept['digest']}: look at the bank's store")
    score = kept["record"]["context"]["score"]
    status = score["status"] if score["status"] == "answered" else f"{score['status']}: {score['cause']}"
    probability = None if score["probability"] is None else float(score["probability"])
    return Decided(answer, status, probability, milliseconds, application.defaulted, application.known,
                   application.held_out)


def decide(federation: Federation, model: str, applications: Sequence[DemoApplication], say: Say
           ) -> tuple[list[Decided], float]:
    """Decide all applications with a published model; what came of each, and the seconds they took."""
    say(f"preparing both nodes to decide {len(applications):,} applications …")
    with Branch(federation, model) as branch:
        say("deciding …")
        return branch.decide(applications)


def _append(path: Path, lines: Sequence[str]) -> None:
    path.write_text("\n".join([path.read_text(encoding="utf-8"), *lines, ""]), encoding="utf-8")


def _sealscore(*words: str) -> str:
    done = subprocess.run([script("sealscore"), *words], capture_output=True, text=True, env=environment())
    if done.returncode:
        raise SealscoreError(done.stderr.strip().removeprefix("error: ") or f"sealscore {' '.join(words[:3])} failed")
    return done.stdout.strip()
