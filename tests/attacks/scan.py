"""Which functions of the sources look like parsers: `parsers.py` must have an entry for each."""
from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

from tests.attacks.samples import ROOT

PARSING = re.compile(r"_?(from_(bytes|json|canonical|toml_text|pem|secret_bytes|hex)|public_from_hex|decode\w*|"
                     r"parse\w*|unpack\w*|json_object)")
SCANNED = ("protocols", "parties", "coordinator")
# What stays out: functions with nothing to parse themselves, and what a node's operator types or keeps as its
# configuration: who can write there runs the node, and damage shows at its next start.
EXEMPT = {
    "protocols.role.Role.handle": "abstract",
    "protocols.psi.joint.LabelRows.handle": "refuses every message",
    "protocols.psi.joint.FeatureRows._parse": "abstract",
    "protocols.node.audit_log.AuditLog._decoded": "calls the decoders of protocols.audit on the node's own log",
    "coordinator.certs.PartySpec.parse": "an argument of the authority's own command line",
    "coordinator.config.parse_config": "the coordinator's own configuration file",
    "parties.runtime.tables.parse_table_config": "the party's own configuration file",
}


@cache
def found_in_sources() -> set[str]:
    """Qualified names of functions that look like parsers, and of every role's `handle`."""
    found = set()
    for package in SCANNED:
        for path in sorted((ROOT / package).rglob("*.py")):
            if not path.name.endswith("_pb2.py"):
                module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                found |= {name for name in _functions(ast.parse(path.read_text(encoding="utf-8")), module)}
    return found


def _functions(node: ast.AST, prefix: str, role: bool = False) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}.{child.name}", role=True)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            handles = role and child.name == "handle" and "message" in [a.arg for a in child.args.args]
            if PARSING.fullmatch(child.name) or handles:
                yield f"{prefix}.{child.name}"
