"""Starter configuration of a node that has just joined: everything that needs a decision is commented out."""
from __future__ import annotations

from pathlib import Path

from protocols.crypto.identity import grouped
from protocols.node.enrol import COORDINATOR, JoinBundle, Peer

_LABEL = '# label = "default"               # 0 or 1; a bank needs it\n'


def write(home: Path, bundle: JoinBundle) -> tuple[str, ...]:
    """Write ROLE.toml and policy.toml unless some node's TOML is there; the names of the files written."""
    if bundle.role == COORDINATOR or any(home.glob("*.toml")):
        return ()
    files = {f"{bundle.role}.toml": node_toml(bundle), "policy.toml": policy_toml(bundle.peers)}
    for name, text in files.items():
        with (home / name).open("x", encoding="utf-8") as sink:
            sink.write(text)
    return tuple(files)


def node_toml(bundle: JoinBundle) -> str:
    """The node's file: complete but for its tables."""
    return f"""# `sealscore {bundle.role} table FILE.csv --id ID` drafts the table section.
# `sealscore doctor {bundle.role}.toml` checks this node.
[node]
name = "{bundle.name}"
role = "{bundle.role}"

[coordinator]
front = "{bundle.coordinator.front}"
hub = "{bundle.coordinator.hub}"
{_coordinator_pin(bundle.peers)}
# [tables.customers]
# path = "customers.csv"          # relative to this file; or format = "parquet"
# id = "phone"
{_LABEL if bundle.role == "bank" else ""}#
# [tables.customers.columns]      # only what stands here is ever read
# some_number = {{ type = "number", sensitivity = "C2" }}
"""


def _coordinator_pin(peers: tuple[Peer, ...]) -> str:
    """The identity that signs the coordinator's audit log, of which this node keeps checkpoints."""
    return "".join(f'# name = "{peer.name}"\n# fingerprint = "{peer.fingerprint}"   # once confirmed by telephone\n'
                   for peer in peers if peer.role == COORDINATOR)


def policy_toml(peers: tuple[Peer, ...]) -> str:
    """The policy: closed by default; a peer is pinned by taking its comment signs away after the telephone call."""
    head = """# Closed by default: what a plan may ask of this node.
purposes = ["credit-scoring"]
kinds = ["train", "score"]
encodings = ["dummy"]
minimum_intersection_rows = 1000
# approval = "human"              # every run waits until somebody here has approved it

# Pin a peer only after its people have read its fingerprint to you by telephone, on a number you did not get with
# this file. The coordinator announced these; nothing here has confirmed them.
"""
    return head + "".join(_peer(peer) for peer in peers if peer.role != COORDINATOR)


def _peer(peer: Peer) -> str:
    digest = peer.fingerprint
    return (f"\n# {peer.role}, to be confirmed:  {grouped(digest[:32])}\n# {'':<{len(peer.role)}}                   "
            f"{grouped(digest[32:])}\n# [peers.{peer.name}]\n# fingerprint = \"{digest}\"\n")


def coordinator_toml(front: str, hub: str, superlink: str) -> str:
    """The coordinator's file before anybody has joined."""
    return f"""# Parties are added by `sealscore coordinator add NAME --request FILE`.
[listen]
front = "{front}"       # parties' SuperNodes: HTTPS, /v1/fleet/* only
hub = "{hub}"         # parties' daemons: gRPC, mutual TLS
superlink = "{superlink}"   # loopback only
"""
