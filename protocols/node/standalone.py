"""The verifier as one file for machines without the product: its modules one after another, with nothing rewritten.

`sealscore audit verifier --out verify.py` writes it. The product's own `audit verify` and `audit report` run the same
modules. A module may import the standard library, `cryptography` and modules before it, by plain names; no two modules
may define one name. Otherwise UsageError, so a verifier that would not run is never written.
"""
from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from protocols.errors import UsageError

VERIFIER = "protocols.node.verifier"
MODULES = (
    "protocols.errors", "protocols.canonical", "protocols.crypto.identity", "protocols.merkle", "protocols.audit",
    *(f"{VERIFIER}.{name}" for name in (
        "names", "trust", "agreed", "words_en", "words_zh", "findings", "locked", "reading", "derived", "checks",
        "witnesses", "examine", "rules", "privacy", "bars", "page", "main")),
)
OUTSIDE = frozenset(sys.stdlib_module_names) | {"cryptography"}
HEAD = '''#!/usr/bin/env python3
"""Verifies Sealscore evidence and derives its privacy report, on a machine without Sealscore.

    python verify.py EVIDENCE --trust trust.json [--report privacy.html] [--lang en|zh] [--json]

Needs Python 3.11 and the package cryptography. Sealscore VERSION wrote this file out of its own modules.
"""
from __future__ import annotations

'''
END = '\n\nif __name__ == "__main__":\n    raise SystemExit(main(sys.argv[1:]))\n'


@dataclass(frozen=True)
class _Part:
    """A module without its imports: source, imports from outside, and what it defines."""

    source: str
    imports: frozenset[str]
    defined: frozenset[str]


def standalone_source() -> str:
    """The verifier as the text of one Python file, always the same for one version."""
    imports: set[str] = set()
    defined: set[str] = set()
    sources = []
    for place, module in enumerate(MODULES):
        part = _part(module, MODULES[:place])
        twice = sorted(part.defined & defined)
        if twice:
            raise UsageError(f"{module} defines {', '.join(twice)} again; the verifier's modules share one file")
        imports |= part.imports
        defined |= part.defined
        sources.append(f"# {module}\n\n{part.source}")
    head = HEAD.replace("VERSION", version("sealscore"))
    return head + "\n".join(sorted(imports)) + "\n\n\n" + "\n\n".join(sources).rstrip() + "\n" + END


def _part(module: str, before: tuple[str, ...]) -> _Part:
    text = _path(module).read_text(encoding="utf-8")
    tree, lines, imports, defined = ast.parse(text), text.splitlines(), set(), set()
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports |= _outside(node, module, before)
            for number in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[number] = ""
        else:
            defined |= _names(node)
    nested = [node for top in tree.body if not isinstance(top, ast.Import | ast.ImportFrom) for node in ast.walk(top)
              if isinstance(node, ast.Import | ast.ImportFrom)]
    if nested:
        raise UsageError(f"{module} imports inside of a function; the verifier's modules import at their top")
    return _Part(_tidy(lines), frozenset(imports), frozenset(defined))


def _outside(node: ast.Import | ast.ImportFrom, module: str, before: tuple[str, ...]) -> set[str]:
    """What an import needs from outside of the file: nothing if an earlier part defines it."""
    names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
    if names == ["__future__"]:
        return set()
    if all(name.split(".")[0] in OUTSIDE for name in names):
        return {ast.unparse(node)}
    plain = isinstance(node, ast.ImportFrom) and not node.level and all(alias.asname is None for alias in node.names)
    if not plain or names[0] not in before:
        raise UsageError(f"{module} imports {', '.join(names)}, which the verifier's file does not hold")
    return set()


def _names(node: ast.stmt) -> set[str]:
    """Names that a statement of a module defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return {name.id for target in targets if target for name in ast.walk(target) if isinstance(name, ast.Name)}


def _tidy(lines: list[str]) -> str:
    """Two empty lines at most where imports were."""
    kept: list[str] = []
    for line in lines:
        if line or kept[-2:] != ["", ""]:
            kept.append(line)
    return "\n".join(kept).strip() + "\n"


def _path(module: str) -> Path:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise UsageError(f"{module} is not installed on this node; install the full distribution")
    return Path(spec.origin)
