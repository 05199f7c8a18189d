"""Files that belong to one user: mode 0600, written whole or not at all."""
from __future__ import annotations

import os
from pathlib import Path

from protocols.errors import TrustError


def write_private(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Create `path` with mode 0600 and write `data`, if `durable` through to the disk; FileExistsError if it exists."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())


def replace_private(path: Path, data: bytes) -> None:
    """Write `path` (mode 0600) whole and durably, over an older one."""
    draft = path.with_name(path.name + ".part")
    draft.unlink(missing_ok=True)
    write_private(draft, data, durable=True)
    os.replace(draft, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_private_bytes(path: Path) -> bytes:
    """A secret file as it is on the disk; TrustError if it is missing or other users can read it."""
    try:
        mode = path.stat().st_mode & 0o777
        data = path.read_bytes()
    except OSError as error:
        raise TrustError(f"cannot read {path} ({error.strerror}); make it with `sealscore certs init`") from None
    if mode & 0o077:
        raise TrustError(f"{path} has mode {mode:04o}, expected 0600; run: chmod 600 {path}")
    return data
