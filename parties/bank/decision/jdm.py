"""A decision graph as its editor writes it: JSON Decision Model (JDM), of which a credit decision uses a checked part.

Allowed are input, output, decision tables, switches, expressions and, for the bank's own arithmetic, custom nodes. Code
in other languages, calls to other systems and other graphs are not: a decision must be readable and replay bit for bit.
"""
from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from protocols.canonical import canonical_json
from protocols.errors import ConfigError

INPUT, OUTPUT, TABLE, SWITCH = "inputNode", "outputNode", "decisionTableNode", "switchNode"
EXPRESSION, MONEY = "expressionNode", "customNode"
MAX_GRAPH_BYTES = 1024 * 1024
MAX_TEXT_CHARS = 4096  # of a cell: the engine's work on one grows with its square
MAX_PLACE = 10**6
_LISTS: dict[str, frozenset[str] | None] = {  # which members are text; None: all
    "rules": None, "inputs": frozenset({"id", "name", "field"}), "outputs": frozenset({"id", "name", "field"}),
    "statements": frozenset({"id", "condition"}), "expressions": frozenset({"key", "value"}),
}
_WITH_ID = ("inputs", "outputs", "statements")


@dataclass(frozen=True)
class Node:
    """One node: its id, kind, name (also the name of its step) and content, as the editor wrote it."""

    id: str
    kind: str
    name: str
    content: Mapping[str, Any]
    position: tuple[float, float]

    @cached_property
    def version(self) -> str:
        """Changes with the node's rules and with nothing else."""
        return hashlib.sha256(canonical_json({"kind": self.kind, "content": exact_text(self.content)})).hexdigest()[:12]

    @property
    def rules(self) -> list[dict[str, str]]:
        """Rows of a decision table."""
        return self.content.get("rules", [])

    def cells(self, side: str) -> Iterable[tuple[dict[str, Any], dict[str, str], str]]:
        """(column, row, text) of every cell; `side` is inputs or outputs."""
        for row in self.rules:
            for column in self.content.get(side, []):
                yield column, row, row.get(column["id"], "")


@dataclass(frozen=True)
class Edge:
    """From one node, or one statement of a switch (`handle`), to another node."""

    source: str
    target: str
    handle: str | None


@dataclass(frozen=True)
class Document:
    """Nodes by id, and edges."""

    nodes: dict[str, Node]
    edges: tuple[Edge, ...]

    def after(self, node: str) -> list[str]:
        """Nodes that a node leads to."""
        return [e.target for e in self.edges if e.source == node]

    def of_kind(self, kind: str) -> list[Node]:
        """In the order of the file."""
        return [n for n in self.nodes.values() if n.kind == kind]

    def reached(self, start: str, without: frozenset[str] = frozenset()) -> set[str]:
        """`start` and everything it leads to, passing none of `without`."""
        seen, waiting = set(), [start]
        while waiting:
            node = waiting.pop()
            if node not in seen and node not in without:
                seen.add(node)
                waiting += self.after(node)
        return seen

    @cached_property
    def order(self) -> list[str]:
        """Ids, each after all that lead to it; ConfigError for a circle."""
        left = {n: sum(e.target == n for e in self.edges) for n in self.nodes}
        free, done = [n for n, count in left.items() if count == 0], []
        while free:
            node = free.pop(0)
            done.append(node)
            for target in self.after(node):
                left[target] -= 1
                if left[target] == 0:
                    free.append(target)
        if len(done) < len(self.nodes):
            circle = ", ".join(sorted(self.nodes[n].name for n, count in left.items() if count))
            raise ConfigError(f"the graph leads in a circle through {circle}; take an edge out")
        return done


def parse(text: bytes, source: str) -> Document:
    """Read a graph; ConfigError names `source` and what is not as expected."""
    if len(text) > MAX_GRAPH_BYTES:
        raise ConfigError(f"{source}: expected a graph of at most {MAX_GRAPH_BYTES} bytes, got {len(text)}")
    try:
        value = json.loads(text)
        canonical_json(value)  # half a surrogate pair, or NaN, is nothing that an engine or a digest takes
        nodes = [_node(n) for n in value["nodes"]]
        edges = tuple(_edge(e) for e in value["edges"])
    except (ValueError, RecursionError):
        raise ConfigError(f"{source}: expected a decision graph in JSON; export it again from its editor") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{source}: expected a decision graph with nodes and edges, got one without or with a wrong "
                          f"{error.args[0] if isinstance(error, KeyError) else 'value'}") from None
    if (longest := max((len(text) for n in nodes for text in _texts(n.content)), default=0)) > MAX_TEXT_CHARS:
        raise ConfigError(f"{source}: expected cells and expressions of at most {MAX_TEXT_CHARS} characters, got "
                          f"{longest}; divide it into steps")
    document = Document({n.id: n for n in nodes}, edges)
    if len(document.nodes) != len(nodes):
        raise ConfigError(f"{source}: two nodes share an id; give each its own")
    if missing := sorted({end for e in edges for end in (e.source, e.target)} - document.nodes.keys()):
        raise ConfigError(f"{source}: an edge leads to or from {missing[0]!r:.60}, which is no node")
    return document


def as_json(nodes: Iterable[Mapping[str, Any]], edges: Iterable[Edge]) -> str:
    """A graph for the engine."""
    drawn = [
        {"id": f"e{i}", "sourceId": e.source, "targetId": e.target, "type": "edge"}
        | ({"sourceHandle": e.handle} if e.handle else {})
        for i, e in enumerate(edges)
    ]
    return json.dumps({"nodes": list(nodes), "edges": drawn})


def exact_text(value: Any) -> Any:
    """JSON with its fractions as text, so that it has one canonical spelling."""
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Mapping):
        return {k: exact_text(v) for k, v in value.items()}
    return [exact_text(v) for v in value] if isinstance(value, list) else value


def _edge(value: Mapping[str, Any]) -> Edge:
    handle = value.get("sourceHandle")
    return Edge(_text(value["sourceId"]), _text(value["targetId"]), None if handle is None else _text(handle))


def _node(value: Mapping[str, Any]) -> Node:
    position = value.get("position") or {}
    content = value.get("content") or {}
    if not isinstance(content, dict):
        raise TypeError("content")
    _check_lists(content)
    return Node(_text(value["id"]), _text(value["type"]), _text(value["name"]), content,
                (_place(position.get("x", 0)), _place(position.get("y", 0))))


def _check_lists(content: Mapping[str, Any]) -> None:
    """Rows, columns, statements and expressions are lists of objects; what the checks read of them is text."""
    for name, texts in _LISTS.items():
        for item in content.get(name, []):
            for key, inner in item.items():
                if (texts is None or key in texts) and not (inner is None or isinstance(inner, str)):
                    raise TypeError(name)
            if name in _WITH_ID and not isinstance(item.get("id"), str):
                raise TypeError(name)
            if name == "rules" and None in item.values():
                raise TypeError(name)


def _texts(content: Mapping[str, Any]) -> Iterable[str]:
    """Every text of its lists."""
    for name in _LISTS:
        for item in content.get(name, []):
            yield from (inner for inner in item.values() if isinstance(inner, str))


def _place(value: Any) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > MAX_PLACE:
        raise TypeError("position")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("text")
    return value
