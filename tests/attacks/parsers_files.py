"""Entries of `parsers.py`: files of somebody else that a command is given: backups, plans, requests.

A backup is sealed with a passphrase, so both kinds of attacker are there: one who changes the file, and one who knows
the passphrase and puts another archive inside. Either way the home that a restore would make is there whole or not at
all, which `restored` checks after every try.
"""
from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from unittest import mock

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID, NameOID

from coordinator.plan_file import read_plan
from protocols.crypto.identity import IdentityKey
from protocols.errors import SealscoreError
from protocols.node import enrol, sealed_file
from protocols.node.backup import MANIFEST, backup, restore
from protocols.node.identity_files import write_identity
from protocols.node.sealed_file import OpeningReader, SealingWriter
from protocols.plan import canonical_json
from tests.attacks.samples import Parser, names

PASS = b"correct horse battery staple"
PLAN = b"""purpose = "credit-scoring"
label_party = "bank"
feature_parties = ["platform"]
[parties.bank]
table = "loans"
columns = ["age"]
[parties.platform]
table = "users"
columns = ["pay"]
[model]
encoding = "dummy"
"""


def quick() -> mock._patch:
    """Another work factor of the passphrase, which nobody guesses here."""
    return mock.patch.object(sealed_file, "_SCRYPT_N", 2**4)


@cache
def sealed_backup() -> bytes:
    """Of a small home, as the product makes it."""
    with tempfile.TemporaryDirectory() as folder, quick():
        home, out = Path(folder) / "bank", Path(folder) / "b"
        (home / "state").mkdir(parents=True)
        write_identity(home, IdentityKey.generate())
        (home / "bank.toml").write_text("# ours\n")
        (home / "state" / ("n" * 120)).write_bytes(bytes(700))  # a name that needs a header of its own
        backup(home, out, PASS)
        return out.read_bytes()


@cache
def archive_of_backup() -> bytes:
    """What is sealed in it."""
    with quick():
        return io.BufferedReader(OpeningReader(io.BytesIO(sealed_backup()), PASS, "b")).read()


def sealed(archive: bytes) -> bytes:
    """By somebody who knows the passphrase."""
    sink = io.BytesIO()
    with quick():
        writer = SealingWriter(sink, PASS)
        writer.write(archive)
        writer.finish()
    return sink.getvalue()


def restored(data: bytes) -> set[str]:
    """Names in the new home; whatever is refused must leave nothing behind, and nothing is ever written beside it."""
    with tempfile.TemporaryDirectory() as folder, quick():
        source, home = Path(folder) / "b", Path(folder) / "new"
        source.write_bytes(data)
        try:
            restore(source, home, PASS)
        except SealscoreError as error:
            _require(not list(Path(folder).glob(".*")) and not home.exists(), "something was left behind")
            _require("\n" not in str(error), "more than a sentence")
            raise
        _require({path.name for path in Path(folder).iterdir()} == {"b", "new"}, "something was written elsewhere")
        _require(not any(path.is_symlink() for path in home.rglob("*")), "a link was written")
        return {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise RuntimeError(what)


def archive(members: list[tuple[tarfile.TarInfo, bytes]], manifest: object) -> bytes:
    """A tar of these headers and contents, sizes as in the headers, with a manifest at its end."""
    made = io.BytesIO()
    text = json.dumps(manifest).encode()
    last = tarfile.TarInfo(MANIFEST)
    last.size = len(text)
    for info, content in [*members, (last, text)]:
        made.write(info.tobuf(tarfile.PAX_FORMAT) + content + bytes(-len(content) % tarfile.BLOCKSIZE))
    return made.getvalue() + bytes(2 * tarfile.BLOCKSIZE)


# ---------------------------------------------------------------- requests for a certificate


@cache
def _keys() -> tuple[ec.EllipticCurvePrivateKey, str]:
    return (ec.generate_private_key(ec.SECP256R1()),
            enrol.openssh(ec.generate_private_key(ec.SECP384R1()).public_key()))


def join_request(*extensions: x509.UnrecognizedExtension) -> bytes:
    """A node's own, properly signed request with any extensions in its request for a certificate."""
    key, supernode = _keys()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bank")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    csr = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    facts = {"format": "sealscore join request 1", "name": "bank", "role": "bank", "made_at": "2026-01-31T12:00:00Z",
             "identity": names()["bank"].public.hex(), "csr": csr.decode(), "supernode": supernode}
    signature = names()["bank"].sign(enrol.CONTEXT, canonical_json(facts)).hex()
    return json.dumps(facts | {"signature": signature}).encode()


def _names_in_request(data: bytes) -> object:
    """`data`: what stands in the extension for names."""
    value = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, data)
    return enrol.JoinRequest.decode(join_request(value), "request.json")


def _good_names() -> bytes:
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier("sealscore://bank")]).public_bytes()


def _plan(data: bytes) -> object:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.toml"
        path.write_bytes(data)
        return read_plan(path)


def files() -> Iterator[Parser]:
    """Everything that is read from a file of somebody else and has no entry elsewhere."""
    yield Parser("sealed backup", restored, lambda: [sealed_backup()], (), 15)
    yield Parser("archive of a backup", lambda data: restored(sealed(data)), lambda: [archive_of_backup()], (), 60)
    yield Parser("plan file", _plan, lambda: [PLAN], (), 60)
    yield Parser("names in a certificate request", _names_in_request, lambda: [_good_names()], (), 40)
