"""Bytes of what boosted trees send and write down, from shapes alone.

What `protocols/boosting/messages.py` encodes is asked there; what needs keys to be made stands here a second time, and
`tests/coordinator/test_cost_trees.py` compares both with the messages of real roles.
"""
from __future__ import annotations

from protocols.boosting.messages import Begin, Column, Drawn, Shape, Split, splits_bytes
from protocols.boosting.parameters import KEPT, KEY_DEGREE, PAD_DEGREE, PRIMES

BATCH = 64  # secrets of a request at most
MESSAGE_BYTES = 32 << 20  # vectors of a message at most, but always one
PIECE_ROWS = 65_536  # that the model has not seen, of a message about them
KEPT_BYTES = 4
VERDICT_BYTES = 1
_NONCE = bytes(32)


def _residue_bytes(primes: tuple[int, ...]) -> int:
    return sum(-(-prime.bit_length() // 8) for prime in primes)


SHARE_BYTES = _residue_bytes(KEPT)  # of a row of a hidden vector, of a bin of its sums
SECRET_BYTES = KEY_DEGREE * (_residue_bytes(PRIMES) + SHARE_BYTES)
SECRET_KEPT_BYTES = PAD_DEGREE + KEY_DEGREE  # a secret and its key, at the bank
VEIL_KEPT_BYTES = KEY_DEGREE  # of two bins, at the platform


def polynomials(bins: int) -> int:
    """Of a platform's matrix: one for two bins."""
    return -(-bins // 2)


def chunks(rows: int) -> int:
    """Public polynomials that the rows fill."""
    return -(-rows // PAD_DEGREE)


def shape_bytes(columns: int) -> int:
    """A platform's columns."""
    return len(Shape(_NONCE, (Column(2),) * columns, 0).to_bytes())


def begin_bytes() -> int:
    """The bank's first word."""
    return len(Begin(_NONCE, 0, 0).to_bytes())


def veil_bytes(bins: int) -> int:
    """A platform's hidden matrix."""
    return SHARE_BYTES * KEY_DEGREE * polynomials(bins)


def corrections_bytes(secrets: int, bins: int) -> int:
    """The answer to a request; as much is written down at either side."""
    return SHARE_BYTES * secrets * bins


def vectors_bytes(count: int, rows: int, columns: int) -> int:
    """Hidden vectors of a message, and which of a platform's columns compete."""
    return Drawn.size(columns) + SHARE_BYTES * rows * count


def vectors_at_once(rows: int) -> int:
    """Most vectors of a message."""
    return max(1, MESSAGE_BYTES // (SHARE_BYTES * rows))


def split_bytes(splits: int) -> int:
    """Splits by a platform's columns."""
    return splits * len(splits_bytes([Split(0, 0, False)]))


def sides_bytes(splits: int, rows: int) -> int:
    """A bit for each row and split."""
    return splits * -(-rows // 8)


def sides_pieces(splits: int, rows: int) -> list[tuple[int, int]]:
    """(rows, bytes) of each message about rows that the model has not seen; of no rows there is one, too."""
    parts = [min(PIECE_ROWS, rows - at) for at in range(0, max(1, rows), PIECE_ROWS)]
    return [(part, sides_bytes(splits, part)) for part in parts]
