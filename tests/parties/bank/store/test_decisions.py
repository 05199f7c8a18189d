"""Records are kept once, read under a name and a purpose, and come back bit for bit or not at all."""
from __future__ import annotations

import hashlib
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import update

from parties.bank.decision.record import DecisionRecord, FundingShare, Offer
from parties.bank.store import Conflict, Reader, Store, Unknown, open_store
from parties.bank.store.tables import decisions
from protocols.crypto.box import Box
from protocols.errors import SealscoreError, TrustError, UsageError
from tests.parties.bank.store.samples import DAY, NOW, OFFICER, person, record
from tests.parties.bank.store.templates import fresh_sqlite


def test_a_record_is_kept_once_and_read_bit_for_bit(store: Store) -> None:
    kept = record()
    assert store.write(lambda u: u.decisions.save(kept)) is True
    assert store.write(lambda u: u.decisions.save(kept)) is False
    data = store.write(lambda u: u.decisions.read("a-1", OFFICER, NOW))
    assert data == kept.to_bytes()
    assert DecisionRecord.from_bytes(data) == kept


def test_another_record_for_the_same_application_is_refused(store: Store) -> None:
    store.write(lambda u: u.decisions.save(record()))
    with pytest.raises(Conflict, match="decided already"):
        store.write(lambda u: u.decisions.save(record(outcome="referred")))


def test_every_read_and_list_is_in_the_access_log(store: Store) -> None:
    store.write(lambda u: u.decisions.save(record()))
    store.write(lambda u: u.decisions.read("a-1", OFFICER, NOW))
    store.write(lambda u: u.decisions.page(OFFICER, NOW + DAY))
    auditor = Reader("zhao", "auditor", "quarterly audit")
    lines = store.write(lambda u: u.accesses.of(auditor, NOW + 2 * DAY))
    assert [(one.action, one.who, one.person, one.application_id, one.count, one.at) for one in lines] == [
        ("list", "li.wei", None, None, 1, NOW + DAY), ("read", "li.wei", person(), "a-1", 1, NOW)]
    again = store.write(lambda u: u.accesses.of(auditor, NOW + 3 * DAY))
    assert (again[0].action, again[0].who, again[0].count) == ("accesses", "zhao", 2)


def test_a_read_that_would_leave_no_trace_is_refused(store: Store) -> None:
    store.write(lambda u: u.decisions.save(record()))
    for look in (lambda u: u.decisions.read("a-1", OFFICER, NOW), lambda u: u.decisions.page(OFFICER, NOW),
                 lambda u: u.accesses.of(OFFICER, NOW), lambda u: u.reviews.waiting(OFFICER, NOW)):
        with pytest.raises(SealscoreError, match="access log"):
            store.read(look)


@pytest.mark.parametrize("who,role,purpose", [("", "r", "p"), ("w", " ", "p"), ("w", "r", ""), ("w" * 300, "r", "p")])
def test_a_reader_says_who_and_why(who: str, role: str, purpose: str) -> None:
    with pytest.raises(UsageError, match="1 to 256"):
        Reader(who, role, purpose)


def test_an_unknown_application_has_no_record(store: Store) -> None:
    with pytest.raises(Unknown, match="no decision"):
        store.write(lambda u: u.decisions.read("nobody", OFFICER, NOW))
    assert store.read(lambda u: u.decisions.standing("nobody")) is None
    assert store.write(lambda u: u.accesses.of(OFFICER, NOW)) == []


def test_progress_is_told_to_the_person_it_is_about(store: Store) -> None:
    store.write(lambda u: u.decisions.save(record()))
    line = store.read(lambda u: u.decisions.standing("a-1", person()))
    assert line is not None
    assert (line.outcome, line.digest, line.created_at) == ("declined", record().digest(), NOW)
    assert store.read(lambda u: u.decisions.standing("a-1", person(1))) is None


def test_a_list_goes_on_where_the_page_ended(store: Store) -> None:
    for number in range(7):
        store.write(lambda u, n=number: u.decisions.save(record(f"a-{n}", person(n % 2))))
    seen, before = [], None
    while page := store.write(lambda u, b=before: u.decisions.page(OFFICER, NOW, b, 3)):
        seen += [line.application_id for line in page]
        before = page[-1].number
    assert seen == [f"a-{n}" for n in reversed(range(7))]
    own = store.write(lambda u: u.decisions.page(OFFICER, NOW, person=person(1)))
    assert [line.application_id for line in own] == ["a-5", "a-3", "a-1"]
    assert store.write(lambda u: u.decisions.page(OFFICER, NOW, outcome="approved")) == []


def test_reports_see_offers_and_no_person(store: Store) -> None:
    offer = Offer(limit_fen=800_000, amount_fen=500_000, daily_rate=Decimal("0.00030"), term_months=12,
                  annual_cost=Decimal("0.11"), installments=(),
                  funding=(FundingShare(partner="own", share=Decimal(1), fen=500_000),))
    store.write(lambda u: u.decisions.save(record("a-1", outcome="approved", offer=offer)))
    store.write(lambda u: u.decisions.save(record("a-2", at=NOW + DAY)))
    lines = store.read(lambda u: list(u.decisions.each(NOW, NOW + DAY)))
    assert [(one.application_id, one.person, one.arm, one.amount_fen, one.limit_fen, one.daily_rate) for one in lines] \
        == [("a-1", None, "champion", 500_000, 800_000, "0.00030")]


def test_a_record_that_was_changed_is_not_told(store: Store) -> None:
    store.write(lambda u: u.decisions.save(record("a-1")))
    store.write(lambda u: u.decisions.save(record("a-2", outcome="referred")))
    other = store.read(lambda u: u.connection.execute(
        decisions.select().where(decisions.c.application_id == "a-2")).one().record)
    swap = update(decisions).where(decisions.c.application_id == "a-1")
    for data in (other, b"\x00not zstd", b"\x07", b""):
        store.write(lambda u, d=data: u.connection.execute(swap.values(record=d)))
        with pytest.raises(TrustError):
            store.write(lambda u: u.decisions.read("a-1", OFFICER, NOW))


def test_sealed_records_open_for_their_node_and_under_their_name_only(tmp_path: Path) -> None:
    url = fresh_sqlite(tmp_path)
    with open_store(url, box=Box(b"k" * 32)) as store:
        store.write(lambda u: u.decisions.save(record()))
        assert store.write(lambda u: u.decisions.read("a-1", OFFICER, NOW)) == record().to_bytes()
        store.write(lambda u: u.connection.execute(update(decisions).values(application_id="a-9")))
        with pytest.raises(TrustError, match="does not open"):
            store.write(lambda u: u.decisions.read("a-9", OFFICER, NOW))
    for box in (None, Box(b"o" * 32)):
        with open_store(url, box=box) as store, pytest.raises(TrustError):
            store.write(lambda u: u.decisions.read("a-9", OFFICER, NOW))


def test_configurations_are_kept_by_digest(store: Store) -> None:
    digest = hashlib.sha256(b"rules").hexdigest()
    assert store.write(lambda u: u.configurations.keep(digest, "rulebook", b"rules", NOW)) is True
    assert store.write(lambda u: u.configurations.keep(digest, "rulebook", b"rules", NOW)) is False
    assert store.read(lambda u: u.configurations.get(digest)) == b"rules"
    assert store.read(lambda u: u.configurations.digests("rulebook")) == [digest]
    with pytest.raises(Conflict, match="another configuration"):
        store.write(lambda u: u.configurations.keep(digest, "rulebook", b"other", NOW))
    with pytest.raises(Unknown):
        store.read(lambda u: u.configurations.get("c" * 64))


def test_an_idempotency_key_gives_the_first_answer_to_the_same_request_only(store: Store) -> None:
    first = store.write(lambda u: u.idempotency.keep("channel", "k1", b"ask", 201, b"answer", NOW))
    assert (first.first, first.body) == (True, b"answer")
    again = store.write(lambda u: u.idempotency.keep("channel", "k1", b"ask", 500, b"other", NOW))
    assert (again.first, again.status, again.body) == (False, 201, b"answer")
    assert store.read(lambda u: u.idempotency.find("officer", "k1", b"ask")) is None
    for use in (lambda u: u.idempotency.find("channel", "k1", b"ask differently"),
                lambda u: u.idempotency.keep("channel", "k1", b"ask differently", 201, b"", NOW)):
        with pytest.raises(Conflict, match="another request"):
            store.write(use)
    assert store.write(lambda u: u.idempotency.forget(NOW + DAY)) == 1
    assert store.read(lambda u: u.idempotency.find("channel", "k1", b"ask")) is None


def test_a_review_is_asked_for_once_and_decided_once(store: Store) -> None:
    store.write(lambda u: u.decisions.save(record()))
    with pytest.raises(Unknown):
        store.write(lambda u: u.reviews.ask("nobody", "please look", NOW))
    with pytest.raises(Unknown, match="nobody asked"):
        store.write(lambda u: u.reviews.decide("a-1", "upheld", "li.wei", "as before", NOW))
    assert store.write(lambda u: u.reviews.ask("a-1", "please look", NOW)) is True
    assert store.write(lambda u: u.reviews.ask("a-1", "please look", NOW)) is False
    assert [one.application_id for one in store.write(lambda u: u.reviews.waiting(OFFICER, NOW))] == ["a-1"]
    store.write(lambda u: u.reviews.decide("a-1", "overturned", "li.wei", "income was misread", NOW + DAY))
    review = store.read(lambda u: u.reviews.of("a-1"))
    assert review is not None and (review.outcome, review.decided_at) == ("overturned", NOW + DAY)
    with pytest.raises(Conflict, match="outcome already"):
        store.write(lambda u: u.reviews.decide("a-1", "upheld", "li.wei", "no", NOW))
    assert store.write(lambda u: u.reviews.waiting(OFFICER, NOW)) == []
