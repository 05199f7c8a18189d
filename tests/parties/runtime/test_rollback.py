"""An older copy of a ledger or of a run's store that was put back keeps the node from starting until acknowledged."""
from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties.bank.sides import bank_side
from parties.runtime import retention, rollback
from parties.runtime.cli import party_app
from parties.runtime.daemon import Daemon
from parties.runtime.egress import Egress
from parties.runtime.run_store import STEPS, RunStore
from protocols.audit import Record
from protocols.crypto.box import Box
from protocols.errors import PolicyRefused, TrustError
from protocols.node import cli
from protocols.node.audit_log import AuditLog
from protocols.node.backup import backup, restore
from protocols.node.identity_files import load_identity
from protocols.node.marks import Marks
from protocols.role import Message
from tests.parties.runtime.test_daemon_rules import RUN, agree_body, boot, home, launched, plan, wait_for

__all__ = ["boot", "home"]
OLDER = "is older than the audit log says"


def acknowledge(home: Path, *words: str) -> int:
    return cli.run(party_app("bank", bank_side), ["acknowledge", str(home / "bank.toml"), *words], "bank")


def records(home: Path, kind: str) -> list[dict]:
    lines = (home / "state" / "audit" / "log.jsonl").read_bytes().splitlines()
    return [record.body for record in map(Record.decode, lines) if record.kind == kind]


def under_way(node: Daemon, home: Path) -> RunStore:
    """The store of a run that has sent its first message and then stood still."""
    driver = launched(node, home)
    wait_for(lambda: driver._store.has(STEPS))
    driver.halt()
    driver._thread.join()
    return driver._store


def send(node: Daemon, store: RunStore, steps: int) -> None:
    """The run sends something so many times."""
    for number in range(steps):
        Egress(RUN, "train", store, node._audit).release("train", number, [Message("platform", "x", b"m")], {}, ())


def test_a_node_that_nobody_touched_starts_again_and_again(boot, home) -> None:
    for _ in range(3):
        boot()
    marked = [body["stores"] for body in records(home, "state")]
    assert marked == [{"releases.db": n, "openings.db": n} for n in (1, 2, 3)]


def test_a_run_marks_its_begin_and_its_end(boot, home) -> None:
    node = boot()
    driver = launched(node, home)
    before = len(records(home, "state"))
    node._oversight.revoke({"what": RUN, "by": "a person"})
    wait_for(lambda: driver.state == "cancelled")
    assert before == 2 and len(records(home, "state")) == 3


@pytest.mark.parametrize(("name", "how"), [(rollback.RELEASES, "older"), (rollback.LEDGER, "missing")])
def test_a_ledger_that_was_put_back_is_noticed_at_every_start(boot, home, name, how) -> None:
    boot().stop()
    kept = shutil.copy(home / "state" / name, home / "copy")
    boot().stop()
    shutil.copy(kept, home / "state" / name) if how == "older" else (home / "state" / name).unlink()
    for _ in range(2):
        with pytest.raises(TrustError, match=f"^{name} of bank {OLDER}") as refused:
            boot()
    assert "\n" not in str(refused.value) and "`acknowledge`" in str(refused.value)


def test_after_an_acknowledgement_the_node_starts_and_the_log_has_it(boot, home, capsys) -> None:
    boot().stop()
    kept = shutil.copy(home / "state" / rollback.LEDGER, home / "copy")
    node = boot()
    assert acknowledge(home, "--reason", "x", "--yes") != 0 and "writes the audit log" in capsys.readouterr().err
    node.stop()
    shutil.copy(kept, home / "state" / rollback.LEDGER)
    assert acknowledge(home, "--reason", "the disk was replaced", "--yes") == 0
    assert "acknowledged: openings.db" in capsys.readouterr().out
    last = records(home, "state")[-1]
    assert (last["event"], last["behind"], last["reason"]) == (
        "acknowledged", ["openings.db"], "the disk was replaced") and last["by"]
    for _ in range(2):
        boot().stop()
    assert acknowledge(home, "--reason", "x", "--yes") == 2 and "nothing to acknowledge" in capsys.readouterr().err


@pytest.mark.parametrize(("back", "noticed"), [(3, True), (2, True), (0, False)])
def test_the_store_of_a_run_that_was_put_back_is_noticed(boot, home, back: int, noticed: bool) -> None:
    """One step is a crash between record and store: the last step of the log may be missing."""
    node = boot()
    store = under_way(node, home)
    path = home / "state" / "runs" / RUN / "run.db"
    send(node, store, 4 - back)
    store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
    shutil.copy(path, home / "copy")
    send(node, store, back)
    node.stop()
    shutil.copy(home / "copy", path)
    if noticed:
        with pytest.raises(TrustError, match=f"^{RUN} of bank {OLDER}"):
            boot()
    else:
        boot()


@pytest.mark.parametrize("how", ["the store", "the folder"])
def test_a_run_without_its_store_never_goes_on(boot, home, capsys, how) -> None:
    node = boot()
    send(node, under_way(node, home), 3)
    node.stop()
    folder = home / "state" / "runs" / RUN
    (folder / "run.db").unlink() if how == "the store" else shutil.rmtree(folder)
    with pytest.raises(TrustError, match=OLDER):
        boot()
    assert acknowledge(home, "--reason", "gone", "--yes") == 0
    node = boot()
    assert retention.is_gone(folder) and RUN not in node._runs
    assert node.agree(agree_body(home, RUN, plan()))["setting"] == "retention_days"
    with pytest.raises(PolicyRefused, match="as an older copy"):
        node._check_run(RUN)


def test_runs_that_were_deleted_after_their_time_are_not_missed(boot, home) -> None:
    node = boot()
    send(node, under_way(node, home), 3)
    node.stop()
    for path in (home / "state" / "runs" / RUN).glob("run.db*"):
        path.unlink()
    (home / "state" / "runs" / RUN / retention.GONE).write_text("{}")
    boot()


def test_a_crash_between_the_ledgers_and_the_log_is_none(boot, home) -> None:
    node = boot()
    node._ledger.advance()
    node._releases.advance()
    node.stop()
    boot()


def test_a_crash_between_the_log_and_the_store_is_none(boot, home, monkeypatch) -> None:
    node = boot()
    store = under_way(node, home)
    with monkeypatch.context() as broken:
        broken.setattr(RunStore, "commit", lambda *_: (_ for _ in ()).throw(OSError("the plug was pulled")))
        with pytest.raises(OSError, match="plug"):
            Egress(RUN, "train", store, node._audit).release("train", 9, [Message("platform", "x", b"m")], {}, ())
    assert store.get(STEPS) == b"1" and records(home, "egress")[-1]["step"] == 2
    node.stop()
    node = boot()
    send(node, node._runs[RUN]._store, 1)
    assert records(home, "egress")[-1]["step"] == 2


def test_the_counter_of_a_ledger_cannot_be_written_without_the_nodes_key(boot, home) -> None:
    node = boot()
    node._ledger._db.execute("UPDATE mark SET value = ?", (Box(bytes(32)).seal("the counter of marks", bytes(8)),))
    node._ledger._db.commit()
    with pytest.raises(TrustError, match="counter of marks"):
        boot()


def test_a_restored_home_starts_and_says_that_it_was_restored(boot, home, tmp_path) -> None:
    """Its backup was made while a run was under way: that run's store is not in it."""
    node = boot()
    send(node, under_way(node, home), 3)
    done = backup(home, tmp_path / "b", b"correct horse battery staple")
    assert done.runs_left_out == (RUN,)
    node.stop()
    restore(tmp_path / "b", tmp_path / "new", b"correct horse battery staple")
    shutil.rmtree(home)
    (tmp_path / "new").rename(home)
    (home / "customers.csv").write_text("id,income,bad\n" + "".join(f"c{n},{n % 97},{n % 2}\n" for n in range(1234)))
    boot().stop()
    assert [body["event"] for body in records(home, "state")][-2:] == ["restored", "marked"]
    assert records(home, "state")[-2]["made_at"] == done.made_at
    assert acknowledge(home, "--reason", "x", "--yes") == 2


@given(events=st.lists(st.one_of(
    st.tuples(st.just("mark"), st.integers(0, 50)), st.tuples(st.just("step"), st.integers(1, 50)),
    st.just(("acknowledge", 0)), st.just(("restore", 0))), max_size=30))
def test_what_the_log_asks_for_is_the_most_since_it_was_forgiven(events: list[tuple[str, int]]) -> None:
    marks, least = Marks(), {}
    bodies: dict[str, Callable[[int], tuple[str, dict]]] = {
        "mark": lambda n: ("state", {"event": "marked", "stores": {"a": n}}),
        "step": lambda n: ("egress", {"run": "r", "step": n}),
        "acknowledge": lambda n: ("state", {"event": "acknowledged", "behind": ["a"]}),
        "restore": lambda n: ("state", {"event": "restored", "made_at": "x"}),
    }
    for index, (event, number) in enumerate(events):
        marks.take(Record(index, "2026-01-01T00:00:00.000Z", *bodies[event](number)))
        if event in ("mark", "step"):
            name, count = ("a", number) if event == "mark" else ("r", number - 1)
            least[name] = max(count, least.get(name, 0))
        else:
            least = {name: n for name, n in least.items() if event == "acknowledge" and name != "a"}
    assert marks.least == least


def test_logs_of_earlier_versions_ask_for_nothing(tmp_path, home) -> None:
    with AuditLog(tmp_path / "audit", "bank", load_identity(home)) as log:
        log.append("egress", {"run": RUN, "phase": "train", "to": "platform", "what": "x", "bytes": 1})
        assert log.marks == {}
