"""What the service does by itself, and what a decision hears of loans that are late."""
from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from parties.bank.decision.record import DecisionRecord
from parties.bank.lending.book import Loans, Notary
from parties.bank.store import Reader
from protocols.crypto.identity import IdentityKey
from tests.parties.bank.lending.loans import event, terms
from tests.parties.bank.service.support import CONSENTS, bearer, consenting, keyed, soon, submission

AUDITOR = Reader("wu", "auditor", "spot check")


def lend(unit, person: str, at: datetime) -> None:
    """A loan of this person, drawn at that time; two partners with room for it."""
    book = Loans(unit, Notary("bank", IdentityKey.generate()))
    unit.customers.set_limit(person, 2_000_000, "approved", "engine", at)
    for partner in ("own", "city"):
        unit.quotas.set(partner, 10**9, at)
    book.accept(terms(person=person, offered_until=at + timedelta(days=7)), event("accept", at))
    book.act("l-1", event("draw", at, 1_000_000))


async def tidied(service) -> None:
    """One round of housekeeping."""
    rounds = asyncio.create_task(service.keep_house())
    await asyncio.sleep(0)  # its job is submitted, and SQLite's writer takes jobs in order
    await asyncio.wrap_future(service.store.submit(lambda unit: None))
    rounds.cancel()
    await asyncio.gather(rounds, return_exceptions=True)


def again() -> list[dict[str, str]]:
    """Consents for a second application."""
    return [{"reference": f"again-{purpose}", "purpose": purpose, "expires_at": soon()} for purpose in CONSENTS]


async def consenting_again(http, channel, person: str) -> None:
    for told in again():
        given = await http.post(f"/v1/persons/{person}/consents", json=told, headers=channel)
        assert given.status_code == 200, given.text


def test_loans_past_their_retention_are_forgotten_by_the_service_itself(service):
    long_ago, now = datetime.now(UTC) - timedelta(days=5000), datetime.now(UTC)
    book = lambda unit: Loans(unit, Notary("bank", IdentityKey.generate()))  # noqa: E731
    service.store.write(lambda unit: lend(unit, "1" * 64, long_ago))
    asyncio.run(tidied(service))
    assert service.store.read(lambda unit: Loans(unit).of_application("a-1")) == "l-1"  # it runs still
    service.store.write(lambda unit: book(unit).act("l-1", event("cancel", long_ago, 1_000_000)))
    asyncio.run(tidied(service))
    assert service.store.read(lambda unit: Loans(unit).of_application("a-1")) is None
    asyncio.run(tidied(service))
    lines = service.store.write(lambda unit: unit.accesses.of(AUDITOR, now))
    assert [(one.who, one.count) for one in lines if one.action == "forget loans"] == [("decision service", 1)]


def test_a_decision_hears_of_a_running_loan_that_is_late(service, client, file):
    channel, begun = bearer(file, "channel"), datetime.now(UTC) - timedelta(days=100)

    async def steps():
        async with client() as http:
            person = await consenting(http, channel)
            service.store.write(lambda unit: lend(unit, person, begun))
            told = await http.post("/v1/applications", json=submission(), headers=keyed(channel))
            return told.json()

    answer = asyncio.run(steps())
    data = service.store.write(lambda unit: unit.decisions.read(answer["application_id"], AUDITOR, datetime.now(UTC)))
    history = DecisionRecord.from_bytes(data).context.history
    assert history.outstanding_fen == 1_000_000 and 60 <= history.worst_overdue_days <= 80
    assert answer["outcome"] == "declined", answer
    assert [one["code"] for one in answer["reasons"]] == ["account-frozen"]


def test_limits_that_are_due_are_reviewed_by_the_service_itself(service):
    person, opened = "1" * 64, datetime.now(UTC) - timedelta(days=40)
    service.store.write(lambda unit: unit.customers.set_limit(person, 500_000, "initial", "engine", opened))

    async def round_of_housekeeping():
        rounds = asyncio.create_task(service.keep_house())
        async with asyncio.timeout(20):
            while not service.metrics.value("limit_reviews", result="unchanged"):
                await asyncio.sleep(0.01)
        rounds.cancel()
        await asyncio.gather(rounds, return_exceptions=True)

    asyncio.run(round_of_housekeeping())
    newest = service.store.read(lambda unit: unit.customers.changes(person))[0]
    assert (newest.what, newest.reason, newest.changed_by) == ("review", "facts-missing", "decision service")
    assert 'limit_reviews_total{result="unchanged"} 1' in service.metrics.text()


def test_a_raise_at_a_decision_counts_as_a_review(service, client, file):
    channel = bearer(file, "channel")

    async def steps():
        async with client() as http:
            person = await consenting(http, channel)
            opened = datetime.now(UTC) - timedelta(days=10)
            service.store.write(lambda unit: unit.customers.set_limit(person, 400_000, "initial", "engine", opened))
            service.store.write(lambda unit: unit.customers.repaid(person, (), opened, 2))
            await http.post("/v1/applications", json=submission(), headers=keyed(channel))
            await consenting_again(http, channel, person)
            told = submission(consents=again())
            await http.post("/v1/applications", json=told, headers=keyed(channel, "key-00000002"))
            return person

    person = asyncio.run(steps())
    account = service.store.read(lambda unit: unit.customers.get(person))
    assert account.limit_fen == 600_000 and account.reviewed_at is not None
