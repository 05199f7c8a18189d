"""A real listener under TLS: clients known by certificate, tokens beside them, and strangers outside."""
from __future__ import annotations

import asyncio
import hashlib
import shutil
import ssl

import httpx
import pytest
from cryptography.hazmat.primitives import serialization

from parties.bank.service.listeners import bound, http_server, serve_http
from parties.bank.service.settings import DecisionsConfig
from protocols.errors import ConfigError
from tests.parties.bank.service.support import Platform, bearer, make_home, make_service
from tests.tls_files import certificate

pytestmark = pytest.mark.slow  # processes, servers or many threads at once

TLS = """
[decisions.tls]
certificate = "server.crt"
key = "server.key"
clients = "clients.crt"

[decisions.clients.gateway]
role = "operator"
certificate = "{}"
"""


def trusting(folder, client=None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "server.crt"))
    if client:
        context.load_cert_chain(folder / f"{client}.crt", folder / f"{client}.key")
    return context


def test_clients_are_known_by_certificate_or_token(tmp_path):
    certificate(tmp_path, "server")
    authority = certificate(tmp_path, "clients")
    gateway, _ = certificate(tmp_path, "gateway", authority)
    certificate(tmp_path, "unknown", authority)
    certificate(tmp_path, "stranger", certificate(tmp_path, "elsewhere"))
    digest = hashlib.sha256(gateway.public_bytes(serialization.Encoding.DER)).hexdigest()
    (tmp_path / "bank").mkdir(mode=0o700)
    for name in ("server.crt", "server.key", "clients.crt"):
        shutil.copy(tmp_path / name, tmp_path / "bank" / name)
    file = make_home(tmp_path / "bank", TLS.format(digest))
    service = make_service(file, Platform())

    async def steps():
        stop, listener = asyncio.Event(), bound("127.0.0.1:0", "listen")
        base = f"https://localhost:{listener.getsockname()[1]}"
        server = http_server(service.app(), file.parent, service.node.config.tls)
        serving = asyncio.create_task(serve_http(server, listener, stop))
        try:
            for shown, headers, expected in (("gateway", {}, 200), ("unknown", {}, 401), (None, {}, 401),
                                             (None, bearer(file, "operator"), 200),
                                             ("gateway", bearer(file, "channel"), 403)):
                async with httpx.AsyncClient(verify=trusting(tmp_path, shown)) as http:
                    assert (await http.get(base + "/metrics", headers=headers)).status_code == expected, shown
            async with httpx.AsyncClient(verify=trusting(tmp_path, "stranger")) as http:
                with pytest.raises(httpx.TransportError):
                    await http.get(base + "/healthz")
        finally:
            stop.set()
            await serving
            await service.close()

    asyncio.run(steps())


def test_an_address_in_use_is_named():
    taken = bound("127.0.0.1:0", "decisions.listen")
    try:
        with pytest.raises(ConfigError, match="decisions.listen"):
            bound(f"127.0.0.1:{taken.getsockname()[1]}", "decisions.listen")
    finally:
        taken.close()


def test_tls_files_that_do_not_belong_together_are_refused(tmp_path):
    certificate(tmp_path, "server")
    certificate(tmp_path, "other")
    tls = DecisionsConfig.model_validate(
        {"listen": "127.0.0.1:1", "tls": {"certificate": "server.crt", "key": "other.key"}}).tls
    with pytest.raises(ConfigError, match="belong together"):
        http_server(None, tmp_path, tls).config.load()
