"""Backup and restore: what is in it, what is not, that a running node's copy is consistent, and bad files."""
from __future__ import annotations

import io
import json
import os
import sqlite3
import stat
import tarfile
import threading
from pathlib import Path

import pytest

from protocols.crypto.identity import IdentityKey
from protocols.errors import SealscoreError, TrustError, UsageError
from protocols.node import backup as module
from protocols.node import sealed_file
from protocols.node.audit_log import AuditLog
from protocols.node.backup import backup, restore
from protocols.node.backup_cli import backup_main, restore_main
from protocols.node.identity_files import load_identity, write_identity
from protocols.node.sealed_file import CHUNK_BYTES, OpeningReader, SealingWriter

PASS = b"correct horse battery staple"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """The real work factor takes half a second each time; one test below uses it."""
    monkeypatch.setattr(sealed_file, "_SCRYPT_N", 2**4)


def store(home: Path, run: str, state: str | None) -> None:
    folder = home / "state" / "runs" / run
    folder.mkdir(parents=True)
    (folder / "agreement.json").write_text("{}")
    with sqlite3.connect(folder / "run.db") as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE fact (name TEXT PRIMARY KEY, value BLOB NOT NULL)")
        if state:
            db.execute("INSERT INTO fact VALUES ('state', ?)", (json.dumps({"state": state}),))
        db.execute("INSERT INTO fact VALUES ('mask', ?)", (f"mask of {run}".encode(),))
    db.close()


@pytest.fixture
def home(tmp_path) -> Path:
    home = tmp_path / "bank"
    home.mkdir(mode=0o700)
    key = IdentityKey.generate()
    write_identity(home, key)
    with AuditLog(home / "state" / "audit", "bank", key) as log:
        log.append("run", {"run": "r-00000000000000aa", "event": "started"})
        log.checkpoint()
    for number, state in enumerate(("finished", "cancelled", "failed", None)):
        store(home, f"r-{number:016x}", state)
    (home / "bank.toml").write_text("# ours\n")
    for name in ("customers.csv", "logs/node.log", "state/ready.json", "state/superexec.secret", "state/flower/x"):
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text("left out")
    return home


def names(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_a_restored_node_is_the_node_without_what_must_not_be_there(home, tmp_path):
    done = backup(home, tmp_path / "b", PASS)
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o600
    assert done.runs_left_out == ("r-0000000000000002", "r-0000000000000003")
    assert restore(tmp_path / "b", tmp_path / "new", PASS) == done
    found = names(tmp_path / "new")
    assert found == {
        "bank.toml", "identity/identity.key", "identity/identity.pub", "state/audit/log.jsonl",
        "state/audit/checkpoints.jsonl", *(f"state/runs/r-{n:016x}/{f}" for n in (0, 1)
                                           for f in ("agreement.json", "run.db"))}
    assert load_identity(tmp_path / "new").public == load_identity(home).public
    assert not [name for name in names(home) if name.startswith(".backup")]
    with AuditLog(tmp_path / "new/state/audit", "bank", load_identity(home)) as log:
        assert [record.kind for record in log.records()] == ["log", "run", "state"]
        assert list(log.records())[2].body == {"event": "restored", "made_at": done.made_at}


def test_no_mask_of_an_unfinished_run_is_in_the_file(home, tmp_path):
    backup(home, tmp_path / "b", PASS)
    with (tmp_path / "b").open("rb") as file:
        opened = io.BufferedReader(OpeningReader(file, PASS, "b")).read()
    assert b"mask of r-0000000000000000" in opened and b"left out" not in opened
    assert b"mask of r-0000000000000002" not in opened and b"mask of r-0000000000000003" not in opened


def test_a_store_that_cannot_be_read_is_left_out(home, tmp_path):
    (home / "state/runs/r-0000000000000000/run.db").write_bytes(b"no database")
    assert "r-0000000000000000" in backup(home, tmp_path / "b", PASS).runs_left_out


def test_a_running_nodes_log_and_databases_are_copied_consistently(home, tmp_path):
    key, stop = load_identity(home), threading.Event()
    path = home / "state" / "releases.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE pair (a INTEGER, b INTEGER)")
    db.close()

    def work() -> None:
        db = sqlite3.connect(path)
        with AuditLog(home / "state/audit", "bank", key) as log:
            number = 0
            while not stop.is_set():
                number += 1
                with db:
                    db.execute("INSERT INTO pair VALUES (?, 0)", (number,))
                    db.execute("UPDATE pair SET b = a")
                log.append("run", {"run": "r-00000000000000aa", "event": "went on"})
                log.checkpoint()
        db.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for number in range(4):
            backup(home, tmp_path / f"b{number}", PASS)
    finally:
        stop.set()
        thread.join()
    for number in range(4):
        new = tmp_path / f"new{number}"
        restore(tmp_path / f"b{number}", new, PASS)
        with AuditLog(new / "state/audit", "bank", key) as log:
            assert log.size >= 2
        db = sqlite3.connect(new / "state/releases.db")
        assert db.execute("SELECT count(*) FROM pair WHERE a != b").fetchone() == (0,)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        db.close()


def test_a_home_that_is_not_empty_is_refused(home, tmp_path):
    backup(home, tmp_path / "b", PASS)
    with pytest.raises(UsageError, match="not empty"):
        restore(tmp_path / "b", home, PASS)
    with pytest.raises(UsageError, match="exists already"):
        backup(home, tmp_path / "b", PASS)


@pytest.mark.parametrize("damage", ["first", "salt", "middle", "last", "cut", "empty", "more", "passphrase", "swap"])
def test_a_changed_file_writes_nothing(home, tmp_path, damage):
    (home / "state/big").write_bytes(os.urandom(3 * CHUNK_BYTES))
    backup(home, tmp_path / "b", PASS)
    data, sealed = bytearray((tmp_path / "b").read_bytes()), CHUNK_BYTES + 16
    if damage in ("first", "salt", "middle", "last"):
        data[{"first": 0, "salt": 20, "middle": len(data) // 2, "last": -1}[damage]] ^= 1
    elif damage == "swap":
        data[35:35 + 2 * sealed] = data[35 + sealed:35 + 2 * sealed] + data[35:35 + sealed]
    data = {"cut": data[:35 + sealed], "empty": b"", "more": data + b"x"}.get(damage, data)
    (tmp_path / "b").write_bytes(data)
    with pytest.raises(TrustError):
        restore(tmp_path / "b", tmp_path / "new", b"x" * 20 if damage == "passphrase" else PASS)
    assert {p.name for p in tmp_path.iterdir()} == {"b", "bank"}


@pytest.mark.parametrize(("name", "kind"), [
    ("../evil", tarfile.REGTYPE), ("/evil", tarfile.REGTYPE), ("state/../../evil", tarfile.REGTYPE),
    ("state/link", tarfile.SYMTYPE), ("other/file", tarfile.REGTYPE), ("bank.toml", tarfile.REGTYPE)])
def test_an_archive_of_somebody_who_knows_the_passphrase_stays_inside(tmp_path, name, kind):
    with (tmp_path / "b").open("wb") as sink:
        writer = SealingWriter(sink, PASS)
        with tarfile.open(fileobj=writer, mode="w|") as archive:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info, io.BytesIO())
            manifest = json.dumps({"format": 1, "node": "x", "made_at": "", "files": {}, "runs_left_out": []}).encode()
            info = tarfile.TarInfo(module.MANIFEST)
            info.size = len(manifest)
            archive.addfile(info, io.BytesIO(manifest))
        writer.finish()
    with pytest.raises(TrustError):
        restore(tmp_path / "b", tmp_path / "new", PASS)
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_streams_of_any_length_come_back(size):
    data, sink = os.urandom(size), io.BytesIO()
    writer = SealingWriter(sink, PASS)
    for start in range(0, size, 70_001):
        writer.write(data[start:start + 70_001])
    writer.finish()
    sink.seek(0)
    assert io.BufferedReader(OpeningReader(sink, PASS, "b")).read() == data


def test_a_disk_that_refuses_leaves_no_file(home, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise SealscoreError("the disk is full")

    monkeypatch.setattr(module, "_add", full)
    with pytest.raises(SealscoreError):
        backup(home, tmp_path / "b", PASS)
    assert [p.name for p in tmp_path.iterdir()] == ["bank"]


def test_the_commands_with_the_real_work_factor(home, tmp_path, monkeypatch, capsys):
    monkeypatch.undo()
    secret = tmp_path / "pass"
    secret.touch(0o600)
    secret.write_bytes(PASS + b"\n")
    options = ["--passphrase-file", str(secret)]
    assert backup_main([str(home), "--out", str(tmp_path / "b"), *options]) == 0
    assert "one-time masks" in capsys.readouterr().out
    assert restore_main([str(tmp_path / "b"), str(tmp_path / "new"), *options]) == 0
    assert "Never run it beside the old node" in capsys.readouterr().out
    secret.chmod(0o644)
    assert restore_main([str(tmp_path / "b"), str(tmp_path / "other"), *options]) == 1
    secret.chmod(0o600)
    secret.write_bytes(b"short")
    assert restore_main([str(tmp_path / "b"), str(tmp_path / "other"), *options]) == 2
    assert "at least 12 bytes" in capsys.readouterr().err and not (tmp_path / "other").exists()
