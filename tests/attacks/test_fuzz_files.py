"""Files that somebody else made on purpose: archives that reach out of a home or are larger than they look, and
requests whose signed contents are malformed. Random damage: `test_fuzz.py`."""
from __future__ import annotations

import hashlib
import io
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from protocols.errors import SealscoreError, TrustError
from protocols.node import backup as product
from protocols.node.backup_cli import restore_main
from protocols.node.enrol import JoinRequest
from tests.attacks.parsers_files import (
    PASS,
    archive,
    archive_of_backup,
    join_request,
    quick,
    restored,
    sealed,
    sealed_backup,
)

MEGABYTE = 2**20


def member(name: str, content: bytes = b"x", kind: bytes = tarfile.REGTYPE, size: int | None = None,
           **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    """A header and what follows it; `size`: what the header says, if not the truth."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content) if size is None else size
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def identity() -> list[tuple[tarfile.TarInfo, bytes]]:
    """The members of a proper backup, so that nothing but what is added can be the reason of a refusal."""
    with tarfile.open(fileobj=io.BytesIO(archive_of_backup())) as whole:
        return [member(info.name, whole.extractfile(info).read(), mode=info.mode) for info in whole
                if info.name != product.MANIFEST]


def manifest(members: list[tuple[tarfile.TarInfo, bytes]]) -> dict:
    """One that fits."""
    entries = {info.name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": info.size, "mode": info.mode}
               for info, content in members}
    return {"format": 1, "node": "bank", "made_at": "2026-01-31", "files": entries, "runs_left_out": []}


def made(*added: tuple[tarfile.TarInfo, bytes]) -> bytes:
    members = [*identity(), *added]
    return sealed(archive(members, manifest(members)))


ARCHIVES = {
    "a path above the home": lambda: made(member("../evil")),
    "a path above the home, later": lambda: made(member("state/../../evil")),
    "an absolute path": lambda: made(member("/tmp/evil")),
    "a file of no home": lambda: made(member("run.sh")),
    "a folder of no home": lambda: made(member("bin/evil")),
    "the home itself": lambda: made(member(".")),
    "a name with a zero byte": lambda: made(member("state/a", pax_headers={"path": "state/a\0b"})),
    "a name too long for a file system": lambda: made(member("state/" + "a" * 300)),
    "a symlink": lambda: made(member("state/link", b"", tarfile.SYMTYPE, linkname="/etc/passwd")),
    "a hard link": lambda: made(member("state/link", b"", tarfile.LNKTYPE, linkname="identity/identity.key")),
    "a device": lambda: made(member("state/null", b"", tarfile.CHRTYPE, devmajor=1, devminor=3)),
    "a pipe": lambda: made(member("state/pipe", b"", tarfile.FIFOTYPE)),
    "a folder": lambda: made(member("state/x", b"", tarfile.DIRTYPE)),
    "a sparse file": lambda: made(member("state/sparse", bytes(512), tarfile.GNUTYPE_SPARSE)),
    "a sparse file of another kind": lambda: made(member("state/sparse", pax_headers={
        "GNU.sparse.size": str(2**50), "GNU.sparse.map": "0,1"})),
    "the same file twice": lambda: made(member("state/a", b"one"), member("state/a", b"one")),
    "a file as a folder": lambda: made(member("state/a"), member("state/a/b")),
    "a folder as a file": lambda: made(member("state/a/b"), member("state/a")),
    "a member longer than the archive": lambda: made(member("state/a", b"x", size=2**60)),
    "a member of negative size": lambda: made(member("state/a", b"x", size=-512)),
    "a negative size in a longer header": lambda: made(member("state/a", pax_headers={"size": "-1024"})),
    "a header that is no number": lambda: made(member("state/a", pax_headers={"size": "many"})),
    "a name of megabytes": lambda: made(member("state/" + "a" * 8 * MEGABYTE)),
    "no identity key": lambda: sealed(archive([], manifest([]))),
    "an identity key that is none": lambda: sealed(archive([member("identity/identity.key")], manifest(
        [member("identity/identity.key")]))),
    "no manifest": lambda: sealed(archive(identity(), 1)),
    "a manifest without a node": lambda: sealed(archive(identity(), manifest(identity()) | {"node": None})),
    "a manifest without runs": lambda: sealed(archive(identity(), manifest(identity()) | {"runs_left_out": [1]})),
    "a manifest of another format": lambda: sealed(archive(identity(), manifest(identity()) | {"format": 2})),
    "a manifest that is no JSON": lambda: sealed(archive([*identity(), member(product.MANIFEST, b"[" * 200_000)], {})),
    "nothing": lambda: sealed(b""),
    "no archive": lambda: sealed(b"\xff" * 4096),
    "an archive cut off": lambda: sealed(archive_of_backup()[:700]),
    "a sealed file cut off": lambda: sealed_backup()[:-1],
    "a file that was never sealed": archive_of_backup,
}


@pytest.mark.parametrize("what", ARCHIVES)
def test_an_archive_made_on_purpose_writes_nothing(what: str) -> None:
    data = ARCHIVES[what]()
    tracemalloc.start()
    try:
        with pytest.raises(TrustError) as refused:
            restored(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(str(refused.value)) < 400
    assert peak < 64 * MEGABYTE + 8 * len(data)


def test_a_proper_archive_is_taken() -> None:
    """Otherwise those above would be refused for another reason."""
    assert "state/kept" in restored(made(member("state/kept", b"one")))
    assert "identity/identity.key" in restored(sealed_backup())


def test_more_files_than_a_backup_takes_are_refused_both_ways(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A backup that could not be restored is not made."""
    data = sealed_backup()
    monkeypatch.setattr(product, "MAX_FILES", 2)
    with pytest.raises(TrustError):
        restored(data)
    monkeypatch.setattr(product, "MAX_FILES", 10)
    monkeypatch.setattr(product, "MAX_MANIFEST_BYTES", 200)
    with pytest.raises(TrustError, match="not those of its manifest"):
        restored(data)
    home = tmp_path / "new"
    with quick():
        monkeypatch.setattr(product, "MAX_MANIFEST_BYTES", 64 * MEGABYTE)
        (tmp_path / "b").write_bytes(data)
        product.restore(tmp_path / "b", home, PASS)
        monkeypatch.setattr(product, "MAX_FILES", 2)
        with pytest.raises(SealscoreError, match="more than the 2 that a backup takes"):
            product.backup(home, tmp_path / "again", PASS)
    assert {path.name for path in tmp_path.iterdir()} == {"b", "new"}


def test_a_disk_that_is_full_leaves_no_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys) -> None:
    """What the operating system says without a file's name is one sentence, too."""
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "b").write_bytes(sealed_backup())
    (tmp_path / "pass").touch(0o600)
    (tmp_path / "pass").write_bytes(PASS)
    monkeypatch.setattr(product.shutil, "copyfileobj", full)
    with quick():
        words = [str(tmp_path / "b"), str(tmp_path / "new"), "--passphrase-file", str(tmp_path / "pass")]
        assert restore_main(words) == 1
    told = capsys.readouterr().err
    assert "no space left on device; nothing was kept" in told and told.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"b", "pass"}


# ---------------------------------------------------------------- requests


EXTENSIONS = {
    "names that are no list": b"\x04\x01\x00",
    "nothing where names should be": b"",
    "a name of a kind that nobody knows": b"\x30\x03\xa3\x01\x00",
    "a length beyond the end": b"\x30\x84\xff\xff\xff\xff",
}


@pytest.mark.parametrize("what", EXTENSIONS)
def test_signed_extensions_that_cannot_be_read_are_refused(what: str) -> None:
    """The signature holds: the request's own node made it so."""
    data = join_request(x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, EXTENSIONS[what]))
    with pytest.raises(TrustError) as refused:
        JoinRequest.decode(data, "request.json")
    assert "request.json" in str(refused.value)
