"""Reliable messages between this party and one peer of one run, over the hub.

Ordered, exactly once, across crashes of either party and of the hub: messages are persisted before they are sent,
acknowledged when the peer has made their effect durable, and sent again with the same bytes otherwise. Two threads:
one reads the stream to the hub and makes it anew when it ends, one (gRPC's) asks the engine what to send next.
Every wait ends: after `deadline_s` without a sign of life from the peer the link fails with a `RunFailed`.
"""
from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from parties.runtime.link_engine import SILENCE_S, Engine, Traffic
from parties.runtime.link_store import LinkStore
from protocols.crypto.sealing import SealingContext
from protocols.errors import ProtocolError, RunFailed, SealscoreError, TrustError
from protocols.node.identity_files import load_identity
from protocols.node.tls import CHANNEL_OPTIONS, NodeTls, diagnose
from protocols.wire import codec
from protocols.wire.chunks import WireMessage as InboundMessage
from protocols.wire.hub_pb2 import Attach, HubFrame

ATTACH = "/sealscore.hub.v1.Hub/Attach"
BACKOFF_S = (0.1, 2.0)  # first and longest pause before the stream is made anew
CLOSE_S = 2.0
_FATAL = {
    grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ABORTED,
    grpc.StatusCode.UNIMPLEMENTED,
}


@dataclass(frozen=True)
class LinkConfig:
    """Where the hub is, who talks to whom about which run, and the limits."""

    hub_address: str  # HOST:PORT
    home: Path
    party: str
    peer: str
    peer_public_key: bytes  # raw Ed25519, pinned
    run: str
    agreement: bytes  # 32 bytes
    deadline_s: float = 120.0
    max_message_bytes: int = 1 << 30


class Link:
    """See the module. Thread-safe; after `start`, `close` must be called."""

    def __init__(self, config: LinkConfig, store: LinkStore,
                 on_refusal: Callable[[str], None] = lambda kind: None,
                 on_frame: Callable[[str, bytes], None] = lambda direction, frame: None):
        """`on_refusal(kind)`: replay, order, foreign, identity, agreement, malformed or peer. `on_frame("out"|"in",
        bytes)` sees every frame. Both are called from the link's threads and must return soon.
        """
        self.config = config
        self.phase = "link"  # what a failure names; the driver keeps it up to date
        self._store, self._on_refusal, self._on_frame = store, on_refusal, on_frame
        lock = threading.RLock()
        self._changed = threading.Condition(lock)  # there is something for those who receive, drain or close
        self._to_send = threading.Condition(lock)  # there may be a frame to send
        self._stream = 0  # number of the current stream: an older sender stops
        self._closing = False
        self._call: Any = None
        self._hub_fault: str | None = None  # why there is no stream now
        self._thread: threading.Thread | None = None

    # life

    def start(self) -> None:
        """Load and check keys and certificates (TrustError), then connect in the background."""
        config = self.config
        self._tls = NodeTls.load(config.home)
        if self._tls.name != config.party:
            raise TrustError(f"the certificate in {config.home} is that of {self._tls.name}, expected {config.party}")
        context = SealingContext(config.run, config.agreement, config.party, config.peer, load_identity(config.home),
                                 config.peer_public_key)
        self._engine = Engine(context, self._store, config.max_message_bytes, time.monotonic(), self._on_refusal,
                              min(SILENCE_S, config.deadline_s / 2))
        self._hub_fault = "no connection was made yet"
        self._thread = threading.Thread(target=self._work, name=f"link-{config.run}-{config.peer}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Tell the peer the last acknowledgement if a session stands, then end both threads."""
        with self._changed:
            self._closing = True
            self._wake_all()
        if self._thread is None:
            return
        self._thread.join(CLOSE_S)
        with self._changed:
            self._stream += 1
            if self._call is not None:
                self._call.cancel()
        self._thread.join(CLOSE_S)

    # messages

    def send_persisted(self) -> None:
        """There is more in the outbox: wake the sender."""
        with self._to_send:
            self._to_send.notify_all()

    def receive(self, timeout_s: float) -> InboundMessage | None:
        """The peer's next message; None after `timeout_s`, and at once when `cancelled` is set or the link closed.

        Raises what ended the link: RunFailed, TrustError or ProtocolError.
        """
        return self._wait(timeout_s, self._take)

    def acknowledge(self, seq: int) -> None:
        """The effect of every message up to `seq` is durable, and so are their digests in the store."""
        with self._changed:
            self._engine.inbox.acknowledge(seq)
            self._to_send.notify_all()

    def drain(self, timeout_s: float) -> bool:
        """Wait until the peer has acknowledged the whole outbox; False after `timeout_s`. Raises as `receive`."""
        return bool(self._wait(timeout_s, lambda: self._engine.delivered or None))

    # what happened

    @property
    def cancelled(self) -> str | None:
        """What the coordinator said when it ended the run: "cancelled…" or "failed: cause"; None while it goes on."""
        return self._engine.stopped

    @property
    def streams(self) -> int:
        """Changes whenever the stream to the hub ended or was made anew."""
        return self._stream

    @property
    def traffic(self) -> Traffic:
        """Bytes so far, also by kind of message."""
        return self._engine.traffic

    @property
    def bytes_out(self) -> int:
        """Bytes of all frames sent to the hub."""
        return self._engine.traffic.bytes_out

    @property
    def bytes_in(self) -> int:
        """Bytes of all frames that came from the hub."""
        return self._engine.traffic.bytes_in

    # waiting

    def _take(self) -> InboundMessage | None:
        message = self._engine.inbox.take()
        if message is not None:
            self._to_send.notify_all()  # there is room again
        return message

    def _wait(self, timeout_s: float, attempt: Callable[[], Any]) -> Any:
        end = time.monotonic() + timeout_s
        with self._changed:
            while True:
                if self._engine.failure:
                    raise self._engine.failure
                if self._engine.stopped or self._closing:
                    return None
                found = attempt()  # what came before the peer fell silent still counts
                left = end - time.monotonic()
                if found is not None or left <= 0:
                    return found
                self._check_silence()
                self._changed.wait(min(left, 0.5))

    def _check_silence(self) -> None:
        silent_s = time.monotonic() - self._engine.last_heard
        if silent_s > self.config.deadline_s:
            self._engine.fail(self._silence(silent_s))
            raise self._silence(silent_s)

    def _silence(self, silent_s: float) -> RunFailed:
        """Whose fault the silence is, as far as it can be seen from here."""
        config, refusal = self.config, self._engine.last_refusal
        if self._hub_fault:
            cause = f"nothing heard from {config.peer} for {silent_s:.0f} s: no connection to the hub at " \
                    f"{config.hub_address} ({self._hub_fault})"
            return RunFailed("coordinator", self.phase, cause, "start the coordinator, then resume the run")
        state = "it is connected to the hub but no session stands" if self._engine.peer_present else \
            "it is not connected to the hub"
        last = f"; last refusal: {refusal}" if refusal else ""
        return RunFailed(config.peer, self.phase, f"nothing heard from {config.peer} for {silent_s:.0f} s: "
                         f"{state}{last}", f"check the node of {config.peer}, then resume the run")

    # the stream

    def _work(self) -> None:
        """Keep a stream to the hub until the link is closed or has failed."""
        pause = BACKOFF_S[0]
        while not self._over():
            began = time.monotonic()
            try:
                self._run_stream()
            except grpc.RpcError as error:
                self._stream_ended(error)
            except SealscoreError as error:
                self._fail(error)
            except Exception as error:  # noqa: BLE001 - the store may be any database; its fault ends the link, not the thread
                self._fail(ProtocolError(f"the link to {self.config.peer} stopped: {type(error).__name__}"))
            pause = BACKOFF_S[0] if time.monotonic() - began > BACKOFF_S[1] else min(2 * pause, BACKOFF_S[1])
            self._pause(pause)

    def _over(self) -> bool:
        with self._changed:
            return self._closing or self._engine.failure is not None

    def _pause(self, seconds: float) -> None:
        with self._changed:
            if not self._closing and not self._engine.failure:
                self._changed.wait_for(lambda: self._closing or self._engine.failure is not None, seconds)

    def _run_stream(self) -> None:
        channel = grpc.secure_channel(self.config.hub_address, self._tls.channel_credentials(), CHANNEL_OPTIONS)
        try:
            with self._changed:
                self._stream += 1
                self._engine.reset()
                self._call = channel.stream_stream(ATTACH)(self._outgoing(self._stream))
            self._call.initial_metadata()  # the hub sends it when it has admitted the party
            if self._call.is_active():
                self._lost(None)
            for data in self._call:
                self._incoming(data)
            self._lost("the hub ended the connection")
        finally:
            with self._changed:
                self._stream += 1
                self._engine.reset()
                self._wake_all()
            channel.close()

    def _incoming(self, data: bytes) -> None:
        self._on_frame("in", data)
        with self._changed:
            engine, now = self._engine, time.monotonic()
            before = engine.received
            engine.receive(data, now)
            is_part = engine.received > before  # of a message: nothing to do for anybody until it is whole
            if not is_part or engine.progress_due(now):
                self._to_send.notify_all()
            if not is_part or engine.inbox.waiting or engine.failure:
                self._changed.notify_all()

    def _outgoing(self, stream: int) -> Iterator[bytes]:
        """What gRPC's sending thread iterates: the attachment, then whatever the engine has to say."""
        attach = Attach(version=codec.VERSION, run=self.config.run, party=self.config.party,
                        peer=self.config.peer)
        frame: bytes | None = codec.encode(HubFrame(attach=attach))
        with self._changed:
            self._engine.traffic.bytes_out += len(frame)
        while frame is not None:
            self._on_frame("out", frame)
            yield frame
            frame = self._next_frame(stream)

    def _next_frame(self, stream: int) -> bytes | None:
        """The next frame, waiting for one; None when this stream is over."""
        with self._changed:
            while stream == self._stream:
                now = time.monotonic()
                if self._closing and not self._engine.owes_progress:
                    return None
                frame = self._ask_engine(now)
                if frame is not None or self._engine.failure:
                    return frame
                self._to_send.wait(self._engine.wait_s(now))
        return None

    def _ask_engine(self, now: float) -> bytes | None:
        try:
            return self._engine.next_frame(now)
        except SealscoreError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - a fault of the store must end the link, not only gRPC's thread
            self._fail(ProtocolError(f"the outbox towards {self.config.peer} cannot be read: {type(error).__name__}"))
        return None

    def _stream_ended(self, error: grpc.RpcError) -> None:
        code, details = error.code(), error.details() or ""
        if self._closing:
            return
        if code in _FATAL:
            self._fail(RunFailed("coordinator", self.phase, f"the hub refused {self.config.party}: {details}",
                                 "check names and certificates of this node, and that the run still exists"))
        elif code == grpc.StatusCode.UNAVAILABLE and (fault := diagnose(self.config.hub_address, self._tls)):
            self._fail(TrustError(fault))
        else:
            self._lost(code.name.lower())

    def _lost(self, why: str | None) -> None:
        """Note why there is no stream; None: there is one."""
        with self._changed:
            self._hub_fault = why

    def _fail(self, error: SealscoreError) -> None:
        with self._changed:
            self._engine.fail(error)
            self._wake_all()

    def _wake_all(self) -> None:
        self._changed.notify_all()
        self._to_send.notify_all()
