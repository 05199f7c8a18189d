"""What `sealscore doctor` finds at any node: files, modes, certificates, addresses, disk, installed versions.

Findings carry names, dates, counts and fingerprints; never a key, a row or a cell.
"""
from __future__ import annotations

import contextlib
import datetime as dt
import email.utils
import http.client
import re
import shutil
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Literal

from cryptography import x509

from protocols.crypto.identity import public_pem
from protocols.errors import SealscoreError
from protocols.node import protection
from protocols.node.identity_files import KEY_FILE, PUBLIC_FILE, load_identity
from protocols.node.installation import lock_path
from protocols.node.node_file import NodeFile
from protocols.node.tls import NodeTls, diagnose, split_address

EXPIRY_DAYS = 30
SKEW_S = 60.0
LOW_BYTES, OUT_BYTES = 5 * 1024**3, 512 * 1024**2
TIMEOUT_S = 5.0
_FLEET = "/v1/fleet/pull-messages"
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)")


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    state: Literal["ok", "warning", "problem"]
    check: str
    found: str
    todo: str = ""


def ok(check: str, found: str) -> Finding:
    """What is as it must be."""
    return Finding("ok", check, found)


def warning(check: str, found: str, todo: str) -> Finding:
    """What works now and should be looked after."""
    return Finding("warning", check, found, todo)


def problem(check: str, found: str, todo: str = "") -> Finding:
    """What keeps the node from working, or makes it unsafe."""
    return Finding("problem", check, found, todo)


def collect(**checks: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """Run checks one after another; one that ends with a sentence becomes a problem and the others still run."""
    for word, check in checks.items():
        name = word.replace("_", " ")
        try:
            yield from check()
        except SealscoreError as error:
            yield problem(name, str(error))
        except OSError as fault:
            yield problem(name, f"{fault.filename or 'a file'}: {(fault.strerror or type(fault).__name__).lower()}",
                          "check the path and its permissions")


def common(node: NodeFile, lock: Path | None) -> Iterator[Finding]:
    """The checks that every kind of node has."""
    home = node.home
    yield from collect(private_files=partial(_private_files, home), identity=partial(_identity, home),
                       certificate=partial(_certificate, node), disk=partial(_disk, home),
                       versions=partial(_versions, lock))


def _private_files(home: Path) -> Iterator[Finding]:
    keys = sorted(p for folder in ("identity", "tls", "flower", "ca") for p in (home / folder).glob("*.key"))
    databases = sorted(p for p in (home / "state").rglob("*.db") if p.is_file()) if (home / "state").exists() else []
    private = [*keys, *(p for p in databases if p.name not in ("registry.db", "superlink.db"))]
    wide = [p for p in private if p.stat().st_mode & 0o077]
    for path in wide:
        yield problem("private files", f"{path} can be read by other users", f"chmod 600 {path}")
    if home.stat().st_mode & 0o077:
        yield warning("private files", f"{home} is open to other users", f"chmod 700 {home}")
    elif not wide:
        yield ok("private files", f"{len(keys)} keys, mode 0600 in a home of mode 0700, "
                 f"{'sealed' if protection.is_protected(home) else 'not sealed'}")


def _identity(home: Path) -> Iterator[Finding]:
    key = load_identity(home)
    held = (home / PUBLIC_FILE).read_bytes() if (home / PUBLIC_FILE).exists() else b""
    if held.split() != public_pem(key.public).split():
        yield problem("identity", f"{home / PUBLIC_FILE} is not the public half of {home / KEY_FILE}",
                      "restore both files from one backup")
    else:
        yield ok("identity", f"fingerprint {key.fingerprint}")


def _certificate(node: NodeFile) -> Iterator[Finding]:
    tls = NodeTls.load(node.home)
    if tls.name != node.name:
        yield problem("certificate", f"it is for {tls.name}, the node is {node.name}",
                      "set [node] name to the certified name, or have a request of this name signed")
    for label, pem, todo in (
        ("certificate", tls.certificate, f"sealscore certs request {node.home} --renew, then sign and install"),
        ("authority", tls.ca, "ask the authority for `sealscore certs renew-authority`, then renew this node"),
    ):
        until = x509.load_pem_x509_certificate(pem).not_valid_after_utc
        days = (until - dt.datetime.now(dt.UTC)).days
        told = f"key, chain and name fit; valid until {until:%Y-%m-%d} ({days} days)"
        yield warning(label, told, todo) if days < EXPIRY_DAYS else ok(label, told)
    waiting = [p for p in ("tls/next.key", "flower/next.key") if (node.home / p).exists()]
    if waiting:
        yield warning("certificate", f"{' and '.join(waiting)} wait for a bundle",
                      f"have {node.home / 'request.json'} signed and install the bundle")


def _disk(home: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(home).free
    told = f"{free / 1024**3:.1f} GB free at {home}"
    if free < OUT_BYTES:
        yield problem("disk", told, "make room: a log that cannot be written stops every run")
    elif free < LOW_BYTES:
        yield warning("disk", told, "make room: runs keep their messages on disk")
    else:
        yield ok("disk", told)


def _versions(lock: Path | None) -> Iterator[Finding]:
    if sys.version_info[:2] != (3, 11):
        yield problem("versions", f"Python {sys.version.split()[0]}, expected 3.11", "install into Python 3.11")
    source = lock or lock_path()
    pins = _lock_pins(source) if source else _declared_pins()
    against = source.name if source else "the exact pins of the package"
    other = []
    for name, wanted in pins.items():
        with contextlib.suppress(metadata.PackageNotFoundError):
            found = metadata.version(name)
            if found != wanted:
                other.append(f"{name} {found} instead of {wanted}")
    missing = [name for name in _declared_names() if not _is_installed(name)]
    if missing:
        yield problem("versions", f"not installed: {', '.join(missing)}", "install from requirements.lock")
    if other:
        yield warning("versions", f"other than {against}: {', '.join(other[:5])}" + _more(other, 5),
                      "install from requirements.lock; all parties need the same sealscore")
    if not other and not missing:
        yield ok("versions", f"Python {sys.version.split()[0]}, {len(pins)} packages as in {against}")


def _lock_pins(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return {m[1]: m[2] for m in map(_PIN.match, lines) if m}


def _requirements() -> list[str]:
    return [line for line in metadata.requires("sealscore") or [] if "extra ==" not in line]


def _declared_pins() -> dict[str, str]:
    return {m[1]: m[2] for m in map(_PIN.match, _requirements()) if m}


def _declared_names() -> list[str]:
    return [re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0] for line in _requirements()]


def _is_installed(name: str) -> bool:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return bool(metadata.version(name))
    return False


def _more(found: list[str], shown: int) -> str:
    return f" and {len(found) - shown} more" if len(found) > shown else ""


def reach_hub(address: str, home: Path) -> Iterator[Finding]:
    """Whether the hub answers over mutual TLS."""
    refused = _refuses_tcp(address)
    if refused:
        yield problem("hub", f"{address}: {refused}", "is the coordinator up? does a firewall let this node dial?")
        return
    fault = diagnose(address, NodeTls.load(home))
    yield problem("hub", fault) if fault else ok("hub", f"{address} accepts this node's certificate")


def reach_front(address: str, home: Path) -> Iterator[Finding]:
    """Whether the TLS front forwards fleet calls, and how far its clock is from ours."""
    refused = _refuses_tcp(address)
    if refused:
        yield problem("front", f"{address}: {refused}", "is the coordinator up? does a firewall let this node dial?")
        return
    try:
        status, date = _fleet_answer(address, home)
    except ssl.SSLCertVerificationError as error:
        yield problem("front", f"the certificate of {address} is not accepted here ({error.verify_message})",
                      "compare the authority's fingerprint, the clock, and the host names in the certificate")
        return
    except (OSError, http.client.HTTPException) as fault:
        yield problem("front", f"{address} does not speak HTTPS ({type(fault).__name__})", "check [coordinator] front")
        return
    if status == 404:
        yield problem("front", f"{address} answers, but not on /v1/fleet", "check [coordinator] front: another server?")
    elif status == 503:
        yield warning("front", f"{address} answers, its SuperLink does not", "it is restarted by the coordinator; wait")
    else:
        yield ok("front", f"{address} answers on /v1/fleet")
    yield from _clock(address, date)


def _refuses_tcp(address: str) -> str:
    try:
        with socket.create_connection(split_address(address), timeout=TIMEOUT_S):
            return ""
    except OSError as fault:
        return (fault.strerror or str(fault) or "no answer").lower()


def _fleet_answer(address: str, home: Path) -> tuple[int, str | None]:
    context = ssl.create_default_context(cafile=str(home / "tls" / "ca.crt"))
    connection = http.client.HTTPSConnection(*split_address(address), timeout=TIMEOUT_S, context=context)
    try:
        connection.request("POST", _FLEET, body=b"", headers={"content-type": "application/protobuf"})
        answer = connection.getresponse()
        return answer.status, answer.getheader("date")
    finally:
        connection.close()


def _clock(address: str, date: str | None) -> Iterator[Finding]:
    if date is None:
        return
    try:
        skew = email.utils.parsedate_to_datetime(date).replace(tzinfo=dt.UTC).timestamp() - time.time()
    except ValueError:
        return
    if abs(skew) > SKEW_S:
        yield warning("clock", f"{abs(skew):.0f} s from that of {address}", "let both machines keep time by NTP")
    else:
        yield ok("clock", f"within {max(1.0, abs(skew)):.0f} s of the coordinator's")
