"""Several processes on one store: forked, watched over, started again, ended together; what they count is added up."""
from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import grpc
import httpx
import pytest

from parties.bank.service import applications_pb2 as pb
from parties.bank.service import assembly
from parties.bank.service.assembly import Place
from parties.bank.service.board import SLOT_BYTES, Board
from parties.bank.service.listeners import reserved
from parties.bank.service.metrics import Metrics
from parties.bank.service.settings import LimitsConfig
from parties.bank.service.workers import WorkerFailed
from parties.bank.store import Reader
from protocols.errors import ConfigError
from tests.packaging.project import ROOT, clean_environment
from tests.parties.bank.service.support import Platform, bearer, consenting, keyed, make_service, submission, token_of
from tests.parties.bank.service.test_crash import serving, several
from tests.parties.bank.service.test_grpc import call

SCRIPT = r"""
import os
from parties.bank.service.workers import Watcher
from protocols.errors import ConfigError

def work(number, life, ready):
    if {failing}:
        raise ConfigError("the table is gone; upgrade it")
    ready()
    os.write(1, f"began {{number}} {{os.getpid()}}\n".encode())
    os.read(life, 1)  # returns when the watcher is gone

def ready():
    os.write(1, b"ready\n")

Watcher(2, work, ready).run()
os.write(1, b"over\n")
"""


@contextmanager
def watched(failing="False"):
    """A watcher with two workers as a process; `lines()` reads what it says."""
    process = subprocess.Popen([sys.executable, "-c", SCRIPT.format(failing=failing)], cwd=ROOT, text=True,
                               env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def begun(process, workers):
    """Process ids of so many workers by their number, once they have said that they began."""
    pids = {}
    while len(pids) < workers:
        word, *rest = process.stdout.readline().split()
        if word == "began":
            pids[int(rest[0])] = int(rest[1])
    return pids


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_worker_that_dies_is_started_again_and_all_end_together():
    with watched() as process:
        pids = begun(process, 2)
        os.kill(pids[1], signal.SIGKILL)
        again = begun(process, 1)
        assert again[1] != pids[1]
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=20)
        assert process.returncode == 0 and "over" in out and "worker 1 ended" in errors
    assert not any(map(alive, (*pids.values(), *again.values())))


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_workers_end_with_a_watcher_that_is_killed():
    with watched() as process:
        pids = begun(process, 2)
        process.kill()
        process.wait()
        end = time.monotonic() + 20
        while any(map(alive, pids.values())):
            assert time.monotonic() < end
            time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("failing", ["True", "number == 1"])
def test_what_hinders_a_worker_at_the_start_is_told_once(failing):
    with watched(failing) as process:
        out, errors = process.communicate(timeout=20)
        assert process.returncode != 0 and "ready" not in out
        assert errors.count("the table is gone; upgrade it") == 1 and WorkerFailed.__name__ in errors


def test_the_same_application_at_two_processes_is_decided_once(file):
    """Two services stand for the two processes: they share nothing but the store."""
    one, other = make_service(file, Platform()), make_service(file, Platform())
    channel = bearer(file, "channel")

    async def steps():
        clients = [httpx.AsyncClient(transport=httpx.ASGITransport(service.app()), base_url="http://bank")
                   for service in (one, other)]
        person = await consenting(clients[0], channel)
        body = submission()
        for key in keys[:1] * 3 + keys[1:]:
            answers = await asyncio.gather(*(http.post("/v1/applications", json=body, headers=key) for http in clients))
            assert {answer.status_code for answer in answers} == {201}
            assert answers[0].content == answers[1].content
        away = await clients[1].put(f"/v1/persons/{person}/switch", json={"off": True}, headers=channel)
        assert away.status_code == 200
        later = await clients[0].post("/v1/applications", json=body, headers=keyed(channel, "key-later-1"))
        assert later.json()["outcome"] == "declined"
        for http in clients:
            await http.aclose()

    keys = [keyed(channel, f"key-{number:08d}") for number in range(8)]
    asyncio.run(steps())
    with one.store, other.store:
        reader, now = Reader("test", "auditor", "a count"), datetime.now(UTC)
        lines = one.store.write(lambda unit: unit.decisions.page(reader, now))
        assert len(lines) == len(keys) + 1


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_service_of_two_processes_over_both_interfaces(file):
    several(file, 2)
    with serving(file) as (process, base):
        asyncio.run(both_interfaces(file, base))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


async def both_interfaces(file, base):
    channel, told = bearer(file, "channel"), json.loads((file.parent / "state" / "decisions-ready.json").read_text())
    for number in range(6):  # each on a connection of its own: some to each worker
        async with httpx.AsyncClient(base_url=base, timeout=30) as http:
            await consenting(http, channel, str(number))
            body, key = submission(str(number)), keyed(channel, f"key-0000000{number}")
            made = await http.post("/v1/applications", json=body, headers=key)
            assert made.status_code == 201, made.text
        async with grpc.aio.insecure_channel(told["grpc"]) as stub:
            name = pb.ApplicationName(application_id=made.json()["application_id"])
            follow = await call(stub, "GetProgress", name, token_of(file, "channel"))
            assert follow.answer.outcome == made.json()["outcome"]
    async with asyncio.timeout(20), httpx.AsyncClient(base_url=base, timeout=30) as http:
        while True:  # each process posts its figures once a second
            text = (await http.get("/metrics", headers=bearer(file, "operator"))).text
            counted = sum(int(line.rpartition(" ")[2]) for line in text.splitlines() if "_decisions_total{" in line)
            if counted == 6:
                return
            await asyncio.sleep(0.1)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_board_shows_whole_slots_only():
    board = Board(2)
    assert board.read(0) is None and board.read(1) is None
    board.post(1, b"figures")
    assert board.read(1) == b"figures" and board.read(0) is None
    board.post(1, b"less")
    assert board.read(1) == b"less"
    board._memory[SLOT_BYTES + 9:SLOT_BYTES + 10] = b"x"  # as if it were being written
    assert board.read(1) is None
    board.post(0, b"y" * (SLOT_BYTES - 8))
    assert board.read(1) is None
    with pytest.raises(ValueError, match="expected at most"):
        board.post(0, b"y" * (SLOT_BYTES - 7))


def test_figures_of_all_processes_are_added_up():
    board = Board(3)
    both = [Metrics(board, slot) for slot in range(2)]
    for number, metrics in enumerate(both):
        metrics.gauge("waiting", lambda number=number: number + 1.0)
        metrics.count("decisions", outcome="approved")
        metrics.decision_s.observe(0.06 + number)
    both[1].count("decisions", outcome="declined")
    board.post(1, json.dumps(both[1]._figures()).encode())
    text = both[0].text()
    assert 'decisions_total{outcome="approved"} 2' in text and 'decisions_total{outcome="declined"} 1' in text
    assert "sealscore_bank_waiting 3.0" in text
    assert 'decision_seconds_bucket{le="0.1"} 1' in text and 'decision_seconds_bucket{le="2.0"} 2' in text
    assert "decision_seconds_count 2" in text and "declined" not in Metrics().text()


def test_limits_are_shared_out():
    limits = LimitsConfig(per_s=600, in_flight=5)
    part = limits.shared_out(2)
    assert (part.per_s, part.in_flight) == (300, 3) and part.body_bytes == limits.body_bytes
    assert limits.shared_out(1) == limits


def test_only_the_first_keeps_house(file, platform):
    node = assembly.Node.of(assembly.LoadedParty(file, "bank"))
    for number, chores in ((0, 3), (1, 1)):
        service = assembly.Service(node, platform, Place(number, 2, Board(2)))
        running = service.chores()
        assert len(running) == chores
        for one in running:
            one.close()
        service.store.close()


def test_an_address_is_reserved_for_several_but_not_taken_from_others():
    with closing(reserved("127.0.0.1:0", "decisions.grpc")) as held:
        port = held.getsockname()[1]
        with closing(socket.socket()) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind(("127.0.0.1", port))
        with pytest.raises(ConfigError, match="decisions.grpc"):
            reserved(f"127.0.0.1:{port}", "decisions.grpc")
