"""The hub: relays sealed frames between the parties of a run, and takes their progress reports.

It reads outer headers only and keeps frames in memory only: what is lost is sent again by the parties, who number,
acknowledge and persist their messages end to end. Every party dials out; its name comes from its client certificate.

    Attach    one stream per run, party and peer; a newer stream of the same three replaces the older one
    mailbox   per stream: at most 16 frames. When it is full the sender's stream is not read, and gRPC's flow
              control carries that back to the sender
    notices   peer attached / detached; run cancelled / failed (the registry is polled once a second)
    bulks     Put, Get and Drop: see `bulk.py`
    calls     Call and Serve: single sealed calls outside runs, see `calls.py`

A frame for a party that is not attached is dropped: its sender hears of the attachment and starts a new session.
"""
from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from coordinator.admissible import check_relay
from coordinator.bulk import BulkStore
from coordinator.bulk_calls import BulkCalls
from coordinator.bulk_usage import UsageFiles
from coordinator.calls import CallRelay
from coordinator.hub_calls import Callers, HubRegistry, Refused, answering, first_frame
from protocols.errors import MalformedMessage
from protocols.json_object import json_object
from protocols.node.tls import SERVER_OPTIONS, NodeTls
from protocols.wire import codec
from protocols.wire import hub_pb2 as wire

SERVICE = "sealscore.hub.v1.Hub"
MAILBOX_FRAMES = 16
MAILBOX_NOTICES = 64
POLL_S = 1.0
MAX_STREAMS = 1024
_STOPPED = ("cancelling", "cancelled", "failed")

log = logging.getLogger("sealscore.hub")


class Mailbox:
    """Frames and notices for one attached party, bounded; closing it wakes everybody who waits."""

    def __init__(self, frames: int = MAILBOX_FRAMES):
        self._items: deque[tuple[bytes, bool]] = deque()
        self._frames = self._notices = 0
        self._limit = frames
        self._filled, self._emptied = asyncio.Event(), asyncio.Event()
        self._closed = False

    async def put(self, frame: bytes) -> bool:
        """Add a frame, waiting for room; False if the mailbox was closed."""
        while not self._closed and self._frames >= self._limit:
            self._emptied.clear()
            await self._emptied.wait()
        if not self._closed:
            self._frames += 1
            self._add(frame, is_frame=True)
        return not self._closed

    def notify(self, notice: bytes) -> None:
        """Add a notice without waiting; a party that leaves too many unread is detached."""
        self._notices += 1
        if self._notices > MAILBOX_NOTICES:
            self.close()
        else:
            self._add(notice, is_frame=False)

    async def get(self) -> bytes | None:
        """The next item; None once the mailbox is closed."""
        while not self._closed and not self._items:
            self._filled.clear()
            await self._filled.wait()
        if self._closed:
            return None
        data, is_frame = self._items.popleft()
        self._frames -= is_frame
        self._notices -= not is_frame
        self._emptied.set()
        return data

    def close(self) -> None:
        """Let every `put` and `get` return at once."""
        self._closed = True
        self._items.clear()
        self._filled.set()
        self._emptied.set()

    def _add(self, data: bytes, *, is_frame: bool) -> None:
        self._items.append((data, is_frame))
        self._filled.set()


@dataclass(eq=False)
class Attachment:
    """One attached stream of a party, for its messages with one peer."""

    run: str
    party: str
    peer: str
    mailbox: Mailbox = field(default_factory=Mailbox)
    refused: Refused | None = None


class Hub:
    """The service; `serve` binds it to a port."""

    def __init__(self, registry: HubRegistry, admits: Callable[[str], bool] = lambda party: True,
                 store: BulkStore | None = None, files: UsageFiles | None = None):
        """`admits`: whether a name is a party now. `files`: where the use of bulks is written down, if anywhere."""
        self._registry, self._callers = registry, Callers(registry, admits)
        self.calls = CallRelay(self._callers)
        self.bulks = BulkCalls(registry, self._callers, store or BulkStore(), files)
        self._attached: dict[str, dict[tuple[str, str], Attachment]] = {}  # run -> (party, peer) -> stream
        self._stop_told: dict[str, str] = {}  # run -> state its parties were told

    async def attach(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        """Relay between one party and the others of its run until either side ends the stream."""
        attachment = await self._admit(requests, context)
        await context.send_initial_metadata(())  # tells the party that it is admitted
        try:
            await self._enter(attachment)
            async with self._reading(attachment, requests):
                while (item := await attachment.mailbox.get()) is not None:
                    yield item
        finally:
            self._leave(attachment)
        if attachment.refused:
            await context.abort(attachment.refused.code, str(attachment.refused))

    async def report(self, request: bytes, context: Any) -> bytes:
        """Record a progress event of the calling party."""
        async with answering(context):
            event = codec.decode(wire.ProgressEvent, request, codec.MAX_EVENT_BYTES)
            self._callers.check_sender(event.party, context)
            await self._callers.check_member(event.run, event.party)
            await asyncio.to_thread(self._registry.record_progress, event.run, event.party, _event_dict(event))
        return codec.encode(wire.Ack())

    async def hello(self, request: bytes, context: Any) -> bytes:
        """Record that a party is there, with its catalogue."""
        async with answering(context):
            offer = codec.decode(wire.PartyCatalogue, request, codec.MAX_CATALOGUE_BYTES + 1024)
            self._callers.check_sender(offer.party, context)
            catalogue = json_object(offer.catalogue_json, "a catalogue")
            await asyncio.to_thread(self._registry.party_online, offer.party, catalogue)
        return codec.encode(wire.Ack())

    async def watch(self) -> None:
        """Tell the parties of attached runs when their run was cancelled or has failed, and forget the bulks of runs
        that have ended; runs until cancelled.
        """
        while True:
            await asyncio.sleep(POLL_S)
            for run in list(self._attached):
                await self._watch_run(run)
            await self.bulks.forget_ended()

    async def _watch_run(self, run: str) -> None:
        try:
            state = await asyncio.to_thread(self._registry.run_state, run)
            stopped = state in _STOPPED and self._stop_told.get(run) != state
            notice = _stop_notice(await asyncio.to_thread(self._registry.run, run)) if stopped else None
        except Exception:  # noqa: BLE001 - the registry may be any database; its fault must not stop the relay
            log.exception("cannot read the state of run %s", run)
            return
        self._stop_told[run] = state or ""
        for attachment in list(self._attached.get(run, {}).values()) if notice else ():
            attachment.mailbox.notify(notice)

    async def _admit(self, requests: AsyncIterator[bytes], context: Any) -> Attachment:
        async with answering(context):
            request = await first_frame(requests, wire.HubFrame, "attach", "run")
            self._callers.check_sender(request.attach.party, context)
            await self._callers.check_member(request.attach.run, request.attach.party)
            await self._callers.check_member(request.attach.run, request.attach.peer)
            return Attachment(request.attach.run, request.attach.party, request.attach.peer)

    async def _enter(self, attachment: Attachment) -> None:
        row = await asyncio.to_thread(self._registry.run, attachment.run)
        streams = self._attached.setdefault(attachment.run, {})  # from here on without a pause: notices come first
        older = streams.pop((attachment.party, attachment.peer), None)
        if older:
            older.refused = Refused(grpc.StatusCode.ABORTED, f"a newer connection of {older.party} took over")
            older.mailbox.close()
        streams[attachment.party, attachment.peer] = attachment
        if row["state"] in _STOPPED:
            attachment.mailbox.notify(_stop_notice(row))
        other = streams.get((attachment.peer, attachment.party))
        if other is not None:
            attachment.mailbox.notify(_peer_notice(wire.PEER_ATTACHED, other.party))
            other.mailbox.notify(_peer_notice(wire.PEER_ATTACHED, attachment.party))
        log.info("%s attached to %s for %s", attachment.party, attachment.run, attachment.peer)

    def _leave(self, attachment: Attachment) -> None:
        attachment.mailbox.close()
        streams = self._attached.get(attachment.run, {})
        if streams.get((attachment.party, attachment.peer)) is not attachment:
            return
        del streams[attachment.party, attachment.peer]
        other = streams.get((attachment.peer, attachment.party))
        if other is not None:
            other.mailbox.notify(_peer_notice(wire.PEER_DETACHED, attachment.party))
        if not streams:
            self._attached.pop(attachment.run, None)
            self._stop_told.pop(attachment.run, None)
        log.info("%s detached from %s", attachment.party, attachment.run)

    @contextlib.asynccontextmanager
    async def _reading(self, attachment: Attachment, requests: AsyncIterator[bytes]) -> AsyncIterator[None]:
        reader = asyncio.create_task(self._read(attachment, requests))
        try:
            yield
        finally:
            reader.cancel()
            await asyncio.wait([reader])

    async def _read(self, attachment: Attachment, requests: AsyncIterator[bytes]) -> None:
        """Move the party's frames into its peer's mailbox."""
        try:
            async for data in requests:
                await self._relay(attachment, data)
        except Refused as refusal:
            attachment.refused = refusal
        except MalformedMessage as error:
            attachment.refused = Refused(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        finally:
            attachment.mailbox.close()

    async def _relay(self, attachment: Attachment, data: bytes) -> None:
        header = _relay_header(data)
        if header.sender != attachment.party or header.run != attachment.run:
            raise Refused(grpc.StatusCode.PERMISSION_DENIED,
                          f"a frame in the name of another party or run than {attachment.party} and {attachment.run}")
        if header.receiver != attachment.peer:
            raise Refused(grpc.StatusCode.PERMISSION_DENIED, f"a frame for another receiver than {attachment.peer}")
        receiver = self._attached.get(attachment.run, {}).get((attachment.peer, attachment.party))
        if receiver is not None:
            await receiver.mailbox.put(data)


def server(hub: Hub, tls: NodeTls, address: str) -> tuple[grpc.aio.Server, int]:
    """A server for `hub` on HOST:PORT (port 0: any), not yet started, and its port. OSError if it is taken."""
    made = grpc.aio.server(options=SERVER_OPTIONS, maximum_concurrent_rpcs=MAX_STREAMS)
    handlers = {
        "Attach": grpc.stream_stream_rpc_method_handler(hub.attach),
        "Report": grpc.unary_unary_rpc_method_handler(hub.report),
        "Hello": grpc.unary_unary_rpc_method_handler(hub.hello),
        "Put": grpc.stream_unary_rpc_method_handler(hub.bulks.put),
        "Get": grpc.unary_stream_rpc_method_handler(hub.bulks.get),
        "Drop": grpc.unary_unary_rpc_method_handler(hub.bulks.drop),
        "Call": grpc.unary_unary_rpc_method_handler(hub.calls.call),
        "Serve": grpc.stream_stream_rpc_method_handler(hub.calls.serve),
    }
    made.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    try:
        port = made.add_secure_port(address, tls.server_credentials())
    except RuntimeError:
        port = 0
    if not port:
        raise OSError(f"cannot listen on {address}")
    return made, port


def _relay_header(data: bytes) -> wire.Header:
    frame = codec.decode(wire.HubFrame, data, codec.MAX_FRAME_BYTES)
    if frame.WhichOneof("body") != "relay":
        raise MalformedMessage("expected a frame to relay")
    check_relay(frame.relay)
    return frame.relay.header


def _event_dict(event: wire.ProgressEvent) -> dict[str, Any]:
    names = [f.name for f in event.DESCRIPTOR.fields if f.name not in ("party", "run", "body_json")]
    return {**{name: getattr(event, name) for name in names}, "body_json": _text(event.body_json)}


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise MalformedMessage("expected UTF-8 text") from None


def _peer_notice(kind: wire.NoticeKind, party: str) -> bytes:
    return codec.encode(wire.HubFrame(notice=wire.Notice(kind=kind, party=party)))


def _stop_notice(row: dict[str, Any]) -> bytes:
    kind = wire.RUN_FAILED if row["state"] == "failed" else wire.RUN_CANCELLED
    cause = "".join(c if c.isprintable() else " " for c in row.get("cause") or "")[:codec.MAX_SENTENCE_CHARS]
    return codec.encode(wire.HubFrame(notice=wire.Notice(kind=kind, cause=cause)))
