"""`sealscore`: mounts the commands of whatever is installed here.

It imports no side by name, so a bank's node needs no coordinator on its disk.
"""
from __future__ import annotations

import os
import sys
from importlib.metadata import entry_points


def main() -> int:
    """Dispatch `sealscore COMMAND …` to the installed command; exit code 2 for an unknown one."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # its notes on failed handshakes would stand before our sentence
    commands = {e.name: e for e in entry_points(group="sealscore.commands")}
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("--help", "-h", "help"):
        sys.stdout.write("usage: sealscore COMMAND …\n\ncommands: " + ", ".join(sorted(commands)) + "\n")
        return 0
    if name not in commands:
        sys.stderr.write(f"sealscore: no command {name!r}; known: {', '.join(sorted(commands))}\n")
        return 2
    try:
        run = commands[name].load()
    except ModuleNotFoundError as missing:
        if (missing.name or "").split(".")[0] not in {"coordinator", "parties"}:
            raise
        sys.stderr.write(f"sealscore {name}: this node has no {missing.name}; install the full distribution\n")
        return 2
    return run(sys.argv[2:])
