"""Setup, one pass and the end of a strict training as stages: the message graph of protocols/scorecard. What the plan's
settings change in it is in `variants.py`.

Several banks: each runs the pass on rows of its own; the lead and the other platforms serve all of them, one after the
other; the banks' backward replies are added by the hub into one for the lead, and every bank gives each platform its
masked share of that platform's gradient, 16 bytes per coefficient.
"""
from __future__ import annotations

from dataclasses import dataclass

from coordinator.cost import sizes
from coordinator.cost.parts import TILE_BYTES, tiles
from coordinator.cost.schedule import Task
from coordinator.cost.sizes import FULL, SHARE_BYTES, SHORT
from coordinator.cost.stage import Stage
from coordinator.cost.workload import Workload
from protocols.crypto.layout import LayoutName

Shape = tuple[int, int]
SETUP_BYTES = 20  # rows of the two, of all banks, columns
SEED_BYTES = 32
SEEDS_BYTES = 2 * SEED_BYTES  # of the sums' check
SCALE_BYTES = 2


@dataclass(frozen=True)
class Shapes:
    """The four products of one bank's pass over `rows` rows."""

    to_platform: Shape  # forward, every platform filled up to the widest
    to_bank: Shape
    back_platform: Shape  # backward, places for all platforms' coefficients
    back_bank: Shape

    @classmethod
    def of(cls, work: Workload, rows: int) -> Shapes:
        """In the layout that all parties derive from the agreed numbers."""
        widths, own = work.platform_columns, work.bank_columns
        return cls((rows, max(widths)), (rows, own), (sum(widths), rows), (own, rows))


def own_items(shapes: Shapes, width: int) -> int:
    """Packed ciphertexts with coefficients of a platform of that width."""
    return min(-(-width // sizes.layout(shapes.back_platform).fold) + 1, sizes.layout(shapes.back_platform).items)


def tiles_of(work: Workload, party: str, rows: list[int]) -> tuple[int, int]:
    """(forward, backward): transformed polynomials of a party's matrices for the banks it serves."""
    if work.model.variant == "open-score":
        (width,), (count,) = work.platform_columns, rows
        kept = tiles((count, width), layout=sizes.TILE), tiles((width, count))
        return kept if party in work.platforms else (0, 0)
    forward = backward = 0
    for bank, count in zip(work.banks, rows, strict=True):
        shapes = Shapes.of(work, count)
        if party == bank:
            return tiles(shapes.to_bank), tiles(shapes.back_bank)
        if party in work.platforms:
            forward += tiles(shapes.to_platform)
            width = work.platform_columns[work.platforms.index(party)]
            backward += tiles(shapes.back_platform, own_items(shapes, width))
    return forward, backward


Backward = tuple[dict[str, Task], dict[str, dict[str, Task]], dict[str, dict[str, Task]]]
"""By bank: the lead's request, the bank's requests at the platforms, the lead's share of the residual there."""


def reply(stage: Stage, receiver: str, computed: dict[str, Task], kind: str, shape: Shape, coding: int,
          layout: LayoutName = sizes.COMPACT) -> Task:
    """What one party has computed as a message, what several have as the hub's sum."""
    if len(computed) > 1:
        return stage.summed(computed, receiver, kind, sizes.sum_bytes(shape, coding, layout))
    (sender,) = computed
    state = SHARE_BYTES * shape[0] if coding == SHORT else 0
    return stage.send(sender, receiver, kind, sizes.reply_bytes(shape, coding, layout), state)


class Pass:
    """One pass over `rows` rows of each bank; `first`: matrices are transformed anew, `room`: tiles kept each way."""

    def __init__(self, stage: Stage, rows: list[int], *, first: bool, cache_bytes: int):
        self._stage, self._work, self._parts = stage, stage.work, stage.parts
        self._rows, self._first, self._room = rows, first, cache_bytes // 2 // TILE_BYTES
        self._shapes = {bank: Shapes.of(stage.work, n) for bank, n in zip(stage.work.banks, rows, strict=True)}
        self._lead, *self._others = stage.work.platforms
        self._summed = bool(self._others)
        self._made = {party: tuple(self._share_made(n) for n in tiles_of(stage.work, party, rows))
                      for party in (*stage.work.banks, *stage.work.platforms)}

    def _share_made(self, needed: int) -> float:
        """Part of the tiles that this pass makes."""
        return 1.0 if self._first or not needed else max(0, needed - self._room) / needed

    def build(self) -> None:
        """All tasks and bytes."""
        requests, asked = self._ask_forward()
        replies = self._answer_lead(asked)
        sums = self._answer_forward(requests)
        asked, backward, shares = self._residuals(replies, sums)
        own = self._answer_lead_backward(asked)
        self._answer_backward(backward, shares)
        self._finish(own)

    # -- forward

    def _ask_forward(self) -> tuple[dict[str, dict[str, Task]], dict[str, Task]]:
        requests, asked = {}, {}
        for bank, shapes in self._shapes.items():
            size = sizes.request_bytes(shapes.to_platform)
            self._stage.compute(bank, len(self._work.platforms) * self._parts.ask(shapes.to_platform))
            requests[bank] = self._stage.send_each(bank, "forward.request", dict.fromkeys(self._work.platforms, size))
            self._stage.compute(self._lead, self._parts.ask(shapes.to_bank))
            asked[bank] = self._stage.send(self._lead, bank, "forward.request", sizes.request_bytes(shapes.to_bank))
        return requests, asked

    def _answer_lead(self, asked: dict[str, Task]) -> dict[str, Task]:
        """The banks answer the lead, then make ahead what the residual's reply needs."""
        replies = {}
        for bank, shapes in self._shapes.items():
            replies[bank] = self._answer_one(bank, asked[bank])
            self._stage.compute(bank, self._ahead(shapes))
        return replies

    def _answer_one(self, bank: str, asked: Task) -> Task:
        shapes = self._shapes[bank]
        made = round(tiles(shapes.to_bank) * self._made[bank][0])
        self._stage.compute(bank, self._parts.answer(shapes.to_bank, made), asked)
        size, state = sizes.reply_bytes(shapes.to_bank, SHORT), SHARE_BYTES * shapes.to_bank[0]
        return self._stage.send(bank, self._lead, "forward.reply", size, state)

    def _ahead(self, shapes: Shapes) -> float:
        """Seconds of what a bank makes while it waits for the platforms."""
        blocks, part = sizes.slot_blocks(shapes.to_bank[0]), self._parts.elementwise
        return self._bank_zeros(shapes) + blocks * (part.veil_s + (part.factor_s if self._first else 0.0))

    def _bank_zeros(self, shapes: Shapes) -> float:
        requests = [shapes.to_platform] * len(self._work.platforms) + [shapes.back_platform]
        return self._parts.zeros(requests, [shapes.to_bank, shapes.back_bank])

    def _lead_zeros(self, shapes: Shapes) -> float:
        return self._parts.zeros([shapes.to_bank, shapes.back_bank], [shapes.to_platform, shapes.back_platform])

    def _answer_forward(self, requests: dict[str, dict[str, Task]]) -> dict[str, Task]:
        sums = {}
        for bank, shapes in self._shapes.items():
            computed = {}
            for name in self._work.platforms:
                made = round(tiles(shapes.to_platform) * self._made[name][0])
                seconds = self._parts.answer(shapes.to_platform, made, summed=self._summed)
                computed[name] = self._stage.compute(name, seconds, requests[bank][name])
            sums[bank] = reply(self._stage, bank, computed, "forward.reply", shapes.to_platform, SHORT)
        return sums

    # -- residual

    def _residuals(self, replies: dict[str, Task], sums: dict[str, Task]) -> Backward:
        """From shares of the scores to the requests of the way back."""
        wanted = self._ask_residual(replies)
        residuals, backward = self._answer_residual(sums, wanted)
        asked, shares = self._ask_backward(residuals)
        return asked, backward, shares

    def _ask_residual(self, replies: dict[str, Task]) -> dict[str, Task]:
        wanted = {}
        for bank, shapes in self._shapes.items():
            rows = shapes.to_bank[0]
            seconds = self._parts.finish(shapes.to_bank) + self._local(rows)
            seconds += sizes.slot_blocks(rows) * self._parts.elementwise.ask_s
            self._stage.compute(self._lead, seconds, replies[bank])
            size = sizes.elementwise_request_bytes(rows)
            wanted[bank] = self._stage.send(self._lead, bank, "residual.request", size, SHARE_BYTES * rows)
        for shapes in self._shapes.values():
            self._stage.compute(self._lead, self._lead_zeros(shapes))
        return wanted

    def _local(self, rows: int) -> float:
        return self._parts.local.pass_row_s * rows / 2

    def _answer_residual(self, sums: dict[str, Task], wanted: dict[str, Task]
                         ) -> tuple[dict[str, Task], dict[str, dict[str, Task]]]:
        residuals, backward = {}, {}
        for bank, shapes in self._shapes.items():
            rows, summed = shapes.to_bank[0], self._summed
            self._stage.compute(bank, self._parts.finish(shapes.to_platform, summed), sums[bank])
            self._stage.store(bank, 0, SHARE_BYTES * rows)
            seconds = sizes.slot_blocks(rows) * self._parts.elementwise.answer_s + self._local(rows)
            self._stage.compute(bank, seconds + self._parts.ask(shapes.back_platform), wanted[bank])
            residuals[bank] = self._stage.send(bank, self._lead, "residual.reply", sizes.elementwise_reply_bytes(rows),
                                               SHARE_BYTES * rows)
            backward[bank] = self._fan_backward(bank)
        return residuals, backward

    def _fan_backward(self, bank: str) -> dict[str, Task]:
        size = sizes.request_bytes(self._shapes[bank].back_platform)
        return self._stage.fan(bank, list(self._work.platforms), "backward.request", size)

    # -- backward

    def _ask_backward(self, residuals: dict[str, Task]) -> tuple[dict[str, Task], dict[str, dict[str, Task]]]:
        asked, shares = {}, {}
        for bank, shapes in self._shapes.items():
            rows = shapes.to_bank[0]
            seconds = sizes.slot_blocks(rows) * self._parts.elementwise.finish_s + self._parts.ask(shapes.back_bank)
            self._stage.compute(self._lead, seconds, residuals[bank])
            asked[bank], shares[bank] = self._ask_lead_backward(bank)
            self._stock_others(shapes)
        return asked, shares

    def _stock_others(self, shapes: Shapes) -> None:
        """The other platforms make ahead the zeros of their next replies."""
        for name in self._others:
            self._stage.compute(name, self._parts.zeros([], [shapes.to_platform, shapes.back_platform]))

    def _ask_lead_backward(self, bank: str) -> tuple[Task, dict[str, Task]]:
        """The lead's request, and its share of the residual for the other platforms."""
        shapes, rows = self._shapes[bank], self._shapes[bank].to_bank[0]
        size = sizes.request_bytes(shapes.back_bank)
        asked = self._stage.send(self._lead, bank, "backward.request", size, SHARE_BYTES * rows)
        if not self._others:
            return asked, {}
        return asked, self._stage.fan(self._lead, self._others, "residual.share", SHARE_BYTES * rows)

    def _answer_lead_backward(self, asked: dict[str, Task]) -> Task:
        """The banks' replies to the lead: one, or the sum of all."""
        computed = {}
        for bank, shapes in self._shapes.items():
            made = round(tiles(shapes.back_bank) * self._made[bank][1])
            seconds = self._parts.answer(shapes.back_bank, made, summed=len(self._shapes) > 1)
            computed[bank] = self._stage.compute(bank, seconds, asked[bank])
        shape = next(iter(self._shapes.values())).back_bank
        return reply(self._stage, self._lead, computed, "backward.reply", shape, FULL)

    def _answer_backward(self, requests: dict[str, dict[str, Task]], shares: dict[str, dict[str, Task]]) -> None:
        for bank, shapes in self._shapes.items():
            computed = {}
            for name, width in zip(self._work.platforms, self._work.platform_columns, strict=True):
                items = own_items(shapes, width) if self._summed else sizes.layout(shapes.back_platform).items
                made = round(tiles(shapes.back_platform, items) * self._made[name][1])
                seconds = self._parts.answer(shapes.back_platform, made, items, self._summed)
                waits = [requests[bank][name], *([shares[bank][name]] if name in shares[bank] else [])]
                computed[name] = self._stage.compute(name, seconds, *waits)
            came = reply(self._stage, bank, computed, "backward.reply", shapes.back_platform, FULL)
            self._stage.compute(bank, self._parts.finish(shapes.back_platform, self._summed), came)
            self._stage.store(bank, 0)

    def _finish(self, own: Task) -> None:
        """The lead opens its reply; several banks give every platform the share of its gradient."""
        shapes = next(iter(self._shapes.values()))
        self._stage.compute(self._lead, self._parts.finish(shapes.back_bank, len(self._shapes) > 1), own)
        self._stage.store(self._lead, 0)
        if len(self._shapes) == 1:
            return
        given = dict(zip(self._work.platforms, (SHARE_BYTES * w for w in self._work.platform_columns), strict=True))
        for bank in self._shapes:
            for name, arrived in self._stage.send_each(bank, "gradient.share", given).items():
                self._stage.compute(name, 0.0, arrived)
                self._stage.store(name, 0)


def setup(stage: Stage, rows: list[int]) -> None:
    """Own model, keys both ways, start shares."""
    work, parts = stage.work, stage.parts
    keys, (lead, *others) = sizes.public_key_bytes(), work.platforms
    for name, width in zip(work.platforms, work.platform_columns, strict=True):
        start = parts.local.start_cell_s * sum(rows) * width
        stage.compute(name, start + (parts.keys.generate_s if name == lead else 0.0))
    announced = _announce(stage, keys)
    small = {name: stage.send_each(name, "setup", dict.fromkeys(work.banks, SETUP_BYTES)) for name in others}
    told = {}
    for bank, count in zip(work.banks, rows, strict=True):
        stage.send_each(bank, "scale", {name: SCALE_BYTES for name in work.banks if name != bank})
        cells = count * work.bank_columns
        stage.compute(bank, (parts.local.start_cell_s + parts.local.fit_cell_s) * cells + parts.keys.generate_s)
        stage.compute(bank, parts.keys.expand_s, announced[bank], *(sent[bank] for sent in small.values()))
        told[bank] = _introduce(stage, bank, keys)
    for bank in work.banks:
        for name, width in zip(work.platforms, work.platform_columns, strict=True):
            stage.compute(name, parts.keys.expand_s, told[bank][name])
            stage.compute(bank, 0.0, stage.send(name, bank, "init", 2 * SHARE_BYTES * width))
            stage.store(bank, 0)


def _announce(stage: Stage, keys: int) -> dict[str, Task]:
    """The lead's seeds, setup and keys: of several banks one upload for all."""
    (lead, *others), banks = stage.work.platforms, list(stage.work.banks)
    stage.send_each(lead, "seed", dict.fromkeys(others, SEED_BYTES))
    if len(banks) == 1:
        return {banks[0]: stage.send(lead, banks[0], "setup", SETUP_BYTES + keys)}
    stage.send_each(lead, "setup", dict.fromkeys(banks, SETUP_BYTES + SEEDS_BYTES))
    return stage.fan(lead, banks, "keys", keys)


def _introduce(stage: Stage, bank: str, keys: int) -> dict[str, Task]:
    """The bank's setup, keys and start shares."""
    work, widths = stage.work, 4 * len(stage.work.platforms)
    lead = work.platforms[0]
    if len(work.platforms) == 1:
        told = {lead: stage.send(bank, lead, "setup", SETUP_BYTES + widths + keys)}
    else:
        stage.send_each(bank, "setup", dict.fromkeys(work.platforms, SETUP_BYTES + widths + SEEDS_BYTES))
        told = stage.fan(bank, list(work.platforms), "keys", keys)
    stage.send(bank, lead, "init", 2 * SHARE_BYTES * work.bank_columns)
    return told


def norms(stage: Stage) -> None:
    """The step size: the first bank asks each platform, then tells all."""
    work, part = stage.work, stage.parts.elementwise
    bank = work.banks[0]
    for index, (name, width) in enumerate(zip(work.platforms, work.platform_columns, strict=True)):
        n = 2 * (width + (work.bank_columns if index == 0 else 0))
        blocks = sizes.slot_blocks(n)
        stage.compute(bank, blocks * part.ask_s)
        asked = stage.send(bank, name, "norms.request", sizes.elementwise_request_bytes(n))
        stage.compute(name, stage.parts.cross(n), asked)
        back = stage.send(name, bank, "norms.reply", sizes.elementwise_reply_bytes(n) + 2 * SHARE_BYTES)
        stage.compute(bank, blocks * part.finish_s, back)
    others = [other for other in work.banks if other != bank]
    stage.send_each(bank, "step.size", dict.fromkeys([*others, *work.platforms], 1))


def release(stage: Stage) -> None:
    """Everybody gets the coefficients of its own columns."""
    work = stage.work
    given = dict(zip(work.platforms, (SHARE_BYTES * w for w in work.platform_columns), strict=True))
    stage.send_each(work.banks[0], "coefficients", given)
    stage.send_each(work.platforms[0], "coefficients", dict.fromkeys(work.banks, SHARE_BYTES * work.bank_columns))
