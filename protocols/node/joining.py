"""The joining node's side: it makes its private keys where they stay, and installs the bundle it gets back.

A renewal keeps the identity. New keys wait as `next.key` beside the old ones, so that the node keeps running on the
old ones; `install` puts certificate and key in place together.
"""
from __future__ import annotations

import os
import shutil
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from protocols.crypto.identity import IdentityKey
from protocols.errors import TrustError, UsageError
from protocols.node import starters
from protocols.node.enrol import (
    COORDINATOR,
    JoinBundle,
    JoinRequest,
    key_digest,
    names_of,
    openssh,
    sign_supernode,
    signing_request,
)
from protocols.node.identity_files import load_identity, read_private, write_identity
from protocols.node.protection import write_key
from protocols.node.tls import NodeTls, check_dates

REQUEST, BUNDLE = "request.json", "bundle.json"
TLS_KEY, TLS_NEXT = Path("tls/node.key"), Path("tls/next.key")
SUPERNODE_KEY, SUPERNODE_NEXT = Path("flower/supernode.key"), Path("flower/next.key")
_FOLDERS = ("flower", "tls", "identity")


@dataclass(frozen=True)
class Installed:
    """What `install` changed."""

    files: tuple[str, ...]
    starters: tuple[str, ...]
    restart: bool


def request_new(home: Path, name: str, role: str) -> JoinRequest:
    """Make a new node's keys below `home` and its request file; UsageError if there are keys already."""
    there = [folder for folder in _FOLDERS if (home / folder).exists()]
    if there:
        raise UsageError(f"{home / there[0]} is there already and keys are never overwritten; use --renew or "
                         "--rotate-supernode for this node, or another home for a new one")
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".join-", dir=home))
    try:
        request = _keys(draft, name, role)
        for folder in _FOLDERS:
            if (draft / folder).exists():
                os.rename(draft / folder, home / folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return request


def _keys(draft: Path, name: str, role: str) -> JoinRequest:
    identity, key = IdentityKey.generate(), ec.generate_private_key(ec.SECP256R1())
    write_identity(draft, identity)
    (draft / "tls").mkdir(mode=0o700)
    write_key(draft / TLS_KEY, _pkcs8(key))
    supernode = None
    if role != COORDINATOR:
        (draft / "flower").mkdir(mode=0o700)
        supernode = _new_supernode(draft / SUPERNODE_KEY)
        _write_public(draft / "flower", identity, name, supernode)
    return JoinRequest.sign(identity, name, role, signing_request(key, name, []), supernode)


def request_again(home: Path, role: str | None, *, renew: bool, rotate: bool) -> JoinRequest:
    """A request of a node that has an identity: with `renew` for a new TLS key, with `rotate` a new SuperNode key."""
    identity = load_identity(home)
    name, role, hosts = _known(home, role)
    if rotate and role == COORDINATOR:
        raise UsageError("the coordinator has no SuperNode key; use --renew")
    key = ec.generate_private_key(ec.SECP256R1()) if renew else _load_key(home / TLS_KEY)
    if renew:
        _replace_private(home / TLS_NEXT, _pkcs8(key))
    supernode = None if role == COORDINATOR else _supernode(home, rotate)
    return JoinRequest.sign(identity, name, role, signing_request(key, name, hosts), supernode)


def write_request(home: Path, request: JoinRequest) -> Path:
    """Write the request file of a node, over an older one."""
    return replace_file(home / REQUEST, request.encode())


def install(home: Path, bundle: JoinBundle, source: str, *, new_authority: bool = False) -> Installed:
    """Put a bundle's certificates in place; TrustError, and nothing is changed, unless it belongs to this home.

    An authority with another key than the installed one is refused without `new_authority`.
    """
    certificate, ca = bundle.certificates(source)
    _check_belongs(home, bundle, source)
    for label, held in ((f"{source}: certificate", certificate), (f"{source}: authority", ca)):
        check_dates(held, label)
    _check_authority(home, ca, source, new_authority)
    tls_key = _key_of(home, certificate, source)
    supernode_key = _supernode_of(home, bundle, source)
    if tls_key == TLS_NEXT:
        os.replace(home / TLS_NEXT, home / TLS_KEY)
    files = [str(replace_file(home / "tls" / name, pem.encode()).relative_to(home))
             for name, pem in (("node.crt", bundle.certificate), ("ca.crt", bundle.authority))]
    if supernode_key == SUPERNODE_NEXT:
        os.replace(home / SUPERNODE_NEXT, home / SUPERNODE_KEY)
        _write_public(home / "flower", load_identity(home), bundle.name, str(bundle.supernode))
        files.append(str(SUPERNODE_KEY))
    replace_file(home / BUNDLE, bundle.encode())
    return Installed(tuple(files), starters.write(home, bundle), (home / "state" / "ready.json").exists())


def public_of_supernode(path: Path) -> ec.EllipticCurvePublicKey:
    """The public half of a SuperNode's private key file; TrustError if it is none."""
    return _load_ssh(path).public_key()


def replace_file(path: Path, data: bytes) -> Path:
    """Write a public file whole, over an older one."""
    draft = path.with_name(path.name + ".new")
    draft.write_bytes(data)
    os.replace(draft, path)
    return path


def _check_belongs(home: Path, bundle: JoinBundle, source: str) -> None:
    if load_identity(home).public.hex() != bundle.identity:
        raise TrustError(f"{source} was made for another identity than that in {home}; install it at the node that "
                         "made the request")
    asked = _last_request(home)
    if asked is not None and (asked.name, asked.role) != (bundle.name, bundle.role):
        raise TrustError(f"{source} is for {bundle.role} {bundle.name}, this home asked as {asked.role} {asked.name}")


def _check_authority(home: Path, ca: x509.Certificate, source: str, new_authority: bool) -> None:
    path = home / "tls" / "ca.crt"
    if not path.exists() or new_authority:
        return
    held = x509.load_pem_x509_certificate(path.read_bytes())
    if key_digest(held.public_key()) != key_digest(ca.public_key()):
        raise TrustError(f"{source} comes from another authority than {path}; if the federation changed it, compare "
                         "its fingerprint by telephone and add --new-authority")


def _key_of(home: Path, certificate: x509.Certificate, source: str) -> Path:
    wanted = key_digest(certificate.public_key())
    for path in (TLS_NEXT, TLS_KEY):
        if (home / path).exists() and key_digest(_load_key(home / path).public_key()) == wanted:
            return path
    raise TrustError(f"{source} certifies a TLS key that is not in {home / 'tls'}; the request was made again since: "
                     "have the newest request.json signed")


def _supernode_of(home: Path, bundle: JoinBundle, source: str) -> Path | None:
    if bundle.role == COORDINATOR:
        return None
    for path in (SUPERNODE_NEXT, SUPERNODE_KEY):
        if (home / path).exists() and openssh(_load_ssh(home / path).public_key()) == bundle.supernode:
            return path
    raise TrustError(f"{source} names a SuperNode key that is not in {home / 'flower'}; have the newest request.json "
                     "signed")


def _known(home: Path, role: str | None) -> tuple[str, str, list[x509.GeneralName]]:
    """(name, role, hosts) of a node that has a certificate or has asked for one."""
    asked = _last_request(home)
    if asked is not None:
        name, role = asked.name, asked.role
    else:
        name = NodeTls.load(home).name
        role = COORDINATOR if name == COORDINATOR else role or _configured_role(home)
    path = home / "tls" / "node.crt"
    hosts = names_of(x509.load_pem_x509_certificate(path.read_bytes()).extensions)[1] if path.exists() else []
    return name, role, hosts if role == COORDINATOR else []


def _configured_role(home: Path) -> str:
    for role in ("bank", "platform"):
        for path in sorted(home.glob("*.toml")):
            try:
                node = tomllib.loads(path.read_text(encoding="utf-8")).get("node", {})
            except (OSError, ValueError):
                continue
            if isinstance(node, dict) and node.get("role") == role:
                return role
    raise UsageError(f"no TOML file in {home} says whether this is a bank or a platform; add --role")


def _last_request(home: Path) -> JoinRequest | None:
    path = home / REQUEST
    return JoinRequest.decode(path.read_bytes(), str(path)) if path.exists() else None


def _supernode(home: Path, rotate: bool) -> str:
    if not rotate:
        return openssh(_load_ssh(home / SUPERNODE_KEY).public_key())
    (home / SUPERNODE_NEXT).unlink(missing_ok=True)
    return _new_supernode(home / SUPERNODE_NEXT)


def _new_supernode(path: Path) -> str:
    """Flower wants an EC P-384 key pair in OpenSSH's formats."""
    key = ec.generate_private_key(ec.SECP384R1())
    write_key(path, key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH,
                                      serialization.NoEncryption()))
    return openssh(key.public_key())


def _write_public(folder: Path, identity: IdentityKey, name: str, supernode: str) -> None:
    replace_file(folder / "supernode.sig", sign_supernode(identity, name, supernode))
    replace_file(folder / "supernode.pub", f"{supernode} {name}\n".encode())


def _replace_private(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    write_key(path, data)


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        return serialization.load_pem_private_key(read_private(path), password=None)
    except (ValueError, TypeError):
        raise TrustError(f"{path} is not an unencrypted PEM key; restore it from a backup") from None


def _load_ssh(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        return serialization.load_ssh_private_key(read_private(path), password=None)
    except (ValueError, TypeError):
        raise TrustError(f"{path} is not a SuperNode key in OpenSSH's form; restore it from a backup") from None


def _pkcs8(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())
