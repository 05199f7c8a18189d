"""Milliseconds of CPU of the cryptographic building blocks, and one fixed piece of work to compare machines by."""
from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from protocols.crypto import elementwise, product
from protocols.crypto import seal_objects as so
from protocols.crypto.keys import KeyPair, PeerKeys
from protocols.crypto.product import MatrixTiles, ReplyCoding
from protocols.crypto.ring import RING

ROWS, COLUMNS = 30_000, 40
KERNEL_ROUNDS = 1000


def milliseconds(work: Callable[[], object], rounds: int = 3) -> float:
    """CPU time of one call of `work`, the best of `rounds` after a first one."""
    work()
    spent = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return round(min(spent) * 1000, 2)


def calibration_seconds() -> float:
    """Wall seconds of 1,000 transforms there and back and products of a ciphertext on one core, as this machine is
    loaded now. Seconds of a training over this figure compare between machines and hours."""
    keys = KeyPair.generate()
    evaluator = so.product_scheme().evaluator
    zero = PeerKeys.from_bytes(keys.public_bytes()).fresh_zero()
    tile = so.plaintext(so.product_scheme(), np.arange(1, 8193, dtype=np.uint64))
    evaluator.transform_to_ntt_inplace(tile, so.product_scheme().data_id)
    began = time.perf_counter()
    for _ in range(KERNEL_ROUNDS):
        evaluator.transform_to_ntt_inplace(zero)
        evaluator.multiply_plain_inplace(zero, tile)
        evaluator.transform_from_ntt_inplace(zero)
    return round(time.perf_counter() - began, 3)


def measure() -> dict[str, dict[str, float]]:
    """CPU milliseconds by operation, `ROWS` x `COLUMNS`."""
    keys = KeyPair.generate()
    peer = PeerKeys.from_bytes(keys.public_bytes())
    matrix = np.random.default_rng(1).normal(0, 4096, (ROWS, COLUMNS)).clip(-(2**19), 2**19).astype(np.int64)
    out = {"keys": {"generate": milliseconds(KeyPair.generate, 1),
                    "expand": milliseconds(lambda: PeerKeys.from_bytes(keys.public_bytes()))}}
    cases = ((matrix, ReplyCoding.SHORT, "forward"), (matrix.T, ReplyCoding.FULL, "backward"))
    out |= {name: _product(keys, peer, part, coding) for part, coding, name in cases}
    return out | {"element-wise": _elementwise(keys, peer)}


def _product(keys: KeyPair, peer: PeerKeys, matrix: np.ndarray, coding: ReplyCoding) -> dict[str, float]:
    tiles, share = MatrixTiles(matrix, layout="compact"), RING.random(matrix.shape[1])
    request = product.ask(keys, share, tiles.shape, "compact")
    reply, _ = product.answer(tiles, peer, share, request, coding)
    return {
        "ask": milliseconds(lambda: product.ask(keys, share, tiles.shape, "compact")),
        "answer": milliseconds(lambda: product.answer(tiles, peer, share, request, coding)),
        "finish": milliseconds(lambda: product.finish(keys, reply, tiles.shape, "compact", coding)),
        "request_kilobytes": round(len(request) / 1000, 1), "reply_kilobytes": round(len(reply) / 1000, 1),
    }


def _elementwise(keys: KeyPair, peer: PeerKeys) -> dict[str, float]:
    share, factor = RING.random(ROWS), RING.random(ROWS)
    request = elementwise.ask(keys, share)
    reply, _ = elementwise.answer(peer, [(request, factor)])
    return {
        "ask": milliseconds(lambda: elementwise.ask(keys, share)),
        "answer": milliseconds(lambda: elementwise.answer(peer, [(request, factor)])),
        "finish": milliseconds(lambda: elementwise.finish(keys, reply, ROWS)),
        "request_kilobytes": round(len(request) / 1000, 1), "reply_kilobytes": round(len(reply) / 1000, 1),
    }
