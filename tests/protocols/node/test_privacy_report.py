"""The privacy report: it says what the logs say, in two languages, in a page that needs nothing else."""
from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
import string
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.audit import Record
from protocols.canonical import canonical_json
from protocols.commons.privacy import epsilon
from protocols.errors import TrustError, UsageError
from protocols.node import audit_cli
from protocols.node.identity_files import trust_json
from protocols.node.verifier.agreed import Agreed
from protocols.node.verifier.examine import examine
from protocols.node.verifier.main import derive
from protocols.node.verifier.page import privacy_page
from protocols.node.verifier.privacy import noise_of, privacy_report, size_text, zcdp_epsilon
from protocols.node.verifier.rules import _sentences
from protocols.node.verifier.words_en import WORDS_EN
from protocols.node.verifier.words_zh import WORDS_ZH
from protocols.openings import KINDS
from protocols.policy import Policy
from tests.protocols.node.evidence_federation import RUN, TRUST, lines_of, policy_of, resign

VOID = {"meta", "rect", "br"}


@pytest.fixture
def trust_file(tmp_path) -> Path:
    path = tmp_path / "trust.json"
    path.write_bytes(trust_json(TRUST))
    return path


def report_of(evidence: Path, lang: str = "en") -> dict[str, Any]:
    found, nodes = examine(evidence, TRUST)
    assert found.problems == []
    return privacy_report(found, nodes, lang)


def with_openings(evidence: Path, *kinds: str) -> Path:
    """The evidence with further openings by the platform, before the bank's checkpoints of it say anything of them."""
    lines = lines_of(evidence / "platform" / "log.jsonl")
    for kind in kinds:
        body = {"run": RUN, "phase": "train", "what": kind, "learner": "bank", "count": 7}
        lines.append(Record(len(lines), "2026-01-31T12:00:00.000Z", "opening", body).encode())
    resign(evidence / "platform", lines)
    return evidence


class Page(HTMLParser):
    """What a page is made of; a tag that is not closed in order is an error."""

    def __init__(self, page: bytes):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page.decode())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data if self.open and self.open[-1] != "style" else ""


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_it_says_who_learned_what(evidence, lang):
    told = report_of(evidence, lang)
    (run,) = told["runs"]
    (opened,) = run["openings"]
    assert (opened["learner"], opened["source"], opened["kind"], opened["numbers"]) == ("bank", "bank", "score", 200)
    assert opened["epsilon"] == "∞"
    roles = {party["name"]: party["role"] for party in told["parties"]}
    assert roles == {"bank": "bank", "coordinator": "coordinator", "platform": "platform"}
    sent = {node["node"]: (node["bytes"], node["messages"]) for node in told["traffic"]}
    assert sent == {"bank": (6015, 6), "coordinator": (0, 0), "platform": (60, 6)}
    assert {each["name"]: each["modulus_bits"] for each in told["parameters"]}["product"] == 178
    assert all(len(party["vouched"]) == 2 for party in told["parties"])
    (policy,) = [each for each in told["policies"] if each["party"] == "bank"]
    assert policy["runs"] == [RUN] and any("1,000" in sentence for sentence in policy["sentences"])


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_page_is_whole_and_needs_nothing_else(evidence, lang):
    told = report_of(with_openings(evidence, "membership", "woe.counts"), lang)
    raw = privacy_page(told)
    page = Page(raw)
    assert page.open == []
    tags = {tag for tag, _ in page.tags}
    assert tags.isdisjoint({"script", "link", "img", "iframe", "object", "form", "a"}) and "svg" in tags
    assert not re.search(rb"https?:|url\(|@import|\bon[a-z]+=|javascript", raw)
    assert ("html", {"lang": {"en": "en", "zh": "zh-CN"}[lang]}) in page.tags
    for needed in (told["digest"], RUN, "∞", "6.0 kB", *told["not_guaranteed"], *told["adversary"], *told["epsilon"]):
        assert needed in page.text


def test_the_same_evidence_gives_the_same_bytes(evidence, trust_file, tmp_path):
    elsewhere = Path(shutil.copytree(evidence, tmp_path / "else" / "where"))
    for lang in ("en", "zh"):
        assert derive(evidence, trust_file, lang) == derive(elsewhere, trust_file, lang)
    assert derive(evidence, trust_file, "en") != derive(evidence, trust_file, "zh")


def test_other_evidence_has_another_digest(evidence):
    before = report_of(evidence)["digest"]
    assert report_of(with_openings(evidence, "membership"))["digest"] != before


def test_what_people_decided_is_told(evidence):
    lines = lines_of(evidence / "platform" / "log.jsonl")
    body = {"run": RUN, "event": "rejected", "by": "<jo>", "reason": "too many columns"}
    resign(evidence / "platform", [*lines, Record(len(lines), "2026-01-31T12:00:00.000Z", "decision", body).encode()])
    told = report_of(evidence)
    assert [(row["node"], row["event"], row["about"]) for row in told["decisions"]] == [("platform", "rejected", RUN)]
    assert "<jo>" in Page(privacy_page(told)).text and "too many columns" in Page(privacy_page(told)).text


def test_parts_of_a_sum_are_told_once(evidence):
    """Two platforms record their parts of the same opened sums."""
    found, nodes = examine(with_openings(evidence, "scores.test", "scores.test", "membership"), TRUST)
    nodes["platform-2"] = dataclasses.replace(nodes["platform"], name="platform-2")
    found.nodes["platform-2"] = found.nodes["platform"]
    (run,) = privacy_report(found, nodes, "en")["runs"]
    told = {(row["kind"], row["source"]): (row["numbers"], row["times"]) for row in run["openings"]}
    assert told == {("score", "bank"): (200, 1), ("scores.test", "platform + platform-2"): (14, 2),
                    ("membership", "platform"): (7, 1), ("membership", "platform-2"): (7, 1)}


def test_an_unknown_kind_is_told_neutrally(evidence):
    told = report_of(with_openings(evidence, "quite.new"))
    (row,) = [row for row in told["leakage"] if row["kind"] == "quite.new"]
    assert "quite.new" in row["tells"] and row["numbers"] == 7 and row["epsilon"] == "∞"


def test_what_a_log_says_is_text_and_nothing_else(evidence):
    hostile = "<script>alert(1)</script>"
    page = privacy_page(report_of(with_openings(evidence, hostile, "a&b {source} {0}")))
    assert b"<script" not in page and b"&lt;script&gt;" in page and b"a&amp;b {source} {0}" in page


FIELDS = ["run", "phase", "what", "learner", "count", "to", "bytes"]
ANY = st.recursive(st.none() | st.booleans() | st.integers(-2**60, 2**60) | st.text(max_size=8),
                   lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
                   max_leaves=6)


@settings(max_examples=60, deadline=None)
@given(bodies=st.lists(st.dictionaries(st.sampled_from(FIELDS), ANY), min_size=1, max_size=6),
       policy=st.dictionaries(st.text(min_size=1, max_size=8), ANY, max_size=3))
def test_whatever_a_node_signs_ends_in_a_report_or_in_problems(pristine, tmp_path_factory, bodies, policy):
    """Bodies and policies of any shape, properly signed: never a traceback, and a report is a whole page."""
    folder = tmp_path_factory.mktemp("any") / "evidence"
    shutil.copytree(pristine, folder)
    lines = lines_of(folder / "bank" / "log.jsonl")
    for at, body in enumerate(bodies):
        kind = ("opening", "egress", "agreement", "refusal", "checkpoint.peer", "checkpoint.countersigned")[at]
        lines.append(Record(len(lines), "2026-01-31T12:00:00.000Z", kind, {"run": RUN} | body).encode())
    content = canonical_json({**json.loads(policy_of("bank")), **policy})
    (folder / "bank" / "policies" / f"{hashlib.sha256(content).hexdigest()}.json").write_bytes(content)
    resign(folder / "bank", lines)
    found, nodes = examine(folder, TRUST)
    if found.holds:
        assert Page(privacy_page(privacy_report(found, nodes, "zh"))).open == []
    else:
        assert all(problem.startswith("bank/") for problem in found.problems)
    shutil.rmtree(folder)


def test_broken_evidence_has_no_report(evidence, trust_file):
    (evidence / "bank" / "traffic.json").unlink()
    with pytest.raises(TrustError, match="bank/traffic.json"):
        derive(evidence, trust_file, "en")


# Words

def blanks(value: Any) -> Any:
    """The same shape with every text replaced by the blanks it has."""
    if isinstance(value, str):
        return sorted(name for _, name, _, _ in string.Formatter().parse(value) if name)
    if isinstance(value, dict):
        return {key: blanks(each) for key, each in value.items() if key != "lang"}
    return [blanks(each) for each in value]


def test_both_languages_have_the_same_words_and_blanks():
    assert blanks(WORDS_EN) == blanks(WORDS_ZH)
    assert WORDS_EN["opening"].keys() == WORDS_EN["opening_name"].keys()


def test_every_opening_in_the_protocols_has_words():
    assert len(KINDS) > 10 and KINDS.keys() <= WORDS_EN["opening"].keys()


def test_every_setting_of_a_policy_has_words():
    assert Policy.model_fields.keys() - {"peers"} <= WORDS_EN["setting"].keys()


def test_unknown_settings_are_shown_as_they_are():
    policy = json.loads(policy_of("bank")) | {"new_limit": 12345, "new_list": [], "new_table": {"a": True}}
    sentences = list(_sentences(policy, WORDS_EN))
    assert {"new_limit: 12,345.", "new_list: none.", 'new_table: {"a":true}.'} <= set(sentences)
    assert sentences[0].startswith("Works with platform only under the identity")


# Privacy loss

def agreed(banks: int, **model: Any) -> Agreed:
    names = [f"bank-{i}" for i in range(banks)]
    plan = {"label_parties": names, "feature_parties": ["platform"], "model": model}
    return Agreed(RUN, plan, {})


@pytest.mark.parametrize("rho", [0.01, 0.1, 1.0])
def test_epsilon_is_that_of_the_common_encoding(rho):
    assert zcdp_epsilon(rho) == pytest.approx(epsilon(rho), rel=1e-12)


@pytest.mark.parametrize(("kind", "model", "rho"), [
    ("commons.histogram", {"commons_rho": 0.1}, 0.1), ("commons.moments", {"commons_rho": 0.1}, 0.1),
    ("coefficients", {"commons_rho": 0.1}, None), ("woe.counts", {"woe_rho": 0}, None), ("woe.counts", {}, None),
    ("woe.counts", {"woe_rho": 0.5}, 0.5), ("commons.histogram", {"commons_rho": "much"}, None),
])
def test_only_noised_openings_have_a_finite_loss(kind, model, rho):
    assert noise_of(kind, agreed(2, **model)) == rho


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_500_000, "2.5 MB"),
                                             (3 * 10**9, "3.0 GB")])
def test_sizes_for_a_reader(count, text):
    assert size_text(count) == text


# The command

@pytest.mark.parametrize("words", [["--lang", "fr", "--json"], []])
def test_the_command_says_what_it_wants(evidence, trust_file, words, capsys):
    assert audit_cli.main(["report", str(evidence), "--trust", str(trust_file), *words]) == 2
    assert capsys.readouterr().err.startswith("error: expected --")


def test_a_page_that_cannot_be_written_leaves_nothing(evidence, trust_file, tmp_path, capsys):
    target = tmp_path / "no" / "page.html"
    assert audit_cli.main(["report", str(evidence), "--trust", str(trust_file), "--out", str(target)]) == 2
    assert "cannot be written" in capsys.readouterr().err and not target.parent.exists()
    with pytest.raises(UsageError):
        derive(tmp_path / "nowhere", trust_file, "en")
