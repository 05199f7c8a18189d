"""Identity and trust files of a node's home directory.

    HOME/identity/identity.key   PKCS8 PEM, mode 0600,     trust.json   {"bank": {"identity": "<64 hex raw public
    HOME/identity/identity.pub   PEM                                    key>", "fingerprint": "<64 hex>"}, …}
"""
from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from protocols.crypto.identity import IdentityKey, fingerprint, public_pem
from protocols.node import protection
from protocols.node.private_files import read_private_bytes, replace_private, sync_folder, write_private
from protocols.node.verifier.trust import load_trust  # whoever writes trust.json reads it from here

__all__ = ["load_identity", "load_trust", "read_private", "replace_private", "sync_folder", "trust_json",
           "write_identity", "write_private"]
KEY_FILE = Path("identity") / "identity.key"
PUBLIC_FILE = Path("identity") / "identity.pub"


def read_private(path: Path) -> bytes:
    """Read a secret file, opening it if it is a sealed key file; TrustError if it is missing, does not open, or other
    users can read it."""
    return protection.opened(path, read_private_bytes(path))


def write_identity(home: Path, key: IdentityKey) -> None:
    """Write both files of a new identity below `home`."""
    (home / "identity").mkdir(mode=0o700)
    write_private(home / KEY_FILE, key.to_pem())
    (home / PUBLIC_FILE).write_bytes(public_pem(key.public))


def load_identity(home: Path) -> IdentityKey:
    """The identity key of the node at `home`; TrustError if missing, malformed or open to other users."""
    return IdentityKey.from_pem(read_private(home / KEY_FILE))


def trust_json(identities: Mapping[str, bytes]) -> bytes:
    """`trust.json` for raw public keys by party name."""
    entries = {name: {"identity": public.hex(), "fingerprint": fingerprint(public)}
               for name, public in sorted(identities.items())}
    return (json.dumps(entries, indent=2) + "\n").encode()
