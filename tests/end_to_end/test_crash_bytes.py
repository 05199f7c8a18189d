"""A repeated request gets the same bytes: both training roles behind their stores and doors, crashing all the time.

What a crash leaves is what is on disk: facts, outbox and handled messages of `RunStore`, records of the audit log.
"""
from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from parties.runtime.egress import Egress
from parties.runtime.run_store import Handled, RunStore
from protocols.crypto.identity import IdentityKey
from protocols.crypto.keys import KeyPair
from protocols.errors import SealscoreError
from protocols.node.at_rest import run_box
from protocols.node.audit_log import AuditLog
from protocols.role import Message
from protocols.scorecard.training import Trainer
from tests.protocols.scorecard.problems import Problem, problem

RUN = "r-" + "5" * 16
PRECISION = 2.0**-11  # two runs of the same training differ by at most this, in whitened coefficients


class Crash(Exception):
    """The process is gone."""


class Party:
    """A node as far as a crash is concerned: all it has are its files; `boot` makes the rest from them."""

    def __init__(self, name: str, task: Problem, folder: Path):
        self.name, self.peer = name, {"bank": "platform", "platform": "bank"}[name]
        self._task, self._folder, self._identity = task, folder / name, IdentityKey.generate()
        self._folder.mkdir()
        self._secret = KeyPair.generate().secret_bytes()
        self.sent: dict[int, set[bytes]] = {}  # digests of all bytes that ever left, by number of the message
        self.answers: dict[bytes, set[bytes]] = {}  # digests of all replies that ever left, by digest of the request
        self.boot()

    def boot(self) -> None:
        self.store = RunStore(self._folder / "run.db", run_box(self._identity, RUN))
        self.audit = AuditLog(self._folder / "audit", self.name, self._identity)
        self.egress = Egress(RUN, "train", self.store, self.audit)
        make = self._task.label_trainer if self.name == "bank" else self._task.feature_trainer
        self.role: Trainer = make(KeyPair.from_secret_bytes(self._secret), self.store.get("train.peer_public"))
        state = self.store.get("train.role")
        if state is None:
            self._release(self.role.start(), [])
        else:
            self.role.restore(state)

    def crash(self) -> None:
        self.store.close()
        self.audit.close()
        self.boot()

    def take(self, number: int, message: Message, *, dies_before_the_disk: bool = False) -> None:
        """Handle the peer's message `number`; one that is durable already is dropped if it is the same."""
        digest = hashlib.sha256(message.payload).digest()
        link = self.store.towards(self.peer)
        if number <= link.last_handled():
            assert link.handled_digest(number) == digest, "another message under a number that was handled"
            return
        answers = self.role.handle(message)
        if dies_before_the_disk:
            raise Crash
        self._release(answers, [Handled(self.peer, number, digest)])
        for answer in answers:
            if answer.kind == message.kind.replace("request", "reply"):
                self.answers.setdefault(digest, set()).add(hashlib.sha256(answer.payload).digest())

    def _release(self, messages: list[Message], handled: list[Handled]) -> None:
        facts = {"train.role": self.role.snapshot()}
        if self.role.peer_public is not None:
            facts["train.peer_public"] = self.role.peer_public
        self.egress.release("train", self.role.progress[0], messages, facts, handled)

    def outbox(self) -> Iterator[tuple[int, Message]]:
        """All that is to be sent, again and again until it is trimmed."""
        link = self.store.towards(self.peer)
        row = link.next_outgoing(0)
        while row is not None:
            self.sent.setdefault(row.seq, set()).add(hashlib.sha256(row.payload).digest())
            yield row.seq, Message(self.name, row.kind.removeprefix("train."), row.payload)
            row = link.next_outgoing(row.seq)


def train(task: Problem, folder: Path, disturb: Callable[[Party, int], str]) -> dict[str, Party]:
    """Deliver until both have a result. `disturb(receiver, number)`: "" or what happens with this delivery."""
    parties = {name: Party(name, task, folder) for name in ("bank", "platform")}
    for _ in range(2000):
        if all(party.role.result() is not None for party in parties.values()):
            return parties
        for sender in parties.values():
            receiver = parties[sender.peer]
            for number, message in list(sender.outbox()):
                deliver(sender, receiver, number, message, disturb)
    raise AssertionError("the training does not end")


def deliver(sender: Party, receiver: Party, number: int, message: Message, disturb: Callable) -> None:
    expected = receiver.store.towards(receiver.peer).last_handled() + 1
    if number > expected:
        return  # a link delivers in order
    what = disturb(receiver, number) if number == expected else ""
    try:
        receiver.take(number, message, dies_before_the_disk=what == "before")
    except Crash:
        receiver.crash()
        return
    if what == "after":
        receiver.crash()
    if what != "no ack":
        sender.store.trim(receiver.name, receiver.store.towards(sender.name).last_handled())


def coefficients(parties: dict[str, Party]) -> np.ndarray:
    return np.concatenate([parties[name].role.result().own for name in ("bank", "platform")])


def random_trouble(seed: int, share: float) -> Callable[[Party, int], str]:
    """Trouble with `share` of all deliveries, a third of it of each kind."""
    rng = np.random.default_rng(seed)
    kinds, p = ["", "before", "after", "no ack"], [1 - share, *[share / 3] * 3]
    return lambda receiver, number: str(rng.choice(kinds, p=p))


@pytest.fixture(scope="module")
def task() -> Problem:
    return problem(300, 2, 3, steps=1, seed=5)


@pytest.fixture(scope="module")
def undisturbed(task: Problem, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Party]:
    return train(task, tmp_path_factory.mktemp("calm"), lambda receiver, number: "")


@pytest.mark.parametrize("share", [0.2, pytest.param(0.7, marks=pytest.mark.slow)])
def test_crashes_change_no_byte_and_no_coefficient(task: Problem, undisturbed, tmp_path: Path, share: float) -> None:
    parties = train(task, tmp_path, random_trouble(1, share))
    assert np.abs(coefficients(parties) - coefficients(undisturbed)).max() <= PRECISION
    for party in parties.values():
        assert len(party.sent) > 20
        assert all(len(versions) == 1 for versions in party.sent.values())  # a number, one message, for ever
        assert len(party.answers) >= 10
        assert all(len(replies) == 1 for replies in party.answers.values())  # a request, one reply, one mask
        replies = [next(iter(r)) for r in party.answers.values()]
        assert len(set(replies)) == len(replies)  # another request, another mask


        lines = (party.audit.directory / "log.jsonl").read_text()
        # a crash between the record and the message leaves a record too many, never one too few
        assert all(digest.hex() in lines for versions in party.sent.values() for digest in versions)
        assert party.egress.openings()["coefficients"] == len(parties[party.peer].role.result().own)


def test_another_message_under_a_handled_number_is_refused(undisturbed: dict[str, Party]) -> None:
    """The store never takes two messages as the same: the link fails when the digests differ."""
    bank = undisturbed["bank"]
    assert bank.store.towards(bank.peer).handled_digest(1) is not None
    with pytest.raises(SealscoreError):
        bank.store.commit({}, handled=[Handled(bank.peer, 1, bytes(32))])
    with pytest.raises(AssertionError, match="another message"):
        bank.take(1, Message("platform", "setup", b"something else"))
