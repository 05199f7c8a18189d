"""Networks as stages: the message graph of protocols/network with what the source layer makes opened (`activation =
"none"`). The two sides take turns; while one works the other makes the zeros of its next message.

Every epoch is counted: when a training stops early only its data say. The bank's module and its optimiser are not
counted: 0.1 s for 30,000 rows and an epoch, beside seconds of products.
"""
from __future__ import annotations

from collections import Counter

from coordinator.cost import phases, sizes
from coordinator.cost.parts import TILE_BYTES, tiles
from coordinator.cost.sizes import COLUMN, FULL, SHARE_BYTES, TILE
from coordinator.cost.stage import Add, Stage
from coordinator.cost.workload import Workload
from protocols.crypto.layout import LayoutName
from protocols.errors import ConfigError
from protocols.network.partition import partition
from protocols.network.pieces import NAME_BYTES, NUMBER, STEP, Piece, pieces
from protocols.network.settings import NetworkSettings
from protocols.policy import ROWS_PER_COEFFICIENT, Policy

SETUP_BYTES = 12  # rows, columns
EPOCH_BYTES = 2
MOST_WEIGHTS = 1024  # of the source layer
RANK_SHARE: float = Policy.model_fields["maximum_opened_rank"].default
_KEY_BYTES = 12_000_000  # Galois keys of the bank, ready for use
_CELL = 24  # bytes per row and column: as they came, encoded, in fixed point


def train(work: Workload, cache_bytes: int, add: Add) -> None:
    """Setup, the turns of all epochs, what is left at the end. ConfigError for a strict network."""
    settings, (rows,), shape = _settings(work), work.train_rows(), Layer(work)
    parts = partition(rows, settings)
    add(shape.setup)
    for count, times in Counter(map(len, parts.batches)).items():
        add(lambda stage, count=count: shape.batch(stage, count), settings.epochs * times)
    add(lambda stage: shape.judge(stage, len(parts.validation)), settings.epochs)
    add(shape.end)


def _settings(work: Workload) -> NetworkSettings:
    settings = work.model.network
    if settings.strict:
        raise ConfigError("expected a network with activation = 'none', got 'square', whose cost is not predicted yet; "
                          "train it on few rows and multiply")
    return settings


class Layer:
    """The stages of a training."""

    def __init__(self, work: Workload):
        (self._bank,), (self._platform,), (self._columns,) = work.banks, work.platforms, work.platform_columns
        self._width, self._shared = work.model.network.width, work.model.release == "shared"
        self._size = self._width * self._columns

    def setup(self, stage: Stage) -> None:
        """The bank's keys, start weights."""
        keys, bank, platform = stage.parts.keys, self._bank, self._platform
        told = stage.send(platform, bank, "setup", SETUP_BYTES)
        stage.compute(bank, keys.generate_s, told)
        stage.send(bank, platform, "setup", SETUP_BYTES + sizes.public_key_bytes())
        started = stage.send(bank, platform, "init", SHARE_BYTES * self._size)
        stage.compute(platform, keys.expand_s, started)
        stage.compute(bank, 0.0, stage.send(platform, bank, "init", SHARE_BYTES * self._size))

    def batch(self, stage: Stage, rows: int) -> None:
        """Forward, and back."""
        shape, parts = (self._size, self._width * rows), stage.parts
        self._forward(stage, rows, parts.zeros([shape], []))
        stage.compute(self._bank, parts.ask(shape))
        asked = stage.send(self._bank, self._platform, "backward.request", sizes.request_bytes(shape))
        stage.compute(self._bank, self._width * parts.zeros([(rows, self._columns)], [], TILE))
        stage.compute(self._platform, parts.zeros([], [shape]) + parts.answer(shape, tiles(shape)), asked)
        came = stage.send(self._platform, self._bank, "backward.reply", sizes.reply_bytes(shape, FULL))
        stage.compute(self._bank, parts.finish(shape), came)

    def judge(self, stage: Stage, rows: int) -> None:
        """The validation rows end an epoch."""
        self._forward(stage, rows, 0.0)
        told = stage.send(self._bank, self._platform, "epoch", EPOCH_BYTES)
        stage.compute(self._platform, 0.0, told)
        stage.compute(self._bank, self._width * stage.parts.zeros([(rows, self._columns)], [], TILE))

    def _forward(self, stage: Stage, rows: int, meanwhile: float) -> None:
        """A product for each number of the embedding, and what opens them; `meanwhile`: of the bank while it waits."""
        shape, parts, width = (rows, self._columns), stage.parts, self._width
        stage.compute(self._bank, width * parts.ask(shape, TILE))
        stage.compute(self._platform, width * parts.zeros([], [shape], TILE))
        asked = stage.send(self._bank, self._platform, "forward.request", width * sizes.request_bytes(shape, TILE))
        stage.compute(self._bank, meanwhile)
        stage.compute(self._platform, _products(stage, shape, width, TILE), asked)
        reply = width * sizes.reply_bytes(shape, FULL, TILE)
        came = stage.send(self._platform, self._bank, "forward.reply", reply)
        opened = stage.send(self._platform, self._bank, "embeddings", SHARE_BYTES * width * rows)
        stage.compute(self._bank, width * parts.finish(shape, layout=TILE), came, opened)

    def end(self, stage: Stage) -> None:
        """Weights to the platform, or the bank's share of them sealed for all scoring."""
        if not self._shared:
            opened = stage.send(self._bank, self._platform, "weights", SHARE_BYTES * self._size)
            stage.compute(self._platform, 0.0, opened)
            return
        product, size = stage.parts.product, self._width * sizes.request_bytes((1, self._columns), COLUMN)
        stage.compute(self._bank, (product.ask_s + product.zero_own_s) * self._size)
        stage.compute(self._platform, 0.0, stage.send(self._bank, self._platform, "sealed", size))
        stage.store(self._platform, 0, size)


def _products(stage: Stage, shape: tuple[int, int], width: int, layout: LayoutName) -> float:
    """Seconds of products with one matrix, whose tiles are made for the first."""
    first = stage.parts.answer(shape, tiles(shape, layout=layout), layout=layout)
    return first + (width - 1) * stage.parts.answer(shape, 0, layout=layout)


# ---------------------------------------------------------------- rows that the model has not seen


def evaluate(stage: Stage) -> None:
    """Numbers of the hold-out rows, the bank's judgement, the verdict."""
    ((calibration, test),), (bank,), (platform,) = stage.work.holdout_rows(), stage.work.banks, stage.work.platforms
    _pieces(stage, {"calibration": calibration, "test": test})
    stage.compute(bank, stage.parts.local.evaluate_row_s * (calibration + test))
    stage.compute(platform, 0.0, stage.send(bank, platform, "verdict", 1))


def score(stage: Stage) -> None:
    """Numbers of all rows in common."""
    phases.encode(stage)
    _pieces(stage, {"batch": sum(stage.work.rows)})


def _pieces(stage: Stage, slices: dict[str, int]) -> None:
    work, settings = stage.work, _settings(stage.work)
    shared, (platform,) = work.model.release == "shared", work.platforms
    stage.compute(platform, stage.parts.keys.expand_s if shared else 0.0)
    for piece in pieces(slices, settings):
        (_shared_piece if shared else _own_piece)(stage, piece, settings.width)


def _own_piece(stage: Stage, piece: Piece, width: int) -> None:
    """The platform has the weights."""
    (bank,), (platform,) = stage.work.banks, stage.work.platforms
    asked = stage.send(bank, platform, "piece.request", NUMBER.size)
    stage.compute(platform, 0.0, asked)
    told = stage.send(platform, bank, f"embeddings.{piece.name}", STEP.itemsize * width * piece.count)
    stage.compute(bank, 0.0, told)


def _shared_piece(stage: Stage, piece: Piece, width: int) -> None:
    """A product with the sealed share."""
    (bank,), (platform,), (columns,) = stage.work.banks, stage.work.platforms, stage.work.platform_columns
    shape, parts = (piece.count, columns), stage.parts
    asked = stage.send(bank, platform, "piece.request", NUMBER.size + 2 * NAME_BYTES)
    zeros = width * parts.zeros([], [shape], COLUMN)
    stage.compute(platform, zeros + _products(stage, shape, width, COLUMN), asked)
    came = stage.send(platform, bank, "piece.reply", width * sizes.reply_bytes(shape, FULL, COLUMN))
    told = stage.send(platform, bank, f"embeddings.{piece.name}", SHARE_BYTES * width * piece.count)
    stage.compute(bank, width * parts.finish(shape, layout=COLUMN), came, told)


# ---------------------------------------------------------------- memory, what stands in the way


def memory_bytes(work: Workload, party: str, cache_bytes: int) -> float:
    """Of a training at a party, beyond its table and its process without data."""
    settings, (rows,), (width,) = _settings(work), work.train_rows(), work.platform_columns
    parts = partition(rows, settings)
    shape = max(len(parts.validation), len(parts.batches[0])), width
    message = 2 * settings.width * sizes.reply_bytes(shape, FULL, TILE)
    if party in work.banks:
        return _KEY_BYTES + message + _CELL * work.bank_columns * sum(work.rows)
    made = min(tiles(shape, layout=TILE) * TILE_BYTES, cache_bytes)
    return _KEY_BYTES + message + made + _CELL * width * sum(work.rows)


def notes(work: Workload) -> list[str]:
    """What would have to change."""
    settings, (rows,), (columns,) = work.model.network, work.train_rows(), work.platform_columns
    size, most, found = columns * settings.numbers, int(RANK_SHARE * columns), []
    if size > MOST_WEIGHTS:
        found.append(f"{size} weights of the source layer would be refused: at most {MOST_WEIGHTS}")
    if settings.openings_per_row > most:
        found.append(f"{settings.openings_per_row} opened numbers of each training row would be refused: at most "
                     f"{most} for {columns} columns; take fewer epochs or a smaller width")
    if work.model.release == "owner" and rows < ROWS_PER_COEFFICIENT * size:
        found.append(f"{rows} training rows for {size} released weights would be refused: at least "
                     f"{ROWS_PER_COEFFICIENT} rows each")
    return found
