"""Principal reasons: the columns that cost most, at most four, in words that say what to do."""
from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from parties.bank.decision.context import BankOnly, Contribution
from parties.bank.decision.reasons import MOST, Texts, Words, principal
from parties.bank.decision.view import visible
from tests.parties.bank.decision.cases import application, context, score, shipped

_points = st.integers(-300, 300).map(lambda n: Decimal(n).scaleb(-1))


@st.composite
def _contributions(draw: st.DrawFn) -> tuple[Contribution, ...]:
    names = draw(st.lists(st.text("abcdefgh", min_size=1, max_size=5), unique=True, max_size=8))
    made = []
    for name in names:
        points, more = draw(_points), draw(st.integers(0, 200).map(lambda n: Decimal(n).scaleb(-1)))
        made.append(Contribution(column=name, bin="b", points=points, most=points + more))
    return tuple(made)


def _reasons(code: str, contributions: tuple[Contribution, ...], own: str = "0.2", joint: str = "0.2") -> list:
    at = context(bank_only=BankOnly(probability=own, contributions=contributions), score=score(joint))
    view = visible(application().facts(), at, "refer")
    return list(principal(code, at, view, shipped().texts))


@settings(max_examples=40, deadline=None)
@given(_contributions())
def test_the_columns_furthest_below_their_best_come_first(contributions: tuple[Contribution, ...]) -> None:
    found = _reasons("risk-too-high", contributions)
    falls = sorted((c.most - c.points for c in contributions if c.most > c.points), reverse=True)[:MOST]
    assert [r.weight for r in found] == (falls or [Decimal(1000)])
    assert all(r.zh and r.en and r.improve_zh and r.improve_en for r in found)


def test_the_platforms_part_is_a_reason_where_it_lowered_the_score() -> None:
    worse = _reasons("risk-too-high", (), own="0.1", joint="0.2")
    assert [r.code for r in worse] == ["behaviour"]
    assert worse[0].weight == Decimal("23.40")  # 20 / ln 2 · (ln(0.2/0.8) − ln(0.1/0.9))
    assert [r.code for r in _reasons("risk-too-high", (), own="0.2", joint="0.1")] == ["risk-too-high"]


def test_a_hard_rule_is_the_only_reason_and_is_filled_with_its_fact() -> None:
    low = (Contribution(column="cards", bin="none", points="0", most="30"),)
    found = _reasons("age-below", low)
    assert [(r.code, r.en) for r in found] == [("age-below", "At 30 you are below the minimum age")]
    assert _reasons("amount-large", low)[0].en == "An application for 5,000 yuan needs a person's review"
    assert _reasons("amount-large", low)[0].zh.startswith("5,000元")


def test_a_value_without_a_bin_is_said_to_have_lowered_the_score_and_told_by_no_figure() -> None:
    one = Contribution(column="income", bin=None, points="-4", most="20")
    (found,) = _reasons("risk-too-high", (one,))
    assert (found.en, found.zh) == ("The value of income lowered the score", "income的数值降低了评分")
    assert (found.improve_en, found.improve_zh) == ("Improving “income” raises the score", "改善“income”有助于提高评分")


def test_a_columns_own_text_is_used_without_a_bin_unless_it_names_one() -> None:
    texts = shipped().texts
    named = Words(zh="{column}:{bin}", en="{column}: {bin}", improve_zh="好", improve_en="do")
    plain = Words(zh="收入偏低", en="Income is low", improve_zh="好", improve_en="do")
    for words, told in ((named, "The value of income lowered the score"), (plain, "Income is low")):
        own = texts.model_copy(update={"columns": {"income": words}})
        one = (Contribution(column="income", bin=None, points="-4", most="20"),)
        at = context(bank_only=BankOnly(probability="0.2", contributions=one), score=score("0.2"))
        (found,) = principal("risk-too-high", at, visible(application().facts(), at, "refer"), own)
        assert found.en == told


def test_a_rulebook_from_before_says_the_same_of_a_value() -> None:
    kept = shipped().texts.model_dump()
    assert Texts.model_validate({name: words for name, words in kept.items() if name != "any_value"}) == shipped().texts
