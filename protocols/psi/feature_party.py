"""The platform's side of alignment. Learns which of its ids the bank holds too, and the size of the bank's set."""
from __future__ import annotations

from protocols.psi.aligner import Aligner
from protocols.psi.messages import TAG_BYTES


class AlignFeatureParty(Aligner):
    """AlignFeatureParty(ids, peer, params, parallel_map): see `Aligner`. Sends the last half of each tag."""

    half = slice(TAG_BYTES, 2 * TAG_BYTES)
