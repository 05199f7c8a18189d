"""Control messages at the party: one JSON object in one record, everything else refused."""
from __future__ import annotations

import pytest
from flwr.app import ConfigRecord, RecordDict

from parties.runtime.client_app import RECORD, pack, unpack
from protocols.errors import MalformedMessage


def test_bodies_round_trip():
    assert unpack(pack({"run": "r-1", "plan": "ü"})) == {"run": "r-1", "plan": "ü"}


@pytest.mark.parametrize(
    "content",
    [
        RecordDict(),
        RecordDict({"other": ConfigRecord({"body": b"{}"})}),
        RecordDict({RECORD: ConfigRecord({"body": "{}"})}),
        RecordDict({RECORD: ConfigRecord({"body": b"[]"})}),
        RecordDict({RECORD: ConfigRecord({"body": b"{"})}),
        RecordDict({RECORD: ConfigRecord({"body": b"[" * 100_000})}),
        RecordDict({RECORD: ConfigRecord({"body": b'"' + b"x" * 5_000_000 + b'"'})}),
        RecordDict({RECORD: ConfigRecord({"body": b"{}"}), "more": ConfigRecord({"x": 1})}),
    ],
)
def test_anything_else_is_refused(content: RecordDict):
    with pytest.raises(MalformedMessage):
        unpack(content)
