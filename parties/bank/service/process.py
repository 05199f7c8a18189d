"""`sealscore bank decisions serve`: one process, one event loop, until SIGTERM or SIGINT."""
from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys

import typer

from parties.bank.service.assembly import Node, Service
from parties.bank.service.grpc_app import serve_grpc
from parties.bank.service.listeners import HttpServer, bound, http_server, serve_http

log = logging.getLogger("sealscore.decisions")
READY = "decisions-ready.json"
SWITCH_S = 0.0005  # the loop waits no longer for the thread that writes; Python's own 5 ms add up over a decision


def run(node: Node) -> None:
    """Serve; SealscoreError before anything listens when the node is not ready for it."""
    sys.setswitchinterval(SWITCH_S)
    service = Service(node)
    server = http_server(service.app(), node.party.home, node.config.tls)
    server.config.load()
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        try:
            runner.run(_serve(service, server))
        finally:
            runner.run(service.close())
            (node.party.state / READY).unlink(missing_ok=True)


async def _serve(service: Service, server: HttpServer) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    config = service.node.config
    listener = bound(config.listen, "decisions.listen")
    tasks = [asyncio.create_task(one) for one in (service.keep_house(), service.revocations.run())]
    http = asyncio.create_task(serve_http(server, listener, stop))
    try:
        async with serve_grpc(service) as grpc_address:
            _ready(service, _shown(listener.getsockname()), grpc_address)
            await asyncio.wait({http, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            service.stopping = True
    finally:
        stop.set()
        await http
        for task in tasks:
            task.cancel()
        for fault in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(fault, Exception):
                raise fault


def _ready(service: Service, http: str, grpc: str | None) -> None:
    party = service.node.party
    told = {"ready": True, "party": party.name, "pid": os.getpid(), "http": http, "grpc": grpc}
    (party.state / READY).write_text(json.dumps(told), encoding="utf-8")
    typer.echo(json.dumps(told))


def _shown(name: tuple) -> str:
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"
