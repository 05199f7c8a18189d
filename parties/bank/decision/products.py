"""The bank's loan products: amounts, terms, bounds of the rate, fees (domain row 8); configuration."""
from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from parties.bank.decision.values import Fen, Number, Province, Text, Whole
from protocols.plan import Name
from protocols.strict import Strict

Repayment = Literal["equal-principal", "equal-installment", "interest-first"]
Misfit = Literal["amount-below-minimum", "amount-above-maximum", "amount-not-a-step", "term-not-offered",
                 "province-not-served"]
Term = Annotated[int, Whole, Field(ge=1, le=120)]
DailyRate = Annotated[Number, Field(ge=0, le=Decimal("0.01"))]
Share = Annotated[Number, Field(ge=0, le=1)]
Positive = Annotated[Fen, Field(ge=1)]


class Fees(Strict):
    """What a loan costs beside interest, as fractions. Nothing is ever taken off the pay-out."""

    one_time_rate: Annotated[Number, Field(ge=0, le=Decimal("0.2"))] = Field("0", validate_default=True)
    monthly_rate: Annotated[Number, Field(ge=0, le=Decimal("0.05"))] = Field("0", validate_default=True)
    monthly_on: Literal["outstanding", "original"] = "outstanding"


class Product(Strict):
    """One product. Daily rates are fractions per day; no `provinces` means all; `step_fen` is the grid of amounts."""

    name: Name
    zh: Text
    en: Text
    minimum_fen: Positive
    maximum_fen: Positive
    step_fen: Positive = 10_000
    terms_months: tuple[Term, ...] = Field(min_length=1, max_length=24)
    minimum_daily_rate: DailyRate
    maximum_daily_rate: DailyRate
    overdue_floor_daily_rate: DailyRate = Field("0", validate_default=True)
    repayment: Repayment = "equal-principal"
    fees: Fees = Fees()
    provinces: tuple[Province, ...] = Field(default=(), max_length=64)

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        if self.minimum_fen > self.maximum_fen:
            raise ValueError(f"product {self.name}: minimum_fen is above maximum_fen")
        if self.minimum_daily_rate > self.maximum_daily_rate:
            raise ValueError(f"product {self.name}: minimum_daily_rate is above maximum_daily_rate")
        if list(self.terms_months) != sorted(set(self.terms_months)):
            raise ValueError(f"product {self.name}: terms_months must rise, each named once")
        return self

    def misfit(self, amount_fen: int, term_months: int, province: str) -> Misfit | None:
        """Why this product does not offer such a loan, or None if it does."""
        checks: tuple[tuple[bool, Misfit], ...] = (
            (amount_fen < self.minimum_fen, "amount-below-minimum"),
            (amount_fen > self.maximum_fen, "amount-above-maximum"),
            (amount_fen % self.step_fen != 0, "amount-not-a-step"),
            (term_months not in self.terms_months, "term-not-offered"),
            (bool(self.provinces) and province not in self.provinces, "province-not-served"),
        )
        return next((code for fails, code in checks if fails), None)


class Products(Strict):
    """All products, and what one customer may have of them together (200,000 CNY since 2023)."""

    single_customer_cap_fen: Positive
    products: tuple[Product, ...] = Field(min_length=1, max_length=64)

    @model_validator(mode="after")
    def _names_and_cap(self) -> Self:
        unique_names("product", [p.name for p in self.products])
        above = [p.name for p in self.products if p.maximum_fen > self.single_customer_cap_fen]
        if above:
            raise ValueError(f"product {above[0]}: maximum_fen is above single_customer_cap_fen")
        return self

    def get(self, name: str) -> Product | None:
        """The product of this name, or None."""
        return next((p for p in self.products if p.name == name), None)


def unique_names(kind: str, names: list[str]) -> None:
    """ValueError that names the first name which stands twice."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{kind} {twice[0]} is named twice")
