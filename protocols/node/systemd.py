"""`sealscore systemd FILE.toml`: a hardened unit for one node, to be put into /etc/systemd/system."""
from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from protocols.errors import UsageError
from protocols.node import cli
from protocols.node.node_file import NodeFile
from protocols.node.supervise import script

PROCESSES = {"bank": "decisions", "platform": "scoring"}
STOP_S = 20  # a node stops its processes within ten
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}\Z")
_PLAIN = re.compile(r"[A-Za-z0-9_./:@+-]+\Z")
app = typer.Typer(add_completion=False)


@app.command()
def systemd(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="bank.toml, platform.toml or coordinator.toml")],
    user: Annotated[str, typer.Option(help="the account that owns the home")] = "sealscore",
    memory: Annotated[str | None, typer.Option(help="MemoryMax=, for example 8G")] = None,
    serve: Annotated[str | None, typer.Option(help="another process of the node: scoring (platform), decisions "
                                              "(bank)")] = None,
) -> None:
    """Print a systemd unit that keeps this node running with as few rights as it needs."""
    typer.echo(unit(NodeFile.read(file), user, memory, serve), nl=False)


def unit(node: NodeFile, user: str, memory: str | None = None, serve: str | None = None) -> str:
    """The unit's text, of the node or of another process it may have; UsageError for a path or account that a unit
    cannot name plainly."""
    command = [script("sealscore"), *_command(node, serve)]
    for word in (*command, str(node.home)):
        if not _PLAIN.match(word):
            raise UsageError(f"{word!r}: a unit needs paths of letters, digits and ._/:@+-; move the home")
    if not _USER.match(user):
        raise UsageError(f"--user: expected an account name, got {user!r}")
    if memory is not None and not re.fullmatch(r"[0-9]+[KMGT]?", memory):
        raise UsageError(f"--memory: expected a size such as 8G, got {memory!r}")
    limit = f"MemoryMax={memory}\n" if memory else ""
    return f"""[Unit]
Description=Sealscore {node.kind} {node.name}{", " + serve if serve else ""}
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
User={user}
WorkingDirectory={node.home}
ExecStart={" ".join(command)}
{"ExecReload=/bin/kill -HUP $MAINPID" + chr(10) if node.kind == "coordinator" else ""}Restart=on-failure
RestartSec=5
TimeoutStopSec={STOP_S}
KillMode=mixed
UMask=0077
{limit}LimitCORE=0
LimitNOFILE=65536

# what the node may touch: its home, and everything else for reading only
ProtectSystem=strict
ReadWritePaths={node.home}
ProtectHome=read-only
{_private_tmp(node.home)}PrivateDevices=yes
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes

# what it may do
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


def _command(node: NodeFile, serve: str | None) -> tuple[str, ...]:
    if serve is None:
        return node.command
    if PROCESSES.get(node.kind) != serve:
        raise UsageError(f"--serve: a {node.kind} has {PROCESSES.get(node.kind, 'no other process')}, got {serve!r}")
    return node.kind, serve, "serve", str(node.path)


def _private_tmp(home: Path) -> str:
    """A /tmp of its own, unless home or programs lie in the common one."""
    shared = [p for p in (home, Path(sys.executable)) if p.is_relative_to("/tmp") or p.is_relative_to("/var/tmp")]
    return "# no PrivateTmp: home or programs lie under /tmp\n" if shared else "PrivateTmp=yes\n"


def main(argv: list[str]) -> int:
    """Entry point of `sealscore systemd`."""
    return cli.run(app, argv, "systemd")
