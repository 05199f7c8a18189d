"""`sealscore bank loans` and `voucher` on a node's folder, as an officer and a partner type them."""
from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from parties.bank.cli import main
from parties.bank.lending.book import Loans, Notary
from parties.bank.store.opening import open_node_store
from parties.runtime.config import LoadedParty
from protocols.crypto.identity import IdentityKey
from protocols.node.identity_files import load_identity, trust_json, write_identity
from tests.parties.bank.lending.loans import event, terms

NODE = """
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
inquiries = { type = "number" }
"""
POLICY = f"""
purposes = ["credit-scoring"]
kinds = ["train", "score"]
encodings = ["dummy"]
minimum_intersection_rows = 1000
[peers.platform]
fingerprint = "{'0' * 64}"
"""
LOOK = ["--purpose", "complaint 17"]


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A bank's folder with one loan, drawn 60 days ago and paid in part."""
    home = tmp_path_factory.mktemp("bank")
    (home / "bank.toml").write_text(NODE)
    (home / "policy.toml").write_text(POLICY)
    write_identity(home, IdentityKey.generate())
    assert main(["store", "upgrade", str(home / "bank.toml")]) == 0
    began = datetime.now(UTC) - timedelta(days=60)
    agreed = terms(offered_until=began + timedelta(days=1))
    with open_node_store(LoadedParty(home / "bank.toml", "bank")) as store:
        def job(unit):
            unit.customers.set_limit(agreed.person, 2_000_000, "approved", "engine", began)
            for partner in ("own", "city"):
                unit.quotas.set(partner, 10**9, began)
            book = Loans(unit, Notary("bank", load_identity(home)))
            book.accept(agreed, event("accept", began))
            book.act("l-1", event("draw", began, 1_000_000))
            book.act("l-1", event("repay", began + timedelta(days=20), 50_000))
        store.write(job)
    return home


def told(capsys, *arguments: object) -> str:
    """What a command prints; it must end with 0."""
    capsys.readouterr()
    code = main([str(one) for one in arguments])
    output = capsys.readouterr()
    assert code == 0, output.err
    return output.out


def refused(capsys, *arguments: object) -> str:
    """The sentence of a command that fails, without a traceback."""
    capsys.readouterr()
    assert main([str(one) for one in arguments]) != 0
    sentence = capsys.readouterr().err
    assert sentence.startswith("error: ") and sentence.count("\n") == 1
    return sentence


def test_a_loan_is_shown_with_who_is_owed_what(node, capsys):
    text = told(capsys, "loans", "show", node / "bank.toml", "l-1", *LOOK)
    assert "loan l-1 of application a-1: active" in text and "drawn 10,000.00 of 10,000.00" in text
    value = json.loads(told(capsys, "loans", "show", node / "bank.toml", "l-1", *LOOK, "--json"))
    owed = value["account"]["owed"]
    assert sum(part["principal_fen"] for part in value["account"]["balances"].values()) == owed["principal_fen"]
    assert owed["principal_fen"] == 1_000_000 - (50_000 - 20 * 400) and len(value["movements"]) == 3


def test_lists_plans_statements_and_partners_agree(node, capsys):
    principal = 958_000
    assert "9,580.00" in told(capsys, "loans", "list", node / "bank.toml", *LOOK)
    plan = json.loads(told(capsys, "loans", "schedule", node / "bank.toml", "l-1", *LOOK, "--json"))
    assert sum(pay["parts"]["principal_fen"] for pay in plan["outlook"]) == principal
    assert "still to be paid" in told(capsys, "loans", "schedule", node / "bank.toml", "l-1", *LOOK)
    sheet = json.loads(told(capsys, "loans", "statement", node / "bank.toml", "l-1", *LOOK, "--json"))
    assert sheet["closing"]["principal_fen"] == principal
    assert "closing" in told(capsys, "loans", "statement", node / "bank.toml", "l-1", *LOOK)
    books = json.loads(told(capsys, "loans", "partners", node / "bank.toml", "--json"))
    assert sum(book["outstanding_fen"] for book in books.values()) == principal
    assert "9,580.00" in told(capsys, "loans", "partners", node / "bank.toml")


def test_every_look_is_in_the_access_log(node, capsys):
    told(capsys, "loans", "show", node / "bank.toml", "l-1", "--purpose", "audit 2026")
    assert "audit 2026" in told(capsys, "accesses", "list", node / "bank.toml", *LOOK)


def test_a_voucher_goes_to_a_partner_and_is_verified_there(node, tmp_path, capsys):
    key, trust = X25519PrivateKey.generate(), tmp_path / "trust.json"
    (tmp_path / "city.pub").write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    secret = tmp_path / "city.key"
    secret.touch(mode=0o600)
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    identity = load_identity(node).public
    trust.write_bytes(trust_json({"bank": identity}))
    sealed, opened = tmp_path / "l-1.sealed", tmp_path / "l-1.json"
    told(capsys, "voucher", "issue", node / "bank.toml", "l-1", *LOOK, "--to", tmp_path / "city.pub", "--out", sealed)
    assert b"l-1" not in sealed.read_bytes()
    assert "open it first" in refused(capsys, "voucher", "verify", sealed, "--trust", trust)
    told(capsys, "voucher", "open", sealed, "--key", secret, "--out", opened)
    assert opened.stat().st_mode & 0o777 == 0o600
    text = told(capsys, "voucher", "verify", opened, "--trust", trust)
    assert "the voucher holds: loan l-1 of 10,000.00" in text and "city: 7,000.00" in text
    assert json.loads(told(capsys, "voucher", "verify", opened, "--identity", identity.hex(), "--json"))["drawn_fen"] \
        == 1_000_000
    other = IdentityKey.generate().public.hex()
    assert "another identity" in refused(capsys, "voucher", "verify", opened, "--identity", other)
    assert "either --trust FILE or --identity" in refused(capsys, "voucher", "verify", opened)
    assert "exists already" in refused(capsys, "voucher", "open", sealed, "--key", secret, "--out", opened)


def test_what_is_wrong_is_said_in_a_sentence(node, tmp_path, capsys):
    assert "no loan l-9" in refused(capsys, "loans", "show", node / "bank.toml", "l-9", *LOOK)
    assert "purpose" in refused(capsys, "loans", "show", node / "bank.toml", "l-1")
    assert "from the acceptance until today" in refused(
        capsys, "loans", "statement", node / "bank.toml", "l-1", *LOOK, "--to", "2020-01-01")
    (tmp_path / "no.json").write_text("{}")
    assert "signed voucher" in refused(capsys, "voucher", "verify", tmp_path / "no.json", "--identity", "0" * 64)
    assert "no such file" in refused(capsys, "voucher", "verify", tmp_path / "none.json", "--identity", "0" * 64)
