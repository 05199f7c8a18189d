"""The gRPC interface over a real connection: the same answers and refusals as HTTP, health and reflection."""
from __future__ import annotations

import asyncio

import grpc
import pytest
from google.protobuf.json_format import ParseDict
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from parties.bank.service import applications_pb2 as pb
from parties.bank.service import messages as m
from parties.bank.service.grpc_app import CALLS, SERVICE, serve_grpc
from parties.bank.service.grpc_loans import LOANS
from parties.bank.service.grpc_officers import OFFICERS
from parties.bank.service.grpc_shapes import plain, written
from tests.parties.bank.service.support import CONSENTS, keyed, reference, soon, submission, token_of

pytestmark = pytest.mark.slow  # processes, servers or many threads at once

PREFIX = f"/{SERVICE.full_name}/"


async def call(channel: grpc.aio.Channel, method: str, message, token: str | None):
    told = SERVICE.methods_by_name[method]
    rpc = channel.unary_unary(PREFIX + method, lambda one: one.SerializeToString(),
                              getattr(pb, told.output_type.name).FromString)
    return await rpc(message, metadata=None if token is None else (("authorization", f"Bearer {token}"),), timeout=20)


def submitted(key: str = "key-00000001", **changes) -> pb.SubmitRequest:
    return ParseDict({"idempotency_key": key, "submission": submission(**changes)}, pb.SubmitRequest())


async def consent(channel: grpc.aio.Channel, token: str, customer: str = "13800000001") -> str:
    person = (await call(channel, "FindPerson", pb.Customer(customer=customer), token)).person
    for purpose in CONSENTS:
        await call(channel, "GiveConsent", pb.ConsentGiven(
            person=person, reference=reference(purpose, customer), purpose=purpose, expires_at=soon()), token)
    return person


def test_the_same_answers_as_over_http(service, client, file):
    token, auditor = token_of(file, "channel"), token_of(file, "auditor", "wu")

    async def steps():
        async with serve_grpc(service) as address, grpc.aio.insecure_channel(address) as channel, client() as http:
            person = await consent(channel, token)
            request = submitted()
            answer = await call(channel, "Submit", request, token)
            assert answer.outcome == "approved" and answer.person == person
            assert sum(one.fen for one in answer.offer.funding) == answer.offer.amount_fen == 300_000
            told = m.Submission.model_validate(plain(request.submission)).model_dump(mode="json")
            again = await http.post("/v1/applications", json=told, headers=keyed({"authorization": f"Bearer {token}"}))
            assert written(again.content, pb.Answer) == answer  # one application, whichever interface
            name = answer.application_id
            assert (await call(channel, "GetProgress", pb.ApplicationName(application_id=name), token)).answer == answer
            look = pb.RecordRequest(application_id=name, purpose="spot check")
            assert (await call(channel, "GetRecord", look, auditor)).digest == answer.record
            off = await call(channel, "SetSwitch", pb.SwitchRequest(person=person, off=True), token)
            assert off.switched_off and {one.status for one in off.consents} == {"off"}
            waiting = await call(channel, "AskDeletion", pb.Person(person=person), token)
            assert waiting.state == "waiting"
            lines = await call(channel, "ListAccesses", pb.AccessesRequest(person=person, purpose="why"), auditor)
            assert ("wu", "read", "spot check") in {(one.who, one.action, one.purpose) for one in lines.items}

    asyncio.run(steps())


def test_refusals_are_statuses_of_one_sentence(service, file):
    token = token_of(file, "channel")
    wrong = [
        ("Submit", submitted(), None, grpc.StatusCode.UNAUTHENTICATED, "token"),
        ("Submit", submitted(), token_of(file, "auditor"), grpc.StatusCode.PERMISSION_DENIED, "auditor"),
        ("Submit", pb.SubmitRequest(), token, grpc.StatusCode.INVALID_ARGUMENT, "idempotency_key"),
        ("Submit", submitted(key="x"), token, grpc.StatusCode.INVALID_ARGUMENT, "idempotency_key"),
        ("Submit", submitted(amount_fen=-1), token, grpc.StatusCode.INVALID_ARGUMENT, "amount_fen"),
        ("GetProgress", pb.ApplicationName(application_id="a"), token, grpc.StatusCode.NOT_FOUND, "application"),
        ("GetPerson", pb.Person(person="x"), token, grpc.StatusCode.INVALID_ARGUMENT, "person"),
        ("DecideReview", pb.ReviewDecision(application_id="a", outcome="upheld", note="x"), token,
         grpc.StatusCode.PERMISSION_DENIED, "officer"),
        ("List", pb.ListRequest(purpose="x" * 3, limit=1000), token_of(file, "officer"),
         grpc.StatusCode.INVALID_ARGUMENT, "limit"),
    ]

    async def steps():
        async with serve_grpc(service) as address, grpc.aio.insecure_channel(address) as channel:
            for method, message, shown, code, word in wrong:
                with pytest.raises(grpc.aio.AioRpcError) as fault:
                    await call(channel, method, message, shown)
                assert fault.value.code() == code and word in fault.value.details(), fault.value.details()
                assert "\n" not in fault.value.details()
            garbage = channel.unary_unary(PREFIX + "Submit")
            with pytest.raises(grpc.aio.AioRpcError) as fault:
                await garbage(b"\xff" * 40, metadata=(("authorization", f"Bearer {token}"),))
            assert fault.value.code() == grpc.StatusCode.INVALID_ARGUMENT

    asyncio.run(steps())


def test_health_and_reflection_stand_beside_it(service):
    names = {SERVICE.full_name, LOANS.full_name, OFFICERS.full_name}

    async def steps():
        async with serve_grpc(service) as address, grpc.aio.insecure_channel(address) as channel:
            for name in names:
                checked = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=name))
                assert checked.status == health_pb2.HealthCheckResponse.SERVING
            asked = reflection_pb2.ServerReflectionRequest(list_services="")
            async for reply in reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([asked])):
                assert names <= {one.name for one in reply.list_services_response.service}

    asyncio.run(steps())


def test_every_method_of_the_document_is_served():
    assert set(CALLS) == {method.name for method in SERVICE.methods}


@pytest.mark.parametrize(("model", "message"), [
    (m.Answer, pb.Answer), (m.Progress, pb.Progress), (m.Page, pb.Page), (m.Listed, pb.Listed), (m.Access, pb.Access),
    (m.ReviewState, pb.ReviewState), (m.PersonState, pb.PersonState), (m.ConsentKept, pb.ConsentKept),
    (m.DeletionState, pb.DeletionState), (m.Submission, pb.Submission), (m.Waiting, pb.Review), (m.Offer, pb.Offer),
    (m.Bureau, pb.Bureau), (m.Identity, pb.Identity), (m.Reason, pb.Reason),
])
def test_both_interfaces_have_the_same_fields(model, message):
    assert set(model.model_fields) == {field.name for field in message.DESCRIPTOR.fields}
