"""The report of an experiment from the bank's own store: its decisions, and what the loan book says became of them.

What a deletion restricts is left out (PIPL article 47: store and protect, process no further), and so is what was
erased. The look is in the access log before anything is counted.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from parties.bank.decision.experiments import Experiment
from parties.bank.decision.rulebook import Rulebook
from parties.bank.decision.trial import OutcomeRow, TrialReport
from parties.bank.decision.trial import report as make_report
from parties.bank.decision.values import Whole
from parties.bank.lending.agreement import LendingPolicy
from parties.bank.lending.book import Loans
from parties.bank.lending.results import results
from parties.bank.store import Reader, Store, Unit
from parties.bank.store.decisions import Line
from protocols.strict import Strict

Number = Annotated[int, Whole, Field(ge=0)]


class KeptReport(Strict):
    """The report, and what it rests on. `bad` in it means `bad_from_days` past due within `performance_days`."""

    report: TrialReport
    left_out: Number = Field(description="decisions of people who asked for deletion, or that were erased")
    loans: Number = Field(description="approved applications")
    results_known: Number = Field(description="of those, loans whose performance window is over")
    performance_days: Number
    bad_from_days: Number

    @property
    def told(self) -> str:
        """What is known of outcomes, in a line."""
        known = f"known of {self.results_known} of {self.loans}" if self.results_known else "not known yet of any"
        return (f"outcomes: {known} approved applications; bad is {self.bad_from_days} days past due within "
                f"{self.performance_days} days of the draw-down; left out: {self.left_out} erased or restricted")


@dataclass(frozen=True)
class Kept:
    """Where the decisions are, and by which rules they are read."""

    store: Store
    rulebook: Rulebook
    policy: LendingPolicy


def report_kept(kept: Kept, experiment: Experiment, reader: Reader, now: datetime, confidence: Decimal) -> KeptReport:
    """The same figures and intervals as from a file of the same outcomes. It reads beside the writer, which goes on."""
    arms = [arm.name for arm in experiment.arms]
    kept.store.write(lambda unit: unit.decisions.counted(reader, now, arms))
    lines, bad = kept.store.read(lambda unit: _read(unit, arms, kept.policy, now))
    rows = [_row(line, bad, kept.rulebook) for line in lines if _used(line)]
    return KeptReport(
        report=make_report(kept.rulebook.experiments, experiment, rows, confidence), left_out=len(lines) - len(rows),
        loans=sum(row.approved for row in rows), results_known=sum(row.bad is not None for row in rows),
        performance_days=kept.policy.performance_days, bad_from_days=kept.policy.bad_from_days)


def _read(unit: Unit, arms: Sequence[str], policy: LendingPolicy, now: datetime) -> tuple[list[Line], dict[str, bool]]:
    lines = list(unit.decisions.of_arms(arms))
    approved = (line.application_id for line in lines if line.outcome == "approved" and _used(line))
    return lines, results(Loans(unit), approved, policy, now)


def _used(line: Line) -> bool:
    return line.person is not None and line.restricted_at is None and line.erased_at is None


def _row(line: Line, bad: dict[str, bool], rulebook: Rulebook) -> OutcomeRow:
    approved = line.outcome == "approved"
    offered = {"limit_fen": line.limit_fen, "amount_fen": line.amount_fen, "daily_rate": line.daily_rate}
    return OutcomeRow(person=line.person or "", arm=line.arm or "", approved=approved,
                      decided_on=rulebook.business_date(line.created_at),
                      bad=bad.get(line.application_id) if approved else None, **(offered if approved else {}))
