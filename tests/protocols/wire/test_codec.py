"""The codec on drawn messages and on damaged bytes; chunking against the plain payload."""
from __future__ import annotations

import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import MalformedMessage
from protocols.wire import codec
from protocols.wire.chunks import Assembler, Route, WireMessage
from protocols.wire.envelope_pb2 import Envelope, Progress, Sealed
from protocols.wire.hub_pb2 import SEALED, Header, HubFrame, Relay

RUN = "r-" + "0a" * 8
ROUTE = Route(RUN, "bank", "platform", bytes(32))
names = st.from_regex(r"[a-z][a-z0-9-]{0,31}", fullmatch=True)


def frame(counter: int, session: bytes, body: bytes, sender: str = "bank", receiver: str = "platform") -> HubFrame:
    header = Header(version=1, run=RUN, sender=sender, receiver=receiver, kind=SEALED, session=session,
                    counter=counter)
    return HubFrame(relay=Relay(header=header, body=body))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**64 - 1), st.binary(min_size=16, max_size=16), st.binary(min_size=1, max_size=200),
       st.tuples(names, names).filter(lambda pair: pair[0] != pair[1]))
def test_drawn_frames_round_trip(counter: int, session: bytes, body: bytes, pair: tuple[str, str]) -> None:
    data = codec.encode(frame(counter, session, body, *pair))
    assert codec.encode(codec.decode(HubFrame, data, len(data))) == data


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_bytes_are_refused_or_are_another_canonical_message(data: st.DataObject) -> None:
    good = codec.encode(frame(77, bytes(16), b"sealed body"))
    position = data.draw(st.integers(0, len(good) - 1))
    damaged = good[:position] + bytes([good[position] ^ data.draw(st.integers(1, 255))]) + good[position + 1:]
    try:
        message = codec.decode(HubFrame, damaged, len(damaged))
    except MalformedMessage:
        return
    assert codec.encode(message) == damaged != good


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_never_do_worse_than_a_refusal(data: bytes) -> None:
    for cls in (HubFrame, Sealed, Envelope):
        try:
            assert codec.encode(codec.decode(cls, data, 300)) == data
        except MalformedMessage:
            continue


def test_encode_refuses_what_decode_would() -> None:
    with pytest.raises(MalformedMessage, match="Envelope.version"):
        codec.encode(Envelope(run=RUN))
    with pytest.raises(MalformedMessage, match="no message of this protocol"):
        codec.encode(_foreign())


def _foreign() -> Message:
    from google.protobuf.empty_pb2 import Empty
    return Empty()


def test_the_digest_of_a_message_separates_kind_round_and_payload() -> None:
    digests = {codec.message_digest(kind, number, payload)
               for kind in ("a", "ab") for number in (0, 1, 256) for payload in (b"", b"b", b"ab")}
    assert len(digests) == 2 * 3 * 3
    assert codec.message_digest("psi.done", 0, b"").hex() == \
        "7add2659eab68da2cafa8278f89073057f6a9543c6e0aa32595066eaa896b9b5"


@settings(max_examples=15, deadline=None)
@given(st.sampled_from([0, 1, codec.CHUNK_BYTES - 1, codec.CHUNK_BYTES, codec.CHUNK_BYTES + 1,
                        3 * codec.CHUNK_BYTES - 7]), st.integers(0, 2**32 - 1))
def test_messages_come_out_of_their_chunks(size: int, round_number: int) -> None:
    message = WireMessage.of(9, "psi.points", round_number, bytes(range(256)) * (size // 256) + bytes(size % 256))
    assembler = Assembler(ROUTE, size)
    for number in range(message.chunks):
        data = codec.encode(Sealed(envelope=message.chunk(ROUTE, number)))
        whole = assembler.add(codec.decode(Sealed, data, codec.MAX_FRAME_BYTES).envelope)
        assert (whole is None) == (number < message.chunks - 1)
    assert whole == message


def two_chunks(kind: str = "k", fill: int = 0) -> list[Envelope]:
    message = WireMessage.of(1, kind, 0, bytes([fill]) * (codec.CHUNK_BYTES + 5))
    return [message.chunk(ROUTE, 0), message.chunk(ROUTE, 1)]


def test_chunks_out_of_order_or_of_another_message_are_refused() -> None:
    first, second = two_chunks()
    with pytest.raises(MalformedMessage, match="expected chunk 0"):
        Assembler(ROUTE, 2**20).add(second)
    for wrong in (first, two_chunks("other")[1], two_chunks(fill=1)[1]):
        assembler = Assembler(ROUTE, 2**20)
        assembler.add(first)
        with pytest.raises(MalformedMessage, match="expected chunk 1"):
            assembler.add(wrong)


def test_a_message_beyond_the_limit_is_refused_at_its_first_chunk() -> None:
    first, _ = two_chunks()
    with pytest.raises(MalformedMessage, match=f"at most {codec.CHUNK_BYTES} bytes"):
        Assembler(ROUTE, codec.CHUNK_BYTES).add(first)


def test_a_payload_that_differs_from_its_digest_is_refused() -> None:
    envelope = WireMessage.of(1, "k", 0, b"abc").chunk(ROUTE, 0)
    envelope.payload = b"abd"
    with pytest.raises(MalformedMessage, match="digest"):
        Assembler(ROUTE, 100).add(envelope)


@pytest.mark.parametrize(("field", "value"), [("run", "r-" + "1" * 16), ("sender", "other"), ("receiver", "other"),
                                              ("agreement", bytes(31) + b"1")])
def test_an_envelope_of_another_route_is_refused(field: str, value: str | bytes) -> None:
    envelope = WireMessage.of(1, "k", 0, b"abc").chunk(ROUTE, 0)
    setattr(envelope, field, value)
    with pytest.raises(MalformedMessage, match=f"another {field}"):
        Assembler(ROUTE, 100).add(envelope)


def test_a_oneof_set_to_an_empty_message_is_not_nothing() -> None:
    sealed = codec.decode(Sealed, bytes.fromhex("1200"), 10)
    assert sealed.WhichOneof("body") == "progress"
    assert sealed.progress == Progress()
