"""`sealscore platform`: a platform's node."""
from __future__ import annotations

from parties.platform.side import PlatformSide
from parties.runtime.cli import party_app
from protocols.node import cli


def main(argv: list[str]) -> int:
    """Entry point of `sealscore platform`."""
    return cli.run(party_app("platform", PlatformSide), argv, "platform")
