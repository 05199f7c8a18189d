"""The report of an experiment over the bank's own decisions, for officers and auditors."""
from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

from parties.bank.experiments.kept import Kept, KeptReport, report_kept
from parties.bank.service.callers import Caller
from parties.bank.service.refusals import NotFound
from parties.bank.service.use_cases import told
from parties.bank.store import Reader


class ExperimentCases:
    """The experiments of the rulebook at work."""

    def __init__(self, kept: Kept, clock: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self._kept, self._clock = kept, clock
        self._one = asyncio.Lock()  # a report is long work beside the applications: one at a time

    async def report(self, caller: Caller, name: str, why: str, confidence: Decimal) -> KeptReport:
        """The report as of now; the access log has the look first."""
        caller.require("read-experiment")
        experiments = self._kept.rulebook.experiments
        experiment = experiments.get(name)
        if experiment is None:
            names = ", ".join(one.name for one in experiments.experiments) or "none"
            raise NotFound(f"expected an experiment of the rulebook, which has: {names}")
        reader = Reader(caller.name, caller.role, why)
        with told():
            async with self._one:
                return await asyncio.to_thread(report_kept, self._kept, experiment, reader, self._clock(), confidence)
