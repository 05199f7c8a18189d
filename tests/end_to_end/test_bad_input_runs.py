"""What a party refuses of a coordinator: an archive with code, and a peer whose identity key is not the pinned one."""
from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from coordinator import launch
from coordinator.demo.federation import FEATURE, LABEL, Federation, Table
from coordinator.options import opened
from coordinator.plan_file import read_plan
from protocols.crypto.identity import IdentityKey
from protocols.errors import RunFailed
from protocols.node import archive
from protocols.node.enrol import sign_supernode
from protocols.node.identity_files import KEY_FILE, load_identity
from protocols.node.progress import ProgressView
from tests.end_to_end import support

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


class ChangedIdentity(Federation):
    """The platform got a new identity key and told the coordinator, but not the bank."""

    def prepare(self) -> None:
        super().prepare()
        path = self.home(FEATURE) / KEY_FILE
        old, new = load_identity(self.home(FEATURE)), IdentityKey.generate()
        path.write_bytes(new.to_pem())
        text = self.config.read_text()
        assert text.count(old.public.hex()) == 1
        self.config.write_text(text.replace(old.public.hex(), new.public.hex()))
        flower = self.home(FEATURE) / "flower"
        (flower / "supernode.sig").write_bytes(sign_supernode(new, FEATURE, (flower / "supernode.pub").read_text()))


@pytest.fixture(scope="module")
def fed(tables: dict[str, Table], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with ChangedIdentity(tmp_path_factory.mktemp("i"), tables, minimum_rows=1000) as running:
        yield running


def refusals(fed: Federation, party: str) -> list[dict]:
    return [r["body"] for r in support.audit_records(fed, party) if r["kind"] == "refusal"]


def assert_nothing_of_a_model(fed: Federation) -> None:
    for party in (LABEL, FEATURE):
        assert support.vault_models(fed, party) == set()
        assert not list((fed.home(party) / "state" / "runs").glob("*/run.db"))


def test_an_archive_with_code_is_refused_by_both(fed: Federation, tmp_path: Path, monkeypatch) -> None:
    members = {**archive.members(), "parties/runtime/client_app.py": b"raise SystemExit('from outside')\n"}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        for name, content in members.items():
            bundle.writestr(name, content)
    evil = buffer.getvalue()
    monkeypatch.setattr(archive, "build", lambda: (evil, hashlib.sha256(evil).hexdigest()))
    plan = read_plan(support.write_plan(tmp_path / "plan.toml"))
    with opened(fed.config) as (settings, registry), ProgressView("run", quiet=True) as view:
        run = launch.submit(settings, registry, plan)
        row = launch.follow(settings, registry, run, view)
        with pytest.raises(RunFailed, match="refused the application archive .* same version of sealscore"):
            launch.raise_unless_finished(row)
    told = [body for party in (LABEL, FEATURE) for body in refusals(fed, party) if body["what"] == "archive"]
    assert told and all("expected exactly pyproject.toml" in body["cause"] for body in told)
    assert_nothing_of_a_model(fed)


def test_an_identity_that_is_not_pinned_ends_the_run_in_agreement(fed: Federation, tmp_path: Path) -> None:
    done = support.sealscore("run", str(support.write_plan(tmp_path / "plan.toml")), federation=fed)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    for words in ("ended at bank in phase agree", "identity key announced for platform",
                  "compare fingerprints with platform by telephone", "; next: "):
        assert words in errors[0]
    assert [body for body in refusals(fed, LABEL) if "identity key announced for platform" in body["cause"]]
    assert_nothing_of_a_model(fed)
