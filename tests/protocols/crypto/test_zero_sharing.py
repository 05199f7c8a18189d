"""Covers of a circle add up to zero, hide each party's value, and leave the sum."""
from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.crypto.ring import RING
from protocols.crypto.zero_sharing import Circle
from protocols.errors import MalformedMessage


def circle(count: int) -> dict[str, Circle]:
    names = [f"bank-{i}" for i in range(count)]
    members = {name: Circle(name, names) for name in names}
    for name, member in members.items():
        for other, payload in member.draw().items():
            members[other].take(name, payload)
    return members


def total(parts) -> np.ndarray:
    out = None
    for part in parts:
        out = part if out is None else RING.add(out, part)
    return out


@settings(max_examples=20, deadline=None)
@given(count=st.integers(1, 6), n=st.integers(1, 40))
def test_covers_cancel_and_parts_add_up_to_what_all_know(count: int, n: int) -> None:
    members = circle(count)
    assert all(member.complete for member in members.values())
    assert not total(m.cover("a", n) for m in members.values()).any()
    common = [m.common("b", n) for m in members.values()]
    assert all(np.array_equal(common[0], other) for other in common)
    assert np.array_equal(total(m.part("b", n) for m in members.values()), common[0])


def test_a_cover_differs_by_label_and_by_party_and_is_not_small() -> None:
    members = list(circle(3).values())
    first, second = members[0].cover("a", 64), members[0].cover("b", 64)
    assert not np.array_equal(first, second) and not np.array_equal(first, members[1].cover("a", 64))
    assert np.unique(first).size == first.size and first.max() > 2**55


def test_all_but_two_parties_pooled_see_the_two_only_in_their_sum() -> None:
    """What colluders can take off the covers of two honest parties leaves one uniform number, with both signs."""
    names = ["a", "b", "c"]
    members = {name: Circle(name, names) for name in names}
    seeds = {(name, other): payload for name, m in members.items() for other, payload in m.draw().items()}
    for (name, other), payload in seeds.items():
        members[other].take(name, payload)
    known = members["c"].cover("x", 8)
    left = RING.add(RING.add(members["a"].cover("x", 8), members["b"].cover("x", 8)), known)
    assert not left.any()
    alone = RING.add(members["a"].cover("x", 8), known)  # c's seeds with a do not uncover a
    assert alone.any() and not np.array_equal(alone, members["a"].cover("x", 8))


def test_it_survives_the_vault_and_nothing_else() -> None:
    members = circle(3)
    names = list(members)
    for name, member in members.items():
        again = Circle.from_bytes(name, names, member.to_bytes())
        assert np.array_equal(again.part("z", 5), member.part("z", 5)) and again.complete
        assert "REDACTED" in repr(member)
        with pytest.raises(TypeError):
            pickle.dumps(member)
    assert not Circle.from_bytes("bank-2", names, Circle("bank-2", names).to_bytes()).complete


@pytest.mark.parametrize(
    "sender, size", [("bank-1", 64), ("bank-0", 32), ("bank-2", 32), ("nobody", 32), ("bank-1", 0)]
)
def test_seeds_that_are_not_due_are_refused(sender: str, size: int) -> None:
    member = Circle("bank-2", ["bank-0", "bank-1", "bank-2"])
    with pytest.raises(MalformedMessage):
        member.take(sender, bytes(size))


def test_seeds_are_taken_once() -> None:
    member = Circle("bank-1", ["bank-0", "bank-1"])
    member.take("bank-0", bytes(64))
    with pytest.raises(MalformedMessage):
        member.take("bank-0", bytes(64))
