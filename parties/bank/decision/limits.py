"""Credit limits: the first one, reviews, seasonal raises, cuts and freezes (domain row 9). Every change says why.

A limit is the least of several bounds, all of them named in the change: what risk allows, what the product and the cap
for a single customer allow, a share of annual income (capacity), and a multiple of it less the credit elsewhere
(exposure).
"""
from __future__ import annotations

import calendar
from collections.abc import Sequence
from datetime import date
from decimal import ROUND_FLOOR, Decimal, localcontext
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from parties.bank.decision.pricing import EXACT
from parties.bank.decision.products import Positive, Product, Share, unique_names
from parties.bank.decision.values import Count, Fen, Number, Text
from protocols.plan import Name
from protocols.strict import Strict

Change = Literal["initial", "refused", "raised", "seasonal", "cut", "frozen", "thawed", "unchanged"]
Multiple = Annotated[Number, Field(ge=0, le=100)]
Factor = Annotated[Number, Field(ge=1, le=10)]
REASONS = frozenset({
    "initial", "limit-below-product-minimum", "risk-above-limit-table", "account-frozen", "review-not-due",
    "overdue-history", "overdue-long", "risk-higher", "repayments-too-few", "repayment-late",
    "risk-too-high-for-raise", "income-unknown", "credit-elsewhere-too-high", "at-the-highest-limit",
    "good-repayment", "no-season", "seasonal", "cleared-by-review", "not-frozen",
})


class Band(Strict):
    """The first limit for probabilities of default up to `maximum_probability`."""

    maximum_probability: Share
    limit_fen: Positive


class Season(Strict):
    """A temporary raise that may be granted from `first` to `last` and ends after `until`, all dates included."""

    name: Name
    first: date
    last: date
    until: date
    share: Share

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.first <= self.last <= self.until:
            raise ValueError(f"season {self.name}: expected first <= last <= until")
        return self


class Signal(Strict):
    """What a risk signal does to a limit: `keeps` is the share of it that stays after a cut."""

    code: Name
    action: Literal["cut", "freeze"]
    keeps: Share = Field("0", validate_default=True)


class ReasonText(Strict):
    """A reason's code and its words."""

    code: Name
    zh: Text
    en: Text


class LimitPolicy(Strict):
    """Everything that limits depend on beside the person and the product."""

    step_fen: Positive
    bands: tuple[Band, ...] = Field(min_length=1, max_length=64)
    unknown_income_fen: Fen
    capacity_share: Multiple
    exposure_multiple: Multiple
    elsewhere_multiple: Multiple
    raise_factor: Factor
    raise_loans_repaid: Count
    raise_overdue_days: Count
    raise_probability: Share
    cut_probability: Share
    cut_overdue_days: Count
    cut_keeps: Share
    freeze_overdue_days: Count
    review_months: Annotated[int, Field(ge=1, le=120)]
    review_idle_days: Annotated[int, Field(ge=1, le=3650)]
    review_facts_days: Annotated[int, Field(ge=1, le=3650)] = 180
    overdue_window_months: Annotated[int, Field(ge=1, le=120)] | None = None
    seasons: tuple[Season, ...] = Field(default=(), max_length=64)
    signals: tuple[Signal, ...] = Field(default=(), max_length=64)
    reasons: tuple[ReasonText, ...] = Field(max_length=256)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        unique_names("season", [s.name for s in self.seasons])
        unique_names("signal", [s.code for s in self.signals])
        unique_names("reason", [r.code for r in self.reasons])
        missing = sorted((REASONS | {s.code for s in self.signals}) - {r.code for r in self.reasons})
        if missing:
            raise ValueError(f"reasons: no words for {', '.join(missing)}")
        for safer, riskier in zip(self.bands, self.bands[1:], strict=False):
            if riskier.maximum_probability <= safer.maximum_probability or riskier.limit_fen > safer.limit_fen:
                raise ValueError("bands must rise in maximum_probability and never in limit_fen")
        if self.freeze_overdue_days < self.cut_overdue_days:
            raise ValueError("freeze_overdue_days is below cut_overdue_days")
        return self


# Reasons that came after banks had written their limits.toml: their words where such a file has none.
LATER = (ReasonText(code="facts-missing", zh="没有足够新的信用资料，额度不变",
                    en="No recent enough facts are kept; the limit stays as it is"),
         ReasonText(code="last-application-not-approved", zh="最近一次申请未获批准，额度不上调",
                    en="The last application was not approved; the limit is not raised"))


class Standing(Strict):
    """What limits depend on about a person; money in fen, `probability` of default, dates of the business.

    `new_overdue_days` are late days after the last review, `late_on` the last late one; where they are None, as in
    records from before they were kept, `worst_overdue_days` counts as if it were of today.
    """

    probability: Share
    annual_income_fen: Fen | None = None
    credit_elsewhere_fen: Fen = 0
    limit_fen: Fen = 0
    loans_repaid: Count = 0
    worst_overdue_days: Count = 0
    idle_days: Count | None = None
    last_review: date | None = None
    frozen: bool = False
    new_overdue_days: Count | None = Field(default=None, exclude_if=lambda days: days is None)
    late_on: date | None = Field(default=None, exclude_if=lambda day: day is None)


class Bound(Strict):
    """One of the bounds that a limit is the least of."""

    name: Name
    fen: Fen


class LimitChange(Strict):
    """What happens to a limit and why; a seasonal raise is `extra_fen` on top of `after_fen` up to and with `until`."""

    kind: Change
    before_fen: Fen
    after_fen: Fen
    extra_fen: Fen = 0
    until: date | None = None
    reason: Name
    zh: Text
    en: Text
    bounds: tuple[Bound, ...] = ()


def initial(policy: LimitPolicy, product: Product, cap_fen: int, standing: Standing,
            factor: Decimal = Decimal(1)) -> LimitChange:
    """The first limit, or a refusal; `factor` is that of a window of tightening."""
    band = next((b for b in policy.bands if standing.probability <= b.maximum_probability), None)
    if band is None:
        return _change(policy, "refused", standing, 0, "risk-above-limit-table")
    bounds = (Bound(name="risk", fen=_times(band.limit_fen, factor)), *_bounds(policy, product, cap_fen, standing))
    limit = _floored(policy, min(b.fen for b in bounds))
    if limit < product.minimum_fen:
        return _change(policy, "refused", standing, 0, "limit-below-product-minimum", bounds)
    return _change(policy, "initial", standing, limit, "initial", bounds)


def review_due(policy: LimitPolicy, standing: Standing, on: date) -> Literal["half-year", "idle"] | None:
    """Why a review is due on this date; an idle person's not again before as many days have passed."""
    last = standing.last_review
    if last is None or on >= _months_after(last, policy.review_months):
        return "half-year"
    idle = standing.idle_days is not None and standing.idle_days >= policy.review_idle_days
    return "idle" if idle and (on - last).days >= policy.review_idle_days else None


def review(policy: LimitPolicy, product: Product, cap_fen: int, standing: Standing, on: date) -> LimitChange:
    """Freeze or cut at once where risk says so; raise on good repayment when a review is due; else say why not."""
    risk = _risk_change(policy, standing)
    if risk is not None:
        return risk
    if review_due(policy, standing, on) is None:
        return _unchanged(policy, standing, "review-not-due")
    refusal = _raise_refusal(policy, standing, on)
    if refusal is not None:
        return _unchanged(policy, standing, refusal)
    bounds = (Bound(name="raise", fen=_times(standing.limit_fen, policy.raise_factor)),
              *_bounds(policy, product, cap_fen, standing))
    limit = _floored(policy, min(b.fen for b in bounds))
    if limit <= standing.limit_fen:
        return _change(policy, "unchanged", standing, standing.limit_fen, "at-the-highest-limit", bounds)
    return _change(policy, "raised", standing, limit, "good-repayment", bounds)


def review_unscored(policy: LimitPolicy, standing: Standing) -> LimitChange:
    """A review where no recent enough score is kept: the bank's own loans may freeze or cut, nothing raises. The
    standing's `probability` is not looked at."""
    return _overdue_change(policy, standing) or unscored(policy, standing)


def unscored(policy: LimitPolicy, standing: Standing) -> LimitChange:
    """No change, for want of facts."""
    return _unchanged(policy, standing, "facts-missing")


def unraised(policy: LimitPolicy, standing: Standing, change: LimitChange) -> LimitChange:
    """The change, unless it raises: for a person whose last application was not approved."""
    rises = change.kind in ("raised", "seasonal")
    return _unchanged(policy, standing, "last-application-not-approved") if rises else change


def reviewed_before(policy: LimitPolicy, on: date) -> date:
    """Who was looked at last on this date or before has a half-yearly review due on `on`."""
    return _months_after(on, -policy.review_months)


def seasonal(policy: LimitPolicy, product: Product, cap_fen: int, standing: Standing, on: date) -> LimitChange:
    """A temporary raise while a season lasts, under the conditions and bounds of any raise."""
    season = next((s for s in policy.seasons if s.first <= on <= s.last), None)
    refusal = "no-season" if season is None else _raise_refusal(policy, standing, on)
    if season is None or refusal is not None:
        return _unchanged(policy, standing, refusal or "no-season")
    bounds = (Bound(name="season", fen=_times(standing.limit_fen, 1 + season.share)),
              *_bounds(policy, product, cap_fen, standing))
    extra = _floored(policy, min(b.fen for b in bounds)) - standing.limit_fen
    if extra <= 0:
        return _change(policy, "unchanged", standing, standing.limit_fen, "at-the-highest-limit", bounds)
    change = _change(policy, "seasonal", standing, standing.limit_fen, "seasonal", bounds)
    return change.model_copy(update={"extra_fen": extra, "until": season.until})


def act(policy: LimitPolicy, standing: Standing, signal: str) -> LimitChange | None:
    """What a risk signal of the table does; None for a signal that is not in it."""
    rule = next((s for s in policy.signals if s.code == signal), None)
    if rule is None:
        return None
    return freeze(policy, standing, signal) if rule.action == "freeze" else cut(policy, standing, signal, rule.keeps)


def cut(policy: LimitPolicy, standing: Standing, reason: str, keeps: Decimal) -> LimitChange:
    """Lower the limit to a share of it. It may end below what is outstanding: nothing more is drawn then."""
    after = _floored(policy, _times(standing.limit_fen, min(keeps, Decimal(1))))
    return _change(policy, "cut", standing, after, reason)


def freeze(policy: LimitPolicy, standing: Standing, reason: str) -> LimitChange:
    """Nothing more can be drawn; the limit itself stays for the review that may thaw it."""
    return _change(policy, "frozen", standing, standing.limit_fen, reason)


def thaw(policy: LimitPolicy, standing: Standing, on: date) -> LimitChange:
    """End a freeze after a person's review; unchanged where there is none, or for long lateness in the window."""
    if not standing.frozen:
        return _unchanged(policy, standing, "not-frozen")
    if _remembered(policy, standing, on) >= policy.freeze_overdue_days:
        return _unchanged(policy, standing, "overdue-long")
    return _change(policy, "thawed", standing, standing.limit_fen, "cleared-by-review")


def available(limit_fen: int, outstanding_fen: int, frozen: bool, on: date,
              extra_fen: int = 0, until: date | None = None) -> int:
    """Fen that can still be drawn on this date; a seasonal raise counts up to and with `until`."""
    extra = extra_fen if until is not None and on <= until else 0
    return 0 if frozen else max(0, limit_fen + extra - outstanding_fen)


def _risk_change(policy: LimitPolicy, standing: Standing) -> LimitChange | None:
    overdue = _overdue_change(policy, standing)
    if overdue is None and standing.probability > policy.cut_probability:
        return cut(policy, standing, "risk-higher", policy.cut_keeps)
    return overdue


def _overdue_change(policy: LimitPolicy, standing: Standing) -> LimitChange | None:
    if standing.frozen:
        return _unchanged(policy, standing, "account-frozen")
    days = standing.worst_overdue_days if standing.new_overdue_days is None else standing.new_overdue_days
    if days >= policy.freeze_overdue_days:
        return freeze(policy, standing, "overdue-long")
    if days >= policy.cut_overdue_days:
        return cut(policy, standing, "overdue-history", policy.cut_keeps)
    return None


def _remembered(policy: LimitPolicy, standing: Standing, on: date) -> int:
    """The most days that the person was ever late; 0 when the window has passed since the last of them."""
    late_on, months = standing.late_on, policy.overdue_window_months
    past = late_on is not None and months is not None and _months_after(late_on, months) <= on
    return 0 if past else standing.worst_overdue_days


def _raise_refusal(policy: LimitPolicy, standing: Standing, on: date) -> str | None:
    """The first condition of a raise that fails; a raise is refused above 3 times annual income of credit elsewhere."""
    income = standing.annual_income_fen
    checks = (
        (standing.frozen, "account-frozen"),
        (standing.loans_repaid < policy.raise_loans_repaid, "repayments-too-few"),
        (_remembered(policy, standing, on) > policy.raise_overdue_days, "repayment-late"),
        (standing.probability > policy.raise_probability, "risk-too-high-for-raise"),
        (income is None, "income-unknown"),
        (standing.credit_elsewhere_fen > policy.elsewhere_multiple * (income or 0), "credit-elsewhere-too-high"),
    )
    return next((reason for fails, reason in checks if fails), None)


def _bounds(policy: LimitPolicy, product: Product, cap_fen: int, standing: Standing) -> tuple[Bound, ...]:
    common = (Bound(name="product", fen=product.maximum_fen), Bound(name="single-customer-cap", fen=cap_fen))
    income = standing.annual_income_fen
    if income is None:
        return (*common, Bound(name="unknown-income", fen=policy.unknown_income_fen))
    room = _times(income, policy.exposure_multiple) - standing.credit_elsewhere_fen
    return (*common, Bound(name="capacity", fen=_times(income, policy.capacity_share)),
            Bound(name="exposure", fen=max(0, room)))


def _change(policy: LimitPolicy, kind: Change, standing: Standing, after_fen: int, reason: str,
            bounds: Sequence[Bound] = ()) -> LimitChange:
    words = next((r for r in (*policy.reasons, *LATER) if r.code == reason), None)
    if words is None:
        raise ValueError(f"no words for the reason {reason!r}; add it to the reasons of limits.toml")
    return LimitChange(kind=kind, before_fen=standing.limit_fen, after_fen=after_fen, reason=reason, zh=words.zh,
                       en=words.en, bounds=tuple(bounds))


def _unchanged(policy: LimitPolicy, standing: Standing, reason: str) -> LimitChange:
    return _change(policy, "unchanged", standing, standing.limit_fen, reason)


def _times(fen: int, factor: Decimal) -> int:
    """Rounded down to a fen."""
    with localcontext(EXACT):
        return int((fen * factor).to_integral_value(ROUND_FLOOR))


def _floored(policy: LimitPolicy, fen: int) -> int:
    return fen - fen % policy.step_fen


def _months_after(start: date, months: int) -> date:
    """The same day so many months later, or the last day of a shorter month."""
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    return date(year, month + 1, min(start.day, calendar.monthrange(year, month + 1)[1]))
