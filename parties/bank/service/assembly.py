"""A bank's decision service put together from its file; nothing listens yet."""
from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI

from parties.bank.decision.rulebook import Rulebook
from parties.bank.experiments.kept import Kept
from parties.bank.lending.book import Loans, Notary
from parties.bank.service.board import Board
from parties.bank.service.credentials import Credentials
from parties.bank.service.deciding import Decider
from parties.bank.service.experiment_cases import ExperimentCases
from parties.bank.service.http_app import http_app
from parties.bank.service.http_guard import Guard
from parties.bank.service.limit_reviews import LimitReviews
from parties.bank.service.limit_signals import LimitSignals
from parties.bank.service.loan_cases import LoanCases, LoanParts
from parties.bank.service.messages import Health
from parties.bank.service.metrics import Metrics
from parties.bank.service.names import ApplicationIds
from parties.bank.service.pages import Cursors
from parties.bank.service.revocations import Revocations
from parties.bank.service.rules import Rules
from parties.bank.service.scores import ModelScores, NoModel
from parties.bank.service.settings import DecisionsConfig, beside, decisions_of
from parties.bank.service.throttle import Throttle
from parties.bank.service.tokens import TokenCheck, token_key
from parties.bank.service.use_cases import Parts, UseCases
from parties.bank.store import Reader, Store, Unit
from parties.bank.store.opening import open_node_store
from parties.runtime.config import LoadedParty
from parties.runtime.scoring.persons import PersonKey
from protocols.crypto.identity import IdentityKey
from protocols.errors import SealscoreError
from protocols.node.identity_files import load_identity

log = logging.getLogger("sealscore.decisions")
HOUSEKEEPING_S = 60.0
PAST = "loans past their retention"
_NAMES, _PAGES = b"bank decisions application ids v1", b"bank decisions cursors v1"


@dataclass(frozen=True)
class Node:
    """A bank's node as the service needs it."""

    party: LoadedParty
    config: DecisionsConfig
    identity: IdentityKey

    @classmethod
    def of(cls, party: LoadedParty) -> Node:
        """From its file; ConfigError without a section [decisions]."""
        return cls(party, decisions_of(party), load_identity(party.home))

    def store(self) -> Store:
        """The store, whose tables must be there."""
        return open_node_store(self.party)

    def rulebook(self) -> Rulebook:
        """The rulebook of the configured folder."""
        return Rulebook.load(beside(self.party.home, self.config.rulebook))


@dataclass(frozen=True)
class Place:
    """Which of the service's processes this one is. The first keeps house for all; limits are shared out."""

    number: int = 0
    of: int = 1
    board: Board | None = None


class Service:
    """Everything but listeners, of one process. `close` finishes what was taken in."""

    def __init__(self, node: Node, scores: ModelScores | NoModel | None = None, place: Place | None = None):
        self.node, self.place = node, place or Place()
        self.metrics = Metrics(self.place.board, self.place.number)
        self.stopping = False
        self.rules = Rules(node.rulebook())
        self.scores = scores or _scores(node)
        self.store = node.store()
        self.store.write(lambda unit: self.rules.declare(unit, datetime.now(UTC)))
        self.revocations = Revocations(self.store, self.scores.revoke)
        decider = Decider(self.store, self.scores, self.rules, self.metrics, node.config.offer_stands)
        self.use = UseCases(self._parts(decider))
        self.loans = LoanCases(LoanParts(self.store, self.rules.rulebook, self._ids(), node.config.lending,
                                         Notary(node.party.name, node.identity)))
        self.experiments = ExperimentCases(Kept(self.store, self.rules.rulebook, node.config.lending))
        self.signals = LimitSignals(self.store, self.rules.rulebook, self.metrics)
        self.reviews = LimitReviews(self.store, self.rules.rulebook, self.metrics)
        self.credentials = _credentials(node)
        self.metrics.gauge("revocations_waiting", lambda: float(self.revocations.waiting))

    def _parts(self, decider: Decider) -> Parts:
        config, identity = self.node.config, self.node.identity
        limits = config.limits.shared_out(self.place.of)
        return Parts(store=self.store, decider=decider, persons=PersonKey.load(self.node.party.home),
                     ids=self._ids(), cursors=Cursors(identity.derived(_PAGES)),
                     throttle=Throttle(limits.rates()), metrics=self.metrics, retention=config.store.retention,
                     health=self._health, in_flight=limits.in_flight)

    def _ids(self) -> ApplicationIds:
        return ApplicationIds(self.node.identity.derived(_NAMES))

    def app(self) -> Guard:
        """The HTTP interface behind its guard."""
        return Guard(self.api(), self.metrics, self.node.config.limits.body_bytes)

    def api(self) -> FastAPI:
        """The HTTP interface without its guard: for its OpenAPI document."""
        return http_app(self.use, self.loans, self.experiments, self.signals, self.credentials, version("sealscore"))

    def _health(self) -> Health:
        return Health(status="stopping" if self.stopping else "ok", rulebook=self.rules.digest, model=self.scores.model,
                      joint_scoring=self.scores.status())

    def chores(self) -> list[Coroutine[Any, Any, None]]:
        """What runs beside the listeners, each until cancelled."""
        house = [self.keep_house(), self.revocations.run()] if self.place.number == 0 else []
        return house if self.place.board is None else [*house, self.metrics.post()]

    async def keep_house(self) -> None:
        """Give back what lapsed, delete what is due, forget what is old, review limits, until cancelled."""
        while True:
            try:
                await asyncio.wrap_future(self.store.submit(self._tidy))
                await self.reviews.run()
            except SealscoreError as error:
                log.warning("housekeeping failed and is tried again in %g s: %s", HOUSEKEEPING_S, error)
            await asyncio.sleep(HOUSEKEEPING_S)

    def _tidy(self, unit: Unit) -> None:
        now, reader = datetime.now(UTC), Reader("decision service", "service", "deletions that are due")
        unit.quotas.lapse(now)
        unit.deletions.run(reader, now, self.node.config.store.retention)
        unit.deletions.sweep(now, self.node.config.store.retention)
        Loans(unit).forget(self.node.config.lending.ended_before(now), replace(reader, purpose=PAST), now)

    async def close(self) -> None:
        """Finish what is being decided, then give up connection and store."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                await self.use.settled()
        await self.scores.close()
        self.store.close()


def _scores(node: Node) -> ModelScores | NoModel:
    if node.config.model is None:
        return NoModel()
    return ModelScores(node.party, node.identity, node.config.model, node.config.score_deadline_ms / 1000,
                       node.config.purpose)


def _credentials(node: Node) -> Credentials:
    auth = node.config.auth
    public = token_key(node.identity).public_key().public_bytes_raw()
    check = TokenCheck(public, audience(node.party), frozenset(auth.withdrawn), auth.not_issued_before)
    return Credentials(check, node.config.clients, time.time)


def audience(party: LoadedParty) -> str:
    """What tokens of this bank's service are for."""
    return f"sealscore-decisions:{party.name}"
