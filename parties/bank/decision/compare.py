"""What differs between two rulebooks, in the terms of a risk manager: rules by step and field, settings by line."""
from __future__ import annotations

import difflib
from collections.abc import Iterator

from parties.bank.decision.jdm import MONEY, SWITCH, Document, Node
from parties.bank.decision.rulebook import Rulebook


def differences(old: Rulebook, new: Rulebook) -> list[str]:
    """One line for each difference; none for equal rulebooks."""
    found = []
    for name in sorted(old.files.keys() | new.files.keys()):
        if name not in old.files or name not in new.files:
            found.append(f"{name}: {'taken out' if name in old.files else 'added'}")
        elif old.files[name] != new.files[name]:
            changed = list(_changed(name, old, new))
            found += changed or [f"{name}: written differently, nothing that decides"]
    return found


def _changed(name: str, old: Rulebook, new: Rulebook) -> Iterator[str]:
    if name.startswith("graphs/"):
        graph = name.removeprefix("graphs/").removesuffix(".json")
        yield from _graph(name, old.graphs[graph].document, new.graphs[graph].document)
        return
    lines = difflib.unified_diff(*(b.files[name].decode().splitlines() for b in (old, new)), n=0, lineterm="")
    yield from (f"{name}: {line[0]} {line[1:].strip()}" for line in lines
                if line[0] in "+-" and line[:3] not in ("+++", "---") and line[1:].strip())


def _graph(name: str, old: Document, new: Document) -> Iterator[str]:
    before, after = _said(old), _said(new)
    for key in sorted(before.keys() | after.keys()):
        was, now = before.get(key), after.get(key)
        if was != now:
            told = f"added: {now}" if was is None else f"taken out: {was}" if now is None else f"{was} → {now}"
            yield f"{name}: {key}: {told}"


def _said(document: Document) -> dict[str, str]:
    """Everything that decides, by what it is called."""
    names = {n.id: n.name for n in document.nodes.values()}
    said = {f"{names[e.source]} leads to {names[e.target]}": "yes" for e in document.edges}
    for node in document.nodes.values():
        said |= dict(_of_node(node))
    return said


def _of_node(node: Node) -> Iterator[tuple[str, str]]:
    for number, row in enumerate(node.rules, start=1):
        yield f"{node.name}, rule {row['_id']}, place", str(number)
    for side in ("inputs", "outputs"):
        for column, row, text in node.cells(side):
            if text.strip():
                yield f"{node.name}, rule {row['_id']}, {column['field']}", text.strip()
    for statement in node.content.get("statements", []) if node.kind == SWITCH else []:
        yield f"{node.name}, way {statement['id']}", statement.get("condition") or "otherwise"
    for expression in node.content.get("expressions", []):
        yield f"{node.name}, {expression['key']}", expression.get("value", "")
    if node.kind == MONEY:
        yield node.name, "the bank's own step"
