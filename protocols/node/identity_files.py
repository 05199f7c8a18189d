"""Identity and trust files of a node's home directory.

    HOME/identity/identity.key   PKCS8 PEM, mode 0600,     trust.json   {"bank": {"identity": "<64 hex raw public
    HOME/identity/identity.pub   PEM                                    key>", "fingerprint": "<64 hex>"}, …}
"""
from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from protocols.crypto.identity import IdentityKey, fingerprint, public_from_hex, public_pem
from protocols.errors import TrustError
from protocols.node import protection
from protocols.node.private_files import read_private_bytes, replace_private, sync_folder, write_private

__all__ = ["load_identity", "load_trust", "read_private", "replace_private", "sync_folder", "trust_json",
           "write_identity", "write_private"]
KEY_FILE = Path("identity") / "identity.key"
PUBLIC_FILE = Path("identity") / "identity.pub"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")


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


def load_trust(path: Path) -> dict[str, bytes]:
    """Raw public keys by party name; TrustError if the file is malformed or a fingerprint does not fit its key."""
    try:
        entries = json.loads(path.read_bytes())
    except OSError as error:
        raise TrustError(f"cannot read {path} ({error.strerror})") from None
    except ValueError:
        raise TrustError(f"{path} is not JSON; copy trust.json again from where the federation was made") from None
    if not isinstance(entries, dict) or not entries:
        raise TrustError(f"{path} holds no identities; expected an object of party names")
    return {name: _trusted(path, name, entry) for name, entry in entries.items()}


def _trusted(path: Path, name: str, entry: object) -> bytes:
    if not _NAME.match(name):
        raise TrustError(f"{path}: a party name has 1 to 32 of a-z, 0-9 and '-', and starts with a letter")
    if not isinstance(entry, dict) or set(entry) != {"identity", "fingerprint"}:
        raise TrustError(f"{path}: party {name} needs exactly identity and fingerprint")
    public = public_from_hex(str(entry["identity"]))
    if fingerprint(public) != entry["fingerprint"]:
        raise TrustError(f"{path}: the fingerprint of {name} is not that of its identity; confirm it by telephone")
    return public
