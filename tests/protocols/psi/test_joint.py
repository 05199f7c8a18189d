"""The people known to all parties: against a plain intersection, under interruption, and with malformed messages."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import ConfigError, MalformedMessage, PolicyRefused
from protocols.psi.joint import KIND, MEMBERSHIP, FeatureJoint, LabelJoint
from protocols.role import Message

PAIRS = [np.array([7, 3, 9, 1, 4]), np.array([1, 8, 3, 4]), np.array([4, 2, 3, 6, 1, 0])]
PLATFORMS = ("first", "second", "third")


def words(*positions: int) -> bytes:
    return np.array(positions, dtype="<u4").tobytes()


def test_positions_on_literal_bytes() -> None:
    bank = LabelJoint(PLATFORMS, PAIRS, 3)
    assert bank.result() is None
    messages = bank.start()
    assert [(m.peer, m.kind, m.payload) for m in messages] == [
        ("first", KIND, bytes.fromhex("010000000300000004000000")),
        ("second", KIND, bytes.fromhex("020000000000000003000000")),
        ("third", KIND, bytes.fromhex("020000000400000000000000")),
    ]
    assert [(m.opening.kind, m.opening.learner, m.opening.count) for m in messages] == [
        (MEMBERSHIP, name, 3) for name in PLATFORMS]
    assert bank.result().rows.tolist() == [3, 1, 4] and bank.expects is None
    platform = FeatureJoint("bank", np.array([50, 60, 70, 80]), 3)
    assert platform.start() == [] and platform.expects == "bank" and platform.result() is None
    assert platform.handle(Message("bank", KIND, messages[1].payload)) == []
    assert platform.result().rows.tolist() == [70, 50, 80] and platform.expects is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sets(st.integers(0, 60), min_size=1), min_size=1, max_size=5), st.integers(0, 2**20))
def test_every_party_gets_the_same_people_in_the_same_order(known: list[set[int]], seed: int) -> None:
    """Person p is row p at the bank; each platform has its own table and each pair its own order."""
    rng = np.random.default_rng(seed)
    platforms = tuple(f"p{i}" for i in range(len(known)))
    tables = [rng.permutation(61) for _ in known]  # tables[i][row] is a person
    pairs = [rng.permutation(sorted(people)) for people in known]
    common = set.intersection(*known)
    bank = LabelJoint(platforms, pairs, 1)
    if not common:
        with pytest.raises(PolicyRefused, match="fewer than 1 people"):
            bank.start()
        assert bank.result() is None
        return
    for message, table, pair in zip(bank.start(), tables, pairs, strict=True):
        role = FeatureJoint("bank", np.argsort(table)[pair], 1)
        role.handle(Message("bank", message.kind, message.payload))
        assert table[role.result().rows].tolist() == bank.result().rows.tolist()
    rows = bank.result().rows
    assert set(rows.tolist()) == common and rows.tolist() == [p for p in pairs[0].tolist() if p in common]


def test_too_few_people_known_to_all_are_refused_before_anything_is_sent() -> None:
    bank = LabelJoint(PLATFORMS, PAIRS, 4)
    with pytest.raises(PolicyRefused, match="fewer than 4 people in common; bring more rows") as refused:
        bank.start()
    assert refused.value.setting == "alignment.minimum_intersection" and bank.result() is None


def test_the_platform_enforces_the_minimum_too() -> None:
    platform = FeatureJoint("bank", np.arange(10), 4)
    with pytest.raises(PolicyRefused, match="fewer than 4 people"):
        platform.handle(Message("bank", KIND, words(1, 2, 3)))
    assert platform.result() is None
    platform.handle(Message("bank", KIND, words(9, 2, 3, 0)))
    assert platform.result().rows.tolist() == [9, 2, 3, 0]


@pytest.mark.parametrize(("message", "match"), [
    (Message("bank", KIND, words(0, 1, 2)[:-1]), "4 bytes for each"),
    (Message("bank", KIND, words(0, 1) + b"\0"), "got 9 bytes"),
    (Message("bank", KIND, words(*range(6))), "at most 5 people"), (Message("bank", KIND, words(0, 1, 5)), "below 5"),
    (Message("bank", KIND, words(0, 1, 2**32 - 1)), "below 5"), (Message("bank", KIND, words(0, 1, 1)), "distinct"),
    (Message("other", KIND, words(0, 1, 2)), "not due"), (Message("bank", "align.joint", words(0, 1, 2)), "not due"),
])
def test_malformed_messages_are_refused_and_change_nothing(message: Message, match: str) -> None:
    platform = FeatureJoint("bank", np.arange(5), 2)
    before = platform.snapshot()
    with pytest.raises(MalformedMessage, match=match):
        platform.handle(message)
    assert platform.snapshot() == before and platform.expects == "bank"
    platform.handle(Message("bank", KIND, words(4, 0)))
    with pytest.raises(MalformedMessage, match="not due"):
        platform.handle(Message("bank", KIND, words(1, 2)))
    assert platform.result().rows.tolist() == [4, 0]


def test_the_bank_takes_nothing() -> None:
    bank = LabelJoint(PLATFORMS, PAIRS, 3)
    bank.start()
    with pytest.raises(MalformedMessage, match="nothing was due"):
        bank.handle(Message("first", KIND, words(1)))


def test_both_sides_go_on_from_snapshots() -> None:
    bank, platform = LabelJoint(PLATFORMS, PAIRS, 3), FeatureJoint("bank", PAIRS[1], 3)
    for role, again in ((bank, LabelJoint(PLATFORMS, PAIRS, 3)), (platform, FeatureJoint("bank", PAIRS[1], 3))):
        again.restore(role.snapshot())
        assert again.result() is None and again.expects == role.expects
    payload = bank.start()[1].payload
    assert LabelJoint(PLATFORMS, PAIRS, 3).start()[1].payload == payload  # a repeated step gives the same bytes
    platform.handle(Message("bank", KIND, payload))
    for role, again in ((bank, LabelJoint(PLATFORMS, PAIRS, 3)), (platform, FeatureJoint("bank", PAIRS[1], 3))):
        again.restore(role.snapshot())
        assert again.result().rows.tolist() == role.result().rows.tolist() == [3, 1, 4]
        assert again.snapshot() == role.snapshot()


@pytest.mark.parametrize(("platforms", "pairs"), [((), []), (("first",), PAIRS[:2])])
def test_every_platform_needs_its_alignment(platforms: tuple[str, ...], pairs: list) -> None:
    with pytest.raises(ConfigError, match="one alignment for each"):
        LabelJoint(platforms, pairs, 1)
