"""Banks agree on one encoding and one pair of moments, from messages that show one bank's rows to nobody."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.binning.columns import ColumnData
from protocols.commons.cells import histogram
from protocols.commons.common_encoding import CommonEncoding
from protocols.commons.encoding import CommonSettings, common_encoder
from protocols.commons.moments import estimate, tables
from protocols.commons.privacy import histogram_sensitivity, noise_variance
from protocols.crypto.ring import RING
from protocols.errors import ConfigError, DataError, MalformedMessage
from protocols.role import Message
from tests.protocols.commons.banks import NEARLY_EXACT, customers, names, numbers, pooled, roles_for
from tests.protocols.scorecard.simulator import drive_all

DAILY = CommonSettings(bins=5, minimum_support=20, rho=0.1)


def agreed(parts, settings=DAILY, on_message=None):
    roles = roles_for(parts, settings)
    drive_all(roles, on_message)
    return [role.result() for role in roles.values()]


def assert_alike(results) -> None:
    first = results[0]
    for other in results[1:]:
        assert other.encoder == first.encoder
        for part in ("mean", "covariance", "noise"):
            assert np.array_equal(getattr(other, part), getattr(first, part))
        assert np.array_equal(other.circle.common("later", 4), first.circle.common("later", 4))


@st.composite
def tables_of_banks(draw):
    rows = draw(st.lists(st.integers(60, 300), min_size=2, max_size=4))
    kind = st.sampled_from(["smooth", "few values", "flat", "category", "absent"])
    kinds = draw(st.lists(kind, min_size=1, max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scale = 10.0 ** draw(st.integers(-4, 8))

    def column(kind: str, n: int) -> ColumnData:
        if kind == "category":
            cells = np.array(["a", "b", "c", "d", None], dtype=object)[rng.integers(0, draw(st.integers(1, 5)), n)]
            return ColumnData.of_labels(cells.tolist())
        values = {"smooth": rng.normal(size=n) * scale, "few values": rng.integers(-2, 4, n), "flat": np.full(n, 7.0),
                  "absent": np.full(n, np.nan)}[kind].astype(float)
        return numbers(np.where(rng.random(n) < 0.1, np.nan, values), rng.random(n) < 0.1)

    return {name: {f"c{i}": column(kind, n) for i, kind in enumerate(kinds)} | {"varies": numbers(rng.normal(size=n))}
            for name, n in zip(names(len(rows)), rows, strict=True)}


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tables_of_banks(), st.integers(2, 6))
def test_with_hardly_any_noise_they_are_those_of_the_pooled_rows(parts, bins: int) -> None:
    exact = CommonSettings(bins=bins, minimum_support=10, rho=1e7)
    results = agreed(parts, exact)
    assert_alike(results)
    together, first = pooled(parts), results[0]
    noise = (len(parts) * float(noise_variance(histogram_sensitivity(len(together)), exact.rho))) ** 0.5
    assert first.encoder == common_encoder(together, histogram(together), noise, exact)
    moments = estimate(first.encoder, tables(first.encoder, together), 0.0)
    assert np.allclose(first.mean, moments.mean) and np.allclose(first.covariance, moments.covariance)
    matrix = first.encoder.transform(together)
    assert np.allclose(first.mean, matrix.mean(axis=0)) and np.allclose(first.covariance, np.cov(matrix.T, bias=True))
    assert all(level.count >= 10 for column in first.encoder.columns for level in column.bins)


@pytest.mark.parametrize("count", [2, 3])
def test_with_noise_all_agree_and_are_near_the_pooled_rows(count: int) -> None:
    parts = {name: customers(seed, 4000) for seed, name in enumerate(names(count))}
    results = agreed(parts)
    assert_alike(results)
    matrix = results[0].encoder.transform(pooled(parts))
    assert np.abs(results[0].mean - matrix.mean(axis=0)).max() < 0.02
    error = np.abs(results[0].covariance - np.cov(matrix.T, bias=True))
    assert error.max() < 6 * results[0].noise.max() < 0.05


def test_banks_that_differ_in_everything_still_agree() -> None:
    parts = {"bank-1": customers(1, 4000), "bank-2": customers(2, 500)}
    parts["bank-2"]["score"] = numbers(np.full(500, 700.0))
    parts["bank-2"]["job"] = ColumnData.of_labels(["unheard of"] * 500)
    parts["bank-2"]["rate"] = numbers(np.full(500, np.nan))
    results = agreed(parts)
    assert_alike(results)
    for columns in parts.values():
        assert results[0].encoder.transform(columns).shape[1] == len(results[0].mean)


def recorded(parts, settings=DAILY) -> list[tuple[str, Message]]:
    seen = []
    agreed(parts, settings, lambda sender, message: seen.append((sender, message)))
    return seen


def test_openings_are_declared_for_every_learner() -> None:
    roles = roles_for({name: customers(1, 500) for name in names(3)}, NEARLY_EXACT)
    openings: dict[str, list] = {name: [] for name in roles}
    send = {name: role.handle for name, role in roles.items()}
    for name, role in roles.items():
        def handle(message, name=name):
            answers = send[name](message)
            openings[name] += [(m.peer, m.opening) for m in answers if m.opening is not None]
            return answers
        role.handle = handle
    drive_all(roles)
    learned = {name: [(opening.kind, opening.learner) for _, opening in found] for name, found in openings.items()}
    assert learned["bank-2"] == learned["bank-3"] == [("commons.histogram", "bank-1"), ("commons.moments", "bank-1")]
    assert learned["bank-1"] == [(f"commons.{kind}", bank) for kind in ("histogram", "moments")
                                 for bank in ("bank-2", "bank-3")]
    for peer, opening in (entry for found in openings.values() for entry in found):
        assert peer == opening.learner and opening.count > 100


def test_a_covered_message_is_uniform_and_another_label_changes_all_of_it() -> None:
    seen = recorded({name: customers(1, 300) for name in names(3)})
    payload = next(m.payload for sender, m in seen if (sender, m.kind) == ("bank-2", "histogram"))
    residues = RING.from_bytes(payload, len(payload) // 16)
    for row, prime in zip(residues, RING.q, strict=True):
        counts = np.bincount((row.astype(float) / prime * 64).astype(int), minlength=64)
        expected = len(row) / 64
        assert ((counts - expected) ** 2 / expected).sum() < 63 + 5 * 126**0.5
        assert np.unique(row).size == row.size and np.abs(np.corrcoef(row[1:].astype(float), row[:-1])[0, 1]) < 0.05
    role = roles_for({name: customers(1, 300) for name in names(2)}, DAILY)["bank-1"]
    role.start()
    covers = [role._circle.cover(label, 500) for label in ("commons.histogram", "commons.moments")]
    assert not (covers[0] == covers[1]).any()


def test_all_others_together_see_one_banks_counts_under_its_own_noise() -> None:
    """Every bank's noise has the full variance by itself, and the sum has that of all."""
    parts = {name: customers(seed, 2000) for seed, name in enumerate(names(3))}
    roles = roles_for(parts, DAILY)
    drive_all(roles)
    contributions = {}
    for name in ("bank-1", "bank-3"):
        fresh = CommonEncoding(name, names(3), parts[name], DAILY)
        fresh._circle, fresh._noise_seed = roles[name]._circle, bytes(32)
        covered = fresh._covered("histogram")
        cover = fresh._circle.cover("commons.histogram", covered.shape[1])
        contributions[name] = np.array(RING.to_ints(RING.sub(covered, cover))) - histogram(parts[name])
        variance = contributions[name].var() / 7  # six columns and the number of rows, rho 0.1: 70
        assert abs(variance / 10 - 1) < 5 * (2 / len(contributions[name])) ** 0.5
    total = roles["bank-2"]._counts
    noise = total - sum(histogram(columns) for columns in parts.values())
    assert abs(noise.var() / 210 - 1) < 5 * (2 / len(noise)) ** 0.5
    assert abs(noise.mean()) < 5 * (210 / len(noise)) ** 0.5


@pytest.mark.parametrize("change", ["special", "kind", "name", "order"])
def test_columns_declared_differently_end_with_their_name(change: str) -> None:
    parts = {name: customers(1, 200) for name in names(2)}
    other = parts["bank-2"]
    if change == "special":
        other["amount"] = numbers(np.ones(200), codes=("-1",))
    if change == "kind":
        other["amount"] = ColumnData.of_labels(["1"] * 200)
    if change == "name":
        parts["bank-2"] = {("amount " if name == "amount" else name): data for name, data in other.items()}
    if change == "order":
        parts["bank-2"] = {name: other[name] for name in ("score", "inquiries", "rate", "change", "amount", "job")}
    with pytest.raises(DataError, match=r"column '(amount ?|change)': bank-1 and bank-2 declare it differently"):
        agreed(parts)


def test_other_settings_end_with_a_sentence() -> None:
    parts = {name: customers(1, 200) for name in names(2)}
    roles = roles_for(parts, DAILY) | {"bank-2": CommonEncoding("bank-2", names(2), parts["bank-2"], NEARLY_EXACT)}
    with pytest.raises(DataError, match="other settings"):
        drive_all(roles)


def test_malformed_messages_are_refused_and_change_nothing() -> None:
    parts = {name: customers(1, 300) for name in names(2)}
    roles = roles_for(parts, DAILY)
    before = {name: [] for name in roles}

    def spoil(sender: str, message: Message) -> None:
        receiver = message.peer
        role, data = roles[receiver], message.payload
        state = role.snapshot()
        bad = [data[:-1], data + b"\0", b"", data[:-8] if message.kind != "seeds" else data[1:]]
        if not message.kind.endswith("sum") and message.kind != "seeds":
            bad.append(b"\xff" * len(data))
        if message.kind.endswith("sum"):
            bad += [b"\xff" * 7 + b"\x7f" + data[8:], bytes(7) + b"\x80" + data[8:]]
        for payload in bad:
            with pytest.raises(MalformedMessage):
                role.handle(Message(sender, message.kind, payload))
            assert role.snapshot() == state
        for peer, kind in (("nobody", message.kind), (sender, "other"), (receiver, message.kind)):
            with pytest.raises(MalformedMessage, match="not due"):
                role.handle(Message(peer, kind, data))
        before[receiver].append(message.kind)

    drive_all(roles, spoil)
    assert before == {"bank-1": ["histogram", "moments"], "bank-2": ["seeds", "histogram.sum", "moments.sum"]}
    for name, role in roles.items():
        assert role.expects is None and role.result() is not None
        with pytest.raises(MalformedMessage, match="not due"):
            role.handle(Message("bank-1" if name == "bank-2" else "bank-2", "moments", b""))


def test_covers_that_do_not_cancel_are_noticed() -> None:
    roles = roles_for({name: customers(1, 300) for name in names(2)}, DAILY)
    roles["bank-1"].start()
    foreign = RING.to_bytes(RING.random(roles["bank-1"]._length("histogram")))
    with pytest.raises(MalformedMessage, match="do not cancel"):
        roles["bank-1"].handle(Message("bank-2", "histogram", foreign))


def test_a_role_restored_before_every_message_sends_the_same_bytes() -> None:
    parts = {name: customers(seed, 1500) for seed, name in enumerate(names(3))}
    roles = roles_for(parts, DAILY)
    handled = {name: 0 for name in roles}

    class Restored:
        """Handles every message in a new role made from the snapshot, and compares with what the old one does."""

        def __init__(self, name: str):
            self.name, self.role = name, roles[name]
            self.start, self.result = self.role.start, lambda: self.role.result()

        expects = property(lambda self: self.role.expects)

        def handle(self, message: Message) -> list[Message]:
            fresh = CommonEncoding(self.name, tuple(parts), parts[self.name], DAILY)
            fresh.restore(self.role.snapshot())
            assert fresh.snapshot() == self.role.snapshot() and fresh.expects == self.role.expects
            wanted, answers = self.role.handle(message), fresh.handle(message)
            assert [(m.peer, m.kind, m.payload, m.opening) for m in answers] == [
                (m.peer, m.kind, m.payload, m.opening) for m in wanted]
            self.role = fresh
            handled[self.name] += 1
            return answers

    restored = {name: Restored(name) for name in roles}
    drive_all(restored)
    assert_alike([role.result() for role in restored.values()])
    assert handled == {"bank-1": 4, "bank-2": 3, "bank-3": 4}
    again = CommonEncoding("bank-3", tuple(parts), parts["bank-3"], DAILY)
    again.restore(restored["bank-3"].role.snapshot())
    assert_alike([again.result(), restored["bank-1"].result()])


def test_nothing_is_printed_and_the_noises_seed_is_forgotten() -> None:
    parts = {name: customers(1, 800) for name in names(2)}
    roles = roles_for(parts, DAILY)
    drive_all(roles)
    assert repr(roles["bank-1"].result()).endswith("features, REDACTED)")
    assert all(role._noise_seed is None for role in roles.values())


@pytest.mark.parametrize("party, banks, columns", [
    ("bank-1", ("bank-1",), {"x": numbers(np.zeros(5))}), ("other", names(2), {"x": numbers(np.zeros(5))}),
    ("bank-1", (), {"x": numbers(np.zeros(5))}), ("bank-1", names(2), {}),
])
def test_what_makes_no_circle_is_refused(party, banks, columns) -> None:
    with pytest.raises(ConfigError, match="expected"):
        CommonEncoding(party, banks, columns, DAILY)


def test_too_few_rows_for_the_noise_end_in_one_sentence() -> None:
    with pytest.raises(DataError, match="commons_rho"):
        agreed({name: customers(1, 8) for name in names(2)})
