"""The link's protocol without its input and output: sessions, sending, receiving, refusing.

Time comes in as `now` (seconds, any origin), frames come in and go out as bytes; `link.py` adds threads and gRPC.

    session     made anew whenever either side (re)attaches: hello, answer, then a Progress each way. What a message
                was before that is forgotten; what the peer has not handled is sent again, the same bytes
    window      at most WINDOW_CHUNKS chunks beyond what the peer has taken, and it takes none while its inbox is full
    refusals    whatever does not come from the peer's session (replayed, reordered, changed, foreign, under another
                identity or agreement) is dropped and counted: anybody on the way could have made it
    failure     whatever the authenticated peer itself does against the protocol ends the link
"""
from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from parties.runtime.link_inbox import Inbox
from parties.runtime.link_store import LinkStore
from protocols.crypto.sealing import AgreementMismatch, Initiator, SealingContext, Session, respond
from protocols.errors import MalformedMessage, ProtocolError, ReplayRefused, SealscoreError, TrustError
from protocols.wire import codec
from protocols.wire import hub_pb2 as hub
from protocols.wire.chunks import Route, WireMessage
from protocols.wire.envelope_pb2 import Envelope, Progress, Sealed

WINDOW_CHUNKS = 8
HEARTBEAT_S = 2.0
SILENCE_S = 15.0  # a session in which nothing was heard for so long is made anew
RETRY_S = 3.0  # of a hello, or of asking for one
_REMEMBERED_HELLOS = 4096


@dataclass
class Traffic:
    """Bytes of hub frames, and of those the ones that carried messages, by kind."""

    bytes_out: int = 0
    bytes_in: int = 0
    out_by_kind: Counter[str] = field(default_factory=Counter)
    in_by_kind: Counter[str] = field(default_factory=Counter)


class Engine:
    """One party's end of a link. Not thread-safe: the caller holds a lock."""

    def __init__(self, context: SealingContext, store: LinkStore, max_message_bytes: int, now: float,
                 on_refusal: Callable[[str], None] = lambda kind: None, silence_s: float = SILENCE_S):
        self._context, self._store, self._on_refusal = context, store, on_refusal
        self._silence_s = silence_s
        self._route = Route(context.run, context.own, context.peer, context.agreement)
        self.inbox = Inbox(context, store, max_message_bytes)
        self.traffic = Traffic()
        self.failure: SealscoreError | None = None
        self.stopped: str | None = None  # what the coordinator said when it ended the run
        self.last_heard = now
        self.last_refusal: str | None = None
        self.peer_present = False
        self._seen_hellos: deque[bytes] = deque(maxlen=_REMEMBERED_HELLOS)
        self._acked = _acknowledged(store)
        self._former: bytes | None = None  # id of the session before: its stragglers are no refusals
        self.reset()

    @property
    def in_session(self) -> bool:
        """True while a session stands."""
        return self._session is not None

    @property
    def delivered(self) -> bool:
        """True when the peer has handled everything in the outbox."""
        return self._acked >= self._store.last_sequence()

    @property
    def owes_progress(self) -> bool:
        """True while the peer has not been told the newest acknowledgement."""
        return self.in_session and self._told_handled != self.inbox.handled

    def reset(self) -> None:
        """The stream to the hub is new or gone: no peer, no session, nothing queued."""
        self._control: deque[bytes] = deque()
        self._drop_session(-RETRY_S)
        self.peer_present = False

    # in

    def receive(self, data: bytes, now: float) -> None:
        """Take a frame of the hub. Refuses what is not the peer's; `failure` is set by what the peer may not do."""
        self.traffic.bytes_in += len(data)
        try:
            self._dispatch(codec.decode(hub.HubFrame, data, codec.MAX_FRAME_BYTES), len(data), now)
        except ReplayRefused as error:
            self._refuse("order" if self._session and self._session.broken else "replay", error)
            if self._session and self._session.broken:
                self._drop_session(now - RETRY_S)
        except AgreementMismatch as error:
            self._refuse("agreement", error)
        except TrustError as error:
            self._refuse("identity", error)
        except MalformedMessage as error:
            self._refuse("malformed", error)

    def fail(self, error: SealscoreError) -> None:
        """End the link; the first failure stands."""
        self.failure = self.failure or error

    def _refuse(self, kind: str, error: SealscoreError) -> None:
        self.last_refusal = str(error)
        self._on_refusal(kind)

    def _dispatch(self, frame: hub.HubFrame, size: int, now: float) -> None:
        body = frame.WhichOneof("body")
        if body == "notice":
            self._take_notice(frame.notice, now)
        elif body != "relay":
            raise MalformedMessage("an attachment from the hub")
        elif (frame.relay.header.sender, frame.relay.header.receiver, frame.relay.header.run) != (
                self._context.peer, self._context.own, self._context.run):
            self._refuse("foreign", ProtocolError(f"a frame that is not from {self._context.peer} for this run"))
        else:
            self._take_relay(frame.relay, size, now)

    def _take_notice(self, notice: hub.Notice, now: float) -> None:
        if notice.kind in (hub.RUN_CANCELLED, hub.RUN_FAILED):
            told = "cancelled" if notice.kind == hub.RUN_CANCELLED else "failed"
            self.stopped = self.stopped or (f"{told}: {notice.cause}" if notice.cause else told)
        elif notice.party == self._context.peer:
            self.peer_present = notice.kind == hub.PEER_ATTACHED
            self._control.clear()
            self._drop_session(now - RETRY_S if self._context.initiates else now)

    def _take_relay(self, relay: hub.Relay, size: int, now: float) -> None:
        kind, initiates = relay.header.kind, self._context.initiates
        if kind == hub.SEALED:
            self._take_sealed(relay, size, now)
        elif kind == hub.HELLO_INITIATOR and not initiates:
            self._answer_hello(relay.body)
        elif kind == hub.HELLO_RESPONDER and initiates:
            self._finish_handshake(relay.body, now)
        elif kind == hub.HELLO_REQUEST and initiates:
            if now - self._asked_at >= RETRY_S:  # anybody on the way can ask: not more often than this
                self._drop_session(now - RETRY_S)
        else:
            raise MalformedMessage("a hello that is not this peer's to send")

    def _answer_hello(self, hello: bytes) -> None:
        digest = hashlib.sha256(hello).digest()
        if digest in self._seen_hellos:
            raise ReplayRefused("a hello that came before")
        answer, self._pending = respond(self._context, hello)
        self._seen_hellos.append(digest)
        self._control.append(self._relay(hub.HELLO_RESPONDER, answer))

    def _finish_handshake(self, answer: bytes, now: float) -> None:
        if self._initiator is None:
            raise ReplayRefused("an answer to no hello")
        self._begin(self._initiator.finish(answer), now)

    def _take_sealed(self, relay: hub.Relay, size: int, now: float) -> None:
        session_id = relay.header.session
        if self._pending and session_id == self._pending.id:
            plaintext = self._pending.open(relay)  # only now is the hello known to be no replay
            self._begin(self._pending, now)
        elif self._session and session_id == self._session.id:
            plaintext = self._session.open(relay)
        elif self._session is None or session_id == self._former:
            return  # on its way when the session ended; what mattered in it comes again
        else:
            raise ReplayRefused("a frame of an unknown session")
        self.last_heard = now
        self._take_plaintext(plaintext, size)

    def _take_plaintext(self, plaintext: bytes, size: int) -> None:
        """What the peer's own key sealed: a fault in it is the peer's."""
        try:
            sealed = codec.decode(Sealed, plaintext, codec.MAX_FRAME_BYTES)
            if sealed.WhichOneof("body") == "progress":
                self._take_progress(sealed.progress)
            else:
                self._take_envelope(sealed.envelope, size)
        except ProtocolError as error:
            self._refuse("peer", error)
            self.fail(ProtocolError(f"{self._context.peer} broke the protocol: {error}"))

    def _take_envelope(self, envelope: Envelope, size: int) -> None:
        self.traffic.in_by_kind[envelope.kind] += size
        self.received += 1
        if self.received > self._told_taken + WINDOW_CHUNKS:
            raise ProtocolError(f"more than {WINDOW_CHUNKS} chunks beyond what was taken")
        self.inbox.add(envelope)

    def _take_progress(self, progress: Progress) -> None:
        if not self._acked <= progress.handled <= self._store.last_sequence():
            raise ProtocolError(f"expected an acknowledgement from {self._acked} to {self._store.last_sequence()}, got "
                                f"{progress.handled}; one of the two stores was replaced during the run")
        if not self._taken_by_peer <= progress.taken <= self._sent:
            raise ProtocolError(f"expected chunks taken from {self._taken_by_peer} to {self._sent}, got "
                                f"{progress.taken}")
        if progress.handled > self._acked:
            self._store.trim(progress.handled)
            self._acked = progress.handled
        if self._cursor is None:
            self._cursor = progress.handled
        self._taken_by_peer = progress.taken

    # sessions

    def _drop_session(self, asked_at: float) -> None:
        """No session from here on. `asked_at`: when a new one was (as if) last asked for."""
        session = getattr(self, "_session", None)
        self._former = session.id if session else self._former
        self._session: Session | None = None
        self._pending: Session | None = None
        self._initiator: Initiator | None = None
        self._asked_at = asked_at
        self._clear_session_state()

    def _clear_session_state(self) -> None:
        self.inbox.restart_message()
        self._message: WireMessage | None = None  # being sent
        self._chunk = 0
        self._cursor: int | None = None  # seq sent last; None until the peer says what it has handled
        self._sent = self._taken_by_peer = 0
        self.received = self._told_taken = 0  # chunks of this session
        self._told_handled = -1
        self._spoke_at = float("-inf")

    def _begin(self, session: Session, now: float) -> None:
        self._drop_session(now)
        self._session = session
        self.last_heard = now

    # out

    def next_frame(self, now: float) -> bytes | None:
        """The next frame to the hub, or None when there is nothing to say before `wait_s`."""
        frame = None if self.failure else self._next_frame(now)
        if frame is not None:
            self.traffic.bytes_out += len(frame)
        return frame

    def wait_s(self, now: float) -> float:
        """How long the caller may sleep before it asks for a frame again, if nothing else happens."""
        if not self.peer_present:
            return HEARTBEAT_S
        due = self._spoke_at + HEARTBEAT_S if self.in_session else self._asked_at + RETRY_S
        return min(HEARTBEAT_S, max(0.05, due - now))

    def _next_frame(self, now: float) -> bytes | None:
        if self._control:
            return self._control.popleft()
        if not self.peer_present:
            return None
        if self._session and now - self.last_heard > self._silence_s:
            self._drop_session(now - RETRY_S)
        if self._session is None:
            return self._ask_for_session(now)
        if self.progress_due(now):
            return self._next_progress(self._session, now)
        return self._next_chunk(self._session)

    def _ask_for_session(self, now: float) -> bytes | None:
        if now - self._asked_at < RETRY_S:
            return None
        self._asked_at = now
        if not self._context.initiates:
            return None if self._pending else self._relay(hub.HELLO_REQUEST, b"")
        self._initiator = Initiator(self._context)
        return self._relay(hub.HELLO_INITIATOR, self._initiator.hello)

    def progress_due(self, now: float) -> bool:
        """Whether the peer is to be told what was handled and taken, or that this side is alive."""
        return (self._told_handled != self.inbox.handled or now - self._spoke_at >= HEARTBEAT_S
                or (self.inbox.has_room and self.received - self._told_taken >= WINDOW_CHUNKS // 4))

    def _next_progress(self, session: Session, now: float) -> bytes:
        self._told_handled = self.inbox.handled
        if self.inbox.has_room:
            self._told_taken = self.received
        progress = Progress(handled=self._told_handled, taken=self._told_taken)
        self._spoke_at = now
        return self._seal(session, Sealed(progress=progress))

    def _next_chunk(self, session: Session) -> bytes | None:
        if self._cursor is None or self._sent - self._taken_by_peer >= WINDOW_CHUNKS:
            return None
        message = self._message or self._next_message(self._cursor)
        if message is None:
            return None
        self._message = message
        frame = self._seal(session, Sealed(envelope=message.chunk(self._route, self._chunk)))
        self.traffic.out_by_kind[message.kind] += len(frame)
        self._sent += 1
        self._chunk += 1
        if self._chunk == message.chunks:
            self._cursor, self._message, self._chunk = message.seq, None, 0
        return frame

    def _next_message(self, after: int) -> WireMessage | None:
        row = self._store.next_outgoing(after)
        if row is None:
            return None
        if row.seq != after + 1:
            raise ProtocolError(f"the outbox of this party goes from message {after} to {row.seq}; it was changed "
                                f"during the run")
        return WireMessage.of(row.seq, row.kind, row.round, row.payload)

    def _seal(self, session: Session, sealed: Sealed) -> bytes:
        return codec.encode(hub.HubFrame(relay=session.seal(codec.encode(sealed))))

    def _relay(self, kind: hub.FrameKind, body: bytes) -> bytes:
        header = hub.Header(version=codec.VERSION, run=self._context.run, sender=self._context.own,
                            receiver=self._context.peer, kind=kind)
        return codec.encode(hub.HubFrame(relay=hub.Relay(header=header, body=body)))


def _acknowledged(store: LinkStore) -> int:
    """The highest seq that the peer has acknowledged, as far as the outbox tells: what was trimmed."""
    row = store.next_outgoing(0)
    return row.seq - 1 if row else store.last_sequence()
