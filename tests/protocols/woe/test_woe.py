"""Event counts of bins: private against plain, what is opened, what a malformed message can do, resume."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from protocols.commons.privacy import noise_variance
from protocols.crypto.product import MatrixTiles
from protocols.crypto.ring import RING
from protocols.errors import ConfigError, MalformedMessage, PolicyRefused
from protocols.role import Message
from protocols.woe import label_party
from protocols.woe import messages as m
from protocols.woe.feature_party import FeatureWoe
from protocols.woe.label_party import LabelWoe, WoeSettings
from protocols.woe.one_hot import OneHotTiles
from tests.keys import key_pair
from tests.protocols.scorecard.simulator import drive

TAG = bytes(range(32))


@pytest.fixture(autouse=True, scope="module")
def one_key_pair():
    """Keys take 0.4 s to make; what is tested here does not depend on their being fresh."""
    keys = key_pair("bank")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(label_party.KeyPair, "generate", classmethod(lambda cls: keys))
        yield


def bins_of(rng: np.random.Generator, rows: int, widths: list[int], unknown: float = 0.0) -> np.ndarray:
    """int32 (rows, columns): bins numbered through all columns, -1 for people without columns."""
    starts = np.cumsum([0, *widths[:-1]])
    out = np.column_stack([start + rng.integers(0, width, rows) for start, width in zip(starts, widths, strict=True)])
    out[rng.random(rows) < unknown] = -1
    return out.astype(np.int32)


def events_in(assigned: np.ndarray, labels: np.ndarray, bins: int) -> np.ndarray:
    hit = assigned[labels == 1]
    return np.bincount(hit[hit >= 0], minlength=bins)


def roles(assigned: np.ndarray, labels: np.ndarray, bins: int, rho: float = 0.0, permit=lambda bins, tag: None
          ) -> tuple[LabelWoe, FeatureWoe]:
    rows_of = np.bincount(assigned[assigned >= 0], minlength=bins)
    setting = WoeSettings(assigned.shape[1], rho, 1)
    return LabelWoe("platform", labels, setting, permit), FeatureWoe("bank", assigned, rows_of, TAG, rho > 0)


def sample(seed: int, rows: int, widths: list[int], unknown: float = 0.0) -> tuple[np.ndarray, np.ndarray, int]:
    rng = np.random.default_rng(seed)
    return bins_of(rng, rows, widths, unknown), (rng.random(rows) < 0.2).astype(np.int64), sum(widths)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(2, 9000), st.lists(st.integers(2, 9), min_size=1, max_size=4), st.sampled_from([0.0, 0.3]),
       st.integers(0, 2**32 - 1))
def test_counts_are_exact(rows: int, widths: list[int], unknown: float, seed: int) -> None:
    assigned, labels, bins = sample(seed, rows, widths, unknown)
    assume(bins <= len(widths) * rows)  # so few rows cannot fill so many bins: the bank refuses those
    bank, platform = roles(assigned, labels, bins)
    drive(bank, platform)
    assert platform.result().tolist() == events_in(assigned, labels, bins).tolist()
    assert bank.result() == bins


def test_labels_all_equal_and_an_empty_bin() -> None:
    assigned, _, _ = sample(3, 100, [3, 2])
    for labels in (np.zeros(100, np.int64), np.ones(100, np.int64)):
        bank, platform = roles(assigned, labels, 6)  # bin 5 holds nobody
        drive(bank, platform)
        assert platform.result().tolist() == events_in(assigned, labels, 6).tolist()


def test_the_counts_are_the_only_opening() -> None:
    assigned, labels, bins = sample(1, 500, [4, 3])
    bank, platform = roles(assigned, labels, bins)
    seen: list[tuple[str, str]] = []
    told: list[tuple[str, str, int]] = []
    def note(sender: str, message: Message) -> None:
        seen.append((sender, message.kind))
        if message.opening:
            told.append((message.opening.kind, message.opening.learner, message.opening.count))
    drive(bank, platform, on_message=note)
    assert seen == [("platform", "woe.setup"), ("bank", "woe.labels"), ("platform", "woe.reply"),
                    ("bank", "woe.counts")]
    assert told == [("woe.counts", "platform", bins)]


def opened_values(monkeypatch: pytest.MonkeyPatch, flood: bool, rows: int = 3000) -> list[int]:
    """What the platform sees of each count beyond the count itself, as Python integers."""
    assigned, labels, bins = sample(7, rows, [40, 40, 40, 40])
    bank, platform = roles(assigned, labels, bins)
    if not flood:
        monkeypatch.setattr(RING, "random_below_bits", lambda n, bits: RING.zeros(n))
    seen = {}
    drive(bank, platform, on_message=lambda sender, message: seen.update({message.kind: (message.payload,
                                                                                        platform._share)}))
    payload, share = seen["woe.counts"]
    total = RING.to_ints(RING.add(share, RING.from_bytes(payload, bins)))
    return [value - (count << m.SCALE_BITS) for value, count in zip(total, platform.result().tolist(), strict=True)]


def test_the_error_of_a_share_stays_within_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = opened_values(monkeypatch, flood=False)
    assert max(map(abs, errors)) < 2 ** m.share_error_bits(3000, 160) < 2 ** (m.FLOOD_BITS - m.FLOOD_GAP_BITS)
    assert max(map(abs, errors)) > 0  # the hint that the flood has to hide is there


def test_the_flood_is_uniform_and_covers_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = np.array([value / 2.0**m.FLOOD_BITS for value in opened_values(monkeypatch, flood=True)])
    assert shown.min() > -1e-6 and shown.max() < 1 + 1e-6
    ordered, n = np.sort(shown), len(shown)
    assert np.abs(ordered - (np.arange(n) + 0.5) / n).max() < 2.5 / np.sqrt(n)  # Kolmogorov-Smirnov, p about 1e-5


def test_noise_is_whole_and_as_wide_as_rho_says() -> None:
    assigned, labels, bins = sample(5, 2000, [60, 60, 60, 60])
    rho, columns = 0.02, 4
    bank, platform = roles(assigned, labels, bins, rho)
    drive(bank, platform)
    noise = platform.result() - events_in(assigned, labels, bins)
    variance = float(noise_variance(columns, rho, 1))
    assert variance == columns / (2 * rho) == 100
    assert abs(noise.mean()) < 6 * np.sqrt(variance / bins)
    assert abs(noise.var() / variance - 1) < 6 * np.sqrt(2 / bins)


def test_too_small_a_rho_is_refused_before_anything_is_sent() -> None:
    assigned, labels, bins = sample(1, 100, [3])
    with pytest.raises(ConfigError, match=r"model\.woe_rho"):
        roles(assigned, labels, bins, rho=1e-12)


def test_what_may_not_be_opened_is_refused_before_a_label_leaves() -> None:
    def permit(bins: int, tag: bytes) -> None:
        assert (bins, tag) == (5, TAG)
        raise PolicyRefused("encodings", "no")
    assigned, labels, _ = sample(1, 100, [3, 2])
    bank, platform = roles(assigned, labels, 5, permit=permit)
    (setup,) = platform.start()
    with pytest.raises(PolicyRefused):
        bank.handle(Message("platform", setup.kind, setup.payload))
    assert bank.result() is None and b"keys" in bank.snapshot()


@pytest.mark.parametrize(("setup", "told"), [
    (m.Setup(99, 5, TAG).to_bytes(), "expected 100 training rows"), (m.Setup(100, 1, TAG).to_bytes(), "expected 2 to"),
    (m.Setup(100, 11, TAG).to_bytes(), "expected 2 to 10 bins of 20 rows"), (b"", "expected 44 bytes, got 0"),
    (m.Setup(100, 5, TAG).to_bytes() + b"x", "expected 44 bytes, got 45"),
])
def test_a_setup_that_does_not_fit_is_refused(setup: bytes, told: str) -> None:
    bank = LabelWoe("platform", np.zeros(100), WoeSettings(2, 0, 20), lambda bins, tag: None)
    with pytest.raises(MalformedMessage, match=told):
        bank.handle(Message("platform", m.SETUP, setup))


def conversation() -> list[tuple[LabelWoe, FeatureWoe, str, Message]]:
    """Fresh roles before each of the four messages, with the message that is due and who sends it."""
    found = []
    for wanted in range(4):
        assigned, labels, bins = sample(2, 300, [4, 3])
        bank, platform = roles(assigned, labels, bins)
        sender, (message,) = "platform", platform.start()
        for _ in range(wanted):
            receiver = bank if sender == "platform" else platform
            (answer,) = receiver.handle(Message(sender, message.kind, message.payload))
            sender, message = ("bank" if receiver is bank else "platform"), answer
        found.append((bank, platform, sender, message))
    return found


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_malformed_messages_are_refused_and_change_nothing(data: st.DataObject) -> None:
    bank, platform, sender, message = data.draw(st.sampled_from(STEPS))
    role = bank if sender == "platform" else platform
    payload, before = message.payload, role.snapshot()
    bad = data.draw(st.sampled_from([
        Message(sender, message.kind, payload[:-1]), Message(sender, message.kind, payload + b"\0"),
        Message(sender, message.kind, b""), Message("shop", message.kind, payload),
        Message(sender, "woe.other", payload),
        Message(sender, "woe.counts" if message.kind != "woe.counts" else "woe.labels", payload),
        *([Message(sender, message.kind, b"\xff" * len(payload))] if message.kind != m.SETUP else []),
        *([Message(sender, message.kind, bytes(len(payload)))] if message.kind in (m.LABELS, m.REPLY) else []),
    ]))
    with pytest.raises(MalformedMessage):
        role.handle(bad)
    assert role.snapshot() == before


def test_counts_that_no_bin_can_hold_are_refused() -> None:
    _, platform, _, message = STEPS[3]
    wrong = RING.to_bytes(RING.add(RING.from_bytes(message.payload, 7),
                                   RING.encode_ints([1000 << m.SCALE_BITS] * 7)))
    with pytest.raises(MalformedMessage, match="from 0 to the rows of each bin"):
        platform.handle(Message("bank", m.COUNTS, wrong))


def test_roles_restarted_after_every_message_end_with_the_same_counts() -> None:
    assigned, labels, bins = sample(2, 300, [4, 3])
    pair = dict(zip(("bank", "platform"), roles(assigned, labels, bins), strict=True))
    sender, (message,) = "platform", pair["platform"].start()
    while True:
        receiver = message.peer
        answers = pair[receiver].handle(Message(sender, message.kind, message.payload))
        kept = {name: role.snapshot() for name, role in pair.items()}
        pair = dict(zip(("bank", "platform"), roles(assigned, labels, bins), strict=True))
        for name, role in pair.items():
            role.restore(kept[name])
        if not answers:
            break
        sender, (message,) = receiver, answers
    assert pair["platform"].result().tolist() == events_in(assigned, labels, bins).tolist()
    assert pair["bank"].result() == bins
    assert len(kept["bank"]) < 200  # no key outlives the opening


def test_tiles_made_on_demand_are_those_of_the_whole_matrix() -> None:
    assigned, _, bins = sample(11, 9000, [3, 12, 2], unknown=0.2)
    dense = np.zeros((bins, len(assigned)), np.int8)
    person, column = np.nonzero(assigned >= 0)
    dense[assigned[person, column], person] = 1
    whole, lazy = MatrixTiles(dense, layout=m.LAYOUT), OneHotTiles(assigned, bins)
    assert whole.shape == lazy.shape and whole.layout == lazy.layout
    for block in range(lazy.layout.replies):
        for term in range(lazy.layout.uploads):
            expected = whole.layout.polynomial(dense, block, term)
            assert (lazy.layout.polynomial(lazy._one_hot, block, term) == expected).all()


def test_more_rows_than_the_flood_covers_are_refused() -> None:
    m.check_flood(m.MOST_ROWS, 3000)
    assert m.share_error_bits(1_000_000, 200) < 20
    with pytest.raises(ConfigError, match="take fewer rows or bins"):
        m.check_flood(m.MOST_ROWS + 1, 200)


STEPS = []


@pytest.fixture(autouse=True, scope="module")
def steps(one_key_pair) -> None:
    STEPS.extend(conversation())
