"""The coordinator's commands without a running node: output, exit codes, one-sentence errors."""
from __future__ import annotations

import contextlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from coordinator import cli as coordinator_cli
from coordinator import launch, plan_cli, run_cli
from coordinator.config import CONFIG_VARIABLE, load_config
from coordinator.registry import ATTEMPTS, Registry
from protocols.errors import SealscoreError
from protocols.node.supervise import environment, free_port, script
from protocols.plan import Plan

RUN = "r-00000000000000aa"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "coordinator.toml"
    path.write_text("".join(
        f'[parties.{n}]\nrole = "{n}"\nidentity = "{"a" * 64}"\nsupernode_public_key = "{n}.pub"\n'
        for n in ("bank", "platform")
    ))
    (tmp_path / "state").mkdir()
    monkeypatch.setenv(CONFIG_VARIABLE, str(path))
    return load_config(path)


@pytest.fixture
def runs(config, plan: Plan):
    registry = Registry(config.registry_url)
    registry.create_run(RUN, plan.canonical().decode(), plan.digest())
    yield registry
    registry.close()


def test_list_and_show_tell_why_a_run_ended(runs: Registry, capsys):
    runs.record_progress(RUN, "bank", {"phase": "align", "state": "failed", "cause": "too few", "bytes_out": 1234})
    runs.fail(RUN, "bank", "align", "too few", "add rows")
    assert run_cli.runs(["list"]) == 0
    assert "bank, align: too few" in capsys.readouterr().out
    assert run_cli.runs(["list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["failure"]["next_step"] == "add rows"
    assert run_cli.runs(["show", RUN]) == 0
    assert "1.2 kB out" in capsys.readouterr().out


@pytest.mark.parametrize(("card", "lines"), [
    ({"metrics": {"auc_joint": 0.8123, "rows": 700}}, ["  auc_joint            0.8123", "  rows                 700"]),
    ({"metrics": {}, "metrics_by_bank": {"bank-1": {"auc_joint": 0.8, "rows_test": 700}, "bank-2": {"auc_joint": .75}}},
     ["                             bank-1       bank-2", "  auc_joint                  0.8000       0.7500",
      "  rows_test                     700            -"]),
])
def test_show_prints_the_figures_of_each_bank(runs: Registry, capsys, card: dict, lines: list[str]):
    runs.set_result(RUN, card)
    assert run_cli.runs(["show", RUN]) == 0
    assert capsys.readouterr().out.splitlines()[-len(lines):] == lines


def test_show_tells_that_a_run_went_on_by_itself(runs: Registry, capsys):
    runs.attach_flower_run(RUN, 7)
    assert run_cli.runs(["show", RUN]) == 0
    assert "attempt" not in capsys.readouterr().out
    assert runs.replace_flower_run(RUN, "7", 8, "its ServerApp is gone")
    assert run_cli.runs(["show", RUN]) == 0
    out = capsys.readouterr().out
    assert f"continued after the control plane was lost (attempt 2 of {ATTEMPTS})" in out
    assert "attempt 1 was lost at 20" in out and ": its ServerApp is gone" in out
    assert run_cli.runs(["show", RUN, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["attempts"]
    assert (told["number"], told["of"]) == (2, ATTEMPTS)
    assert [set(lost) for lost in told["lost"]] == [{"number", "lost_at", "cause"}]


def test_following_tells_that_a_run_went_on_by_itself(config, runs: Registry, monkeypatch: pytest.MonkeyPatch):
    headlines = []

    class View:
        def show(self, rows, headline):
            headlines.append(headline)
            if len(headlines) == 1:
                runs.replace_flower_run(RUN, "7", 8, "its ServerApp is gone")
            else:
                runs.fail(RUN, "bank", "train", "x", "y")

    monkeypatch.setattr(launch, "POLL_S", 0.0)
    runs.attach_flower_run(RUN, 7)
    launch.follow(config, runs, RUN, View())
    again = f"continued after the control plane was lost (attempt 2 of {ATTEMPTS})"
    assert headlines == ["waiting for Flower", f"waiting for Flower; {again}", "failed"]


class FlakyControl:
    """A SuperLink that is back at the third call."""

    def __init__(self, refusals: int):
        self.refusals, self.calls = refusals, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def submit(self, run):
        self.calls += 1
        if self.calls <= self.refusals:
            raise SealscoreError("the SuperLink does not answer")
        return 7


@pytest.mark.parametrize(("within_s", "state"), [(10.0, "submitted"), (0.0, "failed")])
def test_a_superlink_that_is_just_being_restarted_is_waited_for(
    config, runs: Registry, monkeypatch: pytest.MonkeyPatch, within_s: float, state: str
):
    control = FlakyControl(2)
    monkeypatch.setattr(launch, "_control", lambda config: control)
    monkeypatch.setattr(launch, "SUBMIT_WITHIN_S", within_s)
    monkeypatch.setattr(launch, "POLL_S", 0.01)
    runs.fail(RUN, "coordinator", "submitted", "x", "y")
    with contextlib.nullcontext() if state == "submitted" else pytest.raises(SealscoreError, match="does not answer"):
        launch.resume(config, runs, RUN)
    assert runs.run_state(RUN) == state and len(runs.attempts(RUN)) == (1 if state == "submitted" else 0)


@pytest.mark.parametrize(
    ("command", "argv", "words"),
    [
        (run_cli.runs, ["show", "r-x"], "no run 'r-x'"),
        (run_cli.runs, ["cancel", "r-x"], "no run 'r-x'"),
        (run_cli.runs, ["resume", "r-x"], "no run 'r-x'"),
        (run_cli.runs, ["show"], "Missing argument"),
        (run_cli.score, ["m-x"], "no model 'm-x'"),
        (run_cli.run, ["none.toml"], "no plan at"),
        (run_cli.run, ["--nonsense"], "No such option"),
        (plan_cli.main, ["check", "none.toml"], "no plan at"),
        (plan_cli.main, ["init"], "has published no table yet"),
        (coordinator_cli.main, ["serve", "none.toml"], "no coordinator configuration"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_two(runs, capsys, command, argv: list[str], words: str):
    assert command(argv) == 2
    error = capsys.readouterr().err
    assert words in error and error.startswith("error: ") and error.count("\n") == 1


def test_a_run_needs_a_coordinator(config, plan: Plan, tmp_path: Path, capsys):
    (tmp_path / "plan.toml").write_text(
        'purpose = "p"\nlabel_party = "bank"\nfeature_parties = ["platform"]\n'
        '[parties.bank]\ntable = "a"\ncolumns = ["x"]\n[parties.platform]\ntable = "b"\ncolumns = ["y"]\n'
    )
    assert run_cli.run([str(tmp_path / "plan.toml")]) == 1
    assert "no coordinator runs here" in capsys.readouterr().err


def test_cancel_without_a_coordinator_is_remembered(runs: Registry, capsys):
    assert run_cli.runs(["cancel", RUN]) == 0
    assert runs.run_state(RUN) == "cancelling" and "is cancelling" in capsys.readouterr().out


def test_parties_shows_who_was_seen(runs: Registry, capsys):
    runs.party_online("bank", {"tables": {"loans": {}}})
    assert coordinator_cli.main(["parties"]) == 0
    out = capsys.readouterr().out
    assert "loans" in out and "never" in out


def test_following_ends_when_the_coordinator_is_gone(config, runs: Registry, monkeypatch: pytest.MonkeyPatch):
    from protocols.node.progress import ProgressView

    monkeypatch.setattr(launch, "ABSENT_S", 0.0)
    monkeypatch.setattr(launch, "POLL_S", 0.01)
    with ProgressView(RUN, quiet=True) as view, pytest.raises(SealscoreError, match="the coordinator stopped"):
        launch.follow(config, runs, RUN, view)


def test_serving_means_a_living_process(config):
    ready = config.home / "state" / "ready.json"
    assert not launch.is_serving(config)
    ready.write_text(json.dumps({"pid": os.getpid()}))
    assert launch.is_serving(config)
    ready.write_text(json.dumps({"pid": 2**22 + 1}))
    assert not launch.is_serving(config)


def test_serve_names_a_busy_port(tmp_path: Path):
    """As a process of its own: a coordinator refuses to start beside the parties' code."""
    import socket

    from coordinator.certs import PartySpec, init_federation

    made = init_federation(tmp_path / "n", [PartySpec("bank", "bank"), PartySpec("platform", "platform")], 1, [])
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        path = tmp_path / "coordinator.toml"
        path.write_text(
            f'[node]\nhome = "n/coordinator"\n[listen]\nfront = "127.0.0.1:{port}"\nhub = "127.0.0.1:{free_port()}"\n'
            + "".join(f'[parties.{n}]\nrole = "{n}"\nidentity = "{made[n].hex()}"\n'
                      f'supernode_public_key = "n/{n}/flower/supernode.pub"\n' for n in ("bank", "platform"))
        )
        done = subprocess.run([script("sealscore"), "coordinator", "serve", str(path)], capture_output=True, text=True,
                              timeout=60, env=environment())
    assert done.returncode == 2 and f"listen.front = 127.0.0.1:{port} cannot be used" in done.stderr
