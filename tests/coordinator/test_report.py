"""The report is one self-contained, well-formed, escaped page, and its figures are those of its input."""
from __future__ import annotations

import copy
import importlib.util
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from coordinator.demo import charts, charts_many, report
from protocols.errors import UsageError


def _load_sample():
    name = "report_sample"
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sample = _load_sample()
sample_report, sample_report_of_banks = sample.sample_report, sample.sample_report_of_banks


@pytest.fixture(scope="module")
def data():
    return sample_report()


def page(data, tmp_path) -> str:
    return report.render_report(data, tmp_path / "out" / "report.html").read_text(encoding="utf-8")


class Strict(HTMLParser):
    """Fails on tags that do not nest; collects ids, links and every attribute that could load something."""

    VOID = {"meta", "br", "hr", "img", "link", "input", "col"}

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.loads, self.text = [], [], [], [], []

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        for key, value in attributes:
            if key == "id":
                self.ids.append(value)
            elif key == "href":
                self.links.append(value)
            elif key in {"src", "srcset", "action", "poster", "data", "xlink:href"} or key.startswith("on"):
                self.loads.append((tag, key, value))

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, text):
        if self.open[-1:] != ["style"]:
            self.text.append(text)


def parse(html: str) -> Strict:
    parser = Strict()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return parser


def test_page_is_well_formed_and_loads_nothing(data, tmp_path):
    html = page(data, tmp_path)
    parser = parse(html)
    assert parser.loads == [] and "<script" not in html and "@import" not in html and "url(" not in html
    assert not re.search(r"https?://", html)
    assert len(parser.ids) == len(set(parser.ids))
    assert {link.lstrip("#") for link in parser.links} <= set(parser.ids)
    assert len(html) < 400_000


def test_figures_on_the_page_are_those_given(data, tmp_path):
    text = " ".join("".join(parse(page(data, tmp_path)).text).split())
    for model in (data["metrics"][name] for name in ("joint", "bank_only", "oracle")):
        assert f"{model['auc']:.4f}" in text and f"{model['ks']:.4f}" in text
    uplift = data["metrics"]["joint"]["auc"] - data["metrics"]["bank_only"]["auc"]
    assert report.signed(uplift, 3) in text and report.signed(data["metrics"]["uplift"]["low"], 3) in text
    for side in data["columns"].values():
        assert all(column["column"] in text for column in side)
    for sentence in sum(data["learned"].values(), []):
        assert sentence in text
    assert report.grouped(data["agreement"]["digest"]) in text
    assert "computed by the demo harness for comparison only" in text
    assert all(kind in text for kind in data["openings"])


@pytest.fixture(scope="module")
def several():
    return sample_report_of_banks()


def test_page_of_several_banks_is_well_formed_and_loads_nothing(several, tmp_path):
    html = page(several, tmp_path)
    parser = parse(html)
    assert parser.loads == [] and "<script" not in html and not re.search(r"https?://", html)
    assert len(parser.ids) == len(set(parser.ids))
    assert {link.lstrip("#") for link in parser.links} <= set(parser.ids)
    assert {f"{kind}-{number}-t" for kind in ("roc", "ks", "calibration") for number in (1, 2, 3)} <= set(parser.ids)


def test_each_banks_figures_are_on_the_page(several, tmp_path):
    text = " ".join("".join(parse(page(several, tmp_path)).text).split())
    assert "Together 3 banks rank at AUC 0.812, each alone at 0.718 on average." in text
    for bank in several["banks"].values():
        for kind in ("bank_only", "joint", "pooled_oracle"):
            assert f"{bank[f'auc_{kind}']:.4f} ({bank[f'ks_{kind}']:.3f})" in text
    assert "bank-3 has the fewest defaults to learn from, 233" in text
    assert text.count("credit_utilisation") == 1 and "counts of bank-1: the coefficients are common" in text
    assert "--ablations" not in text


def test_the_page_says_who_added_what_and_what_was_refused(several, tmp_path):
    text = " ".join("".join(parse(page(several, tmp_path)).text).split())
    for row in several["ablations"]["contributions"]:
        assert row["party"] in text and report.signed(row["difference"], 4) in text
    assert "own.bank-3 was not trained: bank-3, in train: too few rows." in text
    less = copy.deepcopy(several)
    for bank in less["banks"].values():
        bank.pop("auc_platforms_only", None)
    del less["ablations"]
    text = " ".join("".join(parse(page(less, tmp_path)).text).split())
    assert "Who added what" not in text and "--ablations" in text and "With the platforms" not in text


def test_one_bank_and_trainings_without_one_of_its_platforms(data, several, tmp_path):
    ablations = {"trainings": {"without.platform-1": {"run": "r-1", "banks": ["bank"], "platforms": ["platform-2"],
                                                      "seconds": 9.0, "auc": {"bank": 0.71}}},
                 "refused": {}, "contributions": [
                     {"party": "platform-1", "at": "bank", "difference": 0.05, "low": 0.01, "high": 0.09}]}
    text = " ".join("".join(parse(page(data | {"ablations": ablations}, tmp_path)).text).split())
    assert "Who added what" in text and "+0.0100 to +0.0900" in text and "Three models" in text
    none = {"trainings": {}, "refused": {"without.platform-1": "bank, in train: too few rows"}, "contributions": []}
    assert "No training with fewer parties came to its end." in page(data | {"ablations": none}, tmp_path)


def test_works_without_the_optional_parts(data, tmp_path):
    small = copy.deepcopy(data)
    for path in (("metrics", "bank_only"), ("metrics", "uplift"), ("metrics", "oracle"), ("curves", "bank_only"),
                 ("rows", "events_test")):
        del small[path[0]][path[1]]
    del small["openings_meaning"], small["verify"]
    small["openings"], small["learned"]["platform"] = {}, []
    small["columns"]["bank"][0]["bins"][0]["count"] = None
    text = "".join(parse(page(small, tmp_path)).text)
    assert "oracle" not in text and "Bank alone" not in text
    assert "Nothing was opened." in text and "Nothing." in text
    assert "sealscore audit verify" in text


def test_other_party_names_reach_the_tables(data, tmp_path):
    other = copy.deepcopy(data)
    other["columns"] = {"lender": data["columns"]["bank"], "wallet": data["columns"]["platform"]}
    for phase in other["phases"].values():
        phase["bytes_lender"], phase["bytes_wallet"] = phase.pop("bytes_bank"), phase.pop("bytes_platform")
    text = " ".join("".join(parse(page(other, tmp_path)).text).split())
    assert "sent by lender" in text and "sent by wallet" in text and "people at wallet" in text


def test_every_text_is_escaped(data, tmp_path):
    bad = "<b onclick=alert(1)>&\"'"
    hostile = copy.deepcopy(data)
    hostile["title"] = hostile["model_id"] = bad
    hostile["columns"]["bank"][0]["column"] = hostile["columns"]["bank"][0]["bins"][0]["label"] = bad
    hostile["learned"]["bank"][0] = bad
    hostile["openings"][bad] = 1
    html = page(hostile, tmp_path)
    assert "<b onclick" not in html
    assert parse(html).loads == []


@pytest.mark.parametrize("path", ["title", "learned", "rows.test", "metrics.joint", "metrics.joint.auc",
                                  "curves.joint.ks", "agreement.digest"])
def test_names_what_is_missing(data, tmp_path, path):
    broken = copy.deepcopy(data)
    *outer, last = path.split(".")
    place = broken
    for step in outer:
        place = place[step]
    del place[last]
    with pytest.raises(UsageError, match=re.escape(path)):
        page(broken, tmp_path)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("draw", ["roc", "ks", "calibration", "lift", "ruler", "ladder", "ladder of one value",
                                  "contributions", "losses"])
def test_charts_are_xml_with_finite_coordinates_inside_the_frame(data, several, draw):
    svg = {
        "roc": lambda: charts.roc_chart(data["curves"]["joint"]["roc"], data["curves"]["bank_only"]["roc"]),
        "ks": lambda: charts.ks_chart(data["curves"]["joint"]["ks"]),
        "calibration": lambda: charts.calibration_chart(data["calibration"]),
        "lift": lambda: charts.lift_chart(data["lift"]),
        "ladder": lambda: charts_many.ladder([(name, [("joint", "a", bank["auc_joint"]), ("oracle", "b", 0.99)])
                                              for name, bank in several["banks"].items()]),
        "ladder of one value": lambda: charts_many.ladder([("bank-1", [("joint", "with everyone", 0.8)])]),
        "contributions": lambda: charts_many.contributions(
            [row | {"style": "bank"} for row in several["ablations"]["contributions"]]),
        "losses": lambda: charts_many.contributions(
            [{"party": "p", "at": "all", "difference": -0.3, "low": -0.4, "high": -0.2, "style": "platform"}]),
        "ruler": lambda: charts.auc_ruler([("bank-only", "Bank", 0.5), ("joint", "Joint", 1.0)]),
    }[draw]()
    root = ElementTree.fromstring(str(svg))
    assert root.get("role") == "img" and (root.get("aria-label") or root.find("title") is not None)
    width, height = (float(v) for v in root.get("viewBox").split()[2:])
    for element in root.iter():
        for key, limit in (("x", width), ("x1", width), ("x2", width), ("cx", width), ("y", height), ("y1", height),
                           ("y2", height), ("cy", height)):
            if element.get(key):
                assert -1 <= float(element.get(key)) <= limit + 1, (element.tag, key, element.get(key))


def test_lines_pass_through_the_data():
    chart = charts.Chart("c", "t", "d", x_max=2.0, y_max=4.0)
    chart.line([(0, 0), (2, 4)], "joint")
    left, bottom, right = charts.LEFT, charts.HEIGHT - charts.BOTTOM, charts.WIDTH - charts.RIGHT
    assert f"M{left:.1f} {bottom:.1f}L{right:.1f} {charts.TOP:.1f}" in chart.svg()


@pytest.mark.parametrize("top, expected", [(1.0, [0, .2, .4, .6, .8, 1]), (0.37, [0, .1, .2, .3, .4]),
                                           (0.05, [0, .01, .02, .03, .04, .05]), (23, [0, 5, 10, 15, 20, 25])])
def test_ticks_are_round_and_cover(top, expected):
    assert charts.ticks(top) == pytest.approx(expected)


def test_wilson_interval():
    assert charts.wilson(0, 10) == (0.0, pytest.approx(0.2775, abs=1e-4))
    assert charts.wilson(50, 100) == (pytest.approx(0.4038, abs=1e-4), pytest.approx(0.5962, abs=1e-4))


def plain(text: str) -> str:
    """Narrow no-break spaces as ordinary ones."""
    return text.replace("\u202f", " ")


def test_formats():
    assert [plain(report.size(n)) for n in (0, 999, 1000, 43_100_000, 250_000_000, 3_200_000_000)] == \
        ["0 B", "999 B", "1.0 kB", "43.1 MB", "250 MB", "3.2 GB"]
    assert [plain(report.duration(s)) for s in (0.42, 59.94, 59.96, 83, 3600)] == \
        ["0.4 s", "59.9 s", "1 min 00 s", "1 min 23 s", "60 min 00 s"]
    assert [report.signed(v) for v in (3.4, -3.4, 0.2, -0.2)] == ["+3", "−3", "0", "0"]
    assert plain(report.thousands(30_000)) == "30,000" and report.grouped("00112233aabbccdd") == "00112233 aabbccdd"
    assert [plain(charts.percent(v)) for v in (0.0825, 0.4, 1, 0, 0.0996)] == ["8.2 %", "40 %", "100 %", "0 %", "10 %"]
