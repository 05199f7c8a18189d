"""`sealscore backup HOME --out FILE` and `sealscore restore FILE HOME`."""
from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from protocols.node import cli
from protocols.node.backup import Summary, backup, restore
from protocols.node.identity_files import read_private
from protocols.node.sealed_file import check_passphrase

PassphraseOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="file with the passphrase, mode 0600; default: ask for it")
]
_backup = typer.Typer(add_completion=False)
_restore = typer.Typer(add_completion=False)


@_backup.command()
def make(
    home: Annotated[Path, typer.Argument(help="the node's home; the node may be running")],
    out: Annotated[Path, typer.Option(help="the file to write")],
    passphrase_file: PassphraseOption = None,
) -> None:
    """Back up a node: configuration, keys and state, sealed with a passphrase. Tables and logs are not in it."""
    done = backup(home, out, _passphrase(passphrase_file, again=True))
    typer.echo(f"Wrote {out}: {_told(done)}.")
    _echo_left_out(done)


@_restore.command()
def put_back(
    file: Annotated[Path, typer.Argument(help="a file that `sealscore backup` wrote")],
    home: Annotated[Path, typer.Argument(help="a new or empty folder")],
    passphrase_file: PassphraseOption = None,
) -> None:
    """Make a node's home from a backup; nothing is written before the whole file has been verified."""
    done = restore(file, home, _passphrase(passphrase_file, again=False))
    typer.echo(f"Restored {home}: {_told(done)}.")
    _echo_left_out(done)
    typer.echo(f"It knows nothing after {done.made_at}: put the tables back, tell peers and auditor, and see \"After a "
               "restore\" in coordinator/OPERATIONS.md before you start it. Never run it beside the old node.")


def _told(done: Summary) -> str:
    return f"node {done.node} as of {done.made_at}, {done.files} files, {done.bytes / 1e6:.1f} MB"


def _echo_left_out(done: Summary) -> None:
    if done.runs_left_out:
        typer.echo(f"Without {len(done.runs_left_out)} runs that had not finished ({', '.join(done.runs_left_out[:3])}"
                   f"{' …' if len(done.runs_left_out) > 3 else ''}): a copy of their one-time masks must never be used "
                   "again. After a restore cancel them and start new ones.")


def _passphrase(path: Path | None, *, again: bool) -> bytes:
    if path is None:
        return check_passphrase(typer.prompt("Passphrase", hide_input=True, confirmation_prompt=again).encode())
    return check_passphrase(read_private(path).rstrip(b"\r\n"))


def backup_main(argv: list[str]) -> int:
    """Entry point of `sealscore backup`."""
    return cli.run(_backup, argv, "backup")


def restore_main(argv: list[str]) -> int:
    """Entry point of `sealscore restore`."""
    return cli.run(_restore, argv, "restore")
