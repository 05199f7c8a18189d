"""What a node keeps of a model whose weights stay shared, and how often it opens a person's score with it."""
from __future__ import annotations

import stat
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from parties.runtime.releases import Releases
from parties.runtime.sharing import Sharing
from parties.runtime.vault import Vault
from protocols.crypto.box import Box
from protocols.crypto.identity import IdentityKey
from protocols.errors import PolicyRefused, TrustError
from protocols.policy import Policy

BOX = Box(bytes(32))
MODEL = "m-0123456789abcdef"
POLICY = f'purposes = ["x"]\nmaximum_snapshots_per_person = 2\n[peers.bank]\nfingerprint = "{"a" * 64}"\n'


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "vault", IdentityKey.generate())


def kept(vault: Vault, data: bytes = b"keys and shares") -> Path:
    vault.put(MODEL, {"release": "shared", "shares": vault.keep_shares(MODEL, data)})
    return vault._folder / f"{MODEL}.shares"


def test_shares_stand_beside_the_half_for_the_nodes_user_only(vault: Vault) -> None:
    path = kept(vault)
    assert vault.shares(MODEL) == b"keys and shares" and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert vault.models() == [MODEL]
    kept(vault, b"others")
    assert vault.shares(MODEL) == b"others"
    vault.discard(MODEL)
    assert not list(vault._folder.iterdir())


@pytest.mark.parametrize("damage", [
    lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?"), lambda path: path.unlink(),
], ids=["changed", "gone"])
def test_shares_that_are_not_the_halfs_are_refused(vault: Vault, damage) -> None:
    damage(kept(vault))
    with pytest.raises(TrustError, match="shares") as refused:
        vault.shares(MODEL)
    told = str(refused.value)
    assert "\n" not in told and ("keys and shares that" in told or "does not open" in told)


def test_an_older_copy_of_the_shares_is_refused(vault: Vault) -> None:
    path = kept(vault)
    older = path.read_bytes()
    assert b"keys and shares" not in older
    kept(vault, b"others")
    path.write_bytes(older)
    with pytest.raises(TrustError, match="not the keys and shares"):
        vault.shares(MODEL)


def sharing(tmp_path: Path, table: bytes = b"t" * 32, model: str = MODEL) -> Sharing:
    return Sharing(model, None, Releases(tmp_path / "releases.db", BOX), Policy.from_toml_text(POLICY), None,
                   {"table": table}.get)


def test_a_person_is_scored_under_few_versions_per_model(tmp_path: Path) -> None:
    ours = sharing(tmp_path)
    for tag in (1, 2, 1, 2):
        ours.admit(["a", "b"], np.array([tag, 7], np.uint64))
    with pytest.raises(PolicyRefused, match="under 3 versions of the data with one model, at most 2") as refused:
        ours.admit(["b", "a"], np.array([7, 3], np.uint64))
    assert refused.value.setting == "maximum_snapshots_per_person"
    ours.releases.close()
    other = sharing(tmp_path, model="m-" + "1" * 16)
    other.admit(["a"], np.array([3], np.uint64))
    other.releases.close()


def test_the_name_of_the_banks_data_depends_on_table_and_model_alone(tmp_path: Path) -> None:
    models = [SimpleNamespace(weights=SimpleNamespace(secret=bytes([n]) * 32)) for n in (1, 2)]
    first = sharing(tmp_path)
    names = {first.data_name(model) for model in models}
    assert first.data_name(models[0]) in names and len(names) == 2 and all(len(name) == 32 for name in names)
    second = sharing(tmp_path, table=b"u" * 32)
    assert second.data_name(models[0]) not in names
    for each in (first, second):
        each.releases.close()
