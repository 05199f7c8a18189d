"""Listeners of the service: TLS of its own, and the client's certificate handed on to the application."""
from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from parties.bank.service.settings import TlsConfig, beside
from protocols.errors import ConfigError
from protocols.node.identity_files import read_private
from protocols.node.protection import in_memory_file
from protocols.node.tls import split_address

GRACE_S = 10


class CertifiedHttp(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's protocol; what TLS has verified of the client stands in the request's state."""

    def connection_made(self, transport: Any) -> None:
        """Note the certificate (DER), None where there is none."""
        super().connection_made(transport)
        secured = transport.get_extra_info("ssl_object")
        shown = secured.getpeercert(binary_form=True) if secured is not None else None
        self.app_state = {**self.app_state, "certificate": shown}


class HttpServer(uvicorn.Server):
    """uvicorn without its signal handlers: the process has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured."""
        yield


def http_server(app: ASGIApp, home: Path, tls: TlsConfig | None) -> HttpServer:
    """Not yet listening."""
    secured = {} if tls is None else {"ssl_context_factory": lambda config, default: ssl_context(home, tls)}
    return HttpServer(uvicorn.Config(
        app, http=CertifiedHttp, ws="none", lifespan="off", log_config=None, access_log=False, server_header=False,
        proxy_headers=False, date_header=False, timeout_keep_alive=75, timeout_graceful_shutdown=GRACE_S,
        h11_max_incomplete_event_size=32 * 1024, **secured))


def bound(address: str, setting: str) -> socket.socket:
    """A listening socket; ConfigError when the address is not free."""
    listener = _bound(address, setting, socket.SO_REUSEADDR)
    listener.listen(1024)
    return listener


def reserved(address: str, setting: str) -> socket.socket:
    """A socket that holds the address for several processes that will listen there; ConfigError when it is not free."""
    with contextlib.closing(_bound(address, setting, socket.SO_REUSEADDR)) as free:
        host, port = free.getsockname()[:2]
    return _bound(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", setting, socket.SO_REUSEPORT)


def _bound(address: str, setting: str, option: int) -> socket.socket:
    host, port = (address[:-2].strip("[]"), 0) if address.endswith(":0") else split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, option, 1)
    try:
        listener.bind((host, port))
    except OSError as fault:
        listener.close()
        raise ConfigError(f"{setting} = {address!r}: {(fault.strerror or 'cannot listen').lower()}; choose another "
                          "address") from None
    return listener


def ssl_context(home: Path, tls: TlsConfig) -> ssl.SSLContext:
    """TLS 1.3; a client's certificate is asked for where clients' authority is configured, and may be left out."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    key = read_private(beside(home, tls.key))
    try:
        with in_memory_file(key) as file:
            context.load_cert_chain(beside(home, tls.certificate), file)
        if tls.clients is not None:
            context.load_verify_locations(beside(home, tls.clients))
            context.verify_mode = ssl.CERT_OPTIONAL
    except (OSError, ssl.SSLError) as fault:
        raise ConfigError(f"[decisions.tls]: certificate, key and clients cannot be used ({fault.__class__.__name__}: "
                          f"{fault.strerror or fault}); give PEM files that belong together") from None
    return context


def grpc_credentials(home: Path, tls: TlsConfig) -> grpc.ServerCredentials:
    """The same for gRPC, where a configured authority makes a client's certificate necessary: Python's gRPC verifies no
    optional one."""
    authority = None if tls.clients is None else beside(home, tls.clients).read_bytes()
    pair = (read_private(beside(home, tls.key)), beside(home, tls.certificate).read_bytes())
    return grpc.ssl_server_credentials([pair], authority, require_client_auth=authority is not None)


async def serve_http(server: HttpServer, listener: socket.socket, stop: asyncio.Event) -> None:
    """Until `stop`; calls that are being answered get their answer."""
    running = asyncio.create_task(server.serve(sockets=[listener]))
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    waiting.cancel()
    await running
