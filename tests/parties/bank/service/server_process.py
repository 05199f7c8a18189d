"""The service of a node as a process of its own, with a platform that answers: `python -m … FILE`."""
from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from parties.bank.service import assembly, process
from parties.bank.service.assembly import Node
from parties.runtime.config import LoadedParty
from tests.parties.bank.service.support import Platform


class Slow(Platform):
    """As far away as a platform is."""

    async def joint(self, submitted, consent):
        await asyncio.sleep(0.01)
        return await super().joint(submitted, consent)


if __name__ == "__main__":
    assembly._scores = lambda node: Slow()
    process.run(Node.of(LoadedParty(Path(sys.argv[1]), "bank")))
