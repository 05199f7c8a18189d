"""An evidence pack that anybody may have made, its node with its own key included: the verifier says what is wrong."""
from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.errors import SealscoreError
from protocols.node.evidence import export
from protocols.node.verifier.examine import verify_evidence as verify
from protocols.node.verifier.findings import Report
from tests.attacks.test_fuzz import STRANGE, damaged, in_json, tree_damaged
from tests.protocols.node.evidence_federation import KEYS, TRUST, files_of, home_of, lines_of, play, resign

SIGNED_BY_ITS_NODE = settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("federation")
    homes = {name: home_of(root, name) for name in KEYS}
    play(homes)
    out = tmp_path_factory.mktemp("out") / "evidence"
    for home in homes.values():
        export(home, out)
    assert verify(out, TRUST).holds
    return out


@pytest.fixture
def spoilt(pack: Path, tmp_path: Path) -> Iterator[Path]:
    yield Path(shutil.copytree(pack, tmp_path / "spoilt"))


def judged(folder: Path) -> Report:
    """The report; whatever the pack holds, there is one, and it can be shown."""
    report = verify(folder, TRUST)
    assert all(isinstance(problem, str) and len(problem) < 2000 for problem in report.problems)
    return report


def sign_anew(folder: Path, lines: list[bytes]) -> None:
    """As a node with its key can; of lines that are no records nothing is derived, so the old derivations stay."""
    try:
        resign(folder, lines)
    except SealscoreError:
        resign(folder)


@SIGNED_BY_ITS_NODE
@given(st.integers(0, 100), st.integers(0, 7), st.integers(0, 2**24), st.integers(0, 2**64 - 1))
def test_a_file_that_was_damaged(pack: Path, which: int, kind: int, place: int, word: int) -> None:
    files = files_of(pack)
    path = files[which % len(files)]
    before = path.read_bytes()
    path.write_bytes(damaged(before, kind, place, word))
    try:
        assert path.read_bytes() == before or not judged(pack).holds
    finally:
        path.write_bytes(before)


@settings(SIGNED_BY_ITS_NODE, max_examples=60)
@given(st.integers(0, 40), st.integers(0, 40), st.sampled_from(STRANGE), st.booleans())
def test_a_log_that_its_node_wrote_anew(pack: Path, line: int, place: int, strange: Any, canonical: bool) -> None:
    """Its records, checkpoint and manifest are properly signed; what peers hold contradicts them. What came after the
    last checkpoint that peers hold rests on the node's own word."""
    bank = pack / "bank"
    vouched = max(judged(pack).nodes["bank"].vouched.values())
    before = {path: path.read_bytes() for path in files_of(bank)}
    lines = lines_of(bank / "log.jsonl")
    at = line % len(lines)
    lines[at] = in_json(tree_damaged(json.loads(lines[at]), place, strange), canonical)
    try:
        sign_anew(bank, lines)
        report = judged(pack)
        same = before[bank / "log.jsonl"] == (bank / "log.jsonl").read_bytes()
        assert same or at >= vouched or not report.holds
    finally:
        for path, data in before.items():
            path.write_bytes(data)


@pytest.mark.parametrize("name", ["log.jsonl", "checkpoints.jsonl", "manifest.json", "manifest.sig"])
def test_hostile_files(spoilt: Path, name: str) -> None:
    for data in (b"", b"[" * 100_000, b"\xff" * 1000, b"9" * 100_000, b"\n" * 10_000, b'{"a":"\\ud800"}\n'):
        (spoilt / "bank" / name).write_bytes(data)
        assert not judged(spoilt).holds
