"""What must hold of a decision graph before it may decide: every problem is found, each told with node and rule.

The engine of the graphs passes over a row it cannot evaluate: a misspelt field or a comparison with something unknown
would make a rule that declines never fire, silently. So every cell is tried here on examples of what its field can
hold, every field must exist, every table must end in a row that always fits, and nothing reaches an approval past a
step that it needs.
"""
from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, get_args

import zen

from parties.bank.decision.expressions import impure_calls, names, texts
from parties.bank.decision.jdm import EXPRESSION, INPUT, MONEY, OUTPUT, SWITCH, TABLE, Document, Node
from parties.bank.decision.record import Outcome
from parties.bank.decision.view import FIELDS, NAMESPACES

MONEY_STEPS: dict[str, dict[str, tuple[Any, ...]]] = {
    "product": {"product": ("weilidai",), "outcome": (None, "declined"), "reason": (None,)},
    "limit": {"limit_fen": (0, 500_000), "amount_fen": (0, 500_000), "outcome": (None,), "reason": (None,)},
    "price": {"daily_rate": (0.0003,), "annual_cost": (0.12,), "outcome": (None,), "reason": (None,)},
    "funding": {"partners": (1, 2), "outcome": (None,), "reason": (None,)},
}
NEEDED = ("eligibility", "consent", "sufficiency", "fraud", "risk", *MONEY_STEPS)
LAST = "final"
_NAME = re.compile(r"[a-z](?:[a-z0-9_]{0,30}[a-z0-9])?")
_RULE = re.compile(r"[A-Za-z0-9._-]{1,32}")
_KINDS = (INPUT, OUTPUT, TABLE, SWITCH, EXPRESSION, MONEY)

Examples = dict[str, tuple[Any, ...]]


def problems(document: Document, codes: Collection[str]) -> list[str]:
    """Everything that keeps a graph from deciding, as sentences; `codes` are the reasons that have texts."""
    found = [*_kinds(document), *_names(document)]
    if found:
        return found
    found += [*_ways(document), *_switches(document)]
    if found:
        return found
    examples: Examples = dict(FIELDS)
    for node in (document.nodes[n] for n in document.order):
        found += _node_problems(node, examples, codes)
        examples |= _made(node, examples)
    return found


def _kinds(document: Document) -> Iterator[str]:
    for node in document.nodes.values():
        if node.kind not in _KINDS:
            yield f"{node.name}: a node of kind {node.kind!r:.40}; a decision may use tables, switches, expressions " \
                  "and the bank's own steps"
        elif node.kind == MONEY and (node.name not in MONEY_STEPS or node.content.get("kind") != node.name):
            yield f"{node.name}: a step of the bank's own is named, and of kind, one of {', '.join(MONEY_STEPS)}"
    if len(document.of_kind(INPUT)) != 1 or not document.of_kind(OUTPUT):
        yield "a graph has one input and at least one output"


def _names(document: Document) -> Iterator[str]:
    named = [n.name for n in document.nodes.values() if n.kind in (TABLE, EXPRESSION, MONEY)]
    for name in sorted(set(named)):
        if named.count(name) > 1:
            yield f"{name}: two steps have this name"
        if name in NAMESPACES:
            yield f"{name}: rules read {name}.… as a fact; give the step another name"
        if not _NAME.fullmatch(name):
            yield f"{name!r:.60}: a step's name is small letters, digits and underscores inside"


def _ways(document: Document) -> Iterator[str]:
    start = document.of_kind(INPUT)[0].id
    reached = document.reached(start)
    order = document.order
    for node in (document.nodes[n] for n in order):
        if node.id not in reached:
            yield f"{node.name}: nothing leads to it"
        after = document.after(node.id)
        if node.kind != OUTPUT and not after:
            yield f"{node.name}: leads nowhere; draw an edge to an output"
        if node.kind in (INPUT, TABLE, EXPRESSION, MONEY) and len(after) > 1:
            yield f"{node.name}: leads to {len(after)} nodes at once; a switch says which"
    by_name = {n.name: n.id for n in document.nodes.values()}
    if LAST not in by_name:
        yield f"no step {LAST}: only it approves"
        return
    for name in NEEDED:
        if name not in by_name:
            yield f"no step {name}: a credit decision needs it"
        elif by_name[LAST] in document.reached(start, frozenset({by_name[name]})):
            yield f"{LAST}: there is a way to it past {name}"


def _switches(document: Document) -> Iterator[str]:
    for node in document.of_kind(SWITCH):
        statements = node.content.get("statements", [])
        handles = {s.get("id") for s in statements}
        leading = [e.handle for e in document.edges if e.source == node.id]
        if node.content.get("hitPolicy", "first") != "first":
            yield f"{node.name}: a switch takes the first statement that holds (hitPolicy first)"
        if not statements or (statements[-1].get("condition") or "").strip():
            yield f"{node.name}: its last statement must be empty, for everything else"
        if sorted(map(str, leading)) != sorted(map(str, handles)):
            yield f"{node.name}: each statement leads to one node, and every edge comes from a statement"


def _node_problems(node: Node, examples: Examples, codes: Collection[str]) -> list[str]:
    found = [f"{node.name}: calls {name}(), which is not known to give the same each time"
             for text in texts(node) for name in sorted(impure_calls(text))]
    found += [f"{node.name}: reads {name}, which nothing before it makes"
              for text in texts(node) for name in sorted(names(text) - examples.keys())]
    if found:
        return sorted(set(found))
    check = {TABLE: _table, EXPRESSION: _expressions, SWITCH: _conditions}.get(node.kind)
    return list(check(node, examples, codes)) if check else []


def _table(node: Node, examples: Examples, codes: Collection[str]) -> Iterator[str]:
    yield from _settings(node)
    columns = node.content.get("inputs", [])
    if unnamed := [c["id"] for c in columns if (c.get("field") or "") not in examples]:
        yield f"{node.name}: input column {unnamed[0]!r:.40} names no field; say which one it reads"
        return
    yield from _rows(node)
    known: set[str] = set()
    for row in node.rules:
        cells = {c["field"]: row.get(c["id"], "").strip() for c in columns if row.get(c["id"], "").strip()}
        for field, text in cells.items():
            values = [e for e in examples[field] if e is not None or field not in known]
            yield from _cell(node, row, field, text, values, examples)
        known |= {field for field, text in cells.items() if text == "null" and len(cells) == 1}
    fields = {c.get("field") for c in node.content.get("outputs", [])}
    for field in sorted({"outcome", "reason"} - fields):
        yield f"{node.name}: has no output column {field}"
    for field in fields:
        if not _NAME.fullmatch(field or ""):
            yield f"{node.name}: an output column's field is small letters, digits and underscores inside"
    for column, row, text in node.cells("outputs"):
        yield from _given(node, row, column.get("field"), text, examples, codes)


def _settings(node: Node) -> Iterator[str]:
    wanted = {"passThrough": (True,), "outputPath": (node.name,), "inputField": (None, ""),
              "executionMode": ("single",)}
    if node.kind == TABLE:
        wanted["hitPolicy"] = ("first",)
    for setting, allowed in wanted.items():
        if node.content.get(setting) not in allowed:
            yield f"{node.name}: expected {setting} = {allowed[0]!r}, got {node.content.get(setting)!r:.40}"


def _rows(node: Node) -> Iterator[str]:
    ids = [row.get("_id", "") for row in node.rules]
    if len(set(ids)) != len(ids) or not all(_RULE.fullmatch(i) for i in ids):
        yield f"{node.name}: every row has an _id of its own (letters, digits, '.', '_', '-')"
    columns = [c["id"] for side in ("inputs", "outputs") for c in node.content.get(side, [])]
    for row in node.rules:
        if missing := [c for c in columns if c not in row]:
            yield f"{node.name}, rule {row.get('_id', '')}: no cell for column {missing[0]}"
    if not node.rules or any(node.rules[-1].get(c["id"], "").strip() for c in node.content.get("inputs", [])):
        yield f"{node.name}: the last row must always fit: leave its conditions empty"


def _cell(node: Node, row: Mapping[str, str], field: str, text: str, values: list[Any],
          examples: Examples) -> Iterator[str]:
    where = f"{node.name}, rule {row.get('_id', '')}, {field} {text!r:.60}"
    for example in values:
        try:
            zen.evaluate_unary_expression(text, {**_sample(examples), "$": example})
        except RuntimeError as error:
            unknown = "; the field may be unknown: write `null`, or `$ != null and …`" if example is None else ""
            wrong = "is no expression" if "parserError" in str(error) else f"cannot be compared with {example!r}"
            yield f"{where}: {wrong}{unknown}"
            return


def _given(node: Node, row: Mapping[str, str], field: str | None, text: str, examples: Examples,
           codes: Collection[str]) -> Iterator[str]:
    where = f"{node.name}, rule {row.get('_id', '')}, {field}"
    try:
        value = zen.evaluate_expression(text, _sample(examples))
    except RuntimeError:
        yield f"{where}: {text!r:.60} gives no value; write null, a number, or text in quotes"
        return
    if field == "outcome" and value not in (None, *get_args(Outcome)):
        yield f"{where}: expected null or one of {', '.join(get_args(Outcome))}, got {value!r:.40}"
    if field == "outcome" and (value == "approved") != (node.name == LAST) and value in ("approved", None):
        yield f"{where}: {LAST} gives every case an outcome, and only {LAST} approves"
    if field == "reason" and value is not None and value not in codes:
        yield f"{where}: no text for reason {value!r:.40} in reasons.toml"


def _expressions(node: Node, examples: Examples, codes: Collection[str]) -> Iterator[str]:
    yield from _settings(node)
    for expression in node.content.get("expressions", []):
        text = expression.get("value") or ""
        if not _NAME.fullmatch(expression.get("key") or ""):
            yield f"{node.name}: an expression's key is small letters, digits and underscores"
        yield from _tried(f"{node.name}, {expression.get('key')} = {text!r:.60}", text, examples)


def _conditions(node: Node, examples: Examples, codes: Collection[str]) -> Iterator[str]:
    for statement in node.content.get("statements", []):
        text = statement.get("condition") or ""
        if text.strip():
            yield from _tried(f"{node.name}, {text!r:.60}", text, examples)


def _tried(where: str, text: str, examples: Examples) -> Iterator[str]:
    """Evaluate on every example of each field read, the others at their first."""
    base = {name: examples[name][0] for name in names(text)}
    for name in sorted(base):
        for example in examples[name]:
            try:
                zen.evaluate_expression(text, _nested({**base, name: example}))
            except RuntimeError:
                yield f"{where}: cannot be evaluated where {name} is {example!r}"
                return


def _made(node: Node, examples: Examples) -> Examples:
    """Examples of what a node gives to those after it."""
    if node.kind == MONEY:
        return {f"{node.name}.{field}": values for field, values in MONEY_STEPS[node.name].items()}
    if node.kind == EXPRESSION:
        given = [(e["key"], e.get("value") or "null") for e in node.content.get("expressions", [])]
    elif node.kind == TABLE:
        given = [(column.get("field"), text) for column, _, text in node.cells("outputs")]
    else:
        return {}
    found: dict[str, list[Any]] = {}
    for field, text in given:
        for sample in _samples(text, examples):
            value = _value(text, sample)
            values = found.setdefault(f"{node.name}.{field}", [])
            values += [] if value in values else [value]
    return {name: tuple(values) for name, values in found.items()}


def _samples(text: str, examples: Examples) -> Iterator[dict[str, Any]]:
    base = {name: examples[name][0] for name in names(text) if name in examples}
    yield _nested(base)
    for name in base:
        yield from (_nested({**base, name: example}) for example in examples[name][1:])


def _value(text: str, sample: dict[str, Any]) -> Any:
    try:
        return zen.evaluate_expression(text, sample)
    except RuntimeError:
        return None


def _sample(examples: Examples) -> dict[str, Any]:
    return _nested({name: values[0] for name, values in examples.items()})


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        space, _, field = name.partition(".")
        nested.setdefault(space, {})[field] = value
    return nested
