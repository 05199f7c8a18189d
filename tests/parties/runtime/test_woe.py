"""The encoding woe at the nodes: the same as in the clear, and what a bank's ledger refuses between runs."""
from __future__ import annotations

import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parties.runtime.preparation import prepare
from parties.runtime.releases import Releases, WoeSums
from parties.runtime.tables import ColumnConfig, Table, TableConfig
from parties.runtime.woe import BankWoe, PlatformWoe, WoeInputs, check, told
from protocols.binning.columns import ColumnData
from protocols.binning.encoder import Encoder
from protocols.crypto.box import Box
from protocols.errors import PolicyRefused
from protocols.plan import Plan
from protocols.policy import Policy
from protocols.psi.parameters import UNKNOWN
from protocols.role import Message, Role
from protocols.woe import messages as m

POLICY = 'purposes = ["credit-scoring"]\nencodings = ["woe"]\n[peers.platform]\nfingerprint = "' + "a" * 64 + '"\n'
PEOPLE = [f"p{number}" for number in range(1200)]


def plan_of(**model: Any) -> Plan:
    return Plan.model_validate({
        "purpose": "credit-scoring", "label_party": "bank", "feature_parties": ["platform"],
        "parties": {name: {"table": "t", "columns": ["x", "kind"]} for name in ("bank", "platform")},
        "model": {"encoding": "woe", "bins": 4, **model}, "slices": {"train": 0.5, "calibration": 0.2, "test": 0.3},
    })


def table_of(seed: int, labelled: bool, people: list[str] = PEOPLE) -> Table:
    rng = np.random.default_rng(seed)
    rows = len(people)
    values = np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows))
    kinds = np.array(["a", "b", None], dtype=object)[rng.choice(3, rows, p=[0.6, 0.3, 0.1])]
    columns = {"x": ColumnData.of_numbers(values), "kind": ColumnData.of_labels(kinds.tolist())}
    label = (rng.random(rows) < 0.3).astype(np.int8) if labelled else None
    config = TableConfig(path=Path("t.csv"), id="id", columns={"x": ColumnConfig(),
                                                               "kind": ColumnConfig(type="category")})
    return Table(config, list(people), label, columns)


@pytest.fixture
def ledgers(tmp_path: Path):
    kept = {name: Releases(tmp_path / name / "releases.db", Box(bytes(32))) for name in ("bank", "platform")}
    yield kept
    for ledger in kept.values():
        ledger.close()


def drives(names: tuple[str, str]) -> dict[str, Callable[[Role, str], Any]]:
    """A drive for each of two parties that run in threads of their own."""
    inbox: dict[str, queue.Queue[Message]] = {name: queue.Queue() for name in names}

    def drive_of(name: str) -> Callable[[Role, str], Any]:
        def drive(role: Role, peer: str) -> Any:
            outgoing = role.start()
            while True:
                for message in outgoing:
                    inbox[message.peer].put(Message(name, message.kind, message.payload))
                if role.result() is not None:
                    return role.result()
                outgoing = role.handle(inbox[name].get(timeout=20))
        return drive
    return {name: drive_of(name) for name in names}


def encoders(ledgers: dict[str, Releases], plan: Plan, tables: dict[str, Table], rows: dict[str, np.ndarray],
             run: str = "r-1", counts: Callable[[int], None] = lambda number: None) -> tuple[dict[str, Any], dict]:
    """Both sides' fits as a run makes them, from the training rows of each in joint order."""
    drive = drives(("bank", "platform"))
    inputs = {name: WoeInputs(plan, name, tables[name], rows[name], ledgers[name], drive[name]) for name in tables}
    fits = {"bank": BankWoe(inputs["bank"], run, Policy.from_toml_text(POLICY), counts),
            "platform": PlatformWoe(inputs["platform"])}
    with ThreadPoolExecutor(2) as pool:
        jobs = {name: pool.submit(fit, tables[name].take(inputs[name].known).select(["x", "kind"]))
                for name, fit in fits.items()}
        return {name: job.result() for name, job in jobs.items()}, fits


def joint_rows(seed: int, unknown: int = 0) -> dict[str, np.ndarray]:
    """600 people in joint order, some of whom the platform lacks; its table has another order."""
    rng = np.random.default_rng(seed)
    people = rng.permutation(1200)[:600]
    platform = people.copy()
    platform[rng.permutation(600)[:unknown]] = UNKNOWN
    return {"bank": people, "platform": platform}


@pytest.mark.parametrize("unknown", [0, 60])
def test_both_sides_encode_as_on_joined_plaintext(ledgers, unknown: int) -> None:
    tables, rows = {"bank": table_of(1, True), "platform": table_of(2, False)}, joint_rows(3, unknown)
    found, fits = encoders(ledgers, plan_of(), tables, rows)
    labels = tables["bank"].label[rows["bank"]]
    for name in tables:
        known = rows[name] != UNKNOWN
        columns = tables[name].take(rows[name][known]).select(["x", "kind"])
        encoder, whitening = found[name]
        for column in encoder.columns:
            places = column.bins.assign(columns[column.column])
            expected = [int(labels[known][places == level].sum()) for level in range(len(column.bins.bins))]
            assert list(column.events) == expected
        assert (encoder.coverage is not None) == (unknown > 0 and name == "platform")
        white = whitening.transform(encoder.transform(columns, known))
        assert np.abs(white.T @ white / len(white) - np.eye(white.shape[1])).max() < 1e-6
    assert fits["bank"].counted == fits["platform"].counted == sum(
        len(column.events) for column in found["platform"][0].columns)


def test_prepare_takes_the_fit(ledgers) -> None:
    table, plan = table_of(1, True), plan_of()
    aligned, slices = np.arange(1200), np.random.default_rng(0).choice(3, 1200, p=[0.5, 0.2, 0.3]).astype(np.int8)
    fit = PlatformWoe(WoeInputs(plan, "platform", table, aligned[slices == 0], ledgers["platform"],
                                lambda role, peer: np.zeros(role._setup.bins, np.int64)))
    prepared = prepare(table, {"bank": aligned}, "platform", plan, fit, {"bank": slices})
    assert prepared.encoder.method == "woe" and len(prepared.of["bank"].columns[1]) == (slices == 1).sum()
    assert Encoder.from_json(prepared.encoder.to_json()) == prepared.encoder


def permit(ledgers, run: str = "r-1", *, rho: float = 0.0, tag: bytes = b"t" * 32, seed: int = 1, policy: str = POLICY,
           rows: np.ndarray | None = None, counts: Callable[[int], None] = lambda number: None) -> None:
    """As far as the bank's decision: a platform comes with a setup."""
    table = table_of(seed, True)
    training = np.arange(600) if rows is None else rows

    def drive(role: Role, peer: str) -> int:
        role._permit(9, tag)
        return 9

    inputs = WoeInputs(plan_of(woe_rho=rho), "bank", table, training, ledgers["bank"], drive)
    BankWoe(inputs, run, Policy.from_toml_text(policy), counts)(table.take(inputs.known).select(["x", "kind"]))


def test_the_same_counts_may_be_opened_again(ledgers) -> None:
    permit(ledgers)
    permit(ledgers, "r-2")
    permit(ledgers, "r-3", rows=np.random.default_rng(0).permutation(600))  # another joint order


@pytest.mark.parametrize("change", [
    {"tag": b"u" * 32}, {"rows": np.arange(601)}, {"rows": np.arange(599, 1200)}, {"seed": 2},
], ids=["other bins", "one person more", "one person in common", "other labels"])
def test_bins_rows_or_labels_that_differ_are_refused_about_the_same_people(ledgers, change: dict[str, Any]) -> None:
    permit(ledgers)
    with pytest.raises(PolicyRefused, match="could be one person's label"):
        permit(ledgers, "r-2", **change)
    permit(ledgers, "r-3")  # a refused run leaves nothing behind
    permit(ledgers, "r-4", rho=0.1, **change)


def test_other_people_may_be_counted(ledgers) -> None:
    permit(ledgers)
    permit(ledgers, "r-2", rows=np.arange(600, 1200), tag=b"u" * 32)


def test_a_run_that_ended_before_it_opened_anything_is_forgotten(ledgers) -> None:
    permit(ledgers)
    ledgers["bank"].forget("r-1")
    permit(ledgers, "r-2", tag=b"u" * 32)


def test_what_noise_leaves_adds_up_over_runs(ledgers) -> None:
    limited = "maximum_woe_rho = 0.25\n" + POLICY
    permit(ledgers, "r-1", rho=0.1, policy=limited)
    permit(ledgers, "r-2", rho=0.1, policy=limited)
    with pytest.raises(PolicyRefused, match=r"maximum_woe_rho.*rho = 0\.1 after 0\.2"):
        permit(ledgers, "r-3", rho=0.1, policy=limited)
    permit(ledgers, "r-3", rho=0.1, policy=limited, rows=np.arange(600, 1200))


def test_exact_counts_are_equations(ledgers) -> None:
    asked: list[int] = []
    permit(ledgers, counts=asked.append)
    permit(ledgers, "r-2", rho=0.1, counts=asked.append)
    assert asked == [9]


def test_the_rule_is_about_one_platform() -> None:
    policy = Policy.from_toml_text(POLICY)
    mine = WoeSums("r-2", "platform", b"a", 0.0)
    check(mine, [WoeSums("r-1", "shop", b"b", 0.0), WoeSums("r-0", "platform", b"a", 0.0)], policy)
    with pytest.raises(PolicyRefused):
        check(mine, [WoeSums("r-1", "platform", b"b", 0.0)], policy)


def test_fingerprints_name_what_each_person_has_and_depend_on_the_node(ledgers) -> None:
    bank, values = ledgers["bank"], np.arange(6).reshape(3, 2)
    name = bank.fingerprint(["a", "b", "c"], values)
    assert name == bank.fingerprint(["c", "A", "b"], values[[2, 0, 1]]) and len(name) == 32
    assert name != bank.fingerprint(["a", "b", "c"], values[[1, 0, 2]])
    assert name != ledgers["platform"].fingerprint(["a", "b", "c"], values)


def test_the_report_says_what_the_counts_are_worth() -> None:
    assert told(plan_of().model)["woe"] == {"rho": 0, "epsilon": "infinite", "delta": 0}
    noised = told(plan_of(woe_rho=0.1).model)["woe"]
    assert noised == {"rho": 0.1, "epsilon": 2.45, "delta": 1e-06}
    assert told(plan_of(encoding="dummy").model) == {}


def test_a_bank_counts_only_bins_that_its_rows_can_fill(ledgers) -> None:
    asked = {}

    def drive(role: Role, peer: str) -> int:
        asked.update(rows=len(role._labels), most=role._settings.most_bins(600))
        return 0

    table = table_of(1, True)
    inputs = WoeInputs(plan_of(), "bank", table, np.arange(600), ledgers["bank"], drive)
    BankWoe(inputs, "r-1", Policy.from_toml_text(POLICY), lambda n: None)(table.take(inputs.known).columns)
    assert asked == {"rows": 600, "most": 60} and m.SETUP == "woe.setup"
