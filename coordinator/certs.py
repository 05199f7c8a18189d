"""A trial federation's keys and certificates: one authority, one home directory per node.

The authority only lets nodes reach each other over TLS. Sealing, agreements and evidence rest on the identity keys
in `trust.json`, whose fingerprints the parties confirm with each other and pin.
"""
from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from protocols.crypto.identity import IdentityKey
from protocols.errors import TrustError, UsageError
from protocols.node.enrol import openssh, sign_supernode
from protocols.node.identity_files import load_identity, read_private, trust_json, write_identity, write_private
from protocols.node.tls import check_dates

COORDINATOR = "coordinator"
ROLES = ("bank", "platform")
_RESERVED = ("ca", "hub")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")
_BACKDATED = dt.timedelta(hours=1)  # clocks of the nodes differ


@dataclass(frozen=True)
class PartySpec:
    """A party of the federation: its name and what it is (`bank` holds labels, `platform` holds features)."""

    name: str
    role: str

    @classmethod
    def parse(cls, text: str) -> PartySpec:
        """Read NAME:ROLE (or a NAME that is itself a role); UsageError says what is wrong."""
        name, _, role = text.partition(":")
        role = role or name
        if not _NAME.match(name) or name in _RESERVED or name == COORDINATOR:
            raise UsageError(f"party {name!r}: expected a-z, 0-9 and '-' starting with a letter, at most 32, and "
                             f"none of {', '.join((COORDINATOR, *_RESERVED))}")
        if role not in ROLES:
            raise UsageError(f"party {name}: expected a role out of {', '.join(ROLES)}, got {role!r}")
        return cls(name, role)


@dataclass(frozen=True)
class Validity:
    """When certificates hold."""

    not_before: dt.datetime
    not_after: dt.datetime

    @classmethod
    def of_days(cls, days: int) -> Validity:
        """From an hour ago (clocks differ) for `days` days."""
        now = dt.datetime.now(dt.UTC)
        return cls(now - _BACKDATED, now + dt.timedelta(days=days))


class Authority:
    """A certificate authority with an EC P-256 key."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate):
        self._key, self.certificate = key, certificate

    @classmethod
    def generate(cls, validity: Validity) -> Authority:
        """A new authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        return cls(key, _self_signed(key, _subject("Sealscore trial authority"), validity))

    @classmethod
    def load(cls, directory: Path) -> Authority:
        """The authority in DIR/ca.key and DIR/ca.crt; TrustError if it is missing, malformed, expired or no pair."""
        path = directory / "ca.crt"
        try:
            key = serialization.load_pem_private_key(read_private(directory / "ca.key"), password=None)
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
        except OSError as error:
            raise TrustError(f"cannot read {path} ({error.strerror}); give the folder of ca.key with --ca") from None
        except (ValueError, TypeError):
            raise TrustError(f"{directory} holds no authority in PEM; give the folder of ca.key with --ca") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise TrustError(f"{directory / 'ca.key'} is not the key of {path}; restore both from one backup")
        check_dates(certificate, str(path))
        return cls(key, certificate)

    def renewed(self, validity: Validity) -> Authority:
        """The same key and name with a new certificate: what the older one certified holds under both."""
        return Authority(self._key, _self_signed(self._key, self.certificate.subject, validity))

    def key_pem(self) -> bytes:
        """The authority's private key: for a file of mode 0600."""
        return _private_pem(self._key)

    def certificate_pem(self) -> bytes:
        """What every node trusts for TLS."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str, validity: Validity, hosts: Sequence[str] = ()) -> tuple[bytes, bytes]:
        """A node certificate (server and client) and its key, both PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        return self.certify(name, key.public_key(), validity, [_host(host) for host in hosts]), _private_pem(key)

    def certify(self, name: str, public: ec.EllipticCurvePublicKey, validity: Validity,
                hosts: Sequence[x509.GeneralName] = ()) -> bytes:
        """The PEM certificate of a node for its public key; it never outlives the authority's own."""
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        validity = Validity(validity.not_before, min(validity.not_after, self.certificate.not_valid_after_utc))
        certificate = (
            _builder(_subject(name), self.certificate.subject, public, validity)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName(_alternative_names(name, hosts)), critical=False)
            .add_extension(issuer_id, critical=False)
            .sign(self._key, hashes.SHA256()))
        return certificate.public_bytes(serialization.Encoding.PEM)


def init_federation(directory: Path, parties: Sequence[PartySpec], days: int,
                    hosts: Sequence[str] = ()) -> dict[str, bytes]:
    """Write the homes of the coordinator and `parties` below `directory`; the identities by node name.

    `hosts` are names and addresses by which parties reach the coordinator, beside localhost. The directory appears
    complete or not at all; UsageError if it is there and not empty.
    """
    if len({p.name for p in parties}) != len(parties):
        raise UsageError("a party is named twice")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UsageError(f"{directory} is there and not empty; keys are never overwritten: choose another directory")
    directory.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        identities = _write_federation(draft, parties, Validity.of_days(days), hosts)
        os.replace(draft, directory)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return identities


def _write_federation(root: Path, parties: Sequence[PartySpec], validity: Validity,
                      hosts: Sequence[str]) -> dict[str, bytes]:
    authority = Authority.generate(validity)
    (root / "ca").mkdir(mode=0o700)
    write_private(root / "ca" / "ca.key", authority.key_pem())
    (root / "ca" / "ca.crt").write_bytes(authority.certificate_pem())
    identities = {COORDINATOR: write_node(root / COORDINATOR, COORDINATOR, authority, validity, hosts)}
    for party in parties:
        identities[party.name] = write_node(root / party.name, party.name, authority, validity)
        _write_supernode_key(root / party.name, party.name)
    (root / "trust.json").write_bytes(trust_json(identities))
    return identities


def write_node(home: Path, name: str, authority: Authority, validity: Validity, hosts: Sequence[str] = ()) -> bytes:
    """Make a node's home with its TLS files and identity; the raw identity."""
    home.mkdir(mode=0o700)
    tls = home / "tls"
    tls.mkdir(mode=0o700)
    certificate, key = authority.issue(name, validity, hosts)
    (tls / "ca.crt").write_bytes(authority.certificate_pem())
    (tls / "node.crt").write_bytes(certificate)
    write_private(tls / "node.key", key)
    identity = IdentityKey.generate()
    write_identity(home, identity)
    return identity.public


def _write_supernode_key(home: Path, name: str) -> None:
    """Flower wants an EC P-384 key pair in OpenSSH's formats; the node's identity signs the public one."""
    directory = home / "flower"
    directory.mkdir(mode=0o700)
    key = ec.generate_private_key(ec.SECP384R1())
    write_private(directory / "supernode.key", key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()))
    public = openssh(key.public_key())
    (directory / "supernode.pub").write_text(f"{public} {name}\n", encoding="ascii")
    (directory / "supernode.sig").write_bytes(sign_supernode(load_identity(home), name, public))


def _builder(subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey,
             validity: Validity) -> x509.CertificateBuilder:
    return (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(validity.not_before).not_valid_after(validity.not_after))


def _self_signed(key: ec.EllipticCurvePrivateKey, name: x509.Name, validity: Validity) -> x509.Certificate:
    return (_builder(name, name, key.public_key(), validity)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256()))


def _alternative_names(name: str, hosts: Sequence[x509.GeneralName]) -> list[x509.GeneralName]:
    loopback = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    more = [host for host in hosts if host not in loopback]
    return [*loopback, *more, x509.UniformResourceIdentifier(f"sealscore://{name}")]


def _host(host: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):  # not an address: a name, then
        return x509.IPAddress(ipaddress.ip_address(host))
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", host):
        raise UsageError(f"host {host!r}: expected a DNS name or an IP address")
    return x509.DNSName(host)


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(digital_signature=not authority, key_cert_sign=authority, crl_sign=authority,
                         content_commitment=False, key_encipherment=False, data_encipherment=False,
                         key_agreement=False, encipher_only=False, decipher_only=False)


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Sealscore"),
                      x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())
