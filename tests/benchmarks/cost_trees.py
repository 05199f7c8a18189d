"""The measured parts of boosted trees, from the calls that both roles make: CPU seconds, the best of a few rounds."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from coordinator.cost.tree_sizes import chunks
from protocols.binning.columns import ColumnData
from protocols.boosting.bins import Binned
from protocols.boosting.candidates import Candidate
from protocols.boosting.columns import TreeColumns
from protocols.boosting.convolution import limbs_of, transformed
from protocols.boosting.feature_sums import Corrections, summed_bins
from protocols.boosting.gradients import quantised_gradients
from protocols.boosting.grower import Grower
from protocols.boosting.halves import Cut, FeatureHalf
from protocols.boosting.label_sums import SHARE_BYTES, Masks, Secrets, Veil, corrections, opened, request
from protocols.boosting.messages import Column, Split, side, sides_bytes
from protocols.boosting.model import Forest, Tree
from protocols.boosting.parameters import KEPT, PAD_DEGREE, room
from protocols.boosting.public import Public
from protocols.boosting.residues import SHARES
from protocols.boosting.settings import BoostingSettings
from protocols.crypto import seal_objects as so
from tests.benchmarks.cost_parts import ROUNDS, non_negative, seconds

BINS, ROWS, COLUMNS, OWN = 32, 8 * PAD_DEGREE, 20, 12
ROOM = room(24, ROWS, 2**20)
MATRICES = ((10, 32, 2), (10, 32, 8), (40, 2, 2), (40, 2, 8), (20, 16, 4))  # columns, bins of each, chunks
ANSWERS = ((8, 4), (64, 4), (8, 20), (64, 20), (32, 12))  # secrets, columns


def measure() -> dict[str, float]:
    """All parts, by name."""
    return _encoding() | _matrix() | _answers() | _vectors() | _growing() | _unseen()


def codes(rows: int, columns: int, bins: int = BINS) -> np.ndarray:
    """(rows, columns) even bins."""
    return np.random.default_rng(7).integers(0, bins, (rows, columns), dtype=np.uint8)


def _fitted(names: Sequence[str], features: Iterable[Sequence[float]], spent: Sequence[float]) -> dict[str, float]:
    found = non_negative(np.array(list(features), float), np.array(spent))
    return dict(zip(names, map(float, found), strict=True))


def _encoding() -> dict[str, float]:
    draw, known = np.random.default_rng(8), np.ones(ROWS, bool)
    table = {f"c{number}": ColumnData.of_numbers(draw.standard_normal(ROWS)) for number in range(COLUMNS)}
    return {"encode_cell_s": seconds(lambda: TreeColumns.fit(table, BINS, 20).codes(table, known)) / (ROWS * COLUMNS)}


def _matrix() -> dict[str, float]:
    """The platform's matrix by its shape; what hides it at one."""
    features, spent = [], []
    for columns, bins, count in MATRICES:
        rows, total = count * PAD_DEGREE, columns * bins
        binned = Binned(codes(rows, columns, bins), (bins,) * columns)
        spent.append(seconds(lambda binned=binned, rows=rows: Corrections(
            binned, Public(bytes(32), rows))._polynomials))
        features.append((total, count * columns, count * (total - columns)))
    chunk_s = seconds(lambda: _factors(ROWS)) / chunks(ROWS)
    spent = [whole - count * chunk_s for whole, (_, _, count) in zip(spent, MATRICES, strict=True)]
    names = ("matrix_bin_s", "matrix_cell_s", "matrix_product_s")
    made = _corrections(4)
    veil, bins = b"".join(made.veil()), 4 * BINS
    return {"chunk_s": chunk_s} | _fitted(names, features, spent) | {
        "veil_bin_s": seconds(lambda: list(made.veil())) / bins,
        "hold_bin_s": seconds(lambda: Veil.from_bytes(veil, bins)) / bins}


def _factors(rows: int) -> np.ndarray:
    """The public polynomials as the matrix is made of them."""
    return np.stack([transformed(limbs_of(pad)) for pad in Public(bytes(32), rows).pads])


def _corrections(columns: int) -> Corrections:
    """With its matrix made."""
    made = Corrections(Binned(codes(PAD_DEGREE, columns), (BINS,) * columns), Public(bytes(32), PAD_DEGREE))
    assert len(made._polynomials)
    return made


def _answers() -> dict[str, float]:
    """A request, its answer, and the bank's part of it."""
    public, spent, features = Public(bytes(32), PAD_DEGREE), {"answer": [], "correct": []}, []
    for count, columns in ANSWERS:
        made, bins = _corrections(columns), columns * BINS
        veil, secrets = Veil.from_bytes(b"".join(made.veil()), bins), Secrets.fresh(count)
        asked = request(public, secrets)
        reply, _ = made.answer(asked)
        spent["answer"].append(seconds(lambda made=made, asked=asked: made.answer(asked)))
        spent["correct"].append(seconds(lambda veil=veil, secrets=secrets, reply=reply: corrections(
            veil, secrets, reply)))
        features.append((count, bins, count * bins))
    asking = seconds(lambda: request(public, Secrets.fresh(32))) / 32
    return (_fitted(("answer_secret_s", "answer_bin_s", "answer_product_s"), features, spent["answer"])
            | _fitted(("correct_bin_s", "correct_product_s"), [one[1:] for one in features], spent["correct"])
            | {"ask_secret_s": asking})


def _vectors() -> dict[str, float]:
    """A hidden vector on its way: hidden, summed by the platform, opened."""
    public, vector = Public(bytes(32), ROWS), np.random.default_rng(9).integers(-256, 256, ROWS)
    masks, pads = Masks(public), Secrets.fresh(2).pads
    mask_s = seconds(lambda: Masks(Public(bytes(32), ROWS)))
    hide_s = seconds(lambda: list(masks.hidden([vector, vector], pads, ROOM))) / 2
    hidden = next(masks.hidden([vector], pads[:1], ROOM))
    unpack_s = seconds(lambda: so.unpack_residues(memoryview(hidden), KEPT, ROWS))
    binned, bins = Binned(codes(ROWS, COLUMNS), (BINS,) * COLUMNS), COLUMNS * BINS
    words = so.unpack_residues(memoryview(hidden), KEPT, ROWS)
    sum_s = seconds(lambda: binned.sums(words))
    share = SHARES.random(bins)
    reply = summed_bins(binned, hidden, share, ROOM, np.ones(bins, bool))
    whole = seconds(lambda: summed_bins(binned, hidden, share, ROOM, np.ones(bins, bool)))
    assert len(reply) == SHARE_BYTES * bins
    return {"mask_chunk_s": mask_s / chunks(ROWS), "hide_row_s": hide_s / ROWS, "unpack_row_s": unpack_s / ROWS,
            "sum_cell_s": sum_s / (ROWS * COLUMNS), "sum_bin_s": max(0.0, whole - sum_s - unpack_s) / bins,
            "open_bin_s": seconds(lambda: opened(reply, share, ROOM)) / bins}


def _growing() -> dict[str, float]:
    """The bank by itself: own sums, the best split of a node, rows that are passed on, a tree's gradients."""
    settings = BoostingSettings(trees=2, depth=2, bins=BINS)
    own, labels = codes(ROWS, OWN), (np.random.default_rng(10).random(ROWS) < 0.1).astype(np.int8)
    binned = Binned(own, (BINS,) * OWN)
    columns = tuple(Candidate("bank", number, BINS, 0, False) for number in range(OWN))

    def grower() -> Grower:
        return Grower(settings, labels, columns, b"bench")

    wanted = grower().wanted()
    own_s = seconds(lambda: [binned.plain_sums(wanted.vector(at)) for at in range(2)]) / 2
    sums = np.stack([binned.plain_sums(vector) for vector in wanted.vectors])
    gradients_s = seconds(lambda: quantised_gradients(
        np.zeros(ROWS), labels, np.ones(ROWS, bool), settings, b"bench"))
    split_s = _prepared(grower, lambda one: one.take_sums(sums))
    split = Split(3, BINS // 2, False)
    side_s = seconds(lambda: sides_bytes(side(binned.columns[3], split, Column(BINS))[None]))
    return {"own_cell_s": own_s / (ROWS * OWN), "split_column_s": split_s / OWN, "side_row_s": side_s / ROWS,
            "route_row_s": _route_s(grower, sums, binned) / ROWS, "tree_row_s": gradients_s / ROWS}


def _prepared(make: Callable[[], Grower], work: Callable[[Grower], object]) -> float:
    """Of work on something fresh each time."""
    fresh = iter([make() for _ in range(ROUNDS)])
    return seconds(lambda: work(next(fresh)))


def _route_s(make: Callable[[], Grower], sums: np.ndarray, binned: Binned) -> float:
    """Of all rows at the root's split."""
    def ready() -> Grower:
        one = make()
        one.take_sums(sums)
        return one

    (split,) = ready().wanted().splits
    left = side(binned.columns[split.column], Split(split.column, split.bin, split.missing_left), Column(BINS))
    return _prepared(ready, lambda one: one.take_sides(iter([left])))


def _unseen(splits: int = 140) -> dict[str, float]:
    """Rows that the model has not seen: sides at `splits` splits, and what trees of depth 3 make of them."""
    values = {f"c{number}": np.random.default_rng(number).standard_normal(ROWS) for number in range(COLUMNS)}
    cuts = tuple(Cut(column=f"c{number % COLUMNS}", bin=1, threshold=0.1, missing_left=True)
                 for number in range(splits))
    half = FeatureHalf(party="platform", cuts=cuts)
    tree = Tree(split=(0, 1, 2, 3, 4, 5, 6, *[-1] * 8), left=(1, 3, 5, 7, 9, 11, 13, *[-1] * 8),
                right=(2, 4, 6, 8, 10, 12, 14, *[-1] * 8), value=(0.0,) * 15, cover=(1.0,) * 15, gain=(0.0,) * 15)
    forest = Forest(base=0.0, trees=tuple(tree.numbered(7 * number) for number in range(splits // 7)))
    sides = half.sides(values)
    return {"unseen_cell_s": seconds(lambda: sides_bytes(half.sides(values))) / (ROWS * splits),
            "margin_cell_s": seconds(lambda: forest.margins(sides)) / (ROWS * splits)}
