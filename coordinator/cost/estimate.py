"""A whole run out of its stages: seconds and bytes by phase and party, memory, and what bounds it."""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from coordinator.cost import networks, phases, sizes, training, tree_limits, trees, variants
from coordinator.cost.parts import TILE_BYTES, Calibration
from coordinator.cost.stage import Add, Stage
from coordinator.cost.workload import Machines, Workload
from protocols.crypto.aggregate import MOST_SUMMANDS
from protocols.errors import DataError
from protocols.plan import MOST_BANKS
from protocols.policy import ROWS_PER_COEFFICIENT, Policy
from protocols.scorecard.layout import POWER_PASSES, choose, power_rows

MEGABYTE = 1e6
CONTROL = "control plane"
CACHE_BYTES: int = Policy.model_fields["tile_cache_bytes"].default
LARGEST_MESSAGE: int = Policy.model_fields["maximum_message_bytes"].default
RANK_SHARE: float = Policy.model_fields["maximum_opened_rank"].default
_KEY_EXPANDED_MB = 12.0  # Galois keys of one peer, ready for use
_ROW_IDS = 150  # bytes per row of a table: identifier, its Python object, position
_CELL = 28  # bytes per training row and coefficient: prepared, fixed-point, as float, two orientations of tiles
_VECTORS = 8  # shares of one element per training row alive at a time: z, r, masks, snapshots
_SEALED = 3 * TILE_BYTES  # weights that stay shared, per own coefficient: as they came, and as they are multiplied
_SLOTS = 192  # bytes per row: transformed factor and veil of the element-wise product


@dataclass
class PhaseCost:
    """`critical`: seconds of the critical path by what they are spent on; `traffic[sender, receiver]`: bytes of frames;
    `kinds[sender, receiver, kind]`: bytes of messages."""

    seconds: float = 0.0
    critical: Counter[str] = field(default_factory=Counter)
    traffic: Counter[tuple[str, str]] = field(default_factory=Counter)
    kinds: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    busy: Counter[str] = field(default_factory=Counter)
    largest: int = 0

    def plus(self, stage: Stage, times: int = 1) -> None:
        """A stage that comes so often."""
        seconds, critical = stage.run()
        self.seconds += times * seconds
        for into, values in ((self.critical, critical), (self.traffic, stage.traffic), (self.kinds, stage.kinds),
                             (self.busy, stage.busy)):
            for key, value in values.items():
                into[key] += times * value
        self.largest = max(self.largest, stage.largest)

    def bytes_out(self, party: str) -> int:
        """Sent by a party."""
        return sum(n for (sender, _), n in self.traffic.items() if sender == party)

    def bytes_in(self, party: str) -> int:
        """Received by a party."""
        return sum(n for (_, receiver), n in self.traffic.items() if receiver == party)

    @property
    def bound_by(self) -> str:
        """What most of the critical path is spent on."""
        return max(self.critical, key=self.critical.get) if self.critical else CONTROL


@dataclass(frozen=True)
class Estimate:
    """Of one run; `notes`: what the answer rests on, and what would have to change for it to be allowed."""

    work: Workload
    machines: Machines
    phases: dict[str, PhaseCost]
    memory_mb: dict[str, float]
    control_s: float
    notes: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """From submission to publication."""
        return self.control_s + sum(phase.seconds for phase in self.phases.values())

    @property
    def critical(self) -> Counter[str]:
        """The whole critical path."""
        total = Counter({CONTROL: self.control_s})
        for phase in self.phases.values():
            total.update(phase.critical)
        return total

    @property
    def bottleneck(self) -> tuple[str, str, float]:
        """(phase, what it waits for, share of the whole run)."""
        found = [(seconds, name, kind) for name, phase in self.phases.items()
                 for kind, seconds in phase.critical.items()]
        seconds, name, kind = max([*found, (self.control_s, "control", CONTROL)])
        return name, kind, seconds / self.seconds

    def to_json(self) -> dict[str, Any]:
        """Plain numbers: seconds, bytes, megabytes."""
        phase, kind, share = self.bottleneck
        return {
            "model": self.work.model.kind, "rows": sum(self.work.rows), "banks": len(self.work.banks),
            "platforms": len(self.work.platforms),
            "columns_bank": self.work.bank_columns, "columns_platforms": list(self.work.platform_columns),
            "seconds": round(self.seconds, 1), "control_seconds": round(self.control_s, 1),
            "phases": {name: _phase_json(self.work, cost) for name, cost in self.phases.items()},
            "memory_mb": {party: round(mb) for party, mb in self.memory_mb.items()},
            "bottleneck": {"phase": phase, "what": kind, "share": round(share, 3)},
            "notes": list(self.notes),
        }


def _phase_json(work: Workload, cost: PhaseCost) -> dict[str, Any]:
    return {
        "seconds": round(cost.seconds, 3), "bound_by": cost.bound_by,
        "critical_seconds": {kind: round(s, 3) for kind, s in cost.critical.most_common()},
        "bytes_out": {party: cost.bytes_out(party) for party in (*work.banks, *work.platforms, "hub")},
        "bytes_in": {party: cost.bytes_in(party) for party in (*work.banks, *work.platforms, "hub")},
        "links": {f"{sender} -> {receiver}": n for (sender, receiver), n in sorted(cost.traffic.items())},
        "messages": {f"{sender} -> {receiver} {kind}": n for (sender, receiver, kind), n in sorted(cost.kinds.items())},
        "cpu_seconds": {party: round(s, 3) for party, s in sorted(cost.busy.items())},
    }


def estimate(work: Workload, parts: Calibration, machines: Machines, cache_bytes: int = CACHE_BYTES) -> Estimate:
    """Predict a run."""
    def once(build: Callable[..., None], *more: Any) -> PhaseCost:
        stage, cost = Stage(work, parts, machines), PhaseCost()
        build(stage, *more)
        cost.plus(stage)
        return cost

    kind, found = _kinds()[work.model.kind], {"align": once(phases.align, machines)}
    if work.kind == "train":
        found["encode"] = once(kind.encode)
        found["train"] = _training(work, parts, machines, cache_bytes)
        found["evaluate"] = once(kind.evaluate)
    else:
        found["score"] = once(kind.score)
    found["publish"] = once(phases.publish)
    memory = {party: _memory_mb(work, parts, party, cache_bytes) for party in (*work.banks, *work.platforms)}
    return Estimate(work, machines, found, memory, parts.control_s, tuple(_notes(work, found)))


def _training(work: Workload, parts: Calibration, machines: Machines, cache_bytes: int) -> PhaseCost:
    cost = PhaseCost()

    def add(build: Callable[[Stage], None], times: int = 1) -> None:
        if times:
            stage = Stage(work, parts, machines)
            build(stage)
            cost.plus(stage, times)

    _kinds()[work.model.kind].train(work, cache_bytes, add)
    return cost


@dataclass(frozen=True)
class _Kind:
    """What a kind of model makes of a run: its phases, bytes of memory beyond table and process, what stands in the
    way."""

    encode: Callable[[Stage], None]
    train: Callable[[Workload, int, Add], None]
    evaluate: Callable[[Stage], None]
    score: Callable[[Stage], None]
    memory: Callable[[Workload, str, int], float]
    notes: Callable[[Workload], list[str]]


def _kinds() -> dict[str, _Kind]:
    return {
        "scorecard": _Kind(phases.encode, _scorecard, phases.evaluate, phases.score, _card_memory, _training_notes),
        "boosting": _Kind(trees.encode, trees.train, trees.evaluate, trees.score,
                          lambda work, party, _: tree_limits.memory_bytes(work, party), tree_limits.notes),
        "network": _Kind(phases.encode, networks.train, networks.evaluate, networks.score, networks.memory_bytes,
                         networks.notes),
    }


def _scorecard(work: Workload, cache_bytes: int, add: Add) -> None:
    (_open_score if work.model.variant == "open-score" else _strict)(work, cache_bytes, add)


def _strict(work: Workload, cache_bytes: int, add: Add) -> None:
    model, rows = work.model, work.train_rows()
    step = training.Pass if model.activation == "anchored" else variants.PolynomialPass
    add(lambda stage: training.setup(stage, rows))
    for kind, sample, times in ((training.Pass, [power_rows(n) for n in rows], POWER_PASSES),
                                (step, rows, model.all_steps)):
        for first, count in ((True, 1), (False, times - 1)):
            add(lambda stage, kind=kind, sample=sample, first=first:
                kind(stage, sample, first=first, cache_bytes=cache_bytes).build(), count)
    add(training.norms)
    add(lambda stage: variants.opening(stage, rows), model.polish)
    add(variants.seal if model.release == "shared" else training.release)


def _open_score(work: Workload, cache_bytes: int, add: Add) -> None:
    (rows,) = work.train_rows()
    add(lambda stage: variants.OpenScore(stage, rows, cache_bytes).setup())
    for first, times in ((True, 1), (False, work.model.openings - 1)):
        add(lambda stage, first=first: variants.OpenScore(stage, rows, cache_bytes).round(first), times)
    add(lambda stage: variants.OpenScore(stage, rows, cache_bytes).finish())


# ---------------------------------------------------------------- memory


def _memory_mb(work: Workload, parts: Calibration, party: str, cache_bytes: int) -> float:
    """Peak of a party's process: its table, then training on top of it."""
    table, fields = _table(work, party)
    aligning = table * (_ROW_IDS + 9 * fields)
    if work.kind != "train":
        rows, columns = _columns(work, party)
        return parts.base_mb + (aligning + 8 * columns * rows) / MEGABYTE
    return parts.base_mb + (aligning + _kinds()[work.model.kind].memory(work, party, cache_bytes)) / MEGABYTE


def _table(work: Workload, party: str) -> tuple[int, int]:
    """Rows and columns that are read."""
    if party in work.banks:
        return work.bank_table[work.banks.index(party)], work.bank_fields
    return work.platform_table, work.platform_fields[work.platforms.index(party)]


def _columns(work: Workload, party: str) -> tuple[int, int]:
    """Rows in common with all that it serves, and encoded columns."""
    if party in work.banks:
        return work.rows[work.banks.index(party)], work.bank_columns
    return sum(work.rows), work.platform_columns[work.platforms.index(party)]


def _card_memory(work: Workload, party: str, cache_bytes: int) -> float:
    """Bytes of a scorecard's training."""
    common, columns = _columns(work, party)
    served = [work.banks.index(party)] if party in work.banks else list(range(len(work.banks)))
    rows = [work.train_rows()[i] for i in served]
    tiles = sum(min(n * TILE_BYTES, cache_bytes // 2) for n in training.tiles_of(work, party, work.train_rows()))
    message = 2 * sizes.elementwise_request_bytes(max(rows))
    return (_KEY_EXPANDED_MB * MEGABYTE * len(served) + 8 * columns * common + _CELL * columns * sum(rows) + tiles
            + message + (_VECTORS * sizes.SHARE_BYTES + _SLOTS) * max(rows)
            + sizes.SHARE_BYTES * sum(rows) + _SEALED * (work.model.release == "shared") * columns)


# ---------------------------------------------------------------- what stands in the way


def _notes(work: Workload, found: dict[str, PhaseCost]) -> list[str]:
    notes = []
    limits = ("banks", len(work.banks), MOST_BANKS), ("platforms", len(work.platforms), MOST_SUMMANDS)
    for role, count, most in limits:
        if count > most:
            notes.append(f"a plan takes at most {most} {role}, not {count}")
    largest = max(cost.largest for cost in found.values())
    if largest > LARGEST_MESSAGE:
        notes.append(f"the largest message has {largest / MEGABYTE:.0f} MB: raise maximum_message_bytes in the "
                     "parties' policies")
    if work.kind == "train":
        notes += _kinds()[work.model.kind].notes(work)
    return notes


def _training_notes(work: Workload) -> list[str]:
    rows, columns, model = sum(work.train_rows()), work.bank_columns + sum(work.platform_columns), work.model
    notes = []
    counts = sum(work.platform_bins) if model.encoding == "woe" and not model.woe_rho else 0
    numbers = (columns if model.release == "owner" else 0) + counts
    if rows < ROWS_PER_COEFFICIENT * numbers:
        told = f"{columns} coefficients" + (f" and {counts} event counts of bins" if counts else "")
        notes.append(f"{rows} training rows for {told} would be refused: at least {ROWS_PER_COEFFICIENT} rows each")
    for name, width in zip(work.platforms, work.platform_columns, strict=True):
        most = int(RANK_SHARE * width)
        if model.score_openings > most:
            notes.append(f"{model.score_openings} openings of the training rows' scores would be refused by {name}: at "
                         f"most {most} for {width} columns")
    if model.variant == "strict":
        try:
            choose(rows, columns, model.all_steps, 3 if model.activation == "deg3" else 1)
        except DataError as error:
            notes.append(str(error))
    return notes
