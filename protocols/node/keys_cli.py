"""`sealscore keys protect|unprotect|status FILE.toml`: a node's key files, sealed under a secret or as they are."""
from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from protocols.node import cli, protection
from protocols.node.node_file import NodeFile

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="bank.toml, platform.toml or coordinator.toml")]
app = typer.Typer(help="Protect a node's key files with a passphrase or a secret that a command prints.",
                  no_args_is_help=True)


@app.command()
def protect(file: FileArgument) -> None:
    """Seal the key files in place, as the section keys of FILE says; the node must be stopped. Again after a crash."""
    home = NodeFile.read(file).home
    changed = protection.protect(home, protection.keys_of(file))
    typer.echo(f"Sealed {_listed(changed)}. Without the secret this node cannot start and its state cannot be read: "
               "keep it elsewhere too.")


@app.command()
def unprotect(file: FileArgument) -> None:
    """Put the key files back as they were, mode 0600; the node must be stopped. Again after a crash."""
    changed = protection.unprotect(NodeFile.read(file).home, protection.keys_of(file))
    typer.echo(f"Opened {_listed(changed)}. Set [keys] protection to \"none\" before the next start.")


@app.command()
def status(file: FileArgument) -> None:
    """Say of each key file whether it is sealed; exit code 1 if that is not what the section keys of FILE says."""
    home, wanted = NodeFile.read(file).home, protection.keys_of(file).protection
    found = protection.status(home)
    for name, state in found.items():
        typer.echo(f"{state:<7} {name}")
    expected = "plain" if wanted == "none" else "sealed"
    typer.echo(f"keys.protection is {wanted}: {expected} is expected")
    if any(state != expected for state in found.values()) or protection.is_protected(home) != (wanted != "none"):
        raise typer.Exit(1)


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "nothing that was not so already"


def main(argv: list[str]) -> int:
    """Entry point of `sealscore keys`."""
    return cli.run(app, argv, "keys")
