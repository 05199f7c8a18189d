"""A lean HTTP/1.1 client for load: connections that stay open, one request on each at a time, as many as are needed.

A general client costs about as much CPU per request as the service that it measures, on the same two cores.
"""
from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from urllib.parse import urlsplit

MOST_CONNECTIONS = 512


@dataclass
class HttpTarget:
    """POSTs to one URL. `headers`: of every request; `ssl`: None for plain HTTP."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    context: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise ValueError(f"expected a URL such as https://127.0.0.1:8443/v1/applications, got {self.url}")
        self._host, self._port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
        self._path = parts.path or "/"
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._places = asyncio.Semaphore(MOST_CONNECTIONS)

    async def post(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """(status, body); ConnectionError when the server hung up."""
        async with self._places:
            reader, writer = self._kept() or await asyncio.open_connection(self._host, self._port, ssl=self.context)
            try:
                writer.write(self._head(body, headers) + body)
                status, answer, stays = await _answer(reader)
            except BaseException:
                writer.close()
                raise
            if stays:
                self._free.append((reader, writer))
            else:
                writer.close()
            return status, answer

    def _kept(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """A connection that is still open; the service closes those that were not used for a while."""
        while self._free:
            reader, writer = self._free.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return None

    def _head(self, body: bytes, headers: dict[str, str]) -> bytes:
        told = {"Host": f"{self._host}:{self._port}", "Content-Type": "application/json",
                "Content-Length": str(len(body)), **self.headers, **headers}
        lines = [f"POST {self._path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items()), "", ""]
        return "\r\n".join(lines).encode("ascii")

    async def close(self) -> None:
        """Close the connections."""
        for _, writer in self._free:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for _, writer in self._free), return_exceptions=True)
        self._free.clear()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = await _chunks(reader) if fields.get("transfer-encoding") == "chunked" else \
        await reader.readexactly(int(fields.get("content-length", "0")))
    return int(first.split(" ", 2)[1]), body, fields.get("connection", "").lower() != "close"


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(parts)


def tls(authority: str | None, certificate: str | None, key: str | None) -> ssl.SSLContext:
    """Trusts `authority` (a PEM file; the system's without one), shows a client certificate if there is one."""
    context = ssl.create_default_context(cafile=authority)
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context
