"""What officers do over gRPC, handler by handler without a socket: the report of an experiment is that of HTTP."""
from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from parties.bank.decision import trial
from parties.bank.experiments.kept import KeptReport
from parties.bank.service import messages as m
from parties.bank.service import officers_pb2 as pb
from parties.bank.service.grpc_officers import OFFICER_CALLS, OFFICERS, ExperimentLooked
from parties.bank.service.grpc_shapes import written
from tests.parties.bank.experiments.test_kept import AUDITOR, ROWS, START, TOML, decided
from tests.parties.bank.service.support import bearer, make_service, token_of
from tests.parties.bank.service.test_grpc_loans import caller, grpc, refused


@pytest.fixture
def service(file: Path):
    """Of a bank whose rulebook has an experiment, and which decided on people in it."""
    (file.parent / "rulebook" / "experiments.toml").write_text(TOML, encoding="utf-8")
    made = make_service(file, None)
    made.store.write(lambda unit: [unit.decisions.save(decided(n, row)) for n, row in enumerate(ROWS[:60])])
    yield made
    made.store.close()


def looks(service) -> list[tuple[str, str, str, int]]:
    lines = service.store.write(lambda unit: unit.accesses.of(AUDITOR, START))
    return [(one.who, one.role, one.purpose, one.count) for one in lines if one.action == "experiment"]


@pytest.mark.parametrize("confidence", [None, "0.9"])
def test_a_report_is_the_same_over_both(service, client, file, confidence):
    call, token = caller(service, OFFICERS), token_of(file, "officer", "li")
    asked = {"purpose": "spot check"} | ({} if confidence is None else {"confidence": confidence})

    async def steps():
        async with client() as http:
            over_http = await http.get("/v1/experiments/release", params=asked, headers=bearer(file, "officer", "li"))
            reply = await call("GetExperiment", pb.ExperimentRequest(name="release", **asked), token)
            return over_http, reply

    over_http, reply = asyncio.run(steps())
    assert over_http.status_code == 200 and reply == written(over_http.content, pb.Experiment)
    assert reply.report.persons == 60 and reply.report.confidence == (confidence or "0.95")
    assert reply.report.phases[0].arms[0].estimates[0].metric == "approved"
    empty = [one for phase in reply.report.phases for arm in phase.arms for one in arm.estimates if not one.count]
    assert empty and not any(one.HasField("value") for one in empty)  # nothing is not 0
    assert looks(service) == [("li", "officer", "spot check", 60)] * 2


def test_who_may_not_look_or_asks_for_nothing_leaves_no_line(service, file):
    call, wrong = caller(service, OFFICERS), grpc.StatusCode.INVALID_ARGUMENT

    def asked(**changes: str) -> pb.ExperimentRequest:
        return pb.ExperimentRequest(**{"name": "release", "purpose": "spot check"} | changes)

    async def steps():
        await refused(call("GetExperiment", asked(), None), grpc.StatusCode.UNAUTHENTICATED, "token")
        for role in ("channel", "operator"):
            await refused(call("GetExperiment", asked(), token_of(file, role)), grpc.StatusCode.PERMISSION_DENIED, role)
        token = token_of(file, "auditor")
        for changes, word in (({"purpose": ""}, "purpose"), ({"purpose": "a\nb c"}, "purpose"), ({"name": ""}, "name"),
                              ({"name": "Release!"}, "name"), ({"confidence": "0.5"}, "confidence"),
                              ({"confidence": ""}, "confidence")):
            await refused(call("GetExperiment", asked(**changes), token), wrong, word)
        await refused(call("GetExperiment", asked(name="nothing"), token), grpc.StatusCode.NOT_FOUND, "has: release")
        await refused(call("GetExperiment", b"\xff" * 20, token), wrong, "ExperimentRequest")

    asyncio.run(steps())
    assert looks(service) == []


def test_every_method_of_the_document_is_served():
    assert set(OFFICER_CALLS) == {method.name for method in OFFICERS.methods}


@pytest.mark.parametrize(("names", "message"), [
    (ExperimentLooked.model_fields, pb.ExperimentRequest), (KeptReport.model_fields, pb.Experiment),
    (trial.TrialReport.model_fields, pb.Trial), (trial.PhaseReport.model_fields, pb.Phase),
    (trial.ArmReport.model_fields, pb.Arm), (trial.Estimate.model_fields, pb.Estimate),
    (trial.Comparison.model_fields, pb.Comparison), ({"person", *m.SignalReport.model_fields}, pb.SignalReport),
    (m.SignalActed.model_fields, pb.SignalActed),
])
def test_both_interfaces_have_the_same_fields(names, message):
    assert set(names) == {field.name for field in message.DESCRIPTOR.fields}
