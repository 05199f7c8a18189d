"""Both sides of a training, exchanging bytes, against the same algorithm on pooled columns: split for split."""
from __future__ import annotations

from collections import deque

import numpy as np
import pytest

from protocols.boosting import label_party
from protocols.boosting.candidates import Candidate
from protocols.boosting.feature_party import FeatureBooster, FeatureConfig
from protocols.boosting.grower import Grower
from protocols.boosting.label_party import LabelBooster, LabelConfig, LabelData
from protocols.boosting.label_sums import SHARE_BYTES
from protocols.boosting.messages import Column
from protocols.boosting.settings import BoostingSettings
from protocols.errors import MalformedMessage, ProtocolError
from protocols.role import Message
from tests.protocols.boosting.oracle import Oracle

BANK, PLATFORM = (Column(8), Column(6, 1)), (Column(8), Column(5, 0, True), Column(8, -1))
ROWS = 1500
SMALL = {"trees": 3, "depth": 3, "bins": 8, "learning_rate": 0.3}


def table(seed: int = 1):
    """Codes of both sides and labels that depend on them."""
    rng = np.random.default_rng(seed)
    sides = [np.stack([rng.integers(0, one.bins, ROWS) for one in columns], axis=1).astype(np.uint8)
             for columns in (BANK, PLATFORM)]
    score = 0.5 * sides[0][:, 1] - 0.4 * sides[1][:, 2] + 0.6 * (sides[1][:, 1] == 4) + 0.2 * sides[1][:, 0] - 1
    return *sides, (rng.random(ROWS) < 1 / (1 + np.exp(-score))).astype(np.int8)


class Run:
    """Bank and platform; every message is handled by a role that was just restored if `crashing`."""

    def __init__(self, settings: BoostingSettings, crashing: bool = False, validation=None, platform=None):
        bank, other, labels = table()
        self.crashing, self.kept = crashing, {"bank": {}, "platform": {}}
        config = LabelConfig("bank", "platform", settings)
        allowed = platform or FeatureConfig("bank", 10**7, 1000)
        data = LabelData(bank, BANK, labels, b"seed", validation)
        self.make = {"bank": lambda: LabelBooster(data, config),
                     "platform": lambda: FeatureBooster(other, PLATFORM, allowed)}
        self.roles = {name: make() for name, make in self.make.items()}
        self.seen: list[tuple[str, Message]] = []
        self.sizes: list[int] = []  # of snapshots

    def go(self):
        waiting = deque((name, message) for name in self.roles
                        for message in self._sent(name, self.roles[name].start()))
        while waiting:
            sender, message = waiting.popleft()
            self.seen.append((sender, message))
            receiver = "platform" if sender == "bank" else "bank"
            self._crash(receiver)
            came = Message(sender, message.kind, message.payload)
            waiting += [(receiver, one) for one in self._sent(receiver, self.roles[receiver].handle(came))]
        return self.roles["bank"].result()

    def _sent(self, name, messages):
        fresh = self.roles[name].new_pieces()
        assert not fresh.keys() & self.kept[name].keys()  # a piece is written once
        self.kept[name] |= fresh
        return messages

    def _crash(self, name):
        if self.crashing:
            again, state = self.make[name](), self.roles[name].snapshot()
            self.sizes.append(len(state))
            again.pieces = self.kept[name].get
            again.restore(state)
            self.roles[name] = again


def pooled(settings: BoostingSettings, validation=None):
    """The trees that all columns in one place give."""
    bank, other, labels = table()
    columns = tuple(Candidate(party, number, one.bins, one.monotone, one.has_missing)
                    for party, told in (("bank", BANK), ("platform", PLATFORM)) for number, one in enumerate(told))
    oracle = Oracle(np.concatenate([bank, other], axis=1), columns)
    return oracle.train(Grower(settings, labels, columns, b"seed", validation))


@pytest.mark.parametrize("change", [
    {}, {"depth": 1, "trees": 2}, {"goss": {"top": 0.4, "other": 0.3}, "trees": 2},
    {"column_share": 0.6, "row_share": 0.8}, {"class_weight": 3.0, "l2": 5.0, "gamma": 0.5}])
def test_the_trees_are_those_of_the_pooled_columns(change):
    settings = BoostingSettings(**(SMALL | change))
    made = Run(settings).go()
    assert made == pooled(settings) and len(made.trees) == settings.trees
    assert {split.party for split in made.splits} == {"bank", "platform"} or settings.depth == 1


def test_a_tree_without_columns_of_the_platform_opens_nothing():
    settings = BoostingSettings(**(SMALL | {"trees": 4, "column_share": 0.2}))  # one column of five
    run = Run(settings)
    assert run.go() == pooled(settings)
    opened = [message.opening.count for _, message in run.seen if message.kind == "sums"]
    assert opened and all(count % 8 == 0 or count % 5 == 0 for count in opened)
    assert sum(message.kind == "vectors" for _, message in run.seen) < 3 * settings.trees


@pytest.mark.parametrize("change", [
    {}, {"row_share": 0.8, "column_share": 0.4}, {"goss": {"top": 0.4, "other": 0.4}}, {"early_stopping_rounds": None},
    {"row_share": 0.8, "gamma": 1e5, "early_stopping_rounds": None, "trees": 3}])  # roots alone
def test_a_crash_before_every_message_changes_nothing(change):
    settings = BoostingSettings(**(SMALL | {"trees": 6, "early_stopping_rounds": 1} | change))
    validation = np.arange(ROWS) % 4 == 0
    run = Run(settings, crashing=True, validation=validation)
    assert run.go() == pooled(settings, validation)
    run._crash("bank")
    assert run.roles["bank"].result() == pooled(settings, validation)
    asked = [split for split in run.roles["bank"].result().splits if split.party == "platform"]
    told = run.roles["platform"].result()
    assert [(one.column, one.bin, one.missing_left) for one in asked] == [
        (one.column, one.bin, one.missing_left) for one in told][:len(asked)]


@pytest.mark.parametrize(("each", "crashing"), [(1, True), (3, True), (2, False)])
def test_a_level_in_several_messages_gives_the_same_trees(monkeypatch, each, crashing):
    monkeypatch.setattr(label_party, "MESSAGE_BYTES", each * SHARE_BYTES * ROWS + 5)
    monkeypatch.setattr(label_party, "BATCH", 5)  # secrets run out within a level
    settings = BoostingSettings(**(SMALL | {"row_share": 0.9}))
    run = Run(settings, crashing)
    assert run.go() == pooled(settings)
    told = [message.payload for _, message in run.seen if message.kind == "vectors"]
    counts = [len(payload) // (SHARE_BYTES * ROWS) for payload in told]
    assert max(counts) == each and len(set(told)) == len(told)
    assert sum(message.kind == "sums" for _, message in run.seen) == len(counts)


def test_a_message_refused_within_a_level_changes_nothing(monkeypatch):
    monkeypatch.setattr(label_party, "MESSAGE_BYTES", 1)
    settings = BoostingSettings(**SMALL)
    run = Run(settings, crashing=True)
    take = LabelBooster.handle

    def strict(role, message):
        if message.kind in ("sums", "sides", "corrections"):
            before = role.snapshot()
            with pytest.raises(MalformedMessage):
                take(role, Message(message.peer, message.kind, message.payload + b"x"))
            assert role.snapshot() == before and not role.new_pieces()
        return take(role, message)

    monkeypatch.setattr(LabelBooster, "handle", strict)
    assert run.go() == pooled(settings)


def test_snapshots_hold_counters_and_a_piece_is_written_once():
    run = Run(BoostingSettings(**(SMALL | {"trees": 12, "depth": 2})), crashing=True)
    run.go()
    assert len(run.seen) > 40 and max(run.sizes) < 1000
    bits = -(-ROWS // 8)
    routes = [len(data) for name, data in run.kept["bank"].items() if name.startswith("route.")]
    assert set(routes) == {bits} and len(routes) <= 12 * 2


def test_saved_state_without_a_piece_is_refused():
    run = Run(BoostingSettings(**SMALL))
    run.go()
    for name in ("tree.1", "route.0.0"):
        again = run.make["bank"]()
        again.pieces = (run.kept["bank"] | {name: None}).get
        with pytest.raises(MalformedMessage, match=f"piece {name}"):
            again.restore(run.roles["bank"].snapshot())


def test_openings_are_declared_and_no_vector_repeats():
    settings = BoostingSettings(**SMALL)
    run = Run(settings)
    made = run.go()
    sums = sum(message.opening.count for _, message in run.seen if message.kind == "sums")
    sides = sum(message.opening.count for _, message in run.seen if message.kind == "sides")
    vectors = [message for _, message in run.seen if message.kind == "vectors"]
    assert sums % sum(one.bins for one in PLATFORM) == 0 and sums > 0
    assert sides == ROWS * sum(one.party == "platform" for one in made.splits)
    assert len({message.payload for message in vectors}) == len(vectors)
    told = [message.opening for sender, message in run.seen if sender == "bank" and message.opening]
    assert {one.kind for one in told} == {"tree.splits"}
    assert sum(one.count for one in told) == sum(one.party == "platform" for one in made.splits)


def test_a_platform_that_answers_with_other_sums_or_sides_is_found_out():
    for kind in ("sums", "sides"):
        run = Run(BoostingSettings(**SMALL))
        honest = run.roles["platform"].handle

        def bent(message, honest=honest, kind=kind):
            replies = honest(message)
            return [Message(one.peer, one.kind, bytes(len(one.payload)) if one.kind == kind else one.payload)
                    for one in replies]

        run.roles["platform"].handle = bent
        with pytest.raises(ProtocolError):
            run.go()


def test_what_is_not_due_is_refused():
    run = Run(BoostingSettings(**SMALL))
    bank = run.roles["bank"]
    before = bank.snapshot()
    for peer, kind in (("platform", "veil"), ("platform", "sums"), ("other", "shape"), ("platform", "end")):
        with pytest.raises(MalformedMessage, match="expected shape"):
            bank.handle(Message(peer, kind, b""))
    assert bank.snapshot() == before and bank.result() is None and bank.expects == "platform"
