"""Each party's recorded view beside a simulated one; uniform shares; nothing twice. README.md: what this proves."""
from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest

from protocols.crypto import elementwise, product
from protocols.crypto.keys import KeyPair
from protocols.crypto.ring import RING, Ring
from tests.attacks.detectors import alike, distances_of, repeated_blocks, reused_masks, uniformity
from tests.attacks.views import BankSimulator, PlatformSimulator, View
from tests.attacks.watching import Watched, watch
from tests.protocols.scorecard.problems import problem


def real_view(training: Watched, party: str) -> View:
    """What came to a party, in order."""
    return [(message.kind, message.payload) for sender, message in training.tape if sender != party]


@pytest.fixture(scope="module")
def simulated(training: Watched, keys: KeyPair, other_keys: KeyPair) -> dict[str, View]:
    """Both parties' views from simulators that are given that party's table and result, and no more."""
    task, stranger = training.task, KeyPair.generate()
    public = stranger, task.bank_columns.shape[1], [task.platform.shape[1]]
    platform = PlatformSimulator(task.feature_trainer(other_keys), *public, training.platform.result())
    bank = BankSimulator(task.label_trainer(keys), *public, training.bank.result(), training.norms)
    return {"bank": bank.run(), "platform": platform.run()}


@pytest.mark.parametrize("party", ["bank", "platform"])
def test_views_have_the_same_messages_of_the_same_sizes(training, simulated, party) -> None:
    sizes = [[(kind, len(payload)) for kind, payload in view] for view in (real_view(training, party),
                                                                           simulated[party])]
    assert sizes[0] == sizes[1]
    assert len(sizes[0]) > 60


@pytest.mark.parametrize("party", ["bank", "platform"])
def test_views_are_distributed_alike(training, simulated, party) -> None:
    """Per kind, all its messages' 16-bit words, in the lower, middle and upper bytes of what they are part of alike."""
    distances = distances_of(real_view(training, party), simulated[party])
    assert max(distances.values()) < 1, distances


def test_a_view_that_is_not_the_simulated_one_is_seen(training, simulated) -> None:
    """The same test on replies whose mask was left out."""
    honest = next(p for kind, p in real_view(training, "bank") if kind == "backward.reply")
    unmasked = RING.to_bytes(RING.encode(np.arange(400) << 40))
    assert alike(*(np.frombuffer(p[16:], "<u2") for p in (honest, unmasked))) > 1


# ---------------------------------------------------------------- uniform shares


def test_shares_are_uniform(training: Watched) -> None:
    for pairs in (training.residuals, training.gradients):
        for side in ("bank", "platform"):
            joined = np.concatenate([getattr(pair, side) for pair in pairs], axis=1)
            cells = 64 if joined.shape[1] > 1000 else 4
            assert uniformity(joined, cells) < 1
    given = [RING.from_bytes(p[: len(p) // 2], len(p) // 32) for kind, p in real_view(training, "bank")
             if kind == "init"]
    assert given[0].shape == (2, 4)


@pytest.mark.parametrize("bits", [40, 100, 117])
def test_numbers_that_do_not_fill_the_ring_are_seen(bits: int) -> None:
    assert uniformity(RING.random_below_bits(4000, bits)) > 1
    assert uniformity(RING.random(4000)) < 1


# ---------------------------------------------------------------- masks and seeds are used once


def shares_of_a_training(monkeypatch, keys: KeyPair, other_keys: KeyPair) -> tuple[dict, list[tuple[str, bytes]]]:
    """Shares of every product by what and shape, and the payloads, of a small training."""
    shares: dict[str, list[np.ndarray]] = defaultdict(list)
    for module, name, which in ((product, "answer", 1), (product, "finish", None), (elementwise, "answer", 1),
                                (elementwise, "finish", None)):
        real = getattr(module, name)

        def noting(*arguments, real=real, what=f"{module.__name__}.{name}", which=which):
            result = real(*arguments)
            share = result if which is None else result[which]
            shares[f"{what} {share.shape[1]}"].append(share)
            return result

        monkeypatch.setattr(module, name, noting)
    seen = watch(problem(300, 2, 2, steps=2, seed=8), keys, other_keys)
    return shares, [(f"{k} {sender} {m.kind}", m.payload) for k, (sender, m) in enumerate(seen.tape)]


def test_no_mask_and_no_seed_serves_twice(monkeypatch, keys, other_keys) -> None:
    shares, payloads = shares_of_a_training(monkeypatch, keys, other_keys)
    assert sum(map(len, shares.values())) > 70 and len(payloads) > 80
    assert reused_masks(shares) == set()
    assert repeated_blocks(payloads) == set()


class Forgetful(Ring):
    """Twin: two masks for all replies of a length, by turns, so that no two shares of one sum have the same."""

    def __init__(self, q: tuple[int, int]):
        super().__init__(q)
        self.kept: dict[tuple[int, int], np.ndarray] = {}
        self.calls: Counter[int] = Counter()

    def random(self, n: int) -> np.ndarray:
        self.calls[n] += 1
        return self.kept.setdefault((n, self.calls[n] % 2), super().random(n))


def test_a_planted_mask_that_serves_twice_is_found(monkeypatch, keys, other_keys) -> None:
    monkeypatch.setattr(product, "RING", Forgetful(RING.q))
    shares, _ = shares_of_a_training(monkeypatch, keys, other_keys)
    found = reused_masks(shares)
    assert {f"protocols.crypto.product.{what} 300" for what in ("answer", "finish")} <= found


def test_a_planted_seed_that_serves_twice_is_found(monkeypatch, keys, other_keys) -> None:
    first, real = {}, KeyPair.seeded_zero
    monkeypatch.setattr(KeyPair, "seeded_zero", lambda self: first.setdefault(id(self), real(self)))
    _, payloads = shares_of_a_training(monkeypatch, keys, other_keys)
    assert any("forward.request" in one and "request" in other for one, other in repeated_blocks(payloads))
