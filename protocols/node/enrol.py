"""Joining a federation: the request a node makes and the bundle it gets back. Public parts only, both JSON.

    request   name, role, TLS signing request, SuperNode public key, all signed by the identity key that is in it
    bundle    node certificate, authority's certificate, coordinator's addresses, the other parties' identities

A request proves that one holder has the identity key and the TLS key; *whose* they are, only a telephone call tells:
both sides read the same fingerprints. Nothing here can hold a private key: the formats name every field.
"""
from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import Field, StringConstraints, ValidationError

from protocols.crypto.identity import IdentityKey, fingerprint, grouped, verify
from protocols.errors import TrustError
from protocols.node.tls import URI_PREFIX
from protocols.plan import Name, canonical_json
from protocols.strict import Strict, first_problem

CONTEXT, SUPERNODE_CONTEXT = b"sealscore join request v1", b"sealscore supernode key v1"
COORDINATOR = "coordinator"
RESERVED = ("ca", "hub")
MAX_FILE_BYTES = 256 * 1024
Role = Literal["bank", "platform", "coordinator"]
Hex32 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Pem = Annotated[str, StringConstraints(min_length=1, max_length=16_384)]
OpenSsh = Annotated[str, StringConstraints(pattern=r"^ecdsa-sha2-nistp384 [A-Za-z0-9+/=]{16,512}$")]
Address = Annotated[str, StringConstraints(pattern=r"^[^\s/\"\\]+:[0-9]{1,5}$", max_length=300)]


class JoinRequest(Strict):
    """What a node sends to the authority, and the coordinator takes its keys from. `decode` checks all of it."""

    format: Literal["sealscore join request 1"] = "sealscore join request 1"
    name: Name
    role: Role
    made_at: Annotated[str, StringConstraints(pattern=r"^[0-9T:+.Z-]{10,40}$")]
    identity: Hex32
    csr: Pem
    supernode: OpenSsh | None = Field(None, description="OpenSSH form without comment; none at the coordinator")
    signature: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]

    @classmethod
    def sign(cls, identity: IdentityKey, name: str, role: str, csr: bytes, supernode: str | None) -> Self:
        """A request signed by the node's identity."""
        facts = {"format": "sealscore join request 1", "name": name, "role": role, "made_at": _now(),
                 "identity": identity.public.hex(), "csr": csr.decode(), "supernode": supernode}
        return cls(**facts, signature=identity.sign(CONTEXT, canonical_json(facts)).hex())

    @classmethod
    def decode(cls, data: bytes, source: str) -> Self:
        """Read a request file; TrustError says which part does not hold."""
        made = _decode(cls, data, source)
        facts = made.model_dump(mode="json", exclude={"signature"})
        verify(bytes.fromhex(made.identity), CONTEXT, canonical_json(facts), bytes.fromhex(made.signature))
        made._check(source)
        return made

    def _check(self, source: str) -> None:
        if self.name in RESERVED or (self.name == COORDINATOR) != (self.role == COORDINATOR):
            raise TrustError(f"{source}: the name {self.name} is not for a {self.role}; choose another name")
        if (self.supernode is None) != (self.role == COORDINATOR):
            raise TrustError(f"{source}: a party's request has a SuperNode key and the coordinator's has none")
        if self.supernode is not None:
            supernode_key(self.supernode)
        request = self.signing_request(source)
        if _node_names(request, source) != [self.name]:
            raise TrustError(f"{source}: its TLS signing request is not for {self.name}; make the request again")

    def signing_request(self, source: str = "the request") -> x509.CertificateSigningRequest:
        """The TLS signing request, its own signature checked: an EC P-256 key."""
        try:
            request = x509.load_pem_x509_csr(self.csr.encode())
            key, holds = request.public_key(), request.is_signature_valid
        except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
            raise TrustError(f"{source}: its TLS signing request cannot be read; make the request again") from None
        if not holds or not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
            raise TrustError(f"{source}: expected a TLS signing request signed by its own EC P-256 key")
        return request

    def encode(self) -> bytes:
        """The request file."""
        return _encode(self)

    def fingerprints(self) -> dict[str, str]:
        """What is compared by telephone: SHA-256 as 64 hex digits, by what it is of."""
        found = {"identity": fingerprint(bytes.fromhex(self.identity)),
                 "TLS key": key_digest(self.signing_request().public_key())}
        return found | ({"SuperNode key": text_digest(self.supernode)} if self.supernode else {})


class Peer(Strict):
    """Another node of the federation as the coordinator knows it: to be confirmed by telephone before it is pinned."""

    name: Name
    role: Role
    identity: Hex32
    fingerprint: Hex32


class Addresses(Strict):
    """Where the coordinator is reached, HOST:PORT."""

    front: Address
    hub: Address


class JoinBundle(Strict):
    """What the authority gives back: public parts only."""

    format: Literal["sealscore join bundle 1"] = "sealscore join bundle 1"
    name: Name
    role: Role
    identity: Hex32
    certificate: Pem
    authority: Pem
    supernode: OpenSsh | None = None
    coordinator: Addresses
    peers: tuple[Peer, ...] = ()

    @classmethod
    def decode(cls, data: bytes, source: str) -> Self:
        """Read a bundle file; TrustError if it is malformed or a fingerprint does not fit its identity."""
        made = _decode(cls, data, source)
        for peer in made.peers:
            if fingerprint(bytes.fromhex(peer.identity)) != peer.fingerprint:
                raise TrustError(f"{source}: the fingerprint of {peer.name} is not that of its identity; ask for a "
                                 "new bundle")
        return made

    def encode(self) -> bytes:
        """The bundle file."""
        return _encode(self)

    def certificates(self, source: str) -> tuple[x509.Certificate, x509.Certificate]:
        """(node's, authority's), the first signed by the second and for this name; TrustError otherwise."""
        try:
            node, ca = (x509.load_pem_x509_certificate(pem.encode()) for pem in (self.certificate, self.authority))
            node.verify_directly_issued_by(ca)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.InvalidVersion):
            raise TrustError(f"{source}: its certificate is not signed by its authority; ask for a new one") from None
        if _node_names(node, source) != [self.name]:
            raise TrustError(f"{source}: its certificate is not for {self.name}; ask for a new bundle")
        return node, ca


def signing_request(key: ec.EllipticCurvePrivateKey, name: str, hosts: list[x509.GeneralName]) -> bytes:
    """A PEM signing request for a node's certificate, with the hosts it would like to be reached by."""
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Sealscore"),
                         x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names = x509.SubjectAlternativeName([*hosts, x509.UniformResourceIdentifier(URI_PREFIX + name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject).add_extension(names, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def names_of(extensions: x509.Extensions) -> tuple[list[str], list[x509.GeneralName]]:
    """(node names, DNS names and addresses) of a certificate or signing request."""
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return [], []
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    hosts = [entry for entry in names if isinstance(entry, x509.DNSName | x509.IPAddress)]
    return [uri.removeprefix(URI_PREFIX) for uri in uris if uri.startswith(URI_PREFIX)], hosts


def _node_names(made: x509.CertificateSigningRequest | x509.Certificate, source: str) -> list[str]:
    """Node names in it; TrustError when its extensions cannot be read."""
    try:
        return names_of(made.extensions)[0]
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise TrustError(f"{source}: its list of names cannot be read; make it again") from None


def supernode_key(text: str) -> ec.EllipticCurvePublicKey:
    """A SuperNode's public key from its OpenSSH form; TrustError unless it is EC P-384."""
    try:
        key = serialization.load_ssh_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp384r1":
        raise TrustError("expected a SuperNode key of type EC P-384; make the request again")
    return key


def sign_supernode(identity: IdentityKey, name: str, text: str) -> bytes:
    """What stands beside a SuperNode's public key: the identity's signature over it, 128 hex digits and a newline."""
    return identity.sign(SUPERNODE_CONTEXT, _supernode_facts(name, text)).hex().encode() + b"\n"


def check_supernode(identity: bytes, name: str, text: str, signature: bytes) -> None:
    """TrustError unless `identity` (raw) signed this SuperNode key for `name`."""
    try:
        made = bytes.fromhex(signature.decode("ascii").strip())
    except ValueError:
        made = b""
    verify(identity, SUPERNODE_CONTEXT, _supernode_facts(name, text), made)


def _supernode_facts(name: str, text: str) -> bytes:
    return canonical_json({"name": name, "supernode": text_digest(text)})


def openssh(key: ec.EllipticCurvePublicKey) -> str:
    """A public key in OpenSSH's form without comment."""
    return key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()


def key_digest(key: Any) -> str:
    """SHA-256 of a public key's SubjectPublicKeyInfo, hex."""
    return hashlib.sha256(key.public_bytes(serialization.Encoding.DER,
                                           serialization.PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def text_digest(text: str) -> str:
    """SHA-256 of a SuperNode key's OpenSSH form without comment, hex."""
    return hashlib.sha256(" ".join(text.split()[:2]).encode()).hexdigest()


def telephone_lines(digests: dict[str, str]) -> list[str]:
    """Fingerprints in groups of four, two lines each, to be read aloud."""
    return [f"  {label:<16} {grouped(half)}" for what, digest in digests.items()
            for label, half in ((what, digest[:32]), ("", digest[32:]))]


def _encode(model: Strict) -> bytes:
    return (json.dumps(model.model_dump(mode="json"), indent=2) + "\n").encode()


def _decode(kind: Any, data: bytes, source: str) -> Any:
    wanted = kind.model_fields["format"].default
    try:
        if len(data) > MAX_FILE_BYTES:
            raise ValueError("too long")
        value = json.loads(data)
        if not isinstance(value, dict) or value.get("format") != wanted:
            raise ValueError("another format")
        return kind.model_validate(value)
    except ValidationError as error:
        raise TrustError(f"{source}: {first_problem(error)}; make it again") from None
    except (ValueError, RecursionError):
        raise TrustError(f"{source} is not a {wanted.removesuffix(' 1')}; give the file that "
                         f"`sealscore certs {'request' if 'request' in wanted else 'sign'}` wrote") from None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
