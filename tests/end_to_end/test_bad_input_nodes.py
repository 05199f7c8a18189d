"""`sealscore bank serve` and `sealscore coordinator serve` on files, keys and ports that do not do: one sentence."""
from __future__ import annotations

import csv
import datetime as dt
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coordinator.certs import Authority, PartySpec, Validity, init_federation, write_node
from coordinator.demo.federation import Federation, Table
from protocols.node.supervise import environment, script
from tests.end_to_end import support

pytestmark = pytest.mark.slow
START_S = 120.0  # a node alone says it within four seconds; the machine may be busy
Change = Callable[[Path], None]


def refusal(node: str, config: Path, *, alone: bool = True) -> str:
    """The one sentence with which `sealscore NODE serve CONFIG` ends; fails when it serves, hangs or says more.

    `alone`: the node can see the fault without the coordinator, so it never says that it is ready.
    """
    done = subprocess.run([script("sealscore"), node, "serve", str(config)], capture_output=True, text=True,
                          timeout=START_S, env=environment(), start_new_session=True)
    told = [line for line in done.stderr.splitlines() if not line[:4].isdigit()]  # log lines begin with the date
    assert done.returncode in (1, 2), done.stderr
    assert len(told) == 1 and told[0].startswith("error: "), done.stderr
    assert "Traceback" not in done.stderr and not (alone and "ready" in done.stdout)
    assert not (config.parent / "state" / "ready.json").exists()
    return told[0].removeprefix("error: ")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared federation that nobody started."""
    root = tmp_path_factory.mktemp("t")
    tables = support.small_tables(root / "data")
    Federation(root / "fed", tables, 1000).prepare()
    return root / "fed"


@pytest.fixture
def fed(template: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(template, tmp_path / "f"))


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def rewrite_bank_csv(home: Path, change: Callable[[list[list[str]]], None]) -> None:
    """Give the bank a changed copy of its table."""
    line = next(line for line in (home / "bank.toml").read_text().splitlines() if line.startswith("path = "))
    rows = [list(row.values()) for row in support.read_csv(Path(line.split('"')[1]))]
    header = list(support.read_csv(Path(line.split('"')[1]))[0])
    table = [header, *rows]
    change(table)
    with (home / "spoilt.csv").open("w", newline="") as file:
        csv.writer(file).writerows(table)
    replace(home / "bank.toml", line, f'path = "{home / "spoilt.csv"}"')


def set_cell(column: str, value: str, row: int = 7) -> Callable[[list[list[str]]], None]:
    return lambda table: table[row].__setitem__(table[0].index(column), value)


def one_class(table: list[list[str]]) -> None:
    at = table[0].index("default")
    for row in table[1:]:
        row[at] = "0"


TABLES = {
    "ragged": (lambda table: table[5].append("x"), r"spoilt.csv: 1 rows do not have the 12 fields .* line 6"),
    "duplicate id": (lambda table: table.append(table[1]), r"spoilt.csv: id column 'id' repeats ids in 1 of 4001 rows"),
    "empty id": (set_cell("id", ""), r"spoilt.csv: id column 'id' is empty in 1 of 4000 rows"),
    "label 7": (set_cell("default", "7"), r"spoilt.csv: label column 'default' is neither 0 nor 1 in 1 of 4000 rows"),
    "one class": (one_class, r"spoilt.csv: label column 'default' holds one class only"),
    "text among numbers": (set_cell("card_utilisation", "much"), r"spoilt.csv: column 'card_utilisation'.* 1 of 4000"),
    "header only": (lambda table: table.__delitem__(slice(1, None)), r"spoilt.csv: no data rows"),
}


@pytest.mark.parametrize("case", TABLES)
def test_a_bad_table_keeps_the_node_down(fed: Path, case: str) -> None:
    change, sentence = TABLES[case]
    rewrite_bank_csv(fed / "bank", change)
    told = refusal("bank", fed / "bank" / "bank.toml")
    assert re.search(sentence, told)
    assert "much" not in told  # counts, never values


def move_table(home: Path) -> None:
    line = next(line for line in (home / "bank.toml").read_text().splitlines() if line.startswith("path = "))
    replace(home / "bank.toml", line, 'path = "nowhere.csv"')


def spoil_toml(home: Path) -> None:
    (home / "bank.toml").write_text('[node\nname = "bank"\n')


def expire(home: Path) -> None:
    authority = Authority.generate(Validity.of_days(3))
    now = dt.datetime.now(dt.UTC)
    certificate, key = authority.issue("bank", Validity(now - dt.timedelta(days=3), now - dt.timedelta(days=1)))
    (home / "tls" / "ca.crt").write_bytes(authority.certificate_pem())
    (home / "tls" / "node.crt").write_bytes(certificate)
    (home / "tls" / "node.key").write_bytes(key)


def foreign_authority(home: Path) -> None:
    (home / "tls" / "ca.crt").write_bytes(Authority.generate(Validity.of_days(3)).certificate_pem())


FILES: dict[str, tuple[Change, str]] = {
    "no file": (lambda home: (home / "bank.toml").unlink(), r"bank.toml: no such file"),
    "bad TOML": (spoil_toml, r"bank.toml: not valid TOML \(.*line 1"),
    "unknown key": (lambda home: replace(home / "bank.toml", "[node]", "[node]\nnmae = 1"), r"bank.toml: .*nmae"),
    "other role": (lambda home: replace(home / "bank.toml", 'role = "bank"', 'role = "platform"'), r"node.role"),
    "no policy": (lambda home: (home / "policy.toml").unlink(), r"policy.toml: no such file"),
    "unknown key in policy": (lambda home: replace(home / "policy.toml", "purposes", "aims = 1\npurposes"),
                              r"policy.toml: .*aims"),
    "no table": (move_table, r"nowhere.csv: no such file"),
    "wrong column": (lambda home: replace(home / "bank.toml", "card_utilisation", "card_use"), r"no column 'card_use'"),
    "wrong label": (lambda home: replace(home / "bank.toml", '"default"', '"defaulted"'), r"no column 'defaulted'"),
    "expired certificate": (expire, r"node.crt expired on \d{4}-\d\d-\d\d"),
    "foreign authority": (foreign_authority, r"node.crt is not signed by the authority in .*ca.crt"),
    "no certificate": (lambda home: (home / "tls" / "node.crt").unlink(), r"node.crt.*sealscore certs init"),
    "no identity": (lambda home: (home / "identity" / "identity.key").unlink(), r"identity.key.*sealscore certs init"),
    "readable key": (lambda home: (home / "identity" / "identity.key").chmod(0o644), r"identity.key has mode 0644"),
    "no SuperNode key": (lambda home: (home / "flower" / "supernode.key").unlink(), r"supernode.key is missing"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_bad_file_keeps_the_party_down(fed: Path, case: str) -> None:
    change, sentence = FILES[case]
    change(fed / "bank")
    assert re.search(sentence, refusal("bank", fed / "bank" / "bank.toml"))


# -- the coordinator


@pytest.mark.parametrize("setting", ["front", "hub", "superlink"])
def test_a_busy_port_is_named(fed: Path, setting: str) -> None:
    config = fed / "coordinator" / "coordinator.toml"
    line = next(line for line in config.read_text().splitlines() if line.startswith(f"{setting} = "))
    port = int(line.rstrip('"').rsplit(":", 1)[1])
    with socket.create_server(("127.0.0.1", port)):
        told = refusal("coordinator", config)
    assert f"listen.{setting} = 127.0.0.1:{port}" in told and "address already in use" in told


COORDINATOR: dict[str, tuple[Change, str]] = {
    "bad TOML": (lambda home: replace(home / "coordinator.toml", "[listen]", "[listen"), r"coordinator.toml: .*TOML"),
    "unknown key": (lambda home: replace(home / "coordinator.toml", "front", "frnt"), r"coordinator.toml: .*frnt"),
    "open SuperLink": (lambda home: replace(home / "coordinator.toml", 'link = "127.0.0.1', 'link = "0.0.0.0'),
                       r"superlink.*127.0.0.1"),
    "no certificate": (lambda home: (home / "tls" / "node.crt").unlink(), r"node.crt.*sealscore certs init"),
    "expired certificate": (expire, r"node.crt expired on"),
    "foreign authority": (foreign_authority, r"not signed by the authority"),
    "no SuperNode key": (lambda home: (home.parent / "bank" / "flower" / "supernode.pub").unlink(), r"supernode.pub"),
}


@pytest.mark.parametrize("case", COORDINATOR)
def test_a_bad_file_keeps_the_coordinator_down(fed: Path, case: str) -> None:
    change, sentence = COORDINATOR[case]
    change(fed / "coordinator")
    assert re.search(sentence, refusal("coordinator", fed / "coordinator" / "coordinator.toml"))


# -- nodes that are well alone and not together


@pytest.fixture(scope="module")
def served(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the federation whose coordinator is up."""
    root = Path(shutil.copytree(template, tmp_path_factory.mktemp("s") / "f"))
    command = [script("sealscore"), "coordinator", "serve", str(root / "coordinator" / "coordinator.toml")]
    node = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment())
    try:
        assert node.stdout is not None and "ready" in node.stdout.readline()
        yield root
    finally:
        node.terminate()
        node.communicate(timeout=30)


def test_another_federations_certificate_is_said_at_once(served: Path, tmp_path: Path) -> None:
    """The party's files fit together, its authority is not the hub's."""
    home = Path(shutil.copytree(served / "bank", tmp_path / "bank"))
    init_federation(tmp_path / "other", [PartySpec("bank", "bank"), PartySpec("platform", "platform")], days=1)
    shutil.rmtree(home / "tls")
    shutil.copytree(tmp_path / "other" / "bank" / "tls", home / "tls")
    began = time.monotonic()
    told = refusal("bank", home / "bank.toml", alone=False)
    assert "is not accepted here" in told and "check the clock" in told
    assert time.monotonic() - began < 30


def test_a_certificate_that_only_the_hub_refuses_is_said(served: Path, tmp_path: Path) -> None:
    """Signed by an authority of the same name that is not the hub's, while the party trusts the hub's server."""
    home = Path(shutil.copytree(served / "bank", tmp_path / "bank"))
    authority = Authority.generate(Validity.of_days(2))
    shutil.rmtree(home / "tls")
    write_node(tmp_path / "n", "bank", authority, Validity.of_days(2))
    shutil.copytree(tmp_path / "n" / "tls", home / "tls")
    both = authority.certificate_pem() + (served / "bank" / "tls" / "ca.crt").read_bytes()
    (home / "tls" / "ca.crt").write_bytes(both)  # the first is what its own certificate is checked against
    assert "does not accept this node's certificate" in refusal("bank", home / "bank.toml", alone=False)


def test_two_daemons_on_one_home_are_refused(served: Path) -> None:
    config = served / "bank" / "bank.toml"
    command = [script("sealscore"), "bank", "serve", str(config)]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment())
    try:
        assert first.stdout is not None and "ready" in first.stdout.readline()
        second = subprocess.run(command, capture_output=True, text=True, timeout=START_S, env=environment())
        assert second.returncode == 2 and second.stderr.startswith("error: ") and second.stderr.count("\n") == 1
        assert first.poll() is None
        assert (served / "bank" / "state" / "ready.json").exists()  # the second has not touched the first's
    finally:
        first.terminate()
        first.communicate(timeout=30)


def test_a_plan_that_asks_too_much_is_refused_before_it_starts(served: Path, tmp_path: Path) -> None:
    federation = Federation(served, {"bank": Table({}), "platform": Table({})}, 1000)
    spoilt = tmp_path / "plan.toml"
    spoilt.write_text(support.plan_text() + "[model]\n")
    for path, words in ((spoilt, "plan.toml"), (tmp_path / "none.toml", "none.toml")):
        done = support.sealscore("run", str(path), federation=federation)
        assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1
    assert support.run_ids(federation) == []
