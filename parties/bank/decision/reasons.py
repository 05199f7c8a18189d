"""Principal reasons: at most four, specific, in Chinese and English, each with what the applicant can do about it.

A rule that fired gives its own reason. Where the score decided, the reasons are the columns of the bank's scorecard
that stand furthest below what they could give (points below maximum), and, where the platform's part pulled the score
down, that part as a whole: the bank does not know its columns. Texts are the rulebook's `reasons.toml`; `{bureau.x}` in
one is filled with that fact of the case, an amount in yuan. A column without bins is told without its value.
"""
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import ROUND_HALF_UP, Decimal, localcontext

from pydantic import Field

from parties.bank.decision.context import Context, Contribution
from parties.bank.decision.record import Reason
from parties.bank.decision.values import Text
from parties.bank.decision.view import FIELDS, View
from protocols.errors import ConfigError
from protocols.plan import Name
from protocols.strict import Strict

MOST = 4
RULE_WEIGHT = Decimal(1000)  # above all points of a scorecard
POINTS_PER_LOG_ODDS = Decimal("28.8539")  # 20 / ln 2, as the scorecard's: 20 points more halve the odds
_HOLE = re.compile(r"\{([^{}]*)\}")
_POINTS = Decimal("0.01")


class Words(Strict):
    """One reason. With `score`, what the scorecard says comes before it, or instead where that fills all places."""

    zh: Text
    en: Text
    improve_zh: Text
    improve_en: Text
    score: bool = False


# What `any_value` says in a rulebook that was kept before there was one.
VALUE = Words(zh="{column}的数值降低了评分", en="The value of {column} lowered the score",
              improve_zh="改善“{column}”有助于提高评分", improve_en="Improving “{column}” raises the score")


class Texts(Strict):
    """`reasons.toml`: reasons of rules by code, of what behaviour lacks and of the scorecard's columns by name, and
    what is said of a column or a lack without a text of its own; of a column without bins, `any_value` instead of a
    text that names the bin."""

    rules: dict[Name, Words]
    lacks: dict[str, Words] = Field(default_factory=dict)
    columns: dict[str, Words] = Field(default_factory=dict)
    any_lack: Words
    any_column: Words
    any_value: Words = VALUE
    behaviour: Words

    def check(self, source: str) -> None:
        """ConfigError for a hole that nothing fills."""
        groups: list[tuple[Mapping[str, Words], set[str]]] = [
            (self.rules, set(FIELDS)), (self.lacks, {"lack"}), ({"any_lack": self.any_lack}, {"lack"}),
            (self.columns, {"column", "bin"}), ({"any_column": self.any_column}, {"column", "bin"}),
            ({"any_value": self.any_value}, {"column"}),
            ({"behaviour": self.behaviour}, set()),
        ]
        for words, fillers in groups:
            for code, word in words.items():
                _check_holes(source, code, word, fillers)


def principal(code: str | None, context: Context, view: View, texts: Texts) -> tuple[Reason, ...]:
    """The reasons for what was decided; none where `code` is None."""
    if code is None:
        return ()
    found = [*_lacking(context, texts)] if code == "behaviour-short" else []
    words = texts.rules[code]
    if words.score:
        found += sorted(_scored(context, texts), key=lambda reason: (-reason.weight, reason.code))[:MOST - len(found)]
    if len(found) < MOST and not (words.score and found):
        found.insert(0, _reason(code, words, RULE_WEIGHT, _facts(view)))
    return tuple(found[:MOST])


def _lacking(context: Context, texts: Texts) -> Iterator[Reason]:
    for lack in context.score.lacks:
        words = texts.lacks.get(lack, texts.any_lack)
        yield _reason(f"lacks-{lack}"[:32].rstrip("-"), words, RULE_WEIGHT, {"lack": lack})


def _scored(context: Context, texts: Texts) -> Iterator[Reason]:
    for number, part in enumerate(context.bank_only.contributions):
        if part.points < part.most:
            yield _column(number, part, texts)
    if (fall := _platform_points(context)) > 0:
        yield _reason("behaviour", texts.behaviour, fall, {})


def _column(number: int, part: Contribution, texts: Texts) -> Reason:
    words = texts.columns.get(part.column, texts.any_column)
    facts = {"column": part.column}
    if part.bin is not None:
        facts["bin"] = part.bin
    elif _names_bin(words):
        words = texts.any_value
    return _reason(f"column-{number}", words, part.most - part.points, facts)


def _names_bin(words: Words) -> bool:
    return any("{bin}" in text for text in (words.zh, words.en, words.improve_zh, words.improve_en))


def _platform_points(context: Context) -> Decimal:
    """Points by which the joint score is worse than the bank's own; 0 where one of them is missing."""
    joint, own = context.score.probability, context.bank_only.probability
    if joint is None or own is None:
        return Decimal(0)
    return ((_log_odds(joint) - _log_odds(own)) * POINTS_PER_LOG_ODDS).quantize(_POINTS, ROUND_HALF_UP)


def _log_odds(probability: Decimal) -> Decimal:
    inside = min(max(probability, Decimal("0.0001")), Decimal("0.9999"))
    with localcontext(prec=12):
        return (inside / (1 - inside)).ln()


def _reason(code: str, words: Words, weight: Decimal, facts: Mapping[str, str]) -> Reason:
    def filled(text: str) -> str:
        return _HOLE.sub(lambda hole: facts.get(hole[1], "?"), text)[:256]

    return Reason(code=code, zh=filled(words.zh), en=filled(words.en), improve_zh=filled(words.improve_zh),
                  improve_en=filled(words.improve_en), weight=weight.quantize(_POINTS, ROUND_HALF_UP))


def _facts(view: View) -> Mapping[str, str]:
    return {f"{space}.{name}": _shown(name, value) for space, fields in view.items() for name, value in fields.items()}


def _shown(name: str, value: object) -> str:
    if value is None:
        return "?"
    return f"{Decimal(value) / 100:,.2f}".removesuffix(".00") if name.endswith("_fen") else str(value)


def _check_holes(source: str, code: str, words: Words, fillers: set[str]) -> None:
    for text in (words.zh, words.en, words.improve_zh, words.improve_en):
        if unknown := set(_HOLE.findall(text)) - fillers:
            raise ConfigError(f"{source}: reason {code} has {{{sorted(unknown)[0]}}}, which nothing fills; "
                              f"known: {', '.join(sorted(fillers)) or 'none'}")
