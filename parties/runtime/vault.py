"""Where a party keeps its half of each model: signed JSON, mode 0600, written whole or not at all.

A half whose weights stay shared has a second file, MODEL.shares, whose SHA-256 stands in the first.
"""
from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from protocols.crypto.identity import IdentityKey, verify
from protocols.errors import TrustError, UsageError
from protocols.node.identity_files import read_private, sync_folder, write_private
from protocols.plan import canonical_json

CONTEXT = b"sealscore model half v1"
_MODEL_ID = re.compile(r"m-[0-9a-f]{16}")


class Vault:
    """Model halves in `folder`, each signed by this node's identity so that a changed file is refused."""

    def __init__(self, folder: Path, identity: IdentityKey):
        self._folder, self._identity = folder, identity
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def put(self, model_id: str, half: dict[str, Any]) -> str:
        """Store a half; returns its SHA-256 (hex), which the model card carries."""
        body = canonical_json(half)
        entry = {"half": half, "signature": self._identity.sign(CONTEXT, body).hex()}
        self._write(self._path(model_id), canonical_json(entry))
        return hashlib.sha256(body).hexdigest()

    def _write(self, target: Path, data: bytes) -> None:
        temporary = target.with_name(target.name + ".part")
        temporary.unlink(missing_ok=True)
        write_private(temporary, data, durable=True)
        os.replace(temporary, target)
        sync_folder(self._folder)

    def get(self, model_id: str) -> dict[str, Any]:
        """A stored half; UsageError when there is none, TrustError when the file was changed."""
        path = self._path(model_id)
        if not path.exists():
            raise UsageError(f"this node holds no half of model {model_id}; train one, or check the id")
        try:
            entry = json.loads(path.read_bytes())
            half, signature = entry["half"], bytes.fromhex(entry["signature"])
        except (ValueError, KeyError, TypeError):
            raise TrustError(f"{path.name}: not a model half; restore it from a backup") from None
        verify(self._identity.public, CONTEXT, canonical_json(half), signature)
        return half

    def digest(self, model_id: str) -> str:
        """SHA-256 (hex) of a stored half."""
        return hashlib.sha256(canonical_json(self.get(model_id))).hexdigest()

    def keep_shares(self, model_id: str, data: bytes) -> str:
        """Store keys and shares beside a half whose weights stay shared; returns their SHA-256 (hex) for the half."""
        self._write(self._shares(model_id), data)
        return hashlib.sha256(data).hexdigest()

    def shares(self, model_id: str) -> bytes:
        """What `keep_shares` stored; TrustError when it is missing or not what the signed half names."""
        path, expected = self._shares(model_id), self.get(model_id).get("shares")
        data = read_private(path) if path.exists() else b""
        if hashlib.sha256(data).hexdigest() != expected:
            raise TrustError(f"{path.name}: not the keys and shares that this node's half of the model names; restore "
                             "both from one backup")
        return data

    def discard(self, model_id: str) -> None:
        """Remove a half that was not published."""
        self._path(model_id).unlink(missing_ok=True)
        self._shares(model_id).unlink(missing_ok=True)

    def models(self) -> list[str]:
        """Ids of the halves stored here."""
        return sorted(path.stem for path in self._folder.glob("m-*.json"))

    def _path(self, model_id: str) -> Path:
        if not _MODEL_ID.fullmatch(model_id):
            raise UsageError(f"expected a model id such as m-0123456789abcdef, got {model_id[:40]!r}")
        return self._folder / f"{model_id}.json"

    def _shares(self, model_id: str) -> Path:
        return self._path(model_id).with_suffix(".shares")
