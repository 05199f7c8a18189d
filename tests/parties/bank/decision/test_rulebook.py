"""Rulebooks: one digest for what decides, nothing half-read, and records that replay under theirs alone."""
from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parties.bank.decision.compare import differences
from parties.bank.decision.engine import decide
from parties.bank.decision.record import DecisionRecord
from parties.bank.decision.replay import replay, verify
from parties.bank.decision.rulebook import Rulebook, default_files
from protocols.canonical import canonical_json, parse_canonical_json
from protocols.errors import ConfigError, MalformedMessage, SealscoreError, TrustError, UsageError
from tests.parties.bank.decision.cases import application, context, score, shipped


def _changed(name: str, old: str, new: str) -> Rulebook:
    files = default_files()
    text = files[name].decode()
    assert old in text
    return Rulebook(files | {name: text.replace(old, new, 1).encode()})


def test_bytes_and_folder_give_the_same_rulebook(tmp_path: Path) -> None:
    rulebook = shipped()
    again = Rulebook.from_bytes(rulebook.to_bytes())
    (tmp_path / "graphs").mkdir()
    for name, text in default_files().items():
        (tmp_path / name).write_bytes(text)
    (tmp_path / "NOTES.md").write_text("left alone")
    assert again.digest == Rulebook.load(tmp_path).digest == rulebook.digest
    assert again.to_bytes() == rulebook.to_bytes()
    assert decide(application(), context(), again) == decide(application(), context(), rulebook)


@pytest.mark.parametrize("name", sorted(default_files()))
def test_any_changed_byte_is_another_digest(name: str) -> None:
    files = default_files()
    space = b" " if name.endswith(".json") else b"\n# a comment\n"
    assert Rulebook(files | {name: files[name] + space}).digest != shipped().digest


def test_a_threshold_is_changed_without_code() -> None:
    looser = _changed("graphs/champion.json", '"> 0.15"', '"> 0.3"')
    case = context(score=score("0.1502"))
    assert decide(application(), case, shipped()).reasons[0].code != "no-price"
    assert decide(application(), case, looser).reasons
    stricter = _changed("graphs/champion.json", '"< 18"', '"< 31"')
    assert decide(application(), context(), stricter).reasons[0].code == "age-below"


def test_an_arm_is_decided_by_its_graph() -> None:
    text = """
    [salts]
    decision = "salt of the group"
    [[experiments]]
    name = "cut-off"
    group = "decision"
    about = "a lower cut-off"
    salt = "salt of the arms"
    first = 2026-01-01
    last = 2026-12-31
    planned_persons = 1000
    arms = [{ name = "as-is", share = "0.5" }, { name = "lower", share = "0.5", graph = "challenger" }]
    """
    rulebook = Rulebook(default_files() | {"experiments.toml": text.encode()})
    risky = {"score": score("0.13")}
    assert decide(application(), context(arm="as-is", **risky), rulebook).outcome == "approved"
    record = decide(application(), context(arm="lower", **risky), rulebook)
    assert (record.graph, record.outcome, record.shadow) == ("challenger", "declined", ())
    with pytest.raises(ConfigError, match=r"experiments\.toml: names the graph other"):
        Rulebook(default_files() | {"experiments.toml": text.replace('"challenger"', '"other"').encode()})


@pytest.mark.parametrize(("name", "text", "told"), [
    ("rulebook.toml", b'version = "1"', "rulebook.toml: setting champion"),
    ("rulebook.toml", b"version = ", "rulebook.toml: not valid TOML"),
    ("rulebook.toml", b"\xff", "rulebook.toml: expected UTF-8"),
    ("reasons.toml", b"", "reasons.toml: setting rules"),
    ("products.toml", b"", "products.toml: setting"),
    ("other.toml", b"", "'other.toml': nothing reads this file"),
    ("graphs/../x.json", b"", "nothing reads this file"),
    ("limits.toml", b"#" * (1024 * 1024 + 1), "limits.toml: expected at most 1048576 bytes"),
])
def test_a_file_that_is_not_right_is_named(name: str, text: bytes, told: str) -> None:
    with pytest.raises(ConfigError, match=told.replace("[", r"\[")):
        Rulebook(default_files() | {name: text})


@pytest.mark.parametrize(("old", "new", "told"), [
    ('champion = "champion"', 'champion = "other"', "names the graph other"),
    ('"Asia/Shanghai"', '"Asia/Nowhere"', "no time zone 'Asia/Nowhere'"),
    ('"Asia/Shanghai"', '"../../etc/passwd"', "no time zone"),
    ('platform_failure = "refer"', 'platform_failure = "approve"', "setting platform_failure"),
])
def test_settings_are_checked(old: str, new: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        _changed("rulebook.toml", old, new)


def test_reasons_need_their_words_and_holes_their_facts() -> None:
    with pytest.raises(ConfigError, match=r"no text for .*no-price"):
        _changed("reasons.toml", "[rules.no-price]", "[rules.no-prices]")
    with pytest.raises(ConfigError, match=r"reason age-below has \{applicant.name\}"):
        _changed("reasons.toml", "At {applicant.age} you are below", "{applicant.name}, you are below")


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"files":{},"version":2}', b'{"files":[],"version":1}',
                                  b'{"files":{"rulebook.toml":1},"version":1}', b'{"files":{},"version":1} '])
def test_bytes_that_are_no_rulebook_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        Rulebook.from_bytes(data)


def test_differences_speak_of_rules_and_settings() -> None:
    new = _changed("graphs/champion.json", '"> 0.15"', '"> 0.2"')
    assert differences(shipped(), new) == ["graphs/champion.json: risk, rule R2, chosen.probability: > 0.15 → > 0.2"]
    new = _changed("pricing.toml", 'annual_cost_red_line = "0.24"', 'annual_cost_red_line = "0.23"')
    told = differences(shipped(), new)
    assert len(told) == 2 and told[1].startswith('pricing.toml: + annual_cost_red_line = "0.23"')
    spaced = Rulebook(default_files() | {"graphs/champion.json": default_files()["graphs/champion.json"] + b" "})
    assert differences(shipped(), spaced) == ["graphs/champion.json: written differently, nothing that decides"]
    assert differences(shipped(), shipped()) == []


def test_a_record_replays_under_its_rulebook_alone() -> None:
    data = decide(application(), context(), shipped()).to_bytes()
    assert replay(data, Rulebook(default_files())) == data
    assert verify(data, shipped()).to_bytes() == data
    other = _changed("graphs/champion.json", '"> 0.15"', '"> 0.2"')
    with pytest.raises(UsageError, match="made under rulebook"):
        replay(data, other)


def test_a_record_that_was_touched_does_not_replay() -> None:
    value = parse_canonical_json(decide(application(), context(), shipped()).to_bytes(), 10**6)
    value["offer"]["amount_fen"] -= 1
    with pytest.raises(TrustError, match="offer differs"):
        verify(canonical_json(value), shipped())
    value["offer"] = None
    value["outcome"] = "declined"
    with pytest.raises(TrustError, match="outcome differs"):
        verify(canonical_json(value), shipped())


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_records_raise_an_error_of_ours(data: st.DataObject) -> None:
    record = bytearray(_record())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(record) - 1))
        record[place:place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        kept = DecisionRecord.from_bytes(bytes(record))
    except SealscoreError:
        return
    assert kept.to_bytes() == bytes(record)


def _record() -> bytes:
    return decide(application(), context(), shipped()).to_bytes()


def test_numbers_of_a_record_are_whole_or_text() -> None:
    def floats(value: object) -> list[float]:
        if isinstance(value, dict | list):
            return [f for inner in (value.values() if isinstance(value, dict) else value) for f in floats(inner)]
        return [value] if isinstance(value, float) else []

    assert floats(parse_canonical_json(_record(), 10**6)) == []


@pytest.mark.parametrize("chars", [3000, 70_000])
def test_what_is_wrong_with_a_graph_is_told_in_sentences_however_long_its_names_are(chars):
    """And soon: the engine would take minutes over the longer ones."""
    files = default_files()
    for name in [name for name in files if name.startswith("graphs/")]:
        long = files[name].replace(b'"sufficiency.', b'"' + b"a" * chars + b".")
        assert long != files[name]
        with pytest.raises(ConfigError) as caught:
            Rulebook(files | {name: long})
        assert len(str(caught.value)) < 2000


def test_half_a_surrogate_pair_in_a_graph_is_refused():
    files = default_files()
    for name in [name for name in files if name.startswith("graphs/")]:
        half = files[name].replace(b'"sufficiency.', b'"\\ud800.')
        assert half != files[name]
        with pytest.raises(ConfigError, match="in JSON"):
            Rulebook(files | {name: half})
