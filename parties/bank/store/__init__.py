"""What the bank must remember about decisions and people: one database, nothing lost that was acknowledged."""
from __future__ import annotations

from parties.bank.store.database import Store, open_store
from parties.bank.store.errors import Busy, Conflict, LimitExceeded, Unknown, Unreachable
from parties.bank.store.unit import Unit
from parties.bank.store.values import Reader

__all__ = ["Busy", "Conflict", "LimitExceeded", "Reader", "Store", "Unit", "Unknown", "Unreachable", "open_store"]
