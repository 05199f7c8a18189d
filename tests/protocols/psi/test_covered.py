"""The people known to any platform: against a plain join, with banks that cheat, and with malformed messages."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import ConfigError, MalformedMessage, PolicyRefused, ProtocolError
from protocols.psi.covered import KIND, FeatureCovered, LabelCovered
from protocols.psi.joint import MEMBERSHIP
from protocols.psi.parameters import UNKNOWN
from protocols.role import Message

PLATFORMS = ("first", "second", "third")
PAIRS = [np.array([7, 3, 9]), np.array([1, 8, 3, 4]), np.array([4, 2])]
MOST = 50
NOBODY = 2**32 - 1


def words(*numbers: int) -> bytes:
    return np.array(numbers, dtype="<u4").tobytes()


def thirds(rows: np.ndarray) -> np.ndarray:
    """The slice of person p is p modulo 3; the platform of these tests has persons as rows."""
    return (rows % 3).astype(np.int8)


def platform(pair: np.ndarray = PAIRS[1], minimum: int = 2) -> FeatureCovered:
    return FeatureCovered("bank", pair, thirds, minimum, MOST)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sets(st.integers(0, 60), min_size=1), min_size=1, max_size=4), st.integers(0, 2**20))
def test_all_get_the_rows_and_slices_of_a_plain_join(known: list[set[int]], seed: int) -> None:
    """Person p is row p at the bank; each platform has its own table and each pair its own order."""
    rng = np.random.default_rng(seed)
    tables = [rng.permutation(61) for _ in known]  # tables[i][row] is a person
    pairs = [rng.permutation(sorted(people)) for people in known]
    bank = LabelCovered(tuple(f"p{i}" for i in range(len(known))), pairs, thirds, 1)
    messages, joint = bank.start(), bank.result()
    assert sorted(joint.rows.tolist()) == sorted(set.union(*known))
    assert np.array_equal(joint.slices, joint.rows % 3) and (np.diff(joint.slices) >= 0).all()
    lacking = []
    for message, table, people, pair in zip(messages, tables, known, pairs, strict=True):
        assert message.opening.kind == MEMBERSHIP and message.opening.count == len(joint.rows)
        role = FeatureCovered("bank", np.argsort(table)[pair], lambda rows, t=table: thirds(t[rows]), 1, MOST + 11)
        role.handle(Message("bank", message.kind, message.payload))
        own = role.result()
        expected = [person if person in people else UNKNOWN for person in joint.rows.tolist()]
        assert [table[row] if row != UNKNOWN else UNKNOWN for row in own.rows] == expected
        assert np.array_equal(own.slices, joint.slices)
        lacking.append(own.lacking)
        assert own.lacking == sum(p == UNKNOWN and s == 0 for p, s in zip(expected, own.slices, strict=True))
    assert joint.lacking == max(lacking)


def test_the_order_is_another_in_every_run_and_says_nothing_of_who_knows_whom() -> None:
    """By chance alone are people whom the others know too at the front of their slice: here in half of the runs."""
    pairs, front = [np.arange(0, 30, 3), np.arange(15, 60, 3)], 0
    orders = set()
    for _ in range(200):
        bank = LabelCovered(PLATFORMS[:2], pairs, thirds, 1)
        bank.start()
        rows = bank.result().rows
        orders.add(tuple(rows.tolist()))
        front += np.isin(rows[: len(rows) // 2], pairs[0]).sum() * 2 > np.isin(rows, pairs[0]).sum()
    assert len(orders) == 200 and 40 < front < 160


def test_positions_on_literal_bytes() -> None:
    role = platform()
    assert role.start() == [] and role.expects == "bank" and role.result() is None
    payload = bytes.fromhex("020000000200000001000000" "02000000ffffffff0300000000000000" "01000000")
    assert role.handle(Message("bank", KIND, payload)) == []
    joint = role.result()
    assert joint.rows.tolist() == [3, UNKNOWN, 4, 1, 8] and joint.slices.tolist() == [0, 0, 1, 1, 2]
    assert joint.lacking == 1 and role.expects is None


def test_a_bank_that_puts_a_person_into_another_slice_is_caught() -> None:
    role = platform()
    with pytest.raises(ProtocolError, match="bank put 1 of 4 people into other slices"):
        role.handle(Message("bank", KIND, words(3, 1, 1, 2, 0, NOBODY, 3, 1)))
    assert role.result() is None


@pytest.mark.parametrize(("message", "match"), [
    (Message("bank", KIND, words(1, 2, 1, 2, 3, 0, 1)[:-1]), "4 bytes for each"),
    (Message("bank", KIND, words(1, 2)), "got 8 bytes"),
    (Message("bank", KIND, words(MOST + 1, 0, 0, *[NOBODY] * (MOST + 1))), "at most 50 people"),
    (Message("bank", KIND, words(1, 2, 2, 2, 3, 0, 1)), "slices of 4 rows together, got 5"),
    (Message("bank", KIND, words(NOBODY, 2, 2, 2, 3, 0, 1)), "of 4 rows together"),
    (Message("bank", KIND, words(1, 2, 1, 2, 3, 0, 4)), "each of the 4 people"),
    (Message("bank", KIND, words(1, 2, 1, 2, 3, 0, 0)), "each of the 4 people"),
    (Message("bank", KIND, words(1, 2, 1, 2, 3, 0, NOBODY)), "got 3 positions"),
    (Message("bank", KIND, words(2, 2, 1, 2, 2, 3, 0, 1)), "got 5 positions"),
    (Message("bank", KIND, words(1, 2, 1, 2, 3, 0, NOBODY - 1)), "each of the 4 people"),
    (Message("other", KIND, words(1, 2, 1, 2, 3, 0, 1)), "not due"),
    (Message("bank", "joint", words(1, 2, 1, 2, 3, 0, 1)), "not due"),
])
def test_malformed_messages_are_refused_and_change_nothing(message: Message, match: str) -> None:
    role = platform()
    before = role.snapshot()
    with pytest.raises(MalformedMessage, match=match):
        role.handle(message)
    assert role.snapshot() == before and role.expects == "bank"
    role.handle(Message("bank", KIND, words(1, 2, 1, 2, 3, 0, 1)))
    with pytest.raises(MalformedMessage, match="not due"):
        role.handle(Message("bank", KIND, words(1, 2, 1, 2, 3, 0, 1)))
    assert role.result().rows.tolist() == [3, 4, 1, 8]


def test_too_few_people_are_refused_by_both() -> None:
    bank = LabelCovered(PLATFORMS, PAIRS, thirds, 8)
    with pytest.raises(PolicyRefused, match="fewer than 8 people of the bank") as refused:
        bank.start()
    assert refused.value.setting == "alignment.minimum_intersection" and bank.result() is None
    with pytest.raises(PolicyRefused, match="fewer than 6 people"):
        platform(minimum=6).handle(Message("bank", KIND, words(1, 2, 2, 2, 3, 0, 1, NOBODY)))


def test_the_bank_takes_nothing() -> None:
    bank = LabelCovered(PLATFORMS, PAIRS, thirds, 3)
    bank.start()
    with pytest.raises(MalformedMessage, match="nothing was due"):
        bank.handle(Message("first", KIND, words(1)))


def test_both_sides_go_on_from_snapshots() -> None:
    bank, role = LabelCovered(PLATFORMS, PAIRS, thirds, 3), platform()
    for one, again in ((bank, LabelCovered(PLATFORMS, PAIRS, thirds, 3)), (role, platform())):
        again.restore(one.snapshot())
        assert again.result() is None and again.expects == one.expects
    role.handle(Message("bank", KIND, bank.start()[1].payload))
    for one, again in ((bank, LabelCovered(PLATFORMS, PAIRS, thirds, 3)), (role, platform())):
        again.restore(one.snapshot())
        assert again.result().rows.tolist() == one.result().rows.tolist()
        assert again.result().slices.tolist() == one.result().slices.tolist()
        assert again.result().lacking == one.result().lacking and again.snapshot() == one.snapshot()


@pytest.mark.parametrize(("platforms", "pairs"), [((), []), (("first",), PAIRS[:2])])
def test_every_platform_needs_its_alignment(platforms: tuple[str, ...], pairs: list) -> None:
    with pytest.raises(ConfigError, match="one alignment for each"):
        LabelCovered(platforms, pairs, thirds, 1)
