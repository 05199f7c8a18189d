"""The phases around training as stages: alignment, encoding, evaluation, scoring, publishing."""
from __future__ import annotations

from coordinator.cost import sizes
from coordinator.cost.stage import STATE, Stage
from coordinator.cost.workload import Machines
from protocols.psi import messages as psi

CHECKPOINT_BYTES, COUNTERSIGNED_BYTES = 350, 490
POSITION_BYTES = 4
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
        arrived = stage.send_each(bank, dict.fromkeys(work.platforms, POSITION_BYTES * rows))
        for name, task in arrived.items():
            stage.compute(name, 0.0, task)
            stage.store(name, 0)


def encode(stage: Stage) -> None:
    """Bins, whitening; every party by itself."""
    work, local = stage.work, stage.parts.local
    for bank, rows in zip(work.banks, work.rows, strict=True):
        stage.compute(bank, local.encode_cell_s * rows * work.bank_columns)
    for name, width in zip(work.platforms, work.platform_columns, strict=True):
        stage.compute(name, local.encode_cell_s * sum(work.rows) * width)


def evaluate(stage: Stage) -> None:
    """Parts of the hold-out scores to each bank, its judgement, the verdict."""
    work = stage.work
    for bank, (calibration, test) in zip(work.banks, work.holdout_rows(), strict=True):
        _scores(stage, bank, (calibration, test))
        stage.compute(bank, stage.parts.local.evaluate_row_s * (calibration + test))
        stage.send_each(bank, dict.fromkeys(work.platforms, 1))


def score(stage: Stage) -> None:
    """Parts of the scores of all rows in common."""
    work, local = stage.work, stage.parts.local
    for bank, rows in zip(work.banks, work.rows, strict=True):
        for name, width in zip(work.platforms, work.platform_columns, strict=True):
            stage.compute(name, local.encode_cell_s * rows * width)
        stage.compute(bank, local.encode_cell_s * rows * work.bank_columns)
        _scores(stage, bank, (rows,))


def _scores(stage: Stage, bank: str, slices: tuple[int, ...]) -> None:
    lead, *others = stage.work.platforms
    width = 4 if others else 2
    for name in others:
        stage.compute(name, 0.0, stage.send(lead, name, 32))
    for name in stage.work.platforms:
        stage.store(name, sum(width * rows for rows in slices))
        for rows in slices:
            stage.compute(bank, 0.0, stage.send(name, bank, width * rows))
            stage.store(bank, 0)


def publish(stage: Stage) -> None:
    """Signed checkpoints of the logs and what comes back countersigned, between parties that have a link."""
    work = stage.work
    lead, *others = work.platforms
    pairs = [(bank, name) for bank in work.banks for name in work.platforms] + [(lead, name) for name in others]
    for first, second in pairs:
        there = stage.send(first, second, CHECKPOINT_BYTES)
        back = stage.send(second, first, CHECKPOINT_BYTES)
        for party, peer, came in ((second, first, there), (first, second, back)):
            stage.compute(party, 0.0, came)
            stage.store(party, 0)
            stage.compute(peer, 0.0, stage.send(party, peer, COUNTERSIGNED_BYTES))
            stage.store(peer, 0)
