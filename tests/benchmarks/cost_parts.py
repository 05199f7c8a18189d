"""The measured parts of the cost model, from the calls that a run makes: CPU seconds of a core, wall time of waits."""
from __future__ import annotations

import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from coordinator.cost import sizes
from coordinator.cost.parts import polynomials
from parties.bank.evaluation import evaluate_slices
from parties.runtime.egress import Egress
from parties.runtime.run_store import RunStore
from parties.runtime.tables import infer_config, load_table
from protocols.binning.encoder import Encoder
from protocols.crypto import aggregate, elementwise, product, summed_product
from protocols.crypto.box import Box
from protocols.crypto.group import Scalar, hash_and_multiply, multiply_all
from protocols.crypto.identity import IdentityKey
from protocols.crypto.keys import KeyPair, PeerKeys
from protocols.crypto.layout import LayoutName
from protocols.crypto.params import DEGREE
from protocols.crypto.product import MatrixTiles, ReplyCoding
from protocols.crypto.ring import RING
from protocols.crypto.summed_product import Seed
from protocols.node.audit_log import AuditLog
from protocols.psi.aligner import _intersect
from protocols.psi.label_party import AlignLabelParty
from protocols.psi.parameters import AlignmentParams
from protocols.role import Message
from protocols.scorecard import logistic
from protocols.scorecard.label_party import LabelTrainer
from protocols.scorecard.training import TrainingConfig
from protocols.scorecard.whitening import Whitening
from protocols.state import pack
from tests.benchmarks.data import made_columns, write_tables

LAYOUT: LayoutName = "compact"
GRID = tuple((shape, LAYOUT) for shape in ((8192, 12), (8192, 40), (32768, 12), (32768, 40), (16384, 96)))
TILED_GRID = (*((shape, sizes.TILE) for shape in ((8192, 12), (8192, 40), (32768, 12), (32768, 40), (200, 8192))),
              *((shape, sizes.COLUMN) for shape in ((8192, 6), (4096, 40), (16384, 20))))
ROUNDS = 3
Grid = tuple[tuple[tuple[int, int], LayoutName], ...]


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.process_time, rounds: int = ROUNDS) -> float:
    """Of one call: CPU of the best of a few, wall time of the usual one (a run meets slow disks and wake-ups too)."""
    spent = []
    for _ in range(rounds):
        began = clock()
        work()
        spent.append(clock() - began)
    return min(spent) if clock is time.process_time else statistics.median(spent)


def non_negative(features: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Least squares in which what would be negative is left out, feature by feature; relative errors count."""
    kept, scaled = list(np.flatnonzero(features.any(axis=0))), features / values[:, None]
    while True:
        found, *_ = np.linalg.lstsq(scaled[:, kept], np.ones(len(values)), rcond=None)
        if found.min() >= 0 or len(kept) == 1:
            break
        del kept[int(np.argmin(found))]
    out = np.zeros(features.shape[1])
    out[kept] = np.maximum(found, 0)
    return out


class Crypto:
    """The matrix and element-wise products."""

    def __init__(self) -> None:
        self._keys = KeyPair.generate()
        self._public = self._keys.public_bytes()
        self._peer = PeerKeys.from_bytes(self._public)
        self._draw = np.random.default_rng(1)

    def keys(self) -> dict[str, float]:
        return {"generate_s": seconds(KeyPair.generate), "expand_s": seconds(lambda: PeerKeys.from_bytes(self._public))}

    def product(self) -> dict[str, Any]:
        """Answers fitted over GRID; the rest at one shape."""
        forward, tile = self._answers(False, None)
        backward, _ = self._answers(True, forward["product_s"])
        tiled, _ = self._answers(False, None, TILED_GRID)
        shape = (40, 32768)
        uploads = sizes.layout(shape).uploads
        share = RING.random(shape[1])
        self._keys.stock((ROUNDS + 1) * uploads)
        ask = seconds(lambda: product.ask(self._keys, share, shape, LAYOUT)) / uploads
        zeros = [seconds(lambda: self._keys._new_zero(), rounds=9), seconds(lambda: self._peer._new_zero(), rounds=9)]
        finish, summand, opened, added = self._sums()
        return {"ask_s": ask, "zero_own_s": zeros[0], "zero_peer_s": zeros[1], "forward": forward,
                "backward": backward, "tiled": tiled, "tile_s": tile, "finish_s": finish, "summand_s": summand,
                "sum_s": opened, "add_s": added}

    def _matrix(self, rows: int, columns: int) -> np.ndarray:
        return self._draw.normal(0, 4096, (rows, columns)).clip(-(2**19), 2**19).astype(np.int64)

    def _answers(self, transposed: bool, product_s: float | None, grid: Grid = GRID) -> tuple[dict[str, float], float]:
        """Fitted seconds of an answer, and of a tile; `product_s`: a multiplication, where it is known already."""
        features, values, tiles_s = [], [], []
        for (rows, columns), layout in grid:
            matrix = self._matrix(rows, columns)
            tiles = MatrixTiles(matrix.T if transposed else matrix, layout=layout)
            plan, share = tiles.layout, RING.random(tiles.shape[1])
            request = product.ask(self._keys, share, tiles.shape, layout)
            coding = ReplyCoding.FULL if transposed else ReplyCoding.SHORT
            self._peer.stock((ROUNDS + 1) * plan.replies)

            def answer(tiles=tiles, share=share, request=request, coding=coding) -> None:
                product.answer(tiles, self._peer, share, request, coding)

            first = seconds(answer, rounds=1)
            warm = seconds(answer)
            items, along = (plan.uploads, plan.replies) if plan.kind == "tile" else (plan.items, polynomials(plan))
            tiles_s.append((first - warm) / (items * along))
            features.append([1, items, items * along, along])
            values.append(warm)
        table, left = np.array(features, float), np.array(values)
        if product_s is not None:
            left = np.maximum(left - product_s * table[:, 2], left / 10)
            table[:, 2] = 0
        found = non_negative(table, left)
        found[2] += product_s or 0.0
        names = ("fixed_s", "item_s", "product_s", "polynomial_s")
        return dict(zip(names, map(float, found), strict=True)), float(np.median(tiles_s))

    def _sums(self) -> tuple[float, float, float, float]:
        """Per polynomial: opening a reply, and what a summand and a sum take beyond that; adding, per megabyte."""
        matrix = self._matrix(32768, 12)
        tiles, share = MatrixTiles(matrix, layout=LAYOUT), RING.random(12)
        replies, coding = tiles.layout.replies, ReplyCoding.SHORT
        request = product.ask(self._keys, share, tiles.shape, LAYOUT)
        point, seed = Seed(bytes(32)), Seed(bytes([1]) * 32)
        self._peer.stock((2 * ROUNDS + 4) * replies)

        def plain() -> bytes:
            return product.answer(tiles, self._peer, share, request, coding)[0]

        def summand() -> bytes:
            mask = seed.expand("forward.1", tiles.shape[0])
            return summed_product.contribute(tiles, self._peer, share, request, coding, mask, point,
                                             seed.expand("pad", 1))

        reply, part = plain(), summand()
        shape, pads = tiles.shape, [seed.expand("pad", 1)]
        finish = seconds(lambda: product.finish(self._keys, reply, shape, LAYOUT, coding))
        total = seconds(lambda: summed_product.finish_sum(self._keys, part, shape, LAYOUT, coding, point, pads))
        extra = max(0.0, seconds(summand) - seconds(plain))
        added = aggregate.add(None, part)
        adding = seconds(lambda: aggregate.add(added, part)) / len(part) * 1e6
        return finish / replies, extra / replies, max(0.0, total - finish) / replies, adding

    def elementwise(self) -> dict[str, float]:
        n, blocks = 4 * DEGREE, 4
        share, values = RING.random(n), RING.random(n)
        request, factor = elementwise.ask(self._keys, share), elementwise.Factor(values)
        reply, _ = elementwise.answer(self._peer, [(request, factor)])
        veils = [elementwise.Veil(self._peer, n) for _ in range(ROUNDS)]
        fresh = lambda: [elementwise.Factor(values).transformed(i, b) for i in range(2) for b in range(blocks)]  # noqa: E731
        found = {
            "ask_s": seconds(lambda: elementwise.ask(self._keys, share)),
            "veil_s": seconds(lambda: elementwise.Veil(self._peer, n)),
            "factor_s": seconds(fresh),
            "answer_s": seconds(lambda: elementwise.answer(self._peer, [(request, factor)], veils.pop())),
            "finish_s": seconds(lambda: elementwise.finish(self._keys, reply, n)),
        }
        return {name: value / blocks for name, value in found.items()}


def local() -> dict[str, float]:
    """Tables, bins, the bank's own model, arithmetic on shares, the judgement."""
    columns = made_columns(20_000)
    with tempfile.TemporaryDirectory(prefix="sealscore-bench-") as folder:
        bank_csv, parts = write_tables(columns, Path(folder))
        configs = [infer_config(bank_csv, "id", "default"), infer_config(parts["platform"], "id")]
        spent = [seconds(lambda config=config: load_table(config)) for config in configs]
        table = load_table(configs[1])
    rows, narrow, wide = 20_000, columns.bank.shape[1], columns.platform.shape[1]
    cell = max(0.0, (spent[1] - spent[0]) / (wide - narrow) / rows)
    names = list(table.columns)
    order = np.arange(rows)
    made: dict[str, Any] = {}

    def encode() -> None:
        data = table.take(order).select(names)
        encoder = Encoder.fit(data, method="dummy", bins=5)
        encoded = encoder.transform(data)
        made["whitening"] = Whitening.fit(encoded)
        made["columns"] = made["whitening"].transform(encoder.transform(table.take(order).select(names)))

    encoding = seconds(encode)
    whitened = made["columns"]
    cells = rows * whitened.shape[1]
    fitting = seconds(lambda: logistic.fit(whitened, columns.label, 0.001))
    return {
        "load_row_s": max(0.0, spent[0] / rows - cell * narrow), "load_cell_s": cell,
        "encode_cell_s": encoding / cells, "fit_cell_s": fitting / cells,
        "start_cell_s": _start(whitened, columns.label) / cells, "pass_row_s": _pass_row(),
        "evaluate_row_s": _judgement() / 10_000,
    }


def _start(whitened: np.ndarray, labels: np.ndarray) -> float:
    config = TrainingConfig("bank", ("bank",), ("platform",), 8, 0.001, lambda rows, coefficients: None, 1 << 30)
    matrix = np.hstack([np.ones((len(whitened), 1)), whitened])
    keys = KeyPair.generate()
    return seconds(lambda: LabelTrainer(matrix, labels, np.zeros(matrix.shape[1]), keys, config))


def _pass_row(n: int = 32_768) -> float:
    """Of both sides together: the additions, products, truncations and states of one pass."""
    a, b, factor = RING.random(n), RING.random(n), RING.random(n)
    numbers = np.zeros(n, np.int64)

    def work() -> None:
        for second in (False, True):
            z = RING.truncate(RING.add(a, b), 32, second=second)
            pack({"z": z})
            pack({"r": z})
            RING.random(n)
        RING.add(RING.add(RING.mul(factor, z), b), RING.encode(numbers))

    return seconds(work) / n


def _judgement() -> float:
    draw = np.random.default_rng(3)
    labels = {name: (draw.random(n) < 0.1).astype(float) for name, n in (("calibration", 3_300), ("test", 6_700))}
    scores = {name: draw.standard_normal(len(y)) - 2 + y for name, y in labels.items()}

    def work() -> None:
        evaluation = evaluate_slices(labels, scores, {name: s / 2 for name, s in scores.items()})
        evaluation.to_json()

    return seconds(work)


def alignment(count: int = 16_384) -> dict[str, float]:
    """Per identifier."""
    ids, scalar = [b"SYN-%010d" % number for number in range(2_000)], Scalar.random()
    hashing = seconds(lambda: hash_and_multiply(ids, b"bench", scalar, map)) / len(ids)
    points = hash_and_multiply(ids, b"bench", scalar, map)
    multiplying = seconds(lambda: multiply_all(points, scalar, map)) / len(ids)
    params = AlignmentParams(("trim", "casefold", "nfkc"), 1000, 10**7, 10**7, b"bench")
    role = AlignLabelParty([f"SYN-{number:010d}" for number in range(count)], "platform", params)
    digest = seconds(lambda: role.restore(role.snapshot())) / count
    draw = np.random.default_rng(4)
    tags = draw.integers(0, 256, (count, 32), dtype=np.uint8)
    finding = seconds(lambda: _intersect(np.ascontiguousarray(tags[:, 16:]), tags, slice(0, 16)))
    return {"hash_s": hashing, "multiply_s": multiplying, "digest_id_s": digest,
            "intersect_id_s": finding / (2 * count)}


def storing() -> dict[str, float]:
    """Wall time of a durable step, and per megabyte in it: the outbox, the run's state and the audit log."""
    payload = np.random.default_rng(5).bytes(4_000_000)
    with tempfile.TemporaryDirectory(prefix="sealscore-bench-") as folder:
        audit = AuditLog(Path(folder) / "audit", "bank", IdentityKey.generate())
        store = RunStore(Path(folder) / "run.db", Box(bytes(32)))
        door = Egress("r-" + "0" * 16, "train", store, audit)

        def step(data: bytes) -> None:
            door.release("train", 0, [Message("platform", "forward.request", data)], {"train.role": data[:64]}, ())
            store.towards("platform").trim(store.towards("platform").last_sequence())

        small = seconds(lambda: step(b"x"), time.perf_counter, 15)
        large = seconds(lambda: step(payload), time.perf_counter, 7)
        store.close()
        audit.close()
    return {"step_s": small, "store_mb_s": max(0.0, large - small) / (len(payload) / 1e6)}


def peak_mb() -> float:
    """Of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
