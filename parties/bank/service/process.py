"""`sealscore bank decisions serve`: one process and event loop, or several on one store, until SIGTERM or SIGINT."""
from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import typer

from parties.bank.service.assembly import Node, Place, Service
from parties.bank.service.board import Board
from parties.bank.service.grpc_app import serve_grpc
from parties.bank.service.listeners import HttpServer, bound, http_server, reserved, serve_http
from parties.bank.service.workers import Ready, Watcher
from parties.runtime.scoring.persons import PersonKey

READY = "decisions-ready.json"
SWITCH_S = 0.0005  # the loop waits no longer for the thread that writes; Python's own 5 ms add up over a decision


def run(node: Node) -> None:
    """Serve; SealscoreError before anything is answered when the node is not ready for it."""
    sys.setswitchinterval(SWITCH_S)
    try:
        if node.config.workers == 1:
            _alone(node)
        else:
            _together(node)
    finally:
        (node.party.state / READY).unlink(missing_ok=True)


def _alone(node: Node) -> None:
    service = Service(node)
    with contextlib.closing(bound(node.config.listen, "decisions.listen")) as listener:
        _work(service, listener, lambda grpc: _ready(node, listener, grpc))


def _together(node: Node) -> None:
    PersonKey.load(node.party.home)  # made once, not by each
    node.rulebook()  # an error in it is told before anything is bound
    with contextlib.closing(bound(node.config.listen, "decisions.listen")) as listener, _grpc(node) as (node, grpc):
        board = Board(node.config.workers)

        def work(number: int, life: int, ready: Ready) -> None:
            service = Service(node, place=Place(number, node.config.workers, board))
            _work(service, listener, lambda address: ready(), life)

        Watcher(node.config.workers, work, lambda: _ready(node, listener, grpc)).run()


@contextlib.contextmanager
def _grpc(node: Node) -> Iterator[tuple[Node, str | None]]:
    """The node with a port that all its workers listen at, held while the context lasts; and that address."""
    if node.config.grpc is None:
        yield node, None
        return
    with contextlib.closing(reserved(node.config.grpc, "decisions.grpc")) as held:
        address = _shown(held.getsockname())
        yield replace(node, config=node.config.model_copy(update={"grpc": address})), address


def _work(service: Service, listener: socket.socket, ready: Callable[[str | None], None], life: int | None = None
          ) -> None:
    """One process's part: until a signal, or until `life` ends."""
    server = http_server(service.app(), service.node.party.home, service.node.config.tls)
    server.config.load()
    gc.collect()
    gc.freeze()  # what lives as long as the process is not looked through again and again
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        try:
            runner.run(_serve(service, server, listener, ready, life))
        finally:
            gc.unfreeze()
            runner.run(service.close())


async def _serve(service: Service, server: HttpServer, listener: socket.socket,
                 ready: Callable[[str | None], None], life: int | None) -> None:
    stop = _stop_of(life)
    tasks = [asyncio.create_task(one) for one in service.chores()]
    http = asyncio.create_task(serve_http(server, listener, stop))
    try:
        async with serve_grpc(service) as grpc_address:
            ready(grpc_address)
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


def _stop_of(life: int | None) -> asyncio.Event:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if life is not None:
        loop.add_reader(life, stop.set)  # readable only once its other end is closed
    return stop


def _ready(node: Node, listener: socket.socket, grpc: str | None) -> None:
    told = {"ready": True, "party": node.party.name, "pid": os.getpid(), "http": _shown(listener.getsockname()),
            "grpc": grpc}
    (node.party.state / READY).write_text(json.dumps(told), encoding="utf-8")
    typer.echo(json.dumps(told))


def _shown(name: tuple) -> str:
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"
