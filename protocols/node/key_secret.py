"""Where the secret comes from that opens a node's key files: `[keys]` of the node's TOML file.

    protection = "none"         (default) key files of mode 0600 as they are: who reads the disk has them
    protection = "passphrase"   `passphrase_env` names a variable that holds it; without one a terminal is asked
    protection = "command"      `command = ["/usr/bin/…", …]`: what it prints is the secret

A secret is never an argument, never logged, and taken out of this process's environment, so that no child inherits it.
"""
from __future__ import annotations

import getpass
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from protocols.errors import ConfigError, TrustError
from protocols.node.sealed_file import check_passphrase
from protocols.strict import Strict

MAX_SECRET_BYTES = 4096


class KeysConfig(Strict):
    """`[keys]` of a node's file."""

    protection: Literal["none", "passphrase", "command"] = "none"
    passphrase_env: Annotated[str, StringConstraints(pattern=r"^[A-Z_][A-Z0-9_]{0,63}$")] | None = Field(
        None, description="environment variable with the passphrase")
    command: tuple[str, ...] = Field((), description="a program by its absolute path, and arguments; prints the secret")
    command_timeout_s: int = Field(30, ge=1, le=600)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.protection == "command") != bool(self.command):
            raise ValueError('protection = "command" and a command belong together')
        if self.command and not Path(self.command[0]).is_absolute():
            raise ValueError("the command starts with the absolute path of a program")
        if self.passphrase_env and self.protection != "passphrase":
            raise ValueError('passphrase_env belongs to protection = "passphrase"')
        return self


def obtain(config: KeysConfig, *, again: bool = False) -> bytes:
    """The secret, at least 12 bytes; `again`: a passphrase that is typed is asked for twice.

    ConfigError or TrustError when there is none; neither carries anything that was typed or printed.
    """
    if config.protection == "command":
        return check_passphrase(_printed(config.command, config.command_timeout_s))
    if config.passphrase_env is not None:
        value = os.environ.pop(config.passphrase_env, None)
        if value is None:
            raise ConfigError(f"keys.passphrase_env: {config.passphrase_env} is not in the environment; set it for "
                              "this command")
        return check_passphrase(os.fsencode(value))
    return check_passphrase(_typed(again))


def _typed(again: bool) -> bytes:
    if not sys.stdin.isatty():
        raise ConfigError("the passphrase of this node's keys is asked for at a terminal and there is none; set "
                          "passphrase_env or a command under [keys]")
    typed = getpass.getpass("Passphrase of this node's keys: ")
    if again and getpass.getpass("The same again: ") != typed:
        raise ConfigError("the two passphrases differ; nothing was changed")
    return typed.encode()


def _printed(command: tuple[str, ...], timeout_s: int) -> bytes:
    """What a program prints, without the line's end; its other output is thrown away: it might hold the secret too."""
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, start_new_session=True)
    except OSError as fault:
        raise ConfigError(f"keys.command: {command[0]} cannot be run ({(fault.strerror or 'fault').lower()})") from None
    try:
        printed, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise TrustError(f"keys.command: {command[0]} did not end within {timeout_s} s; nothing was opened") from None
    if process.returncode != 0:
        raise TrustError(f"keys.command: {command[0]} ended with code {process.returncode}; nothing was opened")
    if len(printed) > MAX_SECRET_BYTES:
        raise TrustError(f"keys.command: {command[0]} printed more than {MAX_SECRET_BYTES} bytes; expected a secret")
    return printed.rstrip(b"\r\n")
