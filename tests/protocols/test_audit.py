"""Records, checkpoints and commitments: round trips on literal bytes, and everything that must be refused."""
from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.audit import (
    Checkpoint,
    CheckpointMessage,
    Record,
    SignedCheckpoint,
    row_commitment,
)
from protocols.crypto.identity import IdentityKey
from protocols.errors import MalformedMessage, TrustError

AT = "2026-01-31T12:00:00.000Z"
SALT = bytes(range(32))
LINE = (b'{"at":"2026-01-31T12:00:00.000Z","body":{"bytes":7,"peer":"platform"},"index":3,"kind":"egress","salt":"'
        b'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"}')
CHECKPOINT = Checkpoint("bank", 5, bytes(32), AT)

JSON = st.recursive(st.none() | st.booleans() | st.integers(-2**60, 2**60) | st.text() | st.floats(allow_nan=False,
                    allow_infinity=False), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
                    max_leaves=10)


def test_a_record_is_this_line():
    record = Record(3, AT, "egress", {"peer": "platform", "bytes": 7}, SALT)
    assert record.encode() == LINE
    assert Record.decode(LINE) == record


@settings(max_examples=40)
@given(st.dictionaries(st.text(), JSON))
def test_records_round_trip(body):
    record = Record(0, AT, "phase", body)
    line = record.encode()
    assert b"\n" not in line
    assert Record.decode(line) == record


def test_every_record_has_its_own_salt_and_does_not_print_it():
    first, second = Record(0, AT, "run", {}), Record(0, AT, "run", {})
    assert len(first.salt) == 32 and first.salt != second.salt
    assert first.salt.hex() not in repr(first)


@pytest.mark.parametrize("body", [{"a": float("nan")}, {"a": float("inf")}, {"a": b"bytes"}, {"a": object()},
                                  {1: 0, "1": 1}, ["list"], None, {"a": "x" * 300_000}, {"a": "\ud800"}])
def test_bodies_that_are_not_plain_json_are_refused(body):
    with pytest.raises(MalformedMessage):
        Record(0, AT, "run", body).encode()


@pytest.mark.parametrize("change", [
    ("kind", "gossip"), ("kind", None), ("index", -1), ("index", True), ("index", 1.0), ("index", 2**53), ("at", "now"),
    ("at", "٢026-01-31T12:00:00.000Z"), ("at", AT + "\n"), ("salt", "00" * 31), ("salt", "00" * 33),
    ("salt", "0" * 63 + "G"), ("salt", "AB" * 32), ("salt", None), ("body", []), ("extra", 1),
])
def test_records_with_wrong_fields_are_refused(change):
    value = {**json.loads(LINE), change[0]: change[1]}
    with pytest.raises(MalformedMessage):
        Record.decode(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())


@pytest.mark.parametrize("line", [
    b"", b"{}", b"[]", b"null", LINE + b" ", b" " + LINE, LINE + b"\n", LINE + LINE, LINE.replace(b":7", b": 7"),
    LINE.replace(b'"bytes":7', b'"bytes":7,"bytes":7'), LINE.replace(b":7", b":7e0"), LINE.replace(b":7", b":NaN"),
    LINE.replace(b"platform", b"pl\\u0061tform"), LINE.replace(b"platform", b"\xff"), LINE.decode().encode("utf-16"),
    b"[" * 100_000, LINE[:-1],
])
def test_other_spellings_are_refused(line):
    with pytest.raises(MalformedMessage):
        Record.decode(line)


def test_a_signed_checkpoint_holds_for_its_node_and_key_only():
    key, other = IdentityKey.generate(), IdentityKey.generate()
    signed = SignedCheckpoint.decode(SignedCheckpoint.sign(key, CHECKPOINT).encode())
    assert signed.check("bank", key.public) == CHECKPOINT
    with pytest.raises(TrustError):
        signed.check("bank", other.public)
    with pytest.raises(TrustError, match="of platform"):
        signed.check("platform", key.public)


@pytest.mark.parametrize("change", [{"size": 6}, {"root": "11" * 32}, {"at": "2026-01-31T12:00:00.001Z"}])
def test_a_changed_checkpoint_has_no_signature(change):
    key = IdentityKey.generate()
    value = SignedCheckpoint.sign(key, CHECKPOINT).to_json()
    value["checkpoint"] |= change
    with pytest.raises(TrustError):
        SignedCheckpoint.from_json(value).check("bank", key.public)


def test_a_signature_of_another_purpose_is_no_checkpoint():
    key = IdentityKey.generate()
    body = SignedCheckpoint.sign(key, CHECKPOINT).encode()
    forged = SignedCheckpoint(CHECKPOINT, key.sign(b"sealscore agreement v1", body))
    with pytest.raises(TrustError):
        forged.check("bank", key.public)


@pytest.mark.parametrize("change", [{"version": 2}, {"version": True}, {"node": "Bank"}, {"node": "bank\n"},
                                    {"node": ""}, {"size": "5"}, {"root": "00"}, {"more": 1}])
def test_checkpoints_with_wrong_fields_are_refused(change):
    value = SignedCheckpoint.sign(IdentityKey.generate(), CHECKPOINT).to_json()
    value["checkpoint"] |= change
    with pytest.raises(MalformedMessage):
        SignedCheckpoint.from_json(value)


@pytest.mark.parametrize("change", [{"proof": "00"}, {"proof": {}}, {"proof": ["00"]}, {"proof": [1]}, {"since": -1},
                                    {"since": None}, {"more": 1}])
def test_checkpoint_messages_with_wrong_fields_are_refused(change):
    message = CheckpointMessage(SignedCheckpoint.sign(IdentityKey.generate(), CHECKPOINT), 2, (SALT,))
    assert CheckpointMessage.decode(message.encode()) == message
    value = {**json.loads(message.encode()), **change}
    with pytest.raises(MalformedMessage):
        CheckpointMessage.decode(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def test_row_commitments_depend_on_salt_and_set_but_not_on_order():
    rows = row_commitment(SALT, ["13800000000", "13900000000"])
    assert rows == row_commitment(SALT, ["13900000000", "13800000000"])
    assert len({rows, row_commitment(bytes(32), ["13800000000", "13900000000"]),
                row_commitment(SALT, ["13800000000"]), row_commitment(SALT, ["1380000000013900000000"]),
                row_commitment(SALT, ["138", "0000000013900000000"])}) == 5
    with pytest.raises(ValueError, match="32 bytes"):
        row_commitment(b"short", [])
