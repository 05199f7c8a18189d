"""`sealscore certs init`: what is written, with which modes, and that nothing is ever overwritten."""
from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from coordinator.certs import PartySpec, init_federation
from protocols.crypto.identity import fingerprint
from protocols.errors import TrustError, UsageError
from protocols.node import certs_cli
from protocols.node.enrol import check_supernode
from protocols.node.identity_files import load_identity, load_trust
from protocols.node.tls import NodeTls

NODE_FILES = {"tls/ca.crt", "tls/node.crt", "tls/node.key", "identity/identity.key", "identity/identity.pub"}
PARTY_FILES = NODE_FILES | {"flower/supernode.key", "flower/supernode.pub", "flower/supernode.sig"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certs") / "deep" / "federation"
    assert certs_cli.main(["init", str(directory), "--party", "bank:bank", "--party", "shop:platform",
                           "--host", "hub.example", "--host", "10.1.2.3"]) == 0
    return directory


def files(directory: Path) -> set[str]:
    return {str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file()}


def test_each_node_has_exactly_its_files(made: Path) -> None:
    assert {p.name for p in made.iterdir()} == {"bank", "shop", "coordinator", "ca", "trust.json"}
    assert files(made / "coordinator") == NODE_FILES
    assert files(made / "bank") == files(made / "shop") == PARTY_FILES
    assert list(made.parent.iterdir()) == [made], "a draft was left behind"


def test_secrets_are_for_their_owner_only(made: Path) -> None:
    for path in made.rglob("*.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    for home in ("bank", "shop", "coordinator", "ca"):
        assert stat.S_IMODE((made / home).stat().st_mode) == 0o700


def test_trust_json_holds_the_identities(made: Path) -> None:
    entries = json.loads((made / "trust.json").read_text())
    assert list(entries) == ["bank", "coordinator", "shop"]
    trust = load_trust(made / "trust.json")
    for name, public in trust.items():
        assert load_identity(made / name).public == public
        assert entries[name] == {"identity": public.hex(), "fingerprint": fingerprint(public)}
    assert len(set(trust.values())) == 3


def test_certificates_say_who_they_are_for(made: Path) -> None:
    for name in ("bank", "shop", "coordinator"):
        assert NodeTls.load(made / name).name == name
        certificate = x509.load_pem_x509_certificate((made / name / "tls" / "node.crt").read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        hosts = ["localhost", *(["hub.example"] if name == "coordinator" else [])]
        assert names.get_values_for_type(x509.DNSName) == hosts
        addresses = [str(a) for a in names.get_values_for_type(x509.IPAddress)]
        assert addresses == ["127.0.0.1", *(["10.1.2.3"] if name == "coordinator" else [])]
        assert names.get_values_for_type(x509.UniformResourceIdentifier) == [f"sealscore://{name}"]
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
        assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days == 365


def test_certificates_pass_openssl_strictly(made: Path) -> None:
    tls = made / "bank" / "tls"
    checked = subprocess.run(["openssl", "verify", "-x509_strict", "-CAfile", tls / "ca.crt", tls / "node.crt"],
                             capture_output=True, text=True, timeout=20)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_supernode_keys_are_as_flower_wants_them(made: Path) -> None:
    flower = made / "bank" / "flower"
    private = serialization.load_ssh_private_key((flower / "supernode.key").read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert private.curve.name == "secp384r1"
    assert serialization.load_ssh_public_key((flower / "supernode.pub").read_bytes()) == private.public_key()


def test_an_identity_signs_its_supernode_key_and_no_other(made: Path) -> None:
    trust = load_trust(made / "trust.json")
    of = {name: ((made / name / "flower" / "supernode.pub").read_text(),
                 (made / name / "flower" / "supernode.sig").read_bytes()) for name in ("bank", "shop")}
    for name, (key, signature) in of.items():
        check_supernode(trust[name], name, key, signature)
    key, signature = of["bank"]
    flipped = bytes([signature[0] ^ 1]) + signature[1:]
    for wrong in ((trust["shop"], "bank", key, signature), (trust["bank"], "shop", key, signature),
                  (trust["bank"], "bank", of["shop"][0], signature), (trust["bank"], "bank", key, flipped),
                  (trust["bank"], "bank", key, b""), (trust["bank"], "bank", key, b"\xff")):
        with pytest.raises(TrustError):
            check_supernode(*wrong)


def test_nothing_is_overwritten(made: Path, capsys: pytest.CaptureFixture) -> None:
    before = {name: (made / name).read_bytes() for name in files(made)}
    assert certs_cli.main(["init", str(made)]) == 2
    assert "never overwritten" in capsys.readouterr().err
    assert before == {name: (made / name).read_bytes() for name in files(made)}


def test_fingerprints_are_printed_in_groups_and_as_json(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert certs_cli.main(["init", str(tmp_path / "a")]) == 0
    digest = load_identity(tmp_path / "a" / "platform").fingerprint
    printed = capsys.readouterr().out
    assert digest[:4] + " " + digest[4:8] in printed
    assert digest in "".join(printed.split())
    assert certs_cli.main(["init", str(tmp_path / "b"), "--json"]) == 0
    nodes = json.loads(capsys.readouterr().out)["nodes"]
    assert nodes["bank"]["fingerprint"] == load_identity(tmp_path / "b" / "bank").fingerprint
    assert {n["role"] for n in nodes.values()} == {"bank", "platform", "coordinator"}


@pytest.mark.parametrize("arguments", [
    ["--party", "Bank:bank"], ["--party", "bank:lender"], ["--party", "coordinator:bank"], ["--party", "ca:bank"],
    ["--party", "x" * 33 + ":bank"], ["--party", "bank:bank", "--party", "bank:platform"], ["--days", "0"],
    ["--host", "bad host"], ["--party", "../evil:bank"]])
def test_bad_arguments_are_one_sentence_and_write_nothing(tmp_path: Path, capsys: pytest.CaptureFixture,
                                                          arguments: list[str]) -> None:
    assert certs_cli.main(["init", str(tmp_path / "f"), *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_empty_directory_is_used_and_a_file_is_not(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    init_federation(tmp_path / "empty", [PartySpec("bank", "bank")], 1)
    assert (tmp_path / "empty" / "bank" / "tls" / "node.crt").is_file()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError):
        init_federation(tmp_path / "file", [PartySpec("bank", "bank")], 1)
    assert os.path.getsize(tmp_path / "file") == 0
