"""Banks publish together or not at all."""
from __future__ import annotations

from itertools import product

import pytest

from protocols.errors import MalformedMessage
from protocols.role import Message
from protocols.scorecard.verdicts import Verdicts
from tests.protocols.scorecard.simulator import drive_all

BANKS = ("bank-1", "bank-2", "bank-3")


@pytest.mark.parametrize("own", list(product([True, False], repeat=3)))
def test_all_learn_whether_all_agree(own) -> None:
    roles = {name: Verdicts(name, BANKS, verdict) for name, verdict in zip(BANKS, own, strict=True)}
    drive_all(roles)
    assert {role.result() for role in roles.values()} == {all(own)}


def test_anything_else_is_refused_and_a_snapshot_goes_on() -> None:
    role = Verdicts("bank-2", BANKS, True)
    assert [(m.peer, m.opening.kind) for m in role.start()] == [("bank-1", "verdict"), ("bank-3", "verdict")]
    for peer, kind, told in (("bank-3", "verdict", b"\1"), ("bank-1", "verdict", b"\2"), ("bank-1", "x", b"\1")):
        with pytest.raises(MalformedMessage):
            role.handle(Message(peer, kind, told))
    role.handle(Message("bank-1", "verdict", b"\1"))
    again = Verdicts("bank-2", BANKS, True)
    again.restore(role.snapshot())
    assert again.result() is None and again.expects == "bank-3"
    again.handle(Message("bank-3", "verdict", b"\0"))
    assert again.result() is False
    with pytest.raises(MalformedMessage):
        again.handle(Message("bank-3", "verdict", b"\1"))
