"""Sealed calls to one platform: the handshake when it is due, and again when the platform has forgotten the session."""
from __future__ import annotations

import asyncio
from typing import TypeVar

from google.protobuf.message import Message

from parties.bank.scoring.transport import Transport, TransportFailed
from protocols.errors import ProtocolError, TrustError
from protocols.scoring import messages as m
from protocols.scoring import scoring_pb2 as pb
from protocols.scoring.session import BankHandshake, BankSession, Pair

FAULTS = {
    pb.UNKNOWN_SESSION: "it knows no session", pb.MALFORMED: "it cannot read the call", pb.BUSY: "busy",
    pb.TOO_LATE: "its queue was too long", pb.REFUSED: "it does not accept this bank", pb.BROKEN: "a fault of its own",
}
HELLO_S = 5.0  # at least: a handshake is worth waiting for although the first applicant may not
M = TypeVar("M", bound=Message)


class Caller:
    """From one event loop."""

    def __init__(self, pair: Pair, transport: Transport):
        self._pair, self._transport = pair, transport
        self._session: BankSession | None = None
        self._greeting: asyncio.Task[BankSession] | None = None

    async def call(self, method: str, request: Message, cls: type[M], timeout_s: float) -> M:
        """The platform's authentic reply; TransportFailed with the cause for anything else."""
        end = asyncio.get_running_loop().time() + timeout_s
        body = m.encode(request)
        reply = await self._attempt(method, body, end)
        if reply is None:  # the platform was started anew: once more, in a new session
            reply = await self._attempt(method, body, end)
        if reply is None:
            raise TransportFailed(FAULTS[pb.UNKNOWN_SESSION])
        try:
            return m.decode(cls, reply)
        except ProtocolError:
            raise TransportFailed("a reply that is none") from None

    async def _attempt(self, method: str, body: bytes, end: float) -> bytes | None:
        """The plaintext of the reply; None when the platform does not know the session."""
        session = await self._greeted(end)
        counter, sealed = session.request(method, body)
        frame = await self._frame(method, sealed, end)
        if frame.fault == pb.UNKNOWN_SESSION:
            if self._session is session:
                self._session = None
            return None
        if frame.fault:
            raise TransportFailed(FAULTS.get(frame.fault, "an unknown fault"))
        try:
            return session.reply(method, counter, frame)
        except ProtocolError:
            raise TransportFailed("a reply that was changed on its way") from None

    async def _frame(self, method: str, sealed: bytes, end: float) -> pb.Sealed:
        left = end - asyncio.get_running_loop().time()
        if left <= 0:
            raise TransportFailed("no answer in time")
        try:
            return m.decode(pb.Sealed, await self._transport.call(method, sealed, left))
        except ProtocolError:
            raise TransportFailed("a reply that is none") from None

    async def _greeted(self, end: float) -> BankSession:
        """The session; of calls that wait for one, one says hello, and it goes on when they have given up."""
        if self._session is None:
            if self._greeting is None or self._greeting.done():
                self._greeting = asyncio.create_task(self._hello())
            left = end - asyncio.get_running_loop().time()
            try:
                return await asyncio.wait_for(asyncio.shield(self._greeting), max(left, 0.001))
            except TimeoutError:
                raise TransportFailed("no answer in time") from None
        return self._session

    async def _hello(self) -> BankSession:
        handshake = BankHandshake(self._pair)
        answer = await self._transport.call("Hello", handshake.hello, HELLO_S)
        try:
            told = m.decode(pb.SignedHello, answer, m.MAX_HELLO_BYTES)
            if told.fault:
                raise TransportFailed(FAULTS.get(told.fault, "an unknown fault"))
            self._session = handshake.finish(answer)
        except TrustError:
            raise TransportFailed("it has another identity than the one pinned for it") from None
        except ProtocolError:
            raise TransportFailed("a hello that is none") from None
        return self._session

    async def close(self) -> None:
        """Give up the connection."""
        if self._greeting is not None:
            self._greeting.cancel()
            await asyncio.gather(self._greeting, return_exceptions=True)
        await self._transport.close()
