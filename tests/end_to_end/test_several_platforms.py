"""One bank and several platforms as real processes: the demo, a run with kills, scoring, and what the hub held."""
from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from coordinator.demo.federation import LABEL, Federation, Table
from parties.runtime.preparation import partial_scores
from parties.runtime.tables import TableConfig, load_table
from protocols.psi.identifiers import normalise
from protocols.scorecard.calibration import Calibration
from protocols.scorecard.holdout import coarse
from protocols.state import unpack
from tests.end_to_end import support
from tests.end_to_end.test_crash import (
    ENDED,
    PRECISION,
    RUN_S,
    node_pid,
    process_pid,
    reached,
    wait_ended,
    wait_for,
    wait_up,
)

PLATFORMS = ("platform-1", "platform-2")
BAR = 0.003


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    return support.split_tables(tmp_path_factory.mktemp("data"), 6000, len(PLATFORMS))


@pytest.fixture(scope="module")
def plan(tables: dict[str, Table], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("p") / "plan.toml"
    return support.plan_of(tables, path, "[model]", 'encoding = "numeric"', "steps = 16")


@pytest.fixture(scope="module")
def trained(fed: Federation, plan: Path) -> dict:
    return support.finished(fed, plan, RUN_S)


def coefficients(fed: Federation, run: str) -> np.ndarray:
    halves = [support.vault_half(fed, party, "m-" + run.removeprefix("r-")) for party in fed.parties]
    return np.concatenate([[halves[0]["intercept"]], *(half["coefficients"] for half in halves)])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demo_with_two_platforms_keeps_its_contract(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = support.sealscore("demo", "--out", str(out), "--platforms", "2", "--json", timeout_s=500)
    assert done.returncode == 0, done.stderr
    metrics = json.loads(done.stdout)
    assert metrics["rows_aligned"] == metrics["rows_aligned_oracle"]
    assert abs(metrics["auc_joint"] - metrics["auc_pooled_oracle"]) <= BAR
    assert metrics["auc_uplift_low"] > 0
    train = metrics["phases"]["train"]
    assert train["bytes_platform"] == train["bytes_platform-1"] + train["bytes_platform-2"] > 0
    report = (out / "report.html").read_text()
    assert all(name in report for name in PLATFORMS) and "the sum of all platforms" in report
    checked = support.sealscore("audit", "verify", str(out / "evidence"), "--trust", str(out / "trust.json"))
    assert checked.returncode == 0 and "the evidence holds" in checked.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_scores_are_those_of_all_halves_in_the_clear(fed: Federation, trained: dict, tables) -> None:
    done = support.sealscore("score", trained["model_id"], "--json", federation=fed)
    assert done.returncode == 0, done.stderr
    path = fed.home(LABEL) / "state" / "scores" / f"{json.loads(done.stdout)['run']}.csv"
    scores = {row["id"]: float(row["probability_of_default"]) for row in support.read_csv(path)}
    steps = ("trim", "casefold", "nfkc")
    loaded = {p: load_table(TableConfig.model_validate(t.section), fed.folder) for p, t in tables.items()}
    places = {p: {name: row for row, name in enumerate(normalise(t.ids, steps))} for p, t in loaded.items()}
    shared = [name for name in places[LABEL] if all(name in places[p] for p in PLATFORMS)]
    halves = {p: support.vault_half(fed, p, trained["model_id"]) for p in tables}
    part = {p: partial_scores(loaded[p], np.array([places[p][n] for n in shared]), halves[p]) for p in tables}
    joint = halves[LABEL]["intercept"] + part[LABEL] + sum(coarse(part[p]) / 32 for p in PLATFORMS)
    expected = Calibration.from_json(halves[LABEL]["calibration"]).probability(joint)
    ids = [loaded[LABEL].ids[places[LABEL][name]] for name in shared]
    assert set(scores) == set(ids)
    assert max(abs(scores[i] - p) for i, p in zip(ids, expected, strict=True)) <= 0.00006


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_bulks_leave_nothing_behind(fed: Federation, trained: dict) -> None:
    """At the nodes nothing waits, and the bank downloaded one sum per direction and pass."""
    for party in fed.parties:
        assert support.run_rows(fed, party, trained["run"], "bulk") == 0
    told = [r["body"]["what"] for r in support.audit_records(fed, "platform-2")
            if r["kind"] == "egress" and r["body"]["run"] == trained["run"]]
    passes = 6 + 16
    assert told.count("forward.reply") == told.count("backward.reply") == passes
    assert "forward.request" not in told and "residual.request" not in told  # only the lead asks
    hub = support.show_run(fed, trained["run"])["hub"]
    assert hub["summands"] == 2 * 2 * passes and hub["add_cpu_s"] < 5


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_secret_of_a_party_is_in_the_memory_of_the_coordinator(fed: Federation, plan: Path, trained: dict) -> None:
    """In the middle of a training: keys, seeds of masks and of the check, looked for in every process it runs."""
    run = support.start(fed, plan)
    assert wait_for(fed, run, reached(LABEL, "train", 8))["state"] not in ENDED
    secrets = {f"{party}: {name}": value for party in fed.parties
               for name, value in secrets_of(fed, party, run).items()}
    ready = json.loads((fed.home("coordinator") / "state" / "ready.json").read_text())
    held = {name: memory(pid) for name, pid in {**ready["processes"], "node": ready["pid"]}.items()}
    assert {"bank: keys", "bank: point", "platform-1: seeds", "platform-2: seed"} <= set(secrets)
    found = [f"{what} in {name}" for what, value in secrets.items() for name, data in held.items() if value in data]
    assert found == []
    assert run.encode() in held["hub"]  # the search finds what is there
    assert wait_ended(fed, run)["state"] == "finished"


def memory(pid: int) -> bytes:
    """All that a process may write to; needs the rights of a debugger."""
    parts = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in maps:
            place, rights = line.split()[:2]
            start, end = (int(number, 16) for number in place.split("-"))
            if rights.startswith("rw") and not line.rstrip().endswith(("[vvar]", "[vsyscall]")):
                with contextlib.suppress(OSError):  # freed meanwhile
                    mem.seek(start)
                    parts.append(mem.read(end - start))
    return b"".join(parts)


def secrets_of(fed: Federation, party: str, run: str) -> dict[str, bytes]:
    """What only parties may hold, while a run is under way: 32 bytes of each."""
    state = unpack(support.run_fact(fed, party, run, "train.role"))
    secret = ("point", "pads", "pad", "seeds", "seed", "common")
    secrets = {name: value[:32] for name, value in state.items() if name.split(".")[0] in secret}
    keys = support.run_fact(fed, party, run, "keys")
    if keys is not None:
        secrets["keys"] = keys[len(keys) // 2 :][:32]
    pem = (fed.home(party) / "identity" / "identity.key").read_text().splitlines()[1]
    return secrets | {"identity": base64.b64decode(pem)[-32:], "identity (PEM)": pem.encode()}


@pytest.mark.crash
@pytest.mark.timeout(900)
@pytest.mark.parametrize("victim", ["hub", "platform-1"])
def test_a_killed_hub_or_platform_changes_nothing(fed: Federation, plan: Path, trained: dict, victim: str) -> None:
    run = support.start(fed, plan)
    assert wait_for(fed, run, reached(LABEL, "train", 4))["state"] not in ENDED
    pid = process_pid(fed, "hub") if victim == "hub" else node_pid(fed, victim)
    os.kill(pid, signal.SIGKILL)
    ended = wait_ended(fed, run)
    assert ended["state"] == "finished", ended["failure"]
    assert np.abs(coefficients(fed, run) - coefficients(fed, trained["run"])).max() <= PRECISION
    if victim != "hub":
        wait_up(fed, victim, pid)


@pytest.mark.crash
@pytest.mark.timeout(900)
def test_a_platform_that_stays_away_ends_the_run_and_names_it(fed: Federation, plan: Path, trained: dict) -> None:
    run = support.start(fed, plan)
    assert wait_for(fed, run, reached(LABEL, "train", 3))["state"] not in ENDED
    config, pid = fed.home("platform-2") / "platform-2.toml", node_pid(fed, "platform-2")
    text = config.read_text()
    config.write_text("gone = true\n")
    os.kill(pid, signal.SIGKILL)
    try:
        ended = wait_ended(fed, run, within_s=180)
        assert ended["state"] == "failed"
        assert "platform-2" in ended["failure"]["cause"] + ended["failure"]["next_step"]
    finally:
        config.write_text(text)
        wait_up(fed, "platform-2", pid)
    done = support.sealscore("runs", "resume", run, federation=fed, timeout_s=RUN_S)
    assert done.returncode == 0, done.stderr
    assert np.abs(coefficients(fed, run) - coefficients(fed, trained["run"])).max() <= PRECISION
