"""The authority's answer to a join request: it knows who is in the federation, and signs for nobody else's name."""
from __future__ import annotations

from coordinator.certs import Authority, Validity
from coordinator.config import CoordinatorConfig
from protocols.crypto.identity import fingerprint
from protocols.errors import ConfigError, TrustError
from protocols.node.enrol import COORDINATOR, Addresses, JoinBundle, JoinRequest, Peer, names_of
from protocols.node.identity_files import load_identity
from protocols.node.tls import split_address

_EVERYWHERE = ("0.0.0.0", "::", "*")


def dialled(config: CoordinatorConfig, front: str | None, hub: str | None) -> Addresses:
    """Where parties reach the coordinator: what is given, else where it listens; ConfigError for 0.0.0.0 and such."""
    found = {"front": front or config.listen.front, "hub": hub or config.listen.hub}
    for name, address in found.items():
        if split_address(address)[0] in _EVERYWHERE:
            raise ConfigError(f"the coordinator listens on {address}, which nobody can dial; give --{name} HOST:PORT")
    return Addresses(**found)


def join_bundle(request: JoinRequest, authority: Authority, config: CoordinatorConfig, validity: Validity,
                coordinator: Addresses) -> JoinBundle:
    """A checked request's bundle; TrustError if its name or identity belongs to another node."""
    own = load_identity(config.home).public
    known = {name: (party.role, party.identity) for name, party in config.parties.items()}
    known[config.node.name] = (COORDINATOR, own.hex())
    _check_stranger(request, known)
    csr = request.signing_request()
    hosts = names_of(csr.extensions)[1] if request.role == COORDINATOR else []
    certificate = authority.certify(request.name, csr.public_key(), validity, hosts)
    return JoinBundle(
        name=request.name, role=request.role, identity=request.identity, certificate=certificate.decode(),
        authority=authority.certificate_pem().decode(), supernode=request.supernode,
        coordinator=coordinator,
        peers=tuple(Peer(name=name, role=role, identity=key, fingerprint=fingerprint(bytes.fromhex(key)))
                    for name, (role, key) in sorted(known.items()) if name != request.name),
    )


def _check_stranger(request: JoinRequest, known: dict[str, tuple[str, str]]) -> None:
    """A name keeps its identity and role, and an identity its name."""
    held = known.get(request.name)
    if held is not None and held != (request.role, request.identity):
        raise TrustError(f"{request.name} is a {held[0]} with another identity or role here; if the node lost its "
                         f"keys, remove it first: sealscore coordinator remove {request.name}")
    others = [name for name, (_, key) in known.items() if key == request.identity and name != request.name]
    if others:
        raise TrustError(f"the identity of this request is that of {others[0]}; every node makes its own")
