"""The open-score variant: both roles in one process, against the joint fit and the declared leakage."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.crypto.keys import KeyPair
from protocols.crypto.ring import RING
from protocols.errors import MalformedMessage, PolicyRefused
from protocols.policy import Policy
from protocols.role import Message
from protocols.scorecard import logistic, opened, subspace
from protocols.scorecard.open_score import SETUP, FeatureSolver, LabelSolver, Scales
from tests.protocols.scorecard.problems import Problem, problem
from tests.protocols.scorecard.simulator import drive

KINDS = ("setup", "gradient.request", "gradient.reply", "scores.request", "scores.reply", "scores.training",
         "combine.request", "combine.reply", "coefficients")
PRECISION = 2.0**-12 + 2.0**-14


def task_of(rows: int, bank: int, platform: int, openings: int, **settings) -> Problem:
    return replace(problem(rows, bank, platform, **settings), openings=openings)


def roles_of(task: Problem, keys: KeyPair) -> tuple[LabelSolver, FeatureSolver]:
    return bank_of(task, keys), FeatureSolver(task.platform, task.config("platform"))


def bank_of(task: Problem, keys: KeyPair, **settings) -> LabelSolver:
    return LabelSolver(task.bank, task.labels, task.own_model, keys, task.config("bank", **settings))


def in_floats(task: Problem) -> np.ndarray:
    """The same algorithm on the joined columns, without noise."""
    images, gradients, own, mix = np.zeros((len(task.labels), 0)), [], task.own_model, np.zeros(0)
    for _ in range(task.openings):
        theirs = images @ mix
        z = own[0] + task.bank @ own[1:] + theirs
        gradient = task.platform.T @ (logistic.sigmoid(z) - task.labels + task.l2 * theirs)
        gradients.append(gradient / np.linalg.norm(gradient))
        images = np.column_stack([images, task.platform @ gradients[-1]])
        found = subspace.solve(task.bank, images, task.labels, task.l2)
        own, mix = found.own, found.mix
    return np.r_[own, np.column_stack(gradients) @ mix]


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(200, 900), bank=st.integers(1, 4), platform=st.integers(3, 8), openings=st.integers(1, 2),
       l2=st.sampled_from([0.0, 0.001, 0.1]), seed=st.integers(0, 2**20))
def test_it_is_the_same_algorithm_on_the_joined_columns(bank_keys, rows, bank, platform, openings, l2, seed) -> None:
    task = task_of(rows, bank, platform, openings, l2=l2, seed=seed)
    roles = roles_of(task, bank_keys)
    drive(*roles)
    results = [role.result() for role in roles]
    got = np.concatenate([result.own for result in results])
    assert np.abs(got - in_floats(task)).max() < 2 * PRECISION
    assert [r.rows for r in results] == [rows, rows] and [r.grid for r in results] == [None, None]
    assert (results[0].columns_peer, results[1].columns_peer) == (platform, bank + 1)


def test_four_openings_come_close_to_the_joint_optimum(bank_keys) -> None:
    task = task_of(2000, 4, 16, 4, seed=8)
    roles = roles_of(task, bank_keys)
    drive(*roles)
    own, theirs = (role.result().own for role in roles)
    pooled = logistic.fit(np.hstack([task.bank, task.platform]), task.labels, task.l2)
    scores = own[0] + task.bank @ own[1:] + task.platform @ theirs
    best = pooled.score(np.hstack([task.bank, task.platform]))
    assert np.corrcoef(scores, best)[0, 1] > 0.9995


def test_only_the_declared_values_are_opened_and_every_message_is_new(bank_keys) -> None:
    task, sent = task_of(300, 2, 5, 3), []
    drive(*roles_of(task, bank_keys), on_message=lambda sender, message: sent.append((sender, message)))
    declared = [(m.opening.kind, m.opening.learner, m.opening.count) for _, m in sent if m.opening]
    assert declared == [("scores.training", "bank", 300)] * 3 + [("coefficients", "platform", 5)]
    assert [m.kind for _, m in sent] == ["setup", "setup", *KINDS[1:6] * 3, *KINDS[6:]]
    assert len({m.payload for _, m in sent}) == len(sent)


def test_the_bank_opens_images_and_no_gradient_and_the_platform_neither(bank_keys) -> None:
    """The opened score is X g to within the flood; what each side holds of g is uniform."""
    task = task_of(300, 2, 5, 2, seed=5)
    bank, platform = roles_of(task, bank_keys)
    seen = []

    def on_message(sender: str, message: Message) -> None:
        if message.kind == opened.KIND:
            seen.append((bank._s["g"].copy(), platform._s["g"].copy()))

    drive(bank, platform, on_message=on_message)
    mine, theirs = seen[-1]
    g = RING.to_float(RING.add(mine, theirs)) / 2.0**opened.VECTOR_BITS
    assert np.abs(g).max() <= 1
    alone = np.abs(RING.to_float(theirs)) / 2.0**117
    assert alone.max() > 0.3 and (alone > 2.0**-12).all()


def test_an_image_is_opened_with_a_flood_and_at_the_precision_that_is_stated(bank_keys) -> None:
    task = task_of(400, 2, 4, 1, seed=9)
    bank, platform = roles_of(task, bank_keys)
    kept: dict[str, np.ndarray] = {}

    def on_message(sender: str, message: Message) -> None:
        if message.kind == opened.KIND:
            g = RING.to_float(RING.add(bank._s["g"], platform._s["g"])) / 2.0**opened.VECTOR_BITS
            exact = platform._columns / 2.0**12 @ g
            kept["error"] = opened.scores(bank._s["z"], message.payload) - exact

    drive(bank, platform, on_message=on_message)
    assert np.abs(kept["error"]).max() <= 2.0**-17 * 1.001
    assert kept["error"].std() == pytest.approx(2.0**-16 / np.sqrt(12), rel=0.2)


@pytest.mark.parametrize("rows", [2, 200, 2**15, 2**19, 2**19 + 1, 3_000_000])
def test_scales_add_up_and_a_direction_is_at_most_of_length_one(rows) -> None:
    scales, length = Scales.of(rows), (rows - 1).bit_length()
    assert scales.gain >= 0 and 12 + scales.residual + scales.gain + length == opened.VECTOR_BITS
    assert 2**length >= rows and scales.residual <= 56


def test_a_crash_after_every_message_changes_nothing(bank_keys) -> None:
    task = task_of(250, 2, 4, 2, seed=21)
    roles = {"bank": bank_of(task, bank_keys), "platform": FeatureSolver(task.platform, task.config("platform"))}
    queue = [(name, message) for name in roles for message in roles[name].start()]
    while queue:
        sender, message = queue.pop(0)
        old = roles[message.peer]
        queue += [(message.peer, a) for a in old.handle(Message(sender, message.kind, message.payload))]
        new = bank_of(task, KeyPair.from_secret_bytes(bank_keys.secret_bytes())) if message.peer == "bank" else \
            FeatureSolver(task.platform, task.config("platform"), old.peer_public)
        new.restore(old.snapshot())
        assert new.snapshot() == old.snapshot() and new.progress == old.progress
        roles[message.peer] = new
    got = np.concatenate([roles[name].result().own for name in ("bank", "platform")])
    assert np.abs(got - in_floats(task)).max() < 2 * PRECISION
    assert roles["bank"].progress == roles["platform"].progress == (2, 2)


def test_handling_a_request_again_draws_a_new_mask_and_flood(bank_keys) -> None:
    task = task_of(250, 2, 4, 1, seed=23)
    bank, platform = roles_of(task, bank_keys)
    (setup,) = platform.start()
    to_platform, request = bank.handle(Message("platform", "setup", setup.payload))
    platform.handle(Message("bank", "setup", to_platform.payload))
    state = platform.snapshot()
    first = platform.handle(Message("bank", request.kind, request.payload))[0].payload
    platform.restore(state)
    assert platform.handle(Message("bank", request.kind, request.payload))[0].payload != first


def test_at_every_point_only_the_message_that_is_due_is_taken(bank_keys) -> None:
    task, checked = task_of(220, 2, 3, 1, seed=31), set()
    roles = dict(zip(("bank", "platform"), roles_of(task, bank_keys), strict=True))

    def on_message(sender: str, message: Message) -> None:
        receiver, before = roles[message.peer], roles[message.peer].snapshot()
        checked.add((message.peer, message.kind))
        wrong = [Message(sender, message.kind, body) for body in (message.payload[:-1], b"", message.payload + b"\0")]
        wrong += [Message("stranger", message.kind, message.payload)]
        wrong += [Message(sender, kind, message.payload) for kind in (*KINDS, "_finished", "") if kind != message.kind]
        for variant in wrong:
            with pytest.raises(MalformedMessage):
                receiver.handle(variant)
                pytest.fail(f"{variant.kind} of {len(variant.payload)} bytes was taken for {message.kind}")
            assert receiver.snapshot() == before

    drive(*roles.values(), on_message=on_message)
    assert {kind for _, kind in checked} == set(KINDS)
    for role in roles.values():
        with pytest.raises(MalformedMessage, match="nothing more"):
            role.handle(Message(role.expects, "coefficients", b""))


@pytest.mark.parametrize(("rows", "columns"), [(219, 3), (221, 3), (220, 0), (220, 1025), (2**63, 3)])
def test_a_setup_that_does_not_fit_is_refused(bank_keys, rows, columns) -> None:
    bank = bank_of(task_of(220, 2, 3, 1), bank_keys)
    with pytest.raises(MalformedMessage, match="training rows and 1 to 1024 columns"):
        bank.handle(Message("platform", "setup", SETUP.pack(rows, columns)))


def test_a_platform_that_brings_keys_is_refused(bank_keys) -> None:
    bank = bank_of(task_of(220, 2, 3, 1), bank_keys)
    with pytest.raises(MalformedMessage, match="asks for nothing"):
        bank.handle(Message("platform", "setup", SETUP.pack(220, 3) + bank_keys.public_bytes()))


def test_too_few_rows_for_the_coefficients_are_refused_before_anything_is_encrypted(bank_keys) -> None:
    policy = Policy.model_validate({"purposes": ["p"], "peers": {"platform": {"fingerprint": "0" * 64}}})
    bank = bank_of(task_of(300, 2, 4, 1), bank_keys, check_rows=policy.check_rows)
    with pytest.raises(PolicyRefused, match="350 training rows, there are 300"):
        bank.handle(Message("platform", "setup", SETUP.pack(300, 4)))
