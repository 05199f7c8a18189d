"""kill -9 under load: what was answered is kept as it was answered, a retry gives the same, nothing is there twice."""
from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from parties.bank.decision.record import DecisionRecord
from parties.bank.service.assembly import Node
from parties.bank.service.process import READY
from parties.bank.store import Reader
from parties.runtime.config import LoadedParty
from parties.runtime.scoring.persons import PersonKey
from tests.packaging.project import ROOT, clean_environment
from tests.parties.bank.service.support import CONSENTS, bearer, keyed, reference, submission

PEOPLE, CLIENTS = 60, 6


@contextmanager
def serving(file):
    """The process and its address; killed at the end if it still lives."""
    ready = file.parent / "state" / READY
    ready.unlink(missing_ok=True)
    process = subprocess.Popen([sys.executable, "-m", "tests.parties.bank.service.server_process", str(file)], cwd=ROOT,
                               env=clean_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               start_new_session=True)
    try:
        end = time.monotonic() + 60
        while not ready.exists() or not ready.read_text(encoding="utf-8").endswith("}"):
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.05)
        yield process, f"http://{json.loads(ready.read_text(encoding='utf-8'))['http']}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def client_of(http, channel, work, answered, told):
    """Submit what is in the queue until the service is gone."""
    while work:
        number = work.pop()
        try:
            headers = keyed(channel, f"key-{number:08d}")
            response = await http.post("/v1/applications", json=told[number], headers=headers)
        except httpx.TransportError:
            return
        assert response.status_code == 201, response.text
        before = answered.setdefault(number, response.content)
        assert before == response.content


async def load(base, channel, work, answered, told, process, kill_after):
    """All of `work`, or as much as is answered before the process is killed."""
    async def killer():
        while len(answered) < kill_after:
            await asyncio.sleep(0.001)
        os.killpg(process.pid, signal.SIGKILL)  # the watcher and every worker of it

    async with httpx.AsyncClient(base_url=base, timeout=30, verify=False) as http:
        clients = [client_of(http, channel, work, answered, told) for _ in range(CLIENTS)]
        await asyncio.gather(*clients, *([killer()] if kill_after else []))


@pytest.mark.crash
@pytest.mark.timeout(240)
@pytest.mark.parametrize(("workers", "kills"), [(1, (8, 30)), (2, (20,))])
def test_no_acknowledged_decision_is_lost_and_none_is_made_twice(file, workers, kills):
    several(file, workers)
    channel, answered = bearer(file, "channel"), {}
    told = {number: submission(str(number)) for number in range(PEOPLE)}
    agree(file)
    for kill_after in kills:
        with serving(file) as (process, base):
            work = [*answered, *(number for number in told if number not in answered)]
            asyncio.run(load(base, channel, work, answered, told, process, kill_after))
    with serving(file) as (process, base):  # every application again, the answered ones too
        asyncio.run(load(base, channel, list(told), answered, told, process, 0))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert len(answered) == PEOPLE
    check_store(file, answered)


def several(file, workers):
    """So many processes decide."""
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("[decisions]\n", f"[decisions]\nworkers = {workers}\n"), encoding="utf-8")


def agree(file):
    """Everybody's consents."""
    now, persons = datetime.now(UTC), PersonKey.load(file.parent)
    with Node.of(LoadedParty(file, "bank")).store() as store:
        for number, purpose in itertools.product(range(PEOPLE), CONSENTS):
            store.write(lambda unit, number=str(number), purpose=purpose: unit.consents.grant(
                reference(purpose, number), persons.person(number), purpose, now, now + timedelta(hours=1)))


def check_store(file, answered):
    """The store holds these decisions and no other, each funded once and as it was answered."""
    reader, now = Reader("test", "auditor", "after the crash"), datetime.now(UTC)
    with Node.of(LoadedParty(file, "bank")).store() as store:
        lines = store.write(lambda unit: unit.decisions.page(reader, now, limit=10 * PEOPLE))
        assert len(lines) == PEOPLE
        reserved = 0
        for body in map(json.loads, answered.values()):
            name = body["application_id"]
            data = store.write(lambda unit, name=name: unit.decisions.read(name, reader, now))
            kept = DecisionRecord.from_bytes(data)
            assert kept.digest() == body["record"] and kept.outcome == body["outcome"] == "approved"
            reserved += sum(share["fen"] for share in body["offer"]["funding"])
        quotas = store.read(lambda unit: unit.quotas.all())
        assert sum(quota.reserved_fen for quota in quotas.values()) == reserved
