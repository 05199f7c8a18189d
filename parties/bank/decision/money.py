"""The five files about money of a rulebook, read together and checked against each other."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from parties.bank.decision.experiments import Experiments
from parties.bank.decision.funding import FundingPolicy
from parties.bank.decision.limits import LimitPolicy
from parties.bank.decision.pricing import PricingPolicy, annual_cost
from parties.bank.decision.products import Product, Products
from protocols.errors import ConfigError
from protocols.strict import Strict

FILES = ("products.toml", "pricing.toml", "limits.toml", "partners.toml", "experiments.toml")


class Money(Strict):
    """Products, prices, limits, funding and experiments of one rulebook."""

    products: Products
    pricing: PricingPolicy
    limits: LimitPolicy
    funding: FundingPolicy
    experiments: Experiments

    @classmethod
    def from_texts(cls, texts: Mapping[str, str]) -> Money:
        """From the text of each of `FILES`; ConfigError names file and setting."""
        absent = [name for name in FILES if name not in texts]
        if absent:
            raise ConfigError(f"the rulebook has no {', '.join(absent)}; `sealscore bank rulebook init` writes them")
        money = cls(
            products=Products.from_toml_text(texts["products.toml"], "products.toml"),
            pricing=PricingPolicy.from_toml_text(texts["pricing.toml"], "pricing.toml"),
            limits=LimitPolicy.from_toml_text(texts["limits.toml"], "limits.toml"),
            funding=FundingPolicy.from_toml_text(texts["partners.toml"], "partners.toml"),
            experiments=Experiments.from_toml_text(texts["experiments.toml"], "experiments.toml"),
        )
        wrong = next(money.contradictions(), None)
        if wrong:
            raise ConfigError(wrong)
        return money

    def contradictions(self) -> Iterator[str]:
        """What no file shows alone: unknown products, products that nobody may get, limits that nothing fits."""
        known = {p.name for p in self.products.products}
        for partner in self.funding.partners:
            yield from (f"partners.toml: partner {partner.name} funds {name}, which products.toml does not have"
                        for name in partner.products if name not in known)
        highest = self.limits.bands[0].limit_fen
        for product in self.products.products:
            if highest < product.minimum_fen:
                yield (f"limits.toml: the highest first limit, {highest} fen, is below the minimum_fen of product "
                       f"{product.name}")
            yield from self._above_red_line(product)

    def _above_red_line(self, product: Product) -> Iterator[str]:
        """Terms whose cheapest loan, at the largest amount, is above the red line: an offer that never comes."""
        red_line = self.pricing.annual_cost_red_line
        for term in product.terms_months:
            cost = annual_cost(product, product.maximum_fen, term, product.minimum_daily_rate)
            if cost > red_line:
                yield (f"products.toml: product {product.name} over {term} months costs {_percent(cost)} a year at "
                       f"least, above the annual_cost_red_line of {_percent(red_line)}; take the term out or lower "
                       "its fees")


def _percent(value: Decimal) -> str:
    return f"{100 * value:.2f} %"
