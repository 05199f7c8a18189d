"""Small files, and generated code that is what its source generates."""
from __future__ import annotations

import subprocess
import sys

from tests.packaging.project import PACKAGES, ROOT, clean_environment, sources

LONGEST = 500
TEXTS = ("*.j2", "*.proto", "*.md")


def test_no_file_is_longer_than_500_lines():
    texts = [path for folder in (*PACKAGES, "tests") for pattern in TEXTS for path in (ROOT / folder).rglob(pattern)]
    files = [*sources(*PACKAGES, "tests"), *texts, ROOT / "Makefile", ROOT / "README.md", ROOT / "pyproject.toml"]
    lengths = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8").count("\n") for path in files}
    assert len(lengths) > 100
    assert not {name: length for name, length in lengths.items() if length > LONGEST}


def test_generated_code_is_up_to_date(tmp_path):
    folders = [ROOT / name for name in PACKAGES]
    protos = [str(path.relative_to(ROOT)) for folder in folders for path in sorted(folder.rglob("*.proto"))]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", "-I", ".", f"--python_out={tmp_path}",
                    f"--pyi_out={tmp_path}", *protos], cwd=ROOT, env=clean_environment(), check=True, timeout=60)
    fresh = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*_pb2.py*")}
    kept = {path.relative_to(ROOT): path.read_bytes() for folder in folders for path in folder.rglob("*_pb2.py*")
            if "__pycache__" not in path.parts}
    assert len(fresh) == 2 * len(protos)
    assert fresh == kept
