"""Joining, renewal and rotation: what is made where, what is refused, and that nothing private ever travels."""
from __future__ import annotations

import json
import re
import shutil
import stat
from pathlib import Path

import pytest
from cryptography import x509

from parties.runtime.config import PartyConfig
from protocols.crypto.identity import IdentityKey
from protocols.errors import ConfigError, TrustError
from protocols.node import joining
from protocols.node.enrol import JoinBundle, JoinRequest
from protocols.node.identity_files import load_identity
from protocols.node.tls import NodeTls
from protocols.policy import Policy
from tests.coordinator.joining import Trial


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Bank alpha and platform beta, joined one after the other."""
    trial = Trial(tmp_path_factory.mktemp("made"))
    trial.join("alpha", "bank")
    trial.join("beta", "platform")
    return trial.root


@pytest.fixture
def trial(made, tmp_path) -> Trial:
    return Trial.copied(made, tmp_path / "t")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_private_keys_are_made_at_the_node_and_stay_there(trial):
    for name in ("alpha", "beta"):
        keys = list(trial.home(name).rglob("*.key"))
        assert {p.name for p in keys} == {"identity.key", "node.key", "supernode.key"}
        assert all(stat.S_IMODE(p.stat().st_mode) == 0o600 for p in keys)
        sent = [trial.request(name), trial.bundle(name), *(trial.root / "fed/coordinator/parties").glob("*")]
        for path in sent:
            assert b"PRIVATE" not in path.read_bytes()
        for field, kind in (("request", JoinRequest), ("bundle", JoinBundle)):  # the formats name every field
            assert json.loads(getattr(trial, field)(name).read_text()).keys() == kind.model_fields.keys()


def test_a_joined_node_has_working_tls_and_a_closed_start(trial):
    for name, role in (("alpha", "bank"), ("beta", "platform")):
        assert NodeTls.load(trial.home(name)).name == name
        text = (trial.home(name) / f"{role}.toml").read_text()
        with pytest.raises(ConfigError, match="tables"):  # a person fills in the tables
            PartyConfig.from_toml_text(text)
        with pytest.raises(ConfigError, match="peers"):  # a person confirms the peers
            Policy.from_toml_text((trial.home(name) / "policy.toml").read_text())


def test_the_starters_are_sound_once_their_comments_are_taken_away(trial):
    text = (trial.home("beta") / "policy.toml").read_text()
    peers = text[text.index("# [peers"):].replace("# ", "")
    policy = Policy.from_toml_text(text + peers)
    assert policy.peers["alpha"].fingerprint == load_identity(trial.home("alpha")).fingerprint
    node = (trial.home("alpha") / "bank.toml").read_text()
    start = node.index("# [tables")
    head = re.sub(r"^# (?=name|fingerprint)", "", node[:start], flags=re.M)
    party = PartyConfig.from_toml_text(head + re.sub(r"^# ?", "", node[start:], flags=re.M))
    assert party.tables["customers"].label == "default"
    assert party.coordinator.fingerprint == load_identity(trial.config.parent).fingerprint


def test_keys_are_never_overwritten(trial, capsys):
    before = contents(trial.home("alpha"))
    trial.certs("request", trial.home("alpha"), "--name", "alpha", "--role", "bank", code=2)
    assert "never overwritten" in capsys.readouterr().err and contents(trial.home("alpha")) == before


@pytest.mark.parametrize(("words", "told"), [
    (["--name", "Gamma", "--role", "bank"], "--name"), (["--name", "hub", "--role", "bank"], "--name"),
    (["--name", "coordinator", "--role", "bank"], "--name"), (["--name", "g", "--role", "king"], "--role"),
    (["--role", "bank"], "--name"), (["--renew", "--name", "g"], "leave --name out"),
])
def test_a_wrong_request_writes_nothing(tmp_path, capsys, words, told):
    from protocols.node import certs_cli

    assert certs_cli.main(["request", str(tmp_path / "g"), *words]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1 and not (tmp_path / "g").exists()


def changed(path: Path, field: str, value: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))


@pytest.mark.parametrize("field", ["name", "role", "made_at", "identity", "csr", "supernode", "signature", "format"])
def test_a_request_of_which_anything_was_changed_is_refused(trial, capsys, field):
    other = json.loads(trial.request("beta").read_text())[field]
    value = {"made_at": "2020-01-01T00:00:00", "format": "x"}.get(field, other)
    changed(trial.request("alpha"), field, value)
    trial.sign("alpha", code=1)
    trial.coordinator("add", "delta", "--request", trial.request("alpha"), code=1)
    assert capsys.readouterr().err.count("\n") == 2 and not trial.bundle("alpha").exists()


def test_a_supernode_key_under_another_signature_is_refused(trial):
    request = JoinRequest.decode(trial.request("alpha").read_bytes(), "a")
    mine = JoinRequest.sign(IdentityKey.generate(), "beta", "platform", request.csr.encode(), request.supernode)
    with pytest.raises(TrustError, match="is not for beta"):
        JoinRequest.decode(mine.encode(), "request.json")


def test_the_authority_keeps_a_name_for_its_identity(trial, capsys):
    shutil.rmtree(trial.home("alpha"))
    trial.certs("request", trial.home("alpha"), "--name", "alpha", "--role", "bank")
    trial.sign("alpha", code=1)
    assert "another identity" in capsys.readouterr().err


def test_a_bundle_is_installed_only_where_it_belongs(trial, capsys):
    before = contents(trial.home("alpha"))
    trial.certs("install", trial.home("alpha"), trial.bundle("beta"), code=1)
    assert "another identity" in capsys.readouterr().err
    trial.certs("request", trial.home("alpha"), "--renew")
    old = trial.bundle("alpha").read_bytes()
    trial.sign("alpha")
    (trial.home("alpha") / "tls" / "next.key").unlink()
    trial.install("alpha", code=1)
    assert "TLS key that is not in" in capsys.readouterr().err
    trial.bundle("alpha").write_bytes(old)
    trial.install("alpha")
    assert {k: v for k, v in contents(trial.home("alpha")).items() if k != "request.json"} == {
        k: v for k, v in before.items() if k != "request.json"}


@pytest.mark.parametrize(("field", "value"), [
    ("authority", None), ("certificate", None), ("name", "gamma"), ("supernode", None), ("format", "x"), ("more", 1)])
def test_a_changed_bundle_changes_nothing(trial, field, value):
    other = json.loads(trial.bundle("beta").read_text()).get(field)
    if field == "authority":
        Trial(trial.root / "other")
        other = (trial.root / "other/fed/ca/ca.crt").read_text()
    changed(trial.bundle("alpha"), field, value or other)
    before = contents(trial.home("alpha"))
    trial.install("alpha", code=1)
    assert contents(trial.home("alpha")) == before


def test_another_authority_needs_a_word(trial, capsys):
    other = Trial(trial.root / "other")
    trial.certs("sign", trial.request("alpha"), "--ca", other.authority, "--out", trial.root / "x", "--config",
                other.config)
    trial.certs("install", trial.home("alpha"), trial.root / "x", code=1)
    assert "--new-authority" in capsys.readouterr().err
    trial.certs("install", trial.home("alpha"), trial.root / "x", "--new-authority")


def test_renewal_keeps_the_old_key_until_the_bundle_is_there(trial):
    home = trial.home("alpha")
    old, identity = (home / "tls/node.key").read_bytes(), load_identity(home).public
    trial.certs("request", home, "--renew")
    assert (home / "tls/node.key").read_bytes() == old and NodeTls.load(home).name == "alpha"
    trial.sign("alpha")
    trial.install("alpha")
    assert (home / "tls/node.key").read_bytes() != old and not (home / "tls/next.key").exists()
    assert NodeTls.load(home).name == "alpha" and load_identity(home).public == identity


def test_a_supernode_key_is_rotated(trial, capsys):
    home = trial.home("beta")
    old = (home / "flower/supernode.pub").read_text()
    trial.certs("request", home, "--rotate-supernode")
    assert (home / "flower/supernode.pub").read_text() == old
    trial.coordinator("rekey", "beta", "--request", trial.request("beta"))
    trial.sign("beta")
    trial.install("beta")
    new = (home / "flower/supernode.pub").read_text()
    assert new != old and new == (trial.root / "fed/coordinator/parties/beta.pub").read_text()
    assert joining.public_of_supernode(home / "flower/supernode.key")
    trial.coordinator("rekey", "beta", "--request", trial.request("beta"), code=1)
    assert "of beta already" in capsys.readouterr().err


def test_the_coordinator_renews_with_its_hosts(tmp_path):
    trial = Trial(tmp_path)
    home = tmp_path / "fed/coordinator"
    shutil.rmtree(tmp_path / "fed")
    trial.certs("init", tmp_path / "fed", "--no-parties", "--host", "hub.example")
    trial.certs("request", home, "--renew")
    trial.certs("sign", home / "request.json", "--ca", trial.authority, "--out", tmp_path / "c", "--config",
                trial.config)
    trial.certs("install", home, tmp_path / "c")
    certificate = x509.load_pem_x509_certificate(NodeTls.load(home).certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "hub.example" in names.get_values_for_type(x509.DNSName)


def test_a_party_gets_no_host_names(trial):
    """A request that asks for the coordinator's host gets a certificate without it."""
    home = trial.home("alpha")
    key = joining._load_key(home / "tls/node.key")
    csr = joining.signing_request(key, "alpha", [x509.DNSName("hub.example")])
    last = JoinRequest.decode(trial.request("alpha").read_bytes(), "a")
    asked = JoinRequest.sign(load_identity(home), "alpha", "bank", csr, last.supernode)
    trial.request("alpha").write_bytes(asked.encode())
    bundle = JoinBundle.decode(trial.sign("alpha").read_bytes(), "b")
    assert b"hub.example" not in bundle.certificates("b")[0].public_bytes(joining.serialization.Encoding.DER)


def test_the_authority_is_renewed_without_touching_a_node(trial):
    old = (trial.authority / "ca.crt").read_bytes()
    trial.certs("renew-authority", "--ca", trial.authority, "--days", "3000")
    new = x509.load_pem_x509_certificate((trial.authority / "ca.crt").read_bytes())
    for name in ("alpha", "beta"):
        x509.load_pem_x509_certificate(NodeTls.load(trial.home(name)).certificate).verify_directly_issued_by(new)
    assert [p.read_bytes() for p in trial.authority.glob("ca-until-*.crt")] == [old]
    trial.certs("request", trial.home("alpha"), "--renew")
    trial.sign("alpha")
    trial.install("alpha")  # no --new-authority: the key is the same
    assert (trial.home("alpha") / "tls/ca.crt").read_bytes() != old


def test_addresses_that_nobody_can_dial_are_not_handed_out(trial, capsys):
    trial.config.write_text(trial.config.read_text().replace('front = "127.0.0.1:', 'front = "0.0.0.0:'))
    trial.sign("alpha", code=2)
    assert "--front" in capsys.readouterr().err
    trial.certs("sign", trial.request("alpha"), "--ca", trial.authority, "--out", trial.bundle("alpha"), "--front",
                "hub.example:443", "--config", trial.config)
    assert JoinBundle.decode(trial.bundle("alpha").read_bytes(), "b").coordinator.front == "hub.example:443"
