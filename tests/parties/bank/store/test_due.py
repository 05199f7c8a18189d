"""Accounts that are due for review are found by an index, and are those that a look at every account finds."""
from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, event, insert

from parties.bank.store import Store, Unit, migrate, open_store
from parties.bank.store.customers import LimitAccount
from parties.bank.store.engines import engine_of
from parties.bank.store.payloads import Payloads
from parties.bank.store.tables import customers
from tests.parties.bank.store.postgres import postgresql_url  # noqa: F401 - a fixture
from tests.parties.bank.store.samples import DAY, NOW, person
from tests.parties.bank.store.templates import fresh_sqlite

BOUNDS = (NOW - 180 * DAY, NOW - 30 * DAY)
moments = st.integers(0, 400).map(lambda days: NOW - days * DAY)


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Store]:
    with open_store(fresh_sqlite(tmp_path)) as opened:
        yield opened


def plans(unit: Unit, explain: str = "EXPLAIN QUERY PLAN") -> list[str]:
    """How the database runs the statements that `due` really sends, one line per step."""
    sent: list[tuple[str, tuple]] = []

    def note(connection: Connection, cursor: object, statement: str, values: tuple, *_: object) -> None:
        sent.append((statement, values))

    event.listen(unit.connection, "before_cursor_execute", note)
    unit.customers.due(*BOUNDS, limit=200)
    event.remove(unit.connection, "before_cursor_execute", note)
    return [row[-1] for statement, values in sent
            for row in unit.connection.exec_driver_sql(f"{explain} {statement}", values)]


def test_sqlite_finds_who_is_due_by_an_index_and_sorts_nobody(one: Store) -> None:
    assert one.read(plans) == [
        "SEARCH customers USING COVERING INDEX ix_customers_looked_at_person (looked_at<?)",
        "SEARCH customers USING INDEX ix_customers_idle (active_at<?)"]


def test_without_the_indexes_it_would_look_at_everybody(one: Store) -> None:
    """So the test above can fail."""
    for name in ("ix_customers_looked_at_person", "ix_customers_idle"):
        one.write(lambda unit, name=name: unit.connection.exec_driver_sql(f"DROP INDEX {name}").rowcount)
    assert [line for line in one.read(plans) if line.startswith("SCAN customers")]


@pytest.mark.slow
def test_postgresql_finds_who_is_due_by_an_index(postgresql_url: str) -> None:  # noqa: F811
    engine = engine_of(postgresql_url)
    migrate.upgrade(engine)
    rows = [{"person": person(n), "opened_at": NOW, "active_at": NOW - n * DAY / 40, "looked_at": NOW - DAY}
            for n in range(4000)]  # the few who were active since they were looked at are not idle
    with engine.begin() as connection:
        connection.execute(insert(customers), rows)
        connection.exec_driver_sql("ANALYZE customers")
    with engine.connect() as connection:
        told = "\n".join(plans(Unit(connection, Payloads(None), False), "EXPLAIN"))
    engine.dispose()
    assert "ix_customers_looked_at_person" in told and "ix_customers_idle" in told and "Seq Scan" not in told, told


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(moments, st.none() | moments, st.none() | moments), max_size=6), st.integers(1, 8))
def test_who_is_due_follows_the_plain_rule(one: Store, drawn: list[tuple], most: int) -> None:
    people = {person(number): times for number, times in enumerate(drawn)}

    def made(unit: Unit) -> list[LimitAccount]:
        for table in ("limit_changes", "customers"):
            unit.connection.exec_driver_sql(f"DELETE FROM {table}")
        return [account_of(unit, who, *times) for who, times in people.items()]

    accounts = one.write(made)
    expected = {account.person for account in accounts if is_due(account)}
    found = one.read(lambda unit: unit.customers.due(*BOUNDS, limit=most))
    assert len(found) == len(set(found)) == min(most, len(expected)) and set(found) <= expected
    old = [who for who in found if one.read(lambda unit, who=who: unit.customers.get(who)).looked_at < BOUNDS[0]]
    assert found[:len(old)] == old  # those not looked at for half a year come first


def account_of(unit: Unit, who: str, opened: datetime, active: datetime | None, reviewed: datetime | None
               ) -> LimitAccount:
    """An account opened then, perhaps used and reviewed after that."""
    unit.customers.set_limit(who, 1000, "initial", "engine", opened)
    for at, job in sorted([(active, "use"), (reviewed, "review")], key=lambda pair: (pair[0] or NOW, pair[1])):
        if at is not None and at >= opened and job == "use":
            unit.customers.reserve(who, 1, at)
        elif at is not None and at >= opened:
            unit.customers.reviewed(who, "review", "engine", at)
    return unit.customers.locked(who)


def is_due(account: LimitAccount) -> bool:
    looked, active = account.reviewed_at or account.opened_at, account.active_at or account.opened_at
    return looked < BOUNDS[0] or (active < BOUNDS[1] and looked <= active)


def test_an_account_is_looked_at_when_it_is_opened_and_reviewed(one: Store) -> None:
    opened = one.write(lambda unit: account_of(unit, person(), NOW, None, None))
    assert (opened.opened_at, opened.active_at, opened.looked_at) == (NOW, NOW, NOW)
    one.write(lambda unit: unit.customers.set_limit(person(), 2000, "raised", "engine", NOW + timedelta(hours=1)))
    reviewed = NOW + DAY
    one.write(lambda unit: unit.customers.reviewed(person(), "review", "engine", reviewed))
    account = one.read(lambda unit: unit.customers.get(person()))
    assert (account.opened_at, account.active_at, account.looked_at) == (NOW, NOW, reviewed)
