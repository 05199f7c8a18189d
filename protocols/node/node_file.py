"""Which kind of node a TOML file configures, and where its home is: for commands that serve all kinds."""
from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from protocols.errors import ConfigError

PARTY_ROLES = ("bank", "platform")


@dataclass(frozen=True)
class NodeFile:
    """A node's file: `kind` is bank, platform or coordinator; `home` is absolute."""

    path: Path
    kind: str
    name: str
    home: Path

    @classmethod
    def read(cls, path: Path) -> NodeFile:
        """Look at a file; ConfigError unless it configures a node."""
        source = path.absolute()
        try:
            content = tomllib.loads(source.read_text(encoding="utf-8"))
        except OSError as fault:
            raise ConfigError(f"{path}: {(fault.strerror or 'cannot be read').lower()}; give the node's TOML file") \
                from None
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
            raise ConfigError(f"{path}: cannot be read as TOML ({fault})") from None
        node = content.get("node", {})
        role = node.get("role") if isinstance(node, dict) else None
        if role in PARTY_ROLES:
            return cls(source, role, str(node.get("name", role)), source.resolve().parent)
        if "listen" in content or "parties" in content:
            home = source.parent / Path(str(node.get("home", "."))).expanduser()
            return cls(source, "coordinator", str(node.get("name", "coordinator")), home.resolve())
        raise ConfigError(f"{path}: neither [node] role (bank or platform) nor the coordinator's [listen] is there; "
                          "give the node's own TOML file")

    @property
    def command(self) -> tuple[str, str, str]:
        """What runs this node, after the program's name."""
        return self.kind, "serve", str(self.path)
