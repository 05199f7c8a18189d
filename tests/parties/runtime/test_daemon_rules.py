"""What the daemon signs, starts and keeps, without Flower and without a hub."""
from __future__ import annotations

import json
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from coordinator.certs import PartySpec, init_federation
from parties.bank.sides import bank_side
from parties.runtime import daemon as daemon_module
from parties.runtime import run_driver
from parties.runtime.config import LoadedParty
from parties.runtime.daemon import Daemon
from parties.runtime.run_driver import RunDriver
from protocols.agreement import sign_statement, statement
from protocols.crypto.identity import IdentityKey, fingerprint
from protocols.errors import MalformedMessage, PolicyRefused, SealscoreError, TrustError
from protocols.node.archive import code_digest
from protocols.node.identity_files import load_identity
from protocols.plan import Plan

RUN, OTHER = "r-" + "1" * 16, "r-" + "2" * 16
MODEL = "m-" + "3" * 16
PLAN = {
    "purpose": "credit-scoring", "label_party": "bank", "feature_parties": ["platform"],
    "parties": {"bank": {"table": "customers", "columns": ["income"]},
                "platform": {"table": "users", "columns": ["paid"]}},
}


class Silence:
    """A link to a peer that is alive and says nothing."""

    cancelled, phase, bytes_out, bytes_in, streams = None, "", 0, 0, 0

    def __init__(self, *_: Any):
        self.start = self.close = self.send_persisted = lambda: None

    def receive(self, timeout_s: float) -> None:
        time.sleep(0.01)


class Told:
    """A hub that takes every report."""

    def __init__(self, *_: Any):
        self.reports: list[tuple[str, str, dict]] = []

    def report(self, run: str, phase: str, state: str, **values: Any) -> None:
        self.reports.append((phase, state, values))

    def hello(self, said: dict) -> None:
        self.said = said

    def close(self) -> None:
        """Nothing to close."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    keys = init_federation(tmp_path, [PartySpec("bank", "bank"), PartySpec("platform", "platform")], days=2)
    rows = "".join(f"c{n},{n % 97},{n % 2}\n" for n in range(1234))
    (tmp_path / "bank" / "customers.csv").write_text("id,income,bad\n" + rows)
    (tmp_path / "bank" / "bank.toml").write_text(
        '[node]\nname = "bank"\nrole = "bank"\n[coordinator]\nfront = "127.0.0.1:1"\nhub = "127.0.0.1:1"\n'
        '[tables.customers]\npath = "customers.csv"\nid = "id"\nlabel = "bad"\n'
        '[tables.customers.columns]\nincome = { type = "number" }\n')
    write_policy(tmp_path / "bank", fingerprint(keys["platform"]))
    return tmp_path / "bank"


def write_policy(home: Path, peer: str, more: str = "") -> None:
    rules = f'purposes = ["credit-scoring"]\nkinds = ["train", "score"]\n{more}\n'
    (home / "policy.toml").write_text(f'{rules}[peers.platform]\nfingerprint = "{peer}"\n')


@pytest.fixture
def boot(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Daemon]]:
    """Start the bank's daemon; the one before is stopped. `more`: further policy settings."""
    running: list[Daemon] = []
    flower = SimpleNamespace(start=lambda: None, stop=lambda: None)
    monkeypatch.setattr(daemon_module, "PartyFlower", lambda *_: flower)
    monkeypatch.setattr(daemon_module, "HubClient", Told)
    monkeypatch.setattr(run_driver, "Link", Silence)

    def start(more: str = "") -> Daemon:
        while running:
            running.pop().stop()
        write_policy(home, fingerprint(load_identity(home.parent / "platform").public), more)
        (home / "state").mkdir(mode=0o700, exist_ok=True)
        running.append(Daemon(LoadedParty(home / "bank.toml", "bank"), bank_side))
        try:
            running[-1].start()
        except SealscoreError:
            running.pop().stop()  # as `serve` does
            raise
        return running[-1]

    yield start
    while running:
        running.pop().stop()


def plan(**changes: Any) -> Plan:
    return Plan.model_validate(PLAN | changes)


def agree_body(home: Path, run: str, agreed: Plan) -> dict[str, Any]:
    identities = {name: load_identity(home.parent / name).public.hex() for name in ("bank", "platform")}
    return {"run": run, "plan": agreed.canonical().decode(), "identities": identities}


def execute_body(home: Path, own: dict[str, Any], run: str, agreed: Plan, rows: Any = 2000,
                 code: Any = code_digest()) -> dict[str, Any]:
    peer = load_identity(home.parent / "platform")
    text = statement("platform", run, agreed, "0" * 64, code=code, rows=rows, identity=peer.public.hex())
    signed = {"statement": text, "signature": sign_statement(peer, text).hex()}
    mine = {name: own[name] for name in ("statement", "signature")}
    return {"run": run, "plan": agreed.canonical().decode(), "statements": {"bank": mine, "platform": signed}}


def launched(node: Daemon, home: Path, run: str = RUN) -> RunDriver:
    own = node.agree(agree_body(home, run, plan()))
    assert node.execute(execute_body(home, own, run, plan()))["state"] == "started"
    return node._runs[run]


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_two_plans_at_once_get_one_statement(boot, home, monkeypatch):
    node, answers = boot(), []

    def slow(*args: Any, **more: Any) -> str:
        time.sleep(0.3)
        return statement(*args, **more)

    monkeypatch.setattr(daemon_module, "statement", slow)

    def ask(agreed: Plan) -> None:
        try:
            answers.append(node.agree(agree_body(home, RUN, agreed))["ok"])
        except TrustError:
            answers.append(False)

    threads = [threading.Thread(target=ask, args=(plan(model={"steps": steps}),)) for steps in (5, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [False, True]


def test_the_limit_of_a_day_counts_other_runs(boot, home):
    node = boot("maximum_runs_per_day = 1")
    assert node.agree(agree_body(home, RUN, plan()))["ok"]
    assert node.agree(agree_body(home, RUN, plan()))["ok"]  # the same call again
    assert node.agree(agree_body(home, OTHER, plan()))["setting"] == "maximum_runs_per_day"


def test_others_hear_a_rounded_number_of_rows(boot, home):
    node = boot()
    wait_for(lambda: hasattr(node._hub, "said"))
    assert node._hub.said["tables"]["customers"]["rows"] == 2000
    assert json.loads(node.agree(agree_body(home, RUN, plan()))["statement"])["rows"] == 2000


@pytest.mark.parametrize(("rows", "error"), [
    (10**7, PolicyRefused), ("many", MalformedMessage), (-1, MalformedMessage),
])
def test_a_peer_that_brings_too_many_people_is_refused(boot, home, rows, error):
    node = boot()
    own = node.agree(agree_body(home, RUN, plan()))
    with pytest.raises(error):
        node.execute(execute_body(home, own, RUN, plan(), rows))
    assert not node._runs


def test_statements_in_another_form_are_refused_as_messages(boot, home):
    node = boot()
    own = node.agree(agree_body(home, RUN, plan()))
    unsigned = {"signature": "00"}
    for spoilt in ({"statement": "[]", **unsigned}, unsigned, "x", {"statement": 1, **unsigned},
                   {"statement": "\ud800", **unsigned}):
        body = execute_body(home, own, RUN, plan())
        body["statements"]["platform"] = spoilt
        with pytest.raises(MalformedMessage):
            node.execute(body)


@pytest.mark.parametrize("code", ["0" * 64, [], {}, None])
def test_a_peer_with_other_code_or_none_is_refused(boot, home, code):
    node = boot()
    own = node.agree(agree_body(home, RUN, plan()))
    with pytest.raises(TrustError, match="different code"):
        node.execute(execute_body(home, own, RUN, plan(), code=code))


def test_another_identity_than_the_pinned_one_is_refused(boot, home):
    """A coordinator that names keys of its own, whatever certificates it can make."""
    body = agree_body(home, RUN, plan())
    body["identities"]["platform"] = IdentityKey.generate().public.hex()
    with pytest.raises(TrustError, match="fingerprint pinned"):
        boot().agree(body)


def test_a_run_agreed_on_under_another_policy_does_not_start(boot, home):
    own = boot().agree(agree_body(home, RUN, plan()))
    with pytest.raises(TrustError, match="policy of bank changed"):
        boot("minimum_bin_rows = 20\nmaximum_steps = 31").execute(execute_body(home, own, RUN, plan()))


def test_a_run_under_way_ends_when_its_policy_was_changed(boot, home):
    launched(boot(), home)
    node = boot("maximum_steps = 31")
    wait_for(lambda: node._runs[RUN].state == "failed")
    assert "policy of bank was changed" in node._runs[RUN].fact("state")["cause"]


SEATS = {"parties": {"bank": "label", "platform": "feature"}}


@pytest.mark.parametrize(("half", "told"), [
    (SEATS, None),
    ({"parties": {"bank": "label", "telco": "feature"}}, "other parties"),
    ({"parties": {"bank": "feature", "platform": "label"}}, "other parties"),
    ({}, "other parties"),
    (SEATS | {"status": "pending"}, "not published"),
    (SEATS | {"encoder": {"columns": [{"column": "age"}]}}, "no column age"),
])
def test_a_model_scores_for_those_who_trained_it(boot, home, half, told):
    node = boot()
    node._vault.put(MODEL, {"status": "published", "encoder": {"columns": [{"column": "income"}]}} | half)
    body = agree_body(home, RUN, plan(kind="score", model_id=MODEL))
    if told is None:
        assert node.agree(body)["ok"]
        return
    with pytest.raises(SealscoreError, match=told):
        node.agree(body)


def test_what_is_signed_and_agreed_is_private(boot, home):
    launched(boot(), home)
    files = [path for path in (home / "state" / "runs" / RUN).iterdir() if path.is_file()]
    assert {"statement.json", "agreement.json", "run.db"} <= {path.name for path in files}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)


def test_a_damaged_run_does_not_keep_the_node_down(boot, home):
    launched(boot(), home)
    (home / "state" / "runs" / RUN / "agreement.json").write_bytes(b"")
    assert boot().status({})["runs"] == {}


def test_a_peer_that_is_alive_and_never_answers_meets_the_runs_deadline(boot, home):
    node = boot()
    driver = launched(node, home)
    driver._end_at = time.time() - 1
    wait_for(lambda: driver._store.get("told") is not None)
    phase, state, values = node._hub.reports[-1]
    assert (phase, state) == ("align", "failed") and "limits.run_deadline_s = 3600" in values["cause"]


def test_a_restart_does_not_give_a_run_more_time_and_a_resume_does(boot, home):
    launched(boot(), home)
    node = boot()
    first = node._runs[RUN]
    began = first._store.get("began")
    assert first.working and first._end_at == float(began) + 3600
    first._end_at = 0.0
    wait_for(lambda: first._store.get("told") is not None)
    assert launched(node, home)._store.get("began") > began


def test_a_run_whose_thread_died_is_taken_up_again(boot, home, monkeypatch):
    node = boot()
    driver = launched(node, home)
    monkeypatch.setattr(driver._node.audit, "append", lambda *_: (_ for _ in ()).throw(OSError("full")))
    driver._end_at = 0.0
    wait_for(lambda: not driver._thread.is_alive())
    assert driver.state == "running" and not driver.working
    assert "could not write down" in node._hub.reports[-1][2]["cause"]
    monkeypatch.undo()
    monkeypatch.setattr(run_driver, "Link", Silence)
    assert launched(node, home) is not driver


def test_a_crash_between_the_end_and_the_erasure_leaves_no_keys(boot, home):
    node = boot()
    driver = launched(node, home)
    driver.close()
    again = RunDriver(driver._node, driver._agreement, driver._identities, driver._folder)
    again._store.commit({"keys": b"secret", "state": b'{"state": "finished"}'})
    again._store.close()
    third = RunDriver(driver._node, driver._agreement, driver._identities, driver._folder)
    assert third._store.get("keys") is None and third._store.get("align.role.platform") is None
    third._store.close()


def test_a_run_does_not_go_on_with_another_table(boot, home):
    launched(boot(), home)
    node = boot()
    driver = node._runs[RUN]
    wait_for(lambda: driver._store.get("table") is not None)
    node.stop()
    with (home / "customers.csv").open("a") as table:
        table.write("one-more,1,1\n")
    driver = boot()._runs[RUN]
    wait_for(lambda: driver.state == "failed")
    assert "table was changed since this run began" in driver.fact("state")["cause"]


def test_nobody_fills_the_audit_log_with_refused_frames(boot, home):
    node = boot()
    driver = launched(node, home)
    for _ in range(3000):
        driver._refused("platform", "foreign")
    numbers = [r.body["number"] for r in node._audit.records() if r.kind == "refusal"]
    assert numbers == [*range(1, 33), 64, 128, 256, 512, 1024, 2048]
