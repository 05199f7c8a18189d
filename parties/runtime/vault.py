"""Where a party keeps its half of each model: sealed under a key of this node, mode 0600, written whole or not at all.

    state/vault/MODEL.sealed   sealed under the model's id: version (8 bytes) | the half, canonical JSON
    state/vault/MODEL.shares   sealed: keys and shares of a model whose weights stay shared; the half has their SHA-256
    state/vault.index          sealed: the newest version of each half that was ever written or discarded

A file that was changed, swapped with another model's or put back from an older copy is refused. Who puts `vault` and
`vault.index` back together goes unnoticed here; the audit log, which names published models, then no longer fits them.
"""
from __future__ import annotations

import hashlib
import json
import re
import threading
from pathlib import Path
from typing import Any

from protocols.crypto.identity import IdentityKey, verify
from protocols.errors import TrustError, UsageError
from protocols.node.at_rest import VERSION_BYTES, vault_box
from protocols.node.identity_files import replace_private
from protocols.plan import canonical_json

CONTEXT = b"sealscore model half v1"  # of halves that earlier versions signed and did not seal
INDEX = "vault.index"
_MODEL_ID = re.compile(r"m-[0-9a-f]{16}")


class Vault:
    """Model halves in `folder`, whose index stands beside it. Thread-safe."""

    def __init__(self, folder: Path, identity: IdentityKey):
        self._folder, self._index, self._box = folder, folder.with_name(INDEX), vault_box(identity)
        self._lock = threading.RLock()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self._index.exists():
            self._begin(identity)

    def put(self, model_id: str, half: dict[str, Any]) -> str:
        """Store a half; returns its SHA-256 (hex), which the model card carries."""
        body, target = canonical_json(half), self._path(model_id)
        with self._lock:
            versions = self._versions()
            version = versions.get(model_id, 0) + 1
            replace_private(target, self._box.seal(model_id, version.to_bytes(VERSION_BYTES, "big") + body))
            self._write(versions | {model_id: version})
        return hashlib.sha256(body).hexdigest()

    def get(self, model_id: str) -> dict[str, Any]:
        """A stored half; UsageError when there is none, TrustError when the file is not the one last written."""
        return json.loads(self._body(model_id))

    def digest(self, model_id: str) -> str:
        """SHA-256 (hex) of a stored half."""
        return hashlib.sha256(self._body(model_id)).hexdigest()

    def keep_shares(self, model_id: str, data: bytes) -> str:
        """Store keys and shares beside a half whose weights stay shared; returns their SHA-256 (hex) for the half."""
        path = self._shares(model_id)
        replace_private(path, self._box.seal(path.name, data))
        return hashlib.sha256(data).hexdigest()

    def shares(self, model_id: str) -> bytes:
        """What `keep_shares` stored; TrustError when it is missing or not what the half names."""
        path, expected = self._shares(model_id), self.get(model_id).get("shares")
        data = self._opened(path, path.name) if path.exists() else b""
        if hashlib.sha256(data).hexdigest() != expected:
            raise TrustError(f"{path.name}: not the keys and shares that this node's half of the model names; restore "
                             "both from one backup")
        return data

    def discard(self, model_id: str) -> None:
        """Remove a half that was not published; a copy of it is refused from now on."""
        path = self._path(model_id)
        with self._lock:
            versions = self._versions()
            if model_id in versions:
                self._write(versions | {model_id: versions[model_id] + 1})
            path.unlink(missing_ok=True)
            self._shares(model_id).unlink(missing_ok=True)

    def models(self) -> list[str]:
        """Ids of the halves stored here."""
        return sorted(path.stem for path in self._folder.glob("m-*.sealed"))

    def _path(self, model_id: str) -> Path:
        if not _MODEL_ID.fullmatch(model_id):
            raise UsageError(f"expected a model id such as m-0123456789abcdef, got {model_id[:40]!r}")
        return self._folder / f"{model_id}.sealed"

    def _shares(self, model_id: str) -> Path:
        return self._path(model_id).with_suffix(".shares")

    def _body(self, model_id: str) -> bytes:
        path = self._path(model_id)
        with self._lock:
            if not path.exists():
                raise UsageError(f"this node holds no half of model {model_id}; train one, or check the id")
            data, least = self._opened(path, model_id), self._versions().get(model_id, 0)
        version = int.from_bytes(data[:VERSION_BYTES], "big")
        if version < least:  # a newer one than the index knows was written just before a crash or a backup
            raise TrustError(f"{path.name} is version {version} of this model, the node has written {least}: an older "
                             "copy was put back; restore the newest backup of the whole node")
        return data[VERSION_BYTES:]

    def _opened(self, path: Path, name: str) -> bytes:
        try:
            return self._box.open(name, path.read_bytes())
        except TrustError:
            raise TrustError(f"{path.name} does not open: it was changed, swapped with another file, or sealed by "
                             "another node; restore it from a backup") from None

    # -- the index

    def _versions(self) -> dict[str, int]:
        if not self._index.exists():
            raise TrustError(f"{INDEX} is missing beside the vault, so nothing tells an older copy of a model; restore "
                             "it from a backup")
        return json.loads(self._opened(self._index, INDEX))

    def _write(self, versions: dict[str, int]) -> None:
        replace_private(self._index, self._box.seal(INDEX, canonical_json(versions)))

    def _begin(self, identity: IdentityKey) -> None:
        """The first index; halves that an earlier version of the software signed are sealed."""
        if self.models():
            raise TrustError(f"there are models in the vault and {INDEX} is missing, so nothing tells an older copy of "
                             "one; restore it from a backup")
        older = {path: _signed(path, identity) for path in sorted(self._folder.glob("m-*.json"))}
        self._write({})
        for path, half in older.items():
            self.put(path.stem, half)
            path.unlink()


def _signed(path: Path, identity: IdentityKey) -> dict[str, Any]:
    """A half as earlier versions kept it; TrustError unless this node signed it."""
    try:
        entry = json.loads(path.read_bytes())
        half, signature = entry["half"], bytes.fromhex(entry["signature"])
    except (ValueError, KeyError, TypeError):
        raise TrustError(f"{path.name}: not a model half; restore it from a backup") from None
    verify(identity.public, CONTEXT, canonical_json(half), signature)
    return half
