"""Every way in which a changed graph could decide wrongly, or not at all, is told before it decides."""
from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import zen
from hypothesis import given, settings
from hypothesis import strategies as st

from parties.bank.decision import graph_check, jdm
from parties.bank.decision.draw import page
from parties.bank.decision.graph import Graph
from parties.bank.decision.rulebook import Rulebook, default_files
from parties.bank.decision.view import visible
from protocols.errors import ConfigError
from tests.parties.bank.decision.cases import application, context, shipped

Change = Callable[[dict], object]


def _champion() -> dict:
    return json.loads(default_files()["graphs/champion.json"])


def _node(graph: dict, name: str) -> dict:
    return next(n for n in graph["nodes"] if n["name"] == name)


def _rule(graph: dict, step: str, rule: str) -> dict:
    return next(r for r in _node(graph, step)["content"]["rules"] if r["_id"] == rule)


def _set(step: str, rule: str, cell: str, text: str) -> Change:
    return lambda graph: _rule(graph, step, rule).__setitem__(cell, text)


def _content(step: str, setting: str, value: object) -> Change:
    return lambda graph: _node(graph, step)["content"].__setitem__(setting, value)


def _drop(step: str) -> Change:
    """Take a step out and lead around it."""
    def change(graph: dict) -> None:
        node = _node(graph, step)["id"]
        after = next(e["targetId"] for e in graph["edges"] if e["sourceId"] == node)
        graph["nodes"] = [n for n in graph["nodes"] if n["id"] != node]
        graph["edges"] = [e | {"targetId": after if e["targetId"] == node else e["targetId"]}
                          for e in graph["edges"] if e["sourceId"] != node]
    return change


def _shortcut(graph: dict) -> None:
    """First loans go straight to the last step."""
    edge = next(e for e in graph["edges"] if e["sourceId"] == "first-loan" and e.get("sourceHandle") == "first")
    edge["targetId"] = "final"


CHANGES: list[tuple[Change, str]] = [
    (_set("eligibility", "E3", "i2", "< eighteen"), "eligibility: reads eighteen, which nothing before it makes"),
    (_set("eligibility", "E3", "i2", "< 18 and"), "eligibility, rule E3, applicant.age '< 18 and': is no expression"),
    (_set("eligibility", "E3", "i2", "< 'old'"), "cannot be compared with 17"),
    (_set("eligibility", "E6", "i4", "< 600"), "the field may be unknown"),
    (_set("eligibility", "E3", "i2", "< rand(60)"), "calls rand(), which is not known to give the same each time"),
    (_set("eligibility", "E3", "i2", "d().year() > 2000"), "calls d()"),
    (_set("eligibility", "E3", "o0", "'denied'"), "eligibility, rule E3, outcome: expected null or one of"),
    (_set("eligibility", "E0", "o0", "'approved'"), "only final approves"),
    (_set("final", "Z0", "o0", "null"), "final gives every case an outcome"),
    (_set("eligibility", "E3", "o1", "'too-young'"), "no text for reason 'too-young' in reasons.toml"),
    (_set("eligibility", "E3", "o1", "too young"), "reads too, which nothing before it makes"),
    (_set("eligibility", "E0", "i2", "> 0"), "eligibility: the last row must always fit"),
    (_set("eligibility", "E1", "_id", "E2"), "eligibility: every row has an _id of its own"),
    (_set("eligibility", "E1", "_id", "E' or '"), "eligibility: every row has an _id of its own"),
    (lambda g: _rule(g, "eligibility", "E1").pop("i3"), "eligibility, rule E1: no cell for column i3"),
    (lambda g: _node(g, "risk")["content"]["inputs"][0].pop("field"), "names no field"),
    (lambda g: _node(g, "risk")["content"]["inputs"][0].update(field="risk.odds"), "reads risk.odds"),
    (lambda g: _node(g, "risk")["content"]["outputs"][1].update(field="why"), "risk: has no output column reason"),
    (lambda g: _node(g, "risk")["content"]["outputs"][1].update(field="rule_"), "output column's field is"),
    (_content("risk", "hitPolicy", "collect"), "risk: expected hitPolicy = 'first'"),
    (_content("risk", "passThrough", False), "risk: expected passThrough = True"),
    (_content("risk", "outputPath", "other"), "risk: expected outputPath = 'risk'"),
    (_content("chosen", "expressions", [{"id": "p", "key": "probability", "value": "score.probability +"}]),
     "chosen, probability"),
    (_content("limit", "kind", "price"), "limit: a step of the bank's own is named"),
    (lambda g: _node(g, "fraud").update(type="functionNode"), "fraud: a node of kind 'functionNode'"),
    (lambda g: _node(g, "fraud").update(name="score"), "score: rules read score.… as a fact"),
    (lambda g: _node(g, "fraud").update(name="risk"), "risk: two steps have this name"),
    (lambda g: _node(g, "fraud").update(name="Fraud!"), "a step's name is small letters"),
    (_drop("price"), "no step price: a credit decision needs it"),
    (_shortcut, "final: there is a way to it past risk"),
    (lambda g: g["edges"].append({"sourceId": "eligibility", "targetId": "risk"}), "eligibility: leads to 2 nodes"),
    (lambda g: g["edges"].append({"sourceId": "final", "targetId": "eligibility"}), "leads in a circle"),
    (lambda g: g["edges"].append({"sourceId": "final", "targetId": "nowhere"}), "'nowhere', which is no node"),
    (lambda g: g["edges"].pop(), "final: leads nowhere"),
    (lambda g: g["nodes"].append(dict(g["nodes"][0])), "two nodes share an id"),
    (lambda g: _node(g, "eligible?")["content"]["statements"].pop(), "its last statement must be empty"),
    (lambda g: _node(g, "eligible?")["content"].update(hitPolicy="collect"), "takes the first statement"),
    (lambda g: _node(g, "eligible?")["content"]["statements"][0].update(condition="bureau.inquiries_6m > 3"),
     "cannot be evaluated where bureau.inquiries_6m is None"),
]


@pytest.mark.parametrize(("change", "told"), CHANGES, ids=[told[:50] for _, told in CHANGES])
def test_a_wrong_graph_is_refused_by_name(change: Change, told: str) -> None:
    graph = _champion()
    change(graph)
    with pytest.raises(ConfigError) as error:
        Rulebook(default_files() | {"graphs/champion.json": json.dumps(graph).encode()})
    assert told in str(error.value)
    assert str(error.value).startswith("graphs/champion.json") or "circle" in told


def test_all_problems_of_a_graph_are_told_at_once() -> None:
    graph = _champion()
    for change in (_set("eligibility", "E3", "i2", "< 'old'"), _set("risk", "R2", "o0", "'no'"),
                   _set("fraud", "F1", "i0", ">= 0.9")):
        change(graph)
    document = jdm.parse(json.dumps(graph).encode(), "g")
    told = graph_check.problems(document, shipped().texts.rules)
    assert len(told) == 3


NO_GRAPHS = [
    b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"nodes": 3, "edges": []}', b'{"nodes": [{}], "edges": []}',
    b'{"nodes": [], "edges": []}', b'{"nodes": [], "edges": [{"sourceId": 1, "targetId": 2}]}',
    b'{"nodes": [{"id": "a", "type": "b", "name": "c", "content": []}], "edges": []}',
    b'{"nodes": [{"id": "a", "type": "b", "name": "c", "position": {"x": "1e"}}], "edges": []}',
]


@pytest.mark.parametrize("text", NO_GRAPHS)
def test_what_is_no_graph_is_refused_in_one_sentence(text: bytes) -> None:
    with pytest.raises(ConfigError):
        Rulebook(default_files() | {"graphs/champion.json": text})


def test_rules_are_those_that_the_engine_itself_traces() -> None:
    """The graph whole, in the zen engine, its own steps replaced by values; rule and inputs against its trace."""
    graph = _champion()
    for node in graph["nodes"]:
        if node["type"] == "customNode":
            key = {"id": "a", "key": "amount_fen", "value": "500000"}
            node |= {"type": "expressionNode", "content": {"passThrough": True, "outputPath": node["name"],
                                                           "expressions": [key]}}
    view = visible(application().facts(), context(), "refer")
    whole = zen.ZenEngine().create_decision(json.dumps(graph)).evaluate(view, {"trace": True})["trace"]
    traced = {entry["name"]: entry["traceData"] for entry in whole.values() if (entry["traceData"] or {}).get("rule")}
    ours = Graph(jdm.parse(default_files()["graphs/champion.json"], "g")).run(
        view, lambda name, state: ({}, None, {"outcome": None, "amount_fen": 500_000}))
    assert {s.name: s.rule for s in ours if s.name in traced} == {n: t["rule"]["_id"] for n, t in traced.items()}
    assert all(s.inputs == traced[s.name]["reference_map"] for s in ours if s.name in traced)
    assert len(traced) == 8


_leaf = st.none() | st.booleans() | st.integers(-3, 10**30) | st.floats() | st.text(max_size=8)
_json = st.recursive(_leaf, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner,
                                                                                        max_size=2))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_graph_with_anything_anywhere_is_checked_or_refused(data: st.DataObject) -> None:
    graph = _champion()
    place: dict | list = graph
    for _ in range(data.draw(st.integers(0, 6))):
        inner = [v for v in (place.values() if isinstance(place, dict) else place) if isinstance(v, dict | list) and v]
        place = data.draw(st.sampled_from(inner)) if inner else place
    key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
    place[key] = data.draw(_json)
    try:
        document = jdm.parse(json.dumps(graph).encode(), "g")
        if graph_check.problems(document, shipped().texts.rules):
            return
        Graph(document)
    except ConfigError:
        return
    assert page(document, "t", "a").startswith("<!doctype html>")
