"""The wire format on literal bytes: good vectors re-encode to themselves, bad ones fail for the reason they name."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict

from protocols.errors import MalformedMessage
from protocols.wire import codec, envelope_pb2, hub_pb2

VECTORS = Path(__file__).parents[2] / "vectors" / "wire"
GOOD = json.loads((VECTORS / "good.json").read_text())
BAD = json.loads((VECTORS / "bad.json").read_text())


def message_type(name: str) -> type:
    return getattr(envelope_pb2, name, None) or getattr(hub_pb2, name)


@pytest.mark.parametrize("vector", GOOD, ids=lambda v: v["what"])
def test_good_vectors_decode_to_their_fields_and_reencode_to_their_bytes(vector: dict) -> None:
    data = bytes.fromhex(vector["hex"])
    message = codec.decode(message_type(vector["type"]), data, len(data))
    assert MessageToDict(message, preserving_proto_field_name=True) == vector["fields"]
    assert codec.encode(message) == data


@pytest.mark.parametrize("vector", BAD, ids=lambda v: f"{v['type']}: {v['reason']}")
def test_bad_vectors_are_refused_for_their_reason(vector: dict) -> None:
    with pytest.raises(MalformedMessage, match=vector["match"]):
        codec.decode(message_type(vector["type"]), bytes.fromhex(vector["hex"]), codec.MAX_FRAME_BYTES)


@pytest.mark.parametrize("vector", GOOD, ids=lambda v: v["what"])
def test_every_good_vector_is_refused_with_one_byte_too_few_allowed(vector: dict) -> None:
    data = bytes.fromhex(vector["hex"])
    if data:
        with pytest.raises(MalformedMessage, match="at most"):
            codec.decode(message_type(vector["type"]), data, len(data) - 1)


def test_every_message_type_has_a_good_and_a_bad_vector() -> None:
    # reached through the messages that carry them
    inner = {"Progress", "Header", "Relay", "Attach", "Notice", "BulkHeader", "BulkOffer", "NotReady"}
    types = {t.DESCRIPTOR.name for t in codec._RULES}
    assert types - inner <= {v["type"] for v in GOOD}
    assert types - inner <= {v["type"] for v in BAD}
