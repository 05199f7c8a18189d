"""The HTTP interface: FastAPI routes over the use cases, and their OpenAPI document at /openapi.json."""
from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Header, Query, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from parties.bank.decision.record import Outcome
from parties.bank.service import http_guard as guard
from parties.bank.service import messages as m
from parties.bank.service.credentials import Credentials
from parties.bank.service.experiment_cases import ExperimentCases
from parties.bank.service.http_common import ApplicationPath, By, PersonPath, ReferencePath, Why, told
from parties.bank.service.http_experiments import add_experiments
from parties.bank.service.http_limits import add_limits
from parties.bank.service.http_loans import add_loans
from parties.bank.service.limit_signals import LimitSignals
from parties.bank.service.loan_cases import LoanCases
from parties.bank.service.metrics import CONTENT_TYPE
from parties.bank.service.openapi import described
from parties.bank.service.refusals import Refusal
from parties.bank.service.use_cases import UseCases

Key = Annotated[str, Header(alias="Idempotency-Key", pattern=r"^[A-Za-z0-9._:-]{8,64}$", description="a key of the "
                            "caller's own, new for every new application")]


def http_app(use: UseCases, loans: LoanCases, experiments: ExperimentCases, signals: LimitSignals,
             credentials: Credentials, version: str) -> FastAPI:
    """The app; the guard of http_guard.py belongs around it."""
    app = FastAPI(title="Sealscore decision service", version=version, docs_url=None, redoc_url=None,
                  redirect_slashes=False)
    app.state.use, app.state.credentials = use, credentials
    app.add_exception_handler(Refusal, guard.on_refusal)
    app.add_exception_handler(RequestValidationError, guard.on_invalid)
    app.add_exception_handler(HTTPException, guard.on_http_error)
    app.add_exception_handler(Exception, guard.on_fault)
    _applications(app, use)
    _reviews(app, use)
    _people(app, use)
    add_loans(app, loans)
    add_experiments(app, experiments)
    add_limits(app, signals)
    _process(app, use)
    app.openapi = lambda: described(app)  # type: ignore[method-assign]
    return app


def _applications(app: FastAPI, use: UseCases) -> None:
    @app.post("/v1/applications", status_code=201, response_model=m.Answer, tags=["applications"])
    async def submit(by: By, key: Key, submission: m.Submission) -> Response:
        """Decide an application. The answer is durable when it comes; the same key gives the same answer again."""
        kept = await use.submit(by, key, submission)
        headers = {} if kept.first else {"idempotency-replayed": "true"}
        return Response(kept.body, kept.status, headers, "application/json")

    @app.get("/v1/applications", response_model=m.Page, tags=["applications"])
    async def applications(by: By, why: Why, cursor: Annotated[str | None, Query(max_length=256)] = None,
                           limit: Annotated[int, Query(ge=1, le=200)] = 50,
                           outcome: Annotated[Outcome | None, Query()] = None) -> Response:
        """Decisions, the newest first."""
        return told(await use.list(by, why, cursor, limit, outcome))

    @app.get("/v1/applications/{application_id}", response_model=m.Progress, tags=["applications"])
    async def progress(by: By, application_id: ApplicationPath) -> Response:
        """How an application stands: what was decided and why, and its review."""
        return told(await use.progress(by, application_id))

    @app.get("/v1/applications/{application_id}/record", response_model=m.Record, tags=["applications"])
    async def record(by: By, application_id: ApplicationPath, why: Why) -> Response:
        """The whole decision record: inputs, rules, versions."""
        return told(await use.record(by, application_id, why))


def _reviews(app: FastAPI, use: UseCases) -> None:
    @app.post("/v1/applications/{application_id}/review", response_model=m.ReviewState, tags=["reviews"])
    async def ask_review(by: By, application_id: ApplicationPath, request: m.ReviewRequest) -> Response:
        """Have a person of the bank look again."""
        return told(await use.ask_review(by, application_id, request))

    @app.put("/v1/applications/{application_id}/review", response_model=m.ReviewState, tags=["reviews"])
    async def decide_review(by: By, application_id: ApplicationPath, decision: m.ReviewDecision) -> Response:
        """An officer's finding, once."""
        return told(await use.decide_review(by, application_id, decision))

    @app.get("/v1/reviews", response_model=m.Waitings, tags=["reviews"])
    async def reviews(by: By, why: Why) -> Response:
        """Reviews that wait, the oldest first."""
        return told(await use.reviews(by, why))


def _people(app: FastAPI, use: UseCases) -> None:
    @app.post("/v1/persons", response_model=m.PersonFound, tags=["persons"])
    async def person(by: By, query: m.CustomerQuery) -> Response:
        """The keyed hash of a customer's identifier, so that no identifier stands in a path."""
        return told(use.person(by, query))

    @app.get("/v1/persons/{person}", response_model=m.PersonState, tags=["persons"])
    async def person_state(by: By, person: PersonPath) -> Response:
        """A person's consents and switch."""
        return told(await use.person_state(by, person))

    @app.delete("/v1/persons/{person}", status_code=202, response_model=m.DeletionState, tags=["persons"])
    async def delete_person(by: By, person: PersonPath) -> Response:
        """Queue the deletion of what is kept about a person; their services are switched off at once."""
        return told(await use.ask_deletion(by, person), 202)

    @app.post("/v1/persons/{person}/consents", response_model=m.PersonState, tags=["persons"])
    async def give_consent(by: By, person: PersonPath, consent: m.ConsentGiven) -> Response:
        """Keep one consent: one inquiry, one purpose, an end."""
        return told(await use.give_consent(by, person, consent))

    @app.delete("/v1/persons/{person}/consents/{reference}", response_model=m.PersonState, tags=["persons"])
    async def withdraw_consent(by: By, person: PersonPath, reference: ReferencePath) -> Response:
        """Withdraw one consent at once."""
        return told(await use.withdraw_consent(by, person, reference))

    @app.put("/v1/persons/{person}/switch", response_model=m.PersonState, tags=["persons"])
    async def switch(by: By, person: PersonPath, switch: m.Switch) -> Response:
        """Switch financial services off, which stops scoring at once, or on again."""
        return told(await use.switch(by, person, switch))

    @app.get("/v1/persons/{person}/accesses", response_model=m.Accesses, tags=["persons"])
    async def accesses(by: By, person: PersonPath, why: Why) -> Response:
        """Who read what about a person."""
        return told(await use.accesses(by, person, why))


def _process(app: FastAPI, use: UseCases) -> None:
    @app.get("/healthz", response_model=m.Health, tags=["process"])
    async def healthz() -> Response:
        """Whether the service answers; needs no credential and says nothing of anybody."""
        return told(use.health())

    @app.get("/metrics", response_class=Response, tags=["process"],
             responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}})
    async def metrics(by: By) -> Response:
        """Prometheus's text format."""
        return Response(use.metrics(by), headers={"content-type": CONTENT_TYPE})
