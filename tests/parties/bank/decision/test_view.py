"""What rules read: numbers keep their value on the way into a graph and out of it."""
from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import zen
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from parties.bank.decision.application import Application, Identity
from parties.bank.decision.context import Context, JointScore
from parties.bank.decision.view import FIELDS, exact, lines_to_income, visible
from tests.parties.bank.decision.cases import NOW, application, applications, consents, context, contexts, report


@settings(max_examples=30, deadline=None)
@given(applications(), contexts())
def test_the_catalogue_names_every_field_and_whether_it_may_be_unknown(app: Application, at: Context) -> None:
    view = visible(app.facts(), at, "refer")
    assert {f"{space}.{name}" for space, fields in view.items() for name in fields} == set(FIELDS)
    for name, examples in FIELDS.items():
        space, _, field = name.partition(".")
        value = view[space][field]
        assert (None in examples) if value is None else type(value) in {type(e) for e in examples}


def test_a_probability_of_four_places_keeps_its_value_in_a_graph() -> None:
    compared = zen.compile_expression("p == number(text) and not (p > number(text)) and not (p < number(text))")
    for n in range(0, 10_001, 7):
        probability = Decimal(n).scaleb(-4)
        assert compared.evaluate({"p": float(probability), "text": str(probability)}) is True
        assert Decimal(exact(float(probability))) == probability


_leaf = (st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.decimals(0, 10**6, places=4)
         | st.floats(0, 1, allow_nan=False))


@settings(max_examples=50, deadline=None)
@given(st.recursive(_leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner,
                                                                                       max_size=3)))
def test_exact_leaves_no_float(value: object) -> None:
    def plain(found: object) -> bool:
        if isinstance(found, dict | list):
            return all(map(plain, found.values() if isinstance(found, dict) else found))
        return found is None or type(found) in (bool, int, str)

    assert plain(exact(value))


def test_the_newest_consent_of_a_purpose_counts() -> None:
    old, new = consents(bureau="valid")[0], consents(bureau="off")[0]
    view = visible(application().facts(), context(consents=(old, new)), "refer")
    assert view["consents"] == {"switched_off": False, "bureau_inquiry": "off", "joint_scoring": "missing"}


def test_age_of_a_report_and_lines_to_income() -> None:
    bureau = report(reported_at=NOW - timedelta(days=3), credit_lines_elsewhere_fen=100, annual_income_fen=3)
    view = visible(application(bureau=bureau).facts(), context(), "refer")
    assert (view["bureau"]["age_days"], view["bureau"]["lines_to_income"]) == (3, 33.3333)
    assert lines_to_income(report(annual_income_fen=0)) is None
    assert lines_to_income(report(annual_income_fen=None)) is None


@pytest.mark.parametrize("changes", [
    {"amount_fen": 1.5}, {"amount_fen": True}, {"amount_fen": -1}, {"amount_fen": "100"}, {"amount_fen": 10**14},
    {"term_months": 0}, {"province": "4"}, {"purpose": "gold"}, {"application_id": "a b"}, {"customer": ""},
    {"applied_at": NOW.replace(tzinfo=None)}, {"extra": 1},
])
def test_applications_are_strict(changes: dict) -> None:
    with pytest.raises(ValidationError):
        application(**changes)


@pytest.mark.parametrize("changes", [
    {"status": "answered"}, {"status": "unavailable", "probability": "0.1"}, {"status": "answered", "probability": 0.1},
    {"status": "answered", "probability": "0.12345"}, {"status": "answered", "probability": "1.1"},
    {"status": "answered", "probability": "0.1", "lacks": ("contacts",)}, {"status": "answered", "probability": "NaN"},
])
def test_scores_are_whole_and_exact(changes: dict) -> None:
    with pytest.raises(ValidationError):
        JointScore(**changes)


def test_facts_are_immutable() -> None:
    app = application()
    with pytest.raises(ValidationError):
        app.identity.age = 40
    with pytest.raises(TypeError):
        app.bureau.columns["cards"] = "3"
    assert Identity(**app.identity.model_dump()) == app.identity
