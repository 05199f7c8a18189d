"""`sealscore bank`: a bank's node."""
from __future__ import annotations

from parties.bank.side import BankSide
from parties.runtime.cli import party_app
from protocols.node import cli


def main(argv: list[str]) -> int:
    """Entry point of `sealscore bank`."""
    return cli.run(party_app("bank", BankSide), argv, "bank")
