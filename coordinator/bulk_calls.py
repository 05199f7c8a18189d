"""The hub's calls about bulks: Put, Get and Drop over `BulkStore`. The sender's name comes from its certificate."""
from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

from grpc import StatusCode

from coordinator.bulk import BulkStore, RunBulks, Slot
from coordinator.bulk_usage import UsageFiles
from coordinator.hub_calls import ENDED, Callers, HubRegistry, Refused, answering
from protocols.errors import MalformedMessage
from protocols.wire import codec
from protocols.wire.hub_pb2 import BulkAck, BulkChunk, BulkHeader, BulkOffer, BulkRequest, NotReady

CHUNK_DEADLINE_S = 30.0  # a party that neither sends nor takes a chunk for so long loses the call
MAX_REQUEST_BYTES = 1024

log = logging.getLogger("sealscore.hub")


class BulkCalls:
    """The handlers; `forget_ended` is to be called from time to time."""

    def __init__(self, registry: HubRegistry, callers: Callers, store: BulkStore, files: UsageFiles | None = None):
        self._registry, self._callers, self._store, self._files = registry, callers, store, files

    async def put(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        """Take one contribution: its header, then its data."""
        async with answering(context):
            header, size = await self._header(requests, context)
            with self._store.call(header.run, header.sender) as bulks:
                known = self._store.is_known(bulks, header) or await self._take(bulks, header, requests)
                bulks.usage.puts += 1
                bulks.usage.bytes_in += size
        return codec.encode(BulkAck(known=known))

    async def get(self, request: bytes, context: Any) -> None:
        """Give a bulk to one of its receivers, waiting for it as long as the request says."""
        async with answering(context):
            wanted = await self._request(request, context)
            with self._store.call(wanted.run, wanted.party) as bulks:
                slot = await self._store.wait(bulks, wanted.slot, wanted.party, wanted.wait_ms / 1000)
                if slot is None or slot.pieces is None:
                    await context.write(_not_ready(slot))
                else:
                    await self._give(bulks, slot, context)

    async def drop(self, request: bytes, context: Any) -> bytes:
        """Note that a receiver needs a bulk no more; of a run that has ended there is nothing left to drop."""
        async with answering(context):
            wanted = await self._request(request, context, may_have_ended=True)
            if wanted.wait_ms:
                raise MalformedMessage("BulkRequest.wait_ms: expected 0 on Drop")
            if wanted.run in self._store.runs:
                with self._store.call(wanted.run, wanted.party) as bulks:
                    self._store.drop(bulks, wanted.slot, wanted.party)
        return codec.encode(BulkAck())

    async def forget_ended(self) -> None:
        """Let go of runs that have ended, and write down what the others used."""
        for run in self._store.runs:
            try:
                ended = await asyncio.to_thread(self._registry.run_state, run) in (*ENDED, None)
            except Exception:  # noqa: BLE001 - the registry may be any database; its fault must not stop the hub
                log.exception("cannot read the state of run %s", run)
                continue
            await self._write_usage(run, ended)
            if ended:
                self._store.forget(run)

    async def write_usage(self) -> None:
        """Write down what all runs used."""
        for run in self._store.runs:
            await self._write_usage(run, ended=False)

    async def _write_usage(self, run: str, ended: bool) -> None:
        if self._files is None:
            return
        try:
            await asyncio.to_thread(self._files.write, run, self._store.usage(run), ended)
        except OSError as error:
            log.warning("cannot write what run %s used: %s", run, error.strerror)

    async def _header(self, requests: AsyncIterator[bytes], context: Any) -> tuple[BulkHeader, int]:
        """The checked header of a put by a party of a run that goes on, and the bytes of its frame."""
        data = await _next(requests)
        first = codec.decode(BulkChunk, data, codec.MAX_FRAME_BYTES) if data is not None else BulkChunk()
        if first.WhichOneof("body") != "header":
            raise MalformedMessage("expected a first chunk with the header")
        self._callers.check_sender(first.header.sender, context)
        parties = await self._parties(first.header.run, first.header.sender)
        if strangers := sorted({*first.header.receivers, *first.header.contributors} - parties):
            raise Refused(StatusCode.PERMISSION_DENIED, f"{strangers[0]} is no party of run {first.header.run}")
        return first.header, len(data or b"")

    async def _request(self, request: bytes, context: Any, may_have_ended: bool = False) -> BulkRequest:
        wanted = codec.decode(BulkRequest, request, MAX_REQUEST_BYTES)
        self._callers.check_sender(wanted.party, context)
        await self._parties(wanted.run, wanted.party, may_have_ended)
        return wanted

    async def _parties(self, run: str, party: str, may_have_ended: bool = False) -> frozenset[str]:
        standing = await self._callers.check_member(run, party)
        if standing.state in ENDED and not may_have_ended:
            raise Refused(StatusCode.FAILED_PRECONDITION, f"run {run} has ended ({standing.state})")
        return standing.parties

    async def _take(self, bulks: RunBulks, header: BulkHeader, requests: AsyncIterator[bytes]) -> bool:
        """Read the data of a put and keep it; True if it was there already."""
        with self._store.room(bulks, header) as claim:
            pieces: list[bytes] = []
            for number in range(codec.chunk_count(header.size)):
                data = await _next(requests)
                pieces.append(_piece(data, codec.chunk_length(header.size, number)))
                bulks.usage.bytes_in += len(data or b"")
            if await _next(requests) is not None:
                raise MalformedMessage("expected no chunk after the last one")
            return await self._store.keep(bulks, header, pieces, claim)

    async def _give(self, bulks: RunBulks, slot: Slot, context: Any) -> None:
        digest = slot.digests[slot.owner] if not slot.contributors else b""
        offer = BulkOffer(sender="" if slot.contributors else slot.owner, size=slot.size, sha256=digest)
        await self._write(bulks, BulkChunk(offer=offer), context)
        for piece in slot.pieces or ():
            await self._write(bulks, BulkChunk(data=piece), context)
        bulks.usage.gets += 1

    async def _write(self, bulks: RunBulks, chunk: BulkChunk, context: Any) -> None:
        bulks.check_alive()
        data = codec.encode(chunk)
        try:
            await asyncio.wait_for(context.write(data), CHUNK_DEADLINE_S)
        except TimeoutError:
            raise Refused(StatusCode.DEADLINE_EXCEEDED, f"no chunk was taken for {CHUNK_DEADLINE_S:.0f} s") from None
        bulks.usage.bytes_out += len(data)


def _not_ready(slot: Slot | None) -> bytes:
    return codec.encode(BulkChunk(not_ready=NotReady(missing=slot.missing if slot else [])))


def _piece(data: bytes | None, length: int) -> bytes:
    """The data of a chunk that must have `length` bytes."""
    chunk = codec.decode(BulkChunk, data, codec.MAX_FRAME_BYTES) if data is not None else BulkChunk()
    if chunk.WhichOneof("body") != "data" or len(chunk.data) != length:
        raise MalformedMessage(f"expected a chunk with {length} bytes of data")
    return chunk.data


async def _next(requests: AsyncIterator[bytes]) -> bytes | None:
    """The next frame of a call; None at its end."""
    try:
        return await asyncio.wait_for(anext(requests), CHUNK_DEADLINE_S)
    except StopAsyncIteration:
        return None
    except TimeoutError:
        raise Refused(StatusCode.DEADLINE_EXCEEDED, f"no chunk came for {CHUNK_DEADLINE_S:.0f} s") from None
