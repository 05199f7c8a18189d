"""Attacks on what is opened: the noise of an opened value is a hint about a key, its digits are hints about columns."""
from __future__ import annotations

import numpy as np
import pytest
import tenseal.sealapi as seal

from protocols.crypto import product
from protocols.crypto import seal_objects as so
from protocols.crypto.keys import KeyPair, PeerKeys
from protocols.crypto.params import DEGREE
from protocols.crypto.product import MatrixTiles, ReplyCoding
from protocols.crypto.ring import RING
from protocols.errors import DataError
from protocols.scorecard.holdout import SCORE_STEP_BITS, coarse
from protocols.scorecard.training import MAXIMUM_HINTS
from tests.attacks.polynomials import Hints, centred, quotient, secret_of, transformed_quotient
from tests.attacks.watching import Watched

FULL, SHORT = ReplyCoding.FULL, ReplyCoding.SHORT
FLOOD_BITS = 88  # protocols/crypto/README.md, "Opening": beside a total scale of 2^104
ROWS = 4 * DEGREE
WEIGHT, SCALE, SCORE_SHIFT = 0.37, 40, 32


# ---------------------------------------------------------------- the key from a shared CKKS decryption


def ckks_key(ciphertext: np.ndarray, opened: np.ndarray) -> np.ndarray:
    """Whoever sees a CKKS ciphertext and what its owner decrypted: (m - c0) / c1 (Li, Micciancio, EUROCRYPT 2021)."""
    difference = RING.sub(opened, ciphertext[0])
    return transformed_quotient(difference[0], ciphertext[1][0])


def test_key_from_a_shared_ckks_decryption() -> None:
    """The twin is CKKS itself, on the primes of the product; ours has no such scheme, and floods what it opens."""
    context = so.product_scheme().seeding
    generator = seal.KeyGenerator(context)
    sealed, encoder, plain = generator.secret_key(), seal.CKKSEncoder(context), seal.Plaintext()
    encoder.encode([1.5, -2.25, 0.125], 2.0**40, plain)
    ciphertext, decrypted = seal.Ciphertext(), seal.Plaintext()
    seal.Encryptor(context, sealed).encrypt_symmetric(plain, ciphertext)
    seal.Decryptor(context, sealed).decrypt(ciphertext, decrypted)
    opened = np.frombuffer(so.save(decrypted), "<u8", 2 * DEGREE, so._PLAINTEXT_WORDS).reshape(2, DEGREE)
    found = ckks_key(so.ciphertext_words(ciphertext, 2), opened)
    assert np.array_equal(found, centred(so.secret_key_words(sealed, 3)[0])), "all 8,192 coefficients of the key"


# ---------------------------------------------------------------- the key from opened scores


class Opening:
    """Scores X·w of the evaluator's rows, computed for opening: the evaluator keeps what it sent."""

    def __init__(self, keys: KeyPair, peer: PeerKeys, coding: ReplyCoding, seed: int):
        rng = np.random.default_rng(seed)
        self.matrix = rng.integers(-(2**13), 2**13, (ROWS, 1))
        self.weight = int(WEIGHT * 2**SCALE) + seed
        self.exact = (self.matrix[:, 0].astype(object) * self.weight)
        tiles = MatrixTiles(self.matrix, layout="tile")
        request = product.ask(keys, RING.encode(np.array([self.weight])), tiles.shape, "tile")
        self.mask = RING.random(ROWS)
        self.sent = list(product.masked_replies(tiles, peer, None, request, self.mask))
        parts = [product._encode(words, coding) for pair in self.sent for words in pair]
        self.coding = coding
        self.share = product.finish(keys, coding.tag + b"".join(parts), tiles.shape, "tile", coding)

    def left_out(self, words: np.ndarray) -> np.ndarray:
        """What the coding of a reply changed, which its sender knows; float."""
        kept = product._decode(memoryview(product._encode(words, self.coding)), words.shape[1], self.coding)
        return RING.to_float(RING.sub(kept, words))

    @property
    def truncated(self) -> list[int]:
        """Twin: both sides truncate their shares and open them."""
        parts = (RING.truncate(self.share, SCORE_SHIFT, second=False), RING.truncate(self.mask, SCORE_SHIFT,
                                                                                    second=True))
        return [value << SCORE_SHIFT for value in RING.to_ints(RING.add(*parts))]

    @property
    def plain(self) -> np.ndarray:
        """Twin: the requester opens its share as it is; (2, n) residues."""
        return RING.add(self.share, self.mask)

    @property
    def flooded(self) -> np.ndarray:
        """Ours: no truncation, and a uniform flood."""
        return RING.add(self.plain, RING.random_below_bits(ROWS, FLOOD_BITS))


def key_from_exact(opening: Opening, opened: np.ndarray) -> np.ndarray:
    """Evaluator: opened - mask = c0 + c1·s for the reply (c0, c1) that it made itself, so s by one division."""
    second, first = opening.sent[0]
    share = RING.sub(opened, opening.mask)[:, :DEGREE]
    return quotient(RING.sub(share, first), second)


def key_from_noise(openings: list[Opening], opened: list[list[int]], noise_bits: int) -> np.ndarray:
    """Evaluator: errors of opened values are (what the coding left out of c1)·s and noise; least squares over all."""
    hints, values = [], []
    for opening, numbers in zip(openings, opened, strict=True):
        errors = np.array(np.array(numbers, dtype=object) - opening.exact, dtype=float)
        for block, (second, first) in enumerate(opening.sent):
            error = errors[block * DEGREE : (block + 1) * DEGREE] - opening.left_out(first)
            hints.append(opening.left_out(second) / 2.0**noise_bits)
            values.append(error / 2.0**noise_bits)
    middle = np.mean(values)
    ridge = 0.2 if noise_bits == SCORE_SHIFT else 1e-30
    return Hints(hints, [np.arange(DEGREE)] * len(hints)).solve([value - middle for value in values], ridge)


def test_key_from_one_opening_without_flood(keys, peer) -> None:
    opening, secret = Opening(keys, peer, FULL, 1), secret_of(keys)
    assert np.array_equal(key_from_exact(opening, opening.plain), secret)
    ours = key_from_exact(opening, opening.flooded)
    assert (np.abs(ours) <= 1).mean() < 0.001
    error = RING.to_float(RING.sub(opening.flooded, RING.encode_ints(opening.exact.tolist()))) / 2.0**FLOOD_BITS
    assert error.min() >= 0 and error.max() <= 1, "at a scale of 2^104 this costs 2^-16"


def test_key_from_two_truncated_openings(keys, peer) -> None:
    """Truncation is dither: 65,536 rounded numbers give the key that protected everything."""
    openings, secret = [Opening(keys, peer, SHORT, seed) for seed in (1, 2)], secret_of(keys)
    weak = key_from_noise(openings, [opening.truncated for opening in openings], SCORE_SHIFT)
    assert (np.rint(np.clip(weak, -1, 1)) == secret).mean() > 0.95
    ours = key_from_noise(openings, [RING.to_ints(opening.flooded) for opening in openings], FLOOD_BITS)
    assert abs(np.corrcoef(ours, secret)[0, 1]) < 0.05


# ---------------------------------------------------------------- columns from opened scores


def columns_from_scores(scores: np.ndarray, known: np.ndarray, rank: int) -> np.ndarray:
    """Bank: the span of opened scores (n, t) is that of the platform's columns; rows that it knows fix the map."""
    left, _, _ = np.linalg.svd(scores, full_matrices=False)
    basis = left[:, :rank]
    turn, *_ = np.linalg.lstsq(basis[: len(known)], known, rcond=None)
    return basis @ turn


def found(guess: np.ndarray, truth: np.ndarray) -> float:
    """Share of a matrix's entries within a tenth of a standard deviation, rows known before left out."""
    return float((np.abs(guess - truth) < 0.1 * truth.std())[20:].mean())


def test_column_space_from_opened_scores(training: Watched) -> None:
    columns = training.task.platform
    weights = np.stack([pair.opened(training.layout.weight_bits) for pair in training.weights], axis=1)
    every_step = np.rint(columns @ weights[:, 1:] * 2.0**24) / 2.0**24
    assert every_step.shape[1] >= columns.shape[1]
    assert found(columns_from_scores(every_step, columns[:20], columns.shape[1]), columns) > 0.95
    once = coarse(columns @ training.platform.result().own)[:, None] / 2.0**SCORE_STEP_BITS
    assert found(columns_from_scores(once, columns[:20], columns.shape[1]), columns) < 0.3


def test_no_score_is_opened_in_a_strict_training(training: Watched) -> None:
    """What the tape declares: two norms, a step size, both sides' own coefficients, once each."""
    openings = [(m.opening.kind, m.opening.learner) for _, m in training.tape if m.opening is not None]
    assert sorted(openings) == [("coefficients", "bank"), ("coefficients", "platform"), ("step.norms", "bank"),
                                ("step.size", "platform")]


# ---------------------------------------------------------------- the flood of what a training opens


def test_released_coefficients_are_flooded_wider_than_their_error(training: Watched) -> None:
    """Without a flood the message is the bank's share itself; with it, share plus up to 2^-12 of a unit either way."""
    (message,) = (m for sender, m in training.tape if (sender, m.kind) == ("bank", "coefficients"))
    held = RING.from_bytes(message.payload, 4)
    share = training.released["bank"]
    spread = RING.to_float(RING.sub(held, share)) / 2.0**training.layout.weight_bits
    assert np.abs(spread).max() <= 2.0**-12
    assert np.abs(spread).max() > 2.0**-18, "no flood at all, or one narrower than the error of the shares"


def test_a_key_opens_no_more_numbers_than_its_security_allows(training: Watched) -> None:
    """Each opened number lowers the key's dimension by at most one; two go to the norms."""
    training.platform._check_size(3, np.array([MAXIMUM_HINTS - 2]))
    for bank, platform in ((3, MAXIMUM_HINTS - 1), (MAXIMUM_HINTS - 1, 4)):
        with pytest.raises(DataError, match="at most 1022 numbers per key"):
            training.platform._check_size(bank, np.array([platform]))


def test_the_norms_of_the_step_are_flooded(training: Watched) -> None:
    """Both opened sums of squares differ from the exact ones by a flood of 2^-18 of a unit norm, not by rounding."""
    unit = 2.0 ** (2 * training.layout.point_bits)
    floods = [(opened - exact) / unit for opened, exact in zip(training.norms, training.exact_norms, strict=True)]
    assert all(2.0**-48 < flood < 2.0**-18 for flood in floods), floods


# ---------------------------------------------------------------- bins from precise scores


def same_bins(scores: np.ndarray) -> list[tuple[int, int]]:
    """Bank: people with the same score are taken to have the same bins in every column."""
    order = np.argsort(scores, kind="stable")
    equal = np.flatnonzero(scores[order][1:] == scores[order][:-1])
    return list(zip(order[equal], order[equal + 1], strict=True))


def test_bin_patterns_from_precise_scores() -> None:
    rng, rows, columns, levels = np.random.default_rng(0), 20_000, 8, 5
    bins = np.stack([rng.choice(levels, rows, p=rng.dirichlet(np.full(levels, 2.0))) for _ in range(columns)], axis=1)
    weights = rng.normal(0, 0.4, (columns, levels))
    scores = weights[np.arange(columns), bins].sum(axis=1)

    def right(pairs: list[tuple[int, int]]) -> float:
        return float(np.mean([(bins[one] == bins[other]).all() for one, other in pairs]))

    assert right(same_bins(np.rint(scores * 2.0**36))) > 0.99
    assert right(same_bins(np.rint(scores * 2.0**16))) > 0.6
    assert right(same_bins(coarse(scores))) < 0.02
    assert SCORE_STEP_BITS == 5


@pytest.mark.parametrize("finer", [6, 9])
def test_no_score_between_the_steps_leaves(finer: int) -> None:
    score = np.array([1 + 2.0**-finer, 1 - 2.0**-finer / 4])
    assert np.isin(coarse(score) / 2.0**SCORE_STEP_BITS, [1 - 2.0**-5, 1, 1 + 2.0**-5]).all()
