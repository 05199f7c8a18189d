"""The privacy report as one HTML page: no script, no outside resource, prints on A4."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from protocols.node.verifier.bars import traffic_chart
from protocols.node.verifier.privacy import LANGUAGES, size_text

Words = Mapping[str, Any]
STYLE = """
:root { --ink: #1c2430; --soft: #5b6573; --rule: #d9dcd6; --faint: #eceee9; --tint: #eef4f2; --accent: #0b6b61; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: var(--ink); font: 15px/1.6 system-ui, -apple-system, "Segoe UI", Roboto,
  "Noto Sans", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "Droid Sans Fallback", sans-serif;
  font-variant-numeric: tabular-nums; }
main { max-width: 1060px; margin: 0 auto; padding: 40px 28px 64px; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 6px; font-weight: 650; letter-spacing: -.01em; }
h2 { font-size: 1.25rem; margin: 44px 0 8px; padding-top: 14px; border-top: 2px solid var(--ink); font-weight: 650; }
h3 { font-size: 1rem; margin: 24px 0 6px; font-weight: 650; }
p { margin: 0 0 10px; max-width: 78ch; }
:lang(zh) p { max-width: 52em; }
.soft, caption { color: var(--soft); }
.lead { font-size: 1.08rem; color: var(--soft); }
.verdict { background: var(--tint); border-left: 4px solid var(--accent); padding: 12px 16px; margin: 20px 0 12px; }
.verdict p { margin: 0; max-width: none; }
.facts { color: var(--soft); font-size: .88rem; margin: 0; padding: 0; list-style: none; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(290px, 1fr)); gap: 14px; margin-top: 14px; }
.card { border: 1px solid var(--rule); border-radius: 8px; padding: 14px 18px; break-inside: avoid; }
.card h3 { margin: 0 0 6px; }
.card ul { margin: 0 0 10px; padding: 0; list-style: none; }
.card li { display: flex; justify-content: space-between; gap: 12px; padding: 2px 0;
  border-bottom: 1px solid var(--faint); }
.card p { font-size: .92rem; }
.card p:last-child { margin: 0; }
table { border-collapse: collapse; width: 100%; margin: 8px 0 14px; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: 6px 14px 6px 0; border-bottom: 1px solid var(--faint); }
thead th { color: var(--soft); font-weight: 550; font-size: .82rem; white-space: nowrap;
  border-bottom: 1px solid var(--rule); }
.n { text-align: right; white-space: nowrap; }
.k { white-space: nowrap; }
code, pre { font: .86em/1.5 ui-monospace, "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
pre { background: #f6f7f4; border: 1px solid var(--faint); border-radius: 6px; padding: 10px 14px;
  white-space: pre-wrap; }
.hash { overflow-wrap: anywhere; }
ul.plain { margin: 0 0 10px; padding-left: 1.2em; max-width: 82ch; }
ul.plain li { margin: 3px 0; }
.columns { columns: 2 380px; column-gap: 36px; padding-left: 1.2em; margin: 4px 0 12px; font-size: .92rem; }
.columns li { break-inside: avoid; padding: 2px 0; }
figure { margin: 6px 0 18px; break-inside: avoid; }
svg { display: block; width: 100%; height: auto; }
svg text { font-size: 12px; fill: var(--ink); }
svg .quiet { fill: var(--soft); }
svg rect { fill: var(--accent); }
@media (max-width: 700px) {
  table { display: block; overflow-x: auto; }
  td:nth-child(2) { min-width: 13em; }
}
@media print {
  main { max-width: none; padding: 0; }
  body { font-size: 10.5pt; }
  h2, h3 { break-after: avoid; }
  tr { break-inside: avoid; }
  @page { margin: 18mm 16mm; }
}
"""


def privacy_page(told: Mapping[str, Any]) -> bytes:
    """UTF-8 HTML of a report that `privacy_report` made."""
    words = LANGUAGES[told["lang"]]
    sections = [_show_head, _show_short, _show_learned, _show_leakage, _show_epsilon, _show_adversary,
                _show_not_guaranteed, _show_traffic, _show_policies, _show_vouch, _show_security, _show_notes,
                _show_again]
    title = escape(words["title"])
    body = "\n".join(section(told, words) for section in sections)
    return (f'<!DOCTYPE html>\n<html lang="{escape(words["lang"])}">\n<head>\n<meta charset="utf-8">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
            f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n").encode()


def _show_head(told: Mapping[str, Any], words: Words) -> str:
    between, colon = words["list"], escape(words["colon"])
    period = told["period"] | {name: told["period"][name][:19].replace("T", " ") for name in ("first", "last")}
    names = between.join(told["nodes"])
    return "\n".join([
        f"<h1>{escape(words['title'])}</h1>", f'<p class="lead">{escape(words["subtitle"])}</p>',
        f'<div class="verdict"><p>{escape(words["holds"])}</p></div>',
        '<ul class="facts">',
        f"<li>{escape(words['made_from'].format(nodes=names))}</li>",
        f"<li>{escape(words['period'])}{colon}{escape(words['period_text'].format(**period))}</li>",
        f'<li>{escape(words["digest"])}{colon}<code class="hash">{escape(told["digest"])}</code></li>', "</ul>"])


def _show_short(told: Mapping[str, Any], words: Words) -> str:
    cards = "\n".join(_show_card(party, words) for party in told["parties"])
    return f'{_h2(words["short"])}\n<div class="cards">\n{cards}\n</div>'


def _show_card(party: Mapping[str, Any], words: Words) -> str:
    learned = party["learned"]
    names = words["opening_name"]
    rows = "".join(f"<li><span>{escape(names.get(kind, kind))}</span><span>{number:,}</span></li>"
                   for kind, number in learned["numbers"].items())
    listed = f"<ul>{rows}</ul>" if rows else ""
    key = f"<p>{escape(words['short_coordinator'])}</p>" if party["role"] == "coordinator" else ""
    return (f'<section class="card"><h3>{escape(party["name"])}</h3><p>{escape(learned["sentence"])}</p>{listed}{key}'
            f'<p class="soft">{escape(party["sent"])}</p></section>')


def _show_learned(told: Mapping[str, Any], words: Words) -> str:
    besides = [[_whole(party["name"]), _cell(party["besides"])] for party in told["parties"] if party["besides"]]
    return "\n".join([
        _h2(words["learned"]), _p(words["learned_intro"]), *(_show_run(run, words) for run in told["runs"]),
        f"<h3>{escape(words['besides'])}</h3>", _grid([words["party"], words["learns"]], besides),
        _show_decisions(told["decisions"], words)])


def _show_decisions(decisions: Sequence[Mapping[str, str]], words: Words) -> str:
    if not decisions:
        return ""
    head = [words[name] for name in ("at", "node", "decision", "about", "by", "reason")]
    decided = words["decided"]
    rows = [[_whole(row["at"]), _whole(row["node"]), _cell(decided.get(row["event"], row["event"])), _tt(row["about"]),
             _cell(row["by"]), _cell(row["reason"])] for row in decisions]
    return f"<h3>{escape(words['decisions'])}</h3>\n{_grid(head, rows)}"


def _show_run(run: Mapping[str, Any], words: Words) -> str:
    rows = [[_whole(row["learner"]), _cell(row["tells"]), _cell(row["source"]), _tt(row["kind"]),
             _num(row["numbers"]), _whole(row["epsilon"])] for row in run["openings"]]
    head = [words[name] for name in ("party", "learns", "from", "kind")]
    table = _grid([*head, ("n", words["numbers"]), "ε"], rows) if rows else _p(words["learned_nothing"])
    return (f"<h3>{escape(words['run'])} <code>{escape(run['run'])}</code></h3>\n{_p(run['sentence'], 'soft')}\n"
            f"{table}")


def _show_leakage(told: Mapping[str, Any], words: Words) -> str:
    rows = [[_tt(row["kind"]), _cell(row["tells"]), _cell(row["hides"]), _num(row["numbers"]),
             _whole(row["epsilon"])] for row in told["leakage"]]
    head = [words["kind"], words["tells"], words["hides"], ("n", words["numbers"]), words["noise"]]
    missing = words["not_opened"].format(kinds=words["list"].join(told["not_opened"]) or words["none"])
    return "\n".join([_h2(words["leakage"]), _p(words["leakage_intro"]), _grid(head, rows),
                      _p(missing, "soft")])


def _show_epsilon(told: Mapping[str, Any], words: Words) -> str:
    return "\n".join([_h2(words["epsilon"]), _p(words["epsilon_intro"]), _ul(told["epsilon"])])


def _show_adversary(told: Mapping[str, Any], words: Words) -> str:
    return "\n".join([_h2(words["adversary"]), _ul(told["adversary"])])


def _show_not_guaranteed(told: Mapping[str, Any], words: Words) -> str:
    return "\n".join([_h2(words["not"]), _ul(told["not_guaranteed"])])


def _show_traffic(told: Mapping[str, Any], words: Words) -> str:
    parts = [_h2(words["traffic"]), _p(words["traffic_intro"])]
    for node in told["traffic"]:
        total = words["traffic_total"].format(bytes=size_text(node["bytes"]), messages=f"{node['messages']:,}")
        parts.append(f"<h3>{escape(node['node'])}</h3>")
        parts.append(f'{_p(total, "soft")}\n<figure>{traffic_chart(node)}</figure>' if node["kinds"]
                     else _p(words["traffic_none"], "soft"))
    return "\n".join(parts)


def _show_policies(told: Mapping[str, Any], words: Words) -> str:
    parts = [_h2(words["policies"]), _p(words["policies_intro"])]
    for policy in told["policies"]:
        runs = words["list"].join(policy["runs"])
        told_of = words["policy_runs"].format(runs=runs) if runs else words["policy_unused"]
        items = "".join(f"<li>{escape(sentence)}</li>" for sentence in policy["sentences"])
        parts.append(f"<h3>{escape(policy['party'])}</h3>")
        parts.append(f'<p class="soft"><code>{escape(policy["digest"][:16])}…</code> {escape(told_of)}</p>')
        parts.append(f'<ul class="columns">{items}</ul>')
    return "\n".join(parts)


def _show_vouch(told: Mapping[str, Any], words: Words) -> str:
    rows = []
    for party in told["parties"]:
        said = [words["vouch_row"].format(witness=witness, covered=f"{size:,}", records=f"{party['records']:,}")
                for witness, size in party["vouched"].items()]
        rows.append([_cell(party["name"]), _tt(party["fingerprint"][:16] + "…"), _num(party["records"]),
                     "<br>".join(escape(line) for line in said) or escape(words["vouch_nobody"])])
    head = [words["node"], words["identity"], ("n", words["records"]), words["vouched_by"]]
    return "\n".join([_h2(words["vouch"]), _p(words["vouch_intro"]), _grid(head, rows)])


def _show_security(told: Mapping[str, Any], words: Words) -> str:
    sets = [[_tt(each["name"]), _num(each["degree"]),
             _cell(words["bits_value"].format(bits=each["modulus_bits"])),
             _cell(words["bits_value"].format(bits=each["allowed_bits"]))] for each in told["parameters"]]
    nodes = [_installed(each, words) for each in told["installations"]]
    return "\n".join([
        _h2(words["security"]), _p(words["security_intro"]),
        _grid([words["set"], ("n", words["degree"]), words["bits"], words["allowed"]], sets),
        _grid([words["node"], words["version"], words["code"], words["packages"], words["lock"]], nodes)])


def _installed(each: Mapping[str, Any], words: Words) -> list[str]:
    packages = words["packages_value"].format(count=each["packages"], digest=each["packages_sha256"][:16])
    versions = _whole(f"sealscore {each['sealscore']}") + "<br>" + _whole(f"Python {each['python']}")
    code = _tt(each["code"][:16] + "…")
    return [_cell(each["node"]), versions, code, _cell(packages), _cell(each["lock"]["sentence"])]


def _show_notes(told: Mapping[str, Any], words: Words) -> str:
    if not told["notes"]:
        return ""
    return f'{_h2(words["notes"])}\n{_ul(told["notes"])}'


def _show_again(told: Mapping[str, Any], words: Words) -> str:
    command = f"python verify.py evidence --trust trust.json --report privacy.html --lang {told['lang']}"
    return "\n".join([_h2(words["again"]), _p(words["again_text"]), f"<pre>{escape(command)}</pre>"])


def _h2(text: str) -> str:
    return f"<h2>{escape(text)}</h2>"


def _p(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def _ul(items: Iterable[str]) -> str:
    return '<ul class="plain">' + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def _cell(text: str) -> str:
    return escape(text)


def _whole(text: str) -> str:
    """A cell that stays on one line."""
    return f'<span class="k">{escape(text)}</span>'


def _tt(text: str) -> str:
    return f'<code class="k">{escape(text)}</code>'


def _num(value: int) -> str:
    return f"{value:,}"


def _grid(head: Sequence[str | tuple[str, str]], rows: Iterable[Sequence[str]]) -> str:
    """`head` are texts, or (class, text) for a column of numbers; cells are HTML already."""
    kinds = [f' class="{name[0]}"' if isinstance(name, tuple) else "" for name in head]
    texts = [name[1] if isinstance(name, tuple) else name for name in head]
    top = "".join(f"<th{kind}>{escape(text)}</th>" for kind, text in zip(kinds, texts, strict=True))
    body = "\n".join("<tr>" + "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds, row, strict=True)) + "</tr>"
                     for row in rows)
    return f"<table>\n<thead><tr>{top}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"
