"""A picture of a decision graph for the person who answers for it: what follows what, every table in full.

One HTML page without script, font or request. With the steps of a record, what that decision took is marked.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping

from markupsafe import Markup, escape

from parties.bank.decision.jdm import EXPRESSION, INPUT, MONEY, OUTPUT, SWITCH, TABLE, Document, Edge, Node

WIDTH, HEIGHT, MARGIN = 210, 54, 40
KINDS = {INPUT: "start", OUTPUT: "end", TABLE: "table", SWITCH: "switch", EXPRESSION: "value", MONEY: "money"}
SMALL = {**KINDS, MONEY: "the bank's own step; may end here"}
_PAGE = Markup("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{style}</style></head>
<body><h1>{title}</h1><p>{about}</p>{svg}{tables}</body></html>
""")
_STYLE = Markup("""
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1500px;padding:0 1rem;color:#1b2733}
svg{width:100%;height:auto;max-width:1460px}
rect{fill:#fff;stroke:#8796a5;stroke-width:1.2}
.table rect{fill:#eef5ff;stroke:#4777b5}.money rect{fill:#fdf3e1;stroke:#b98327}.value rect{fill:#f3eefb;stroke:#7d5bb0}
.switch rect{fill:#f7f7f7;stroke-dasharray:4 3}.start rect,.end rect{fill:#e6f5ea;stroke:#3f8f5b}
.taken rect{stroke-width:3}path{fill:none;stroke:#8796a5;stroke-width:1.3}
text{font-size:14px;text-anchor:middle;fill:#1b2733}text.small{font-size:11px;fill:#5a6a79}
text.way{font-size:11px;fill:#5a6a79;text-anchor:start}
table{border-collapse:collapse;margin:.5rem 0 2rem;font-size:13px}
td{white-space:nowrap}th{max-width:11rem;overflow-wrap:anywhere}
th,td{border:1px solid #c8d2dc;padding:.25rem .6rem;text-align:left}
th{background:#f2f5f8;font-weight:600}code{font-size:13px}tr.fired td{background:#fff3c4}
""")


def page(document: Document, title: str, about: str, taken: Mapping[str, str | None] | None = None) -> str:
    """The page; `taken` maps steps of a record to the rule that fired."""
    taken = taken or {}
    tables = Markup("").join(_table(n, taken) for n in map(document.nodes.get, document.order) if n.kind == TABLE)
    return _PAGE.format(title=title, about=about, style=_STYLE, svg=_svg(document, title, taken), tables=tables)


def _svg(document: Document, title: str, taken: Mapping[str, str | None]) -> Markup:
    places = _places(document)
    width = max(x for x, _ in places.values()) + WIDTH + MARGIN
    height = max(y for _, y in places.values()) + HEIGHT + MARGIN
    parts = [*(_way(document, edge, places) for edge in document.edges),
             *(_box(node, places[node.id], taken) for node in document.nodes.values())]
    return Markup('<svg viewBox="0 0 {w} {h}" role="img" aria-label="{title}">'
                  '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
                  'orient="auto"><path d="M0 0 8 4 0 8z" style="fill:#8796a5;stroke:none"/></marker></defs>'
                  "{parts}</svg>"
                  ).format(w=int(width), h=int(height), title=title, parts=Markup("").join(parts))


def _places(document: Document) -> dict[str, tuple[float, float]]:
    """Upper left corners: where the editor has them, or one below the other where two lie on each other."""
    drawn = {n.id: n.position for n in document.nodes.values()}
    if len(set(drawn.values())) < len(drawn):
        drawn = {node: (0.0, 100.0 * rank) for rank, node in enumerate(document.order)}
    left, top = min(x for x, _ in drawn.values()), min(y for _, y in drawn.values())
    return {node: (x - left + MARGIN, y - top + MARGIN) for node, (x, y) in drawn.items()}


def _box(node: Node, place: tuple[float, float], taken: Mapping[str, str | None]) -> Markup:
    x, y = place
    small = f"{len(node.rules)} rules" if node.kind == TABLE else SMALL[node.kind]
    if taken.get(node.name):
        small = f"rule {taken[node.name]}"
    return Markup('<g class="{kind}{taken}"><rect x="{x}" y="{y}" width="{w}" height="{h}" rx="{round}"/>'
                  '<text x="{cx}" y="{ty}">{name}</text><text class="small" x="{cx}" y="{sy}">{small}</text></g>'
                  ).format(kind=KINDS[node.kind], taken=" taken" if node.name in taken else "", x=int(x), y=int(y),
                           w=WIDTH, h=HEIGHT, round=27 if node.kind in (SWITCH, INPUT, OUTPUT) else 6,
                           cx=int(x + WIDTH / 2), ty=int(y + 23), sy=int(y + 41), name=node.name, small=small)


def _way(document: Document, edge: Edge, places: Mapping[str, tuple[float, float]]) -> Markup:
    (x, y), (to_x, to_y) = places[edge.source], places[edge.target]
    centre, to_centre = x + WIDTH / 2, to_x + WIDTH / 2
    if abs(to_y - y) < HEIGHT and to_x > x:
        path, label = f"M{x + WIDTH:.0f} {y + HEIGHT / 2:.0f}H{to_x:.0f}", (x + WIDTH + 6, y + HEIGHT / 2 - 5)
    elif to_x > x:
        path = f"M{x + WIDTH:.0f} {y + HEIGHT / 2:.0f}H{to_centre:.0f}V{to_y:.0f}"
        label = (x + WIDTH + 6, y + HEIGHT / 2 - 5)
    else:
        path = f"M{centre:.0f} {y + HEIGHT:.0f}V{(y + HEIGHT + to_y) / 2:.0f}H{to_centre:.0f}V{to_y:.0f}"
        label = (centre + 6, y + HEIGHT + 14)
    return Markup('<path d="{d}" marker-end="url(#tip)"/><text class="way" x="{x}" y="{y}">{text}</text>').format(
        d=path, x=int(label[0]), y=int(label[1]), text=_condition(document.nodes[edge.source], edge))


def _condition(node: Node, edge: Edge) -> str:
    statements = node.content.get("statements", []) if node.kind == SWITCH else []
    found = next((s for s in statements if s.get("id") == edge.handle), None)
    return "" if found is None else (found.get("condition") or "otherwise")


def _table(node: Node, taken: Mapping[str, str | None]) -> Markup:
    columns = [*node.content.get("inputs", []), *node.content.get("outputs", [])]
    head = _row("th", ["rule", *(f"{c.get('name', '')}, {c.get('field', '')}" for c in columns), "about"])
    rows = (_rule(row, columns, taken.get(node.name) == row["_id"]) for row in node.rules)
    return Markup("<h2>{name}</h2><table>{head}{rows}</table>").format(name=node.name, head=head,
                                                                      rows=Markup("").join(rows))


def _rule(row: Mapping[str, str], columns: Iterable[Mapping[str, str]], fired: bool) -> Markup:
    cells = [Markup("<code>{}</code>").format(row.get(c["id"], "")) for c in columns]
    return _row("td", [row["_id"], *cells, row.get("_description", "")], "fired" if fired else "")


def _row(kind: str, cells: Iterable[str], name: str = "") -> Markup:
    inner = Markup("").join(Markup(f"<{kind}>{{}}</{kind}>").format(escape(cell)) for cell in cells)
    return Markup('<tr class="{name}">{inner}</tr>').format(name=name, inner=inner)
