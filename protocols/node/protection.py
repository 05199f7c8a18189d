"""A node's key files: as they are, or sealed under a secret that is not on the disk.

    HOME/identity/protection.key   "sealscore protection 1\\n" | salt: 16 bytes | the main key, sealed under
                                   scrypt(secret, salt)                          there: the home is protected
    each file of KEY_FILES         "sealscore key 1\\n" | the PEM, sealed under the main key and its folder's name

scrypt (RFC 7914) is paid once a process. `read_private` opens a sealed file by itself; the secret is asked for when the
first one is read. Processes that this one starts get the main key as the path of a file in memory (`lend`), never as
an argument or in their environment.
"""
from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from protocols.crypto.box import KEY_BYTES, Box
from protocols.errors import ConfigError, TrustError, UsageError
from protocols.node.key_secret import KeysConfig, obtain
from protocols.node.private_files import read_private_bytes, replace_private, sync_folder, write_private
from protocols.node.sealed_file import SALT_BYTES, derived_key
from protocols.strict import first_problem

KEY_FILES = tuple(Path(name) for name in ("identity/identity.key", "tls/node.key", "tls/next.key",
                                          "flower/supernode.key", "flower/next.key"))
PROTECTION_FILE = Path("identity/protection.key")
LENT_VARIABLE = "SEALSCORE_KEYS"  # the path of a file in memory, not a secret
SEALED, PROTECTED = b"sealscore key 1\n", b"sealscore protection 1\n"
_lock = threading.RLock()
_sources: dict[Path, KeysConfig] = {}
_boxes: dict[Path, tuple[Box, bytes]] = {}  # by home: the main key, ready and raw
_handed: dict[Path, int] = {}  # by key file: its descriptor in memory


def configure(home: Path, config: KeysConfig) -> None:
    """Remember where the secret of a home comes from; nothing is read."""
    _sources[home.resolve()] = config


def is_protected(home: Path) -> bool:
    """Whether the key files of a home are sealed, or are being sealed."""
    return (home / PROTECTION_FILE).exists()


def is_sealed(path: Path) -> bool:
    """Whether a key file is sealed."""
    with path.open("rb") as file:
        return file.read(len(SEALED)) == SEALED


def unlock(home: Path, config: KeysConfig) -> None:
    """Get the secret now, as a daemon does when it starts; TrustError or ConfigError if setting and files differ."""
    configure(home, config)
    plain = [str(name) for name in KEY_FILES if (home / name).exists() and not is_sealed(home / name)]
    if config.protection == "none" and is_protected(home):
        raise TrustError(f"the keys in {home} are sealed and keys.protection is none; say where their secret comes "
                         "from, or run `sealscore keys unprotect`")
    if config.protection != "none" and plain:
        raise ConfigError(f"keys.protection is {config.protection} and {plain[0]} is not sealed; run `sealscore keys "
                          "protect` with this file")
    if is_protected(home):
        _main(home)


def opened(path: Path, data: bytes) -> bytes:
    """The PEM of a key file whose bytes on the disk are `data`; what is not sealed is given back."""
    if not data.startswith(SEALED):
        return data
    box, _ = _main(path.parents[1])
    try:
        return box.open(path.parent.name, data[len(SEALED):])
    except TrustError:
        raise TrustError(f"{path} does not open with the main key of {path.parents[1]}: it was changed or comes from "
                         "another node; restore it from a backup") from None


def write_key(path: Path, pem: bytes) -> None:
    """A new key file, sealed if its home is protected; FileExistsError if it is there."""
    write_private(path, _sealed(path, pem) if is_protected(path.parents[1]) else pem, durable=True)


def lend(home: Path) -> dict[str, str]:
    """What to add to the environment of processes that read this home's keys and end before this one does."""
    if not is_protected(home):
        return {}
    with _lock:
        place = home.resolve() / PROTECTION_FILE
        return {LENT_VARIABLE: _in_memory(place, _main(home)[1])}


def path_for_children(path: Path) -> str:
    """Where a program that knows nothing of sealed files reads a key: its file, or a copy in memory while this process
    lives."""
    data = read_private_bytes(path)
    return _in_memory(path.resolve(), opened(path, data)) if data.startswith(SEALED) else str(path)


@contextlib.contextmanager
def in_memory_file(data: bytes) -> Iterator[str]:
    """A file that is only in memory, for this process's libraries that want a path."""
    descriptor = _memory(data)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


# -- commands


def protect(home: Path, config: KeysConfig) -> list[str]:
    """Seal all key files in place; the names of those that were not. After a crash the same again finishes it."""
    if config.protection == "none":
        raise UsageError('[keys] protection is "none"; set it to "passphrase" or "command" first')
    _refuse_running(home)
    configure(home, config)
    read_private_bytes(home / KEY_FILES[0])
    if not is_protected(home):
        _make_main(home, obtain(config, again=True))
    changed = [name for name in KEY_FILES if (home / name).exists() and not is_sealed(home / name)]
    for name in changed:
        replace_private(home / name, _sealed(home / name, read_private_bytes(home / name)))
    for name in KEY_FILES:
        if (home / name).exists():
            opened(home / name, read_private_bytes(home / name))
    return [str(name) for name in changed]


def unprotect(home: Path, config: KeysConfig) -> list[str]:
    """Undo `protect`, the main key last; the names of the files that were sealed."""
    _refuse_running(home)
    configure(home, config)
    if not is_protected(home):
        return []
    _main(home)
    changed = [name for name in KEY_FILES if (home / name).exists() and is_sealed(home / name)]
    for name in changed:
        replace_private(home / name, opened(home / name, read_private_bytes(home / name)))
    (home / PROTECTION_FILE).unlink()
    sync_folder((home / PROTECTION_FILE).parent)
    _boxes.pop(home.resolve(), None)
    return [str(name) for name in changed]


def status(home: Path) -> dict[str, str]:
    """By key file: sealed or plain."""
    return {str(name): "sealed" if is_sealed(home / name) else "plain" for name in KEY_FILES if (home / name).exists()}


def _refuse_running(home: Path) -> None:
    """A daemon that runs has no secret to read files that are sealed under it."""
    try:
        pid = json.loads((home / "state" / "ready.json").read_text(encoding="utf-8"))["pid"]
        os.kill(pid, 0)
    except (OSError, ValueError, KeyError, TypeError):
        return
    raise UsageError(f"the node of {home} runs (process {pid}); stop it, change its keys, start it again")


# -- the main key


def _make_main(home: Path, secret: bytes) -> None:
    salt, main = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(KEY_BYTES)
    sealed = Box(derived_key(secret, salt)).seal(str(PROTECTION_FILE), main)
    replace_private(home / PROTECTION_FILE, PROTECTED + salt + sealed)
    _boxes[home.resolve()] = (Box(main), main)


def _main(home: Path) -> tuple[Box, bytes]:
    place = home.resolve()
    with _lock:
        if place not in _boxes:
            main = _lent() or _opened_main(home, obtain(_source(home)))
            _boxes[place] = (Box(main), main)
        return _boxes[place]


def _lent() -> bytes | None:
    path = os.environ.get(LENT_VARIABLE)
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError:
        raise TrustError("the process that lent this one its keys has ended; start the node again") from None


def _opened_main(home: Path, secret: bytes) -> bytes:
    path = home / PROTECTION_FILE
    data, start = read_private_bytes(path), len(PROTECTED) + SALT_BYTES
    if not data.startswith(PROTECTED):
        raise TrustError(f"{path} was not written by `sealscore keys protect`; restore it from a backup")
    try:
        return Box(derived_key(secret, data[len(PROTECTED):start])).open(str(PROTECTION_FILE), data[start:])
    except TrustError:
        raise TrustError(f"{path} does not open: the secret is another one, or the file was changed") from None


def _sealed(path: Path, pem: bytes) -> bytes:
    return SEALED + _main(path.parents[1])[0].seal(path.parent.name, pem)


def _source(home: Path) -> KeysConfig:
    """As configured, else as a node's file in the home says, else a passphrase at the terminal."""
    known = _sources.get(home.resolve())
    if known is not None and known.protection != "none":
        return known
    for path in sorted(home.glob("*.toml")):
        found = keys_of(path)
        if found.protection != "none":
            return found
    return KeysConfig(protection="passphrase")


def keys_of(path: Path) -> KeysConfig:
    """`[keys]` of a TOML file; nothing is protected where there is none."""
    try:
        section = tomllib.loads(path.read_text(encoding="utf-8")).get("keys", {})
    except (OSError, ValueError):
        section = {}
    try:
        return KeysConfig.model_validate(section)
    except ValidationError as error:
        raise ConfigError(f"{path.name}: keys.{first_problem(error)}") from None


# -- files in memory


def _in_memory(key: Path, data: bytes) -> str:
    with _lock:
        if key not in _handed:
            _handed[key] = _memory(data)
        return f"/proc/{os.getpid()}/fd/{_handed[key]}"


def _memory(data: bytes) -> int:
    """A descriptor of a file that no folder shows and that cannot be changed any more (memfd_create(2))."""
    descriptor = os.memfd_create("sealscore", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(data)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    return descriptor
