"""Training with polynomial activations on shares against the same steps in floats, and what it must not do."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.crypto.fixed_point import TruncationBudget, to_fixed
from protocols.errors import ConfigError, DataError, MalformedMessage
from protocols.role import Message, Role
from protocols.scorecard import layout as fixed
from protocols.scorecard.activation import REACH, SPREAD, Polynomial
from protocols.scorecard.feature_party import LeadTrainer, feature_trainer
from protocols.scorecard.label_party import LabelTrainer
from protocols.scorecard.logistic import sigmoid
from protocols.scorecard.polynomial import bank_role, lead_role
from protocols.scorecard.training import RELEASE_FLOOD_BITS
from tests.protocols.scorecard.problems import Problem, problem
from tests.protocols.scorecard.simulator import drive, drive_all

PRECISION = 2.0 ** (1 - RELEASE_FLOOD_BITS)
RATE = 0.2


def bank_of(task: Problem, name: str, keys, platforms=("platform",), peer_public=None) -> LabelTrainer:
    config = replace(task.config("bank", platforms), activation=name, event_rate=RATE)
    return bank_role(config)(task.bank_columns, task.labels, task.own_model, keys, config, peer_public)


def platform_of(task: Problem, name: str, keys, party="platform", platforms=("platform",), columns=slice(None),
                peer_public=None) -> Role:
    config = replace(task.config(party, platforms), activation=name, event_rate=RATE)
    own = {"bank": task.platform[:, columns]}
    return feature_trainer(own, lambda: keys, config, peer_public, lead_role(config))


def steps_in_floats(task: Problem, name: str, grid: int) -> np.ndarray:
    """The same steps with exact arithmetic and the coefficients of the layout."""
    x = np.hstack([to_fixed(part, fixed.FEATURE_BITS) / 2.0**fixed.FEATURE_BITS
                   for part in (task.bank_columns, task.platform)])
    polynomial, rows = Polynomial.of(name, RATE), len(x)
    layout = fixed.choose(rows, x.shape[1], task.steps, polynomial.degree)
    places = [0, layout.slope_bits, *[layout.residual_bits - fixed.POWER_BITS] * 2]
    c = [polynomial.coefficients[0],
         *(polynomial.fixed(k, places[k]) / 2.0 ** places[k] for k in range(1, polynomial.degree + 1))]
    shift = 2.0 ** (layout.weight_bits - layout.gradient_bits)
    step, ridge = fixed.step_scales(layout, fixed.learning_rate(grid, task.l2), rows, task.l2)
    w = old = np.r_[task.own_model, np.zeros(task.platform.shape[1])]
    for _ in range(task.steps):
        v = w + fixed.MOMENTUM / 16 * (w - old)
        residual = np.polynomial.polynomial.polyval(x @ v - polynomial.centre, c) - task.labels
        new = v - step.constant / 2.0**step.shift / shift * (x.T @ residual)
        new[1:] -= (ridge.constant / 2.0**ridge.shift * 2.0**fixed.MOMENTUM_BITS * v)[1:]
        old, w = w, new
    return w


@pytest.mark.parametrize("name", ["deg1", "deg3"])
@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(200, 600), bank=st.integers(1, 3), platform=st.integers(1, 4), steps=st.integers(1, 3),
       seed=st.integers(0, 2**20))
def test_training_on_shares_is_training_in_floats(bank_keys, platform_keys, name, rows, bank, platform, steps, seed):
    task = problem(rows, bank, platform, steps=steps, seed=seed)
    one, other = bank_of(task, name, bank_keys), platform_of(task, name, platform_keys)
    drive(one, other)
    got = np.r_[one.result().own, other.result().own]
    assert one.result().grid == other.result().grid
    assert np.abs(got - steps_in_floats(task, name, one.result().grid)).max() <= PRECISION


@pytest.mark.parametrize("name", ["deg1", "deg3"])
def test_two_platforms_get_what_one_would(bank_keys, platform_keys, name) -> None:
    task, names = problem(300, 2, 4, steps=2, seed=4), ("platform-0", "platform-1")
    roles = {"bank": bank_of(task, name, bank_keys, names)} | {
        party: platform_of(task, name, platform_keys, party, names, columns)
        for party, columns in zip(names, (slice(0, 3), slice(3, 4)), strict=True)}
    drive_all(roles)
    got = np.concatenate([role.result().own for role in roles.values()])
    expected = steps_in_floats(task, name, roles["bank"].result().grid)
    assert np.abs(got - expected).max() <= PRECISION


@pytest.mark.parametrize(("name", "kinds"), [
    ("deg1", set()), ("deg3", {"square.request", "square.reply", "cube.request", "cube.reply"})])
def test_nothing_more_is_opened_than_with_the_anchored_activation(bank_keys, platform_keys, name, kinds) -> None:
    task, told, seen = problem(300, 2, 3), [], []

    def on_message(sender: str, message: Message) -> None:
        seen.append(message.kind)
        if message.opening is not None:
            told.append((message.opening.kind, message.opening.learner, message.opening.count))

    drive(bank_of(task, name, bank_keys), platform_of(task, name, platform_keys), on_message=on_message)
    assert sorted(told) == [("coefficients", "bank", 3), ("coefficients", "platform", 3), ("step.norms", "bank", 2),
                            ("step.size", "platform", 1)]
    assert seen.count("residual.request") == fixed.POWER_PASSES
    assert {kind for kind in seen if kind.startswith(("square", "cube"))} == kinds


def test_roles_restarted_after_every_message_of_a_step_go_on(bank_keys, platform_keys) -> None:
    task, name = problem(200, 2, 2, steps=1, seed=2), "deg3"
    make = {"bank": lambda public=None: bank_of(task, name, bank_keys, peer_public=public),
            "platform": lambda public=None: platform_of(task, name, platform_keys, peer_public=public)}
    roles = {party: build() for party, build in make.items()}
    queue = [(party, message) for party, role in roles.items() for message in role.start()]
    while queue:
        at = next(i for i, (sender, m) in enumerate(queue) if roles[m.peer].expects in (sender, None))
        sender, message = queue.pop(at)
        answers = roles[message.peer].handle(Message(sender, message.kind, message.payload))
        queue += [(message.peer, answer) for answer in answers]
        if roles[message.peer].progress[0] < fixed.POWER_PASSES:
            continue
        state, public = roles[message.peer].snapshot(), roles[message.peer].peer_public
        roles[message.peer] = make[message.peer](public)
        roles[message.peer].restore(state)
    got = np.r_[roles["bank"].result().own, roles["platform"].result().own]
    assert np.abs(got - steps_in_floats(task, name, roles["bank"].result().grid)).max() <= PRECISION


def test_messages_of_another_length_are_refused(bank_keys, platform_keys) -> None:
    task = problem(200, 2, 2, steps=1)
    one, other = bank_of(task, "deg3", bank_keys), platform_of(task, "deg3", platform_keys)
    met = set()

    def on_message(sender: str, message: Message) -> None:
        if not message.kind.startswith(("square", "cube")):
            return
        met.add(message.kind)
        role = other if sender == "bank" else one
        before, right = role.snapshot(), message.payload
        for payload in (right[:-1], right + b"\0", b"", right[: len(right) // 2]):
            with pytest.raises(MalformedMessage):
                role.handle(Message(sender, message.kind, payload))
            assert role.snapshot() == before

    drive(one, other, on_message=on_message)
    assert met == {"square.request", "square.reply", "cube.request", "cube.reply"}


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("name", ["deg1", "deg3"])
def test_the_fit_is_the_best_of_its_degree_and_knows_only_the_rate(name: str, rate: float) -> None:
    polynomial = Polynomial.of(name, rate)
    z = np.random.default_rng(0).normal(polynomial.centre, SPREAD, 200_000)
    error = polynomial.value(z) - sigmoid(z)
    powers = np.vander((z - polynomial.centre) / SPREAD, polynomial.degree + 1)
    assert np.abs(powers.T @ error / len(z)).max() < 0.005  # orthogonal to every polynomial of the degree
    assert np.sqrt(np.mean(error**2)) < {"deg1": 0.09, "deg3": 0.03}[name]
    derivative = np.polynomial.Polynomial(polynomial.coefficients).deriv()
    for step in (-REACH, 0, REACH):
        assert (polynomial.slope(z) >= derivative(z - polynomial.centre + step) - 1e-12).all()


def test_the_truncations_of_deg3_are_counted() -> None:
    million = fixed.choose(1_000_000, 100, 8, 3)
    budget = TruncationBudget()
    bits = fixed.FEATURE_BITS + million.point_bits + fixed.SCORE_BOUND_BITS
    budget.spend(1_000_000 * (8 + fixed.POWER_PASSES), bits)
    budget.spend(8_000_000, 2 * (fixed.SCORE_BITS + fixed.SCORE_BOUND_BITS))
    budget.spend(8_000_000, fixed.SCORE_BITS + fixed.POWER_BITS + 3 * fixed.SCORE_BOUND_BITS)
    assert budget.spent < 2.0**-40
    rows = next(1 << k for k in range(20, 40) if not fits(1 << k, 3))
    assert fits(rows // 4, 3)  # it is a limit, and not far from where anchored ends
    with pytest.raises(DataError, match="2\\^-40"):
        fixed.choose(rows, 100, 8, 3)


def fits(rows: int, degree: int) -> bool:
    try:
        fixed.choose(rows, 100, 8, degree)
    except DataError:
        return False
    return True


def test_several_banks_are_refused() -> None:
    config = problem(200, 2, 2).config("bank")
    with pytest.raises(ConfigError, match="'anchored' for several banks"):
        replace(config, banks=("bank", "bank-2"), activation="deg1")


def test_the_anchored_roles_are_untouched() -> None:
    config = problem(200, 2, 2).config("bank")
    assert bank_role(config) is LabelTrainer and lead_role(config) is LeadTrainer
