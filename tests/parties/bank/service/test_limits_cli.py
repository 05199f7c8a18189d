"""`sealscore bank limits` on a node of its own."""
from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from parties.bank.cli import main
from parties.bank.decision.lateness import Late
from parties.bank.store import Reader, Store
from parties.bank.store.opening import open_node_store
from parties.runtime.config import LoadedParty
from tests.parties.bank.service.test_limit_reviews import decided

ME, AGO = "7" * 64, datetime.now(UTC) - timedelta(days=40)


@pytest.fixture
def limits(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(""))
        code = main(["limits", words[0], str(file), *words[1:]])
        told = capsys.readouterr()
        return code, told.out + told.err

    return run


def opened(file: Path) -> Store:
    return open_node_store(LoadedParty(file, "bank"))


@pytest.fixture
def customer(file: Path) -> None:
    with opened(file) as store:
        store.write(lambda unit: unit.customers.set_limit(ME, 800_000, "initial", "engine", AGO))
        store.write(lambda unit: unit.customers.repaid(ME, (), AGO, 2))
        store.write(lambda unit: unit.decisions.save(decided(ME, at=AGO)))


def test_what_is_due_is_reviewed_once(limits, customer) -> None:
    code, told = limits("review", "--json")
    assert code == 0
    (one,) = json.loads(told)
    assert (one["person"], one["kind"], one["before_fen"], one["after_fen"], one["reason"]) == (
        ME, "raised", 800_000, 1_200_000, "good-repayment")
    assert limits("review") == (0, "0 limits reviewed\n")


def test_a_limit_is_shown_frozen_and_released_with_reasons_and_a_trace(limits, customer, file: Path) -> None:
    assert limits("freeze", "--person", ME, "--reason", "card reported lost")[0] == 0
    assert "frozen already" in limits("freeze", "--person", ME, "--reason", "again")[1]
    code, told = limits("show", "--person", ME, "--purpose", "complaint 17", "--json")
    shown = json.loads(told)
    assert code == 0 and shown["account"]["frozen"]
    assert [(one["what"], one["reason"]) for one in shown["changes"]] == [
        ("freeze", "card reported lost"), ("limit", "initial")]
    assert limits("unfreeze", "--person", ME, "--reason", "new card")[0] == 0
    assert "free 8,000.00\n" in limits("show", "--person", ME, "--purpose", "complaint 17")[1]
    code, told = limits("unfreeze", "--person", ME, "--reason", "new card")
    assert code == 2 and "not-frozen" in told
    with opened(file) as store:
        lines = store.write(lambda unit: unit.accesses.of(
            Reader("wu", "auditor", "check"), datetime.now(UTC), ME))
    assert [(one.action, one.purpose) for one in lines] == [("limit", "complaint 17")] * 2


def test_a_freeze_for_long_lateness_stays(limits, customer, file: Path) -> None:
    with opened(file) as store:
        store.write(lambda unit: unit.customers.repaid(ME, [Late(30, AGO)], AGO))
    assert limits("review")[1].startswith("1 limits reviewed\n777777777777  frozen: 8,000.00 -> 8,000.00")
    code, told = limits("unfreeze", "--person", ME, "--reason", "asked nicely")
    assert code == 2 and "overdue-long" in told


def test_a_season_is_given_or_refused_in_words(limits, customer) -> None:
    code, told = limits("season", "--person", ME, "--json")
    assert code == 0 and json.loads(told)["kind"] in ("seasonal", "unchanged")


def test_a_signal_acts_once_and_its_reason_stays(limits, customer, file: Path) -> None:
    cut = ("signal", "income-lost", "--person", ME, "--reference", "case-7")
    code, told = limits(*cut)
    assert (code, told) == (0, "cut: 8,000.00 -> 4,000.00  Income has stopped (income-lost)\n")
    code, told = limits(*cut)
    assert code == 0 and told.startswith("cut: 8,000.00 -> 4,000.00") and told.endswith("already\n")
    code, told = limits("signal", "device-gang", "--person", ME, "--reference", "case-8", "--json")
    assert code == 0 and json.loads(told)["change"] == "frozen"
    shown = json.loads(limits("show", "--person", ME, "--purpose", "complaint 17", "--json")[1])
    assert shown["account"]["frozen"] and shown["account"]["limit_fen"] == 400_000
    assert [one["reason"] for one in shown["changes"]][:2] == [
        "device-gang, signal case-8", "income-lost, signal case-7"]
    for words, sentence in ((("fraud-alert", "--reference", "case-7"), "another signal"),
                            (("unheard-of", "--reference", "case-9"), "which has: fraud-alert, device-gang"),
                            (("Fraud!", "--reference", "case-9"), "signal"),
                            (("fraud-alert", "--reference", "a b"), "reference")):
        code, told = limits("signal", *words, "--person", ME)
        assert code == 2 and sentence in told and len(told.strip().splitlines()) == 1, told
    with opened(file) as store:
        lines = store.write(lambda unit: unit.accesses.of(Reader("wu", "auditor", "check"), datetime.now(UTC), ME))
    assert [one.purpose for one in lines if one.action == "limit signal"] == [
        "risk signal device-gang, case-8", *["risk signal income-lost, case-7"] * 2]


@pytest.mark.parametrize("words", [("show", "--purpose", "x"), ("signal", "fraud-alert", "--reference", "r-1"),
                                   ("freeze", "--reason", "x"), ("unfreeze", "--reason", "x"), ("season",)])
def test_who_has_no_account_is_told_so(limits, words) -> None:
    code, told = limits(*words, "--person", "8" * 64)
    assert code == 2 and "no limit account" in told
    assert limits(*words)[0] == 2 and limits(*words, "--person", "12")[0] == 2
