"""All repositories on one connection: whatever a job does with them happens together or not at all."""
from __future__ import annotations

from functools import cached_property

from sqlalchemy import Connection

from parties.bank.store.accesses import AccessLog
from parties.bank.store.answers import Configurations, Idempotency
from parties.bank.store.consents import Consents
from parties.bank.store.customers import Customers
from parties.bank.store.decisions import Decisions
from parties.bank.store.deletions import Deletions
from parties.bank.store.payloads import Payloads
from parties.bank.store.quotas import Quotas
from parties.bank.store.reviews import Reviews
from parties.bank.store.signals import Signals
from parties.bank.store.withdrawals import Withdrawals


class Unit:
    """One transaction. `writable` is False in `Store.read`: what must leave a trace refuses to run there."""

    def __init__(self, connection: Connection, payloads: Payloads, writable: bool):
        self.connection, self.payloads, self.writable = connection, payloads, writable

    @cached_property
    def accesses(self) -> AccessLog:
        """Who read what about whom."""
        return AccessLog(self.connection, self.writable)

    @cached_property
    def decisions(self) -> Decisions:
        """Records of decisions."""
        return Decisions(self.connection, self.payloads, self.accesses)

    @cached_property
    def idempotency(self) -> Idempotency:
        """Answers under idempotency keys."""
        return Idempotency(self.connection, self.payloads)

    @cached_property
    def configurations(self) -> Configurations:
        """Rulebooks by digest."""
        return Configurations(self.connection)

    @cached_property
    def reviews(self) -> Reviews:
        """Requests for a review by a person."""
        return Reviews(self.connection, self.accesses)

    @cached_property
    def consents(self) -> Consents:
        """Authorisations and the switch."""
        return Consents(self.connection)

    @cached_property
    def withdrawals(self) -> Withdrawals:
        """Withdrawn consents that the platform has yet to hear of."""
        return Withdrawals(self.connection)

    @cached_property
    def deletions(self) -> Deletions:
        """The queue of deletions and what holds them."""
        return Deletions(self.connection, self.accesses, self.idempotency)

    @cached_property
    def customers(self) -> Customers:
        """Limit accounts."""
        return Customers(self.connection)

    @cached_property
    def signals(self) -> Signals:
        """Risk signals."""
        return Signals(self.connection)

    @cached_property
    def quotas(self) -> Quotas:
        """Quotas of funding partners."""
        return Quotas(self.connection)
