"""Decisions under the shipped rulebook: each outcome for its reason, and what no path can do."""
from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings

from parties.bank.decision.application import Application, Identity
from parties.bank.decision.context import BankOnly, Context, History, JointScore, Quota
from parties.bank.decision.engine import decide
from parties.bank.decision.graph import GraphFault
from parties.bank.decision.pricing import annual_cost
from parties.bank.decision.record import DecisionRecord
from parties.bank.decision.replay import replay
from parties.bank.decision.rulebook import Rulebook, default_files
from tests.parties.bank.decision.cases import (
    NOW,
    application,
    applications,
    consents,
    context,
    contexts,
    report,
    score,
    shipped,
)

DOWN = JointScore(status="unavailable", cause="deadline")


def _decide(app: Application, at: Context, **settings_of: str) -> DecisionRecord:
    return decide(app, at, shipped(**settings_of))


def _identity(**changes: object) -> Identity:
    return application().identity.model_copy(update=changes)


def test_an_approval_carries_the_whole_offer() -> None:
    record = _decide(application(), context())
    offer = record.offer
    assert (record.outcome, record.graph, record.reasons) == ("approved", "champion", ())
    assert offer.limit_fen >= offer.amount_fen == 500_000
    assert [s.partner for s in offer.funding] == ["lead", "harbour"]
    assert [s.fen for s in offer.funding] == [150_000, 350_000]
    assert sum(i.principal_fen for i in offer.installments) == 500_000
    assert len(offer.installments) == offer.term_months == 12
    assert offer.annual_cost == annual_cost(shipped().products.get("weilidai"), 500_000, 12, offer.daily_rate)


def test_every_step_tells_inputs_rule_outcome_version_and_time() -> None:
    record = _decide(application(), context())
    names = [step.name for step in record.steps]
    assert names == ["eligibility", "consent", "platform", "sufficiency", "fraud", "chosen", "bureau_check", "risk",
                     "product", "limit", "price", "funding", "final", "guards"]
    by_name = {step.name: step for step in record.steps}
    assert by_name["eligibility"].rule == "E0"
    assert by_name["eligibility"].inputs["applicant.age"] == 30
    assert by_name["risk"].inputs == {"chosen.probability": "0.0312", "platform.path": "joint"}
    assert by_name["platform"].outcome == {"outcome": None, "reason": None, "path": "joint"}
    assert all(step.at == NOW and step.version for step in record.steps)
    assert by_name["price"].outcome["daily_rate"] == f"{record.offer.daily_rate:f}"


def test_a_repeat_customer_is_judged_by_repayment_and_reviewed() -> None:
    history = History(existing_limit_fen=800_000, loans_repaid=3)
    record = _decide(application(), context(history=history))
    assert record.outcome == "approved"
    assert "repayment" in {s.name for s in record.steps}
    assert "bureau_check" not in {s.name for s in record.steps}
    assert record.offer.limit_fen == 1_200_000  # raised on good repayment


@pytest.mark.parametrize(("changes", "reason"), [
    ({"identity": _identity(age=17)}, "age-below"),
    ({"identity": _identity(age=61)}, "age-above"),
    ({"identity": _identity(student=True)}, "student"),
    ({"identity": _identity(payment_score=599)}, "payment-score"),
    ({"identity": _identity(own_bank_card=False)}, "own-card"),
    ({"identity": _identity(real_name_verified=False)}, "real-name"),
    ({"purpose": "securities"}, "purpose-forbidden"),
    ({"purpose": "virtual-currency"}, "purpose-forbidden"),
    ({"product": "nothing"}, "product-unknown"),
    ({"amount_fen": 10_000}, "amount-below-minimum"),
    ({"amount_fen": 20_010_000}, "amount-above-maximum"),
    ({"term_months": 7}, "term-not-offered"),
    ({"bureau": report(overdue_days_worst=30)}, "bureau-overdue"),
    ({"bureau": report(inquiries_6m=10)}, "bureau-inquiries"),
    ({"bureau": report(credit_lines_elsewhere_fen=60_010_000)}, "lines-to-income"),
])
def test_applicants_are_declined_for_their_reason(changes: dict, reason: str) -> None:
    record = _decide(application(**changes), context())
    assert (record.outcome, record.reasons[0].code, record.offer) == ("declined", reason, None)


@pytest.mark.parametrize(("changes", "outcome", "reason"), [
    ({"switched_off": True}, "declined", "switched-off"),
    ({"consents": consents(bureau="expired")}, "declined", "consent-bureau"),
    ({"consents": consents(joint="off")}, "declined", "consent-joint"),
    ({"consents": ()}, "declined", "consent-bureau"),
    ({"score": score(fraud_score="0.9375")}, "declined", "fraud-suspected"),
    ({"score": score(fraud_score="0.625")}, "referred", "fraud-check"),
    ({"score": score(age_s=200_000)}, "deferred", "behaviour-stale"),
    ({"quotas": {}}, "deferred", "no-funding"),
    ({"history": History(frozen=True)}, "declined", "account-frozen"),
    ({"history": History(loans_repaid=1, worst_overdue_days=30)}, "declined", "own-overdue"),
])
def test_what_the_bank_knows_decides(changes: dict, outcome: str, reason: str) -> None:
    record = _decide(application(), context(**changes))
    assert (record.outcome, record.reasons[0].code, record.offer) == (outcome, reason, None)


def test_insufficient_data_is_its_own_outcome_and_says_what_lacks() -> None:
    lacking = JointScore(status="answered", lacks=("months-of-behaviour", "contacts"))
    record = _decide(application(), context(score=lacking))
    assert record.outcome == "insufficient-data"
    assert [r.code for r in record.reasons] == ["behaviour-short", "lacks-months-of-behaviour", "lacks-contacts"]
    without = _decide(application(bureau=None), context())
    assert (without.outcome, without.reasons[0].code) == ("insufficient-data", "bureau-missing")


@pytest.mark.parametrize(("policy", "outcome", "path"), [
    ("bank-only", "approved", "bank-only"), ("defer", "deferred", None), ("refer", "referred", None)])
@pytest.mark.parametrize("status", ["unavailable", "refused", "not-asked"])
def test_without_the_platform_the_policy_decides_visibly(policy: str, outcome: str, path: str, status: str) -> None:
    record = _decide(application(), context(score=JointScore(status=status, cause="deadline")),
                     platform_failure=f'"{policy}"')
    step = next(s for s in record.steps if s.name == "platform")
    assert (record.outcome, step.outcome["path"]) == (outcome, path)
    assert step.inputs == {"score.status": status, "policy.platform_failure": policy}
    assert record.context.score.cause == "deadline"
    if outcome != "approved":
        assert record.reasons[0].code == "platform-unavailable"


def test_a_score_that_declines_gives_the_columns_that_cost_most() -> None:
    record = _decide(application(), context(score=score("0.2")))
    assert record.outcome == "declined"
    assert [r.code for r in record.reasons] == ["behaviour", "column-2", "column-1", "column-3"]
    assert record.reasons[1].en == "debts is in “low”, below the best level"
    assert record.reasons[1].zh.startswith("debts为“low”")
    assert [r.weight for r in record.reasons] == sorted((r.weight for r in record.reasons), reverse=True)


def test_less_is_offered_with_reasons_where_the_limit_is_lower() -> None:
    record = _decide(application(amount_fen=2_000_000), context())
    assert record.outcome == "approved"
    assert record.offer.amount_fen == record.offer.limit_fen == 800_000
    assert record.reasons and all(r.improve_en and r.improve_zh for r in record.reasons)


def test_a_challenger_is_evaluated_and_decides_nothing() -> None:
    record = _decide(application(), context(score=score("0.13")))
    assert record.outcome == "approved"
    (shadow,) = record.shadow
    assert (shadow.graph, shadow.outcome, shadow.rule, shadow.limit_fen) == ("challenger", "declined", "R2", None)


def test_the_identifier_is_in_no_record() -> None:
    app = application()
    record = _decide(app, context())
    assert app.customer.encode() not in record.to_bytes()
    assert app.customer not in repr(app)


@settings(max_examples=60, deadline=None)
@given(applications(), contexts())
def test_no_path_approves_what_may_not_be(app: Application, at: Context) -> None:
    rulebook = shipped(platform_failure='"bank-only"')
    record = decide(app, at, rulebook)
    assert (record.offer is not None) == (record.outcome == "approved")
    assert record.outcome == "approved" or 1 <= len(record.reasons) <= 4
    if record.offer is not None:
        _check_approval(app, at, record)
    data = record.to_bytes()
    assert DecisionRecord.from_bytes(data).to_bytes() == data
    assert replay(data, rulebook) == data


def _check_approval(app: Application, at: Context, record: DecisionRecord) -> None:
    offer, rulebook = record.offer, shipped()
    product = rulebook.products.get(app.product)
    assert product.minimum_fen <= offer.amount_fen <= app.amount_fen
    assert offer.amount_fen + at.history.outstanding_fen <= offer.limit_fen <= min(20_000_000, product.maximum_fen)
    assert offer.annual_cost <= Decimal("0.24")
    assert product.minimum_daily_rate <= offer.daily_rate <= product.maximum_daily_rate
    assert sum(share.fen for share in offer.funding) == offer.amount_fen
    assert app.purpose not in ("securities", "virtual-currency")
    assert not at.switched_off and not at.history.frozen and not at.score.lacks
    consent = {c.purpose: c.status for c in at.consents}
    assert at.score.status != "answered" or consent["joint-scoring"] == "valid"
    assert (app.bureau is None and at.history.loans_repaid) or consent["bureau-inquiry"] == "valid"
    assert at.score.probability is not None or at.bank_only.probability is not None
    assert at.quotas.keys() >= {share.partner for share in offer.funding}
    assert all(share.fen <= at.quotas[share.partner].free_fen for share in offer.funding)


def test_unknown_bank_score_and_no_platform_is_insufficient() -> None:
    record = _decide(application(), context(score=DOWN, bank_only=BankOnly()), platform_failure='"bank-only"')
    assert (record.outcome, record.reasons[0].code) == ("insufficient-data", "own-score-missing")
    assert "无法单独评分" in record.reasons[0].zh and "no score of its own" in record.reasons[0].en
    again = context(score=DOWN, bank_only=BankOnly(), history=History(existing_limit_fen=800_000, loans_repaid=2))
    record = _decide(application(bureau=None), again, platform_failure='"bank-only"')
    assert (record.outcome, record.reasons[0].code) == ("insufficient-data", "bureau-missing")


def _limit_of(history: History) -> tuple[set[str], str, bytes]:
    record = decide(application(), context(history=history), shipped())
    data = record.to_bytes()
    assert replay(data, shipped()) == data and DecisionRecord.from_bytes(data) == record
    step = next(one for one in record.steps if one.name == "limit")
    return set(step.inputs), step.rule, data


def test_records_from_before_lateness_was_dated_are_written_and_replayed_as_they_were() -> None:
    before = History(existing_limit_fen=1_600_000, loans_repaid=2, worst_overdue_days=7, last_review=NOW)
    inputs, rule, data = _limit_of(before)
    assert rule == "overdue-history" and b"late_" not in data and b"new_overdue" not in data
    assert inputs == {"amount_fen", "outstanding_fen", "probability", "annual_income_fen", "credit_elsewhere_fen",
                      "limit_fen", "loans_repaid", "worst_overdue_days", "idle_days", "last_review", "frozen"}
    dated = before.model_copy(update={"new_overdue_days": 0, "late_at": NOW})
    after, rule, _ = _limit_of(dated)
    assert rule == "review-not-due" and after - inputs == {"new_overdue_days", "late_on"}
    assert _limit_of(dated.model_copy(update={"new_overdue_days": 7}))[1] == "overdue-history"


def test_nobody_funds_beyond_a_quota() -> None:
    record = _decide(application(), context(quotas={"lead": Quota(free_fen=499_999)}))
    assert (record.outcome, record.reasons[0].code) == ("deferred", "no-funding")


def test_a_graph_that_cannot_be_evaluated_sends_the_case_to_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(view: object, money: object) -> None:
        raise GraphFault("the engine could not evaluate the graph")

    rulebook = Rulebook(default_files())
    monkeypatch.setattr(rulebook.graphs["champion"], "run", fails)
    record = decide(application(), context(), rulebook)
    assert (record.outcome, record.offer, record.reasons[0].code) == ("referred", None, "rulebook-fault")
    assert record.steps[0].outcome["fault"] == "the engine could not evaluate the graph"
    assert replay(record.to_bytes(), rulebook) == record.to_bytes()
