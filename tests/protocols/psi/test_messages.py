"""Literal bytes of the alignment messages, there and back."""
from __future__ import annotations

import pytest

from protocols.errors import MalformedMessage
from protocols.psi import messages as m

DIGEST = bytes(range(32))


def test_literal_bytes():
    assert m.encode_size(DIGEST, 258).hex() == "01" + DIGEST.hex() + "02010000"
    assert m.encode_chunk(3, b"\xaa" * 2).hex() == "03000000aaaa"
    assert m.encode_joint(7, DIGEST).hex() == "07000000" + DIGEST.hex()


def test_round_trips():
    assert m.decode_size(m.encode_size(DIGEST, 258)) == (DIGEST, 258)
    assert m.decode_chunk(m.encode_chunk(3, b"ab"), m.TAGS, 3, 2) == b"ab"
    assert m.decode_joint(m.encode_joint(7, DIGEST)) == (7, DIGEST)


@pytest.mark.parametrize("decode", [
    lambda: m.decode_size(b"\x02" + DIGEST + bytes(4)),  # version
    lambda: m.decode_size(b"\x01" + DIGEST + bytes(5)),
    lambda: m.decode_chunk(b"\x03\0\0\0ab", m.TAGS, 2, 2),  # index
    lambda: m.decode_chunk(b"\x03\0\0\0abc", m.TAGS, 3, 2),
    lambda: m.decode_chunk(b"", m.TAGS, 0, 2),
    lambda: m.decode_joint(bytes(35)),
])
def test_malformed(decode):
    with pytest.raises(MalformedMessage):
        decode()


@pytest.mark.parametrize(("total", "lengths"), [(1, [1]), (8192, [8192]), (8193, [8192, 1]), (16384, [8192, 8192])])
def test_chunking(total, lengths):
    assert [m.chunk_length(total, index) for index in range(m.chunks(total))] == lengths
