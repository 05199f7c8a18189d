"""coordinator.toml: strict, with sentences that name the setting."""
from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.bulk import Limits
from coordinator.config import CONFIG_VARIABLE, load_config, parse_config, split_address
from protocols.errors import ConfigError

PARTIES = "".join(
    f'[parties.{n}]\nrole = "{n}"\nidentity = "{"a" * 64}"\nsupernode_public_key = "{n}.pub"\n'
    for n in ("bank", "platform")
)


def write(folder: Path, text: str) -> Path:
    path = folder / "coordinator.toml"
    path.write_text(text)
    return path


def test_defaults_and_relative_paths(tmp_path: Path):
    config = load_config(write(tmp_path, '[node]\nhome = "h"\n' + PARTIES))
    assert config.home == tmp_path / "h"
    assert config.registry_url == f"sqlite:///{tmp_path}/h/state/registry.db"
    assert config.resolve(config.parties["bank"].supernode_public_key) == tmp_path / "bank.pub"


def test_a_coordinator_may_wait_for_its_first_party(tmp_path: Path):
    assert load_config(write(tmp_path, "")).parties == {}


def test_the_variable_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(CONFIG_VARIABLE, str(write(tmp_path, PARTIES)))
    assert load_config().source == tmp_path / "coordinator.toml"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (PARTIES + "[extra]\n", "extra"),
        ("source = 'x'\n" + PARTIES, "source"),
        ('[listen]\nsuperlink = "0.0.0.0:1234"\n' + PARTIES, "must listen on 127.0.0.1"),
        ('[listen]\nfront = "127.0.0.1:0"\n' + PARTIES, "port from 1 to 65535"),
        ('[listen]\nfront = "127.0.0.1:5"\nhub = "127.0.0.1:5"\n' + PARTIES, "three different"),
        (PARTIES.replace("a" * 64, "A" * 64), "identity"),
        (PARTIES.replace('role = "bank"', 'role = "king"'), "role"),
        (PARTIES.replace("[parties.bank]", "[parties.Bank]"), "Bank"),
        ("[node\n", "TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: str):
    with pytest.raises(ConfigError, match=words):
        load_config(write(tmp_path, text))


def test_a_missing_file_is_one_sentence(tmp_path: Path):
    with pytest.raises(ConfigError, match="no coordinator configuration"):
        load_config(tmp_path / "none.toml")


@pytest.mark.parametrize(("text", "pair"), [("h:1", ("h", 1)), ("[::1]:18443", ("::1", 18443))])
def test_addresses(text: str, pair: tuple[str, int]):
    assert split_address(text) == pair


def test_the_hub_s_memory_is_a_setting(tmp_path):
    assert parse_config(PARTIES, tmp_path / "c.toml").hub.bulk_mib * 2**20 == Limits().total_bytes
    assert parse_config(PARTIES + "[hub]\nbulk_mib = 100\n", tmp_path / "c.toml").hub.bulk_mib == 100
    with pytest.raises(ConfigError, match=r"hub\.bulk_mib"):
        parse_config(PARTIES + "[hub]\nbulk_mib = 1\n", tmp_path / "c.toml")
