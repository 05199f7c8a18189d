"""What looks at a whole run: are shares uniform, and was anything that may serve once used twice?

A chi-square statistic above, or a Kolmogorov-Smirnov distance beyond the bounds here comes by chance with probability
below 10^-6; a repeated block of 16 bytes in a gigabyte with probability below 2^-76.
"""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np

from protocols.crypto.ring import RING

CELLS = 64
BLOCK = 16
_NORMAL = 4.9  # deviations: one-sided probability 5·10^-7


def chi_square_bound(cells: int) -> float:
    """Upper quantile at 10^-6 or less (Wilson, Hilferty 1931, with a margin)."""
    freedom = cells - 1
    return freedom * (1 - 2 / (9 * freedom) + _NORMAL * (2 / (9 * freedom)) ** 0.5) ** 3


def uniformity(share: np.ndarray, cells: int = CELLS) -> float:
    """Largest chi-square over its bound of a share, (2, n): the whole number's and the residues' highest bits, the
    residues' lowest; a fair share stays below 1."""
    worst, expected = 0.0, share.shape[1] / cells
    for place in _places(share, cells):
        counts = np.bincount(place, minlength=cells)
        worst = max(worst, float(((counts - expected) ** 2 / expected).sum()))
    return worst / chi_square_bound(cells)


def _places(share: np.ndarray, cells: int) -> list[np.ndarray]:
    """Cells of the whole number, and of both residues by their highest and their lowest bits."""
    scaled = [(RING.digits(share)[1], RING.q[1]), *zip(share, RING.q, strict=True)]
    highest = [(row.astype(float) * cells / q).astype(int) for row, q in scaled]
    return [*highest, *((row % np.uint64(cells)).astype(int) for row in share)]


def alike(first: np.ndarray, second: np.ndarray) -> float:
    """Two-sample Kolmogorov-Smirnov distance of 16-bit words over its bound at 10^-6; of one distribution: below 1."""
    steps = [np.cumsum(np.bincount(sample, minlength=1 << 16)) / len(sample) for sample in (first, second)]
    bound = (np.log(2 / 1e-6) / 2 * (1 / len(first) + 1 / len(second))) ** 0.5
    return float(np.abs(steps[0] - steps[1]).max() / bound)


def distances_of(real: Iterable[tuple[str, bytes]], made: Iterable[tuple[str, bytes]]) -> dict[str, float]:
    """`alike` of two views, per kind of message, by the 16-bit words behind the first 16 bytes of all payloads; the
    kinds must be the same."""
    words = [_words_by_kind(view) for view in (real, made)]
    if words[0].keys() != words[1].keys():
        raise ValueError(f"views of different messages: {sorted(words[0].keys() ^ words[1].keys())}")
    return {kind: alike(words[0][kind], words[1][kind]) for kind in words[0]}


def _words_by_kind(view: Iterable[tuple[str, bytes]]) -> dict[str, np.ndarray]:
    """Kinds of more than two numbers; those of one or two are declared and part of the output."""
    joined = defaultdict(list)
    for kind, payload in view:
        if len(payload) > BLOCK:
            joined[kind].append(np.frombuffer(payload[BLOCK : len(payload) // 2 * 2], "<u2"))
    return {kind: np.concatenate(parts) for kind, parts in joined.items()}


def repeated_blocks(payloads: Iterable[tuple[str, bytes]], skip: int = 32) -> set[tuple[str, str]]:
    """Pairs of names of payloads that have an aligned block of 16 bytes in common; a payload may pair with itself.

    `skip`: what stands before the first random byte: tags and lengths are the same everywhere. A seed, a share, a
    ciphertext's coefficients: none may ever come again in a run.
    """
    names, blocks = [], []
    for name, payload in payloads:
        count = max(0, (len(payload) - skip) // BLOCK)
        names.append(name)
        blocks.append(np.frombuffer(payload, "<u8", 2 * count, skip if count else 0).reshape(count, 2))
    owner = np.repeat(np.arange(len(names)), [len(part) for part in blocks])
    words = np.concatenate(blocks)
    order = np.lexsort((words[:, 1], words[:, 0]))
    words, owner = words[order], owner[order]
    again = np.flatnonzero((words[1:] == words[:-1]).all(axis=1) & words[1:].any(axis=1))
    return {(names[one], names[other]) for one, other in np.sort([owner[again], owner[again + 1]], axis=0).T}


def reused_masks(shares: Mapping[str, Sequence[np.ndarray]]) -> set[str]:
    """Names of lists of shares, (2, n) each, two of which have a mask in common.

    Under one mask the difference of two shares is the difference of what they share: numbers far below Q.
    """
    return {name for name, members in shares.items()
            for one, other in combinations(members, 2) if one.shape == other.shape and _small(RING.sub(one, other))}


def _small(difference: np.ndarray) -> bool:
    """Whether all of a vector lies within 2^-20 of the ring around zero."""
    return float(np.abs(RING.to_float(difference)).max()) < RING.modulus / 2**20
