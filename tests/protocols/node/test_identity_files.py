"""Identity and trust files."""
from __future__ import annotations

import json
from pathlib import Path

import pytest

from protocols.crypto.identity import IdentityKey, fingerprint
from protocols.errors import TrustError
from protocols.node.identity_files import load_identity, load_trust, trust_json, write_identity, write_private

KEY = IdentityKey.generate()
ENTRY = {"identity": KEY.public.hex(), "fingerprint": fingerprint(KEY.public)}


def test_an_identity_round_trips_and_is_never_overwritten(tmp_path: Path) -> None:
    write_identity(tmp_path, KEY)
    assert load_identity(tmp_path).public == KEY.public
    with pytest.raises(FileExistsError):
        write_private(tmp_path / "identity" / "identity.key", b"other")
    assert load_identity(tmp_path).public == KEY.public


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    write_identity(tmp_path, KEY)
    (tmp_path / "identity" / "identity.key").chmod(mode)
    with pytest.raises(TrustError, match="chmod 600"):
        load_identity(tmp_path)


def test_a_missing_key_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(TrustError, match="sealscore certs init"):
        load_identity(tmp_path)


def test_trust_round_trips(tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    other = IdentityKey.generate()
    path.write_bytes(trust_json({"platform": other.public, "bank": KEY.public}))
    assert load_trust(path) == {"bank": KEY.public, "platform": other.public}


@pytest.mark.parametrize(("content", "match"), [
    (b"", "not JSON"), (b"[]", "no identities"), (b"{}", "no identities"), (b'{"Bank": {}}', "party name"),
    (json.dumps({"bank": []}).encode(), "exactly identity and fingerprint"),
    (json.dumps({"bank": {**ENTRY, "more": 1}}).encode(), "exactly identity and fingerprint"),
    (json.dumps({"bank": {**ENTRY, "fingerprint": "0" * 64}}).encode(), "by telephone"),
    (json.dumps({"bank": {**ENTRY, "identity": ENTRY["identity"].upper()}}).encode(), "lower-case hex"),
])
def test_bad_trust_files_are_refused(tmp_path: Path, content: bytes, match: str) -> None:
    path = tmp_path / "trust.json"
    path.write_bytes(content)
    with pytest.raises(TrustError, match=match):
        load_trust(path)


def test_a_missing_trust_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrustError, match="cannot read"):
        load_trust(tmp_path / "trust.json")
