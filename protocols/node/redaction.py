"""What an audit record may not hold: absolute paths are cut down, private keys are refused. Logs travel to auditors."""
from __future__ import annotations

import re
from typing import Any

from protocols.errors import MalformedMessage, UsageError

_DIRECTORIES = re.compile(r"""(?<![\w./:+-])/(?:[^\s"'/:;,]+/)+""", re.ASCII)
_LEAKS = {
    "a private key": re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY"),
    "an absolute path": re.compile(rb"(?<![\w./:+-])/(?:home|root|tmp|var|etc|usr|opt|mnt|srv|work|Users)/"),
}


def without_paths(value: Any) -> Any:
    """The same JSON value with every absolute path in a text cut down to its last part.

    MalformedMessage for a key that is no text or holds a path: keys are names.
    """
    if isinstance(value, str):
        return _DIRECTORIES.sub("…/", value)
    if isinstance(value, list | tuple):
        return [without_paths(item) for item in value]
    if isinstance(value, dict):
        return {_name(key): without_paths(item) for key, item in value.items()}
    return value


def refuse_leaks(name: str, content: bytes) -> None:
    """UsageError if `content`, which is to be shown as `name`, holds a private key or an absolute path."""
    for what, pattern in _LEAKS.items():
        if pattern.search(content):
            raise UsageError(f"{name} holds {what}, which evidence must not show")


def _name(key: Any) -> str:
    if not isinstance(key, str) or _DIRECTORIES.search(key):
        raise MalformedMessage("expected names as keys of a record's body")
    return key
