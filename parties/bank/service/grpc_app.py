"""The gRPC interface: the same use cases, with gRPC's own health (grpc.health.v1) and reflection beside them."""
from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from pydantic import BaseModel

from parties.bank.service import applications_pb2 as pb
from parties.bank.service import messages as m
from parties.bank.service.assembly import Service
from parties.bank.service.callers import Caller
from parties.bank.service.grpc_loans import LOAN_CALLS, LOANS
from parties.bank.service.grpc_officers import OFFICER_CALLS, OFFICERS
from parties.bank.service.grpc_shapes import Told, apart, plain, read, written
from parties.bank.service.listeners import GRACE_S, grpc_credentials
from parties.bank.service.refusals import BadRequest, Refusal
from parties.bank.service.use_cases import UseCases
from protocols.canonical import canonical_json
from protocols.errors import ConfigError
from protocols.strict import Strict

SERVICE = pb.DESCRIPTOR.services_by_name["Applications"]
CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT, 401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED, 404: grpc.StatusCode.NOT_FOUND, 409: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED, 422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED, 503: grpc.StatusCode.UNAVAILABLE,
}
Reply = bytes | BaseModel | Message
Call = Callable[[UseCases, Caller, Told], Awaitable[Reply]]
Bound = Callable[[Caller, Told], Awaitable[Reply]]


class Submit(Strict):
    """What the gRPC calls have besides the bodies of messages.py."""

    idempotency_key: m.IdempotencyKey
    submission: m.Submission


class Named(Strict):
    """One application."""

    application_id: m.Label


class Looked(Named):
    """One application, for a purpose."""

    purpose: m.Why


class Listing(Strict):
    """A page of decisions."""

    purpose: m.Why
    cursor: str | None = None
    limit: int = 50
    outcome: m.Outcome | None = None


class Purposed(Strict):
    """A look without a person."""

    purpose: m.Why


class PersonLooked(m.PersonFound):
    """A look at a person, for a purpose."""

    purpose: m.Why


class ConsentNamed(m.PersonFound):
    """One consent of a person."""

    reference: m.Label


async def _submit(use: UseCases, by: Caller, told: Told) -> bytes:
    asked = read(Submit, told)
    return (await use.submit(by, asked.idempotency_key, asked.submission)).body


async def _record(use: UseCases, by: Caller, told: Told) -> Message:
    asked = read(Looked, told)
    found = await use.record(by, asked.application_id, asked.purpose)
    return pb.Record(digest=found.digest, record=canonical_json(found.record))


async def _list(use: UseCases, by: Caller, told: Told) -> BaseModel:
    asked = read(Listing, told)
    return await use.list(by, asked.purpose, asked.cursor, asked.limit, asked.outcome)


async def _ask_review(use: UseCases, by: Caller, told: Told) -> BaseModel:
    named, rest = apart(Named, told)
    return await use.ask_review(by, named.application_id, read(m.ReviewRequest, rest))


async def _decide_review(use: UseCases, by: Caller, told: Told) -> BaseModel:
    named, rest = apart(Named, told)
    return await use.decide_review(by, named.application_id, read(m.ReviewDecision, rest))


async def _find_person(use: UseCases, by: Caller, told: Told) -> BaseModel:
    return use.person(by, read(m.CustomerQuery, told))


async def _give_consent(use: UseCases, by: Caller, told: Told) -> BaseModel:
    found, rest = apart(m.PersonFound, told)
    return await use.give_consent(by, found.person, read(m.ConsentGiven, rest))


async def _withdraw(use: UseCases, by: Caller, told: Told) -> BaseModel:
    asked = read(ConsentNamed, told)
    return await use.withdraw_consent(by, asked.person, asked.reference)


async def _switch(use: UseCases, by: Caller, told: Told) -> BaseModel:
    found, rest = apart(m.PersonFound, told)
    return await use.switch(by, found.person, read(m.Switch, rest))


async def _accesses(use: UseCases, by: Caller, told: Told) -> BaseModel:
    asked = read(PersonLooked, told)
    return await use.accesses(by, asked.person, asked.purpose)


CALLS: dict[str, Call] = {
    "Submit": _submit,
    "GetProgress": lambda use, by, told: use.progress(by, read(Named, told).application_id),
    "GetRecord": _record,
    "List": _list,
    "AskReview": _ask_review,
    "DecideReview": _decide_review,
    "ListReviews": lambda use, by, told: use.reviews(by, read(Purposed, told).purpose),
    "FindPerson": _find_person,
    "GetPerson": lambda use, by, told: use.person_state(by, read(m.PersonFound, told).person),
    "GiveConsent": _give_consent,
    "WithdrawConsent": _withdraw,
    "SetSwitch": _switch,
    "AskDeletion": lambda use, by, told: use.ask_deletion(by, read(m.PersonFound, told).person),
    "ListAccesses": _accesses,
}


@contextlib.asynccontextmanager
async def serve_grpc(service: Service) -> AsyncIterator[str | None]:
    """Serve while the context lasts; its address, None where none is configured."""
    config, home = service.node.config, service.node.party.home
    if config.grpc is None:
        yield None
        return
    size = config.limits.body_bytes
    server = grpc.aio.server(maximum_concurrent_rpcs=4 * config.limits.in_flight, options=(
        ("grpc.max_receive_message_length", size), ("grpc.so_reuseport", int(service.place.of > 1)),
        ("grpc.keepalive_time_ms", 30_000)))
    server.add_generic_rpc_handlers(grpc_handlers(service))
    told = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(told, server)
    names = (SERVICE.full_name, LOANS.full_name, OFFICERS.full_name)
    reflection.enable_server_reflection((*names, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    port = _listen(server, config.grpc, None if config.tls is None else grpc_credentials(home, config.tls))
    await server.start()
    for name in ("", *names):
        await told.set(name, health_pb2.HealthCheckResponse.SERVING)
    try:
        yield f"{config.grpc.rpartition(':')[0]}:{port}"
    finally:
        await told.enter_graceful_shutdown()
        await server.stop(GRACE_S)


def _listen(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None) -> int:
    try:
        port = server.add_insecure_port(address) if credentials is None else \
            server.add_secure_port(address, credentials)
    except RuntimeError:
        port = 0
    if not port:
        raise ConfigError(f"decisions.grpc = {address!r} is not free; choose another address")
    return port


def grpc_handlers(service: Service) -> tuple[grpc.GenericRpcHandler, ...]:
    """Every method of every service."""
    return (_handler(service, SERVICE, {name: partial(call, service.use) for name, call in CALLS.items()}),
            _handler(service, LOANS, {name: partial(call, service.loans) for name, call in LOAN_CALLS.items()}),
            _handler(service, OFFICERS, {name: partial(call, service) for name, call in OFFICER_CALLS.items()}))


def _handler(service: Service, told: ServiceDescriptor, calls: dict[str, Bound]) -> grpc.GenericRpcHandler:
    return grpc.method_handlers_generic_handler(told.full_name, {
        method.name: grpc.unary_unary_rpc_method_handler(_method(service, method, calls[method.name]))
        for method in told.methods})


def _method(service: Service, method: MethodDescriptor, call: Bound) -> Callable[[bytes, Any], Awaitable[bytes]]:
    takes, gives = GetMessageClass(method.input_type), GetMessageClass(method.output_type)

    async def answer(body: bytes, context: grpc.aio.ServicerContext) -> bytes:
        status = "fault"
        try:
            reply = await call(_caller(service, context), plain(_parsed(takes, body)))
            status = "ok"
        except Refusal as refusal:
            status = CODES[refusal.status].name.lower()
            await context.abort(CODES[refusal.status], str(refusal))
        finally:
            service.metrics.count("grpc_requests", method=method.name, status=status)
        return (reply if isinstance(reply, Message) else written(reply, gives)).SerializeToString()

    return answer


def _caller(service: Service, context: grpc.aio.ServicerContext) -> Caller:
    metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    shown = next(iter(context.auth_context().get("x509_pem_cert", ())), None)
    certificate = None if shown is None else ssl.PEM_cert_to_DER_cert(shown.decode())
    return service.credentials.caller(metadata.get("authorization"), certificate)


def _parsed(cls: type[Message], body: bytes) -> Message:
    try:
        return cls.FromString(body)
    except DecodeError:
        raise BadRequest(f"expected a message {cls.DESCRIPTOR.name}, got other bytes") from None
