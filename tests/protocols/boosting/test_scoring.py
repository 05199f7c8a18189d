"""Sides of rows that a model has not seen: all rows at all kept splits, whatever is interrupted."""
from __future__ import annotations

from collections import deque

import numpy as np
import pytest

from protocols.boosting import scoring
from protocols.boosting.halves import Cut, FeatureHalf
from protocols.boosting.scoring import Asked, FeatureBatch, FeatureHoldout, LabelHoldout, LabelSides
from protocols.errors import MalformedMessage
from protocols.role import Message

ASKED = (("age", 30.0), ("income", 5.0), ("age", 55.5), ("job=clerk", 0.5))
CUTS = tuple(Cut(column=name, bin=at, threshold=threshold, missing_left=bool(at % 2))
             for at, (name, threshold) in enumerate(ASKED))
HALF = FeatureHalf(party="platform", cuts=CUTS)


def values_of(rows: int, seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    income = rng.normal(5, 2, rows)
    income[rng.random(rows) < 0.2] = np.nan
    return {"age": rng.integers(18, 80, rows).astype(float), "income": income,
            "job=clerk": (rng.random(rows) < 0.3).astype(float)}


def exchange(make_bank, make_platform, crashing: bool = False) -> tuple:
    """Both roles to their end, restored before every message if `crashing`; and what was said."""
    make = {"bank": make_bank, "platform": make_platform}
    roles, kept, seen = {name: role() for name, role in make.items()}, {"bank": {}, "platform": {}}, []
    waiting = deque((name, one) for name, role in roles.items() for one in role.start())
    while waiting:
        sender, message = waiting.popleft()
        seen.append((sender, message))
        name = message.peer
        if crashing:
            kept[name] |= roles[name].new_pieces()
            state, roles[name] = roles[name].snapshot(), make[name]()
            roles[name].pieces = kept[name].get
            roles[name].restore(state)
        assert roles[name].expects == sender
        waiting += [(name, one) for one in roles[name].handle(Message(sender, message.kind, message.payload))]
    return roles["bank"], roles["platform"], seen


def joined(sides, name: str) -> np.ndarray:
    return np.concatenate([told for _, told in sides.pieces(name)], axis=1)


@pytest.mark.parametrize("crashing", [False, True])
@pytest.mark.parametrize("rows", [1, 9, 250])
def test_the_bank_learns_the_side_of_every_row_at_every_split(rows, crashing, monkeypatch):
    monkeypatch.setattr(scoring, "PIECE_ROWS", 100)
    values = values_of(rows)
    bank, platform, seen = exchange(
        lambda: LabelSides(Asked("platform", len(CUTS), {"batch": rows})),
        lambda: FeatureBatch("bank", HALF, {"batch": values}, {"batch": rows}), crashing)
    assert np.array_equal(joined(bank.result(), "batch"), HALF.sides(values))
    assert platform.result() and platform.kept == HALF and bank.expects is platform.expects is None
    told = [message.opening for _, message in seen if message.opening]
    assert {one.kind for one in told} == {"sides.batch"} and sum(one.count for one in told) == rows * len(CUTS)
    assert len(told) == max(1, -(-rows // 100))


@pytest.mark.parametrize("kept", [0, 2, 4])
@pytest.mark.parametrize("better", [True, False])
def test_a_hold_out_keeps_the_first_splits_and_ends_with_the_verdict(kept, better):
    rows = {"calibration": 40, "test": 90}
    values = {name: values_of(count, count) for name, count in rows.items()}
    judged = []

    def judge(sides):
        judged.append({name: joined(sides, name) for name in rows})
        return better

    for crashing in (False, True):
        bank, platform, seen = exchange(lambda: LabelHoldout(Asked("platform", kept, rows), judge),
                                        lambda: FeatureHoldout("bank", HALF, values, rows), crashing)
        assert platform.result() is better and platform.kept == HALF.first(kept)
        assert bank.result().rows == rows
        assert [m.opening.kind for _, m in seen if m.opening] == ["tree.kept", "sides.calibration", "sides.test",
                                                                  "verdict"]
        for name in rows:
            assert np.array_equal(judged[-1][name], HALF.first(kept).sides(values[name]).reshape(kept, rows[name]))


def test_a_platform_answers_no_other_number_of_splits_than_its_half_has():
    def asked(role, count):
        return role.handle(Message("bank", "kept", count.to_bytes(4, "little")))

    batch = FeatureBatch("bank", HALF, {"batch": values_of(5)}, {"batch": 5})
    for count in (0, 3, 5):
        with pytest.raises(MalformedMessage, match="expected to answer the 4 splits"):
            asked(batch, count)
    holdout = FeatureHoldout("bank", HALF, {"test": values_of(5)}, {"test": 5})
    with pytest.raises(MalformedMessage, match="at most the 4 splits"):
        asked(holdout, 5)
    assert batch.expects == holdout.expects == "bank" and batch.result() is holdout.result() is None
    asked(batch, 4)
    with pytest.raises(MalformedMessage, match="not due"):
        asked(batch, 4)


def test_sides_of_another_length_or_from_others_are_refused():
    bank = LabelSides(Asked("platform", 2, {"batch": 10}))
    for peer, kind, payload in (("platform", "sides.batch", bytes(3)), ("platform", "sides.test", bytes(4)),
                                ("other", "sides.batch", bytes(4)), ("platform", "sides.batch", b"\xff" * 4)):
        with pytest.raises(MalformedMessage):
            bank.handle(Message(peer, kind, payload))
    assert bank.result() is None
    bank.handle(Message("platform", "sides.batch", bytes(4)))
    assert not joined(bank.result(), "batch").any()
    with pytest.raises(MalformedMessage, match="not due"):
        bank.handle(Message("platform", "sides.batch", bytes(4)))
