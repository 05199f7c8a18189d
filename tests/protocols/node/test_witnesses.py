"""Countersigned checkpoints: whoever forgets what it saw contradicts its own signature, which the other keeps."""
from __future__ import annotations

import hashlib
import json
import re
import string
from importlib.metadata import version

import pytest

from protocols.audit import Countersigned, Record, SignedCheckpoint, kept_countersignature
from protocols.canonical import canonical_json
from protocols.node.verifier.examine import examine, verify_evidence
from protocols.node.verifier.findings import Note
from protocols.node.verifier.locked import pins_of
from protocols.node.verifier.page import privacy_page
from protocols.node.verifier.privacy import LANGUAGES, privacy_report
from protocols.node.verifier.words_en import WORDS_EN
from tests.packaging.project import CORE_LOCK, pins
from tests.protocols.node.evidence_federation import KEYS, TRUST, lines_of, problems, renumbered, resign


def records_of(folder) -> list[Record]:
    return [Record.decode(line) for line in lines_of(folder / "log.jsonl")]


def appended(folder, kind: str, body: dict) -> None:
    lines = lines_of(folder / "log.jsonl")
    resign(folder, [*lines, Record(len(lines), "2026-01-31T12:00:00.000Z", kind, body).encode()])


def countersigned(folder, witness: str) -> Countersigned:
    """What `witness` signed back, as the owner's log keeps it."""
    kept = [kept_countersignature(r, folder.name) for r in records_of(folder) if r.kind == "checkpoint.countersigned"]
    (found,) = [each for each in kept if each.witness == witness]
    return found


def test_both_sides_show_the_countersigned_checkpoints(evidence):
    for owner in TRUST:
        for witness in TRUST.keys() - {owner}:
            kept = countersigned(evidence / owner, witness)
            assert kept_countersignature(records_of(evidence / witness)[kept.index], witness) == kept
    assert verify_evidence(evidence, TRUST).holds


def test_a_witness_that_forgets_what_it_saw_is_caught(evidence):
    """The platform's log is rewritten without the bank's checkpoint, by its key, and nobody else holds that part."""
    forgotten = [r for r in records_of(evidence / "platform")
                 if not (r.kind == "checkpoint.peer" and r.body["peer"] == "bank")]
    resign(evidence / "platform", renumbered([record.encode() for record in forgotten]))
    found = problems(verify_evidence(evidence, TRUST))
    assert "platform/log.jsonl does not: it was rewritten" in found and "bank/log.jsonl record" in found


@pytest.mark.parametrize("change", [
    lambda records: [*records[:1], *records[2:]],  # the agreement is dropped
    lambda records: [r for r in records if r.kind not in ("checkpoint.peer", "checkpoint.countersigned")],
    lambda records: [Record(r.index, r.at, r.kind, {**r.body, "proved_from": 1}, r.salt)
                     if r.kind == "checkpoint.peer" else r for r in records],
    lambda records: records[:2],
])
def test_a_coordinator_that_rewrites_its_log_and_signs_it_again_is_caught_by_name(evidence, change):
    """Both parties hold what it showed them; the manifest and every signature of its own are right."""
    folder = evidence / "coordinator"
    resign(folder, renumbered([record.encode() for record in change(records_of(folder))]))
    found = problems(verify_evidence(evidence, TRUST))
    for party in ("bank", "platform"):
        assert f"{party}/log.jsonl record" in found and f"{party} holds a checkpoint of" in found
    assert "coordinator/log.jsonl" in found and ("it was rewritten" in found or "the log was cut" in found)


def test_a_witness_whose_evidence_ends_before_is_noted(evidence):
    """An export made earlier than the countersignature: no contradiction, but the auditor is told."""
    bank = evidence / "bank"
    kept = countersigned(bank, "platform")
    later = Countersigned.sign(KEYS["platform"], kept.signed, "platform", 999)
    appended(bank, "checkpoint.countersigned", later.to_json())
    report = verify_evidence(evidence, TRUST)
    assert report.holds and any("evidence ends at" in str(note) for note in report.notes)


def forgeries(evidence) -> dict[str, tuple[str, str, dict]]:
    """What a node can append to its own log, and what must be said: name -> (kind, words, body)."""
    mine = countersigned(evidence / "bank", "platform")
    own, key = mine.signed, KEYS["platform"]
    other = SignedCheckpoint.sign(KEYS["bank"], own.checkpoint.__class__("bank", 3, bytes(32), own.checkpoint.at))
    peer = {"peer": "platform", "proved_from": None}
    theirs = next(r.body for r in records_of(evidence / "bank")
                  if r.kind == "checkpoint.peer" and r.body["peer"] == "platform")
    return {
        "own witness": ("checkpoint.countersigned", "vouches for itself",
                        Countersigned.sign(KEYS["bank"], own, "bank", 1).to_json()),
        "invented": ("checkpoint.countersigned", "does not hold for this text",
                     Countersigned.sign(KEYS["bank"], own, "platform", mine.index).to_json()),
        "another record": ("checkpoint.countersigned", "does not: it was rewritten",
                           Countersigned.sign(key, own, "platform", 0).to_json()),
        "another log": ("checkpoint.countersigned", "it was rewritten",
                        Countersigned.sign(key, other, "platform", 0).to_json()),
        "no countersignature": ("checkpoint.peer", "lower-case hex digits",
                                {**peer, **{name: theirs[name] for name in ("checkpoint", "signature")}}),
        "countersignature of another record": ("checkpoint.peer", "does not hold for this text", theirs),
        "empty": ("checkpoint.countersigned", "expected an object", {}),
    }


@pytest.mark.parametrize("name", ["own witness", "invented", "another record", "another log", "no countersignature",
                                  "countersignature of another record", "empty"])
def test_forged_countersignatures_are_found(evidence, name):
    kind, words, body = forgeries(evidence)[name]
    appended(evidence / "bank", kind, body)
    found = problems(verify_evidence(evidence, TRUST))
    assert words in found and "bank/log.jsonl record" in found


def test_a_countersignature_of_somebody_unknown_is_noted(evidence):
    mine = countersigned(evidence / "bank", "platform")
    appended(evidence / "bank", "checkpoint.countersigned",
             Countersigned.sign(KEYS["platform"], mine.signed, "telecom", 3).to_json())
    report = verify_evidence(evidence, TRUST)
    assert report.holds and any("countersigned by telecom" in str(note) for note in report.notes)


# Derived files, changed and signed again

def changed(evidence, name: str, change) -> str:
    path = evidence / "bank" / name
    value = json.loads(path.read_bytes())
    path.write_bytes(canonical_json(change(value)))
    resign(evidence / "bank")
    return problems(verify_evidence(evidence, TRUST))


def digested(told: dict, name: str, value) -> dict:
    return told | {name: value, f"{name}_sha256": hashlib.sha256(canonical_json(value)).hexdigest()}


@pytest.mark.parametrize(("name", "change"), [
    ("openings.json", lambda v: v | {"openings": v["openings"][1:]}),
    ("openings.json", lambda v: v | {"openings": [v["openings"][0] | {"numbers": 1}, *v["openings"][1:]]}),
    ("traffic.json", lambda v: v | {"traffic": [v["traffic"][0] | {"bytes": 1}]}),
    ("traffic.json", lambda v: []),
    ("proofs.json", lambda v: v | {"inclusion": v["inclusion"][1:]}),
    ("proofs.json", lambda v: v | {"inclusion": [v["inclusion"][0] | {"proof": []}, *v["inclusion"][1:]]}),
    ("proofs.json", lambda v: v | {"consistency": []}),
    ("proofs.json", lambda v: v | {"consistency": [v["consistency"][0] | {"proof": ["00" * 32]}]}),
    ("proofs.json", lambda v: v | {"size": 3}),
    ("proofs.json", lambda v: v | {"inclusion": 7}),
    ("installation.json", lambda v: v | {"packages": v["packages"] | {"cryptography": "0"}}),
    ("installation.json", lambda v: v | {"parameters": v["parameters"][1:]}),
    ("installation.json", lambda v: v | {"version": 2}),
    ("installation.json", lambda v: v | {"code": 7}),
    ("installation.json", lambda v: digested(v, "packages", [])),
    ("installation.json", lambda v: digested(v, "parameters", 7)),
    ("installation.json", lambda v: digested(v, "parameters", [{}])),
    ("installation.json", lambda v: digested(v, "parameters", [v["parameters"][0] | {"degree": [8192]}])),
    ("installation.json", lambda v: digested(v, "parameters", [v["parameters"][0] | {"primes": []}])),
    ("installation.json", lambda v: digested(v, "parameters", [v["parameters"][0] | {"name": None}])),
    ("installation.json", lambda v: {"version": 1}),
])
def test_a_derived_file_that_does_not_follow_from_the_log_is_named(evidence, name, change):
    assert f"bank/{name}: " in changed(evidence, name, change)


def test_a_weak_parameter_set_is_named(evidence):
    weak = [{"name": "weak", "degree": 4096, "primes": [2**61 - 1, 2**61 - 1], "plain_modulus": 2}]
    found = changed(evidence, "installation.json", lambda told: digested(told, "parameters", weak))
    assert "parameter set weak has 122 bits of modulus at degree 4096" in found


# The dependency lock

def locked(evidence, text: str | None):
    """The bank shows another lock, or none, and signs again."""
    path = evidence / "bank" / "requirements.lock"
    path.unlink() if text is None else path.write_text(text, encoding="utf-8")
    resign(evidence / "bank")
    return examine(evidence, TRUST)


def told_of_bank(evidence, text: str | None, lang: str) -> dict:
    report, nodes = locked(evidence, text)
    assert report.problems == []
    (bank,) = [each for each in privacy_report(report, nodes, lang)["installations"] if each["node"] == "bank"]
    return bank["lock"]


@pytest.mark.parametrize(("lang", "words"), [("en", ("0.0.1", "not installed: no-such-package", "besides")),
                                             ("zh", ("0.0.1", "未安装：no-such-package", "未锁定"))])
def test_packages_that_differ_from_the_lock_are_told(evidence, lang, words):
    lock = "# made\ncryptography==0.0.1 \\\n    --hash=sha256:00\nno-such-package==1 \\\n"
    told = told_of_bank(evidence, lock, lang)
    assert told["missing"] == ["no-such-package"] and told["pinned"] == 2 and "numpy" in told["besides"]
    assert told["other"] == [f"cryptography {version('cryptography')} (0.0.1)"]
    assert all(word in told["sentence"] for word in words) and told["sentence"] in privacy_page(
        privacy_report(*examine(evidence, TRUST), lang)).decode()
    (note,) = [note for note in examine(evidence, TRUST)[0].notes if note.kind == "lock_differs"]
    assert all(word in note.told(LANGUAGES[lang]) for word in words[:2])


def test_the_shipped_lock_is_the_one_of_the_checkout(pristine):
    shipped = (pristine / "bank" / "requirements.lock").read_bytes()
    assert shipped == CORE_LOCK.read_bytes() and pins_of(shipped) == pins(CORE_LOCK)


@pytest.mark.parametrize(("lang", "words"), [("en", "not known"), ("zh", "不详")])
def test_without_a_lock_the_report_says_not_known(evidence, lang, words):
    told = told_of_bank(evidence, None, lang)
    assert told["sha256"] is None and words in told["sentence"]


@pytest.mark.parametrize("text", ["", "numpy>=2\n", "a==1 \\\na==2 \\\n", "é==1\n"])
def test_what_is_no_lock_is_named(evidence, text):
    assert "bank/requirements.lock: expected a lock" in problems(locked(evidence, text)[0])


@pytest.mark.parametrize("kind", sorted(WORDS_EN["note"]))
def test_every_note_can_be_told_in_both_languages(kind):
    blanks = {name for _, name, _, _ in string.Formatter().parse(WORDS_EN["note"][kind]) if name}
    note = Note(kind, {name: ("code",) if name in ("changed", "other", "missing") else name for name in blanks})
    for words in LANGUAGES.values():
        assert "{" not in note.told(words)
    assert re.search("[\u4e00-\u9fff]", note.told(LANGUAGES["zh"]))
