"""The bank's side of alignment. Learns which of its ids the platform holds too, and the size of the platform's set."""
from __future__ import annotations

from protocols.psi.aligner import Aligner
from protocols.psi.messages import TAG_BYTES


class AlignLabelParty(Aligner):
    """AlignLabelParty(ids, peer, params, parallel_map): see `Aligner`. Sends the first half of each tag."""

    half = slice(0, TAG_BYTES)
