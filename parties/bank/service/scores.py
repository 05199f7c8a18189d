"""Where scores come from: the published model's own part at this node, and the platform, which is asked online.

Without a configured model nobody is ever asked: every joint score says so, and the rulebook's policy decides.
"""
from __future__ import annotations

from datetime import UTC, datetime

from parties.bank.decision.application import Bureau
from parties.bank.decision.context import BankOnly, JointScore
from parties.bank.scoring.client import JointScorer, joint_score, reference_bytes
from parties.bank.scoring.connect import Terms, ask_of, grant, scorer_of
from parties.bank.scoring.model import BankModel
from parties.bank.service.deciding import Submitted
from parties.bank.store.consents import Grant
from parties.runtime.config import LoadedParty
from parties.runtime.scoring.directory import Directories, TokenDirectory
from protocols.crypto.identity import IdentityKey
from protocols.errors import MalformedMessage


class NoModel:
    """A bank that has no joint model yet."""

    model: str | None = None

    def bank_only(self, bureau: Bureau | None) -> BankOnly:
        """No score."""
        return BankOnly()

    async def joint(self, submitted: Submitted, consent: Grant | None) -> JointScore:
        """Not asked, and why."""
        return JointScore(status="not-asked", cause="no model is configured")

    def status(self) -> str:
        """For the health page."""
        return "not configured"

    async def revoke(self, references: list[str], persons: list[str], at_s: int, timeout_s: float) -> None:
        """Nobody was ever asked: there is nothing to withdraw."""

    async def close(self) -> None:
        """Nothing is open."""


class ModelScores:
    """One published model and its platform."""

    def __init__(self, party: LoadedParty, identity: IdentityKey, model: str, deadline_s: float, purpose: str,
                 scorer: JointScorer | None = None):
        self._party, self._identity, self._deadline_s, self._purpose = party.name, identity, deadline_s, purpose
        self._model, self._directory = prepared(party, identity, model)
        self._scorer = scorer or scorer_of(party, identity, self._model.platform)
        if self._model.shared is not None:
            self._scorer.share(self._model)

    @property
    def model(self) -> str:
        """Its id."""
        return self._model.id

    def bank_only(self, bureau: Bureau | None) -> BankOnly:
        """The score of the model that the bank fitted by itself, with contributions; empty where the half kept none.
        DataError for a value that its table cannot have."""
        return self._model.bank_only(None if bureau is None else bureau.columns)

    async def joint(self, submitted: Submitted, consent: Grant | None) -> JointScore:
        """The platform's part joined with ours, or the score that both sides computed together. The same application
        with the same bureau answer asked again does not use a consent up again."""
        if consent is None:
            return JointScore(status="not-asked", cause="no consent that holds", model=self.model)
        token = self._directory.token(submitted.person)
        if token is None:
            return JointScore(status="unavailable", cause="unknown to the platform", model=self.model)
        application = submitted.application
        values = None if application.bureau is None else application.bureau.columns
        asked = ask_of(self._model, token, self._signed(token, consent), application.application_id, values)
        answer = await self._scorer.score(asked, self.model, self._deadline_s)
        try:
            own = self._model.own_log_odds(values, answer.sides)
        except MalformedMessage:
            return JointScore(status="unavailable", cause="an answer of another model", model=self.model)
        return joint_score(answer, self._model, own)

    def _signed(self, token: bytes, consent: Grant) -> object:
        terms = Terms(consent.reference, self._purpose, _seconds(consent.granted_at), _seconds(consent.expires_at),
                      consent.maximum_uses)
        return grant(self._identity, self._party, self._model.platform, token, terms)

    def status(self) -> str:
        """For the health page: whether calls go through."""
        return self._scorer.status().breaker.state

    async def revoke(self, references: list[str], persons: list[str], at_s: int, timeout_s: float) -> None:
        """Withdraw consents at the platform; TransportFailed when it did not acknowledge."""
        tokens = [token for token in map(self._directory.token, persons) if token is not None]
        named = [reference_bytes(reference) for reference in references]
        if tokens or named:
            await self._scorer.revoke(named, tokens, at_s, timeout_s)

    async def close(self) -> None:
        """Give up the connection."""
        await self._scorer.close()


def prepared(party: LoadedParty, identity: IdentityKey, model: str) -> tuple[BankModel, TokenDirectory]:
    """What `bank scoring prepare` has made ready of a model; an error's sentence says what is missing."""
    found = BankModel.load(party, identity, model)
    return found, Directories(party.state, identity).load(model, found.platform)


def _seconds(time: datetime) -> int:
    return int(time.astimezone(UTC).timestamp())
