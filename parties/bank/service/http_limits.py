"""The route of risk signals: over the case of limit_signals.py."""
from __future__ import annotations

from fastapi import FastAPI, Response

from parties.bank.service import messages as m
from parties.bank.service.http_common import By, PersonPath, told
from parties.bank.service.limit_signals import LimitSignals


def add_limits(app: FastAPI, signals: LimitSignals) -> None:
    """Give the app the route of signals."""
    @app.post("/v1/persons/{person}/signals", response_model=m.SignalActed, tags=["limits"])
    async def signal(by: By, person: PersonPath, report: m.SignalReport) -> Response:
        """Report a risk signal, which cuts or freezes the limit at once as the rulebook says; a reference acts once."""
        return told(await signals.report(by, person, report))
