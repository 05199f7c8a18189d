"""The example of the README runs, and its figures are those of the code."""
from __future__ import annotations

import re
from pathlib import Path

import protocols.crypto
from protocols.crypto.product import ERROR_BITS, ReplyCoding

TEXT = (Path(protocols.crypto.__file__).parent / "README.md").read_text()


def test_example_runs():
    (example,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})


def test_stated_bound_is_quoted():
    stated = ERROR_BITS["tile", ReplyCoding.FULL, "forward"]
    assert f"bound 2^{stated:.1f})" in TEXT
