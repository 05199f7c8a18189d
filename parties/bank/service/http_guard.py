"""What stands before every HTTP call: a bound on its body, counters, headers; and how a refusal is written.

Refusals are problem documents (RFC 9457) of one sentence without any data of the request.
"""
from __future__ import annotations

import logging
from http import HTTPStatus

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from parties.bank.service.messages import Problem
from parties.bank.service.metrics import Metrics
from parties.bank.service.refusals import BadRequest, Refusal, TooLarge, Unprocessable

log = logging.getLogger("sealscore.decisions")
PROBLEM_TYPE = "application/problem+json"
_HEADERS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
_TOLD = 3  # mistakes of a body that are named; more are counted
_WORDS = {404: "there is nothing at this path; /openapi.json lists what there is",
          405: "this path does not take this method; /openapi.json lists what it takes"}


def problem(refusal: Refusal) -> Response:
    """The response that stands for a refusal."""
    return _response(refusal.status, refusal.slug, str(refusal), _retry(refusal))


def _response(status: int, slug: str, sentence: str, headers: dict[str, str]) -> Response:
    title = HTTPStatus(status).phrase
    body = Problem(type=f"urn:sealscore:problem:{slug}", title=title, status=status, detail=sentence)
    return Response(body.model_dump_json(), status, headers, PROBLEM_TYPE)


def _retry(refusal: Refusal) -> dict[str, str]:
    headers = {} if refusal.retry_after_s is None else {"retry-after": str(refusal.retry_after_s)}
    return headers | ({"www-authenticate": "Bearer"} if refusal.status == 401 else {})


async def on_refusal(request: Request, error: Exception) -> Response:
    """Of the layers below."""
    return problem(error if isinstance(error, Refusal) else BadRequest(str(error)))


async def on_invalid(request: Request, error: Exception) -> Response:
    """Of FastAPI's validation: names fields, never their values."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    if any(one["type"] == "json_invalid" for one in found):
        return problem(BadRequest("expected a body of valid JSON, got something else; correct the body"))
    told = [f"{_place(one['loc'])}: {one['msg']}" for one in found[:_TOLD]]
    more = f" (and {len(found) - _TOLD} more)" if len(found) > _TOLD else ""
    return problem(Unprocessable("; ".join(told)[:2000] + more))


def _place(parts: tuple[str | int, ...]) -> str:
    """A field's path. Names of unknown fields come from the caller: shortened, and nothing unprintable."""
    text = ".".join(str(part)[:64] for part in parts[:8])
    return "".join(letter if letter.isprintable() else "?" for letter in text)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Of the router: no such path or method, a body that cannot be read."""
    status = error.status_code if isinstance(error, HTTPException) else 400
    slug = HTTPStatus(status).phrase.lower().replace(" ", "-")
    headers = dict(getattr(error, "headers", None) or {})
    return _response(status, slug, _WORDS.get(status, "the body cannot be read as JSON; correct it"), headers)


async def on_fault(request: Request, error: Exception) -> Response:
    """A fault of ours: the caller hears no more than that; the log keeps the rest."""
    return _response(500, "fault", "the service failed at this request and logged why; repeat it with the same key", {})


class Guard:
    """Outermost: reads the body within its bound, so that nothing behind it meets an endless one."""

    def __init__(self, app: ASGIApp, metrics: Metrics, body_bytes: int):
        self._app, self._metrics, self._body_bytes = app, metrics, body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await self._body(scope, receive)
        except Refusal as refusal:
            self._count(scope, refusal.status)
            await problem(refusal)(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), self._counting(scope, send))

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        said = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not said.isdigit() or int(said[:20]) > self._body_bytes:
            raise TooLarge(f"expected a body of at most {self._body_bytes} bytes; send less")
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message["type"] == "http.request" and message.get("more_body", False)
            if len(body) > self._body_bytes:
                raise TooLarge(f"expected a body of at most {self._body_bytes} bytes; send less")
        return body

    def _counting(self, scope: Scope, send: Send) -> Send:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._count(scope, message["status"])
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        return counted

    def _count(self, scope: Scope, status: int) -> None:
        route = getattr(scope.get("route"), "path", "none")
        self._metrics.count("http_requests", route=route, status=str(status))


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body once, then whatever comes next: the caller hanging up."""
    given = False

    async def once() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return once
