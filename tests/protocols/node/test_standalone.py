"""The verifier as one file: it runs where nothing of the product is, and says byte for byte what the product says."""
from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from protocols.errors import UsageError
from protocols.node import audit_cli, standalone
from protocols.node.identity_files import trust_json
from protocols.node.standalone import MODULES, standalone_source
from tests.packaging.project import imported_roots
from tests.protocols.node.evidence_federation import TRUST

# -I and -S: no environment, no current folder, no site-packages; then only a folder with links to `cryptography`.
ALONE = ("import sys, runpy; sys.path.append(sys.argv[1]); del sys.argv[:2]; "
         "runpy.run_path(sys.argv[0], run_name='__main__')")


@pytest.fixture(scope="module")
def verifier(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("verifier") / "verify.py"
    assert audit_cli.main(["verifier", "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def only_cryptography(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("only")
    for name in ("cryptography", "cffi", "_cffi_backend"):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            path = Path(spec.origin)
            path = path.parent if path.name == "__init__.py" else path
            (folder / path.name).symlink_to(path)
    return folder


@pytest.fixture
def alone(verifier, only_cryptography, tmp_path):
    """Runs a file with words in an empty folder; the finished process."""
    empty = tmp_path / "empty"
    empty.mkdir()

    def call(*words: object, file: Path = verifier) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-I", "-S", "-c", ALONE, only_cryptography, file, *words]
        return subprocess.run(list(map(str, command)), cwd=empty, env={}, capture_output=True, timeout=60, check=False)
    return call


@pytest.fixture
def trust_file(tmp_path) -> Path:
    path = tmp_path / "trust.json"
    path.write_bytes(trust_json(TRUST))
    return path


def test_there_the_product_cannot_be_imported(alone, tmp_path):
    probe = tmp_path / "probe.py"
    for name in ("protocols", "numpy", "pydantic", "typer"):
        probe.write_text(f"import {name}\n", encoding="utf-8")
        done = alone(file=probe)
        assert done.returncode == 1 and b"ModuleNotFoundError" in done.stderr
    probe.write_text("import cryptography\n", encoding="utf-8")
    assert alone(file=probe).returncode == 0


def test_it_imports_the_standard_library_and_cryptography_only(verifier):
    assert imported_roots(verifier) == {"cryptography"}


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_it_derives_the_report_byte_for_byte(alone, evidence, trust_file, tmp_path, capfdbinary, lang):
    ours, theirs = tmp_path / "ours.html", tmp_path / "theirs.html"
    words = [str(evidence), "--trust", str(trust_file), "--lang", lang, "--json"]
    assert audit_cli.main(["report", *words, "--out", str(ours)]) == 0
    product = capfdbinary.readouterr().out
    done = alone(*words, "--report", theirs)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == product and json.loads(product)["lang"] == lang
    assert theirs.read_bytes() == ours.read_bytes()


def test_it_says_what_audit_verify_says(alone, evidence, trust_file, capfdbinary):
    assert audit_cli.main(["verify", str(evidence), "--trust", str(trust_file)]) == 0
    assert alone(evidence, "--trust", trust_file).stdout == capfdbinary.readouterr().out


def test_it_names_what_broke_and_writes_no_report(alone, evidence, trust_file, tmp_path, capfdbinary):
    log, page = evidence / "bank" / "log.jsonl", tmp_path / "page.html"
    log.write_bytes(log.read_bytes().replace(b'"bytes":1003', b'"bytes":1004'))
    done = alone(evidence, "--trust", trust_file, "--report", page)
    assert done.returncode == 1 and b"FAIL: bank/log.jsonl: changed since bank signed" in done.stdout
    found = json.loads(alone(evidence, "--trust", trust_file, "--json").stdout)
    assert found["holds"] is False and found["problems"]
    assert audit_cli.main(["report", str(evidence), "--trust", str(trust_file), "--out", str(page)]) == 1
    assert b"does not hold" in capfdbinary.readouterr().err
    assert not page.exists() and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("words", [["nowhere", "--trust", "nothing"], [], ["x", "--trust", "y", "--lang", "fr"]])
def test_wrong_arguments_end_with_a_sentence(alone, words):
    done = alone(*words)
    assert done.returncode in (1, 2) and b"error: " in done.stderr and b"Traceback" not in done.stderr


def test_it_wants_trust_from_outside(alone, evidence):
    (evidence / "trust.json").write_bytes(trust_json(TRUST))
    done = alone(evidence, "--trust", evidence / "trust.json")
    assert done.returncode == 2 and b"outside the evidence" in done.stderr


def test_the_command_prints_the_digest_of_what_it_wrote(tmp_path, capsys):
    path = tmp_path / "v.py"
    assert audit_cli.main(["verifier", "--out", str(path)]) == 0
    assert hashlib.sha256(path.read_bytes()).hexdigest() in capsys.readouterr().out
    assert path.read_text(encoding="utf-8") == standalone_source()
    assert audit_cli.main(["verifier", "--out", str(tmp_path / "no" / "v.py")]) == 2


@pytest.mark.parametrize(("text", "words"), [
    ("import numpy\n", "imports numpy"), ("from protocols.plan import Plan\n", "imports protocols.plan"),
    ("from protocols.errors import TrustError as T\n", "imports protocols.errors"),
    ("from . import names\n", "imports"), ("LOG: str = ''\n", "defines LOG again"),
    ("def verify_evidence():\n    return 1\n", "defines verify_evidence again"),
    ("def more():\n    import json\n    return json\n", "inside of a function"),
])
def test_a_module_that_would_not_run_alone_is_refused(monkeypatch, tmp_path, text, words):
    module = tmp_path / "added.py"
    module.write_text(text, encoding="utf-8")
    path = standalone._path
    monkeypatch.setattr(standalone, "MODULES", (*MODULES, "added"))
    monkeypatch.setattr(standalone, "_path", lambda name: module if name == "added" else path(name))
    with pytest.raises(UsageError, match=words):
        standalone_source()
