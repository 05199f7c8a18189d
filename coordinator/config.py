"""coordinator.toml: where the coordinator listens, where its registry is, and who its parties are."""
from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator

from protocols.errors import ConfigError
from protocols.node import protection
from protocols.node.key_secret import KeysConfig
from protocols.plan import Name
from protocols.strict import Strict, first_problem

CONFIG_VARIABLE = "SEALSCORE_COORDINATOR"
DEFAULT_CONFIG = Path("coordinator.toml")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
Address = Annotated[str, StringConstraints(pattern=r"^[^\s/]+:[0-9]{1,5}$")]


class NodeConfig(Strict):
    """This node; `home` holds its certificates and state and is relative to the file."""

    name: Name = "coordinator"
    home: Path = Path(".")


class ListenConfig(Strict):
    """host:port of each listener. Parties need the first two; the SuperLink stays on loopback."""

    front: Address = "127.0.0.1:18443"
    hub: Address = "127.0.0.1:18444"
    superlink: Address = "127.0.0.1:18445"

    @field_validator("front", "hub", "superlink")
    @classmethod
    def _port_in_range(cls, value: str) -> str:
        if not 0 < split_address(value)[1] < 65536:
            raise ValueError("expected a port from 1 to 65535")
        return value

    @field_validator("superlink")
    @classmethod
    def _loopback(cls, value: str) -> str:
        if split_address(value)[0] not in _LOOPBACK:
            raise ValueError("the SuperLink has no user authentication and must listen on 127.0.0.1")
        return value

    @model_validator(mode="after")
    def _different(self) -> Self:
        if len({self.front, self.hub, self.superlink}) != 3:
            raise ValueError("front, hub and superlink must be three different addresses")
        return self


class HubConfig(Strict):
    """What the hub may use."""

    bulk_mib: int = Field(4096, ge=64, description="memory for what it adds up and fans out; a run gets at most half")


class RegistryConfig(Strict):
    """A SQLAlchemy URL; by default SQLite in the node's state folder."""

    url: str | None = None


class PartyConfig(Strict):
    """One party: its role, its identity key (raw Ed25519, hex) and its SuperNode's public key file (OpenSSH)."""

    role: Literal["bank", "platform"]
    identity: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    supernode_public_key: Path


class CoordinatorConfig(Strict):
    """The whole file, with the folder it came from."""

    node: NodeConfig = NodeConfig()
    listen: ListenConfig = ListenConfig()
    hub: HubConfig = HubConfig()
    registry: RegistryConfig = RegistryConfig()
    keys: KeysConfig = KeysConfig()
    parties: dict[Name, PartyConfig] = Field(default_factory=dict)
    source: Path = Field(exclude=True)

    @property
    def home(self) -> Path:
        """The node's home folder, absolute."""
        return self.resolve(self.node.home)

    @property
    def registry_url(self) -> str:
        """The configured URL, or SQLite under the home."""
        return self.registry.url or f"sqlite:///{self.home / 'state' / 'registry.db'}"

    def resolve(self, path: Path) -> Path:
        """A path of the file: relative ones start at the file's folder."""
        return (self.source.parent / path.expanduser()).resolve()


def load_config(path: Path | str | None = None) -> CoordinatorConfig:
    """Read `path`, else $SEALSCORE_COORDINATOR, else ./coordinator.toml; ConfigError names the setting."""
    source = Path(path or os.environ.get(CONFIG_VARIABLE) or DEFAULT_CONFIG).absolute()
    try:
        return parse_config(source.read_text(encoding="utf-8"), source)
    except FileNotFoundError:
        raise ConfigError(f"no coordinator configuration at {source}; give --config or set {CONFIG_VARIABLE}") from None
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(f"{source.name}: cannot be read as TOML ({fault})") from None


def parse_config(text: str, source: Path) -> CoordinatorConfig:
    """Validate the text of the file at `source` (absolute); ConfigError names the setting."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise ConfigError(f"{source.name}: cannot be read as TOML ({fault})") from None
    except RecursionError:
        raise ConfigError(f"{source.name}: cannot be read as TOML (values nested too deeply)") from None
    if "source" in content:
        raise ConfigError(f"{source.name}: setting source: unknown setting")
    try:
        config = CoordinatorConfig.model_validate({**content, "source": source})
    except ValidationError as error:
        raise ConfigError(f"{source.name}: {first_problem(error)}") from None
    protection.configure(config.home, config.keys)
    return config


def split_address(address: str) -> tuple[str, int]:
    """host:port as a pair; brackets around an IPv6 host are dropped."""
    host, port = address.rsplit(":", 1)
    return host.strip("[]"), int(port)
