"""Boosted trees as stages: the message graph of protocols/boosting. The two sides take turns, so stages add up.

How a training goes depends on labels; what is predicted is the most there can be: every node splits that may. Whose
column wins follows from how many columns each side has.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from coordinator.cost import tree_sizes as sizes
from coordinator.cost.parts import Trees as Seconds
from coordinator.cost.stage import Add, Stage
from coordinator.cost.workload import Workload
from protocols.boosting.gradients import share_of
from protocols.boosting.settings import BoostingSettings, widths

TREE_BYTES = 75  # of a finished tree as JSON, per node


@dataclass(frozen=True)
class Level:
    """Of one tree: nodes whose sums are asked for, splits, and those of them by the platform's columns."""

    asked: int
    splits: int
    theirs: int


Tree = tuple[Level, ...]


def drawn_rows(work: Workload) -> int:
    """Training rows that a tree is grown from."""
    settings, (rows,) = work.model.boosting, work.train_rows()
    if settings.early_stopping_rounds:
        rows -= share_of(settings.validation_share, rows)
    return int(rows * (settings.goss.top + settings.goss.other if settings.goss else settings.row_share))


def full_tree(work: Workload) -> Tree:
    """Every node splits that has enough rows, as far as their number goes: sums are asked of the root, then of the
    smaller child of each split, if both children are large enough."""
    settings, rows, (width,) = work.model.boosting, drawn_rows(work), work.platform_columns
    share, levels = width / (width + work.bank_columns), []
    splits = min(1, rows // settings.node_rows)
    asked = splits
    while asked and len(levels) < settings.depth:
        levels.append(Level(asked, splits, round(share * splits)))
        asked = min(splits, rows // (2 * settings.node_rows))
        splits = 2 * asked
    return tuple(levels)


def pieces(level: Level, rows: int) -> list[int]:
    """Vectors of each message of a level: gradients and hessians of its nodes."""
    most, count = sizes.vectors_at_once(rows), 2 * level.asked
    return [min(most, count - at) for at in range(0, count, most)]


def batches(forest: Sequence[Tree], settings: BoostingSettings, rows: int) -> Iterator[int]:
    """Secrets of each request: as many as all trees to come can need, never more in all than the platform was told."""
    each, stock, used = 2 ** settings.depth, 0, 0
    for done, tree in enumerate(forest):
        for count in (count for level in tree for count in pieces(level, rows)):
            while stock < count:
                need, left = (settings.trees - done) * each, settings.trees * each - used
                asked = min(sizes.BATCH, need - stock, left - stock)
                yield asked
                stock += asked
            stock, used = stock - count, used + count


# ---------------------------------------------------------------- encoding, training


def encode(stage: Stage) -> None:
    """Columns as bins; every party by itself."""
    work, part = stage.work, stage.parts.trees
    for party, width in ((*work.banks, work.bank_columns), (*work.platforms, *work.platform_columns)):
        stage.compute(party, part.encode_cell_s * sum(work.rows) * width)


def train(work: Workload, cache_bytes: int, add: Add, forest: Sequence[Tree] | None = None) -> None:
    """Setup, secrets, and the levels of all trees; `forest`: as they turned out, else full ones. `cache_bytes` is that
    of scorecards."""
    settings, (rows,) = work.model.boosting, work.train_rows()
    grown = [full_tree(work)] * settings.trees if forest is None else forest
    shape = Training(work, rows)
    add(shape.setup)
    for count, times in Counter(batches(grown, settings, rows)).items():
        add(lambda stage, count=count: shape.secrets(stage, count), times)
    for level, times in Counter(level for tree in grown for level in tree).items():
        add(lambda stage, level=level: shape.level(stage, level), times)
    add(shape.tree, len(grown))
    add(shape.end)


class Training:
    """The stages of a training over `rows` rows."""

    def __init__(self, work: Workload, rows: int):
        self._rows, self._settings = rows, work.model.boosting
        (self._bank,), (self._platform,), (self._width,) = work.banks, work.platforms, work.platform_columns
        self._own, self._bins = work.bank_columns, sum(work.platform_tree_bins)
        self._summed = round(self._settings.column_share * self._bins)  # of the columns that compete, on average
        self._sum_bytes = 4 if max(widths(self._settings, rows)) < 32 else 8

    def setup(self, stage: Stage) -> None:
        """The platform's matrix, once, and what hides it."""
        part, bank, platform = stage.parts.trees, self._bank, self._platform
        told = stage.send(platform, bank, "shape", sizes.shape_bytes(self._width))
        stage.compute(bank, 0.0, told)
        begun = stage.send(bank, platform, "begin", sizes.begin_bytes())
        stage.compute(platform, self._matrix(part) + part.veil_bin_s * self._bins, begun)
        kept = sizes.VEIL_KEPT_BYTES * sizes.polynomials(self._bins)
        veil = stage.send(platform, bank, "veil", sizes.veil_bytes(self._bins), kept)
        stage.compute(bank, part.hold_bin_s * self._bins + part.mask_chunk_s * sizes.chunks(self._rows), veil)
        stage.store(bank, 0, sizes.veil_bytes(self._bins))

    def _matrix(self, part: Seconds) -> float:
        chunks = sizes.chunks(self._rows)
        each = part.matrix_cell_s * self._width + part.matrix_product_s * (self._bins - self._width)
        return part.matrix_bin_s * self._bins + chunks * (part.chunk_s + each)

    def secrets(self, stage: Stage, count: int) -> None:
        """One-time secrets, and shares of what their pads add to every bin."""
        part, bins, answered = stage.parts.trees, self._bins, sizes.corrections_bytes(count, self._bins)
        stage.compute(self._bank, part.ask_secret_s * count)
        asked = stage.send(self._bank, self._platform, "secrets", sizes.SECRET_BYTES * count,
                           sizes.SECRET_KEPT_BYTES * count)
        answer = part.answer_secret_s * count + part.answer_bin_s * bins + part.answer_product_s * count * bins
        stage.compute(self._platform, answer, asked)
        came = stage.send(self._platform, self._bank, "corrections", answered, answered)
        stage.compute(self._bank, part.correct_bin_s * bins + part.correct_product_s * count * bins, came)
        stage.store(self._bank, 0, answered)

    def level(self, stage: Stage, level: Level) -> None:
        """Hidden vectors and their sums, message by message, then the splits and who goes left."""
        part, columns = stage.parts.trees, self._own + self._width
        for count in pieces(level, self._rows):
            self._sums(stage, count)
        own = 2 * level.asked * self._own * self._rows * part.own_cell_s
        stage.compute(self._bank, own + level.splits * columns * part.split_column_s)
        if level.theirs:
            self._sides(stage, level.theirs)
        mine = (level.splits - level.theirs) * part.side_row_s
        stage.compute(self._bank, self._rows * (mine + level.splits * part.route_row_s))

    def _sums(self, stage: Stage, count: int) -> None:
        part, rows, bank, platform = stage.parts.trees, self._rows, self._bank, self._platform
        stage.compute(bank, part.hide_row_s * rows * count)
        size = sizes.vectors_bytes(count, rows, self._width)
        kept = self._sum_bytes * self._summed * count + sizes.sides_bytes(1, rows)
        came = stage.send(bank, platform, "vectors", size, kept)
        cells = part.unpack_row_s + part.sum_cell_s * self._width
        stage.compute(platform, count * (rows * cells + part.sum_bin_s * self._summed), came)
        sums = stage.send(platform, bank, "sums", sizes.SHARE_BYTES * self._summed * count)
        stage.compute(bank, part.open_bin_s * self._summed * count, sums)

    def _sides(self, stage: Stage, splits: int) -> None:
        part, told = stage.parts.trees, sizes.split_bytes(splits)
        asked = stage.send(self._bank, self._platform, "splits", told)
        stage.compute(self._platform, part.side_row_s * self._rows * splits, asked)
        sides = stage.send(self._platform, self._bank, "sides", sizes.sides_bytes(splits, self._rows), told)
        stage.compute(self._bank, 0.0, sides)

    def tree(self, stage: Stage) -> None:
        """Gradients, and a tree that is written down."""
        stage.compute(self._bank, stage.parts.trees.tree_row_s * self._rows)

    def end(self, stage: Stage) -> None:
        """The bank's last word, with the trees that were not written down with a vector."""
        nodes = self._settings.trees * 2 ** (self._settings.depth + 1)
        stage.compute(self._platform, 0.0, stage.send(self._bank, self._platform, "end", 0, TREE_BYTES * nodes))


# ---------------------------------------------------------------- rows that the model has not seen


@dataclass(frozen=True)
class Splits:
    """Of all trees, and those by the platform's columns."""

    all: int
    theirs: int


def splits_of(forest: Sequence[Tree]) -> Splits:
    """Of a model."""
    levels = [level for tree in forest for level in tree]
    return Splits(sum(level.splits for level in levels), sum(level.theirs for level in levels))


def evaluate(stage: Stage, forest: Sequence[Tree] | None = None) -> None:
    """The bank's own trees, sides of the hold-out rows, the judgement, the verdict."""
    work, parts = stage.work, stage.parts
    ((bank,), (platform,), ((calibration, test),)) = work.banks, work.platforms, work.holdout_rows()
    grown = [full_tree(work)] * work.model.boosting.trees if forest is None else forest
    splits = splits_of(grown)
    stage.compute(bank, _own_trees(work, parts.trees))
    _unseen(stage, splits, {"calibration": calibration, "test": test})
    judged = parts.local.evaluate_row_s + parts.trees.margin_cell_s * splits.all  # of its own trees
    stage.compute(bank, judged * (calibration + test))
    stage.compute(platform, 0.0, stage.send(bank, platform, "verdict", sizes.VERDICT_BYTES))


def _own_trees(work: Workload, part: Seconds) -> float:
    """Seconds of as many trees of the bank's columns alone."""
    (rows,), columns = work.train_rows(), work.bank_columns
    spent = part.tree_row_s * rows
    for level in full_tree(work):
        spent += 2 * level.asked * rows * columns * part.own_cell_s
        spent += level.splits * (columns * part.split_column_s + rows * (part.side_row_s + part.route_row_s))
    return work.model.boosting.trees * spent


def score(stage: Stage) -> None:
    """Sides of all rows in common, and their scores."""
    work = stage.work
    _unseen(stage, splits_of([full_tree(work)] * work.model.boosting.trees), {"batch": sum(work.rows)})


def _unseen(stage: Stage, splits: Splits, slices: dict[str, int]) -> None:
    """Of every row the side at every split that is kept."""
    part, (bank,), (platform,) = stage.parts.trees, stage.work.banks, stage.work.platforms
    stage.compute(platform, 0.0, stage.send(bank, platform, "kept", sizes.KEPT_BYTES))
    for name, rows in slices.items():
        for count, size in sizes.sides_pieces(splits.theirs, rows):
            stage.compute(platform, part.unseen_cell_s * splits.theirs * count)
            came = stage.send(platform, bank, f"sides.{name}", size)
            stage.compute(bank, 0.0, came)
            stage.store(bank, 0, size)
        own = part.unseen_cell_s * (splits.all - splits.theirs)
        stage.compute(bank, rows * (own + part.margin_cell_s * splits.all))
