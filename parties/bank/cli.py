"""`sealscore bank`: a bank's node."""
from __future__ import annotations

from collections.abc import Iterable

from parties.bank.shared_side import bank_side
from parties.runtime import doctor
from parties.runtime.cli import party_app
from protocols.node import cli
from protocols.node.health import Finding
from protocols.node.node_file import NodeFile


def main(argv: list[str]) -> int:
    """Entry point of `sealscore bank`."""
    return cli.run(party_app("bank", bank_side), argv, "bank")


def examine(node: NodeFile) -> Iterable[Finding]:
    """What `sealscore doctor` finds at a bank."""
    return doctor.examine(node, bank_side)
