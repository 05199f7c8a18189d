"""Scores of a model whose weights stay shared are those of the weights, and nothing else comes out."""
from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.crypto import product
from protocols.crypto.ring import RING
from protocols.errors import ConfigError, DataError, MalformedMessage, PolicyRefused, ProtocolError, TrustError
from protocols.role import Message
from protocols.scorecard.holdout import SCORE_STEP_BITS, coarse
from protocols.scorecard.shared_weights import LAYOUT, SCORE_SCALE_BITS, WEIGHT_SCALE_BITS
from protocols.sharedscore.flood import FRESH_BITS, VERSION_BITS
from protocols.sharedscore.messages import DIGEST_BYTES
from protocols.sharedscore.model import SharedModel
from protocols.state import pack, unpack
from tests.protocols.scorecard import problems
from tests.protocols.scorecard.simulator import drive
from tests.protocols.sharedscore.shared_models import (
    admit_all,
    draw_rows,
    holdouts,
    opened,
    scorers,
    weights_in_the_clear,
)

# half a step of the rounding, and half of both floods
PRECISION = 2.0**-6 + (2.0**VERSION_BITS + 2.0**FRESH_BITS) / 2 / 2.0**SCORE_SCALE_BITS
SLICES = {"calibration": 30, "test": 50}
NAMES = ("calibration", "test", "batch")


def test_a_training_with_shared_weights_releases_no_coefficient(trained) -> None:
    kinds = [m.kind for m in trained.sent]
    assert "coefficients" not in kinds and kinds.count("weights") == 2
    assert {m.opening.kind for m in trained.sent if m.opening} == {"step.norms", "step.size"}


def test_the_shared_weights_are_those_of_the_same_training_with_owner_release(trained) -> None:
    weights = weights_in_the_clear(trained.bank, trained.platform)
    assert np.abs(weights - problems.trained_in_floats(trained.task, trained.grid)).max() < 2.0**-11


def test_neither_share_says_anything_about_the_weights(trained) -> None:
    """As numbers modulo Q they are as large as Q: the weights are 2^26 times smaller."""
    for model in (trained.bank, trained.platform):
        assert max(abs(x) for x in RING.to_ints(model.weights.own)) > RING.modulus >> 12


def test_scores_are_those_of_the_same_training_with_owner_release(trained, all_keys) -> None:
    owner = [trained.task.label_trainer(all_keys["bank"]), trained.task.feature_trainer(all_keys["platform"])]
    drive(*owner)
    released = [role.result() for role in owner]
    assert released[0].grid == trained.grid
    rows = draw_rows(trained.task, {"batch": 300}, seed=8)
    bank, platform = scorers(trained, rows)
    drive(bank, platform)
    theirs = coarse(rows.platform["batch"] @ released[1].own) / 2.0**SCORE_STEP_BITS
    expected = rows.bank["batch"] @ released[0].own + theirs
    rounding, coefficients = 2.0**-6, 2.0**-10  # of the platform's part, and of what was released
    assert np.abs(bank.result()["batch"] - expected).max() <= PRECISION + rounding + 8 * coefficients


@settings(max_examples=6, deadline=None)
@given(sizes=st.lists(st.sampled_from([1, 2, 7, 60]), min_size=1, max_size=3), seed=st.integers(0, 2**20))
def test_opened_scores_are_those_of_the_weights(trained, sizes, seed) -> None:
    weights = weights_in_the_clear(trained.bank, trained.platform)
    rows = draw_rows(trained.task, dict(zip(NAMES, sizes, strict=False)), seed)
    bank, platform = scorers(trained, rows)
    drive(bank, platform)
    assert platform.result() is True
    for name, exact in rows.scores(weights).items():
        got = bank.result()[name]
        assert np.abs(got - exact).max() <= PRECISION and np.array_equal(got * 32, np.rint(got * 32))


def test_more_rows_than_a_polynomial_has_places(trained) -> None:
    weights = weights_in_the_clear(trained.bank, trained.platform)
    rows = draw_rows(trained.task, {"batch": 8200})
    bank, platform = scorers(trained, rows)
    drive(bank, platform)
    assert np.abs(bank.result()["batch"] - rows.scores(weights)["batch"]).max() <= PRECISION


@pytest.mark.parametrize("better", [True, False])
def test_the_hold_out_opens_both_slices_once_and_ends_with_the_verdict(trained, better: bool) -> None:
    seen, judged, rows = [], [], draw_rows(trained.task, SLICES)
    bank, platform = holdouts(trained, rows, lambda scores: judged.append(scores) or better)
    drive(bank, platform, on_message=lambda sender, m: m.opening and seen.append((m.opening.kind, m.opening.count)))
    assert platform.result() is better and len(judged) == 1
    assert seen == [("shared.calibration", 30), ("shared.test", 50), ("verdict", 1)]
    exact = rows.scores(weights_in_the_clear(trained.bank, trained.platform))
    assert all(np.abs(bank.result()[name] - exact[name]).max() <= PRECISION for name in SLICES)


def test_the_floods_are_as_wide_as_stated(trained) -> None:
    rows = draw_rows(trained.task, {"batch": 4000})
    exact = rows.scores(weights_in_the_clear(trained.bank, trained.platform))["batch"]
    errors = opened(trained, rows).astype(float) / 2.0**SCORE_SCALE_BITS - exact
    widest = (2.0**VERSION_BITS + 2.0**FRESH_BITS) / 2.0**SCORE_SCALE_BITS
    assert np.abs(errors).max() <= widest / 2 and np.ptp(errors) > 0.9 * widest * 0.8
    assert abs(errors.mean()) < 5 * 2.0**-6 / np.sqrt(12 * 4000) * 1.1


# -- who may have what


def test_a_swapped_upload_is_refused_when_the_model_is_read(trained) -> None:
    kept = unpack(trained.platform.to_bytes())
    other = bytes([kept["received"][100] ^ 1])
    swapped = pack(kept | {"received": kept["received"][:100] + other + kept["received"][101:]})
    with pytest.raises(TrustError, match="not those that the training pinned"):
        SharedModel.from_bytes(swapped)


def test_why_the_upload_is_pinned_two_others_would_read_a_column(trained, all_keys) -> None:
    """The attack works on a platform that takes an upload per query; ours keeps one and has no message for another."""
    def with_upload(vector: np.ndarray):
        share = RING.encode_ints([int(v) << WEIGHT_SCALE_BITS for v in vector])
        upload = product.ask(all_keys["bank"], share, (1, len(vector)), LAYOUT)
        weights = replace(trained.platform.weights, received=upload)
        return replace(trained, platform=SharedModel(all_keys["platform"], trained.platform.peer_public, weights))

    rows, width = draw_rows(trained.task, {"batch": 50}), trained.platform.weights.columns
    shares = [opened(with_upload(np.eye(width)[0] * size), rows) for size in (0, 1)]
    half = RING.modulus // 2
    read = [((int(d) + half) % RING.modulus - half) / 2.0**SCORE_SCALE_BITS for d in shares[1] - shares[0]]
    assert np.abs(read - rows.platform["batch"][:, 0]).max() < 2.0**-6
    with pytest.raises(TrustError):
        SharedModel.from_bytes(with_upload(np.eye(width)[0]).platform.to_bytes())


def test_a_model_comes_back_from_the_vault_as_it_was(trained) -> None:
    again = SharedModel.from_bytes(trained.bank.to_bytes())
    assert again.to_bytes() == trained.bank.to_bytes()
    assert again.weights.digest == trained.bank.weights.digest == trained.platform.weights.digest
    rows = draw_rows(trained.task, {"batch": 9})
    bank, platform = scorers(type(trained)(trained.task, again, trained.platform, []), rows)
    drive(bank, platform)
    assert bank.result() is not None
    with pytest.raises(MalformedMessage, match="lacks a part"):
        SharedModel.from_bytes(pack({"own": b""}))


@pytest.mark.parametrize("side", ["bank", "platform"])
def test_a_peer_with_another_version_of_the_model_is_refused(trained, side: str) -> None:
    bank, platform = scorers(trained, draw_rows(trained.task, {"batch": 5}))
    (part,) = bank.start()
    if side == "platform":
        bad = Message("bank", part.kind, bytes(DIGEST_BYTES) + part.payload[DIGEST_BYTES:])
        with pytest.raises(TrustError, match="not those that the training pinned"):
            platform.handle(bad)
        assert platform.result() is None
        return
    reply = platform.handle(Message("bank", part.kind, part.payload))[0]
    with pytest.raises(TrustError, match="not those that the training pinned"):
        bank.handle(Message("platform", reply.kind, bytes(DIGEST_BYTES) + reply.payload[DIGEST_BYTES:]))
    assert bank.expects == "platform"


def test_what_the_platforms_policy_refuses_leaves_nothing(trained) -> None:
    def refuse(people, tags) -> None:
        raise PolicyRefused("maximum_snapshots_per_person", "too many")

    bank, platform = scorers(trained, draw_rows(trained.task, {"batch": 5}), admit=refuse)
    (part,) = bank.start()
    with pytest.raises(PolicyRefused):
        platform.handle(Message("bank", part.kind, part.payload))
    assert platform.result() is None and platform.expects == "bank"


def test_the_platform_is_asked_about_each_person_and_version(trained) -> None:
    rows, asked = draw_rows(trained.task, {"calibration": 4, "test": 3}), []
    bank, platform = scorers(trained, rows, admit=lambda people, tags: asked.append((list(people), tags.tolist())))
    drive(bank, platform)
    ((people, tags),) = asked
    assert people == rows.people and len(set(tags)) == 7


# -- malformed and out of order


@pytest.fixture(scope="module")
def exchanged(trained) -> tuple[Message, bytes, list[Message]]:
    """The bank's part, its state after that, and the platform's answers: the products are made once."""
    bank, platform = scorers(trained, draw_rows(trained.task, {"batch": 3}))
    (part,) = bank.start()
    return part, bank.snapshot(), platform.handle(Message("bank", part.kind, part.payload))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_parts_that_are_cut_grown_or_changed_in_their_heads_are_refused(trained, exchanged, data) -> None:
    bank, platform = scorers(trained, draw_rows(trained.task, {"batch": 3}))
    part, state, messages = exchanged
    bank.restore(state)
    cut = data.draw(st.integers(0, len(part.payload) - 1))
    for payload in (part.payload[:cut], part.payload + b"\0"):
        with pytest.raises(ProtocolError):
            platform.handle(Message("bank", part.kind, payload))
        assert platform.expects == "bank" and platform.result() is None
    for message in messages:
        short = message.payload[: data.draw(st.integers(0, len(message.payload) - 1))]
        for payload in (short, message.payload + b"\0"):
            with pytest.raises(ProtocolError):
                bank.handle(Message("platform", message.kind, payload))
        bank.handle(Message("platform", message.kind, message.payload))
    assert bank.result() is not None


def test_messages_that_are_not_due_are_refused_and_change_nothing(trained) -> None:
    bank, platform = holdouts(trained, draw_rows(trained.task, SLICES))
    (part,) = bank.start()
    for peer, kind, payload in [("platform", part.kind, part.payload), ("bank", "verdict", b"\1"),
                                ("bank", "platform.part", part.payload)]:
        with pytest.raises(MalformedMessage):
            platform.handle(Message(peer, kind, payload))
    reply, first, second = platform.handle(Message("bank", part.kind, part.payload))
    with pytest.raises(MalformedMessage):  # again: another reply to the same request would need the same mask
        platform.handle(Message("bank", part.kind, part.payload))
    for wrong in (first, second):
        with pytest.raises(MalformedMessage):
            bank.handle(Message("platform", wrong.kind, wrong.payload))
    bank.handle(Message("platform", reply.kind, reply.payload))
    with pytest.raises(MalformedMessage):
        bank.handle(Message("platform", second.kind, second.payload))
    with pytest.raises(MalformedMessage):
        platform.handle(Message("bank", "verdict", b"\2"))


def test_scores_beyond_the_bound_end_the_run(trained) -> None:
    bank, platform = scorers(trained, draw_rows(trained.task, {"batch": 2}))
    (part,) = bank.start()
    reply, share = platform.handle(Message("bank", part.kind, part.payload))
    bank.handle(Message("platform", reply.kind, reply.payload))
    shift = RING.encode_ints([1 << 115, 0])
    with pytest.raises(ProtocolError, match="between -1024 and 1024"):
        bank.handle(Message("platform", share.kind, RING.to_bytes(RING.add(RING.from_bytes(share.payload, 2), shift))))
    assert bank.result() is None


def test_rows_that_do_not_fit_the_model_are_named(trained) -> None:
    rows = draw_rows(trained.task, {"batch": 4})
    rows.bank = rows.platform
    bank, _ = scorers(trained, rows)
    rows.people.append("one more")
    if rows.platform["batch"].shape[1] != trained.bank.weights.columns:
        with pytest.raises(DataError, match="encoded columns for this model"):
            bank.start()
    good, platform = scorers(trained, draw_rows(trained.task, {"batch": 4}))
    platform._people = rows.people
    with pytest.raises(DataError, match="as many identifiers as rows, got 5 and 4"):
        platform.handle(Message("bank", "bank.part", good.start()[0].payload))


def test_a_shared_model_has_two_parties() -> None:
    task = problems.problem(250, 2, 3)
    with pytest.raises(ConfigError, match="one bank and one platform"):
        task.config("bank", platforms=("a", "b"), shared=True)


def test_secrets_are_neither_printed_nor_pickled(trained) -> None:
    secret = trained.platform.weights.secret
    for thing in (trained.platform, trained.platform.weights, *scorers(trained, draw_rows(trained.task, {"batch": 1}))):
        shown = repr(thing)
        assert secret.hex() not in shown and repr(secret)[2:20] not in shown and len(shown) < 200
    with pytest.raises(TypeError):
        pickle.dumps(trained.platform)
    assert admit_all([], np.zeros(0, np.uint64)) is None
