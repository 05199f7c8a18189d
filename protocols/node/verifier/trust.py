"""trust.json: the identities that whoever verifies has confirmed himself, outside the evidence.

    {"bank": {"identity": "<64 hex raw public key>", "fingerprint": "<64 hex>"}, …}
"""
from __future__ import annotations

import json
import re
from pathlib import Path

from protocols.crypto.identity import fingerprint, public_from_hex
from protocols.errors import TrustError

_PARTY = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")


def load_trust(path: Path) -> dict[str, bytes]:
    """Raw public keys by party name; TrustError if the file is malformed or a fingerprint does not fit its key."""
    try:
        entries = json.loads(path.read_bytes())
    except OSError as error:
        raise TrustError(f"cannot read {path} ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise TrustError(f"{path} is not JSON; copy trust.json again from where the federation was made") from None
    if not isinstance(entries, dict) or not entries:
        raise TrustError(f"{path} holds no identities; expected an object of party names")
    return {name: _trusted(path, name, entry) for name, entry in entries.items()}


def _trusted(path: Path, name: str, entry: object) -> bytes:
    if not _PARTY.match(name):
        raise TrustError(f"{path}: a party name has 1 to 32 of a-z, 0-9 and '-', and starts with a letter")
    if not isinstance(entry, dict) or set(entry) != {"identity", "fingerprint"}:
        raise TrustError(f"{path}: party {name} needs exactly identity and fingerprint")
    public = public_from_hex(str(entry["identity"]))
    if fingerprint(public) != entry["fingerprint"]:
        raise TrustError(f"{path}: the fingerprint of {name} is not that of its identity; confirm it by telephone")
    return public
