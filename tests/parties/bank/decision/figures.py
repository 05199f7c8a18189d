"""The figures that ship with the product, and strategies around them."""
from __future__ import annotations

import hashlib
from decimal import Decimal
from pathlib import Path

from hypothesis import strategies as st

from parties.bank import decision
from parties.bank.decision.money import FILES, Money
from parties.bank.decision.products import Fees, Product

FOLDER = Path(decision.__file__).parent / "defaults"
TEXTS = {name: (FOLDER / name).read_text(encoding="utf-8") for name in FILES}
MONEY = Money.from_texts(TEXTS)

probabilities = st.integers(0, 10_000).map(lambda n: Decimal(n).scaleb(-4))
shares = st.integers(0, 1_000).map(lambda n: Decimal(n).scaleb(-3))
rates = st.integers(0, 1_000_000).map(lambda n: Decimal(n).scaleb(-8))  # up to 1 % a day


def person(number: int) -> str:
    """A keyed hash as good as any."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def product(**changes: object) -> Product:
    """A product that allows nearly everything."""
    settings = {"name": "any", "zh": "任意", "en": "any", "minimum_fen": 1, "maximum_fen": 20_000_000,
                "terms_months": tuple(range(1, 25)), "minimum_daily_rate": "0", "maximum_daily_rate": "0.01"}
    return Product.model_validate(settings | changes)


products = st.builds(
    lambda repayment, once, monthly, on: product(repayment=repayment, fees=Fees(
        one_time_rate=Decimal(once).scaleb(-3), monthly_rate=Decimal(monthly).scaleb(-4), monthly_on=on)),
    st.sampled_from(["equal-principal", "equal-installment", "interest-first"]), st.integers(0, 50),
    st.integers(0, 300), st.sampled_from(["outstanding", "original"]))
