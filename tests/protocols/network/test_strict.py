"""The strict layer: exact products, a training against its twin, what each side sees, crashes, budget."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from protocols.crypto.keys import PeerKeys
from protocols.crypto.ring import RING
from protocols.errors import MalformedMessage, ProtocolError
from protocols.network import exact, square
from protocols.network import source_layer as layer
from protocols.network.exact import Grid
from protocols.network.precision import Scales
from protocols.network.settings import NetworkSettings
from protocols.role import Message
from protocols.scorecard import opened
from tests.protocols.network import oracle
from tests.protocols.network.driving import Trained, as_numbers, crashing
from tests.protocols.network.problems import Task, task
from tests.protocols.scorecard.simulator import drive

KEYS = [HealthCheck.function_scoped_fixture]
TOLERANCE = 2.0**-12  # of the weights of short trainings: the twin multiplies and steps in floating point


def strict(rows: int = 40, columns: int = 3, **more) -> Task:
    given = {"seed": 5, "width": 2, "epochs": 2, "batch_rows": 20, "activation": "square", "learning_rate": 0.1}
    return task(rows, columns, **(given | more))


# ---------------------------------------------------------------- products without an error


@settings(max_examples=10, deadline=None, suppress_health_check=KEYS)
@given(rows=st.integers(1, 70), columns=st.integers(1, 9), numbers=st.integers(1, 3), block=st.integers(1, 70),
       seed=st.integers(0, 2**20))
def test_products_are_exact(bank_keys, rows, columns, numbers, block, seed) -> None:
    rng, grid = np.random.default_rng(seed), Grid(block, columns)
    x, peer = rng.integers(-2**20 + 1, 2**20, (rows, columns)), PeerKeys.from_bytes(bank_keys.public_bytes())
    w = rng.integers(-2**40, 2**40, columns * numbers)
    mine, theirs = layer.split(RING.encode(w))
    reply, share = exact.answer(x, peer, theirs, exact.ask(bank_keys, mine, grid), grid)
    total = RING.to_ints(RING.add(share, exact.finish(bank_keys, reply, rows, numbers, grid)))
    whole = x.astype(object) @ w.reshape(numbers, columns).T.astype(object)
    assert total == whole.T.ravel().tolist()


def test_more_columns_than_terms_in_a_reply(bank_keys) -> None:
    rng, grid = np.random.default_rng(1), Grid(8192, 67)
    assert len(grid.groups) == 2 and grid.together == 1
    x, w = rng.integers(-100, 100, (3, 67)), rng.integers(-100, 100, 67)
    mine, theirs = layer.split(RING.encode(w))
    peer = PeerKeys.from_bytes(bank_keys.public_bytes())
    reply, share = exact.answer(x, peer, theirs, exact.ask(bank_keys, mine, grid), grid)
    assert RING.to_ints(RING.add(share, exact.finish(bank_keys, reply, 3, 1, grid))) == (x @ w).tolist()


@given(rows=st.integers(1, 70_000), columns=st.integers(1, 1024))
def test_the_grid_covers_every_row_and_column(rows, columns) -> None:
    grid = Grid.cheapest(rows, columns)
    assert grid.rows * grid.blocks(rows) >= rows and grid.together * grid.terms >= columns and grid.slots <= 8192


def test_requests_of_another_length_are_refused(bank_keys) -> None:
    grid = Grid(4, 3)
    request = exact.ask(bank_keys, RING.random(6), grid)
    for wrong in (request[:-1], request + b"\0", request[:len(request) // 2]):
        with pytest.raises(MalformedMessage):
            exact.requests(wrong, grid, 2)


# ---------------------------------------------------------------- trainings


@settings(max_examples=3, deadline=None, suppress_health_check=KEYS)
@given(rows=st.integers(6, 60), columns=st.integers(1, 4), width=st.integers(1, 2), units=st.integers(2, 4),
       batch=st.integers(10, 60), momentum=st.integers(0, 15), release=st.sampled_from(["owner", "shared"]),
       seed=st.integers(0, 2**20))
def test_any_shape_is_the_same_training(bank_keys, rows, columns, width, units, batch, momentum, release, seed) -> None:
    network = strict(max(rows, columns + 3), columns, seed=seed, width=width, units=units, batch_rows=batch,
                     source_momentum=momentum, release=release, source_rate=0.125)
    done = Trained(network, bank_keys)
    plain = oracle.train(network.columns, network.learner(), network.settings, done.start)
    assert np.abs(done.weights - plain.weights).max() < TOLERANCE + (2.0**-12 if release == "owner" else 0)
    assert (done.bank.epoch, done.platform.epoch) == (plain.epoch, plain.epoch)
    assert done.bank.losses == pytest.approx(plain.losses, abs=1e-3)


def test_embeddings_are_never_opened_and_units_stay_uniform_shares(bank_keys) -> None:
    """The bank's view: all that comes to it but U is uniform in what it adds to; U is opened as often as declared."""
    network, halves = strict(), []
    bank, platform = network.roles(bank_keys)
    kinds, counts = set(), []

    def on_message(sender: str, message: Message) -> None:
        kinds.add(message.kind)
        if message.opening:
            counts.append((message.opening.kind, message.opening.count))
        if message.kind == "square.request":
            halves.append(bank._s["units"])

    drive(bank, platform, on_message=on_message)
    assert "embeddings" not in kinds | {kind for kind, _ in counts}
    assert sum(count for kind, count in counts if kind == "activations") == 40 * 2 * 2
    shares = np.concatenate([as_numbers(half) for half in halves]) * 2.0**(24 - 118)
    assert np.abs(shares).max() > 0.8 and np.abs(shares).mean() == pytest.approx(0.5, abs=0.1)


def test_what_is_opened_is_u_to_the_precision_that_is_stated(bank_keys) -> None:
    network, errors = strict(batch_rows=40), []
    bank, platform = network.roles(bank_keys)

    def on_message(sender: str, message: Message) -> None:
        if message.kind == "activations":
            z = platform._columns[platform._parts.rows(bank._s["turn"])] / 2.0**12 @ \
                network.opened(bank._s["w"], platform._s["w"])
            found = layer.embeddings(bank._s["z"], message.payload, network.settings)
            errors.append((found - square.in_clear(z, network.settings)) / (1 + 2 * np.abs(z)).sum())

    drive(bank, platform, on_message=on_message)
    assert 0 < np.abs(np.concatenate(errors)).max() < 2.0**-15


def test_a_crash_after_every_message_changes_nothing(bank_keys) -> None:
    network = strict()
    bank, platform, start = crashing(network, bank_keys)
    plain = oracle.train(network.columns, network.learner(), network.settings, start)
    assert np.abs(network.opened(bank.share, platform.share) - plain.weights).max() < TOLERANCE


def test_handling_a_request_again_draws_a_new_mask(bank_keys) -> None:
    network, checked = strict(epochs=1), set()
    bank, platform = network.roles(bank_keys)

    def on_message(sender: str, message: Message) -> None:
        if message.peer == "platform" and message.kind.endswith(".request"):
            state = platform.snapshot()
            again = []
            for _ in range(2):
                again.append(platform.handle(Message("bank", message.kind, message.payload)))
                platform.restore(state)
            assert all(one.payload != other.payload for one, other in zip(*again, strict=True))
            checked.add(message.kind)

    drive(bank, platform, on_message=on_message)
    assert checked == {"forward.request", "square.request", "slope.request", "backward.request"}


# ---------------------------------------------------------------- scales and settings


@given(batches=st.integers(1, 400), columns=st.integers(1, 64), width=st.integers(1, 8), units=st.integers(2, 8))
def test_scales_leave_room_for_the_weights(batches, columns, width, units) -> None:
    given = NetworkSettings(width=width, units=units, activation="square")
    found = Scales.of(batches, columns, given)
    assert found.weight <= opened.VECTOR_BITS and found.residual >= 16
    assert found.gradient <= Scales.of(batches, columns, given.model_copy(update={"activation": "none"})).gradient


def test_too_many_units_for_one_run_are_refused() -> None:
    with pytest.raises(ValidationError, match="at most 64"):
        NetworkSettings(width=16, units=8, activation="square")
    assert NetworkSettings(width=16, units=8).numbers == 16
    with pytest.raises(ProtocolError, match="fewer steps"):
        square.check_truncations(2**32, NetworkSettings(width=8, units=8, activation="square"))
