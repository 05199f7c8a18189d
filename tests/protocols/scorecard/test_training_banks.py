"""Several banks with rows and labels of their own: the same model as on the pooled rows, and nothing apart."""
from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.crypto import product
from protocols.crypto.fixed_point import to_fixed
from protocols.crypto.keys import KeyPair
from protocols.crypto.ring import RING
from protocols.crypto.summed_product import Seed, finish_sum
from protocols.crypto.zero_sharing import Circle
from protocols.errors import MalformedMessage, TrustError
from protocols.role import SUM, Message
from protocols.scorecard import layout as fixed
from protocols.scorecard import logistic, training
from protocols.scorecard.feature_party import feature_trainer
from protocols.scorecard.label_party import LabelTrainer
from protocols.scorecard.training import BACKWARD, TrainingConfig, even_start
from protocols.scorecard.whitening import Whitening
from tests.protocols.scorecard.problems import accelerated
from tests.protocols.scorecard.simulator import Network, drive_all
from tests.protocols.scorecard.test_training import PRECISION
from tests.protocols.scorecard.test_training_many import Recorded, flipped

DOUBT = 0.06  # relative; the flood of the opened norms moves the estimate of a few hundred rows: 4 % were seen

UNIT = 2.0**fixed.FEATURE_BITS


@dataclass(frozen=True)
class Banks:
    """Whitened columns of all rows, cut into the banks' by `sizes`; platforms' columns cut by `widths`."""

    bank: np.ndarray
    platform: np.ndarray
    labels: np.ndarray
    sizes: tuple[int, ...]
    widths: tuple[int, ...]
    steps: int
    l2: float
    intercepts: str

    @property
    def banks(self) -> tuple[str, ...]:
        return tuple(f"bank-{i}" for i in range(len(self.sizes)))

    @property
    def platforms(self) -> tuple[str, ...]:
        return tuple(f"platform-{i}" for i in range(len(self.widths)))

    def rows(self, bank: str) -> slice:
        index, ends = self.banks.index(bank), np.cumsum(self.sizes)
        return slice(ends[index] - self.sizes[index], ends[index])

    def config(self, party: str) -> TrainingConfig:
        return TrainingConfig(party, self.banks, self.platforms, self.steps, self.l2, lambda rows, count: None, 2**28,
                              self.intercepts)

    def own_model(self, bank: str) -> np.ndarray:
        fit = logistic.fit(self.bank[self.rows(bank)], self.labels[self.rows(bank)], max(self.l2, 0.05))
        return np.r_[fit.intercept, fit.coefficients]

    def with_ones(self, bank: str) -> np.ndarray:
        return np.c_[np.ones(self.sizes[self.banks.index(bank)]), self.bank[self.rows(bank)]]

    def label_trainer(self, bank: str, keys: KeyPair, circle: Circle, peer_public=None) -> LabelTrainer:
        return LabelTrainer(self.with_ones(bank), self.labels[self.rows(bank)], self.own_model(bank), keys,
                            self.config(bank), peer_public, circle)

    def feature_trainer(self, platform: str, keys: KeyPair, peer_public=None):
        index, ends = self.platforms.index(platform), np.cumsum(self.widths)
        own = slice(ends[index] - self.widths[index], ends[index])
        columns = {bank: self.platform[self.rows(bank), own] for bank in self.banks}
        return feature_trainer(columns, lambda: keys, self.config(platform), peer_public)

    @property
    def constants(self) -> int:
        return len(self.sizes) if self.intercepts == "bank" else 1


def banks(sizes, columns: int, widths, *, steps=2, l2=0.01, intercepts="bank", seed=0) -> Banks:
    """Correlated columns, another event rate at every bank."""
    rng, rows = np.random.default_rng(seed), sum(sizes)
    raw = rng.normal(size=(rows, columns + sum(widths))) + 0.6 * rng.normal(size=(rows, 1))
    truth = rng.normal(size=raw.shape[1]) / np.sqrt(raw.shape[1])
    shift = np.repeat(np.linspace(-1.4, -0.6, len(sizes)), sizes)
    labels = (rng.random(rows) < logistic.sigmoid(raw @ truth + shift)).astype(float)
    sides = raw[:, :columns], raw[:, columns:]
    whitened = [Whitening.fit(side).transform(side) for side in sides]
    return Banks(*whitened, labels, tuple(sizes), tuple(widths), steps, l2, intercepts)


def circles(names) -> dict[str, Circle]:
    members = {name: Circle(name, names) for name in names}
    for name, member in members.items():
        for other, payload in member.draw().items():
            members[other].take(name, payload)
    return members


def parties(task: Banks, bank_keys: KeyPair, platform_keys: KeyPair) -> dict:
    circle = circles(task.banks)
    return {bank: task.label_trainer(bank, bank_keys, circle[bank]) for bank in task.banks} | {
        name: task.feature_trainer(name, platform_keys) for name in task.platforms}


# ---------------------------------------------------------------- the same in floats, on all rows in one place


class Pooled:
    """The algorithm on the pooled rows: inputs rounded as the layout rounds them, arithmetic exact."""

    def __init__(self, task: Banks):
        self.task, self.declared = task, fixed.declared_rows(sum(task.sizes))
        blocks, self.slopes, offsets, starts = [], [], [], []
        self.units = []
        for bank in task.banks:
            given = to_fixed(task.with_ones(bank), fixed.FEATURE_BITS) / UNIT
            own, n = task.own_model(bank), len(given)
            anchor = given @ own
            rate = logistic.sigmoid(anchor)
            self.slopes.append(rate * (1 - rate))
            values = np.linalg.eigvalsh((given * self.slopes[-1][:, None]).T @ given / n)
            self.units.append(round(UNIT * math.sqrt(self.declared / n)) / UNIT if task.constants > 1 else 1.0)
            block = np.zeros((n, task.constants))
            index = task.banks.index(bank) if task.constants > 1 else 0
            block[:, index] = self.units[-1]
            blocks.append(np.hstack([block, given[:, 1:]]))
            start = np.zeros(blocks[-1].shape[1])
            start[index] = own[0] / self.units[-1] if task.constants > 1 else own[0] * n / self.declared
            start[task.constants:] = own[1:] * n / self.declared
            starts.append(start)
            offsets.append((rate, anchor, float(values[-1])))
        grids = [(fixed.grid(n), fixed.grid(n * e[2])) for n, e in zip(task.sizes, offsets, strict=True)]
        self.reference = sum(2.0 ** (g / 2) for _, g in grids) / sum(2.0 ** (r / 2) for r, _ in grids)
        platform = to_fixed(task.platform, fixed.FEATURE_BITS) / UNIT
        self.columns = np.hstack([np.vstack(blocks), platform])
        self.layout = fixed.choose(self.declared, self.columns.shape[1], task.steps)
        self.start = np.r_[np.sum(starts, axis=0), np.zeros(sum(task.widths))]
        slope = np.maximum(np.rint(np.concatenate(self.slopes) * 2.0**self.layout.slope_bits), 1)
        self.slope = slope / 2.0**self.layout.slope_bits
        rate = np.concatenate([o[0] for o in offsets])
        self.offset = rate - self.slope * np.concatenate([o[1] for o in offsets]) - task.labels

    def eigenvalue(self) -> float:
        """The estimate after six passes."""
        task = self.task
        widths = (task.constants + task.bank.shape[1], *task.widths)
        vector = np.concatenate([even_start(width) for width in widths])
        kept = np.concatenate([np.arange(task.rows(b).start, task.rows(b).start
                                         + fixed.bank_power_rows(n, self.declared))
                               for b, n in zip(task.banks, task.sizes, strict=True)])
        x, slope = self.columns[kept], self.slope[kept] / (2 * self.reference)
        for _ in range(fixed.POWER_PASSES):
            before, vector = vector, x.T @ (slope * (x @ vector)) / fixed.power_rows(self.declared)
        return 2 * self.reference * float(np.linalg.norm(vector) / np.linalg.norm(before))

    def trained(self, grid: int) -> np.ndarray:
        return accelerated(self, self.declared, self.task, grid, self.task.constants)


def assert_the_pooled_model(task: Banks, roles: dict) -> None:
    results, pooled = {name: role.result() for name, role in roles.items()}, Pooled(task)
    assert len({r.grid for r in results.values()}) == len({r.rows for r in results.values()}) == 1
    grid = results["bank-0"].grid
    assert grid in {fixed.eigenvalue_grid(pooled.eigenvalue() * (1 + d)) for d in (-DOUBT, 0, DOUBT)}
    expected, width = pooled.trained(grid), task.constants + task.bank.shape[1]
    for index, bank in enumerate(task.banks):
        own, unit = results[bank].own, pooled.units[index]
        constant = expected[index if task.constants > 1 else 0] * unit
        assert abs(own[0] - constant) <= PRECISION * max(1.0, unit)
        assert np.abs(own[1:] - expected[task.constants:width]).max() <= PRECISION
        assert np.array_equal(own[1:], results["bank-0"].own[1:])  # the same numbers at all banks, the flood included
    platforms = np.concatenate([results[name].own for name in task.platforms])
    assert np.abs(platforms - expected[width:]).max() <= PRECISION


@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(120, 400), min_size=2, max_size=3), columns=st.integers(1, 4),
    widths=st.lists(st.integers(1, 4), min_size=1, max_size=3), steps=st.integers(1, 3),
    l2=st.sampled_from([0.0, 0.01]), intercepts=st.sampled_from(["bank", "common"]), seed=st.integers(0, 2**20),
)
def test_banks_train_what_their_pooled_rows_would(
    bank_keys, platform_keys, sizes, columns, widths, steps, l2, intercepts, seed
) -> None:
    task = banks(sizes, columns, widths, steps=steps, l2=l2, intercepts=intercepts, seed=seed)
    roles = parties(task, bank_keys, platform_keys)
    drive_all(roles)
    assert_the_pooled_model(task, roles)


def test_power_passes_take_every_bank_s_part_of_the_sample(bank_keys, platform_keys, monkeypatch) -> None:
    monkeypatch.setattr(fixed, "POWER_ROWS", 256)
    task = banks((700, 250), 2, (3,), steps=1, seed=4)
    roles = parties(task, bank_keys, platform_keys)
    drive_all(roles)
    assert_the_pooled_model(task, roles)


def test_only_the_declared_values_are_opened_and_an_intercept_only_to_its_bank(bank_keys, platform_keys) -> None:
    task, sent = banks((220, 160, 130), 2, (2, 1), steps=1), []
    drive_all({name: Recorded(role, sent) for name, role in parties(task, bank_keys, platform_keys).items()})
    others = [("scale", name, 2) for name in task.banks for _ in range(2)]
    assert sorted(sent) == sorted(
        others + [("step.norms", "bank-0", 2)] * 2
        + [("step.size", name, 1) for name in ("bank-1", "bank-2", "platform-0", "platform-1")]
        + [("coefficients", name, 3) for name in task.banks]
        + [("coefficients", "platform-0", 2), ("coefficients", "platform-1", 1)]
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_crash_after_every_message_changes_nothing(bank_keys, platform_keys) -> None:
    task = banks((200, 150), 2, (2,), steps=1, seed=22)
    circle = {name: member.to_bytes() for name, member in circles(task.banks).items()}

    def made(name: str, peer_public=None):
        if name in circle:
            member = Circle.from_bytes(name, task.banks, circle[name])
            return task.label_trainer(name, bank_keys, member, peer_public)
        return task.feature_trainer(name, platform_keys, peer_public)

    roles = {name: Restarted(name, made) for name in (*task.banks, *task.platforms)}
    drive_all(roles)
    assert_the_pooled_model(task, roles)


class Restarted:
    """A role in a process that dies after every message."""

    def __init__(self, name: str, made):
        self._name, self._made, self.role = name, made, made(name)

    def __getattr__(self, name: str):
        return getattr(self.role, name)

    def handle(self, message: Message) -> list[Message]:
        answers, old = self.role.handle(message), self.role
        self.role = self._made(self._name, old.peer_public)
        self.role.restore(old.snapshot())
        assert self.role.snapshot() == old.snapshot()
        return answers


def test_a_hub_that_adds_something_to_the_banks_sum_is_caught(bank_keys, platform_keys) -> None:
    task = banks((200, 150), 2, (2,), steps=1)
    roles = parties(task, bank_keys, platform_keys)

    def on_message(sender: str, message: Message) -> None:
        if sender == SUM:
            before = roles["platform-0"].snapshot()
            with pytest.raises(TrustError):
                roles["platform-0"].handle(Message(SUM, "backward.reply", flipped(message.payload)))
            assert roles["platform-0"].snapshot() == before
            raise InterruptedError

    with pytest.raises(InterruptedError):
        drive_all(roles, on_message)


class Curious(Network):
    """Keeps what one bank sends to a platform, and what the lead's key opens of its summand."""

    def __init__(self, roles: dict, keys: KeyPair):
        super().__init__()
        self._lead, self._keys = roles["platform-0"], keys
        self.opened, self.shares = [], []

    def send(self, sender: str, message: Message) -> None:
        if sender == "bank-0" and message.peer == "platform-0":
            if message.kind == "backward.reply":
                pad = self._lead._unjoined("common.pads")[0].expand(self._lead._label("common"), 1)
                shape = (self._lead._s["bank_columns"], self._lead._pass_rows("bank-0"))
                self.opened.append(finish_sum(self._keys, message.payload, shape, self._lead._banks_layout(), BACKWARD,
                                              Seed(self._lead._s["common.point"]), [pad]))
            if message.kind == "gradient.share":
                self.shares.append(RING.from_bytes(message.payload, len(message.payload) // 16))
        super().send(sender, message)


def test_hub_and_lead_together_see_nothing_of_one_bank(bank_keys, platform_keys) -> None:
    """Everything of one bank's gradient that reaches them is uniform: no value near zero, no repetition."""
    task = banks((260, 200), 3, (3,), steps=1, seed=5)
    roles = parties(task, bank_keys, platform_keys)
    network = Curious(roles, platform_keys)
    drive_all(roles, network=network)
    assert len(network.opened) == len(network.shares) == fixed.POWER_PASSES + 1
    for values in (network.opened, network.shares):
        whole = np.concatenate(values, axis=1)
        fraction = whole / np.array(RING.q, dtype=float)[:, None]
        assert not (np.minimum(fraction, 1 - fraction) < 2.0**-20).any()
        assert len(np.unique(whole)) == whole.size
        assert 0.2 < fraction.mean() < 0.8


def test_a_platform_s_share_of_the_gradient_is_of_the_sum_only(bank_keys, platform_keys) -> None:
    """All that the lead holds at the end of a pass opens, with the banks' common share, to the sum over banks."""
    task = banks((260, 200), 2, (2,), steps=1, seed=6)
    roles, seen = parties(task, bank_keys, platform_keys), {}

    def on_message(sender: str, message: Message) -> None:
        if message.kind == "norms.request" and not seen:
            lead, bank = roles["platform-0"]._s, roles["bank-0"]._s
            other = roles["bank-1"]._s
            seen["equal"] = all(np.array_equal(bank[n], other[n]) for n in ("v_own", "v_peer", "w_own", "w_peer"))
            seen["own"] = RING.to_float(RING.add(lead["v_own"], bank["v_peer"]))

    drive_all(roles, on_message)
    assert seen["equal"] and np.abs(seen["own"]).max() > 0


@pytest.mark.parametrize("change, cause", [
    (lambda p: p[:8] + bytes([p[8] ^ 1]) + p[9:], "all banks' rows"), (lambda p: p[:-1], "two seeds"),
    (lambda p: bytes([p[0] ^ 1]) + p[1:], "training rows at the peer"),
])
def test_a_lead_that_says_something_else_is_refused(bank_keys, platform_keys, change, cause) -> None:
    task = banks((220, 160), 2, (2, 1))
    roles = parties(task, bank_keys, platform_keys)
    bank = roles["bank-0"]
    bank.handle(Message("bank-1", "scale", roles["bank-1"].start()[0].payload))
    setups = {m.peer: m.payload for m in roles["platform-0"].start() if m.kind == "setup"}
    keys = next(m.payload for m in roles["platform-0"].start() if m.kind == "keys")
    with pytest.raises(MalformedMessage, match=cause):
        bank.handle(Message("platform-0", "setup", change(setups["bank-0"])))
        bank.handle(Message("platform-0", "keys", keys))
        bank.handle(Message("platform-1", "setup", roles["platform-1"].start()[0].payload))


def test_replies_of_banks_with_other_numbers_of_rows_can_be_added(platform_keys) -> None:
    """One fold for all: the layout does not depend on a bank's rows."""
    shapes = [(5, 20_000), (5, 700), (5, 40)]
    layouts = {product.layout_of(shape, "dot4").positions(0).tobytes() for shape in shapes}
    assert len(layouts) == 1
    assert {product.layout_of(shape, "dot4").replies for shape in shapes} == {1}


@pytest.mark.parametrize("rows", [1, 31, 32, 1000, 1023, 29_952, 10_000_000])
def test_declared_rows_are_rounded_up_by_at_most_a_sixteenth(rows: int) -> None:
    declared = fixed.declared_rows(rows)
    assert rows <= declared <= rows * 17 / 16 and fixed.fewest_rows(declared) <= rows
    assert fixed.fewest_rows(declared) >= declared * 14 / 16
    assert bin(declared).rstrip("0").count("1") <= 5


def test_more_banks_than_a_sum_holds_are_added_up_in_groups(bank_keys, platform_keys, monkeypatch) -> None:
    """Three banks in sums of two, as 17 would be in sums of 15."""
    monkeypatch.setattr(training, "MOST_SUMMANDS", 2)
    task = banks((150, 130, 140), 2, (2,), steps=1, seed=9)
    assert task.config("bank-0").bank_groups == [("bank-0", "bank-1"), ("bank-2",)]
    roles = parties(task, bank_keys, platform_keys)
    drive_all(roles)
    assert_the_pooled_model(task, roles)
