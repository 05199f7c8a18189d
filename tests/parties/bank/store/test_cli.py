"""`sealscore bank store|consents|deletions|accesses` on a home of its own; the store's file spells nobody out."""
from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from parties.bank.cli import main
from protocols.crypto.identity import IdentityKey
from protocols.node.identity_files import write_identity

FILE = """
[node]
name = "bank"
role = "bank"
[coordinator]
front = "127.0.0.1:1"
hub = "127.0.0.1:2"
[tables.customers]
path = "customers.csv"
id = "phone"
label = "default"
[tables.customers.columns]
inquiries_6m = { type = "number" }
[decisions.store.retention]
deletion_days = 0
"""
CUSTOMER = "SYN-13800000001"


@pytest.fixture
def bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    write_identity(tmp_path, IdentityKey.generate())
    (tmp_path / "bank.toml").write_text(FILE)
    (tmp_path / "policy.toml").write_text(f'purposes = ["p"]\n[peers.platform]\nfingerprint = "{"0" * 64}"\n')

    def run(*words: str, customer: str = CUSTOMER) -> tuple[int, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(customer + "\n"))
        code = main([words[0], words[1], str(tmp_path / "bank.toml"), *words[2:]])
        told = capsys.readouterr()
        return code, told.out + told.err

    return run


def test_a_store_is_used_after_its_upgrade_only(bank) -> None:
    assert bank("store", "check")[0] == 2
    assert "bank store upgrade" in bank("consents", "off")[1]
    assert bank("store", "upgrade")[0] == 0
    assert bank("store", "check")[0] == 0


def test_a_customer_is_switched_off_deleted_and_nowhere_spelled(bank, tmp_path: Path) -> None:
    bank("store", "upgrade")
    assert bank("consents", "off")[0] == 0
    code, told = bank("consents", "list", "--purpose", "hotline", "--json", customer=f"  {CUSTOMER} ")
    assert code == 0 and json.loads(told)["off"] is True
    assert bank("deletions", "hold", "dispute", "--reason", "complaint")[0] == 0
    assert bank("deletions", "ask")[0] == 0
    assert "held by hold dispute" in bank("deletions", "run")[1]
    lines = json.loads(bank("accesses", "list", "--purpose", "audit", "--json")[1])
    assert [line["action"] for line in lines] == ["consents"]
    assert not any(CUSTOMER.encode() in path.read_bytes() for path in (tmp_path / "state").iterdir())


def test_wrong_input_is_one_sentence(bank) -> None:
    bank("store", "upgrade")
    for words in (("consents", "off", "--person", "xyz"), ("accesses", "list", "--purpose", " "),
                  ("consents", "withdraw", "c-1"), ("deletions", "cancel"), ("deletions", "release", "dispute")):
        code, told = bank(*words)
        assert code == 2 and told.startswith("error: ") and CUSTOMER not in told
    assert bank("consents", "off", customer="")[0] == 2
