"""The demo with several banks, as real processes: each bank's figures, the evidence, who added what.

Rows are chosen so that a thousandth of AUC means something at the smallest bank.
"""
from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from protocols.node.at_rest import opened_half
from protocols.node.identity_files import load_trust
from protocols.node.verifier.examine import verify_evidence as verify
from tests.end_to_end import support
from tests.end_to_end.leaks import Detector, Needle

pytestmark = pytest.mark.timeout(2400)
BAR = 0.003
ROWS = 40_000
PARTIES = {(3, 1): ["bank-1", "bank-2", "bank-3", "platform"]}  # 2 x 2: test_several_banks.py


@pytest.fixture(scope="module", params=list(PARTIES), ids=["3x1"])
def demo(request, tmp_path_factory) -> tuple[Path, list[str]]:
    """(folder, parties) of a demo that ended well."""
    banks, platforms = request.param
    out = tmp_path_factory.mktemp("demo") / "out"
    done = run(out, "--banks", str(banks), "--platforms", str(platforms), "--rows", str(ROWS), "--json")
    assert json.loads(done.stdout) == metrics_of(out)
    return out, PARTIES[request.param]


def run(out: Path, *words: str) -> subprocess.CompletedProcess[str]:
    done = support.sealscore("demo", "--out", str(out), *words, timeout_s=2000)
    assert done.returncode == 0, done.stderr
    return done


def metrics_of(out: Path) -> dict:
    return json.loads((out / "metrics.json").read_text(encoding="utf-8"))


def banks_of(parties: list[str]) -> list[str]:
    return [party for party in parties if party.startswith("bank")]


@pytest.mark.slow
def test_each_bank_is_as_good_as_pooled_and_gains(demo) -> None:
    out, parties = demo
    metrics = metrics_of(out)
    assert list(metrics["banks"]) == banks_of(parties)
    assert abs(metrics["auc_joint"] - metrics["auc_pooled_oracle"]) <= BAR
    for name, bank in metrics["banks"].items():
        assert abs(bank["auc_joint"] - bank["auc_pooled_oracle"]) <= 2 * BAR, name  # on fewer rows; bins are noised
        assert bank["auc_uplift_low"] > 0, name


@pytest.mark.slow
def test_the_figures_fit_together(demo) -> None:
    out, parties = demo
    metrics, banks = metrics_of(out), banks_of(parties)
    assert metrics["rows_aligned"] == metrics["rows_aligned_oracle"]
    for key in ("rows_aligned", "rows_train", "rows_calibration", "rows_test"):
        assert metrics[key] == sum(metrics["banks"][bank][key] for bank in banks)
    assert metrics["rows_bank"] == sum(metrics["banks"][bank]["rows"] for bank in banks)
    assert metrics["openings"]["scores.test"] == metrics["rows_test"] * (len(parties) - len(banks))
    assert metrics["rows_train"] >= 50 * (metrics["columns_bank"] + metrics["columns_platform"] + len(banks) - 1)
    train = metrics["phases"]["train"]
    assert train["bytes_bank"] == sum(train[f"bytes_{bank}"] for bank in banks) > 1_000_000
    assert {f"seconds_{party}" for party in parties} <= set(train)
    assert "ablations" not in metrics


@pytest.mark.slow
def test_banks_have_one_encoding_and_one_set_of_coefficients(demo) -> None:
    out, parties = demo
    model = metrics_of(out)["model_id"]
    halves = [json.loads(opened_half(out / "federation" / bank, model)) for bank in banks_of(parties)]
    for key in ("encoder", "whitening", "coefficients"):
        assert all(half[key] == halves[0][key] for half in halves), key
    assert len({half["intercept"] for half in halves}) == len(halves)


@pytest.mark.slow
def test_the_evidence_of_every_node_verifies(demo) -> None:
    out, parties = demo
    done = support.sealscore("audit", "verify", str(out / "evidence"), "--trust", str(out / "trust.json"))
    assert done.returncode == 0 and "the evidence holds" in done.stdout, done.stdout
    assert sorted(path.name for path in (out / "evidence").iterdir() if path.is_dir()) == sorted(
        [*parties, "coordinator"])
    log = out / "evidence" / "bank-2" / "log.jsonl"
    original = log.read_bytes()
    log.write_bytes(original.replace(b"egress", b"Egress", 1))
    try:
        assert not verify(out / "evidence", load_trust(out / "trust.json")).holds
    finally:
        log.write_bytes(original)


@pytest.mark.slow
def test_the_registry_keeps_each_banks_metrics(demo) -> None:
    out, parties = demo
    metrics = metrics_of(out)
    words = ["runs", "show", metrics["run"], "--config", str(out / "federation" / "coordinator" / "coordinator.toml")]
    card = json.loads(support.sealscore(*words, "--json").stdout)["result"]
    assert {bank: told["auc_joint"] for bank, told in card["metrics_by_bank"].items()} == pytest.approx(
        {bank: metrics["banks"][bank]["auc_joint"] for bank in banks_of(parties)})
    shown = support.sealscore(*words).stdout
    assert all(f"{metrics['banks'][bank]['auc_joint']:.4f}" in shown for bank in banks_of(parties))


@pytest.mark.slow
def test_the_report_names_parties_and_no_person(demo) -> None:
    out, parties = demo
    page = (out / "report.html").read_text(encoding="utf-8")
    assert all(party in page for party in parties) and "commons.histogram" in page
    for bank in metrics_of(out)["banks"].values():
        assert f"{bank['auc_joint']:.4f}" in page and f"{bank['auc_bank_only']:.4f}" in page
    needles = (Needle("id", text.encode()) for bank in banks_of(parties)
               for row in support.read_csv(out / "data" / f"{bank}.csv") for text in {row["id"], row["id"].lower()})
    detector = Detector(needles)
    files = [out / "metrics.json", out / "report.html",
             *(path for path in (out / "evidence").rglob("*") if path.is_file())]
    assert [path.name for path in files if detector.find(path.read_bytes())] == []


@pytest.mark.bench
def test_ablations_tell_who_added_what(tmp_path: Path) -> None:
    """With rows that the demo chose every training is allowed."""
    out = tmp_path / "out"
    done = run(out, "--banks", "2", "--ablations")
    assert "rows a side and 3 bins per number" in done.stderr
    metrics = metrics_of(out)
    found = metrics["ablations"]
    assert set(found["trainings"]) == {"own.bank-1", "own.bank-2"} and found["refused"] == {}
    for name, training in found["trainings"].items():
        (bank,) = training["banks"]
        assert training["auc"][bank] == metrics["banks"][bank]["auc_platforms_only"], name
    assert [(row["party"], row["at"]) for row in found["contributions"]] == [
        ("platform", "bank-1"), ("platform", "bank-2"), ("platform", "all"), ("bank-1", "bank-2"), ("bank-2", "bank-1")]
    assert found["contributions"][2]["low"] > 0
    assert "added by platform" in done.stdout and "Who added what" in (out / "report.html").read_text()


@pytest.mark.slow
def test_refused_ablations_cost_the_demo_nothing(tmp_path: Path) -> None:
    """After the training of all these rows suffice for no other one: the policies refuse them, the demo ends well."""
    out = tmp_path / "out"
    done = run(out, "--banks", "2", "--rows", "12000", "--bins", "3", "--ablations")
    assert "some will be refused" in done.stderr
    found = metrics_of(out)["ablations"]
    assert set(found["refused"]) == {"own.bank-1", "own.bank-2"} and found["contributions"] == []
    assert all("of earlier trainings on the same people" in why for why in found["refused"].values())
    assert done.stdout.count("not trained: own.bank-") == 2
    assert "own.bank-2 was not trained" in (out / "report.html").read_text()
