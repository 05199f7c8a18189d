"""Identity and trust files of a node's home directory.

    HOME/identity/identity.key   PKCS8 PEM, mode 0600      trust.json   {"bank": {"identity": "<64 hex raw public
    HOME/identity/identity.pub   PEM                                    key>", "fingerprint": "<64 hex>"}, …}
"""
from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from protocols.crypto.identity import IdentityKey, fingerprint, public_pem
from protocols.errors import TrustError
from protocols.node.verifier.trust import load_trust as load_trust  # whoever writes trust.json reads it from here

KEY_FILE = Path("identity") / "identity.key"
PUBLIC_FILE = Path("identity") / "identity.pub"


def write_private(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Create `path` with mode 0600 and write `data`, if `durable` through to the disk; FileExistsError if it exists."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_private(path: Path) -> bytes:
    """Read a secret file; TrustError if it is missing or other users can read it."""
    try:
        mode = path.stat().st_mode & 0o777
        data = path.read_bytes()
    except OSError as error:
        raise TrustError(f"cannot read {path} ({error.strerror}); make it with `sealscore certs init`") from None
    if mode & 0o077:
        raise TrustError(f"{path} has mode {mode:04o}, expected 0600; run: chmod 600 {path}")
    return data


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
