"""`sealscore certs`: the joining node's own commands, and those of whatever else is installed here."""
from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer

from protocols.errors import UsageError
from protocols.node import cli, joining
from protocols.node.enrol import COORDINATOR, RESERVED, JoinBundle, JoinRequest, key_digest, telephone_lines
from protocols.wire.codec import is_name

GROUP = "sealscore.commands.certs"


def make_app() -> typer.Typer:
    """The app with `request` and `install`, and the commands of the authority where the coordinator is installed."""
    app = typer.Typer(help="Keys and certificates: joining, renewal, rotation, the authority.", no_args_is_help=True)
    app.command()(request)
    app.command()(install)
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        try:
            app.command(entry.name)(entry.load())
        except ModuleNotFoundError as missing:
            if (missing.name or "").split(".")[0] != "coordinator":
                raise
    return app


def request(
    home: Annotated[Path, typer.Argument(help="this node's home folder")],
    name: Annotated[str | None, typer.Option(help="name of the new node: a-z, 0-9 and '-'")] = None,
    role: Annotated[str | None, typer.Option(help="bank or platform (coordinator: its own node)")] = None,
    renew: Annotated[bool, typer.Option("--renew", help="same identity, new TLS key and certificate")] = False,
    rotate: Annotated[bool, typer.Option("--rotate-supernode", help="same identity, new SuperNode key")] = False,
) -> None:
    """Make this node's keys here, where they stay, and write HOME/request.json for the authority."""
    if renew or rotate:
        if name is not None:
            raise UsageError("a renewal keeps the node's name; leave --name out")
        made = joining.request_again(home, _role(role) if role else None, renew=renew, rotate=rotate)
    else:
        made = joining.request_new(home, _name(name, _role(role)), _role(role))
    path = joining.write_request(home, made)
    typer.echo(f"Wrote {path}. Send it to the authority; it holds public keys only, the private ones stay in {home}.\n")
    show(made)


def install(
    home: Annotated[Path, typer.Argument(help="this node's home folder")],
    bundle: Annotated[Path, typer.Argument(help="the join bundle the authority sent")],
    new_authority: Annotated[bool, typer.Option("--new-authority", help="accept another authority's key")] = False,
) -> None:
    """Check that a join bundle belongs to this node's keys, and put its certificates in place."""
    read = JoinBundle.decode(bundle.read_bytes(), str(bundle))
    done = joining.install(home, read, str(bundle), new_authority=new_authority)
    certificate, ca = read.certificates(str(bundle))
    typer.echo(f"Installed {', '.join(done.files)}; the certificate holds until "
               f"{certificate.not_valid_after_utc:%Y-%m-%d}, the authority's until {ca.not_valid_after_utc:%Y-%m-%d}.")
    if done.starters:
        typer.echo(f"Wrote {' and '.join(done.starters)}: fill in the tables, pin the peers you have confirmed.")
    if done.restart:
        typer.echo("The node is running: restart it to use them; the others need nothing.")
    typer.echo("\nTo be confirmed by telephone:\n")
    _echo(telephone_lines({"authority": key_digest(ca.public_key())}))
    _echo(telephone_lines({peer.name: peer.fingerprint for peer in read.peers}))


def show(made: JoinRequest) -> None:
    """Print a request's fingerprints for the telephone."""
    typer.echo(f"{made.role} {made.name}, made at {made.made_at}. Fingerprints, to be read aloud:\n")
    _echo(telephone_lines(made.fingerprints()))


def _echo(lines: list[str]) -> None:
    for line in lines:
        typer.echo(line)


def _role(role: str | None) -> str:
    if role not in ("bank", "platform", COORDINATOR):
        raise UsageError(f"--role: expected bank or platform, got {role or 'nothing'}")
    return role


def _name(name: str | None, role: str) -> str:
    name = name or (COORDINATOR if role == COORDINATOR else "")
    if not is_name(name) or name in RESERVED or (name == COORDINATOR) != (role == COORDINATOR):
        raise UsageError(f"--name: expected a-z, 0-9 and '-' starting with a letter, at most 32, and none of "
                         f"{', '.join((COORDINATOR, *RESERVED))}; got {name or 'nothing'!r}")
    return name


def main(argv: list[str]) -> int:
    """Entry point of `sealscore certs`."""
    return cli.run(make_app(), argv, "certs")
