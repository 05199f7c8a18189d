"""Which names and functions the expressions of a graph use; those with a clock or dice in them are refused."""
from __future__ import annotations

import re
from collections.abc import Iterator

from parties.bank.decision.jdm import EXPRESSION, SWITCH, TABLE, Node

PURE = frozenset({"abs", "all", "avg", "bool", "ceil", "contains", "count", "endsWith", "filter", "flatMap", "floor",
                  "isNumeric", "len", "lower", "map", "max", "median", "min", "none", "number", "one", "round", "some",
                  "startsWith", "string", "sum", "trim", "type", "upper"})
_WORDS = frozenset({"and", "or", "not", "in", "true", "false", "null"})
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")
_NAME = re.compile(r"(?<![\w.$#])([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)(\s*\()?")
_CALL = re.compile(r"([A-Za-z_$#][A-Za-z0-9_]*)\s*\(")


def names(text: str) -> set[str]:
    """Dotted names that an expression reads."""
    bare = _QUOTED.sub("''", text)
    return {m[1] for m in _NAME.finditer(bare) if not m[2] and m[1] not in _WORDS}


def impure_calls(text: str) -> set[str]:
    """Functions that an expression calls and that a decision may not: what is not known to be pure is not."""
    return {m[1] for m in _CALL.finditer(_QUOTED.sub("''", text)) if m[1] not in PURE | _WORDS}


def texts(node: Node) -> Iterator[str]:
    """Every expression of a node."""
    if node.kind == TABLE:
        yield from (column.get("field") or "" for column in node.content.get("inputs", []))
        for side in ("inputs", "outputs"):
            yield from (text for _, _, text in node.cells(side))
    elif node.kind == SWITCH:
        yield from (s.get("condition") or "" for s in node.content.get("statements", []))
    elif node.kind == EXPRESSION:
        yield from (e.get("value") or "" for e in node.content.get("expressions", []))


def names_read(node: Node) -> set[str]:
    """Dotted names that a node reads."""
    return set().union(*map(names, texts(node)))
