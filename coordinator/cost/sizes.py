"""Bytes of every message, from the shapes alone: what the crypto modules write, and what the wire puts around it.

The coordinator imports nothing that could hold a key, so the lengths stand here a second time, from the same layouts
and parameters; `tests/coordinator/test_cost_sizes.py` compares each with what the crypto modules say.
"""
from __future__ import annotations

from functools import lru_cache

from protocols.crypto.aggregate import HEADER_BYTES
from protocols.crypto.layout import Layout, LayoutName, layout_of
from protocols.crypto.params import DEGREE, PRODUCT, SLOT_DATA_PRIMES, SLOTS, TAG_BYTES
from protocols.psi import messages as psi
from protocols.wire import codec
from protocols.wire.envelope_pb2 import Envelope, Progress, Sealed
from protocols.wire.hub_pb2 import SEALED, BulkChunk, BulkHeader, BulkOffer, BulkRequest, Header, HubFrame, Relay

SHORT, FULL = 12, 16  # bytes per coefficient of a reply
SHARE_BYTES = 16  # of one element modulo Q
SEED_BYTES = 64  # of an encryption's second polynomial
POINT_BYTES = 32
COMPACT: LayoutName = "compact"  # of the products of training
TILE: LayoutName = "tile"  # of what leads to an opening
COLUMN: LayoutName = "column"  # of weights that stay shared
AEAD_TAG_BYTES = 16
PROGRESS_EVERY = 2  # chunks, as the link tells what it has taken
_REPLY_BLOCK_BYTES = 18 * DEGREE  # element-wise: 8 bytes of the first polynomial, 10 of the second
_NAME = "platform-1"
_RUN = "r-" + "0" * 16
_SLOT = "train:backward.request.10"
_KIND = "train.backward.request"
_SEQUENCE, _COUNTER = 100, 1000  # typical: their varints take one to three bytes


def _residues(primes: tuple[int, ...]) -> int:
    return DEGREE * sum(-(-prime.bit_length() // 8) for prime in primes)


def layout(shape: tuple[int, int], name: LayoutName = COMPACT) -> Layout:
    """How a product of that shape is laid out; by default as training does it."""
    return layout_of(shape, name)


def request_bytes(shape: tuple[int, int], name: LayoutName = COMPACT) -> int:
    """Of a matrix product."""
    return TAG_BYTES + layout(shape, name).uploads * (SEED_BYTES + _residues(PRODUCT.data_primes))


def reply_bytes(shape: tuple[int, int], coding: int, name: LayoutName = COMPACT) -> int:
    """Of a matrix product; `coding`: SHORT or FULL."""
    plan = layout(shape, name)
    return TAG_BYTES + coding * (plan.replies * DEGREE + plan.rows)


def sum_bytes(shape: tuple[int, int], coding: int, name: LayoutName = COMPACT) -> int:
    """A summand, and a sum, of replies that the hub adds."""
    return reply_bytes(shape, coding, name) - TAG_BYTES + HEADER_BYTES


def slot_blocks(n: int) -> int:
    """Ciphertexts per ring prime for n entries of an element-wise product."""
    return -(-n // DEGREE)


def elementwise_request_bytes(n: int) -> int:
    """Of an element-wise product of n entries."""
    return TAG_BYTES + 2 * slot_blocks(n) * (SEED_BYTES + _residues(SLOT_DATA_PRIMES))


def elementwise_reply_bytes(n: int) -> int:
    """Of an element-wise product of n entries; the same for every n of as many blocks."""
    return TAG_BYTES + 2 * slot_blocks(n) * _REPLY_BLOCK_BYTES


def public_key_bytes() -> int:
    """What a party uploads of its fresh keys: product key, Galois keys of 13 elements, two slot keys."""
    elements = DEGREE.bit_length() - 1
    product = (1 + len(PRODUCT.data_primes) * elements) * (SEED_BYTES + _residues(PRODUCT.primes))
    return TAG_BYTES + product + sum(SEED_BYTES + _residues(slots.primes) for slots in SLOTS)


# ---------------------------------------------------------------- alignment


def alignment_bytes(own: int, peers: int) -> int:
    """Frames that one side sends to align `own` ids with `peers` ids, the acknowledgements included."""
    sent = 2 * frames_bytes(len(psi.encode_size(bytes(32), 1)))
    for total, each in ((own, POINT_BYTES), (peers, psi.TAG_BYTES)):
        full, rest = divmod(total, psi.CHUNK)
        sent += full * frames_bytes(4 + each * psi.CHUNK) + (frames_bytes(4 + each * rest) if rest else 0)
    received = psi.chunks(own) + psi.chunks(peers) + 2
    return sent + received * progress_bytes()


# ---------------------------------------------------------------- the wire


@lru_cache(maxsize=4096)
def _frame_bytes(chunk: int, chunks: int, size: int) -> int:
    envelope = Envelope(version=1, run=_RUN, round=10, sender=_NAME, receiver=_NAME, kind=_KIND, agreement=bytes(32),
                        seq=_SEQUENCE, chunk=chunks - 1, chunks=chunks, size=size, digest=bytes(32),
                        payload=bytes(chunk))
    return _relayed(Sealed(envelope=envelope).ByteSize())


def _relayed(plaintext: int) -> int:
    header = Header(version=1, run=_RUN, sender=_NAME, receiver=_NAME, kind=SEALED, session=bytes(16),
                    counter=_COUNTER)
    return HubFrame(relay=Relay(header=header, body=bytes(plaintext + AEAD_TAG_BYTES))).ByteSize()


def frames_bytes(payload: int) -> int:
    """All frames of one sealed message."""
    chunks = codec.chunk_count(payload)
    last = payload - (chunks - 1) * codec.CHUNK_BYTES
    return (chunks - 1) * _frame_bytes(codec.CHUNK_BYTES, chunks, payload) + _frame_bytes(last, chunks, payload)


@lru_cache(maxsize=1)
def progress_bytes() -> int:
    """One acknowledgement of the receiver."""
    return _relayed(Sealed(progress=Progress(handled=_SEQUENCE, taken=_COUNTER)).ByteSize())


def answer_bytes(payload: int) -> int:
    """What the receiver of a message sends back: one acknowledgement at the end, and one for every two chunks."""
    return progress_bytes() * (1 + codec.chunk_count(payload) // PROGRESS_EVERY)


def put_bytes(payload: int, receivers: int, contributors: int) -> int:
    """Frames of a bulk on its way to the hub."""
    header = BulkHeader(version=1, run=_RUN, slot=_SLOT, sender=_NAME, receivers=[_NAME] * receivers,
                        contributors=[_NAME] * contributors, size=payload, sha256=bytes(32))
    return BulkChunk(header=header).ByteSize() + _pieces(payload)


def get_bytes(payload: int) -> int:
    """Frames of a bulk on its way from the hub."""
    return BulkChunk(offer=BulkOffer(sender=_NAME, size=payload, sha256=bytes(32))).ByteSize() + _pieces(payload)


def ask_bulk_bytes() -> int:
    """What a receiver sends for a bulk: a request, and that it needs it no more."""
    return 2 * BulkRequest(version=1, run=_RUN, slot=_SLOT, party=_NAME, wait_ms=1000).ByteSize()


def reference_bytes(fan: bool) -> int:
    """The sealed message that names a bulk's slot; for several receivers also its key and digest."""
    return frames_bytes(len(_SLOT) + (64 if fan else 0))


def _pieces(payload: int) -> int:
    chunks = codec.chunk_count(payload)
    return payload + chunks * 5  # field and length of each piece
