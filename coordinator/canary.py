"""What the coordinator tries when it starts, and must fail at: to open something.

    modules      what can decrypt or belongs to a party is not loaded, and importing it is refused from now on
    files        below the coordinator's home lies nothing that only a party has: its secret keys, stores, vaults
    ciphertext   CANARY, sealed as parties seal what they put into the hub's slots, opens under nothing that the home
                 holds: no file, no key in a file, no key derived from the coordinator's identity

A start at which any of them succeeds is refused; the outcome is in the coordinator's audit log either way. The hub and
every ServerApp, processes of their own, try and record the first one again. It shows
that this coordinator, as installed and started, has no route from a ciphertext to a number. It does not show that
nobody changes the software afterwards, nor that CANARY's key was thrown away: what keeps a changed coordinator out is
that no party ever sends it a key (protocols/SECURITY.md).
"""
from __future__ import annotations

import hashlib
import importlib
import importlib.abc
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from coordinator.trail import Trail
from protocols.crypto.params import wire_tag
from protocols.errors import TrustError
from protocols.node import protection
from protocols.node.identity_files import KEY_FILE, load_identity

DECRYPTORS = ("tenseal", "protocols.crypto.keys", "protocols.crypto.product", "protocols.crypto.elementwise",
              "protocols.crypto.summed_product", "parties")
SLOT = b"canary"
CANARY = bytes.fromhex(
    "54930022291a2e9d9418a86d265b1af4cfa6bf6434515af1c67584f58545dbd519ed5fba9df52017e9d44432ce3ddfa9"
    "2f7de3a78586c34c98ae7ca455507f69b6315eeef24f209e613a"
)
"""A line of text under a random key that was never written down: ChaCha20-Poly1305 as in `FanReference`, nonce 0, SLOT
authenticated."""
_PARTY_FILES = ("run.db", "releases.db", "vault", "vault.index", "supernode.key")
_SECRET_KEYS = wire_tag("secret keys")
_MOST_BYTES, _KEY_BYTES = 4 * 1024 * 1024, 32
_NONCE = bytes(12)


@dataclass(frozen=True)
class Outcome:
    """What was tried, and every attempt that succeeded, as sentences."""

    modules_refused: tuple[str, ...]
    files_read: int
    secrets_tried: int
    succeeded: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """For the audit log."""
        return {"modules_refused": list(self.modules_refused), "files_read": self.files_read,
                "secrets_tried": self.secrets_tried, "ciphertext_sha256": hashlib.sha256(CANARY).hexdigest(),
                "succeeded": list(self.succeeded)}


class _Refusing(importlib.abc.MetaPathFinder):
    """Refuses to find what can decrypt."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if _can_decrypt(name):
            raise ImportError(f"{name} can decrypt or belongs to a party; the coordinator does not load it")
        return None


def refuse_decryptors() -> None:
    """From now on this process imports nothing that can decrypt; TrustError if it has already."""
    _refuse("the coordinator", _forbid())


def guard(process: str, home: Path, node: str) -> None:
    """As `refuse_decryptors` in a process beside the node's own (hub, ServerApp), recorded before it is refused."""
    routes = _forbid()
    outcome = {"process": process, "modules_refused": list(DECRYPTORS), "succeeded": routes}
    Trail(home, node).canary(outcome)
    _refuse(f"the coordinator's {process}", routes)


def _forbid() -> list[str]:
    """Refuse imports of what can decrypt from now on; what of it is there all the same."""
    if not any(isinstance(finder, _Refusing) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Refusing())
    return _module_routes()


def _refuse(who: str, routes: list[str]) -> None:
    if routes:
        raise TrustError(f"{who} does not start: {routes[0]}; install the released distribution")


def sing(home: Path, node: str) -> Outcome:
    """Try everything and record it; TrustError, when that is recorded, if anything succeeded."""
    refuse_decryptors()
    outcome = examine(home)
    Trail(home, node).canary(outcome.to_json())
    if outcome.succeeded:
        raise TrustError(f"the coordinator does not start: {outcome.succeeded[0]}; it must hold nothing that opens "
                         "anything of a party")
    return outcome


def examine(home: Path) -> Outcome:
    """Try everything, change nothing."""
    files = [path for path in sorted(home.rglob("*")) if path.is_file() and not path.is_symlink()]
    secrets = {secret for path in files for secret in _secrets_in(home, path)} | set(_derived(home))
    opened = [f"{what} below {home.name}" for what in _party_files(home, files)]
    if any(_opens(secret) for secret in secrets):
        opened.append("a secret below its home opens the canary")
    return Outcome(DECRYPTORS, len(files), len(secrets), (*_module_routes(), *opened))


def _can_decrypt(name: str) -> bool:
    return any(name == module or name.startswith(module + ".") for module in DECRYPTORS)


def _module_routes() -> list[str]:
    """Modules that are loaded, or that can be."""
    loaded = [f"{name} is loaded" for name in sorted(sys.modules) if _can_decrypt(name)]
    return loaded or [f"{name} can be imported" for name in DECRYPTORS if _imports(name)]


def _imports(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def _party_files(home: Path, files: Iterable[Path]) -> Iterator[str]:
    for path in files:
        inside = path.relative_to(home).parts
        if set(inside) & set(_PARTY_FILES):
            yield f"a party's {path.name}"
        elif _SECRET_KEYS in _content(path):
            yield f"secret keys in {path.name}"


def _content(path: Path) -> bytes:
    """The beginning of a file."""
    with path.open("rb") as file:
        return file.read(_MOST_BYTES)


def _secrets_in(home: Path, path: Path) -> Iterator[bytes]:
    """Keys of 32 bytes that a file is, holds in PEM, or can be hashed to."""
    data = _content(path)
    data = protection.opened(path, data) if path.relative_to(home) in protection.KEY_FILES else data
    yield hashlib.sha256(data).digest()
    if len(data) == _KEY_BYTES:
        yield data
    if b"PRIVATE KEY" in data:
        yield from _raw_key(data)


def _raw_key(pem: bytes) -> Iterator[bytes]:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return
    if isinstance(key, Ed25519PrivateKey):
        yield key.private_bytes_raw()
    elif isinstance(key, EllipticCurvePrivateKey):
        yield key.private_numbers().private_value.to_bytes(-(-key.key_size // 8), "big")[-_KEY_BYTES:]


def _derived(home: Path) -> Iterator[bytes]:
    """What the coordinator's own identity would give as keys at rest."""
    if (home / KEY_FILE).exists():
        identity = load_identity(home)
        yield from (identity.derived(purpose) for purpose in (b"vault", b"releases", b"scores", SLOT))


def _opens(secret: bytes) -> bool:
    try:
        ChaCha20Poly1305(secret).decrypt(_NONCE, CANARY, SLOT)
    except InvalidTag:
        return False
    return True
