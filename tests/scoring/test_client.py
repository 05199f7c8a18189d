"""Deadlines, the breaker and what the bank says when the platform is down, slow or refuses; loads at the platform."""
from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from types import SimpleNamespace

import pytest

from parties.bank.scoring.breaker import FAILURES, FIRST_PAUSE_S, Breaker
from parties.bank.scoring.client import PlatformAnswer, joint_score
from parties.bank.scoring.transport import Transport, TransportFailed
from parties.platform.scoring.gate import Bucket, Gate
from protocols.scorecard.calibration import Calibration
from protocols.scoring import messages as m
from protocols.scoring import scoring_pb2 as pb
from tests.scoring.asking import Asking, InProcess, scorer, service_of
from tests.scoring.homes import MODEL


class Dead(Transport):
    """Nobody is there; counts who asks."""

    def __init__(self):
        self.calls = 0

    async def call(self, method: str, body: bytes, timeout_s: float) -> bytes:
        self.calls += 1
        raise TransportFailed("not reachable")

    async def close(self) -> None:
        """Nothing."""


class Slow(InProcess):
    """Answers scores after a while."""

    wait_s = 1.0

    async def call(self, method: str, body: bytes, timeout_s: float) -> bytes:
        if method == "Score":
            await asyncio.sleep(self.wait_s)
        return await super().call(method, body, timeout_s)


def test_nobody_waits_longer_than_the_deadline(homes):
    asking = Asking(homes)

    async def run(desk):
        async with scorer(asking, Slow(desk)) as client:
            began = time.perf_counter()
            short, long = await asyncio.gather(client.score(asking.ask(1), MODEL, 0.05),
                                               client.score(asking.ask(2), MODEL, 5))
            return short, long, time.perf_counter() - began

    with service_of(homes) as service:
        short, long, took_s = asyncio.run(run(service.desk))
    assert (short.status, short.cause) == ("unavailable", "no answer in time")
    assert long.status == "answered" and took_s < 4


def test_after_failures_in_a_row_the_platform_is_left_alone_and_tried_again(homes):
    asking, dead, now = Asking(homes), Dead(), [0.0]

    async def run(desk):
        async with scorer(asking, dead) as client:
            client._breaker = Breaker(lambda: now[0])
            causes = [(await client.score(asking.ask(n), MODEL, 1)).cause for n in range(FAILURES + 3)]
            assert causes == ["not reachable"] * FAILURES + ["paused after failures: not reachable"] * 3
            assert dead.calls == FAILURES and client.status().breaker.state == "open"
            now[0] += FIRST_PAUSE_S
            assert client.status().breaker.state == "trying"
            client._caller._transport = InProcess(desk)
            assert (await client.score(asking.ask(1), MODEL, 5)).status == "answered"
            told = client.status()
            assert told.breaker.state == "closed" and told.waiting == 0 and told.answers["answered"] == 1
            assert told.answers["unavailable: not reachable"] == FAILURES

    with service_of(homes) as service:
        asyncio.run(run(service.desk))


def test_pauses_grow_and_one_call_tries():
    now = [0.0]
    breaker = Breaker(lambda: now[0])
    for _ in range(FAILURES):
        assert breaker.admits()
        breaker.failed("x")
    pauses = []
    for _ in range(9):
        pauses.append(breaker.status().opens_in_s)
        assert not breaker.admits()
        now[0] += pauses[-1]
        assert breaker.admits() and not breaker.admits()
        breaker.failed("x")
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    now[0] += 30
    assert breaker.admits()
    breaker.succeeded()
    assert breaker.status().state == "closed" and breaker.admits()


def test_too_many_who_wait_are_told_at_once(homes, monkeypatch):
    monkeypatch.setattr("parties.bank.scoring.client.MOST_WAITING", 3)
    asking = Asking(homes)

    async def run(desk):
        async with scorer(asking, Slow(desk)) as client:
            return await asyncio.gather(*(client.score(asking.ask(n), MODEL, 5) for n in range(4)))

    with service_of(homes) as service:
        told = asyncio.run(run(service.desk))
    assert [answer.cause for answer in told] == [None, None, None, "too many requests wait"]


def test_a_client_that_stops_answers_who_waits(homes):
    asking = Asking(homes)

    async def run(desk):
        async with scorer(asking, Slow(desk)) as client:
            task = asyncio.create_task(client.score(asking.ask(1), MODEL, 30))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return await asyncio.wait_for(task, 5)

    with service_of(homes) as service:
        assert asyncio.run(run(service.desk)).status == "unavailable"


def test_a_reply_about_another_number_of_people_is_no_reply(homes):
    asking = Asking(homes)
    with service_of(homes) as service:
        answer = service.desk._methods["Score"]

        def more(session, plaintext):
            reply = answer(session, plaintext)
            reply.results.append(reply.results[0])
            return reply

        service.desk._methods["Score"] = more

        async def run():
            async with scorer(asking, InProcess(service.desk)) as client:
                return await client.score(asking.ask(1), MODEL, 5)

        assert asyncio.run(run()).cause == "a reply about another number of people"


MODEL_STUB = SimpleNamespace(id=MODEL, calibration=Calibration(-0.25, 0.9))


def test_both_parts_make_a_joint_score():
    told = joint_score(PlatformAnswer("answered", None, 40, snapshot="s", age_s=7, fraud=8), MODEL_STUB, -2.013)
    assert told.log_odds == Decimal("-0.75") and told.probability == Decimal("0.2816")
    assert (told.model, told.snapshot, told.age_s, told.fraud_score) == (MODEL, "s", 7, Decimal("0.25"))
    lacking = joint_score(PlatformAnswer("answered", lacks=("contacts",), snapshot="s", age_s=7), MODEL_STUB, -2.0)
    assert lacking.status == "answered" and lacking.lacks == ("contacts",) and lacking.probability is None
    assert joint_score(PlatformAnswer("refused", "consent expired"), MODEL_STUB, 1.0).cause == "consent expired"
    assert joint_score(PlatformAnswer("answered", None, 4, snapshot="s", age_s=7), MODEL_STUB, None).status == \
        "unavailable"


# -- in front of the platform's desk


class Stub:
    """A desk that takes its time and keeps how many calls came together."""

    def __init__(self, wait_s: float = 0.0):
        self.wait_s, self.sizes = wait_s, []

    def handle_all(self, calls) -> list[bytes]:
        self.sizes.append(len(calls))
        time.sleep(self.wait_s)
        if any(body == b"fault" for _, _, body in calls):
            raise RuntimeError("a fault of ours")
        return [m.encode(pb.Sealed(session=b"s" * 16, body=b"b" * 16))] * len(calls)


def faults(gate: Gate, calls) -> list[int]:
    async def run():
        replies = await asyncio.gather(*(gate.call(caller, "Score", body, end) for caller, body, end in calls))
        return [pb.Sealed.FromString(reply).fault for reply in replies]

    try:
        return asyncio.run(run())
    finally:
        gate.close()


def test_more_calls_than_the_queue_holds_are_busy():
    gate = Gate(Stub(0.05), frozenset(["bank"]), 1000, 3)
    assert faults(gate, [("bank", b"", None)] * 5) == [0, 0, 0, pb.BUSY, pb.BUSY]
    assert (gate.figures.answered, gate.figures.busy) == (3, 2)


def test_calls_that_came_meanwhile_are_worked_on_together():
    stub = Stub(0.05)
    gate = Gate(stub, frozenset(["bank"]), 1000, 100)

    async def run():
        first = asyncio.create_task(gate.call("bank", "Score", b"", None))
        await asyncio.sleep(0.01)
        await asyncio.gather(first, *(gate.call("bank", "Score", b"", None) for _ in range(20)))

    asyncio.run(run())
    gate.close()
    assert stub.sizes == [1, 16, 4]


def test_each_bank_has_a_rate_of_its_own():
    gate = Gate(Stub(), frozenset(["a", "b"]), 1, 100, clock=lambda: 0.0)
    assert faults(gate, [("a", b"", None)] * 3 + [("b", b"", None)]) == [0, 0, pb.BUSY, 0]
    large = Gate(Stub(), frozenset(["a"]), 10, 100, clock=lambda: 0.0)
    assert faults(large, [("a", bytes(250 * 15), None)] * 2) == [0, pb.BUSY]


def test_what_is_too_late_is_not_worked_on():
    gate = Gate(Stub(), frozenset(["bank"]), 1000, 10)
    assert faults(gate, [("bank", b"", None), ("bank", b"", time.monotonic() - 0.05)]) == [0, pb.TOO_LATE]


def test_strangers_and_faults_are_told_nothing(caplog):
    gate = Gate(Stub(), frozenset(["bank"]), 1000, 10)
    assert faults(gate, [("stranger", b"", None), ("bank", b"fault", None)]) == [pb.REFUSED, pb.BROKEN]
    assert gate.figures.broken == 1
    assert "a fault of ours" in caplog.text


@pytest.mark.parametrize(("steps", "expected"), [
    ([(0, 5), (0, 1)], [True, False]), ([(0, 5), (1, 2), (1, 1)], [True, True, False]),
    ([(0, 5), (100, 5), (100, 1)], [True, True, False])])
def test_a_bucket_fills_up_to_its_size(steps, expected):
    bucket = Bucket(2, 5)
    assert [bucket.take(count, now) for now, count in steps] == expected
