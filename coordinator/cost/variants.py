"""What a plan's settings change in a training, as stages: polynomial activations, openings of scores, weights that stay
shared, and the open-score variant, which has a message graph of its own.
"""
from __future__ import annotations

from coordinator.cost import sizes
from coordinator.cost.parts import TILE_BYTES, tiles
from coordinator.cost.schedule import Task
from coordinator.cost.sizes import FULL, SHARE_BYTES, TILE
from coordinator.cost.stage import Stage
from coordinator.cost.training import Backward, Pass, Shape, Shapes, reply

SETUP_BYTES = 12  # open-score: rows, columns


class PolynomialPass(Pass):
    """A step with `deg1` or `deg3` (protocols/scorecard/polynomial.py): no slopes, and nothing is made ahead but by the
    platforms after the first; `deg3` has two element-wise products that the bank asks for."""

    def build(self) -> None:
        """All tasks and bytes."""
        for bank, shapes in self._shapes.items():
            self._stage.compute(bank, self._bank_zeros(shapes))
            self._stage.compute(self._lead, self._lead_zeros(shapes))
        super().build()

    def _answer_lead(self, asked: dict[str, Task]) -> dict[str, Task]:
        return {bank: self._answer_one(bank, task) for bank, task in asked.items()}

    def _residuals(self, replies: dict[str, Task], sums: dict[str, Task]) -> Backward:
        asked, backward, shares = {}, {}, {}
        for bank, shapes in self._shapes.items():
            rows = shapes.to_bank[0]
            self._stage.compute(self._lead, self._parts.finish(shapes.to_bank) + self._local(rows), replies[bank])
            self._stage.compute(bank, self._parts.finish(shapes.to_platform, self._summed) + self._local(rows),
                                sums[bank])
            cube = self._powers(bank, rows) if self._work.model.activation == "deg3" else None
            self._stage.compute(self._lead, self._parts.ask(shapes.back_bank))
            asked[bank], shares[bank] = self._ask_lead_backward(bank)
            self._stage.compute(bank, self._parts.ask(shapes.back_platform), *([cube] if cube else []))
            backward[bank] = self._fan_backward(bank)
            self._stock_others(shapes)
        return asked, backward, shares

    def _powers(self, bank: str, rows: int) -> Task:
        """Square, then cube; ends when the bank has its share of the cube."""
        back = None
        for kind, terms in (("square", 1), ("cube", 2)):
            part, blocks = self._parts.elementwise, sizes.slot_blocks(rows)
            opened = blocks * part.finish_s + self._local(rows) if back else 0.0
            self._stage.compute(bank, opened + terms * blocks * part.ask_s, *([back] if back else []))
            size = terms * sizes.elementwise_request_bytes(rows)
            request = self._stage.send(bank, self._lead, f"{kind}.request", size, SHARE_BYTES * rows)
            self._stage.compute(self._lead, self._parts.cross(rows, terms) + self._local(rows), request)
            size = sizes.elementwise_reply_bytes(rows)
            back = self._stage.send(self._lead, bank, f"{kind}.reply", size, SHARE_BYTES * rows)
        self._stage.compute(bank, blocks * part.finish_s + self._local(rows), back)
        return back


def opening(stage: Stage, rows: list[int]) -> None:
    """Polish, once: scores of the only bank's training rows are opened to it, and its slopes are made anew."""
    work, parts, (bank,), (count,) = stage.work, stage.parts, stage.work.banks, rows
    lead, shapes = work.platforms[0], Shapes.of(work, count)
    to_platform, to_bank = shapes.to_platform, shapes.to_bank
    requests = [to_platform] * len(work.platforms)
    stage.compute(bank, parts.zeros(requests, [], TILE) + len(requests) * parts.ask(to_platform, TILE))
    size = sizes.request_bytes(to_platform, TILE)
    asked = stage.send_each(bank, "scores.request", dict.fromkeys(work.platforms, size))
    stage.compute(lead, parts.zeros([to_bank], [], TILE) + parts.ask(to_bank, TILE))
    wanted = stage.send(lead, bank, "scores.request", sizes.request_bytes(to_bank, TILE))
    answered = stage.compute(bank, _opening_answer(stage, to_bank, False), wanted)
    came = reply(stage, lead, {bank: answered}, "scores.reply", to_bank, FULL, TILE)
    summed = len(work.platforms) > 1
    computed = {name: stage.compute(name, _opening_answer(stage, to_platform, summed), task)
                for name, task in asked.items()}
    scores = reply(stage, bank, computed, "scores.reply", to_platform, FULL, TILE)
    stage.compute(lead, parts.finish(to_bank, layout=TILE), came)
    opened = stage.send(lead, bank, "scores.training", SHARE_BYTES * count)
    anew = parts.local.fit_cell_s * count + sizes.slot_blocks(count) * parts.elementwise.factor_s
    stage.compute(bank, parts.finish(to_platform, summed, TILE), scores)
    stage.compute(bank, anew, opened)
    stage.store(bank, 0, SHARE_BYTES * count)


def _opening_answer(stage: Stage, shape: Shape, summed: bool) -> float:
    """Seconds of an answer whose zeros and tiles are made for it alone."""
    made = tiles(shape, layout=TILE)
    return stage.parts.zeros([], [shape], TILE) + stage.parts.answer(shape, made, summed=summed, layout=TILE)


def seal(stage: Stage) -> None:
    """`release = "shared"`: each side's share of the other's coefficients leaves, one upload per coefficient."""
    work, product = stage.work, stage.parts.product
    (bank,), (platform,), (width,) = work.banks, work.platforms, work.platform_columns
    for sender, receiver, columns in ((bank, platform, width), (platform, bank, work.bank_columns)):
        stage.compute(sender, (product.ask_s + product.zero_own_s) * columns)
        size = sizes.request_bytes((1, columns), sizes.COLUMN)
        stage.compute(receiver, 0.0, stage.send(sender, receiver, "weights", size))
        stage.store(receiver, 0, size)


class OpenScore:
    """The stages of `variant = "open-score"` over `rows` training rows (protocols/scorecard/open_score.py)."""

    def __init__(self, stage: Stage, rows: int, cache_bytes: int):
        self._stage, self._parts, self._work, self._rows = stage, stage.parts, stage.work, rows
        (self._bank,), (self._platform,) = stage.work.banks, stage.work.platforms
        (self._width,) = stage.work.platform_columns
        self._room = cache_bytes // 2 // TILE_BYTES

    def setup(self) -> None:
        """Own model, the bank's keys."""
        stage, parts, keys = self._stage, self._parts, sizes.public_key_bytes()
        stage.compute(self._platform, parts.local.start_cell_s * self._rows * self._width)
        told = stage.send(self._platform, self._bank, "setup", SETUP_BYTES)
        fit = parts.local.fit_cell_s * self._rows * self._work.bank_columns
        stage.compute(self._bank, fit + parts.keys.generate_s, told)
        arrived = stage.send(self._bank, self._platform, "setup", SETUP_BYTES + keys)
        stage.compute(self._platform, parts.keys.expand_s, arrived)

    def round(self, first: bool) -> None:
        """A gradient, its image, which is opened, and the fit; `first`: the columns are transformed anew."""
        backward, forward = (self._width, self._rows), (self._rows, self._width)
        direction = self._gradient(backward, first)
        self._stage.compute(self._bank, self._parts.finish(backward) + self._parts.ask(forward, TILE), direction)
        size = sizes.request_bytes(forward, TILE)
        asked = self._stage.send(self._bank, self._platform, "scores.request", size)
        made = self._made(tiles(forward, layout=TILE), first)
        self._stage.compute(self._platform, self._parts.answer(forward, made, layout=TILE), asked)
        size = sizes.reply_bytes(forward, FULL, TILE)
        came = self._stage.send(self._platform, self._bank, "scores.reply", size)
        opened = self._stage.send(self._platform, self._bank, "scores.training", SHARE_BYTES * self._rows)
        self._stage.compute(self._bank, self._parts.finish(forward, layout=TILE), came)
        self._stage.compute(self._bank, self._fit(), opened)
        self._stage.store(self._bank, 0, SHARE_BYTES * self._rows)

    def _gradient(self, shape: Shape, first: bool) -> Task:
        """The reply to the residual; while one side works the other makes zeros."""
        parts, scores = self._parts, shape[::-1]
        self._stage.compute(self._bank, parts.zeros([shape], []) + parts.ask(shape))
        asked = self._stage.send(self._bank, self._platform, "gradient.request", sizes.request_bytes(shape))
        self._stage.compute(self._bank, parts.zeros([scores], [], TILE))
        self._stage.compute(self._platform, parts.zeros([], [shape]) + parts.zeros([], [scores], TILE))
        self._stage.compute(self._platform, parts.answer(shape, self._made(tiles(shape), first)), asked)
        return self._stage.send(self._platform, self._bank, "gradient.reply", sizes.reply_bytes(shape, FULL))

    def _made(self, needed: int, first: bool) -> int:
        return needed if first else max(0, needed - self._room)

    def _fit(self) -> float:
        """On own columns and the directions, of which there are half on average."""
        columns = self._work.bank_columns + self._work.model.openings / 2
        return self._parts.local.fit_cell_s * self._rows * columns + self._parts.local.pass_row_s * self._rows / 2

    def finish(self) -> None:
        """The platform gets its coefficients."""
        stage, n = self._stage, self._work.model.openings * self._width
        part, blocks = self._parts.elementwise, sizes.slot_blocks(n)
        stage.compute(self._bank, blocks * part.ask_s)
        asked = stage.send(self._bank, self._platform, "combine.request", sizes.elementwise_request_bytes(n))
        stage.compute(self._platform, self._parts.cross(n), asked)
        back = stage.send(self._platform, self._bank, "combine.reply", sizes.elementwise_reply_bytes(n))
        stage.compute(self._bank, blocks * part.finish_s, back)
        given = stage.send(self._bank, self._platform, "coefficients", SHARE_BYTES * self._width)
        stage.compute(self._platform, 0.0, given)

