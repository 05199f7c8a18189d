"""The bank's side for tests: who asks about whom, under which consent."""
from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from functools import cached_property

from parties.bank.scoring.client import Ask, JointScorer, reference_bytes
from parties.bank.scoring.connect import Terms, grant, scorer_of
from parties.bank.scoring.model import BankModel
from parties.bank.scoring.transport import DirectTransport, Transport, TransportFailed
from parties.platform.scoring.desk import Desk
from parties.platform.scoring.server import Service
from parties.runtime.scoring.directory import Directories
from parties.runtime.scoring.persons import PersonKey
from tests.scoring.homes import MODEL, Homes, identifier


class Asking:
    """Makes requests for `homes`."""

    def __init__(self, homes: Homes):
        self.homes, self.count = homes, 0
        self.party, self.identity = homes.party("bank"), homes.identity("bank")
        self.persons = PersonKey.load(homes.bank)

    @cached_property
    def directory(self):
        return Directories(self.party.state, self.identity).load(MODEL, "platform")

    @cached_property
    def model(self) -> BankModel:
        return BankModel.load(self.party, self.identity, MODEL)

    def token(self, number: int) -> bytes:
        return self.directory.token(self.persons.person(identifier(number)))

    def ask(self, number: int, reference: str | None = None, use: str | None = None, *, token: bytes | None = None,
            platform: str = "platform", identity=None, **terms) -> Ask:
        self.count += 1
        now, reference = int(time.time()), reference or f"c-{self.count}"
        told = {"purpose": "credit-scoring", "issued_at_s": now, "not_after_s": now + 600, "maximum_uses": 1} | terms
        token = token or self.token(number)
        signed = grant(identity or self.identity, "bank", platform, token, Terms(reference, **told))
        return Ask(token, signed, reference_bytes(use or f"u-{self.count}"))


class InProcess(Transport):
    """Hands calls to a desk; `tamper` may change bytes on their way, both ways."""

    def __init__(self, desk: Desk, caller: str = "bank", tamper=lambda method, way, body: body):
        self.desk, self.caller, self.tamper, self.calls = desk, caller, tamper, []

    async def call(self, method: str, body: bytes, timeout_s: float) -> bytes:
        self.calls.append((method, body))
        reply = self.desk.handle(self.caller, method, self.tamper(method, "out", body))
        if not reply:
            raise TransportFailed("gone")
        return self.tamper(method, "back", reply)

    async def close(self) -> None:
        """Nothing to close."""


@contextlib.contextmanager
def service_of(homes: Homes):
    """The platform's service without a port."""
    service = Service(homes.party("platform"), homes.identity("platform"))
    try:
        yield service
    finally:
        service.close()


@contextlib.asynccontextmanager
async def scorer(asking: Asking, transport: Transport | None = None, address: str | None = None
                 ) -> AsyncIterator[JointScorer]:
    """The bank's client."""
    transport = transport or DirectTransport(address, asking.homes.bank)
    found = scorer_of(asking.party, asking.identity, "platform", transport)
    try:
        yield found
    finally:
        await found.close()
