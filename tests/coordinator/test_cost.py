"""Prediction of a run: the schedule, what it answers, what it refuses, and one real run beside it."""
from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from coordinator import plan_cli
from coordinator.cost.estimate import estimate
from coordinator.cost.parts import DEFAULT, Calibration
from coordinator.cost.schedule import Graph
from coordinator.cost.workload import Machines, Overrides, Workload, workload
from protocols.errors import ConfigError, UsageError
from protocols.node.supervise import environment, script
from protocols.plan import ModelPlan, Plan

PLAN = """
purpose = "credit-scoring"
label_party = "bank"
feature_parties = ["wallet", "telecom"]
[parties.bank]
table = "customers"
columns = ["a", "b", "c"]
[parties.wallet]
table = "users"
columns = ["d", "e", "f", "g"]
[parties.telecom]
table = "users"
columns = ["h", "i", "j", "k", "l"]
"""
ONE = Workload("train", ("bank",), ("platform",), (30_000,), (30_000,), 30_000, 13, (40,), 12, (40,), ModelPlan(),
               (0.7, 0.1, 0.2))
WAN = Machines(bandwidth_mbit=100, rtt_ms=30)


def banks(count: int, each: int = 30_000) -> Workload:
    return replace(ONE, banks=tuple(f"bank-{i}" for i in range(count)), rows=(each,) * count,
                   bank_table=(each,) * count, platform_table=each * count)


def platforms(count: int) -> Workload:
    return replace(ONE, platforms=tuple(f"platform-{i}" for i in range(count)),
                   platform_columns=(40 // count,) * count, platform_fields=(40 // count,) * count)


def predicted(work: Workload, machines: Machines = Machines(), **changes: float):
    parts = Calibration.load()
    transport = parts.transport.model_copy(update=changes)
    return estimate(work, parts.model_copy(update={"transport": transport}), machines)


# -- the schedule


def test_tasks_share_a_resource_and_wait_for_each_other():
    graph = Graph({"cores": 2})
    first = graph.add("a", 3, ("cores",), [])
    graph.add("b", 2, ("cores",), [])
    third = graph.add("c", 2, ("cores",), [])  # starts at 2, when b has ended
    graph.add("d", 1, ("cores",), [first, third])
    seconds, critical = graph.run()
    assert seconds == 5
    assert critical == {"b": 2, "c": 2, "d": 1}


def test_the_critical_path_adds_up_to_the_whole():
    found = predicted(platforms(3), WAN)
    for cost in found.phases.values():
        assert sum(cost.critical.values()) == pytest.approx(cost.seconds)
    assert sum(found.critical.values()) == pytest.approx(found.seconds)


def test_a_graph_that_cannot_start_is_refused():
    graph = Graph({"cores": 0})
    graph.add("a", 1, ("cores",), [])
    with pytest.raises(UsageError, match="nobody has"):
        graph.run()


# -- what it says


def test_the_banks_bytes_are_those_of_one_platform_whatever_their_number():
    one, four = (predicted(work).phases["train"] for work in (platforms(1), platforms(4)))
    both = [cost.bytes_out(party) + cost.bytes_in(party) for cost, party in ((one, "bank"), (four, "bank"))]
    assert 1.0 < both[1] / both[0] < 1.15
    assert four.bytes_out("platform-1") < four.bytes_out("platform-0")


def test_the_leads_work_is_that_of_all_banks_and_a_banks_stays_its_own():
    one, ten = (predicted(banks(count)).phases["train"] for count in (1, 10))
    assert ten.busy["platform"] > 7 * one.busy["platform"]
    assert ten.busy["bank-3"] < 1.2 * one.busy["bank-0"]
    assert ten.seconds > 3 * one.seconds


def test_a_slow_line_makes_the_network_the_bottleneck_and_a_far_one_costs_round_trips():
    near, slow = predicted(ONE), predicted(ONE, Machines(bandwidth_mbit=2))
    assert slow.phases["train"].bound_by == "network" and near.phases["train"].bound_by != "network"
    sent = slow.phases["train"].bytes_out("bank") * 8 / 2e6
    assert sent < slow.phases["train"].seconds < 3 * sent
    far = predicted(ONE, Machines(rtt_ms=200))
    assert far.phases["train"].critical["latency"] > 14 * 6 * 0.2


def test_one_machine_is_slower_than_one_each():
    assert predicted(ONE, Machines(cores=1)).seconds > predicted(ONE, Machines(cores=4)).seconds
    assert predicted(ONE, Machines(cores=2)).phases["train"].seconds >= 0.99 * predicted(ONE).phases["train"].seconds


def test_more_rows_cost_in_proportion():
    small, large = (predicted(replace(banks(1, n), rows=(n,))) for n in (100_000, 400_000))
    assert 2.5 < large.phases["train"].bytes_out("bank-0") / small.phases["train"].bytes_out("bank-0") < 4.2
    assert 2.5 < large.phases["train"].seconds / small.phases["train"].seconds < 5
    assert large.memory_mb["platform"] > 2 * small.memory_mb["platform"]


def test_it_says_what_a_plan_may_not_be():
    notes = " ".join(predicted(banks(50, 200_000)).notes)
    assert "2^-40" in notes and "banks" not in notes
    assert "at most 60 banks, not 61" in " ".join(predicted(banks(61, 200_000)).notes)
    assert "would be refused" in " ".join(predicted(banks(1, 1_000)).notes)
    assert not predicted(ONE).notes


@pytest.mark.parametrize(("settings", "words"), [
    ({"activation": "deg3"}, []), ({"polish": 2}, []), ({"variant": "open-score"}, []), ({"release": "shared"}, []),
    ({"variant": "open-score", "openings": 11}, ["11 openings", "at most 10 for 40 columns"]),
    ({"encoding": "woe"}, ["53 coefficients and 400 event counts of bins would be refused"]),
    ({"encoding": "woe", "woe_rho": 0.1}, []),
])
def test_every_variant_is_predicted_and_says_what_it_may_not_be(settings: dict, words: list[str]):
    found = predicted(replace(ONE, model=ModelPlan(**settings), platform_bins=(400,)))
    assert all(cost.seconds >= 0 for cost in found.phases.values()) and found.phases["train"].seconds > 0
    assert bool(found.notes) == bool(words) and all(word in " ".join(found.notes) for word in words)


def test_variants_differ_as_their_messages_do():
    def train(**settings):
        return predicted(replace(ONE, model=ModelPlan(**settings))).phases["train"]

    strict = train()
    assert train(variant="open-score").bytes_out("bank") < strict.bytes_out("bank") / 2
    assert train(activation="deg1").seconds < strict.seconds < train(activation="deg3").seconds
    assert train(polish=2).bytes_out("platform") > 3 * strict.bytes_out("platform")
    assert train(release="shared").kinds["platform", "bank", "weights"] > 13 * 131_000


def test_a_shared_model_is_scored_by_products():
    own, shared = (predicted(replace(ONE, kind="score", model=ModelPlan(release=release))).phases["score"]
                   for release in ("owner", "shared"))
    assert own.bytes_out("bank") < 1000 < shared.bytes_out("bank")
    assert shared.bytes_out("platform") > 10 * own.bytes_out("platform")


# -- plans and catalogues


def parsed(text: str = PLAN) -> Plan:
    return Plan.from_toml_text(text)


def test_rows_and_coefficients_come_from_the_catalogues():
    columns = [{"name": "a", "type": "number", "missing_rate": 0.1}, {"name": "b", "type": "category"},
               {"name": "c", "type": "number", "missing_rate": 0.0}]
    catalogues = {"bank": {"customers": {"rows": 9_000, "columns": columns}},
                  "wallet": {"users": {"rows": 5_000, "columns": []}}, "telecom": {"users": {"rows": 7_000}}}
    work = workload(parsed(), catalogues, Overrides())
    assert work.rows == (5_000,) and work.bank_table == (9_000,) and work.platform_table == 7_000
    assert work.bank_columns == 1 + (4 + 1) + 4 + 4
    assert work.platform_columns == (16, 20)
    assert work.platform_bins == (20, 25)
    woe = workload(parsed(PLAN + '[model]\nencoding = "woe"\n'), catalogues, Overrides())
    assert woe.platform_columns == (4, 5) and woe.platform_bins == (20, 25)
    numeric = parsed(PLAN + '[model]\nencoding = "numeric"\n')
    assert workload(numeric, catalogues, Overrides()).platform_columns == (4, 5)


def test_what_if_questions_need_no_catalogue():
    asked = Overrides(rows=1_000_001, bank_columns=12, platform_columns=40, banks=3, platforms=5)
    work = workload(parsed(), {}, asked)
    assert work.banks == ("bank-1", "bank-2", "bank-3") and sum(work.rows) == 1_000_001
    assert work.bank_columns == 13 and work.platform_columns == (40,) * 5 and work.platform_table == 1_000_001
    with pytest.raises(ConfigError, match="give --rows"):
        workload(parsed(), {}, Overrides())
    with pytest.raises(UsageError, match="--banks of at least 1"):
        Overrides(banks=0)
    with pytest.raises(UsageError, match="at least one per bank"):
        workload(parsed(), {}, Overrides(rows=2, banks=3))


# -- the calibration


def test_the_delivered_calibration_is_whole_and_names_no_machine():
    text = DEFAULT.read_text(encoding="utf-8")
    assert Calibration.load().product.forward.product_s > 0
    assert "/" not in text


@pytest.mark.parametrize(("change", "sentence"), [
    ('{"version": 1}', "make bench"), ("{", "make bench"), ("", "make bench")])
def test_a_calibration_that_is_none_is_refused(tmp_path, change, sentence):
    path = tmp_path / "other.json"
    path.write_text(change, encoding="utf-8")
    with pytest.raises(ConfigError, match=sentence):
        Calibration.load(path)
    with pytest.raises(ConfigError, match="no calibration at"):
        Calibration.load(tmp_path / "absent.json")


# -- the command


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEALSCORE_COORDINATOR", raising=False)
    path = tmp_path / "plan.toml"
    path.write_text(PLAN, encoding="utf-8")
    return path


def test_the_command_prints_a_table_and_json(plan, capsys):
    words = ["cost", str(plan), "--rows", "20000", "--bandwidth-mbit", "100", "--rtt-ms", "30"]
    assert plan_cli.main(words) == 0
    told = capsys.readouterr().out
    assert all(word in told for word in ("train", "lead platform out / in", "bottleneck", "memory at most"))
    assert plan_cli.main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rows"] == 20_000 and found["columns_platforms"] == [16, 20]
    train = found["phases"]["train"]
    links = train["links"]
    assert sum(n for link, n in links.items() if link.startswith("bank -> ")) == train["bytes_out"]["bank"]
    assert found["seconds"] == pytest.approx(
        found["control_seconds"] + sum(p["seconds"] for p in found["phases"].values()), abs=0.1)


def test_the_command_says_what_it_needs(plan, capsys):
    assert plan_cli.main(["cost", str(plan)]) == 2
    assert "give --rows" in capsys.readouterr().err
    assert plan_cli.main(["cost", str(plan), "--rows", "10", "--calibration", "absent.json"]) == 2
    assert "no calibration" in capsys.readouterr().err


# -- a real run


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_bytes_of_a_run_are_within_a_quarter_of_the_prediction(tmp_path):
    """From the plan and what the parties published, as a person asks it; seconds are measured by `make bench`."""
    out = tmp_path / "demo"
    run = subprocess.run([script("sealscore"), "demo", "--rows", "4000", "--platforms", "2", "--out", str(out),
                          "--json"], capture_output=True, text=True, env=environment(), timeout=500, check=True)
    phases = json.loads(run.stdout)["phases"]
    config = out / "federation" / "coordinator" / "coordinator.toml"
    asked = subprocess.run([script("sealscore"), "plan", "cost", str(out / "plan.toml"), "--config", str(config),
                            "--json"], capture_output=True, text=True, env=environment(), timeout=60, check=True)
    found = json.loads(asked.stdout)["phases"]
    for phase in ("align", "train"):
        for party in ("bank", "platform-1", "platform-2"):
            measured = phases[phase][f"bytes_{party}"]
            assert abs(found[phase]["bytes_out"][party] - measured) <= measured / 4, (phase, party)
