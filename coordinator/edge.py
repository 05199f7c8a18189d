"""The TLS front that parties reach: forwards SuperNode traffic (`/v1/fleet/*`) to the SuperLink and nothing else.

Flower serves its control and runtime APIs, which have no user authentication, on the same port as the fleet API. Only
this front listens beyond loopback; every other path is 404 here, whatever its encoding.
`python -m coordinator.edge --listen HOST:PORT --upstream HOST:PORT --home HOME`
"""
from __future__ import annotations

import argparse
import re
import ssl
from pathlib import Path

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from coordinator.config import split_address
from protocols.node.protection import path_for_children

MAX_BODY_BYTES = 32 * 1024 * 1024  # Flower sends objects in pieces of 5 MB
_ALLOWED = re.compile(rb"/v1/fleet/[a-z]+(-[a-z]+)*")
_HOP_BY_HOP = {"host", "connection", "transfer-encoding", "content-length", "content-encoding", "accept-encoding"}


def make_app(client: httpx.AsyncClient) -> Starlette:
    """An ASGI application that forwards fleet calls through `client` (its base URL is the SuperLink)."""

    async def forward(request: Request) -> Response:
        path = request.scope.get("raw_path") or b""
        if request.method != "POST" or not _ALLOWED.fullmatch(path):
            return PlainTextResponse("not found", 404)
        body = await _bounded_body(request)
        if body is None:
            return PlainTextResponse("body too large", 413)
        headers = [(k, v) for k, v in request.headers.items() if k not in _HOP_BY_HOP]
        try:
            reply = await client.post(path.decode("ascii"), content=body, headers=headers)
        except httpx.HTTPError:
            return PlainTextResponse("the SuperLink does not answer", 503)
        kept = {k: v for k, v in reply.headers.items() if k not in _HOP_BY_HOP}
        return Response(reply.content, reply.status_code, kept)

    app = Starlette()
    app.router.default = _as_endpoint(forward)
    return app


def _as_endpoint(forward):
    """Every path goes to `forward`: no router normalises or redirects a path before it is compared."""

    async def endpoint(scope, receive, send) -> None:
        if scope["type"] == "http":
            response = await forward(Request(scope, receive))
            await response(scope, receive, send)

    return endpoint


async def _bounded_body(request: Request) -> bytes | None:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(prog="coordinator.edge")
    for name in ("--listen", "--upstream", "--home"):
        parser.add_argument(name, required=True)
    options = parser.parse_args()
    tls, (host, port) = Path(options.home) / "tls", split_address(options.listen)
    trust = ssl.create_default_context(cafile=str(tls / "ca.crt"))
    client = httpx.AsyncClient(base_url=f"https://{options.upstream}", verify=trust, timeout=60, trust_env=False)
    uvicorn.run(
        make_app(client), host=host, port=port, ssl_certfile=tls / "node.crt",
        ssl_keyfile=path_for_children(tls / "node.key"), access_log=False, log_level="warning",
        timeout_graceful_shutdown=2, server_header=False,
    )


if __name__ == "__main__":
    main()
