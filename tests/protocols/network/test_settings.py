"""What follows from the settings: the partition, the scales and their budget, noise and what it is worth."""
from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from protocols.crypto.fixed_point import TruncationBudget
from protocols.crypto.ring import RING
from protocols.errors import ConfigError, DataError, ProtocolError
from protocols.network import source_layer as layer
from protocols.network.bank_rows import BankRows
from protocols.network.partition import partition
from protocols.network.precision import Scales
from protocols.network.settings import LARGEST_NOISE, NetworkSettings
from protocols.scorecard import opened


@given(rows=st.integers(10, 3000), batch=st.integers(1, 700), share=st.floats(0.1, 0.4), seed=st.integers(0, 2**31 - 1))
def test_every_row_is_in_one_part(rows, batch, share, seed) -> None:
    settings = NetworkSettings(batch_rows=batch, validation_share=share, seed=seed)
    parts = partition(rows, settings)
    assert sorted(np.concatenate([*parts.batches, parts.validation]).tolist()) == list(range(rows))
    sizes = [len(part) for part in parts.batches]
    assert min(sizes) >= 1 and max(sizes) <= batch and max(sizes) - min(sizes) <= 1
    again = partition(rows, settings)
    assert all(np.array_equal(parts.rows(turn), again.rows(turn)) for turn in range(parts.turns))


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_too_few_rows_for_two_parts_are_refused(rows) -> None:
    with pytest.raises(ConfigError, match="bring more rows"):
        partition(rows, NetworkSettings(validation_share=0.1))


@given(st.floats(2.0**-23, 4.0))
def test_a_rate_has_five_binary_digits(rate) -> None:
    constant, bits = NetworkSettings(source_rate=rate).rate
    assert 16 <= constant <= 32 and bits >= 0
    assert constant / 2.0**bits == pytest.approx(rate, rel=1 / 32)


@given(batches=st.integers(1, 2000), columns=st.integers(1, 64), width=st.integers(1, 16), epochs=st.integers(1, 100),
       momentum=st.integers(0, 15))
def test_a_training_stays_within_the_budget_of_truncations(batches, columns, width, epochs, momentum) -> None:
    """The velocity times its momentum, at its largest: gradients at both bounds in every step."""
    settings = NetworkSettings(width=width, epochs=epochs, source_momentum=momentum)
    bits = Scales.of(batches, columns, settings).gradient
    velocity = 2.0**(8 + 3) / (1 - momentum / 16)
    magnitude = max(0, math.ceil(math.log2(max(velocity * momentum, 2)))) + bits
    TruncationBudget().spend(batches * epochs * columns * width, magnitude)
    assert bits + settings.rate[1] <= opened.VECTOR_BITS


def test_a_training_that_is_too_long_is_refused() -> None:
    with pytest.raises(ConfigError, match="fewer truncations"):
        Scales.of(2**31, 64, NetworkSettings(width=16, epochs=100, source_momentum=15))


@pytest.mark.parametrize("wrong", [{"width": 0}, {"epochs": 101}, {"validation_share": 0.0}, {"noise": -1.0},
                                   {"noise": LARGEST_NOISE * 2}, {"release": "owner"}, {"depth": 3},
                                   {"source_momentum": 16}])
def test_settings_out_of_range_are_refused(wrong) -> None:
    with pytest.raises(ValidationError):
        NetworkSettings(**wrong)


def test_without_noise_epsilon_is_infinite() -> None:
    assert NetworkSettings().epsilon == math.inf


def test_epsilon_grows_with_openings_and_falls_with_noise() -> None:
    found = NetworkSettings(noise=2.0, epochs=4, width=1, noise_distance=1.0 - 2.0**-10).epsilon
    rho = 4 / (2 * 2.0**2)
    assert found == pytest.approx(rho + 2 * math.sqrt(rho * math.log(1e6)))
    assert NetworkSettings(noise=4.0, epochs=4, width=1).epsilon < found < NetworkSettings(noise=2.0, epochs=8).epsilon


@pytest.mark.parametrize("noise", [0.05, 1.0, LARGEST_NOISE])
def test_noise_has_the_deviation_that_is_stated(noise) -> None:
    settings = NetworkSettings(noise=noise, width=1)
    count = 4000
    found = layer.embeddings(RING.zeros(count), layer.flooded(RING.zeros(count), settings), settings)
    assert found.std() == pytest.approx(noise, rel=0.05) and abs(found.mean()) < noise / 10
    again = layer.embeddings(RING.zeros(count), layer.flooded(RING.zeros(count), settings), settings)
    assert abs(np.corrcoef(found[:, 0], again[:, 0])[0, 1]) < 0.1


def test_start_weights_of_both_sides_make_embeddings_near_one() -> None:
    for columns in (4, 30, 250):
        scales = Scales.of(10, columns, NetworkSettings(width=4))
        parts = [layer.own_part(columns, 256, scales) for _ in range(2)]  # enough of them to have a variance
        total = RING.to_float(RING.add(*parts)) / 2.0**scales.weight
        assert 0.5 < total.var() * columns < 2 and abs(total.mean()) < 0.5 / math.sqrt(columns)


def test_a_vector_divides_into_equal_parts_only() -> None:
    assert layer.pieces(b"abcd", 2, 2, "parts") == [b"ab", b"cd"]
    with pytest.raises(ProtocolError, match="expected 2 parts of 2 bytes each, got 5"):
        layer.pieces(b"abcde", 2, 2, "parts")


@pytest.mark.parametrize(("labels", "categories", "levels", "sentence"), [
    ([0, 1], [[0], [3]], (3,), "numbered from 0"),
    ([0, 1], [[0], [-1]], (3,), "numbered from 0"),
    ([0, 2], [[0], [1]], (3,), "labels of 0 and 1"),
    ([0, 1], [[0], [1]], (), "number of levels"),
    ([0, 1], [[0], [1], [1]], (2,), "of the same rows"),
    ([0, 1, 1], [[0], [1]], (2,), "of the same rows"),
])
def test_rows_that_do_not_fit_are_refused(labels, categories, levels, sentence) -> None:
    with pytest.raises(DataError, match=sentence):
        BankRows(np.array(labels), np.zeros((2, 1)), np.array(categories), levels)


def test_a_plan_can_hold_settings_without_reaching_keys() -> None:
    """The coordinator reads plans, and may load neither SEAL nor what makes or uses keys, also not by way of others."""
    loaded = subprocess.run([sys.executable, "-c", "import sys, protocols.network.settings; print(*sys.modules)"],
                            capture_output=True, text=True, check=True).stdout.split()
    assert {name for name in loaded if name.startswith("protocols")} == {
        "protocols", "protocols.commons", "protocols.commons.privacy", "protocols.errors", "protocols.network",
        "protocols.network.settings", "protocols.strict"}
    assert not {"tenseal", "torch"} & {name.split(".")[0] for name in loaded}


def tight_epsilon(distance: float, deviation: float, times: int, delta: float) -> float:
    """Of `times` Gaussian noises on values so far apart, exactly: B. Balle, Y. Wang, ICML 2018, theorem 8; all of them
    together are one whose distance is √times as large. The same to three digits as dp-accounting 0.6.0 computes."""
    mean = math.sqrt(times) * distance / deviation

    def normal(x: float) -> float:
        return math.erfc(-x / math.sqrt(2)) / 2

    low, high = 0.0, 1000.0
    for _ in range(200):
        middle = (low + high) / 2
        left = normal(mean / 2 - middle / mean) - math.exp(middle) * normal(-mean / 2 - middle / mean)
        low, high = (middle, high) if left > delta else (low, middle)
    return high


@pytest.mark.parametrize(("noise", "epochs", "dp_accounting"), [(1.0, 1, 4.894), (2.0, 5, 5.560), (4.0, 20, 5.560),
                                                                (8.0, 1, 0.505), (8.0, 20, 2.553), (1.0, 20, 30.636)])
def test_epsilon_is_never_below_the_tight_one_and_at_most_a_third_above(noise, epochs, dp_accounting) -> None:
    given = NetworkSettings(noise=noise, epochs=epochs, width=2)
    tight = tight_epsilon(1 + math.sqrt(2) * 2.0**-10, noise, epochs, 1e-6)
    assert tight == pytest.approx(dp_accounting, abs=2e-3)
    assert tight <= given.epsilon <= 4 / 3 * tight
