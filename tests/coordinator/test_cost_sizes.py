"""Lengths that the cost model computes, against what the crypto modules and the wire say."""
from __future__ import annotations

import pytest

from coordinator.cost import sizes, stage
from parties.runtime.link_engine import WINDOW_CHUNKS
from protocols.crypto import elementwise, keys, product, summed_product
from protocols.crypto.group import POINT_BYTES
from protocols.crypto.product import ReplyCoding
from protocols.crypto.ring import RING
from protocols.psi import messages as psi
from protocols.scorecard.training import BACKWARD, FORWARD, LAYOUT
from protocols.wire import codec
from protocols.wire.chunks import Route, WireMessage
from protocols.wire.envelope_pb2 import Sealed
from protocols.wire.hub_pb2 import SEALED, BulkChunk, Header, HubFrame, Relay

SHAPES = [(1, 1), (300, 7), (12_282, 82), (45, 12_282), (200_000, 30), (1024, 9_000), (2_000, 3_000)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_products_have_the_length_that_the_crypto_says(shape):
    assert sizes.request_bytes(shape) == product.request_bytes(shape, LAYOUT)
    for coding in ReplyCoding:
        assert sizes.reply_bytes(shape, coding.value) == product.reply_bytes(shape, LAYOUT, coding)
        assert sizes.sum_bytes(shape, coding.value) == summed_product.sum_bytes(shape, LAYOUT, coding)
    assert (FORWARD.value, BACKWARD.value) == (sizes.SHORT, sizes.FULL)


@pytest.mark.parametrize("n", [1, 8192, 8193, 50_000])
def test_element_wise_products_have_the_length_that_the_crypto_says(n):
    assert sizes.elementwise_request_bytes(n) == elementwise.request_bytes(n)
    assert sizes.elementwise_reply_bytes(n) == elementwise.reply_bytes(n)


def test_keys_and_small_parts_have_the_length_that_others_say():
    assert sizes.public_key_bytes() == keys.public_key_bytes()
    assert POINT_BYTES == sizes.POINT_BYTES
    assert len(RING.to_bytes(RING.zeros(3))) == 3 * sizes.SHARE_BYTES
    assert stage.WINDOW_BYTES == WINDOW_CHUNKS * codec.CHUNK_BYTES


@pytest.mark.parametrize("payload", [0, 1, 37, 262_148, 524_288, 524_289, 5_785_440])
def test_frames_are_as_long_as_the_wire_makes_them(payload):
    """To within the varints of numbers that change from message to message."""
    route = Route("r-" + "0" * 16, "bank", "platform", bytes(32))
    message, total = WireMessage.of(17, "train.forward.request", 3, bytes(payload)), 0
    for number in range(message.chunks):
        sealed = codec.encode(Sealed(envelope=message.chunk(route, number)))
        header = Header(version=1, run=route.run, sender="bank", receiver="platform", kind=SEALED, session=bytes(16),
                        counter=number)
        total += len(codec.encode(HubFrame(relay=Relay(header=header, body=sealed + bytes(16)))))
    assert abs(sizes.frames_bytes(payload) - total) <= 40 * message.chunks


def test_a_bulk_costs_its_bytes_and_little_more():
    payload = 3 * codec.CHUNK_BYTES + 5
    pieces = [codec.CHUNK_BYTES] * 3 + [5]
    least = sum(len(codec.encode(BulkChunk(data=bytes(piece)))) for piece in pieces)
    assert least < sizes.get_bytes(payload) < sizes.put_bytes(payload, 3, 3) < least + 400


def test_alignment_counts_points_tags_and_acknowledgements():
    own, peers = 20_000, 9_000
    content = own * POINT_BYTES + peers * psi.TAG_BYTES
    chunks = psi.chunks(own) + psi.chunks(peers)
    assert content < sizes.alignment_bytes(own, peers) < content + 600 * (chunks + 2)
