"""Cases to decide, whole and drawn: an applicant who is approved under the shipped rulebook, and variations."""
from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from parties.bank.decision.application import Application, Bureau, Identity
from parties.bank.decision.context import BankOnly, ConsentState, Context, Contribution, History, JointScore, Quota
from parties.bank.decision.rulebook import Rulebook, default_files

NOW = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
PARTNERS = ("lead", "harbour", "river", "union")


@functools.cache
def shipped(**settings: str) -> Rulebook:
    """The shipped rulebook with lines of rulebook.toml replaced: `platform_failure="defer"`."""
    files = default_files()
    lines = files["rulebook.toml"].decode().splitlines(keepends=True)
    for name, value in settings.items():
        lines = [f"{name} = {value}\n" if line.startswith(f"{name} =") else line for line in lines]
    return Rulebook(files | {"rulebook.toml": "".join(lines).encode()})


def application(**changes: Any) -> Application:
    identity = Identity(real_name_verified=True, own_bank_card=True, age=30, student=False, payment_score=650)
    bureau = changes.pop("bureau", report())
    return Application(**{
        "application_id": "a-1", "customer": "11010519491231002X", "product": "weilidai", "amount_fen": 500_000,
        "term_months": 12, "purpose": "education", "province": "44", "applied_at": NOW, "identity": identity,
        "bureau": bureau, **changes})


def report(**changes: Any) -> Bureau:
    return Bureau(**{"columns": {"cards": "2"}, "credit_lines_elsewhere_fen": 1_000_000, "reported_at": NOW,
                     "annual_income_fen": 12_000_000, "provident_fund_months": 24, "inquiries_6m": 1,
                     "overdue_days_worst": 0, **changes})


def score(probability: str = "0.0312", **changes: Any) -> JointScore:
    return JointScore(**{"status": "answered", "probability": probability, "log_odds": "-3.4375", "age_s": 600,
                         "model": "m-1", "snapshot": "2026-03-01", "fraud_score": "0.0312", **changes})


def context(**changes: Any) -> Context:
    own = BankOnly(probability="0.04", contributions=tuple(
        Contribution(column=name, bin="low", points=points, most="20")
        for name, points in (("cards", "20"), ("income", "3"), ("debts", "-4"), ("inquiries", "11"), ("age", "19"))))
    return Context(**{
        "now": NOW, "person": "5" * 64, "score": score(), "bank_only": own,
        "quotas": {name: Quota(free_fen=10**11) for name in PARTNERS},
        "consents": consents(), **changes})


def consents(bureau: str = "valid", joint: str = "valid") -> tuple[ConsentState, ...]:
    return (ConsentState(reference="c-1", purpose="bureau-inquiry", status=bureau),
            ConsentState(reference="c-2", purpose="joint-scoring", status=joint))


def probabilities() -> st.SearchStrategy[Decimal]:
    return st.integers(0, 10_000).map(lambda n: Decimal(n).scaleb(-4))


_any_fen = st.one_of(st.integers(0, 3_000).map(lambda n: n * 10_000), st.integers(0, 10**11))
_low = st.integers(0, 1000).map(lambda n: Decimal(n).scaleb(-4))
_good_application = {
    "amount_fen": st.integers(5, 200).map(lambda n: n * 10_000),
    "product": st.sampled_from(["weilidai", "xiaoe-cash"]),
    "term_months": st.sampled_from([3, 6, 12]),
    "purpose": st.sampled_from(["consumption", "education", "travel"]),
    "province": st.sampled_from(["11", "31", "44"]),
    "bureau": st.builds(report, credit_lines_elsewhere_fen=st.integers(0, 2 * 10**7), inquiries_6m=st.integers(0, 9),
                        annual_income_fen=st.integers(5 * 10**6, 10**8) | st.none(),
                        provident_fund_months=st.integers(0, 40)),
    "identity": st.builds(Identity, real_name_verified=st.just(True), own_bank_card=st.just(True),
                          age=st.integers(18, 60), student=st.just(False),
                          payment_score=st.none() | st.integers(600, 900)),
}
_bad_application = {
    "amount_fen": _any_fen,
    "product": st.sampled_from(["we2000", "xiaoe-instalment", "none"]),
    "term_months": st.sampled_from([1, 5, 7, 20, 60]),
    "purpose": st.sampled_from(["securities", "virtual-currency"]),
    "bureau": st.none() | st.builds(
        report, credit_lines_elsewhere_fen=_any_fen, annual_income_fen=st.none() | _any_fen,
        inquiries_6m=st.integers(8, 12), overdue_days_worst=st.sampled_from([0, 29, 30, 90]),
        reported_at=st.integers(0, 40).map(lambda days: NOW - timedelta(days=days))),
    "identity": st.builds(Identity, real_name_verified=st.booleans(), own_bank_card=st.booleans(),
                          age=st.integers(16, 70), student=st.booleans(), payment_score=st.integers(500, 700)),
}
_good_history = st.just(History()) | st.builds(
    History, existing_limit_fen=st.integers(100, 1500).map(lambda n: n * 10_000), loans_repaid=st.integers(0, 5),
    outstanding_fen=st.integers(0, 10**6), last_review=st.none() | st.just(NOW - timedelta(days=200)))
_good_context = {
    "score": _low.map(lambda p: score(str(p))) | st.just(JointScore(status="unavailable", cause="deadline")),
    "bank_only": st.builds(BankOnly, probability=_low),
    "history": _good_history,
    "quotas": st.just({name: Quota(free_fen=10**11) for name in PARTNERS}),
    "consents": st.just(consents()),
    "switched_off": st.just(False),
}
_status = st.sampled_from(["valid", "expired", "used", "off", "unknown"])
_bad_context = {
    "score": st.just(JointScore(status="answered", lacks=("contacts",))) | st.builds(
        lambda p, fraud, age_s: score(str(p), fraud_score=fraud, age_s=age_s), probabilities(), probabilities(),
        st.integers(0, 300_000)),
    "bank_only": st.builds(BankOnly, probability=st.none() | probabilities()),
    "history": st.builds(
        History, existing_limit_fen=_any_fen, outstanding_fen=_any_fen, loans_repaid=st.integers(0, 5),
        worst_overdue_days=st.sampled_from([0, 7, 8, 29, 30, 90]), frozen=st.booleans()),
    "quotas": st.dictionaries(st.sampled_from(PARTNERS), st.builds(Quota, free_fen=_any_fen)),
    "consents": st.builds(consents, _status, _status) | st.just(()),
    "switched_off": st.just(True),
}


@st.composite
def applications(draw: st.DrawFn) -> Application:
    """Good in all but at most one respect."""
    return application(**_mixed(draw, _good_application, _bad_application))


@st.composite
def contexts(draw: st.DrawFn) -> Context:
    """Good in all but at most one respect."""
    return context(**_mixed(draw, _good_context, _bad_context))


def _mixed(draw: st.DrawFn, good: dict, bad: dict) -> dict[str, Any]:
    wrong = draw(st.none() | st.sampled_from(sorted(bad)))
    return {name: draw(bad[name] if name == wrong else strategy) for name, strategy in good.items()}
