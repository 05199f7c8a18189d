"""Two recorded runs on the same data: no raw value leaves a node, the models agree, and nothing secret is used twice.

Everything is real: three nodes, Flower, TLS, the hub. Each party's node runs under a recorder
(tests/end_to_end/recording_node.py) that writes down every frame, every sealed envelope, every released payload, every
reply and report to the coordinator, and the secrets of each run.
"""
from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coordinator.demo.federation import FEATURE, LABEL, Federation, Table
from parties.runtime.preparation import Slices, partial_scores, prepare
from parties.runtime.tables import TableConfig, load_table
from protocols.plan import Plan
from protocols.psi.aligner import _DOMAIN
from protocols.psi.identifiers import normalise
from protocols.psi.parameters import AlignmentParams
from protocols.psi.slices import TEST, TRAIN
from protocols.scorecard.holdout import coarse
from protocols.state import unpack
from protocols.wire import codec
from protocols.wire.hub_pb2 import FrameKind, HubFrame
from tests.attacks.detectors import repeated_blocks
from tests.end_to_end import support
from tests.end_to_end.leaks import Detector, Needle, id_needles, vector_needles
from tests.end_to_end.recorded import RecordedFederation
from tests.end_to_end.recording import Entry, entries

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
STEPS = ("trim", "casefold", "nfkc")
PRECISION = 2.0**-11  # declared, of a coefficient in whitened units
MAX_FRAME = 1 << 22


@pytest.fixture(scope="module")
def runs(tables: dict[str, Table], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, list[dict]]]:
    """The federation after two runs of one plan and a scoring with the first model, and the summaries of the runs."""
    with RecordedFederation(tmp_path_factory.mktemp("recorded"), tables, minimum_rows=1000) as federation:
        plan = support.write_plan(federation.folder / "plan.toml", steps=3)
        summaries = [support.launch(federation, plan) for _ in range(2)]
        for summary in summaries:
            assert summary["state"] == "finished", summary["stderr"]
        scored = support.sealscore("score", summaries[0]["model_id"], federation=federation)
        assert scored.returncode == 0, scored.stderr
        yield federation, summaries


@pytest.fixture(scope="module")
def tape(runs) -> dict[str, list[Entry]]:
    """What each party's recorder wrote."""
    federation, _ = runs
    return {party: list(entries(federation.record(party))) for party in (LABEL, FEATURE)}


def of(tape: dict[str, list[Entry]], *what: str, run: str | None = None) -> list[tuple[str, Entry]]:
    return [(party, entry) for party, found in tape.items() for entry in found
            if entry.what in what and (run is None or entry.run == run)]


class Truth:
    """What a run works on, from the nodes' own files: tables, joint order, slices, whitened columns, scores."""

    def __init__(self, federation: Federation, tables: dict[str, Table], run: str):
        self.plan = Plan.from_toml_text((federation.folder / "plan.toml").read_text())
        self.tables = {p: load_table(TableConfig.model_validate(t.section), federation.folder)
                       for p, t in tables.items()}
        self.rows = {p: unpack(support.run_fact(federation, p, run, "align.rows"))[LABEL] for p in tables}
        self.half = {p: support.vault_half(federation, p, "m-" + run.removeprefix("r-")) for p in tables}
        self.prepared: dict[str, Slices] = {
            p: prepare(self.tables[p], {LABEL: self.rows[p]}, p, self.plan).of[LABEL] for p in tables}

    def part(self, party: str, rows: np.ndarray) -> np.ndarray:
        return partial_scores(self.tables[party], rows, self.half[party])

    def joint(self, index: int) -> np.ndarray:
        """Uncalibrated joint log-odds of a slice, in joint order."""
        parts = [self.part(p, self.prepared[p].rows[index]) for p in (LABEL, FEATURE)]
        return self.half[LABEL]["intercept"] + sum(parts)

    def orders(self, party: str) -> dict[str, np.ndarray]:
        slices = dict(zip(("train", "calibration", "test"), self.prepared[party].rows, strict=True))
        return {"table order": np.arange(len(self.tables[party].ids)), "joint order": self.rows[party], **slices}


@pytest.fixture(scope="module")
def truths(runs, tables: dict[str, Table]) -> list[Truth]:
    federation, summaries = runs
    return [Truth(federation, tables, summary["run"]) for summary in summaries]


def needles(truth: Truth, tables: dict[str, Table], summary: dict) -> Iterator[Needle]:
    """Ids, rows, columns, labels, whitened columns and scores; declared openings are not among them."""
    minimum, session = truth.plan.alignment.minimum_intersection, bytes.fromhex(summary["agreement"])
    params = AlignmentParams(STEPS, minimum, 1, 1, session)
    for party, table in truth.tables.items():
        yield from id_needles(table.ids[:40] + table.ids[-40:], one, [_DOMAIN + params.digest(), _DOMAIN])
        yield from (Needle("id", text.encode()) for raw in table.ids for text in {raw, one(raw)})
        yield from row_needles(Path(tables[party].section["path"]))
        orders = truth.orders(party)
        for name in truth.plan.parties[party].columns:
            values = np.nan_to_num(table.select([name])[name].values.astype(float))
            yield from vector_needles(f"column {party}.{name}", values, orders)
        for slice_name, matrix in zip(("train", "calibration", "test"), truth.prepared[party].columns, strict=True):
            for j, column in enumerate(matrix.T):
                yield from vector_needles(f"whitened {party}.{j} {slice_name}", column, {"": np.arange(len(column))})
        trained = truth.part(party, truth.prepared[party].rows[TRAIN])
        yield from vector_needles(f"training scores of {party}", trained, {"": np.arange(len(trained))})
    yield from vector_needles("labels", truth.tables[LABEL].label, truth.orders(LABEL))
    for index in (TRAIN, TEST):
        scores = truth.joint(index)
        yield from vector_needles("joint scores", scores, {"": np.arange(len(scores))})
        yield from vector_needles("joint odds", 1 / (1 + np.exp(-scores)), {"": np.arange(len(scores))})


def one(text: str) -> str:
    return normalise([text], STEPS)[0]


def row_needles(path: Path) -> Iterator[Needle]:
    """Every line after its id, whole; a tenth of them is plenty."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1::10]
    yield from (Needle("row", ",".join(row[1:]).encode()) for row in rows)


def leaks(found: list[tuple[str, Entry]], detector: Detector) -> set[tuple[str, str, str, str]]:
    return {(party, e.what, e.name, what) for party, e in found for what in detector.find(e.data)}


def test_no_raw_value_leaves_a_node(runs, tape, truths, tables) -> None:
    """Not in a frame, not inside a sealed envelope, not in a released payload, not in what the coordinator is told.

    The frames that come in are those that the other node sent (see the last test), so they are not searched again.
    """
    _, summaries = runs
    detector = Detector(n for truth, s in zip(truths, summaries, strict=True) for n in needles(truth, tables, s))
    assert detector.count > 20_000
    ways = of(tape, "frame.out", "envelope", "payload", "control")
    assert {(p, e.what) for p, e in ways} == {
        (p, what) for p in (LABEL, FEATURE) for what in ("frame.out", "envelope", "payload", "control")}
    assert leaks(ways, detector) == set()


def test_a_planted_leak_in_a_frame_is_found(runs, tape, truths, tables) -> None:
    _, summaries = runs
    detector = Detector(needles(truths[0], tables, summaries[0]))
    frame = next(e.data for _, e in of(tape, "frame.out") if len(e.data) > 200_000)
    bank, middle = truths[0].tables[LABEL], len(frame) // 2
    column = bank.select(["debt_to_income"])["debt_to_income"].values
    for plant in (bank.ids[17].encode(), one(bank.ids[17]).encode(), np.nan_to_num(column).tobytes(),
                  bank.label.astype("u1").tobytes(), truths[0].joint(TRAIN).tobytes(),
                  np.rint(truths[0].joint(TEST) * 2**16).astype("<i8").tobytes()):
        assert detector.find(frame[:middle] + plant + frame[middle:])


def test_declared_scores_are_in_the_payload_and_never_in_a_frame(tape, truths) -> None:
    """The positive control: the same search finds what the leakage table declares, where it may be, and only there."""
    truth = truths[0]
    part = coarse(truth.part(FEATURE, truth.prepared[FEATURE].rows[TEST])).tobytes()
    detector = Detector([Needle("the platform's part of the test rows", part)])
    found = leaks(of(tape, "payload", "envelope", "frame.out", "frame.in", "control"), detector)
    assert {(party, what) for party, what, _, _ in found} == {(FEATURE, "payload"), (FEATURE, "envelope")}


def test_scoring_opens_the_platforms_part_to_the_bank_only(runs, tape) -> None:
    payloads = [(party, e) for party, e in of(tape, "payload") if e.name == "score.scores.batch"]
    assert [party for party, _ in payloads] == [FEATURE]


def test_the_same_run_twice_gives_the_same_model(truths) -> None:
    for party in (LABEL, FEATURE):
        first, second = (t.half[party] for t in truths)
        assert first["whitening"] == second["whitening"] and first["encoder"] == second["encoder"]
        difference = np.array(first["coefficients"]) - np.array(second["coefficients"])
        assert np.abs(difference).max() <= PRECISION
    assert abs(truths[0].half[LABEL]["intercept"] - truths[1].half[LABEL]["intercept"]) <= PRECISION


def test_the_joint_order_of_two_runs_is_another(truths) -> None:
    first, second = (t.rows[LABEL] for t in truths)
    assert sorted(first) == sorted(second)
    assert (first == second).mean() < 0.01


def test_two_runs_share_no_key_no_scalar_and_no_seed(runs, tape) -> None:
    """Secrets as each node persisted them, compared across both runs and both parties."""
    _, summaries = runs
    keys, scalars, seeds, salts = set(), set(), set(), set()
    for summary in summaries:
        for party in (LABEL, FEATURE):
            kept = [e for p, e in of(tape, "secret", run=summary["run"]) if p == party]
            keys.add(next(e.data for e in kept if e.name == "keys"))
            state = unpack(next(e.data for e in kept if e.name.startswith("align.role.")))
            scalars.add(state["scalar"])
            seeds.add(state["seed"])
            salts.add(next(e.data for e in kept if e.name == "align.salt"))
    assert None not in scalars
    assert [len(found) for found in (keys, scalars, seeds, salts)] == [4, 4, 4, 4]


def test_two_runs_share_no_payload_and_no_frame(runs, tape) -> None:
    """Public keys, blinded points, ciphertexts, replies under masks: every payload and every sealed frame differs."""
    _, summaries = runs
    payloads = [e for s in summaries for _, e in of(tape, "payload", run=s["run"]) if len(e.data) >= 64]
    assert {"align.align.points", "train.setup", "train.init", "train.forward.reply"} <= {e.name for e in payloads}
    declared = {"evaluate.scores.calibration", "evaluate.scores.test"}
    fresh = [e.data for e in payloads if e.name not in declared]
    assert len(set(fresh)) == len(fresh) > 100
    blocks = [data[k:k + 32] for data in fresh for k in range(1024, len(data) - 31, 1024)]  # past the headers
    assert len(set(blocks)) == len(blocks) > 10_000


def test_no_block_of_a_training_comes_twice(tape) -> None:
    """No seed, no share and no ciphertext in part or whole, over both nodes and both runs."""
    payloads = [(f"{party} {number} {entry.name}", entry.data)
                for number, (party, entry) in enumerate(of(tape, "payload")) if entry.name.startswith("train.")]
    assert len(payloads) > 150 and sum(len(data) for _, data in payloads) > 20_000_000
    assert repeated_blocks(payloads) == set()
    largest = max(payloads, key=lambda payload: len(payload[1]))
    again = [*payloads, ("planted", bytes(64) + largest[1][4096:8192])]
    assert repeated_blocks(again) == {(largest[0], "planted")}


def test_sealed_frames_never_repeat_and_sessions_are_fresh(runs, tape) -> None:
    frames = [codec.decode(HubFrame, e.data, MAX_FRAME) for _, e in of(tape, "frame.out")]
    sealed = [f.relay for f in frames if f.WhichOneof("body") == "relay" and f.relay.header.kind == FrameKind.SEALED]
    assert len({bytes(relay.body) for relay in sealed}) == len(sealed) > 100
    counters = [(bytes(r.header.session), r.header.sender, r.header.counter) for r in sealed]
    assert len(set(counters)) == len(counters), "a nonce was used twice"
    _, summaries = runs
    sessions = [{bytes(r.header.session) for r in sealed if r.header.run == s["run"]} for s in summaries]
    assert all(sessions) and not sessions[0] & sessions[1]


def test_what_went_out_at_one_party_came_in_at_the_other(tape) -> None:
    """The recorder saw everything: each sealed frame of one side is among those that reached the other."""
    for sender, receiver in ((LABEL, FEATURE), (FEATURE, LABEL)):
        out = {e.data for p, e in of(tape, "frame.out") if p == sender and len(e.data) > 2000}
        came = {e.data for p, e in of(tape, "frame.in") if p == receiver}
        assert out and out <= came
