"""The exchange of checkpoints: both sides keep each other's countersigned ones, also when each is restarted."""
from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from protocols.audit import Countersigned, Record, SignedCheckpoint, kept_countersignature
from protocols.checkpoints import CheckpointExchange
from protocols.crypto.identity import IdentityKey
from protocols.errors import MalformedMessage, TrustError
from protocols.node.audit_log import AuditLog
from protocols.role import Message

KEYS = {name: IdentityKey.generate() for name in ("bank", "platform")}
PEER = {"bank": "platform", "platform": "bank"}


@contextmanager
def both(folder: Path) -> Iterator[dict[str, AuditLog]]:
    logs = {name: AuditLog(folder / name, name, key) for name, key in KEYS.items()}
    for log in logs.values():
        log.append("egress", {"bytes": 1})
    yield logs
    for log in logs.values():
        log.close()


def exchange(log: AuditLog) -> CheckpointExchange:
    peer = PEER[log.node]
    public = KEYS[peer].public
    return CheckpointExchange(peer, log.checkpoint_message, log.held(peer),
                              functools.partial(log.record_peer_checkpoint, peer, public),
                              functools.partial(log.record_countersigned, peer, public))


def play(logs: dict[str, AuditLog], restart: bool) -> None:
    """Deliver messages in turn until none is left; with `restart` every role is made anew from its snapshot."""
    roles = {name: exchange(log) for name, log in logs.items()}
    waiting = [(name, m) for name, role in roles.items() for m in role.start()]
    while waiting:
        sender, message = waiting.pop(0)
        receiver = roles[message.peer]
        waiting += [(message.peer, m) for m in receiver.handle(Message(sender, message.kind, message.payload))]
        if restart:
            again = exchange(logs[message.peer])
            again.restore(receiver.snapshot())
            roles[message.peer] = again
    assert all(role.result() for role in roles.values())


def of_kind(log: AuditLog, kind: str) -> list[Record]:
    return [record for record in log.records() if record.kind == kind]


@pytest.mark.parametrize("restart", [False, True])
def test_both_sides_keep_what_both_signed(tmp_path, restart):
    with both(tmp_path) as logs:
        play(logs, restart)
        play(logs, restart)
        for name, log in logs.items():
            witness = logs[PEER[name]]
            kept = [kept_countersignature(record, name) for record in of_kind(log, "checkpoint.countersigned")]
            held = [kept_countersignature(record, witness.node) for record in of_kind(witness, "checkpoint.peer")]
            assert kept == held and len(kept) == 2
            for each in kept:
                each.check(witness.node, KEYS[witness.node].public)
                each.signed.check(name, KEYS[name].public)
                assert list(witness.records())[each.index].kind == "checkpoint.peer"


@pytest.mark.parametrize("kinds", [["countersigned"], ["held", "held"], ["checkpoint", "checkpoint"], ["vote"],
                                   ["held", "countersigned", "countersigned"]])
def test_what_is_not_due_is_refused(tmp_path, kinds):
    role = CheckpointExchange("platform", lambda since: b"", 0, lambda message: b"", lambda message: None)
    for kind in kinds[:-1]:
        role.handle(Message("platform", kind, bytes(8)))
    with pytest.raises(MalformedMessage, match="not due"):
        role.handle(Message("platform", kinds[-1], bytes(8)))
    assert role.result() is None


def test_nothing_but_the_own_log_countersigned_by_that_peer_is_kept(tmp_path):
    with both(tmp_path) as logs:
        bank, stranger = logs["bank"], IdentityKey.generate()
        own = bank.checkpoint()
        other = AuditLog(tmp_path / "fork", "bank", KEYS["bank"])
        other.append("egress", {"bytes": 2})
        forged = [
            Countersigned.sign(stranger, own, "platform", 3),
            Countersigned.sign(KEYS["platform"], own, "coordinator", 3),
            Countersigned.sign(KEYS["platform"], other.checkpoint(), "platform", 3),
            Countersigned.sign(KEYS["platform"], logs["platform"].checkpoint(), "platform", 3),
            Countersigned.sign(KEYS["platform"], SignedCheckpoint(own.checkpoint, bytes(64)), "platform", 3),
        ]
        other.close()
        for each in forged:
            with pytest.raises(TrustError):
                bank.record_countersigned("platform", KEYS["platform"].public, each.encode())
        for garbage in (b"", b"{}", own.encode(), forged[0].encode() + b" "):
            with pytest.raises(MalformedMessage):
                bank.record_countersigned("platform", KEYS["platform"].public, garbage)
        assert len(of_kind(bank, "refusal")) == len(forged) + 4
        assert not of_kind(bank, "checkpoint.countersigned")


@pytest.mark.parametrize("change", [{"index": 4}, {"witness": "bank"}, {"countersignature": "00" * 64},
                                    {"signature": "00" * 64}])
def test_a_changed_countersignature_does_not_hold(tmp_path, change):
    with both(tmp_path) as logs:
        told = Countersigned.sign(KEYS["platform"], logs["bank"].checkpoint(), "platform", 3).to_json()
        with pytest.raises(TrustError):
            Countersigned.from_json(told | change).check("platform", KEYS["platform"].public)
