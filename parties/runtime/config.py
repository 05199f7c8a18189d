"""A party node's own TOML file: who it is, whom it dials, which tables it has. Units stand in the names."""
from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from parties.runtime import local_api
from parties.runtime.scoring.settings import ScoringConfig
from parties.runtime.tables import TableConfig
from protocols.errors import ConfigError
from protocols.node import protection
from protocols.node.key_secret import KeysConfig
from protocols.plan import Name
from protocols.policy import Policy
from protocols.strict import Strict

Fingerprint = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Address = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.\-\[\]:]+:[0-9]{1,5}$")]


class NodeConfig(Strict):
    """Who this node is."""

    name: Name
    role: Literal["bank", "platform"]


class CoordinatorConfig(Strict):
    """Where the coordinator listens. The party dials out; it opens no port of its own."""

    front: Address = Field(description="TLS front of the SuperLink (/v1/fleet/* only)")
    hub: Address = Field(description="the hub, gRPC over mutual TLS")
    name: Name = Field("coordinator", description="its name in audit logs and evidence")
    fingerprint: Fingerprint | None = Field(
        None, description="of the identity that signs its audit log, confirmed by telephone; else any")


class ScoresConfig(Strict):
    """How score files are kept."""

    sealed: bool = Field(False, description="seal them under a key of this node; `sealscore bank scores` reads them")
    contributions: bool = Field(False, description="boosted trees: beside each probability what every own column and "
                                "the platform as a whole added to the log-odds (TreeSHAP)")


class PartyConfig(Strict):
    """The whole file."""

    node: NodeConfig
    coordinator: CoordinatorConfig
    tables: dict[Name, TableConfig] = Field(min_length=1)
    policy: str = Field("policy.toml", description="path of the policy file, relative to this one")
    keys: KeysConfig = Field(KeysConfig(), description="how this node's key files are protected")
    scores: ScoresConfig = ScoresConfig()
    decisions: dict[str, Any] | None = Field(None, description="bank: the decision service, which checks it")
    scoring: ScoringConfig | None = Field(None, description="joint scoring online")


class LoadedParty:
    """A validated configuration with its home folder and policy."""

    def __init__(self, path: Path, role: str):
        self.home = path.resolve().parent
        self.config = PartyConfig.from_toml_text(_read(path), path.name)
        protection.configure(self.home, self.config.keys)
        if self.config.node.role != role:
            found = self.config.node.role
            raise ConfigError(f"{path.name}: setting node.role is {found!r}, this command serves {role!r}")
        policy_path = self.home / self.config.policy
        self.policy = Policy.from_toml_text(_read(policy_path), policy_path.name)

    @property
    def name(self) -> str:
        """The party's name in plans."""
        return self.config.node.name

    @property
    def state(self) -> Path:
        """Where the node keeps what must survive a restart."""
        return self.home / "state"

    @property
    def socket(self) -> Path:
        """The daemon's local socket."""
        return local_api.socket_path(self.state / "local")

    def table(self, name: str) -> TableConfig:
        """A configured table; ConfigError names the ones there are."""
        if name not in self.config.tables:
            known = ", ".join(self.config.tables)
            raise ConfigError(f"{self.name}: no table {name!r} is configured; there are {known}")
        return self.config.tables[name]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path.name}: no such file in {path.parent.name}/; create it or name another") from None
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"{path.name}: cannot be read as UTF-8 text") from None
