"""The loan book on SQLite and PostgreSQL: one transaction per event, nothing half, nothing twice, changes noticed."""
from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text, update

from parties.bank.decision.lateness import Late, worst
from parties.bank.lending.book import Loans, Notary
from parties.bank.lending.errors import LoanRefused
from parties.bank.lending.tables import loan_shares, loans
from parties.bank.lending.voucher import verified
from parties.bank.store import Conflict, LimitExceeded, Reader, Unknown, open_store
from parties.bank.store.customers import Customers
from protocols.crypto.box import Box
from protocols.crypto.identity import IdentityKey
from protocols.errors import TrustError, UsageError
from tests.parties.bank.lending.loans import START, event, terms

PERSON = "0" * 64
IDENTITY = IdentityKey.generate()
NOTARY = Notary("bank", IDENTITY)
CLERK = Reader("li.wei", "risk-officer", "complaint 17")
LATER = START + timedelta(days=40)


def opened(unit, limit=1_500_000, quota=10**9):
    """A person with a limit and two partners with quotas."""
    unit.customers.set_limit(PERSON, limit, "approved", "engine", START)
    for partner in ("own", "city"):
        unit.quotas.set(partner, quota, START)


def act(one, kind, at=START, fen=0, loan="l-1", **more):
    """One event in a transaction of its own."""
    return one.write(lambda unit: Loans(unit, NOTARY).act(loan, event(kind, at, fen, **more)))


def accept(one, number=1, **changes):
    """Loan l-NUMBER of application a-NUMBER."""
    agreed = terms(loan_id=f"l-{number}", application_id=f"a-{number}", **changes)
    return one.write(lambda unit: Loans(unit).accept(agreed, event("accept", START)))


def standing(one):
    """(outstanding of the person, reserved by partner, outstanding by partner)."""
    def look(unit):
        account = unit.customers.get(PERSON)
        return (account.outstanding_fen, {name: quota.reserved_fen for name, quota in unit.quotas.all().items()},
                {name: book.outstanding_fen for name, book in Loans(unit).partners().items()})
    return one.read(look)


@pytest.fixture
def bank(store):
    store.write(opened)
    accept(store)
    return store


def test_a_loan_takes_limit_and_quotas_and_gives_them_back(bank):
    act(bank, "draw", fen=1_000_000)
    assert standing(bank) == (1_000_000, {"city": 700_000, "own": 300_000}, {"city": 700_000, "own": 300_000})
    loan = act(bank, "repay", LATER, 100_000)
    left = loan.account.owed.principal_fen
    outstanding, reserved, books = standing(bank)
    assert outstanding == left == sum(books.values()) and reserved == books
    owed = loan.at(LATER).owed.total_fen
    assert act(bank, "repay", LATER, owed, reference="last").account.status == "repaid"
    assert standing(bank) == (0, {"city": 0, "own": 0}, {"city": 0, "own": 0})
    account = bank.read(lambda unit: unit.customers.get(PERSON))
    assert (account.loans_repaid, account.worst_overdue_days) == (1, 11)


def test_what_the_decision_had_reserved_is_exchanged_for_what_is_drawn(bank):
    reserved = {"own": 300_000, "city": 700_000}
    bank.write(lambda unit: unit.quotas.reserve("a-1", reserved, START, START + timedelta(days=7)))
    act(bank, "draw", fen=500_000)
    assert standing(bank)[1] == {"city": 350_000, "own": 150_000}
    assert bank.write(lambda unit: unit.quotas.lapse(START + timedelta(days=8))) == []


def test_the_same_request_again_moves_nothing(bank):
    first = act(bank, "draw", fen=1_000_000)
    assert act(bank, "draw", START + timedelta(hours=2), 1_000_000, reference=first.events[-1].reference) == first
    assert accept(bank).account.status == "active"
    assert standing(bank)[0] == 1_000_000
    with pytest.raises(Conflict, match="stands for another event"):
        act(bank, "repay", LATER, 1, reference=first.events[-1].reference)


def test_an_application_has_one_loan(bank):
    other = terms(loan_id="l-2", application_id="a-1")
    with pytest.raises(Conflict, match="accepted already"):
        bank.write(lambda unit: Loans(unit).accept(other, event("accept", START)))
    with pytest.raises(Conflict, match="accepted already"):
        bank.write(lambda unit: Loans(unit).accept(terms(application_id="a-9"), event("accept", START)))
    assert bank.read(lambda unit: Loans(unit).of_application("a-1")) == "l-1"


@pytest.mark.parametrize(("limit", "quota", "says"), [(999_999, 10**9, "999999 fen that the limit has left"),
                                                      (10**9, 699_999, "partner city cannot take 700000")])
def test_what_is_above_limit_or_quota_leaves_no_trace(bank, limit, quota, says):
    bank.write(lambda unit: opened(unit, limit, quota))
    with pytest.raises(LimitExceeded, match=says):
        act(bank, "draw", fen=1_000_000)
    assert standing(bank) == (0, {"city": 0, "own": 0}, {})
    loan = bank.write(lambda unit: Loans(unit).get("l-1", CLERK, START))
    assert loan.account.status == "accepted" and len(loan.movements) == 1


def test_a_frozen_limit_cannot_be_drawn(bank):
    bank.write(lambda unit: unit.customers.freeze(PERSON, "device seen in a gang", "fraud desk", START))
    with pytest.raises(LimitExceeded, match="frozen"):
        act(bank, "draw", fen=1)


def test_cancelling_gives_all_back_and_counts_as_no_loan(bank):
    act(bank, "draw", fen=1_000_000)
    act(bank, "cancel", START + timedelta(hours=3), 1_000_000)
    assert standing(bank) == (0, {"city": 0, "own": 0}, {"city": 0, "own": 0})
    assert bank.read(lambda unit: unit.customers.get(PERSON)).loans_repaid == 0


def test_a_write_off_freezes_the_limit_and_keeps_it_taken(bank):
    act(bank, "draw", fen=1_000_000)
    late = START + timedelta(days=200)
    act(bank, "write-off", late, reason="cannot be found")
    account = bank.read(lambda unit: unit.customers.get(PERSON))
    assert account.frozen and account.worst_overdue_days == 171 and account.loans_repaid == 0
    assert standing(bank)[0] == 1_000_000


def test_refused_events_leave_no_trace(bank):
    for kind, fen in (("repay", 1), ("cancel", 1), ("draw", 0), ("draw", 1_000_001), ("write-off", 0), ("accept", 0)):
        with pytest.raises(LoanRefused):
            act(bank, kind, fen=fen, reference=f"r-{kind}-{fen}")
    assert len(bank.write(lambda unit: Loans(unit).get("l-1", CLERK, START)).movements) == 1
    with pytest.raises(Unknown, match="no loan l-7"):
        act(bank, "draw", loan="l-7", fen=1)
    with pytest.raises(UsageError, match="identity"):
        bank.write(lambda unit: Loans(unit).act("l-1", event("draw", START, 1_000)))


def test_the_voucher_is_made_out_once(bank):
    with pytest.raises(UsageError, match="draw it first"):
        bank.write(lambda unit: Loans(unit).voucher("l-1", CLERK, START))
    act(bank, "draw", fen=1_000_000)
    first = bank.write(lambda unit: Loans(unit).voucher("l-1", CLERK, START))
    act(bank, "repay", LATER, 500_000)
    assert bank.write(lambda unit: Loans(unit).voucher("l-1", CLERK, LATER)) == first
    assert verified(first, IDENTITY.public).drawn_fen == 1_000_000


def test_every_look_is_in_the_access_log(bank):
    bank.write(lambda unit: (Loans(unit).get("l-1", CLERK, START), Loans(unit).page(CLERK, START, person=PERSON)))
    log = bank.write(lambda unit: unit.accesses.of(CLERK, START, PERSON))
    assert [(line.action, line.who, line.application_id) for line in log] == [
        ("loans", "li.wei", None), ("loan", "li.wei", "a-1")]


def test_pages_go_back_in_time(bank):
    for number in (2, 3):
        accept(bank, number)
    def ids(**how):
        return [line.loan_id for line in bank.write(lambda unit: Loans(unit).page(CLERK, START, **how))]
    assert ids(limit=2) == ["l-3", "l-2"] and ids(before=2) == ["l-1"] and ids(status="repaid") == []


@pytest.mark.parametrize("change", [
    update(loans).values(drawn_fen=999_999), update(loans).values(status="repaid"),
    update(loans).values(person="1" * 64), text("DELETE FROM loan_movements"),
    text("DELETE FROM loan_movements WHERE number = 3"), text("UPDATE loan_movements SET number = 9 WHERE number = 2")])
def test_a_changed_store_is_noticed(bank, change):
    act(bank, "draw", fen=1_000_000)
    act(bank, "repay", LATER, 100_000)
    bank.write(lambda unit: unit.connection.execute(change).rowcount)
    with pytest.raises(TrustError):
        bank.write(lambda unit: Loans(unit).get("l-1", CLERK, LATER))


def test_a_changed_share_is_noticed(bank):
    act(bank, "draw", fen=1_000_000)
    change = update(loan_shares).where(loan_shares.c.partner == "own").values(repaid_fen=1)
    bank.write(lambda unit: unit.connection.execute(change).rowcount)
    with pytest.raises(TrustError, match="do not add up"):
        bank.read(lambda unit: Loans(unit).partners())


def test_terms_entries_and_vouchers_are_sealed(url):
    with open_store(url, box=Box(b"k" * 32)) as sealed:
        sealed.write(opened)
        accept(sealed)
        act(sealed, "draw", fen=1_000_000)
        query = text("SELECT terms, voucher, movement FROM loans JOIN loan_movements USING (loan_id)")
        for row in sealed.read(lambda unit: unit.connection.execute(query).all()):
            assert all(bytes(value)[:1] == b"\x01" for value in row)
    with open_store(url) as other, pytest.raises(TrustError, match="sealed under this node's key"):
        other.write(lambda unit: Loans(unit).get("l-1", CLERK, START))


def test_a_fault_after_the_limit_was_taken_undoes_it(bank, monkeypatch):
    """Whatever fails in a draw-down, nothing of it stays."""
    def fail(*_, **__):
        raise RuntimeError("the disk is gone")
    monkeypatch.setattr("parties.bank.lending.book.signed", fail)
    with pytest.raises(RuntimeError, match="disk"):
        act(bank, "draw", fen=1_000_000)
    assert standing(bank) == (0, {"city": 0, "own": 0}, {})
    monkeypatch.undo()
    monkeypatch.setattr(Customers, "release", fail)
    act(bank, "draw", fen=1_000_000)
    with pytest.raises(RuntimeError, match="disk"):
        act(bank, "repay", LATER, 200_000)
    assert standing(bank)[0] == 1_000_000


def test_an_ended_loan_is_forgotten_after_its_time_and_an_open_one_never(bank):
    accept(bank, 2)
    for loan in ("l-1", "l-2"):
        act(bank, "draw", fen=500_000, loan=loan)
    act(bank, "repay", START, 500_000)
    books, much_later = standing(bank)[2], START + timedelta(days=5000)

    def forget(before):
        return bank.write(lambda unit: Loans(unit).forget(before, CLERK, much_later))
    assert forget(START) == []
    assert forget(much_later) == []  # the person has an open loan
    owed = bank.write(lambda unit: Loans(unit).get("l-2", CLERK, START)).account.owed.total_fen
    act(bank, "repay", START, owed, loan="l-2", reference="off")
    bank.write(lambda unit: unit.deletions.hold(PERSON, "court", "case 4", "li.wei", START))
    assert forget(much_later) == []
    bank.write(lambda unit: unit.deletions.release(PERSON, "court"))
    assert forget(START) == [] and forget(much_later) == ["l-1", "l-2"] and forget(much_later) == []
    looks = bank.write(lambda unit: unit.accesses.of(CLERK, much_later))
    assert [one.count for one in looks if one.action == "forget loans"] == [2]  # nothing forgotten is no line
    assert books == {"city": 350_000, "own": 150_000} and standing(bank)[2] == {}


def test_a_running_loan_is_as_late_as_it_ever_was_until_it_ends(bank):
    def late(at):
        return worst(bank.read(lambda unit: Loans(unit).lateness(PERSON, at)))
    assert late(LATER) == 0  # accepted, not drawn
    act(bank, "draw", fen=1_000_000)
    assert (late(START), late(START + timedelta(days=28)), late(LATER)) == (0, 0, 11)
    due = bank.write(lambda unit: Loans(unit).get("l-1", CLERK, LATER)).at(LATER).payable.total_fen
    act(bank, "repay", LATER, due)
    assert late(LATER) == 11  # paid now, but it was
    assert bank.read(lambda unit: Loans(unit).lateness(PERSON, LATER + timedelta(days=9))) == [Late(11, LATER)]
    act(bank, "repay", LATER, bank.write(lambda unit: Loans(unit).get("l-1", CLERK, LATER)).account.owed.total_fen,
        reference="off")
    assert late(LATER) == 0  # from now on the account says it
    history = bank.read(lambda unit: unit.customers.history(PERSON, LATER))
    assert (history.worst_overdue_days, history.new_overdue_days, history.late_at) == (11, 11, LATER)


def test_a_loan_takes_no_endless_small_payments(bank, monkeypatch):
    monkeypatch.setattr("parties.bank.lending.book.MOST_ENTRIES", 3)
    act(bank, "draw", fen=1_000_000)
    act(bank, "repay", fen=1)
    with pytest.raises(LoanRefused, match="only be paid off, with 999999 fen"):
        act(bank, "repay", fen=1, reference="small")
    assert act(bank, "repay", fen=999_999, reference="all").account.status == "repaid"
