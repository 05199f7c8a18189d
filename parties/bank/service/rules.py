"""The rulebook at work: who decides, which arm a person is in, and what the store must know of it."""
from __future__ import annotations

from datetime import datetime

from parties.bank.decision.application import Application
from parties.bank.decision.context import Context
from parties.bank.decision.engine import decide
from parties.bank.decision.experiments import assign
from parties.bank.decision.funding import most
from parties.bank.decision.record import DecisionRecord
from parties.bank.decision.rulebook import Rulebook
from parties.bank.decision.values import LARGEST_FEN
from parties.bank.store import Unit

KIND = "rulebook"


class Rules:
    """One rulebook."""

    def __init__(self, rulebook: Rulebook):
        self.rulebook, self.digest = rulebook, rulebook.digest
        self._funders = (rulebook.funding.lead, *rulebook.funding.partners)
        self.funders = frozenset(funder.name for funder in self._funders)

    def decide(self, application: Application, context: Context) -> DecisionRecord:
        """The record of one application."""
        return decide(application, context, self.rulebook)

    def arm(self, person: str, at: datetime) -> str | None:
        """The arm of the one experiment on decisions that covers the person, None if none does."""
        found = assign(person, self.rulebook.experiments, self.rulebook.business_date(at))
        return None if found is None else found.arm

    def declare(self, unit: Unit, now: datetime) -> None:
        """Keep the rulebook for replays, and the quotas that it gives its funders; what they have taken stays."""
        unit.configurations.keep(self.digest, KIND, self.rulebook.to_bytes(), now)
        kept = unit.quotas.all()
        for funder in self._funders:
            cap_fen = min(most(self.rulebook.funding, funder), LARGEST_FEN)
            told = kept.get(funder.name)
            if told is None or (told.quota_fen, told.cap_fen) != (funder.quota_fen, cap_fen):
                unit.quotas.set(funder.name, funder.quota_fen, now, cap_fen)
