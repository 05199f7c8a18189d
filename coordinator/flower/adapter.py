"""The only module of the coordinator that uses Flower's internal names; flwr is pinned, and a test pins the names.

Flower's Control API has no user authentication: the client speaks to the SuperLink over loopback only.
"""
from __future__ import annotations

import contextlib
import functools
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key, load_ssh_public_key
from flwr.common.serde import fab_to_proto, user_config_to_proto
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
    UnregisterNodeRequest,
)
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_utils import pull_objects
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.superlink.grid import http_grid

from protocols.errors import ConfigError, SealscoreError
from protocols.node import archive

_TIMEOUT_S = 15.0


@dataclass(frozen=True)
class FlowerStatus:
    """Flower's view of one of its runs: pending, starting, running or finished; how it finished; its own text."""

    status: str
    sub_status: str
    details: str

    @property
    def ended(self) -> bool:
        return self.status == "finished"


class Control:
    """A Control API client; close it, or shutdown of the SuperLink waits for it."""

    def __init__(self, address: str, ca_path: Path):
        self._address = address
        self._client = ControlHttpClient.from_server_address(
            server_address=address,
            insecure=False,
            root_certificates=ca_path.read_bytes(),
            interceptors=[RuntimeVersionHttpInterceptor(component_name="flwr CLI")],
        )

    def __enter__(self) -> Control:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def register(self, parties: dict[str, bytes]) -> dict[str, int]:
        """Make the registered SuperNodes exactly `parties` (name -> public key bytes); node ids by name."""
        known = {(n.name, n.public_key): n.node_id for n in self._nodes()}
        wanted = {(name, key) for name, key in parties.items()}
        for stale in known.keys() - wanted:
            self._call(self._client.UnregisterNode, UnregisterNodeRequest(node_id=known[stale]))
        for name, key in sorted(wanted - known.keys()):
            reply = self._call(self._client.RegisterNode, RegisterNodeRequest(public_key=key, name=name))
            known[(name, key)] = reply.node_id
        return {name: known[(name, key)] for name, key in parties.items()}

    def _nodes(self) -> list[Any]:
        nodes = self._call(self._client.ListNodes, ListNodesRequest()).nodes_info
        return [n for n in nodes if n.status != "unregistered"]

    def submit(self, run: str) -> int:
        """Start a Flower run for the Sealscore run `run`: the code-free archive and the run id, nothing else."""
        content, digest = archive.build()
        request = StartRunRequest(
            fab=fab_to_proto(Fab(digest, content, {})), override_config=user_config_to_proto({"run": run})
        )
        return self._call(self._client.StartRun, request).run_id

    def status(self, flower_run_id: int) -> FlowerStatus | None:
        """What Flower says of one of its runs, or None when it does not know it."""
        found = self._call(self._client.ListRuns, ListRunsRequest(run_id=flower_run_id)).run_dict
        if flower_run_id not in found:
            return None
        status = found[flower_run_id].status
        return FlowerStatus(status.status, status.sub_status, status.details)

    def stop(self, flower_run_id: int) -> None:
        """Ask Flower to stop a run; one that has ended already is fine."""
        with contextlib.suppress(SealscoreError):
            self._call(self._client.StopRun, StopRunRequest(run_id=flower_run_id))

    def _call(self, method: Any, request: Any) -> Any:
        try:
            return method(request)
        except (httpx.HTTPError, OSError) as fault:
            code = f" with HTTP {fault.response.status_code}" if isinstance(fault, httpx.HTTPStatusError) else ""
            raise SealscoreError(
                f"the SuperLink at {self._address} does not answer {method.__name__}{code} ({type(fault).__name__}); "
                "is `sealscore coordinator serve` running?"
            ) from None


def supernode_public_key(path: Path) -> bytes:
    """A SuperNode's registered form of its public key; ConfigError unless it is an OpenSSH or PEM EC P-384 key."""
    try:
        key = _load_public_key(path.read_bytes())
    except OSError as fault:
        raise ConfigError(f"cannot read SuperNode key {path}: {fault.strerror}") from None
    except ValueError:
        key = None
    if not isinstance(key, EllipticCurvePublicKey) or key.curve.name != "secp384r1":
        raise ConfigError(f"{path.name}: expected an EC P-384 public key; `sealscore certs init` makes one")
    return public_key_to_bytes(key)


def _load_public_key(data: bytes) -> Any:
    return load_pem_public_key(data) if data.startswith(b"-----") else load_ssh_public_key(data)


def healthy(address: str, ca_path: Path) -> bool:
    """Whether a SuperLink answers on `address` under a certificate of our authority."""
    trust = ssl.create_default_context(cafile=str(ca_path))
    try:
        with httpx.Client(verify=trust, trust_env=False, timeout=2.0) as client:
            return client.get(f"https://{address}/health").status_code == 200
    except (httpx.HTTPError, OSError):
        return False


def bound_reply_waits(seconds: float) -> None:
    """Let the grid of this process wait so long for a reply that was announced and does not come, instead of 180 s.

    A SuperNode that is killed while it sends leaves such a reply behind; the grid then reports it as unavailable.
    """
    if http_grid.pull_objects is not pull_objects and not isinstance(http_grid.pull_objects, functools.partial):
        raise RuntimeError("this version of Flower pulls replies elsewhere")
    http_grid.pull_objects = functools.partial(pull_objects, max_time=seconds)
