"""The phases around training as stages: alignment, encoding, evaluation, scoring, publishing."""
from __future__ import annotations

from coordinator.cost import sizes
from coordinator.cost.parts import tiles
from coordinator.cost.sizes import COLUMN, FULL, SHARE_BYTES, TILE
from coordinator.cost.stage import STATE, Stage
from coordinator.cost.workload import Machines
from protocols.psi import messages as psi

CHECKPOINT_BYTES, COUNTERSIGNED_BYTES = 350, 490
POSITION_BYTES = 4
WOE_SETUP_BYTES = 44  # rows, bins, a tag
DIGEST_BYTES = 32  # that names a shared model, or the bank's data
LOOKUP_SHARE = 0.5  # of an intersection's seconds per id, for finding those that every platform knows


def align(stage: Stage, machines: Machines) -> None:
    """Every bank with every platform, in the plan's order; then what all platforms know."""
    work = stage.work
    cores = machines.party_cores if machines.cores is None else max(1, machines.cores // 2)
    _load(stage)
    for bank, own in zip(work.banks, work.bank_table, strict=True):
        for platform in work.platforms:
            peers = work.platform_table
            payloads = {(bank, platform): sizes.alignment_bytes(own, peers),
                        (platform, bank): sizes.alignment_bytes(peers, own)}
            stage.together({bank: _points(stage, own, peers), platform: _points(stage, peers, own)}, payloads, cores)
            stage.together({bank: _state(stage, own, peers), platform: _state(stage, peers, own)}, {}, 1, STATE)
    if len(work.platforms) > 1:
        _joint(stage)


def _load(stage: Stage) -> None:
    work, local = stage.work, stage.parts.local
    for bank, rows in zip(work.banks, work.bank_table, strict=True):
        stage.compute(bank, rows * (local.load_row_s + local.load_cell_s * work.bank_fields))
    for name, fields in zip(work.platforms, work.platform_fields, strict=True):
        stage.compute(name, work.platform_table * (local.load_row_s + local.load_cell_s * fields))


def _points(stage: Stage, own: int, peers: int) -> float:
    part = stage.parts.alignment
    return own * part.hash_s + peers * part.multiply_s


def alignment_state(own: int, peers: int) -> tuple[int, int]:
    """(steps, bytes of state written in all of them): every tag is written once."""
    return psi.chunks(own) + psi.chunks(peers), psi.TAG_BYTES * own + 2 * psi.TAG_BYTES * peers


def _state(stage: Stage, own: int, peers: int) -> float:
    """What is written down after every chunk, and the intersection."""
    part, transport = stage.parts.alignment, stage.parts.transport
    steps, written = alignment_state(own, peers)
    return (part.digest_id_s * own + steps * transport.step_s + transport.store_mb_s * written / 1e6
            + part.intersect_id_s * (own + peers))


def _joint(stage: Stage) -> None:
    work = stage.work
    for bank, own, rows in zip(work.banks, work.bank_table, work.rows, strict=True):
        stage.compute(bank, LOOKUP_SHARE * stage.parts.alignment.intersect_id_s * own * len(work.platforms))
        arrived = stage.send_each(bank, "positions", dict.fromkeys(work.platforms, POSITION_BYTES * rows))
        for name, task in arrived.items():
            stage.compute(name, 0.0, task)
            stage.store(name, 0)


def encode(stage: Stage) -> None:
    """Bins, whitening; every party by itself, but for the events in a platform's bins (woe)."""
    work, local = stage.work, stage.parts.local
    if work.model.encoding == "woe":
        for name, bins in zip(work.platforms, work.platform_bins, strict=True):
            _count_events(stage, name, bins)
    for bank, rows in zip(work.banks, work.rows, strict=True):
        stage.compute(bank, local.encode_cell_s * rows * work.bank_columns)
    for name, width in zip(work.platforms, work.platform_columns, strict=True):
        stage.compute(name, local.encode_cell_s * sum(work.rows) * width)


def _count_events(stage: Stage, platform: str, bins: int) -> None:
    """protocols/woe: sums of the encrypted labels in each bin, which the bank opens to the platform."""
    parts, (bank,), (rows,) = stage.parts, stage.work.banks, stage.work.train_rows()
    shape, keys = (bins, rows), sizes.public_key_bytes()
    asked = stage.send(platform, bank, "woe.setup", WOE_SETUP_BYTES)
    stage.compute(bank, parts.keys.generate_s + parts.zeros([shape], [], TILE) + parts.ask(shape, TILE), asked)
    labels = stage.send(bank, platform, "woe.labels", keys + sizes.request_bytes(shape, TILE))
    made = tiles(shape, layout=TILE)
    answer = parts.zeros([], [shape], TILE) + parts.answer(shape, made, layout=TILE)
    stage.compute(platform, parts.keys.expand_s + answer, labels)
    came = stage.send(platform, bank, "woe.reply", sizes.reply_bytes(shape, FULL, TILE))
    stage.compute(bank, parts.finish(shape, layout=TILE), came)
    stage.compute(platform, 0.0, stage.send(bank, platform, "woe.counts", SHARE_BYTES * bins))


def evaluate(stage: Stage) -> None:
    """Parts of the hold-out scores to each bank, its judgement, the verdict."""
    work = stage.work
    for bank, (calibration, test) in zip(work.banks, work.holdout_rows(), strict=True):
        _scores(stage, bank, {"calibration": calibration, "test": test})
        stage.compute(bank, stage.parts.local.evaluate_row_s * (calibration + test))
        others = [name for name in work.banks if name != bank]
        stage.send_each(bank, "verdict", dict.fromkeys([*work.platforms, *others], 1))


def score(stage: Stage) -> None:
    """Parts of the scores of all rows in common."""
    work, local = stage.work, stage.parts.local
    for bank, rows in zip(work.banks, work.rows, strict=True):
        for name, width in zip(work.platforms, work.platform_columns, strict=True):
            stage.compute(name, local.encode_cell_s * rows * width)
        stage.compute(bank, local.encode_cell_s * rows * work.bank_columns)
        _scores(stage, bank, {"batch": rows})


def _scores(stage: Stage, bank: str, slices: dict[str, int]) -> None:
    if stage.work.model.release == "shared":
        _shared_scores(stage, slices)
        return
    lead, *others = stage.work.platforms
    width = 4 if others else 2
    for name in others:
        stage.compute(name, 0.0, stage.send(lead, name, "seed", 32))
    for name in stage.work.platforms:
        stage.store(name, sum(width * rows for rows in slices.values()))
        for kind, rows in slices.items():
            stage.compute(bank, 0.0, stage.send(name, bank, f"scores.{kind}", width * rows))
            stage.store(bank, 0)


def _shared_scores(stage: Stage, slices: dict[str, int]) -> None:
    """protocols/sharedscore: each side multiplies its columns by the weights that the other has sealed; the platform
    opens."""
    work, parts, rows = stage.work, stage.parts, max(1, sum(slices.values()))
    (bank,), (platform,), (width,) = work.banks, work.platforms, work.platform_columns
    own, theirs = (rows, work.bank_columns), (rows, width)
    stage.compute(bank, _shared_answer(stage, own))
    size = 2 * DIGEST_BYTES + sizes.reply_bytes(own, FULL, COLUMN)
    part = stage.send(bank, platform, "bank.part", size, SHARE_BYTES * rows)
    stage.compute(platform, parts.finish(own, layout=COLUMN) + _shared_answer(stage, theirs), part)
    size = DIGEST_BYTES + sizes.reply_bytes(theirs, FULL, COLUMN)
    came = stage.send(platform, bank, "platform.part", size)
    stage.compute(bank, parts.finish(theirs, layout=COLUMN), came)
    for kind, count in slices.items():
        stage.compute(bank, 0.0, stage.send(platform, bank, f"shared.{kind}", SHARE_BYTES * count))
        stage.store(bank, 0, SHARE_BYTES * count)


def _shared_answer(stage: Stage, shape: tuple[int, int]) -> float:
    """Of one's columns, with the peer's keys and nothing made ahead."""
    parts, made = stage.parts, tiles(shape, layout=COLUMN)
    return parts.keys.expand_s + parts.zeros([], [shape], COLUMN) + parts.answer(shape, made, layout=COLUMN)


def publish(stage: Stage) -> None:
    """Signed checkpoints of the logs and what comes back countersigned, between parties that have a link."""
    work = stage.work
    lead, *others = work.platforms
    pairs = [(bank, name) for bank in work.banks for name in work.platforms] + [(lead, name) for name in others]
    for first, second in pairs:
        there = stage.send(first, second, "checkpoint", CHECKPOINT_BYTES)
        back = stage.send(second, first, "checkpoint", CHECKPOINT_BYTES)
        for party, peer, came in ((second, first, there), (first, second, back)):
            stage.compute(party, 0.0, came)
            stage.store(party, 0)
            stage.compute(peer, 0.0, stage.send(party, peer, "countersigned", COUNTERSIGNED_BYTES))
            stage.store(peer, 0)
