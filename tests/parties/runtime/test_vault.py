"""The vault: sealed, bound to its model, never an older copy; halves of earlier versions are taken over once."""
from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from parties.runtime import vault as vaults
from parties.runtime.vault import CONTEXT, INDEX, Vault
from protocols.crypto.identity import IdentityKey
from protocols.errors import TrustError, UsageError
from protocols.plan import canonical_json

MODEL, OTHER = "m-00000000000000aa", "m-00000000000000bb"
HALF = {"status": "pending", "coefficients": [1.5, -0.25]}
IDENTITY = IdentityKey.generate()


@pytest.fixture
def vault(tmp_path) -> Vault:
    return Vault(tmp_path / "vault", IDENTITY)


def path_of(tmp_path: Path, model: str = MODEL) -> Path:
    return tmp_path / "vault" / f"{model}.sealed"


def test_a_half_round_trips_and_stands_nowhere_in_the_clear(vault, tmp_path) -> None:
    digest = vault.put(MODEL, HALF)
    assert vault.get(MODEL) == HALF and vault.models() == [MODEL]
    assert digest == vault.digest(MODEL) == hashlib.sha256(canonical_json(HALF)).hexdigest()
    for path in (path_of(tmp_path), tmp_path / INDEX):
        assert path.stat().st_mode & 0o777 == 0o600
        assert b"coefficients" not in path.read_bytes() and MODEL.encode() not in path.read_bytes()
    assert Vault(tmp_path / "vault", IDENTITY).get(MODEL) == HALF


def test_no_changed_byte_opens(vault, tmp_path) -> None:
    vault.put(MODEL, HALF)
    good = path_of(tmp_path).read_bytes()
    for place in range(0, len(good), 7):
        path_of(tmp_path).write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1:])
        with pytest.raises(TrustError, match="changed, swapped"):
            vault.get(MODEL)


def test_a_swapped_file_is_refused(vault, tmp_path) -> None:
    vault.put(MODEL, HALF)
    vault.put(OTHER, HALF | {"status": "published"})
    shutil.copy(path_of(tmp_path, OTHER), path_of(tmp_path))
    with pytest.raises(TrustError, match="swapped"):
        vault.get(MODEL)


def test_an_older_copy_is_refused(vault, tmp_path) -> None:
    vault.put(MODEL, HALF)
    older = path_of(tmp_path).read_bytes()
    vault.put(MODEL, HALF | {"status": "published"})
    path_of(tmp_path).write_bytes(older)
    with pytest.raises(TrustError, match="version 1 of this model, the node has written 2: an older copy"):
        Vault(tmp_path / "vault", IDENTITY).get(MODEL)


def test_a_discarded_half_does_not_come_back(vault, tmp_path) -> None:
    vault.put(MODEL, HALF)
    older = path_of(tmp_path).read_bytes()
    vault.discard(MODEL)
    vault.discard(OTHER)
    with pytest.raises(UsageError, match="no half"):
        vault.get(MODEL)
    path_of(tmp_path).write_bytes(older)
    with pytest.raises(TrustError, match="older copy"):
        vault.get(MODEL)
    vault.put(MODEL, HALF)
    assert vault.get(MODEL) == HALF


def test_a_crash_between_the_half_and_its_index_costs_nothing(vault, tmp_path, monkeypatch) -> None:
    vault.put(MODEL, HALF)
    monkeypatch.setattr(Vault, "_write", lambda self, versions: (_ for _ in ()).throw(OSError("killed")))
    with pytest.raises(OSError):
        vault.put(MODEL, HALF | {"status": "published"})
    monkeypatch.undo()
    again = Vault(tmp_path / "vault", IDENTITY)
    assert again.get(MODEL)["status"] == "published"
    again.put(MODEL, HALF)
    assert again.get(MODEL) == HALF


def test_without_its_index_the_vault_does_not_open(vault, tmp_path) -> None:
    vault.put(MODEL, HALF)
    (tmp_path / INDEX).unlink()
    with pytest.raises(TrustError, match="restore"):
        vault.get(MODEL)
    with pytest.raises(TrustError, match="restore"):
        Vault(tmp_path / "vault", IDENTITY)


def test_another_node_opens_nothing(vault, tmp_path) -> None:
    vault.put(MODEL, HALF)
    with pytest.raises(TrustError, match="another node"):
        Vault(tmp_path / "vault", IdentityKey.generate()).get(MODEL)


def test_signed_halves_of_an_earlier_version_are_sealed_once(tmp_path) -> None:
    folder = tmp_path / "vault"
    folder.mkdir()
    signature = IDENTITY.sign(CONTEXT, canonical_json(HALF)).hex()
    older = folder / f"{MODEL}.json"
    older.write_bytes(canonical_json({"half": HALF, "signature": signature}))
    assert Vault(folder, IDENTITY).get(MODEL) == HALF and not older.exists()
    older.write_bytes(canonical_json({"half": HALF | {"coefficients": []}, "signature": signature}))
    assert Vault(folder, IDENTITY).get(MODEL) == HALF, "only the first start looks at them"


def test_a_half_that_this_node_did_not_sign_is_not_taken_over(tmp_path) -> None:
    folder = tmp_path / "vault"
    folder.mkdir()
    other = IdentityKey.generate().sign(CONTEXT, canonical_json(HALF)).hex()
    for content in ({"half": HALF, "signature": other}, {"half": HALF}, []):
        (folder / f"{MODEL}.json").write_text(json.dumps(content))
        with pytest.raises(TrustError):
            Vault(folder, IDENTITY)
    assert vaults.INDEX not in [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize("model", [OTHER, "../../etc/passwd", "m-1"])
def test_an_unknown_model_is_a_clear_error(vault, model) -> None:
    with pytest.raises(UsageError):
        vault.get(model)
