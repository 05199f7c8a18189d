"""What a rule can read: the applicant, the application, consents, scores, the bureau's answer and the history, by name.

Numbers arrive as the engine of the graphs takes them. A probability of four places keeps its value there, so that
`>= 0.08` means what it says. `FIELDS` is the catalogue: `sealscore bank rulebook check` tries every rule on each
field's examples, and None stands among them where a field may be unknown.
"""
from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from parties.bank.decision.application import BUREAU_INQUIRY, JOINT_SCORING, Bureau, Facts
from parties.bank.decision.context import BankOnly, Context, History, JointScore

Value = str | int | float | bool | None | list[str]

_SHARE = (0.0, 0.0312, 1.0)
_COUNT = (0, 3)
_FEN = (0, 500_000)
_FLAG = (True, False)
_CONSENT = ("valid", "missing")

FIELDS: dict[str, tuple[Value, ...]] = {
    "applicant.age": (17, 30),
    "applicant.student": _FLAG,
    "applicant.real_name_verified": _FLAG,
    "applicant.own_bank_card": _FLAG,
    "applicant.payment_score": (640, None),
    "applicant.invited": _FLAG,
    "application.product": ("weilidai",),
    "application.amount_fen": _FEN,
    "application.term_months": (1, 12),
    "application.purpose": ("consumption", "securities"),
    "application.province": ("44",),
    "consents.switched_off": _FLAG,
    "consents.bureau_inquiry": _CONSENT,
    "consents.joint_scoring": _CONSENT,
    "score.status": ("answered", "unavailable", "refused", "not-asked"),
    "score.cause": ("deadline", None),
    "score.probability": (*_SHARE, None),
    "score.fraud_score": (*_SHARE, None),
    "score.age_s": (0, 86_400, None),
    "score.lacks": ([], ["months-of-behaviour"]),
    "score.lacks_count": _COUNT,
    "bank.probability": (*_SHARE, None),
    "bureau.present": _FLAG,
    "bureau.age_days": (0, 40, None),
    "bureau.credit_lines_elsewhere_fen": (*_FEN, None),
    "bureau.annual_income_fen": (*_FEN, None),
    "bureau.lines_to_income": (0.0, 3.5, None),
    "bureau.provident_fund_months": (*_COUNT, None),
    "bureau.inquiries_6m": (*_COUNT, None),
    "bureau.overdue_days_worst": (*_COUNT, None),
    "history.existing_limit_fen": _FEN,
    "history.outstanding_fen": _FEN,
    "history.loans_repaid": _COUNT,
    "history.worst_overdue_days": _COUNT,
    "history.idle_days": (*_COUNT, None),
    "history.days_since_review": (*_COUNT, None),
    "history.frozen": _FLAG,
    "policy.platform_failure": ("bank-only", "defer", "refer"),
}
NAMESPACES = tuple(dict.fromkeys(name.partition(".")[0] for name in FIELDS))

View = dict[str, dict[str, Value]]
_PLAIN = (str, int, bool, type(None))


def visible(facts: Facts, context: Context, platform_failure: str) -> View:
    """Every field of the catalogue for one case, by namespace."""
    return {
        "applicant": facts.identity.__dict__,
        "application": {
            "product": facts.product,
            "amount_fen": facts.amount_fen,
            "term_months": facts.term_months,
            "purpose": facts.purpose,
            "province": facts.province,
        },
        "consents": _consents(context),
        "score": _score(context.score),
        "bank": _bank(context.bank_only),
        "bureau": _bureau(facts.bureau, context),
        "history": _history(context.history, context),
        "policy": {"platform_failure": platform_failure},
    }


def exact(value: Any) -> Any:
    """A value out of a graph as a record keeps it: fractions as decimal text, never as a float."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is dict:
        return {name: inner if type(inner) in _PLAIN else exact(inner) for name, inner in value.items()}
    if kind in (list, tuple):
        return [exact(inner) for inner in value]
    return f"{Decimal(str(value)).normalize():f}"


def consent_status(context: Context, purpose: str) -> str:
    """Of the newest consent for this purpose as the store has it; `missing` where there is none."""
    return next((c.status for c in reversed(context.consents) if c.purpose == purpose), "missing")


def lines_to_income(bureau: Bureau) -> Decimal | None:
    """Credit lines elsewhere over annual income, to four places; None without an income."""
    if not bureau.annual_income_fen:
        return None
    ratio = Decimal(bureau.credit_lines_elsewhere_fen) / bureau.annual_income_fen
    return min(ratio, Decimal(10**6)).quantize(Decimal("0.0001"), ROUND_HALF_UP)


def _consents(context: Context) -> dict[str, Value]:
    return {
        "switched_off": context.switched_off,
        "bureau_inquiry": consent_status(context, BUREAU_INQUIRY),
        "joint_scoring": consent_status(context, JOINT_SCORING),
    }


def _score(score: JointScore) -> dict[str, Value]:
    return {
        "status": score.status,
        "cause": score.cause,
        "probability": _float(score.probability),
        "fraud_score": _float(score.fraud_score),
        "age_s": score.age_s,
        "lacks": list(score.lacks),
        "lacks_count": len(score.lacks),
    }


def _bank(own: BankOnly) -> dict[str, Value]:
    return {"probability": _float(own.probability)}


def _bureau(bureau: Bureau | None, context: Context) -> dict[str, Value]:
    if bureau is None:
        return _NO_BUREAU
    return {
        "present": True,
        "age_days": (context.now - bureau.reported_at).days,
        "credit_lines_elsewhere_fen": bureau.credit_lines_elsewhere_fen,
        "annual_income_fen": bureau.annual_income_fen,
        "lines_to_income": _float(lines_to_income(bureau)),
        "provident_fund_months": bureau.provident_fund_months,
        "inquiries_6m": bureau.inquiries_6m,
        "overdue_days_worst": bureau.overdue_days_worst,
    }


def _history(history: History, context: Context) -> dict[str, Value]:
    reviewed = history.last_review
    return {
        "existing_limit_fen": history.existing_limit_fen,
        "outstanding_fen": history.outstanding_fen,
        "loans_repaid": history.loans_repaid,
        "worst_overdue_days": history.worst_overdue_days,
        "idle_days": history.idle_days,
        "days_since_review": None if reviewed is None else (context.now - reviewed).days,
        "frozen": history.frozen,
    }


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


_NO_BUREAU: dict[str, Value] = {
    name.partition(".")[2]: False if name == "bureau.present" else None
    for name in FIELDS if name.startswith("bureau.")
}
