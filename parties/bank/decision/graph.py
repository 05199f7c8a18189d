"""A checked decision graph, compiled: what stands between the bank's own arithmetic runs in the zen engine.

A custom node of the engine would be handed everything computed so far, which costs more than the whole rest of the
graph. The graph is therefore cut at its money nodes when it is loaded: each part is a graph of its own whose input is
the node before the cut and whose ends are the nodes after it. What follows what stays as drawn. The engine's own trace
names the row of a table that fitted, at twice the time; a column added to each table here names it as well.
"""
from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import zen

from parties.bank.decision.expressions import names_read
from parties.bank.decision.jdm import EXPRESSION, INPUT, MONEY, OUTPUT, TABLE, Document, Edge, Node, as_json
from parties.bank.decision.view import View
from protocols.errors import ConfigError

Reply = tuple[dict[str, Any], str | None, dict[str, Any]]  # inputs, rule, outcome
State = Mapping[str, Mapping[str, Any]]
Money = Callable[[str, State], Reply]
_RULE, _END = "rule_", "end_"  # names no step and no field can have


class GraphFault(Exception):
    """The engine could not evaluate a part; the decision then goes to a person."""


@dataclass(frozen=True)
class Done:
    """A node that was evaluated; fractions out of the engine are floats, those of money nodes Decimals."""

    name: str
    version: str
    inputs: dict[str, Any]
    rule: str | None
    outcome: dict[str, Any]


@dataclass(frozen=True)
class Part:
    """What runs in the engine after one cut and before the next; `engine` is None where nothing stands between.

    `nodes` are its tables and expressions, each after those that lead to it, with the fields each reads.
    """

    engine: Any
    reads: Mapping[str, frozenset[str]]
    ends: tuple[str, ...]
    nodes: tuple[tuple[Node, tuple[str, ...]], ...]

    def run(self, state: State) -> tuple[list[Done], str]:
        """Steps in their order, and the node at which the part ended."""
        if self.engine is None:
            return [], self.ends[0]
        try:
            result = self.engine.evaluate(_END, self._seen(state))["result"]
        except Exception as error:  # noqa: BLE001 - the engine raises nothing narrower
            raise GraphFault("the engine could not evaluate the graph") from error
        if result.get(_END) not in self.ends:
            raise GraphFault("the graph led to no end")
        made = {node.name: result[node.name] for node, _ in self.nodes if result.get(node.name) is not None}
        after = {**state, **made}
        return [_done(node, fields, after) for node, fields in self.nodes if node.name in made], result[_END]

    def _seen(self, state: State) -> dict[str, dict[str, Any]]:
        return {
            space: {name: state[space].get(name) for name in names}
            for space, names in self.reads.items() if space in state
        }


class Graph:
    """One compiled graph; immutable, may be used by many threads."""

    def __init__(self, document: Document):
        self.document = document
        self._start = document.of_kind(INPUT)[0].id
        cuts = [self._start, *(n.id for n in document.of_kind(MONEY))]
        self._parts = {cut: _part(document, cut) for cut in cuts}

    def run(self, view: View, money: Money) -> list[Done]:
        """Every step from the input to the output, or to the first money step that ends the decision."""
        state: dict[str, Mapping[str, Any]] = dict(view)
        steps: list[Done] = []
        here = self._start
        while True:
            done, here = self._parts[here].run(state)
            steps += done
            state.update((step.name, step.outcome) for step in done)
            node = self.document.nodes[here]
            if node.kind == OUTPUT:
                return steps
            inputs, rule, outcome = money(node.name, state)
            steps.append(Done(node.name, node.version, inputs, rule, outcome))
            state[node.name] = {name: float(v) if isinstance(v, Decimal) else v for name, v in outcome.items()}
            if outcome.get("outcome") is not None:
                return steps


def _part(document: Document, start: str) -> Part:
    inner, ends = _between(document, start)
    nodes = [n for n in inner if n.kind in (TABLE, EXPRESSION)]
    if not inner and len(ends) == 1:
        return Part(None, {}, (ends[0].id,), ())
    edges = [e for e in document.edges if e.source == start or e.source in {n.id for n in inner}]
    drawn = [_bare(start, INPUT), _bare(_END, OUTPUT), *map(_drawn, inner),
             *(_end(n, [made.name for made in nodes]) for n in ends)]
    text = as_json(drawn, [*edges, *(Edge(n.id, _END, None) for n in ends)])
    engine = _compiled(text)
    return Part(engine, _reads(inner, {n.name for n in nodes}), tuple(n.id for n in ends),
                tuple((n, tuple(c["field"] for c in n.content.get("inputs", []))) for n in nodes))


def _compiled(text: str) -> zen.ZenEngine:
    """Ready to evaluate; ConfigError for a setting that the engine does not know."""
    try:
        return zen.ZenEngine({"loader": {"type": "static", "content": {_END: json.loads(text)}}})
    except Exception as error:  # noqa: BLE001 - the engine raises nothing narrower
        raise ConfigError("the engine of the graphs does not take a setting of this graph; export it again from its "
                          "editor") from error


def _between(document: Document, start: str) -> tuple[list[Node], list[Node]]:
    """Nodes inside a part, each after those that lead to it, and those at which it can end."""
    stops = frozenset(n.id for n in document.nodes.values() if n.kind in (OUTPUT, MONEY))
    inner = document.reached(start, stops - {start}) - {start}
    ends = {e.target for e in document.edges if e.source == start or e.source in inner} & stops
    order = [document.nodes[n] for n in document.order]
    return [n for n in order if n.id in inner], [n for n in order if n.id in ends]


def _bare(node: str, kind: str, content: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    return {"id": node, "type": kind, "name": node, "content": dict(content), "position": {"x": 0, "y": 0}}


def _drawn(node: Node) -> dict[str, Any]:
    """A node of the graph; a table also tells which of its rows fitted."""
    content = dict(node.content)
    if node.kind == TABLE:
        content["outputs"] = [*content["outputs"], {"id": _RULE, "name": _RULE, "field": _RULE}]
        content["rules"] = [{**row, _RULE: f"'{row['_id']}'"} for row in node.rules]
    return _bare(node.id, node.kind, content) | {"name": node.name}


def _end(node: Node, made: list[str]) -> dict[str, Any]:
    """Where a part ends: which end it is, what its steps gave and nothing of what went in."""
    texts = {_END: f"'{node.id}'", **{name: name for name in made}}
    expressions = [{"id": key, "key": key, "value": text} for key, text in texts.items()]
    return _bare(node.id, EXPRESSION, {"passThrough": False, "executionMode": "single", "expressions": expressions})


def _reads(nodes: Iterable[Node], made: set[str]) -> dict[str, frozenset[str]]:
    """Fields a part reads that it does not make itself, by namespace."""
    found: dict[str, set[str]] = {}
    for node in nodes:
        for name in names_read(node):
            space, _, field = name.partition(".")
            if space not in made:
                found.setdefault(space, set()).add(field)
    return {space: frozenset(fields) for space, fields in found.items()}


def _done(node: Node, fields: tuple[str, ...], state: State) -> Done:
    outcome = dict(state[node.name])
    rule = outcome.pop(_RULE, None)
    inputs = {}
    for field in fields:
        space, _, name = field.partition(".")
        inputs[field] = (state.get(space) or {}).get(name)
    return Done(node.name, node.version, inputs, rule, outcome)
