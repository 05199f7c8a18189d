"""X W on shares without any error: X the platform's, W shared, by products of `protocols/crypto/elementwise.py`.

A matrix-vector product carries an error that is a known function of X to the bank. Where a product is truncated before
something that follows from it is opened, no flood can hide that error (README.md, "Strict"), so there must be none.

The bank repeats each weight in the slots of `rows` rows; as many columns as fit share a polynomial. The platform
multiplies slot by slot with its block of X and returns the sum over polynomials, masked; both sides then add up what
belongs to one row. All rows of a pass are answered from one upload per number, block of rows by block of rows.
"""
from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np

from protocols.crypto import elementwise
from protocols.crypto.elementwise import MOST_TERMS, Factor
from protocols.crypto.keys import KeyPair, PeerKeys
from protocols.crypto.params import DEGREE
from protocols.crypto.ring import RING, WORD, scale_mod, subtract_once
from protocols.network.source_layer import pieces

SCORING_ROWS = 2048
_LIMB_BITS = 20  # columns, limbs and 2^10 columns together stay below 2^53


@dataclass(frozen=True)
class Grid:
    """`rows` of a block and `columns` of the matrix, `together` of them in one polynomial."""

    rows: int
    columns: int

    @classmethod
    def cheapest(cls, rows: int, columns: int) -> Grid:
        """For one pass over so many rows: uploads weigh 1.44 times as much as replies."""
        grids = [cls(-(-rows // blocks), columns) for blocks in range(-(-rows // DEGREE), min(rows, 64) + 1)]
        return min(grids or [cls(DEGREE, columns)], key=lambda grid: 1.44 * grid.terms
                   + grid.blocks(rows) * len(grid.groups))

    @property
    def together(self) -> int:
        """Columns in one polynomial."""
        return min(DEGREE // self.rows, self.columns)

    @property
    def slots(self) -> int:
        """Slots in use."""
        return self.rows * self.together

    @property
    def terms(self) -> int:
        """Uploads of one number."""
        return -(-self.columns // self.together)

    @property
    def groups(self) -> list[slice]:
        """Terms that go into one reply."""
        return [slice(at, min(at + MOST_TERMS, self.terms)) for at in range(0, self.terms, MOST_TERMS)]

    def blocks(self, rows: int) -> int:
        """Blocks of so many rows."""
        return -(-rows // self.rows)

    def operands(self, weights: np.ndarray) -> list[np.ndarray]:
        """Of one number's weights (2, columns): (2, slots) for each term."""
        padded = _padded(weights, self.terms * self.together)
        repeated = np.repeat(padded, self.rows, axis=1)
        return np.split(repeated, self.terms, axis=1)

    def factors(self, block: np.ndarray) -> list[Factor]:
        """Of a block (rows or fewer, columns) int64: one for each term."""
        full = np.zeros((self.terms * self.together, self.rows), np.int64)
        full[:self.columns, :len(block)] = block.T
        return [Factor(RING.encode(part.ravel())) for part in np.split(full, self.terms)]

    def summed(self, products: np.ndarray) -> np.ndarray:
        """(2, slots) -> (2, rows): all that belongs to one row."""
        return reduce(RING.add, np.split(products, self.together, axis=1))


def scoring_grid(columns: int) -> Grid:
    """That of the one upload with which any number of rows is scored."""
    return Grid(SCORING_ROWS, columns)


def _padded(a: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([a, RING.zeros(size - a.shape[1])], axis=1)


def ask(keys: KeyPair, weights: np.ndarray, grid: Grid) -> bytes:
    """The bank's share (2, columns·numbers), encrypted: `terms` requests for each number."""
    parts = np.split(weights, weights.shape[1] // grid.columns, axis=1)
    return b"".join(elementwise.ask(keys, operand) for part in parts for operand in grid.operands(part))


def requests(payload: bytes, grid: Grid, numbers: int) -> list[list[bytes]]:
    """Per number one request for each term; MalformedMessage on another length."""
    size = elementwise.request_bytes(grid.slots)
    flat = pieces(payload, numbers * grid.terms, size, "requests of a strict pass")
    return [flat[at:at + grid.terms] for at in range(0, len(flat), grid.terms)]


def answer(
    columns: np.ndarray, peer: PeerKeys, weights: np.ndarray, payload: bytes, grid: Grid
) -> tuple[bytes, np.ndarray]:
    """Reply, and the platform's share (2, rows·numbers) of X W, uniform and fresh; `columns`: int64 (rows, d)."""
    parts = np.split(weights, weights.shape[1] // grid.columns, axis=1)
    asked, replies, masks = requests(payload, grid, len(parts)), [], []
    for at in range(0, len(columns), grid.rows):
        block = columns[at:at + grid.rows]
        factors = grid.factors(block)
        made = [_answer_number(grid, peer, asking, factors) for asking in asked]
        replies += [reply for reply, _ in made]
        masks.append([mask[:, :len(block)] for _, mask in made])
    own = np.concatenate([np.concatenate(number, axis=1) for number in zip(*masks, strict=True)], axis=1)
    local = np.concatenate([times(columns, part) for part in parts], axis=1)
    return b"".join(replies), RING.add(own, local)


def _answer_number(
    grid: Grid, peer: PeerKeys, asking: list[bytes], factors: list[Factor]
) -> tuple[bytes, np.ndarray]:
    made = [elementwise.answer(peer, list(zip(asking[group], factors[group], strict=True))) for group in grid.groups]
    return b"".join(reply for reply, _ in made), grid.summed(reduce(RING.add, [share for _, share in made]))


def finish(keys: KeyPair, payload: bytes, rows: int, numbers: int, grid: Grid) -> np.ndarray:
    """The bank's share (2, rows·numbers). MalformedMessage as in `elementwise.finish`."""
    count = grid.blocks(rows) * numbers
    flat = pieces(payload, count * len(grid.groups), elementwise.reply_bytes(grid.slots), "replies of a strict pass")
    each = [grid.summed(reduce(RING.add, [elementwise.finish(keys, part, grid.slots) for part in
                                          flat[at:at + len(grid.groups)]])) for at in
            range(0, len(flat), len(grid.groups))]
    return np.concatenate([np.concatenate(each[number::numbers], axis=1)[:, :rows]
                           for number in range(numbers)], axis=1)


def times(columns: np.ndarray, share: np.ndarray) -> np.ndarray:
    """(2, rows): int64 (rows, d), below 2^20, times residues (2, d), exactly, by limbs in float64."""
    rows = []
    for q, residues in zip(RING.q, share, strict=True):
        total = np.zeros(len(columns), WORD)
        for low in range(0, 60, _LIMB_BITS):
            limb = (residues >> WORD(low)) & WORD((1 << _LIMB_BITS) - 1)
            part = np.mod((columns.astype(float) @ limb.astype(float)).astype(np.int64), np.int64(q)).astype(WORD)
            total = subtract_once(total + scale_mod(part, 1 << low, q), q)
        rows.append(total)
    return np.stack(rows)
