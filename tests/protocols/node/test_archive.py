"""The archive holds no code, is what Flower's own tool builds, and nothing else is accepted."""
from __future__ import annotations

import hashlib
import io
import zipfile

import pytest

from protocols.node import archive
from protocols.node.archive import ForeignArchive


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def packed(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as bundle:
        for path, content in members.items():
            bundle.writestr(path, content)
    return buffer.getvalue()


def with_listing(members: dict[str, bytes]) -> dict[str, bytes]:
    lines = [f"{p},{digest(c)},{len(c) * 8}" for p, c in members.items()]
    return {**members, ".info/CONTENT": "\n".join(lines).encode()}


OURS = archive.members()
PROJECT = OURS["pyproject.toml"]


def test_it_is_the_same_every_time_and_holds_no_code():
    content, announced = archive.build()
    assert announced == digest(content) and archive.build() == (content, announced)
    assert {p.rsplit(".", 1)[-1] for p in OURS} == {"toml", "info/CONTENT"}
    archive.check(content, announced)


@pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")
def test_flower_s_own_builder_gives_the_same_members():
    from flwr.cli.build import build_fab_from_files

    content, _ = build_fab_from_files({"pyproject.toml": PROJECT})
    archive.check(content, digest(content))


def test_another_compression_is_accepted():
    content = packed(OURS, zipfile.ZIP_DEFLATED)
    archive.check(content, digest(content))


@pytest.mark.parametrize(
    "content",
    [
        packed(with_listing({"pyproject.toml": PROJECT, "parties/runtime/client_app.py": b"app = None"})),
        packed(with_listing({"pyproject.toml": PROJECT.replace(b"parties.runtime", b"evil.runtime")})),
        packed({**OURS, ".info/CONTENT": b""}),
        packed({"pyproject.toml": PROJECT}),
        packed({"pyproject.toml": PROJECT, ".info/OTHER": b""}),
        packed({**OURS, "pyproject.toml": PROJECT + b" " * 100_000}),
        packed({**OURS, "pyproject.toml": PROJECT + b"\0" * 10_000_000}, zipfile.ZIP_DEFLATED),
        b"",
        b"PK\x03\x04 not a zip",
        archive.build()[0][:-30],
    ],
    ids=["code", "component", "listing", "no-listing", "other-member", "long", "bomb", "empty", "broken", "cut"],
)
def test_foreign_archives_are_refused(content: bytes):
    with pytest.raises(ForeignArchive):
        archive.check(content, digest(content))


def test_twice_the_same_member_is_refused():
    with pytest.warns(UserWarning, match="Duplicate name"):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as bundle:
            for path, content in [("pyproject.toml", b"evil"), *OURS.items()]:
                bundle.writestr(path, content)
    with pytest.raises(ForeignArchive):
        archive.check(buffer.getvalue(), digest(buffer.getvalue()))


def test_another_hash_than_announced_is_refused():
    with pytest.raises(ForeignArchive, match="hash announced"):
        archive.check(archive.build()[0], "0" * 64)


def test_every_changed_byte_is_refused_or_leaves_the_members_as_they_are():
    content, _ = archive.build()
    for position in range(0, len(content), 7):
        changed = bytearray(content)
        changed[position] ^= 1
        try:
            archive.check(bytes(changed), digest(bytes(changed)))
        except ForeignArchive:
            continue
        with zipfile.ZipFile(io.BytesIO(bytes(changed))) as bundle:
            assert {i.filename: bundle.read(i) for i in bundle.infolist()} == OURS


def test_the_code_digest_covers_the_installed_source():
    assert archive.code_digest("protocols.node") != archive.code_digest("protocols.psi")
    assert len(archive.code_digest()) == 64
