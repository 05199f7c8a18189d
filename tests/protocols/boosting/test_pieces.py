"""State that is written once: secrets in batches, and the record that a training is made again from."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.boosting.parameters import KEPT
from protocols.boosting.pieces import Pieces, Stock, cut, shares_bytes, shares_of
from protocols.boosting.record import Record
from protocols.errors import MalformedMessage


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 9)), min_size=1, max_size=8))
def test_secrets_serve_once_in_their_order_whatever_is_restored(steps):
    stock, batches, served = Stock(), [], []
    for size, spent in steps:
        first = sum(map(len, batches))
        batches.append(np.arange(first, first + size))
        stock.add(batches[-1], -batches[-1])
        spent = min(spent, len(stock))
        served += [int(one) for one, other in stock.next(spent) if one == -other]
        stock.spend(spent)
        read = []
        stock = Stock.restored(stock.counters(), lambda number, read=read: (
            read.append(number) or batches[number], -batches[number]))
        assert all(batches[number][-1] >= len(served) for number in read)  # used batches are not read again
        assert stock.used == len(served) and len(stock) == sum(map(len, batches)) - len(served)
    assert served == list(range(len(served)))


def test_shares_are_kept_in_fourteen_bytes_and_damage_is_refused():
    rng = np.random.default_rng(1)
    shares = np.stack([rng.integers(0, prime, (3, 5), dtype=np.uint64) for prime in KEPT], axis=1)
    data = shares_bytes(shares)
    assert len(data) == 14 * 3 * 5 and (shares_of(data, 3, 5, "shares") == shares).all()
    for bad in (data[:-1], data + b"\0", b"\xff" * len(data)):
        with pytest.raises(MalformedMessage):
            shares_of(bad, 3, 5, "shares")
    assert [bytes(one) for one in cut(b"abcdef", 2)] == [b"ab", b"cd", b"ef"]


@pytest.mark.parametrize(("width", "most"), [(31, 2**30), (40, 2**39)])
def test_sums_and_routes_come_back_as_they_were(width, most):
    kept: dict[str, bytes] = {}
    pieces = Pieces(kept.get)
    record = Record(pieces, 11, width)
    sums, route = np.array([[most, -most, 3], [0, 1, 2]]), np.arange(11) % 3 == 0
    record.add_sums(sums)
    record.add_sums(sums[:1])
    kept |= pieces.fresh()
    again = Record(pieces, 11, width)
    again.place(record.counters())
    assert [one.tolist() for one in again.sums(0, 4, 3)] == [sums.tolist(), sums[:1].tolist()]  # one is still due
    record.add_route(route)
    kept |= pieces.fresh()
    again.place(record.counters())
    assert (again.route(0) == route).all() and len(again.sums(0, 3, 3)) == 2 and again.sums(1, 3, 3) == []
    with pytest.raises(MalformedMessage, match="saved sums"):
        again.sums(0, 1, 3)
    assert not pieces.fresh()
