"""What the platform answers and refuses, with the whole path between both nodes but the sockets."""
from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from parties.bank.scoring.client import reference_bytes
from parties.runtime.scoring.directory import prepare
from parties.runtime.tables import load_table
from protocols.crypto.identity import IdentityKey
from protocols.node.audit_log import AuditLog
from protocols.scorecard.holdout import coarse
from protocols.scoring import scoring_pb2 as pb
from tests.scoring.asking import Asking, InProcess, scorer, service_of
from tests.scoring.conftest import fill, made_ready
from tests.scoring.homes import MODEL, Homes, make_homes, platform_rows

OTHER = "m-" + "6" * 16


def answers(homes: Homes, asks, model: str = MODEL, desk=None, **more):
    """The platform's answers to these requests, sent at once."""
    async def run():
        async with scorer(Asking(homes), InProcess(desk, **more)) as client:
            return await asyncio.gather(*(client.score(ask, model, 5) for ask in asks))

    return asyncio.run(run())


def causes(homes: Homes, asks, **more) -> list[str | None]:
    return [answer.cause for answer in answers(homes, asks, **more)]


def test_everybody_gets_what_batch_scoring_gives_or_what_lacks(homes):
    asking = Asking(homes)
    with service_of(homes) as service:
        found = answers(homes, [asking.ask(n) for n in range(homes.shared)], desk=service.desk)
    payments = homes.table("platform").columns["payments"].values[platform_rows(homes.shared)]
    lacking = payments < 5
    assert 0 < lacking.sum() < homes.shared
    assert [answer.lacks for answer in found] == [("payments",) if low else () for low in lacking]
    expected = np.where(lacking, None, coarse(homes.partials()))
    assert [answer.partial for answer in found] == expected.tolist()
    assert {answer.status for answer in found} == {"answered"} and all(answer.age_s < 60 for answer in found)
    assert all(answer.fraud is None for answer in found)


def test_up_to_64_requests_travel_in_one_call(homes):
    asking = Asking(homes)
    with service_of(homes) as service:
        transport = InProcess(service.desk)

        async def run():
            async with scorer(asking, transport) as client:
                await asyncio.gather(*(client.score(asking.ask(n), MODEL, 5) for n in range(130)))

        asyncio.run(run())
    assert [method for method, _ in transport.calls] == ["Hello", "Score", "Score", "Score"]


NOW = int(time.time())


@pytest.mark.parametrize(("terms", "cause"), [
    ({"not_after_s": NOW - 10, "issued_at_s": NOW - 20}, "consent expired"),
    ({"issued_at_s": NOW + 4000, "not_after_s": NOW + 5000}, "consent unknown"),
    ({"purpose": "advertising"}, "purpose refused"),
    ({"identity": IdentityKey.generate()}, "consent unknown"),
    ({"platform": "other"}, "consent unknown"),
    ({"token": b"?" * 16}, "unknown to the platform"),
])
def test_a_consent_that_does_not_hold_is_refused_and_uses_nothing_up(homes, terms, cause):
    asking = Asking(homes)
    with service_of(homes) as service:
        assert causes(homes, [asking.ask(3, **terms), asking.ask(4)], desk=service.desk) == [cause, None]
        assert {one.numbers for one in service._admissions.untold()} == {1}


def test_without_a_consent_nobody_learns_who_is_known(homes):
    asking, stranger = Asking(homes), IdentityKey.generate()
    with service_of(homes) as service:
        asks = [asking.ask(3, identity=stranger), asking.ask(3, token=b"?" * 16, identity=stranger)]
        assert len(set(answers(homes, asks, desk=service.desk))) == 1


def test_a_consent_is_used_up_and_the_same_use_counts_once(homes):
    asking = Asking(homes)
    with service_of(homes) as service:
        asks = [asking.ask(n, "one", use, maximum_uses=2) for n, use in
                ((5, "a"), (5, "a"), (5, "b"), (5, "c"), (5, "a"))]
        found = [answers(homes, [ask], desk=service.desk)[0] for ask in asks]
        assert [answer.cause for answer in found] == [None, None, None, "consent used up", None]
        assert found[0].partial == found[-1].partial
        assert causes(homes, [asking.ask(6, "one", "d", maximum_uses=9)], desk=service.desk) == ["consent unknown"]
        (opened,) = [one for one in service._admissions.untold() if one.kind != "online.lacks"]
        assert opened.numbers == 2


def test_what_was_counted_outlives_the_process(homes):
    asking = Asking(homes)
    for cause in (None, "consent used up"):
        with service_of(homes) as service:
            assert causes(homes, [asking.ask(5, "one")], desk=service.desk) == [cause]


def test_revoked_consents_and_people_who_switched_off_are_refused(homes):
    asking = Asking(homes)

    async def run(desk):
        async with scorer(asking, InProcess(desk)) as client:
            assert await client.revoke([reference_bytes("never seen")], [asking.token(8)], int(time.time()), 5) == 2
            asks = [asking.ask(7, "never seen"), asking.ask(8), asking.ask(7),
                    asking.ask(8, issued_at_s=int(time.time()) + 60, not_after_s=int(time.time()) + 90)]
            return [(await client.score(ask, MODEL, 5)).cause for ask in asks]

    for _ in range(2):  # also after a restart
        with service_of(homes) as service:
            assert asyncio.run(run(service.desk)) == ["consent revoked", "consent revoked", None, None]


def test_a_person_is_scored_only_so_often_a_day(tmp_path):
    homes = made_ready(make_homes(tmp_path, policy="maximum_scores_per_person_per_day = 3"))
    asking = Asking(homes)
    with service_of(homes) as service:
        found = causes(homes, [asking.ask(9) for _ in range(5)] + [asking.ask(10)], desk=service.desk)
        assert found == [None] * 3 + ["scored too often"] * 2 + [None]


def test_a_person_is_scored_under_few_versions(tmp_path):
    homes = made_ready(make_homes(tmp_path, policy="maximum_snapshots_per_person = 2"))
    asking, table = Asking(homes), homes.platform / "users.csv"
    text, found = table.read_text().splitlines(), []
    for version in range(3):
        changed = [",".join([line.split(",")[0], str(20 * version + 5), *line.split(",")[2:]]) if n else line
                   for n, line in enumerate(text)]
        table.write_text("\n".join(changed) + "\n")
        fill(homes)
        fill(homes, datetime.now(UTC) + timedelta(seconds=1))  # the same data again is no other version
        with service_of(homes) as service:
            found += causes(homes, [asking.ask(9)], desk=service.desk)
    assert found == [None, None, "scored too often"]


def test_models_that_are_not_published_here_are_refused_at_once(homes):
    asking, vault = Asking(homes), homes.vault("platform")
    half = vault.get(MODEL)
    with service_of(homes) as service:
        told = causes(homes, [asking.ask(1)], desk=service.desk, model=OTHER)
        assert told == ["the platform does not know the model"]
        assert causes(homes, [asking.ask(1)], desk=service.desk) == [None]
        for status, cause in (("revoked", "the platform revoked the model"),
                              ("pending", "the platform does not know the model"), ("published", None)):
            vault.put(MODEL, half | {"status": status})
            assert causes(homes, [asking.ask(1)], desk=service.desk) == [cause]
        assert {one.status for one in answers(homes, [asking.ask(1)], desk=service.desk, model=OTHER)} == {"refused"}


def test_a_platform_without_features_says_so(tmp_path):
    homes = make_homes(tmp_path)
    prepare(homes.party("bank"), homes.identity("bank"), MODEL)
    with service_of(homes) as service:
        assert causes(homes, [Asking(homes).ask(1)], desk=service.desk) == ["the platform has no features at hand"]


def test_a_fraud_score_is_told_where_the_policy_allows_it(tmp_path):
    homes = made_ready(make_homes(tmp_path, policy='kinds = ["train", "online", "fraud"]',
                                  scoring='fraud_column = "fraud"'))
    with service_of(homes) as service:
        (found,) = answers(homes, [Asking(homes).ask(11)], desk=service.desk)
        kinds = {one.kind for one in service._admissions.untold()}
    expected = homes.table("platform").columns["fraud"].values[platform_rows(homes.shared)][11]
    assert found.fraud == round(expected * 32) and kinds == {"online.score", "online.fraud"}


def test_openings_reach_ledger_and_audit_log_and_are_told_once(homes):
    asking = Asking(homes)
    with service_of(homes) as service:
        answers(homes, [asking.ask(n) for n in range(40)], desk=service.desk)
        assert service._accounts.hand_over() == 40 and service._accounts.hand_over() == 0
        answers(homes, [asking.ask(n) for n in range(10)], desk=service.desk)
        lines = {line.kind: line for line in service._accounts._ledger.lines()}
        assert sum(line.numbers for line in lines.values()) == 40  # the rest is handed over at the end
    with AuditLog(homes.platform / "state" / "audit", "platform", homes.identity("platform")) as audit:
        told = [record.body for record in audit.records() if record.kind == "opening"]
    assert sum(body["count"] for body in told) == 50 and {body["learner"] for body in told} == {"bank"}
    assert {body["what"] for body in told} == {"online.score", "online.lacks"}
    assert {body["run"] for body in told} == {"r-" + MODEL[2:]}


def test_no_score_leaves_while_the_audit_log_is_behind(homes):
    asking = Asking(homes)
    with service_of(homes) as service:
        service._accounts._clock = lambda: time.monotonic() + 10_000
        assert causes(homes, [asking.ask(1)], desk=service.desk) == ["the platform's audit log is behind"]


def test_a_bank_under_another_identity_or_name_is_refused(homes):
    asking = Asking(homes)
    asking.token(1)
    with service_of(homes) as service:
        asking.identity = IdentityKey.generate()

        async def run(caller):
            async with scorer(asking, InProcess(service.desk, caller)) as client:
                return (await client.score(asking.ask(1), MODEL, 5)).cause

        assert asyncio.run(run("bank")) == "it does not accept this bank"
        asking.identity = homes.identity("bank")
        assert asyncio.run(run("platform")) == "it does not accept this bank"
        assert asyncio.run(run("bank")) is None


def test_a_restarted_platform_is_greeted_again(homes):
    asking = Asking(homes)

    async def run():
        with service_of(homes) as service:
            transport = InProcess(service.desk)
            async with scorer(asking, transport) as client:
                first = await client.score(asking.ask(1), MODEL, 5)
                with service_of(homes) as again:
                    transport.desk = again.desk
                    second = await client.score(asking.ask(2), MODEL, 5)
                return first, second, [method for method, _ in transport.calls]

    first, second, methods = asyncio.run(run())
    assert first.status == second.status == "answered" and methods == ["Hello", "Score", "Score", "Hello", "Score"]


@pytest.mark.parametrize("way", ["out", "back"])
def test_what_is_changed_on_its_way_is_never_believed(homes, way):
    asking = Asking(homes)

    def flip(method, where, body):
        return body[:-1] + bytes([body[-1] ^ 1]) if (method, where) == ("Score", way) else body

    with service_of(homes) as service:
        (found,) = answers(homes, [asking.ask(1)], desk=service.desk, tamper=flip)
    assert found.status == "unavailable" and found.partial is None


def test_a_call_that_comes_again_is_refused(homes):
    asking = Asking(homes)
    with service_of(homes) as service:
        transport = InProcess(service.desk)

        async def run():
            async with scorer(asking, transport) as client:
                await client.score(asking.ask(1), MODEL, 5)

        asyncio.run(run())
        (body,) = [body for method, body in transport.calls if method == "Score"]
        assert pb.Sealed.FromString(service.desk.handle("bank", "Score", body)).fault == pb.MALFORMED
        assert pb.Sealed.FromString(service.desk.handle("bank", "Revoke", body)).fault == pb.MALFORMED


def test_features_at_rest_open_to_nobody_else(homes):
    kept = (homes.platform / "state" / "scoring" / "features.db").read_bytes()
    table = load_table(next(iter(homes.party("platform").config.tables.values())), homes.platform)
    assert not any(name.encode() in kept for name in table.ids) and b"payments" not in kept
