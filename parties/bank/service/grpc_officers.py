"""The gRPC calls of officers: reports of experiments and risk signals, over the same cases as HTTP."""
from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel

from parties.bank.service import messages as m
from parties.bank.service import officers_pb2 as pb
from parties.bank.service.assembly import Service
from parties.bank.service.callers import Caller
from parties.bank.service.grpc_shapes import Told, apart, read
from protocols.plan import Name
from protocols.strict import Strict

OFFICERS = pb.DESCRIPTOR.services_by_name["Officers"]
OfficerCall = Callable[[Service, Caller, Told], Awaitable[BaseModel]]


class ExperimentLooked(Strict):
    """One experiment, for a purpose."""

    name: Name
    purpose: m.Why
    confidence: Literal["0.9", "0.95", "0.99"] = "0.95"


async def _experiment(service: Service, by: Caller, told: Told) -> BaseModel:
    asked = read(ExperimentLooked, told)
    return await service.experiments.report(by, asked.name, asked.purpose, Decimal(asked.confidence))


async def _signal(service: Service, by: Caller, told: Told) -> BaseModel:
    found, rest = apart(m.PersonFound, told)
    return await service.signals.report(by, found.person, read(m.SignalReport, rest))


OFFICER_CALLS: dict[str, OfficerCall] = {"GetExperiment": _experiment, "ReportSignal": _signal}
