"""schemathesis against the OpenAPI document: no server error, whatever fits it or does not."""
from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi import checks as openapi

from parties.bank.service.callers import ROLES
from parties.bank.service.refusals import Refusal
from tests.parties.bank.service.support import Platform, bearer, make_home, make_service

pytestmark = pytest.mark.slow  # processes, servers or many threads at once

CHECKS = [checks.not_a_server_error, openapi.status_code_conformance, openapi.content_type_conformance,
          openapi.response_schema_conformance, openapi.negative_data_rejection, openapi.missing_required_header]
EXAMPLES = 8
CALLERS = {"GET /v1/applications": "officer", "GET /v1/applications/{application_id}/record": "auditor",
           "PUT /v1/applications/{application_id}/review": "officer", "GET /v1/reviews": "officer",
           "GET /v1/experiments/{name}": "officer", "POST /v1/persons/{person}/signals": "officer",
           "GET /v1/persons/{person}/accesses": "auditor", "GET /metrics": "operator"}


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    file = make_home(tmp_path_factory.mktemp("document") / "bank")
    service = make_service(file, Platform())
    yield file, service
    service.store.close()


@pytest.fixture(scope="module")
def document(node):
    return schemathesis.openapi.from_asgi("/openapi.json", node[1].app())


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_operation_answers_as_the_document_says(document, node, mode):
    headers = {role: bearer(node[0], role) for role in ROLES}

    def answers(case):
        response = case.call(headers=headers[CALLERS.get(f"{case.method} {case.path}", "channel")])
        case.validate_response(response, checks=CHECKS)
        if response.status_code >= 400:
            told = response.json()["detail"]
            assert told and "\n" not in told and "Traceback" not in told

    seen = 0
    for found in document.get_all_operations():
        strategy = found.ok().as_strategy(generation_mode=mode)
        checked = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))(given(strategy)(answers))
        try:
            checked()
        except Unsatisfiable:  # nothing of this operation can be wrong: it takes no input
            assert mode == GenerationMode.NEGATIVE and found.ok().path in ("/healthz", "/metrics")
        seen += 1
    assert seen >= 16


def test_the_document_lists_every_refusal(node):
    paths = node[1].api().openapi()["paths"]
    statuses = {str(kind.status) for kind in Refusal.__subclasses__()}
    for path, operations in paths.items():
        for operation in operations.values():
            assert path == "/healthz" or statuses <= set(operation["responses"])
            assert operation["description"]


def test_every_route_but_health_needs_a_credential(node):
    for path, operations in node[1].api().openapi()["paths"].items():
        assert all(("security" in operation) != (path == "/healthz") for operation in operations.values()), path
