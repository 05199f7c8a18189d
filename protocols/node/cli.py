"""How every command ends: one sentence and an exit code, never a traceback for what a user can cause."""
from __future__ import annotations

import sys
from collections.abc import Sequence

import typer
from typer.main import get_command

from protocols.errors import SealscoreError


def run(app: typer.Typer, argv: Sequence[str], name: str) -> int:
    """Run a typer app on `argv`; `SealscoreError` becomes one line on stderr and its exit code."""
    try:
        code = get_command(app).main(args=list(argv), prog_name=f"sealscore {name}", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except SealscoreError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except OSError as fault:
        if fault.filename is None:
            raise
        why = (fault.strerror or type(fault).__name__).lower()
        sys.stderr.write(f"error: {fault.filename}: {why}; check the path, its permissions and the disk\n")
        return 1
    except typer.Exit as stop:
        return stop.exit_code
    except typer.Abort:
        sys.stderr.write("aborted\n")
        return 130
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - click's usage errors share no public base with typer
        if hasattr(error, "format_message"):
            sys.stderr.write(f"error: {error.format_message()}; see `sealscore {name} --help`\n")
            return 2
        raise
