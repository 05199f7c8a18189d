"""What the store refuses. Texts name references and amounts, never an identifier, a password or a record's content."""
from __future__ import annotations

from protocols.errors import SealscoreError, UsageError


class Conflict(UsageError):
    """Something else is kept under this name already."""


class Unknown(UsageError):
    """Nothing is kept under this name."""


class LimitExceeded(UsageError):
    """An amount is above what a limit or a quota still has, or the limit is frozen. Nothing was changed."""


class Busy(SealscoreError):
    """More writes wait than the store takes. Nothing was changed; try again."""


class Unreachable(SealscoreError):
    """The database cannot be reached or used."""
