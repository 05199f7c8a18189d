"""The front forwards fleet calls and answers 404 to everything else, however it is spelt."""
from __future__ import annotations

import asyncio
from urllib.parse import unquote

import httpx
import pytest

from coordinator.edge import MAX_BODY_BYTES, make_app


class Front:
    """Speaks ASGI to the front, so that a path arrives exactly as it was written."""

    def __init__(self, fail: bool = False):
        self.seen: list[httpx.Request] = []
        self.fail, self.status, self.headers, self.content = fail, 0, {}, b""

    def ask(self, method: str, path: str, content: bytes = b"body") -> Front:
        asyncio.run(self._drive(method, path, content))
        return self

    async def _drive(self, method: str, path: str, content: bytes) -> None:
        scope = {
            "type": "http", "http_version": "1.1", "method": method, "scheme": "https", "query_string": b"",
            "path": unquote(path), "raw_path": path.encode(), "headers": [(b"x-node", b"7")], "server": ("front", 443),
        }
        events = iter([{"type": "http.request", "body": content, "more_body": False}])

        async def receive() -> dict:
            return next(events)

        transport = httpx.MockTransport(self._superlink)
        async with httpx.AsyncClient(transport=transport, base_url="https://superlink") as client:
            await make_app(client)(scope, receive, self._take)

    async def _superlink(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        if self.fail:
            raise httpx.ConnectError("down")
        return httpx.Response(200, content=b"reply", headers={"x-flower": "1"})

    async def _take(self, event: dict) -> None:
        if event["type"] == "http.response.start":
            self.status, self.headers = event["status"], dict(event["headers"])
        else:
            self.content += event.get("body", b"")


def test_fleet_calls_pass_with_body_and_headers():
    front = Front().ask("POST", "/v1/fleet/pull-messages", b"abc")
    assert (front.status, front.content, front.headers[b"x-flower"]) == (200, b"reply", b"1")
    assert front.seen[0].url == "https://superlink/v1/fleet/pull-messages"
    assert front.seen[0].content == b"abc" and front.seen[0].headers["x-node"] == "7"


@pytest.mark.parametrize(
    "path",
    [
        "/", "/health", "/v1/control/list-runs", "/v1/control/start-run", "/v1/runtime/acquire-task", "/v1/fleet",
        "/v1/fleet/", "/v1/fleet/../control/list-runs", "/v1/fleet/%2e%2e/control/list-runs", "//v1/fleet/get-run",
        "/v1/fleet/x/../../control/list-runs", "/v1/fleet/..%2fcontrol/list-runs", "/V1/FLEET/get-run",
        "/v1/fleet/get-run/", "/v1/fleet/get-run%00", "/v1/fleet/pull-messages;x", "/v1/control/../fleet/get-run",
        "/v1/fleet\\..\\control\\list-runs",
    ],
)
def test_every_other_path_is_404_and_reaches_nothing(path: str):
    front = Front().ask("POST", path)
    assert front.status == 404 and front.seen == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_other_methods_are_404(method: str):
    front = Front().ask(method, "/v1/fleet/get-run")
    assert front.status == 404 and front.seen == []


def test_too_large_bodies_are_refused():
    front = Front().ask("POST", "/v1/fleet/push-object", b"x" * (MAX_BODY_BYTES + 1))
    assert front.status == 413 and front.seen == []


def test_a_superlink_that_is_down_is_503():
    assert Front(fail=True).ask("POST", "/v1/fleet/get-run").status == 503
