"""What `sealscore doctor` finds at the coordinator: parties and keys, listeners, certified hosts, registry."""
from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from functools import partial

from cryptography import x509

from coordinator import members
from coordinator.config import CoordinatorConfig, load_config, split_address
from coordinator.launch import is_serving
from coordinator.registry import Registry
from protocols.errors import SealscoreError
from protocols.node.enrol import names_of, supernode_key, text_digest
from protocols.node.health import Finding, collect, ok, problem, reach_front, reach_hub, warning
from protocols.node.identity_files import load_identity
from protocols.node.node_file import NodeFile
from protocols.node.supervise import require_free_port
from protocols.node.tls import NodeTls


def examine(node: NodeFile) -> Iterator[Finding]:
    """All findings of a coordinator."""
    config = load_config(node.path)
    yield ok("configuration", f"{node.path.name} is well formed")

    yield from collect(parties=partial(_parties, config), listeners=partial(_listeners, config),
                       hosts=partial(_hosts, config), registry=partial(_registry, config))


def _parties(config: CoordinatorConfig) -> Iterator[Finding]:
    roles = [party.role for party in config.parties.values()]
    if not {"bank", "platform"} <= set(roles):
        yield warning("parties", f"{roles.count('bank')} banks and {roles.count('platform')} platforms",
                      "a run needs one of each: `sealscore coordinator add NAME --request FILE`")
    seen = {load_identity(config.home).public.hex(): config.node.name}
    keys: dict[str, str] = {}
    for name, party in config.parties.items():
        try:
            digest = _party_key(config, name)
        except (SealscoreError, OSError, UnicodeDecodeError) as error:
            told = str(error) if isinstance(error, SealscoreError) else type(error).__name__
            yield problem("parties", f"{name}: {told}", f"`sealscore coordinator rekey {name} --request FILE`")
            continue
        double = seen.get(party.identity) or keys.get(digest)
        if double:
            yield problem("parties", f"{name} has the identity or SuperNode key of {double}",
                          "every node makes its own: remove one, let it ask again")
        else:
            yield ok("parties", f"{name}, {party.role}, SuperNode key {digest[:16]}…")
        seen[party.identity], keys[digest] = name, name


def _party_key(config: CoordinatorConfig, name: str) -> str:
    """Digest of a party's SuperNode key, which its identity signed."""
    text = members.signed_key(config, name)
    supernode_key(text)
    return text_digest(text)


def _listeners(config: CoordinatorConfig) -> Iterator[Finding]:
    listen = config.listen
    if is_serving(config):
        yield ok("listeners", "the node is running")
        yield from reach_front(_local(listen.front), config.home)
        yield from reach_hub(_local(listen.hub), config.home)
        return
    for name in ("front", "hub", "superlink"):
        require_free_port(*split_address(getattr(listen, name)), f"listen.{name}")
    yield warning("listeners", "the node is not running; its three ports are free",
                  f"`sealscore coordinator serve {config.source}`")


def _local(address: str) -> str:
    """An address of this machine for one that listens everywhere."""
    host, port = split_address(address)
    return f"127.0.0.1:{port}" if host in ("0.0.0.0", "::") else address


def _hosts(config: CoordinatorConfig) -> Iterator[Finding]:
    certificate = x509.load_pem_x509_certificate(NodeTls.load(config.home).certificate)
    certified = {str(entry.value) for entry in names_of(certificate.extensions)[1]}
    for name in ("front", "hub"):
        host = split_address(getattr(config.listen, name))[0]
        if not _everywhere(host) and host not in certified:
            told = f"[listen] {name} is on {host}, the certificate is for {', '.join(sorted(certified))}"
            yield problem("hosts", told,
                          "listen on a certified name or address, or make the federation with `--host`")
            return
    yield ok("hosts", f"the certificate is for {', '.join(sorted(certified))}")


def _everywhere(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _registry(config: CoordinatorConfig) -> Iterator[Finding]:
    registry = Registry(config.registry_url)
    try:
        counts = registry.counts()
        seen = registry.parties()
    finally:
        registry.close()
    absent = sorted(set(config.parties) - set(seen))
    if absent:
        yield warning("registry", f"never seen: {', '.join(absent)}", "start their nodes; `sealscore doctor` there")
    yield ok("registry", ", ".join(f"{n} {state}" for state, n in sorted(counts.items())) or "no runs yet")
