"""Reasons that the software gives by itself, beside those that the tables of a graph give."""
from __future__ import annotations

GUARD_CODES = ("guard-offer", "guard-consent", "guard-sufficiency", "guard-purpose", "guard-frozen", "guard-cap",
               "guard-red-line", "guard-funding")
STEP_CODES = ("product-unknown", "amount-below-minimum", "amount-above-maximum", "amount-not-a-step",
              "term-not-offered", "province-not-served", "account-frozen", "risk-too-high", "limit-too-low",
              "amount-reduced", "no-price", "above-red-line", "no-funding")
FAULT = "rulebook-fault"
CODES = frozenset({*GUARD_CODES, *STEP_CODES, FAULT, "behaviour-short"})
