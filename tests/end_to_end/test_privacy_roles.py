"""Nothing that a role hands out holds raw data: alignment, training and hold-out in one process, all payloads read."""
from __future__ import annotations

import hashlib

import numpy as np
import pytest

from protocols.crypto.group import hash_to_group
from protocols.crypto.keys import KeyPair
from protocols.psi.aligner import _DOMAIN
from protocols.psi.feature_party import AlignFeatureParty
from protocols.psi.identifiers import normalise
from protocols.psi.label_party import AlignLabelParty
from protocols.psi.parameters import AlignmentParams
from protocols.scorecard.holdout import FeatureHoldout, LabelHoldout, coarse
from tests.end_to_end.leaks import Detector, Needle, id_needles, vector_needles
from tests.protocols.scorecard.problems import problem
from tests.protocols.scorecard.simulator import drive

ROWS, SHARED = 700, 600
STEPS = ("trim", "casefold", "nfkc")
PARAMS = AlignmentParams(STEPS, 100, 1000, 1000, hashlib.sha256(b"a run").digest())


def one(text: str) -> str:
    return normalise([text], STEPS)[0]


class Tape:
    """All payloads that pass in a simulation, by kind."""

    def __init__(self) -> None:
        self.payloads: list[tuple[str, bytes]] = []

    def __call__(self, sender, message) -> None:
        self.payloads.append((message.kind, message.payload))

    def leaks(self, detector: Detector) -> set[tuple[str, str]]:
        return {(kind, what) for kind, payload in self.payloads for what in detector.find(payload)}


def ids_of(first: int, count: int) -> list[str]:
    return [f"SYN-{1_000_000_000 + 7919 * (first + k)}" for k in range(count)]


def test_alignment_hands_out_no_id_no_hash_and_no_unblinded_point() -> None:
    bank, platform = ids_of(0, ROWS), [text.lower() for text in ids_of(ROWS - SHARED, ROWS)]
    tape = Tape()
    roles = AlignLabelParty(bank, "platform", PARAMS), AlignFeatureParty(platform, "bank", PARAMS)
    drive(*roles, on_message=tape)
    assert len(roles[0].result()) == SHARED
    domain = _DOMAIN + PARAMS.digest()
    detector = Detector(id_needles(bank[:150] + platform[-150:], one, [domain]))
    assert detector.count > 300 * 15
    assert tape.leaks(detector) == set()


def test_training_hands_out_no_column_no_label_and_no_score() -> None:
    task, tape = problem(400, 3, 4, steps=2, seed=41), Tape()
    bank, platform = task.label_trainer(KeyPair.generate()), task.feature_trainer(KeyPair.generate())
    drive(bank, platform, on_message=tape)
    orders = {"joint order": np.arange(400), "reverse": np.arange(400)[::-1]}
    vectors = {f"bank column {j}": column for j, column in enumerate(task.bank.T)}
    vectors |= {f"platform column {j}": column for j, column in enumerate(task.platform.T)}
    vectors |= {
        "labels": task.labels, "the bank's own score": task.bank_columns @ task.own_model,
        "joint score": task.bank_columns @ bank.result().own + task.platform @ platform.result().own,
        "the platform's part": task.platform @ platform.result().own,
    }
    detector = Detector(n for what, v in vectors.items() for n in vector_needles(what, v, orders))
    assert detector.count > 1000
    assert tape.leaks(detector) == set()


def test_the_hold_out_hands_out_the_rounded_parts_and_nothing_finer() -> None:
    rng, tape = np.random.default_rng(5), Tape()
    parts = {"calibration": rng.normal(size=90), "test": rng.normal(size=200)}
    rows = {name: len(part) for name, part in parts.items()}
    bank = LabelHoldout(("platform",), rows, lambda scores: True)
    drive(bank, FeatureHoldout("platform", "bank", ("platform",), parts), on_message=tape)
    fine = Detector(n for name, part in parts.items() for n in vector_needles(name, part, {"order": np.arange(90)})
                    if "<i2 with 5" not in n.what)
    assert tape.leaks(fine) == set()
    declared = Detector([Needle("declared", coarse(part).tobytes()) for part in parts.values()])
    assert tape.leaks(declared) == {("scores.calibration", "declared"), ("scores.test", "declared")}


@pytest.mark.parametrize("place", [0, 1, 5, 12345])
def test_the_detector_finds_what_is_planted(place: int) -> None:
    """The same needles in noise, at any offset: an id, its hash, its point, a column, labels, a fixed-point score."""
    rng, raw = np.random.default_rng(place), "SYN-1000007919"
    domain = _DOMAIN + PARAMS.digest()
    labels, column = (rng.random(300) < 0.3).astype(float), rng.normal(size=300)
    orders = {"order": np.arange(300)}
    detector = Detector([*id_needles([raw], one, [domain]), *vector_needles("labels", labels, orders),
                         *vector_needles("column", column, orders)])
    planted = {
        "id": [raw.encode(), raw.lower().encode()],
        "hash of an id": [hashlib.sha256(raw.lower().encode()).digest(), hashlib.blake2b(raw.encode()).digest()],
        "hex hash of an id": [hashlib.sha256(raw.encode()).hexdigest().encode()],
        "point of an id": [hash_to_group(raw.lower().encode(), domain)],
        "labels": [labels.astype(kind).tobytes() for kind in ("<f8", "<f4", "u1", "<i4", "<i8")]
        + [np.packbits(labels.astype(np.uint8), bitorder=order).tobytes() for order in ("big", "little")],
        "column": [column.tobytes(), column.astype("<f4").tobytes(), np.rint(column * 2**16).astype("<i8").tobytes(),
                   np.rint(column * 2**12).astype("<i4").tobytes(), np.rint(column * 2**5).astype("<i2").tobytes()],
    }
    assert detector.find(rng.bytes(200_000)) == []
    for what, leaks in planted.items():
        for leak in leaks:
            found = detector.find(rng.bytes(place) + leak + rng.bytes(1000))
            assert any(name.startswith(what) for name in found), what
