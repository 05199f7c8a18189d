"""`sealscore platform`: a platform's node."""
from __future__ import annotations

from collections.abc import Iterable

from parties.platform.scoring.cli import platform_scoring
from parties.platform.sides import platform_side
from parties.runtime import doctor
from parties.runtime.cli import party_app
from protocols.node import cli
from protocols.node.health import Finding
from protocols.node.node_file import NodeFile


def main(argv: list[str]) -> int:
    """Entry point of `sealscore platform`."""
    app = party_app("platform", platform_side)
    app.add_typer(platform_scoring(), name="scoring")
    return cli.run(app, argv, "platform")


def examine(node: NodeFile) -> Iterable[Finding]:
    """What `sealscore doctor` finds at a platform."""
    return doctor.examine(node, platform_side)
