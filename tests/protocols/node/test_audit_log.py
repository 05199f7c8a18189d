"""The log on disk: durability, repair after a crash, one writer, exchange of checkpoints, and tampering."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest

from protocols.audit import Record
from protocols.crypto.identity import IdentityKey
from protocols.errors import MalformedMessage, ProtocolError, SealscoreError, TrustError, UsageError
from protocols.merkle import MerkleTree, leaf_hash, verify_inclusion
from protocols.node import audit_log
from protocols.node.audit_log import AuditLog, LogInUse, instant

RUN = "r-0123456789abcdef"
BANK, PLATFORM = IdentityKey.generate(), IdentityKey.generate()


@pytest.fixture
def home(tmp_path):
    return tmp_path / "audit"


def bank(home) -> AuditLog:
    return AuditLog(home, "bank", BANK)


def filled(home, count: int = 5) -> None:
    with bank(home) as log:
        for i in range(count):
            log.append("egress", {"peer": "platform", "bytes": i})
        log.checkpoint()


def test_records_survive_and_number_on(home):
    with bank(home) as log:
        assert [log.append("egress", {"bytes": i}) for i in range(3)] == [1, 2, 3]
    with bank(home) as log:
        assert log.append("phase", {"phase": "train"}) == 4
        records = list(log.records())
    assert [record.index for record in records] == list(range(5))
    assert records[0].body == {"event": "opened", "node": "bank", "identity": BANK.fingerprint}
    assert len({record.salt for record in records}) == 5


def test_the_files_are_private_and_hold_one_line_a_record(home):
    filled(home)
    assert home.stat().st_mode & 0o777 == 0o700
    for name in ("log.jsonl", "checkpoints.jsonl"):
        assert (home / name).stat().st_mode & 0o777 == 0o600
    lines = (home / "log.jsonl").read_bytes().split(b"\n")
    assert len(lines) == 7 and lines[-1] == b""
    tree = MerkleTree()
    for line in lines[:-1]:
        tree.append(line)
    assert json.loads((home / "checkpoints.jsonl").read_bytes())["checkpoint"]["root"] == tree.root().hex()


def test_an_append_is_on_disk_when_it_returns(home, monkeypatch):
    synced = []
    monkeypatch.setattr(audit_log.os, "fsync", lambda fd: synced.append((home / "log.jsonl").stat().st_size))
    with bank(home) as log:
        log.append("egress", {"bytes": 1})
        assert synced[-1] == (home / "log.jsonl").stat().st_size


def test_several_records_are_one_write_and_all_or_none(home, monkeypatch):
    with bank(home) as log:
        before, syncs = log.size, []
        sync = os.fsync
        monkeypatch.setattr(os, "fsync", lambda handle: (syncs.append(handle), sync(handle)))
        entries = [("egress", {"run": RUN, "bytes": number}) for number in range(3)]
        assert log.extend(entries) == before and len(syncs) == 1 and log.extend([]) == before + 3
        with pytest.raises(MalformedMessage):
            log.extend([*entries, ("unheard-of", {})])
        assert log.size == before + 3
        root = log.checkpoint().checkpoint.root
    with bank(home) as again:
        assert [r.body["bytes"] for r in list(again.records())[before:]] == [0, 1, 2]
        assert again.checkpoint().checkpoint.root == root


def test_killed_between_appends_nothing_acknowledged_is_lost(home):
    code = ("import os,sys\nfrom pathlib import Path\nfrom protocols.crypto.identity import IdentityKey\n"
            "from protocols.node.audit_log import AuditLog\n"
            "key = IdentityKey.from_pem(sys.stdin.buffer.read())\n"
            "log = AuditLog(Path(sys.argv[1]), 'bank', key)\n"
            "while True: os.write(1, b'%d\\n' % log.append('egress', {'bytes': 1}))\n")
    with subprocess.Popen([sys.executable, "-c", code, str(home)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as child:
        child.stdin.write(BANK.to_pem())
        child.stdin.close()
        acknowledged = [int(child.stdout.readline()) for _ in range(30)][-1]
        child.kill()
        acknowledged = int((child.stdout.read().split() or [acknowledged])[-1])
    with bank(home) as log:
        assert log.size > acknowledged


@pytest.mark.parametrize("name", ["log.jsonl", "checkpoints.jsonl"])
def test_half_a_line_is_cut_off_and_recorded(home, name):
    filled(home)
    before = (home / name).read_bytes()
    (home / name).write_bytes(before + b'{"at":"20')
    with bank(home) as log:
        repair = list(log.records())[-1]
        assert (repair.kind, repair.body) == ("log", {"event": "repaired", "dropped_bytes": 9})
        log.checkpoint()
    assert (home / name).read_bytes().startswith(before)
    bank(home).close()


def test_a_line_that_was_signed_is_never_cut(home):
    """Without its newline the last record looks torn, but a checkpoint covers it: nothing is touched."""
    filled(home)
    damaged = (home / "log.jsonl").read_bytes()[:-1]
    (home / "log.jsonl").write_bytes(damaged)
    with pytest.raises(TrustError, match="does not fit its own checkpoint"):
        bank(home)
    assert (home / "log.jsonl").read_bytes() == damaged


@pytest.mark.parametrize("tamper", [
    lambda lines: lines[:-1],
    lambda lines: [],
    lambda lines: lines[::-1],
    lambda lines: [*lines[:2], *lines[3:]],
    lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]],
    lambda lines: [*lines, lines[-1]],
    lambda lines: [*lines[:3], lines[3].replace(b'"bytes":2', b'"bytes":9'), *lines[4:]],
    lambda lines: [*lines[:3], lines[3].replace(b'"bytes":2', b'"bytes": 2'), *lines[4:]],
    lambda lines: [*lines[:3], b"", *lines[4:]],
], ids=["cut", "emptied", "reversed", "removed", "exchanged", "repeated", "changed", "respelled", "blanked"])
def test_a_tampered_log_is_refused(home, tamper):
    filled(home)
    lines = (home / "log.jsonl").read_bytes().splitlines()
    (home / "log.jsonl").write_bytes(b"".join(line + b"\n" for line in tamper(lines)))
    with pytest.raises(TrustError):
        bank(home)


def test_malformed_bodies_of_own_kinds_are_refused_on_loading(home):
    filled(home, 0)
    for kind in ("agreement", "checkpoint.peer"):
        line = Record(1, "2026-01-31T12:00:00.000Z", kind, {}).encode()
        lines = (home / "log.jsonl").read_bytes().splitlines()[:1]
        (home / "log.jsonl").write_bytes(b"".join(kept + b"\n" for kept in [*lines, line]))
        with pytest.raises(TrustError, match="line 2 of log.jsonl"):
            bank(home)


def test_the_log_belongs_to_one_node_and_one_key(home):
    filled(home)
    with pytest.raises(TrustError):
        AuditLog(home, "platform", BANK)
    with pytest.raises(TrustError):
        AuditLog(home, "bank", PLATFORM)


def test_a_log_without_checkpoints_belongs_to_its_node_too(home):
    bank(home).close()
    with pytest.raises(TrustError, match="found another node's"):
        AuditLog(home, "platform", PLATFORM)


def test_a_second_writer_is_refused_and_the_first_keeps_its_log(home):
    with bank(home) as log:
        with pytest.raises(LogInUse, match="another process"):
            bank(home)
        assert log.append("run", {}) == 1
    bank(home).close()


def test_threads_get_distinct_indices(home):
    seen: list[int] = []

    def work() -> None:
        seen.extend(log.append("egress", {"bytes": 0}) for _ in range(20))

    with bank(home) as log:
        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        log.checkpoint()
    assert sorted(seen) == list(range(1, 121))
    bank(home).close()


def test_a_full_disk_closes_the_log_and_restart_repairs_it(home, monkeypatch):
    log = bank(home)
    with monkeypatch.context() as patch:
        patch.setattr(audit_log.os, "write", lambda fd, data: os.pwrite(fd, data[:10], 0))
        with pytest.raises(SealscoreError, match="nothing may leave"):
            log.append("egress", {"bytes": 1})
    with pytest.raises(SealscoreError, match="nothing may leave"):
        log.append("egress", {"bytes": 1})
    log.close()
    with bank(home) as log:
        assert [record.body.get("event") for record in log.records()] == ["opened", "repaired"]


def test_nothing_is_taken_after_closing(home):
    log = bank(home)
    log.close()
    with pytest.raises(SealscoreError, match="closed"):
        log.append("run", {})


def test_checkpoints_are_signed_once_per_state(home):
    with bank(home) as log:
        first = log.checkpoint()
        assert log.checkpoint() == first
        log.append("run", {})
        assert log.checkpoint().checkpoint.size == 2
    assert (home / "checkpoints.jsonl").read_bytes().count(b"\n") == 2


@pytest.mark.parametrize("kind", ["log", "agreement", "checkpoint.peer", "gossip"])
def test_append_refuses_kinds_that_are_not_its_own(home, kind):
    with bank(home) as log:
        with pytest.raises(MalformedMessage):
            log.append(kind, {})
        assert log.size == 1


@pytest.mark.parametrize(("text", "kept"), [
    ("cannot read /home/jo/data/bank.csv: gone", "cannot read …/bank.csv: gone"),
    ("在/home/jo/bank.csv", "在…/bank.csv"),
    ('open("/tmp/x/y")', 'open("…/y")'),
    ("path=/var/lib/a/b", "path=…/b"),
    ("line\n/root/a", "line\n…/a"),
    ("https://hub.example/v1/fleet", "https://hub.example/v1/fleet"),
    ("agreements/r-1.json", "agreements/r-1.json"),
    ("1/2", "1/2"),
])
def test_absolute_paths_are_cut_down(home, text, kept):
    with bank(home) as log:
        log.append("refusal", {"cause": text, "more": [{"deep": (text,)}]})
        assert list(log.records())[-1].body == {"cause": kept, "more": [{"deep": [kept]}]}


def test_private_keys_and_paths_as_names_are_refused(home):
    with bank(home) as log:
        with pytest.raises(UsageError, match="private key"):
            log.append("phase", {"text": BANK.to_pem().decode()})
        with pytest.raises(MalformedMessage):
            log.append("phase", {"/home/jo/x": 1})
        assert log.size == 1


def test_inclusion_proofs_hold_under_the_signed_root(home):
    filled(home, 9)
    with bank(home) as log:
        checkpoint = log.checkpoint().checkpoint
        lines = (home / "log.jsonl").read_bytes().splitlines()
        for index, line in enumerate(lines):
            verify_inclusion(leaf_hash(line), index, checkpoint.size, log.inclusion_proof(index, checkpoint.size),
                             checkpoint.root)


def test_the_clock_is_written_as_utc(home):
    east = datetime(2026, 1, 31, 20, 0, 0, 5000, tzinfo=UTC) + timedelta(0)
    assert instant(east) == "2026-01-31T20:00:00.005Z"
    with AuditLog(home, "bank", BANK, clock=lambda: east) as log:
        assert next(iter(log.records())).at == "2026-01-31T20:00:00.005Z"


# Agreements and policies

def test_an_agreement_is_kept_once_and_named_by_the_log(home):
    with bank(home) as log:
        log.keep_agreement(RUN, b"{}")
        log.keep_agreement(RUN, b"{}")
        with pytest.raises(TrustError, match="another agreement"):
            log.keep_agreement(RUN, b"[]")
        assert [record.kind for record in log.records()] == ["log", "agreement"]
    with bank(home) as log:
        log.keep_agreement(RUN, b"{}")
        assert log.size == 2
        with pytest.raises(MalformedMessage):
            log.keep_agreement("../escape", b"{}")
    assert [path.name for path in (home / "agreements").iterdir()] == [f"{RUN}.json"]
    assert not list(home.glob("escape*"))


def test_an_agreement_written_before_a_crash_is_recorded_afterwards(home):
    with bank(home):
        (home / "agreements" / f"{RUN}.json").write_bytes(b"{}")
    with bank(home) as log:
        log.keep_agreement(RUN, b"{}")
        assert log.size == 2


def test_kept_files_do_not_change(home):
    with bank(home) as log:
        digest = log.keep_policy(b"{}")
        assert log.keep_policy(b"{}") == digest
        (home / "policies" / f"{digest}.json").write_bytes(b"{ }")
        with pytest.raises(TrustError, match="changed on disk"):
            log.keep_policy(b"{}")


# Checkpoints of peers

@pytest.fixture
def pair(tmp_path):
    with bank(tmp_path / "b") as first, AuditLog(tmp_path / "p", "platform", PLATFORM) as second:
        yield first, second


def pass_on(sender: AuditLog, receiver: AuditLog) -> int:
    return receiver.record_peer_checkpoint("bank", BANK.public, sender.checkpoint_message(receiver.held("bank")))


def test_checkpoints_are_proved_to_continue_what_is_held(pair):
    first, second = pair
    for held in (1, 2, 3):
        pass_on(first, second)
        assert second.held("bank") == held
        first.append("run", {})
    proved = [record.body["proved_from"] for record in second.records() if record.kind == "checkpoint.peer"]
    assert proved == [None, 1, 2]


def test_the_held_checkpoint_survives_a_restart(tmp_path, home):
    filled(home)
    with bank(home) as first:
        with AuditLog(tmp_path / "p", "platform", PLATFORM) as second:
            pass_on(first, second)
        with AuditLog(tmp_path / "p", "platform", PLATFORM) as second:
            assert second.held("bank") == 6


def test_the_same_checkpoint_again_changes_nothing(pair):
    """A restart between recording a checkpoint and acknowledging it brings it again, with the same proof."""
    first, second = pair
    pass_on(first, second)
    first.append("run", {})
    message = first.checkpoint_message(1)
    for _ in range(2):
        second.record_peer_checkpoint("bank", BANK.public, message)
    assert second.held("bank") == 2


def test_runs_side_by_side_exchange_checkpoints_in_any_order(pair):
    first, second = pair
    pass_on(first, second)
    first.append("run", {})
    early = first.checkpoint_message(1)
    first.append("run", {})
    late = first.checkpoint_message(1)
    for message in (late, early):
        second.record_peer_checkpoint("bank", BANK.public, message)
    assert second.held("bank") == 3


def test_a_rewritten_log_is_caught_when_it_speaks(tmp_path, pair):
    _, platform = pair
    with bank(tmp_path / "honest") as log:
        log.append("egress", {"bytes": 1})
        pass_on(log, platform)
    with bank(tmp_path / "rewritten") as log:
        for _ in range(3):
            log.append("egress", {"bytes": 0})
        with pytest.raises(TrustError, match="rewritten"):
            pass_on(log, platform)
    refusal = list(platform.records())[-1]
    assert refusal.kind == "refusal" and refusal.body["checkpoint"]["size"] == 4  # evidence, signed by the bank
    assert platform.held("bank") == 2


def test_a_log_put_back_is_caught_on_both_sides(tmp_path, pair):
    _, platform = pair
    filled(tmp_path / "long", 9)
    with bank(tmp_path / "long") as log:
        pass_on(log, platform)
    with bank(tmp_path / "short") as log:
        with pytest.raises(TrustError, match="cut or restored"):
            pass_on(log, platform)
        with pytest.raises(TrustError, match="after one of 10"):
            platform.record_peer_checkpoint("bank", BANK.public, log.checkpoint_message())


def test_foreign_and_malformed_checkpoints_are_refused_and_recorded(pair):
    first, second = pair
    message = first.checkpoint_message()
    for peer, public, data in [("bank", PLATFORM.public, message), ("platform", BANK.public, message),
                               ("bank", BANK.public, message[:-1]), ("bank", BANK.public, b"{}"),
                               ("bank", BANK.public, b"x" * 100_000)]:
        before = second.size
        with pytest.raises((TrustError, ProtocolError)):
            second.record_peer_checkpoint(peer, public, data)
        refusal = list(second.records())[before]
        assert refusal.kind == "refusal" and "checkpoint" not in refusal.body
    assert second.held("bank") == 0


def test_a_proof_from_another_size_is_refused(pair):
    first, second = pair
    for _ in range(3):
        first.append("run", {})
    pass_on(first, second)
    first.append("run", {})
    with pytest.raises(TrustError, match="expected a proof from 4 records of bank, got one from 3"):
        second.record_peer_checkpoint("bank", BANK.public, first.checkpoint_message(3))
    with pytest.raises(TrustError):
        second.record_peer_checkpoint("bank", BANK.public, first.checkpoint_message(4).replace(b'"proof":["',
                                                                                              b'"proof":["' + b"00" * 32
                                                                                              + b'","'))
