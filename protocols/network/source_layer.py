"""The source layer Z = X W on shares: X the platform's, W shared, the gradient G by Z the bank's alone.

    bank: keys, share of W                                platform: X, share of W
    forward    ── Enc(share of W), column by column ──▶   X·W, two fresh shares; its own flooded: opens Z to the bank
    backward   ── Enc(G) ──────────────────────────────▶  XᵀG, two fresh shares
    both       velocity <- momentum · velocity + XᵀG;  W <- W - rate · velocity           local on shares

The idea: Fu et al., "BlindFL", SIGMOD 2022 (arXiv 2206.07975), section 4.1, where weights are pieces of both parties
and Paillier multiplies; here weights are shares modulo Q. A matrix (columns, width) or (rows, width) travels and is
kept as a vector, one column of it after another.

Forward products are opened, so they are made as every opened score is (`protocols/scorecard/opened.py`): tile coding,
16-byte replies, scale 2^104 in all, no truncation, a uniform flood. Backward products stay shared: one product of the
block matrix with X at each of `width` places, whose replies pack into one.
"""
from __future__ import annotations

import os

import numpy as np

from protocols.commons.discrete_gaussian import NOISE_SEED_BYTES, Randomness, discrete_gaussian
from protocols.commons.privacy import Variance
from protocols.crypto import product
from protocols.crypto.fixed_point import to_fixed
from protocols.crypto.keys import KeyPair, PeerKeys
from protocols.crypto.layout import LayoutName, layout_of
from protocols.crypto.opening import open_shares
from protocols.crypto.product import MatrixTiles, ReplyCoding
from protocols.crypto.ring import RING
from protocols.errors import DataError, MalformedMessage, ProtocolError
from protocols.network.precision import COLUMN_BOUND_BITS, MOMENTUM_BITS, Scales, flood_bits
from protocols.network.settings import NOISE_GRID_BITS, NetworkSettings
from protocols.scorecard import opened
from protocols.scorecard.layout import FEATURE_BITS

SCORING_LAYOUT: LayoutName = "column"  # one upload serves any rows, 8,192 of them in a reply
BACKWARD_LAYOUT = "compact"
CODING = ReplyCoding.FULL
BOUND = 2.0**opened.BOUND_BITS


def fixed_columns(columns: np.ndarray) -> np.ndarray:
    """(n, d) float -> int64 in fixed point; DataError for values that whitening would not give."""
    if np.abs(columns).max(initial=0.0) >= 2.0**COLUMN_BOUND_BITS:
        raise DataError(f"expected columns below {2**COLUMN_BOUND_BITS}, got a larger value; whiten them first")
    return to_fixed(columns, FEATURE_BITS)


# ---------------------------------------------------------------- weights


def own_part(columns: int, width: int, scales: Scales) -> np.ndarray:
    """(2, columns·width): one side's part of the start weights, uniform about zero and known to nobody else.

    Both parts together have variance 1/columns up to a factor of 2, so that Z of whitened columns begins near 1.
    """
    size = columns * width
    bits = scales.weight + 1 - round(np.log2(columns / 1.5) / 2)
    centre = RING.encode_ints([1 << (bits - 1)] * size)
    return RING.sub(RING.random_below_bits(size, bits), centre)


def split(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two shares, each uniform by itself."""
    given = RING.random(values.shape[1])
    return RING.sub(values, given), given


def stepped(
    weights: np.ndarray, velocity: np.ndarray, gradient: np.ndarray, settings: NetworkSettings, *, second: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(weights, velocity) after one step: one side's shares; exactly one side passes second=True.

    Only the velocity is truncated: its momentum has four bits. The rate is c / 2^k, and weights have k bits more than
    the velocity, so their step is exact.
    """
    if velocity.shape[1]:
        kept = RING.mul_public(velocity, settings.source_momentum)
        gradient = RING.add(RING.truncate(kept, MOMENTUM_BITS, second=second), gradient)
    return RING.sub(weights, RING.mul_public(gradient, settings.rate[0])), gradient


# ---------------------------------------------------------------- forward


def ask_forward(
    keys: KeyPair, weights: np.ndarray, rows: int, width: int, bits: int, layout: LayoutName = opened.LAYOUT
) -> bytes:
    """The bank's share (2, columns·width) of the weights, of `bits` fractional bits, encrypted: one request per number
    of the embedding."""
    raised = np.split(opened.raised(weights, bits), width, axis=1)
    return b"".join(product.ask(keys, part, (rows, part.shape[1]), layout) for part in raised)


def forward_uploads(rows: int, columns: int, width: int) -> int:
    """Encryptions of zero that one forward request takes."""
    return width * layout_of((rows, columns), opened.LAYOUT).uploads


def answer_forward(
    tiles: MatrixTiles, peer: PeerKeys, weights: np.ndarray, request: bytes, width: int, bits: int,
    layout: LayoutName = opened.LAYOUT,
) -> tuple[bytes, np.ndarray]:
    """Reply, and the platform's share (2, rows·width) of Z at scale 2^104, fresh and not flooded yet."""
    parts = pieces(request, width, product.request_bytes(tiles.shape, layout), "forward requests")
    shares = np.split(opened.raised(weights, bits), width, axis=1)
    made = [product.answer(tiles, peer, share, part, opened.CODING)
            for share, part in zip(shares, parts, strict=True)]
    return b"".join(reply for reply, _ in made), np.concatenate([share for _, share in made], axis=1)


def finish_forward(
    keys: KeyPair, reply: bytes, shape: tuple[int, int], width: int, layout: LayoutName = opened.LAYOUT
) -> np.ndarray:
    """The bank's share (2, rows·width) of Z for a matrix of this shape."""
    parts = pieces(reply, width, product.reply_bytes(shape, layout, opened.CODING), "forward replies")
    return np.concatenate([product.finish(keys, part, shape, layout, opened.CODING) for part in parts], axis=1)


def pieces(payload: bytes, count: int, size: int, what: str) -> list[bytes]:
    """`count` parts of `size` bytes each; MalformedMessage on another length."""
    if len(payload) != count * size:
        raise MalformedMessage(f"expected {count} {what} of {size} bytes each, got {len(payload)} bytes")
    return [payload[at:at + size] for at in range(0, count * size, size)]


# ---------------------------------------------------------------- opening Z


def flooded(share: np.ndarray, settings: NetworkSettings) -> bytes:
    """What opens Z: the platform's share under a fresh flood, and noise if there is to be some. Made once."""
    count = share.shape[1]
    covered = RING.add(share, RING.random_below_bits(count, flood_bits(settings)))
    return RING.to_bytes(covered if settings.noise == 0 else RING.add(covered, _noise(count, settings.noise)))


def _noise(count: int, deviation: float) -> np.ndarray:
    """Exact discrete Gaussian on a grid of 2^-10, at scale 2^104; its randomness is thrown away."""
    source = Randomness(os.urandom(NOISE_SEED_BYTES), "embeddings")
    variance = Variance(max(1, round((deviation * 2.0**NOISE_GRID_BITS) ** 2)), 1)
    steps = discrete_gaussian(source, count, variance)
    return RING.mul_public(RING.encode(steps), 1 << (opened.SCALE_BITS - NOISE_GRID_BITS))


def embeddings(share: np.ndarray, payload: bytes, settings: NetworkSettings) -> np.ndarray:
    """float64 (rows, width): Z, from the bank's share and what came from the platform.

    MalformedMessage on another length; ProtocolError when a number is beyond 2^10.
    """
    total = open_shares(settings.kind, share, RING.from_bytes(payload, share.shape[1]))
    found = total.floats(opened.SCALE_BITS) - 2.0 ** (flood_bits(settings) - 1 - opened.SCALE_BITS)
    if np.abs(found).max() > BOUND:
        raise ProtocolError(f"expected embeddings up to {BOUND:.0f}, got one beyond; the training has diverged, so "
                            "take a smaller source_rate and start a new run")
    return found.reshape(settings.width, -1).T


# ---------------------------------------------------------------- backward


def fixed_gradient(gradient: np.ndarray, scales: Scales) -> np.ndarray:
    """float (rows, width) -> int64 (rows·width,), column by column."""
    return to_fixed(gradient.T.ravel(), scales.residual)


def backward_shape(rows: int, columns: int, width: int) -> tuple[int, int]:
    """Of the block matrix whose product with G is XᵀG."""
    return columns * width, rows * width


def ask_backward(keys: KeyPair, gradient: np.ndarray, shape: tuple[int, int]) -> bytes:
    """G, residues (2, rows·width), encrypted."""
    return product.ask(keys, gradient, shape, BACKWARD_LAYOUT)


def answer_backward(
    columns: np.ndarray, peer: PeerKeys, request: bytes, width: int, own: np.ndarray | None = None
) -> tuple[bytes, np.ndarray]:
    """Reply and the platform's share (2, columns·width) of XᵀG; `columns`: int64 (rows, d) of the batch; `own`: a share
    of G, if it is shared."""
    blocks = np.kron(np.eye(width, dtype=np.int32), columns.T.astype(np.int32))
    tiles = MatrixTiles(blocks, layout=BACKWARD_LAYOUT, cache_bytes=0)
    return product.answer(tiles, peer, own, request, CODING)


def finish_backward(keys: KeyPair, reply: bytes, shape: tuple[int, int]) -> np.ndarray:
    """The bank's share (2, columns·width) of XᵀG."""
    return product.finish(keys, reply, shape, BACKWARD_LAYOUT, CODING)


# ---------------------------------------------------------------- what is left at the end


def seal(keys: KeyPair, weights: np.ndarray, width: int, bits: int) -> bytes:
    """The bank's share (2, columns·width) as every later scoring multiplies it: 131 KB a weight, once."""
    return ask_forward(keys, weights, 1, width, bits, SCORING_LAYOUT)


def check_sealed(upload: bytes, columns: int, width: int) -> None:
    """MalformedMessage for what is no such upload."""
    for part in pieces(upload, width, product.request_bytes((1, columns), SCORING_LAYOUT), "sealed columns of weights"):
        product.check_request(part, (1, columns), SCORING_LAYOUT)


def released(own: np.ndarray, payload: bytes, width: int, scales: Scales) -> np.ndarray:
    """float64 (columns, width): the weights, opened to the platform to within 2^-12."""
    total = open_shares("source.weights", own, RING.from_bytes(payload, own.shape[1]))
    return total.floats(scales.weight).reshape(width, -1).T
