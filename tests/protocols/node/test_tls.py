"""Certificates of a node: every way they can be wrong is one sentence that names the file."""
from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from coordinator.certs import PartySpec, init_federation
from protocols.errors import ConfigError, TrustError
from protocols.node.tls import NodeTls, diagnose, peer_name, split_address


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tls") / "certs"
    init_federation(root, [PartySpec("bank", "bank"), PartySpec("platform", "platform")], 1)
    return root


@pytest.fixture
def home(federation: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(federation / "bank", tmp_path / "bank"))


def test_a_good_home_loads_and_keeps_its_key_to_itself(home: Path) -> None:
    tls = NodeTls.load(home)
    assert tls.name == "bank"
    assert repr(tls) == "NodeTls('bank', REDACTED)"


@pytest.mark.parametrize("name", ["ca.crt", "node.crt", "node.key"])
def test_missing_and_damaged_files_are_named(home: Path, name: str) -> None:
    path = home / "tls" / name
    path.write_bytes(b"-----BEGIN NOTHING-----")
    with pytest.raises(TrustError, match=name):
        NodeTls.load(home)
    path.unlink()
    with pytest.raises(TrustError, match=f"cannot read .*{name}"):
        NodeTls.load(home)


def test_the_key_of_another_node_is_refused(home: Path, federation: Path) -> None:
    shutil.copy(federation / "platform" / "tls" / "node.key", home / "tls" / "node.key")
    with pytest.raises(TrustError, match=r"node\.key is not the key of .*node\.crt"):
        NodeTls.load(home)


def test_an_authority_is_no_node(home: Path, federation: Path) -> None:
    """ca.crt in the place of node.crt: signed by itself, but it names nobody."""
    shutil.copy(federation / "ca" / "ca.crt", home / "tls" / "node.crt")
    shutil.copy(federation / "ca" / "ca.key", home / "tls" / "node.key")
    with pytest.raises(TrustError, match="names no node"):
        NodeTls.load(home)


@pytest.mark.parametrize("uris", [(), (b"sealscore://bank", b"sealscore://platform"), (b"https://bank",),
                                  (b"sealscore://Bank",), (b"sealscore://",), (b"\xff",)])
def test_a_peer_has_exactly_one_name(uris: tuple[bytes, ...]) -> None:
    with pytest.raises(TrustError, match="one sealscore:// name"):
        peer_name({"peer_uri": uris})
    assert peer_name({"peer_uri": [b"https://x", b"sealscore://bank"]}) == "bank"


@pytest.mark.parametrize("text", ["", "host", ":1", "host:", "host:0", "host:65536", "host:x", "host:-1"])
def test_addresses_are_read_strictly(text: str) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        split_address(text)


def test_addresses_split() -> None:
    assert split_address("127.0.0.1:18444") == ("127.0.0.1", 18444)
    assert split_address("[::1]:1") == ("::1", 1)


def test_nobody_there_is_no_fault_of_tls(home: Path) -> None:
    assert diagnose("127.0.0.1:9", NodeTls.load(home), 0.5) is None
