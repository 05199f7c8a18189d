"""What can go wrong with a loan that is nobody's bug."""
from __future__ import annotations

from protocols.errors import SealscoreError


class LoanRefused(SealscoreError):
    """The loan does not allow this now; nothing was changed. The sentence says what it allows."""
