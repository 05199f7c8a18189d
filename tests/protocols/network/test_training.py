"""Two roles in one process against the same training on the joined plaintext, messages out of place, crashes."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.crypto.ring import RING
from protocols.errors import DataError, MalformedMessage, PolicyRefused, ProtocolError
from protocols.network import source_layer as layer
from protocols.network.training import EPOCH, SETUP
from protocols.policy import Policy
from protocols.role import Message
from protocols.scorecard import opened
from tests.protocols.network import oracle
from tests.protocols.network.driving import Trained, as_numbers, crashing
from tests.protocols.network.problems import Task, task
from tests.protocols.scorecard.simulator import drive

KINDS = {"setup", "init", "forward.request", "forward.reply", "embeddings", "backward.request", "backward.reply",
         "epoch", "weights", "sealed"}
POLICY = Policy.model_validate({"purposes": ["p"], "peers": {"platform": {"fingerprint": "0" * 64}}})


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(4, 90), columns=st.integers(1, 5), width=st.integers(1, 3), batch=st.integers(1, 60),
       own=st.integers(0, 2), momentum=st.integers(0, 15), release=st.sampled_from(["owner", "shared"]),
       seed=st.integers(0, 2**20))
def test_any_shape_is_the_same_training(bank_keys, rows, columns, width, batch, own, momentum, release, seed) -> None:
    rows, batch = max(rows, columns + 3), max(batch, rows // 4)
    network = task(rows, columns, own=own, seed=seed, width=width, epochs=2, batch_rows=batch,
                   source_momentum=momentum, release=release)
    done = Trained(network, bank_keys)
    plain = oracle.train(network.columns, network.learner(), network.settings, done.start)
    assert np.abs(done.weights - plain.weights).max() < (2.0**-12 if release == "owner" else 2.0**-13)
    assert (done.bank.epoch, done.platform.epoch) == (plain.epoch, plain.epoch)
    assert done.bank.losses == pytest.approx(plain.losses, abs=1e-3)
    assert (done.platform.share is None) == (done.bank.share is None) == (release == "owner")


def small(**more) -> Task:
    return task(40, 3, **({"seed": 5, "width": 2, "epochs": 2, "batch_rows": 20} | more))


@pytest.mark.parametrize("release", ["shared", "owner"])
def test_only_what_is_declared_is_opened_as_often_as_declared(bank_keys, release) -> None:
    done = Trained(small(release=release), bank_keys)
    per_row = 2 * 2
    assert sum(count for kind, _, count in done.opened() if kind == "embeddings") == 40 * per_row
    assert {(kind, learner) for kind, learner, _ in done.opened()} == {
        ("embeddings", "bank"), ("network.epoch", "platform"),
        *([("source.weights", "platform")] if release == "owner" else [])}
    assert done.bank.card["openings_per_row"] == per_row and done.bank.card["epsilon"] is None
    payloads = [m.payload for _, m in done.sent if m.kind != "epoch"]
    assert len(set(payloads)) == len(payloads)


def test_the_platform_gets_nothing_but_what_the_table_says(bank_keys) -> None:
    done = Trained(small(), bank_keys)
    assert {m.kind for m in done.to_platform()} == {"setup", "init", "forward.request", "backward.request", "epoch",
                                                    "sealed"}
    numbers = np.concatenate([as_numbers(share) for share in (done.platform.share, *done.gradient_shares)]) / 2.0**117
    assert np.abs(numbers).max() > 0.8 and np.abs(numbers).mean() == pytest.approx(0.5, abs=0.15)


def test_embeddings_are_opened_under_a_flood_and_to_the_precision_that_is_stated(bank_keys) -> None:
    network, errors = small(batch_rows=40), []
    bank, platform = network.roles(bank_keys)

    def on_message(sender: str, message: Message) -> None:
        if message.kind == "embeddings":
            exact = platform._columns[platform._parts.rows(bank._s["turn"])] / 2.0**12 @ \
                network.opened(bank._s["w"], platform._s["w"])
            errors.append(layer.embeddings(bank._s["z"], message.payload, network.settings) - exact)

    drive(bank, platform, on_message=on_message)
    errors = np.concatenate(errors)
    assert np.abs(errors).max() <= 2.0**-17 * 1.001
    assert errors.std() == pytest.approx(2.0**-16 / np.sqrt(12), rel=0.25)


def test_training_ends_when_the_validation_loss_no_longer_falls(bank_keys) -> None:
    network = task(60, 2, seed=2, own=0, epochs=20, patience=1, batch_rows=60, source_rate=4.0, learning_rate=1.0)
    done = Trained(network, bank_keys)
    losses = done.bank.losses
    assert len(losses) < 20 and losses[-1] >= min(losses) == losses[done.bank.epoch - 1]
    assert done.platform.epochs == len(losses) == done.bank.epoch + 1
    plain = oracle.train(network.columns, network.learner(), network.settings, done.start)
    assert plain.epoch == done.bank.epoch and done.weights == pytest.approx(plain.weights, abs=1e-3)


@pytest.mark.parametrize("release", ["shared", "owner"])
def test_a_crash_after_every_message_changes_nothing(bank_keys, release) -> None:
    network = small(release=release)
    bank, platform, start = crashing(network, bank_keys)
    weights = platform.weights if release == "owner" else network.opened(bank.share, platform.share)
    plain = oracle.train(network.columns, network.learner(), network.settings, start)
    assert np.abs(weights - plain.weights).max() < 2.0**-11 and bank.epoch == platform.epoch == plain.epoch


def test_handling_a_request_again_draws_a_new_mask_and_flood(bank_keys) -> None:
    network, checked = small(), set()
    bank, platform = network.roles(bank_keys)

    def on_message(sender: str, message: Message) -> None:
        if message.peer == "platform" and message.kind.endswith(".request"):
            state = platform.snapshot()
            again = [platform.handle(Message("bank", message.kind, message.payload)), platform.restore(state),
                     platform.handle(Message("bank", message.kind, message.payload)), platform.restore(state)]
            for one, other in zip(again[0], again[2], strict=True):
                assert one.payload != other.payload
            checked.add(message.kind)

    drive(bank, platform, on_message=on_message)
    assert checked == {"forward.request", "backward.request"}


@pytest.mark.parametrize(("release", "never"), [("owner", "sealed"), ("shared", "weights")])
def test_at_every_point_only_the_message_that_is_due_is_taken(bank_keys, release, never) -> None:
    network, checked = small(epochs=2, release=release), set()
    roles = dict(zip(("bank", "platform"), network.roles(bank_keys), strict=True))

    def on_message(sender: str, message: Message) -> None:
        if (message.peer, message.kind) in checked:
            return
        receiver, before = roles[message.peer], roles[message.peer].snapshot()
        checked.add((message.peer, message.kind))
        wrong = [Message(sender, message.kind, body) for body in (message.payload[:-1], b"", message.payload + b"\0")]
        wrong += [Message("stranger", message.kind, message.payload)]
        wrong += [Message(sender, kind, message.payload) for kind in (*KINDS, "_step", "") if kind != message.kind]
        for variant in wrong:
            with pytest.raises(MalformedMessage):
                receiver.handle(variant)
                pytest.fail(f"{variant.kind} of {len(variant.payload)} bytes was taken for {message.kind}")
            assert receiver.snapshot() == before

    drive(*roles.values(), on_message=on_message)
    assert {kind for _, kind in checked} == KINDS - {never}
    for role in roles.values():
        with pytest.raises(MalformedMessage, match="nothing more"):
            role.handle(Message(role._peer, "epoch", b"\0\0"))


@pytest.mark.parametrize(("rows", "columns"), [(39, 3), (41, 3), (40, 0), (2**63, 3)])
def test_a_setup_that_does_not_fit_is_refused(bank_keys, rows, columns) -> None:
    with pytest.raises(MalformedMessage, match="40 training rows and a column"):
        small().label_network(bank_keys).handle(Message("platform", "setup", SETUP.pack(rows, columns)))


def test_more_weights_than_hints_are_refused(bank_keys) -> None:
    with pytest.raises(DataError, match="at most 1024 weights"):
        small().label_network(bank_keys).handle(Message("platform", "setup", SETUP.pack(40, 513)))


def test_keys_of_the_platform_and_other_numbers_of_columns_are_refused(bank_keys) -> None:
    with pytest.raises(MalformedMessage, match="asks for nothing"):
        small().label_network(bank_keys).handle(Message("platform", "setup", SETUP.pack(40, 3) + b"key"))
    platform = small().feature_network()
    platform.start()
    with pytest.raises(MalformedMessage, match="repeat 3 columns"):
        platform.handle(Message("bank", "setup", SETUP.pack(40, 4) + bank_keys.public_bytes()))


@pytest.mark.parametrize("kept", [0, 2, 3, 65535])
def test_an_epoch_to_keep_that_is_not_over_and_one_more_than_agreed_are_refused(bank_keys, kept) -> None:
    network, seen = small(epochs=1), []
    bank, platform = network.roles(bank_keys)

    def on_message(sender: str, message: Message) -> None:
        if message.kind == "epoch":
            before = platform.snapshot()
            with pytest.raises(MalformedMessage, match="among the 1"):
                platform.handle(Message("bank", "epoch", EPOCH.pack(kept)))
            assert platform.snapshot() == before
            seen.append(kept)

    drive(bank, platform, on_message=on_message)
    assert seen == [kept]


def test_the_platform_refuses_to_open_more_than_a_quarter_of_its_rank() -> None:
    def limit(openings: int, columns: int) -> None:
        POLICY.check_openings(openings, 0, columns)

    network = small(width=2, epochs=2)
    with pytest.raises(PolicyRefused, match="maximum_opened_rank"):
        network.feature_network(check_openings=limit).start()
    wide = task(60, 16, width=2, epochs=2)
    assert wide.feature_network(check_openings=limit).start()


def test_released_weights_need_rows(bank_keys) -> None:
    setup = Message("platform", "setup", SETUP.pack(40, 3))
    with pytest.raises(PolicyRefused, match="300 training rows"):
        small(release="owner").label_network(bank_keys, check_rows=POLICY.check_rows).handle(setup)
    assert small().label_network(bank_keys, check_rows=POLICY.check_rows).handle(setup)


def test_embeddings_beyond_the_bound_end_the_training(bank_keys) -> None:
    large = RING.encode_ints([1 << (opened.SCALE_BITS + 11)] * 2)
    with pytest.raises(ProtocolError, match="diverged"):
        layer.embeddings(RING.zeros(2), RING.to_bytes(large), small(width=1).settings)


def test_columns_that_are_not_whitened_are_refused() -> None:
    with pytest.raises(DataError, match="whiten"):
        layer.fixed_columns(np.array([[256.0]]))
