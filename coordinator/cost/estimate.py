"""A whole run out of its stages: seconds and bytes by phase and party, memory, and what bounds it."""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from coordinator.cost import phases, sizes, training
from coordinator.cost.parts import TILE_BYTES, Calibration
from coordinator.cost.stage import Stage
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
_KEY_EXPANDED_MB = 12.0  # Galois keys of one peer, ready for use
_ROW_IDS = 150  # bytes per row of a table: identifier, its Python object, position
_CELL = 28  # bytes per training row and coefficient: prepared, fixed-point, as float, two orientations of tiles
_VECTORS = 8  # shares of one element per training row alive at a time: z, r, masks, snapshots
_SLOTS = 192  # bytes per row: transformed factor and veil of the element-wise product


@dataclass
class PhaseCost:
    """`critical`: seconds of the critical path by what they are spent on; `traffic[sender, receiver]`: bytes."""

    seconds: float = 0.0
    critical: Counter[str] = field(default_factory=Counter)
    traffic: Counter[tuple[str, str]] = field(default_factory=Counter)
    busy: Counter[str] = field(default_factory=Counter)
    largest: int = 0

    def plus(self, stage: Stage, times: int = 1) -> None:
        """A stage that comes so often."""
        seconds, critical = stage.run()
        self.seconds += times * seconds
        for into, values in ((self.critical, critical), (self.traffic, stage.traffic), (self.busy, stage.busy)):
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
            "rows": sum(self.work.rows), "banks": len(self.work.banks), "platforms": len(self.work.platforms),
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
        "cpu_seconds": {party: round(s, 3) for party, s in sorted(cost.busy.items())},
    }


def estimate(work: Workload, parts: Calibration, machines: Machines, cache_bytes: int = CACHE_BYTES) -> Estimate:
    """Predict a run."""
    def once(build: Callable[..., None], *more: Any) -> PhaseCost:
        stage, cost = Stage(work, parts, machines), PhaseCost()
        build(stage, *more)
        cost.plus(stage)
        return cost

    found = {"align": once(phases.align, machines)}
    if work.kind == "train":
        found["encode"] = once(phases.encode)
        found["train"] = _training(work, parts, machines, cache_bytes)
        found["evaluate"] = once(phases.evaluate)
    else:
        found["score"] = once(phases.score)
    found["publish"] = once(phases.publish)
    memory = {party: _memory_mb(work, parts, party, cache_bytes) for party in (*work.banks, *work.platforms)}
    return Estimate(work, machines, found, memory, parts.control_s, tuple(_notes(work, found)))


def _training(work: Workload, parts: Calibration, machines: Machines, cache_bytes: int) -> PhaseCost:
    rows, cost = work.train_rows(), PhaseCost()

    def new() -> Stage:
        return Stage(work, parts, machines)

    def add(build: Callable[..., None], *more: Any) -> None:
        stage = new()
        build(stage, *more)
        cost.plus(stage)

    add(training.setup, rows)
    for sample, times in (([power_rows(n) for n in rows], POWER_PASSES), (rows, work.steps)):
        for first, count in ((True, 1), (False, times - 1)):
            if count:
                stage = new()
                training.Pass(stage, sample, first=first, cache_bytes=cache_bytes).build()
                cost.plus(stage, count)
    add(training.norms)
    add(training.release)
    return cost


# ---------------------------------------------------------------- memory


def _memory_mb(work: Workload, parts: Calibration, party: str, cache_bytes: int) -> float:
    """Peak of a party's process: its table, then training on top of it."""
    if party in work.banks:
        index = work.banks.index(party)
        table, fields, columns = work.bank_table[index], work.bank_fields, work.bank_columns
        common, served, peers = work.rows[index], [index], 1
    else:
        index = work.platforms.index(party)
        table, fields, columns = work.platform_table, work.platform_fields[index], work.platform_columns[index]
        common, served, peers = sum(work.rows), list(range(len(work.banks))), len(work.banks)
    aligning = table * (_ROW_IDS + 9 * fields)
    if work.kind == "train":
        rows = [work.train_rows()[i] for i in served]
        tiles = sum(min(n * TILE_BYTES, cache_bytes // 2) for n in training.tiles_of(work, party, work.train_rows()))
        message = 2 * sizes.elementwise_request_bytes(max(rows))
        training_bytes = (8 * columns * common + _CELL * columns * sum(rows) + tiles + message
                          + (_VECTORS * sizes.SHARE_BYTES + _SLOTS) * max(rows)
                          + sizes.SHARE_BYTES * sum(rows))
        return parts.base_mb + _KEY_EXPANDED_MB * peers + (aligning + training_bytes) / MEGABYTE
    return parts.base_mb + (aligning + 8 * columns * common) / MEGABYTE


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
        notes += _training_notes(work)
    return notes


def _training_notes(work: Workload) -> list[str]:
    rows, columns = sum(work.train_rows()), work.bank_columns + sum(work.platform_columns)
    notes = []
    if rows < ROWS_PER_COEFFICIENT * columns:
        notes.append(f"{rows} training rows for {columns} coefficients would be refused: at least "
                     f"{ROWS_PER_COEFFICIENT} rows each")
    try:
        choose(rows, columns, work.steps)
    except DataError as error:
        notes.append(str(error))
    return notes
