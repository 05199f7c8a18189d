"""Who is in the federation: parties are added to, removed from and given new keys in coordinator.toml.

Only the party's own section of the file is touched. The new text is validated and compared with the old one before
it replaces the file in one step; a running coordinator takes it within seconds, without a restart of anybody.

    HOME/parties/NAME.pub     the SuperNode's public key (OpenSSH), which the section names
    HOME/parties/NAME.json    the request it came with, signed by the party's identity
    HOME/parties/retired/     SuperNode keys of before: Flower takes none twice
"""
from __future__ import annotations

import contextlib
import fcntl
import os
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from coordinator.config import CoordinatorConfig, load_config, parse_config
from protocols.crypto.identity import fingerprint
from protocols.errors import ConfigError, SealscoreError, TrustError, UsageError
from protocols.node.enrol import COORDINATOR, JoinRequest, check_supernode, text_digest
from protocols.node.identity_files import load_identity, sync_folder
from protocols.node.joining import replace_file

FOLDER = "parties"
_HEADER = re.compile(r"^[ \t]*\[")


def add(path: Path | None, name: str, request: JoinRequest) -> CoordinatorConfig:
    """Add a party from its request; the new configuration. Errors leave everything as it was."""
    with _locked(path) as config:
        if name in config.parties:
            raise UsageError(f"{name} is a party already; `sealscore coordinator rekey {name} --request FILE` takes a "
                             f"new SuperNode key, `sealscore coordinator remove {name}` removes it")
        _check_request(config, name, request)
        section = (f'\n[parties.{name}]   # identity {fingerprint(bytes.fromhex(request.identity))}\n'
                   f'role = "{request.role}"\nidentity = "{request.identity}"\n'
                   f'supernode_public_key = "{_relative(config, key_path(config, name))}"\n')
        entry = {name: {"role": request.role, "identity": request.identity,
                        "supernode_public_key": _relative(config, key_path(config, name))}}
        with _kept(config, name, request):
            return _rewrite(config, lambda text: text.rstrip("\n") + "\n" + section, lambda old: {**old, **entry})


def rekey(path: Path | None, name: str, request: JoinRequest) -> CoordinatorConfig:
    """Take a party's new SuperNode key from a request of the same identity; the configuration."""
    with _locked(path) as config:
        party = _party(config, name)
        if (request.identity, request.role) != (party.identity, party.role):
            raise TrustError(f"the request is of another identity or role than {name} has here; a new identity is a "
                             f"new party: remove {name} first")
        _check_request(config, name, request)
        _retire(config, name)
        with _kept(config, name, request):
            old, new = str(party.supernode_public_key), _relative(config, key_path(config, name))
            if old != new:
                return _rewrite(config, lambda text: _replaced(text, name, old, new),
                                lambda was: {**was, name: {**was[name], "supernode_public_key": new}})
        os.utime(config.source)  # a running coordinator looks when the file changes
        return load_config(config.source)


def remove(path: Path | None, name: str) -> CoordinatorConfig:
    """Remove a party; the new configuration. Its SuperNode key is kept as retired."""
    with _locked(path) as config:
        _party(config, name)
        new = _rewrite(config, lambda text: _without(text, name),
                       lambda old: {n: entry for n, entry in old.items() if n != name})
        _retire(config, name)
        for left in (key_path(config, name), request_path(config, name)):
            left.unlink(missing_ok=True)
        return new


def key_path(config: CoordinatorConfig, name: str) -> Path:
    """Where the SuperNode key of an added party is kept."""
    return config.home / FOLDER / f"{name}.pub"


def request_path(config: CoordinatorConfig, name: str) -> Path:
    """Where the request of an added party is kept."""
    return config.home / FOLDER / f"{name}.json"


def signed_key(config: CoordinatorConfig, name: str) -> str:
    """A party's SuperNode key in OpenSSH's form, once its identity is shown to have signed it; TrustError otherwise.

    The signature is in the request with which the party was added, or stands beside the key as supernode.sig.
    """
    party, kept = config.parties[name], request_path(config, name)
    path = config.resolve(party.supernode_public_key)
    text = _text(path)
    if kept.exists():
        request = JoinRequest.decode(kept.read_bytes(), kept.name)
        if (request.identity, text_digest(str(request.supernode))) != (party.identity, text_digest(text)):
            raise TrustError(f"identity or SuperNode key of {name} is not that of {kept.name}, which {name} signed")
        return text
    try:
        check_supernode(bytes.fromhex(party.identity), name, text, _text(path.with_suffix(".sig")).encode())
    except TrustError as error:
        raise TrustError(f"{path.with_suffix('.sig').name} of {name} does not sign its SuperNode key ({error}); add "
                         f"the party by its request: `sealscore certs request HOME`") from None
    return text


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"cannot read {path}; copy it from the party's folder flower/") from None


def supernode_digests(config: CoordinatorConfig) -> dict[str, str]:
    """SHA-256 of each party's SuperNode key, hex; parties whose file cannot be read are left out."""
    found = {}
    for name, party in config.parties.items():
        with contextlib.suppress(OSError, UnicodeDecodeError):
            found[name] = text_digest(config.resolve(party.supernode_public_key).read_text())
    return found


class Admission:
    """Whom the hub lets in: the parties of coordinator.toml as it is now. A file that is wrong changes nothing."""

    def __init__(self, source: Path):
        self._source = source
        self._stamp: tuple[int, ...] | None = None
        self._names: frozenset[str] = frozenset()

    def __call__(self, name: str) -> bool:
        """Whether `name` is a party now."""
        stamp = stamp_of(self._source)
        if stamp != self._stamp:
            with contextlib.suppress(ConfigError):
                self._names = frozenset(load_config(self._source).parties)
            self._stamp = stamp
        return name in self._names


def stamp_of(path: Path) -> tuple[int, ...]:
    """By what a changed file is noticed."""
    try:
        facts = path.stat()
    except OSError:
        return ()
    return facts.st_mtime_ns, facts.st_ino, facts.st_size


def _check_request(config: CoordinatorConfig, name: str, request: JoinRequest) -> None:
    if request.name != name:
        raise UsageError(f"the request is of {request.name}, not of {name}; give the name it asks for")
    if request.role == COORDINATOR or name == config.node.name:
        raise UsageError(f"{name} is the coordinator itself; it is no party")
    own = load_identity(config.home).public.hex()
    others = {own: config.node.name} | {p.identity: n for n, p in config.parties.items() if n != name}
    if request.identity in others:
        raise TrustError(f"the identity of this request is that of {others[request.identity]}; every node makes its "
                         "own")
    digest = text_digest(str(request.supernode))
    held = {d: n for n, d in supernode_digests(config).items()}
    if digest in held:
        raise TrustError(f"the SuperNode key of this request is that of {held[digest]} already; make another with "
                         f"`sealscore certs request HOME --rotate-supernode`")
    if any(text_digest(p.read_text()) == digest for p in (config.home / FOLDER / "retired").glob("*.pub")):
        raise TrustError(f"the SuperNode key of this request was in use before and is retired; {name} makes another "
                         f"with `sealscore certs request HOME --rotate-supernode`")


def _party(config: CoordinatorConfig, name: str) -> Any:
    if name not in config.parties:
        known = ", ".join(sorted(config.parties)) or "none"
        raise UsageError(f"no party {name} in {config.source.name}; there are {known}")
    return config.parties[name]


@contextlib.contextmanager
def _locked(path: Path | None) -> Iterator[CoordinatorConfig]:
    """The configuration, while no other command edits it."""
    config = load_config(path)
    state = config.home / "state"
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (state / "parties.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield load_config(path)


@contextlib.contextmanager
def _kept(config: CoordinatorConfig, name: str, request: JoinRequest) -> Iterator[None]:
    """Key and request on disk before the file names them; as before if the file cannot be written."""
    folder = config.home / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = {key_path(config, name): f"{request.supernode} {name}\n".encode(),
             request_path(config, name): request.encode()}
    before = {path: path.read_bytes() if path.exists() else None for path in files}
    try:
        for path, data in files.items():
            replace_file(path, data)
        sync_folder(folder)
        yield
    except BaseException:
        for path, data in before.items():
            path.unlink(missing_ok=True) if data is None else replace_file(path, data)
        raise


def _retire(config: CoordinatorConfig, name: str) -> None:
    """Keep the party's present SuperNode key among those that are never taken again."""
    with contextlib.suppress(OSError):
        text = config.resolve(config.parties[name].supernode_public_key).read_text()
        folder = config.home / FOLDER / "retired"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(folder / f"{name}-{text_digest(text)[:16]}.pub", text.encode())


def _rewrite(config: CoordinatorConfig, edit: Callable[[str], str],
             change: Callable[[dict[str, Any]], dict[str, Any]]) -> CoordinatorConfig:
    """Replace the file by its edited text if that says exactly the changed parties and else the same as before."""
    source = config.source.resolve()
    text = source.read_text(encoding="utf-8")
    new, before = edit(text), tomllib.loads(text)
    wanted = {**before, "parties": change(before.get("parties", {}))}
    if not _same(new, wanted):
        raise ConfigError(f"{source.name}: its [parties] cannot be edited safely; give each party a [parties.NAME] "
                          "section of its own, or edit it by hand")
    made = parse_config(new, config.source)
    draft = source.with_name(source.name + ".new")
    with draft.open("w", encoding="utf-8") as sink:
        os.fchmod(sink.fileno(), source.stat().st_mode & 0o777)
        sink.write(new)
        sink.flush()
        os.fsync(sink.fileno())
    os.replace(draft, source)
    sync_folder(source.parent)
    return made


def _same(text: str, wanted: dict[str, Any]) -> bool:
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return {**found, "parties": found.get("parties", {})} == wanted


def _section(lines: list[str], name: str) -> tuple[int, int]:
    """First line and line after the last of a party's section; comments above the next section stay with that."""
    header = re.compile(rf"^[ \t]*\[[ \t]*parties[ \t]*\.[ \t]*[\"']?{re.escape(name)}[\"']?[ \t]*\][ \t]*(#.*)?$")
    starts = [i for i, line in enumerate(lines) if header.match(line)]
    if len(starts) != 1:
        raise SealscoreError(f"there is no single section [parties.{name}]; edit coordinator.toml by hand")
    end = next((i for i in range(starts[0] + 1, len(lines)) if _HEADER.match(lines[i])), len(lines))
    last = end == len(lines)
    while not last and end > starts[0] + 1 and lines[end - 1].lstrip()[:1] in ("", "#"):
        end -= 1
    return starts[0], end


def _without(text: str, name: str) -> str:
    lines = text.split("\n")
    start, end = _section(lines, name)
    if start and not lines[start - 1].strip() and (end == len(lines) or not lines[end].strip()):
        start -= 1  # one empty line between sections is enough
    return "\n".join(lines[:start] + lines[end:]).rstrip("\n") + "\n"


def _replaced(text: str, name: str, old: str, new: str) -> str:
    lines = text.split("\n")
    start, end = _section(lines, name)
    body = [line.replace(old, new) if line.lstrip().startswith("supernode_public_key") else line
            for line in lines[start:end]]
    return "\n".join(lines[:start] + body + lines[end:])


def _relative(config: CoordinatorConfig, path: Path) -> str:
    return os.path.relpath(path, config.source.parent.resolve())
