"""Hands withdrawn consents over to the platform, in order, until it has acknowledged them.

The bank itself stops at once: it asks nobody about a person whose consent does not hold in its own store. This is the
second lock, at the platform's door. The list is a table (`store/withdrawals.py`), so it holds what any process or
command has withdrawn, and survives a restart.
"""
from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from parties.bank.scoring.transport import TransportFailed
from parties.bank.store import Store
from parties.bank.store.withdrawals import Withdrawal
from protocols.errors import SealscoreError

log = logging.getLogger("sealscore.decisions")
LOOK_S, FIRST_PAUSE_S, LONGEST_PAUSE_S, CALL_S = 0.5, 0.5, 60.0, 5.0
Send = Callable[[list[str], list[str], int, float], Awaitable[None]]


class Revocations:
    """`run` hands over. `waiting`: how many the platform had yet to hear of at the last look."""

    def __init__(self, store: Store, send: Send):
        self._store, self._send = store, send
        self.waiting = 0

    async def run(self) -> None:
        """Hand over what waits, until cancelled; what fails waits longer and longer."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                handed_over = await self._next()
                pause_s = FIRST_PAUSE_S
            except (TransportFailed, SealscoreError) as failure:
                log.warning("withdrawn consents wait for the platform (%s): %d", failure, self.waiting)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            if not handed_over:
                await asyncio.sleep(LOOK_S)

    async def _next(self) -> bool:
        """The one that has waited longest; False when none waits."""
        one, self.waiting = await asyncio.to_thread(
            self._store.read, lambda unit: (unit.withdrawals.first(), unit.withdrawals.count()))
        if one is not None:
            await self._hand_over(one)
        return one is not None

    async def _hand_over(self, one: Withdrawal) -> None:
        named = ([], [one.person]) if one.reference is None else ([one.reference], [])
        await self._send(*named, int(one.at.timestamp()), CALL_S)
        await asyncio.wrap_future(self._store.submit(lambda unit: unit.withdrawals.done(one)))
