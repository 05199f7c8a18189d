"""Networks in the cost model: bytes of every kind of message against those of real roles, and what it says."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coordinator import plan_cli
from coordinator.cost import networks
from coordinator.cost.estimate import Estimate, estimate
from coordinator.cost.parts import Calibration
from coordinator.cost.workload import Machines, Workload
from protocols.errors import ConfigError
from protocols.network import precision
from protocols.network.settings import NetworkSettings
from protocols.network.training import EPOCH, SETUP
from protocols.plan import ModelPlan
from tests.coordinator.test_cost_messages import sent_by
from tests.keys import key_pair
from tests.protocols.network.finished import finished
from tests.protocols.network.problems import task

ROWS, COLUMNS = 300, 5
PLAN = """
purpose = "credit-scoring"
label_party = "bank"
feature_parties = ["wallet"]
[parties.bank]
table = "customers"
columns = ["a", "b"]
[parties.wallet]
table = "users"
columns = ["d", "e"]
[model]
kind = "network"
encoding = "numeric"
"""


def work_of(release: str, rows: int = ROWS, columns: int = COLUMNS, **settings) -> Workload:
    model = ModelPlan(kind="network", release=release, network=NetworkSettings(**settings))
    return Workload("train", ("bank",), ("platform",), (rows,), (rows,), rows, 3, (columns,), 3, (columns,), model,
                    (1.0, 0.1, 0.2))


def predicted(work: Workload) -> Estimate:
    return estimate(work, Calibration.load(), Machines())


@pytest.mark.parametrize("release", ["shared", "owner"])
@pytest.mark.parametrize("settings", [
    {"width": 1, "batch_rows": 300}, {"width": 3, "batch_rows": 70, "validation_share": 0.3}], ids=str)
def test_a_training_sends_what_was_predicted(release: str, settings: dict):
    settings = {"epochs": 2, "patience": 2, **settings}
    roles = dict(zip(("bank", "platform"), task(ROWS, COLUMNS, release=release, **settings).roles(key_pair("bank")),
                     strict=True))
    found = predicted(work_of(release, **settings)).phases["train"]
    assert dict(found.kinds) == dict(sent_by(roles))


@pytest.mark.parametrize("release", ["shared", "owner"])
def test_unseen_rows_are_told_as_predicted(release: str):
    rows = {"calibration": 30, "test": 60}
    made = finished(key_pair("bank"), rows, COLUMNS, release, width=2)
    holdout = made.holdouts(lambda name, part, z: np.zeros(len(z)), lambda scores: True)
    found = predicted(work_of(release, width=2)).phases["evaluate"]
    assert dict(found.kinds) == dict(sent_by(dict(zip(("bank", "platform"), holdout, strict=True))))
    made = finished(key_pair("bank"), {"batch": ROWS}, COLUMNS, release, width=2)
    roles = {"bank": made.bank(lambda name, part, z: np.zeros(len(z))), "platform": made.platform()}
    batch = predicted(replace(work_of(release, width=2), kind="score")).phases["score"]
    assert dict(batch.kinds) == dict(sent_by(roles))


def test_what_stands_here_twice_is_the_same():
    assert (SETUP.size, EPOCH.size) == (networks.SETUP_BYTES, networks.EPOCH_BYTES)
    assert networks.MOST_WEIGHTS == precision.LARGEST_WIDTH


def test_megabytes_of_an_epoch_are_those_of_its_readme():
    """protocols/network/README.md, "Measured"."""
    for width, told in ((2, (14, 42, 1, 7, 7, 10)), (8, (57, 167, 4, 26, 7, 42))):
        found = predicted(work_of("shared", 30_000, 40, width=width, epochs=1)).phases["train"]
        kinds = ("forward.request", "forward.reply", "embeddings", "backward.request", "backward.reply", "sealed")
        sums = {kind: sum(n for (_, _, name), n in found.kinds.items() if name == kind) for kind in kinds}
        assert [round(n / 1e6) for n in sums.values()] == list(told)


def test_epochs_multiply_and_shared_weights_cost_an_upload():
    one, five = (predicted(work_of("shared", 20_000, 40, epochs=epochs)).phases["train"] for epochs in (1, 5))
    kind = ("platform", "bank", "forward.reply")
    assert five.kinds[kind] == 5 * one.kinds[kind] and one.seconds < five.seconds < 5 * one.seconds
    owner = predicted(work_of("owner", 20_000, 40, epochs=1)).phases["train"]
    assert owner.bytes_out("bank") < one.bytes_out("bank") - 10**7


def test_it_says_what_would_be_refused():
    assert predicted(work_of("shared", 20_000, 40)).notes == ()
    notes = " ".join(predicted(work_of("owner", 20_000, 300, width=4, epochs=20)).notes)
    assert "1200 weights of the source layer would be refused: at most 1024" in notes
    assert "80 opened numbers of each training row would be refused: at most 75 for 300 columns" in notes
    assert "20000 training rows for 1200 released weights would be refused" in notes
    with pytest.raises(ConfigError, match="not predicted yet"):
        predicted(work_of("shared", activation="square"))


def test_the_command_prints_networks(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEALSCORE_COORDINATOR", raising=False)
    (tmp_path / "plan.toml").write_text(PLAN, encoding="utf-8")
    assert plan_cli.main(["cost", "plan.toml", "--rows", "20000", "--platform-columns", "40"]) == 0
    assert "2 + 40 columns, 5 epochs of width 2" in capsys.readouterr().out
    (tmp_path / "plan.toml").write_text(PLAN + '[model.network]\nactivation = "square"\n', encoding="utf-8")
    assert plan_cli.main(["cost", "plan.toml", "--rows", "20000", "--platform-columns", "40"]) == 2
    assert "not predicted yet" in capsys.readouterr().err
