"""Views of a lead, another platform, banks and the hub, of several platforms and of several banks: recorded beside
simulated ones. README.md: what this proves."""
from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from protocols.crypto.keys import KeyPair
from protocols.crypto.ring import RING
from protocols.crypto.summed_product import SEED_BYTES, Seed
from protocols.scorecard import feature_party
from protocols.scorecard.feature_party import FollowTrainer
from tests.attacks.detectors import distances_of, repeated_blocks, uniformity
from tests.attacks.views import BankSimulator, PlatformSimulator, View, uniform_sum
from tests.attacks.watching_many import Watched, summand_shapes, watch_many
from tests.protocols.scorecard.test_training_banks import banks, circles

SIZES = {"one bank, two platforms": (260,), "two banks, two platforms": (260, 240)}
PARTIES = [("one bank, two platforms", name) for name in ("bank-0", "platform-0", "platform-1")] + [
    ("two banks, two platforms", name) for name in ("bank-0", "bank-1", "platform-0", "platform-1")]
FANNED = {"keys", "backward.request", "residual.share"}  # one upload for all who get it


@pytest.fixture(scope="module")
def trainings() -> dict[str, Watched]:
    return {name: watch_many(banks(sizes, 2, (3, 2), steps=1, seed=9)) for name, sizes in SIZES.items()}


@pytest.fixture(scope="module")
def stranger() -> KeyPair:
    return KeyPair.generate()


def simulated(seen: Watched, party: str, stranger: KeyPair) -> View:
    """From the party's own rows, what it ends with, and the sizes that everybody knows."""
    task, result = seen.task, seen.roles[party].result()
    public = stranger, task.constants + task.bank.shape[1], task.widths, result
    if party in task.platforms:
        return PlatformSimulator(task.feature_trainer(party, KeyPair.generate()), *public).run()
    scales = {bank: seen.roles[bank]._own_scale() for bank in task.banks if bank != party}
    circle = circles(task.banks)[party] if len(task.banks) > 1 else None
    norms = seen.norms if party == task.banks[0] else None
    return BankSimulator(task.label_trainer(party, KeyPair.generate(), circle), *public, norms, scales).run()


@pytest.mark.parametrize("federation, party", PARTIES)
def test_a_view_has_the_messages_sizes_and_words_of_the_simulated_one(trainings, stranger, federation, party) -> None:
    real, made = trainings[federation].views[party], simulated(trainings[federation], party, stranger)
    assert [(kind, len(payload)) for kind, payload in real] == [(kind, len(payload)) for kind, payload in made]
    assert len(real) > 25
    distances = distances_of(real, made)
    assert max(distances.values()) < 1, distances


@pytest.mark.parametrize("federation", SIZES)
def test_what_the_hub_adds_is_what_it_could_have_made_up(trainings, federation) -> None:
    """It adds summands in the clear; all else passes it sealed. Their check hides behind a pad, too."""
    seen, made = trainings[federation], []
    shapes = summand_shapes(seen)
    kinds = {kind for kind, _ in seen.hub}
    assert {kind.split(" ")[-1] for kind in kinds} == (
        {"bank-0"} if len(seen.task.banks) == 1 else {"bank-0", "bank-1", "platform-0"})
    for kind, payload in seen.hub:
        draw = uniform_sum(*shapes[kind], Seed(RING.random(2).tobytes()[:SEED_BYTES]), [RING.random(1)])
        assert len(draw) == len(payload), kind
        made.append((kind, draw))
    distances = distances_of(seen.hub, made)
    assert max(distances.values()) < 1, distances
    assert repeated_blocks((f"{kind} {k}", payload) for k, (kind, payload) in enumerate(seen.hub)) == set()


@pytest.mark.parametrize("federation, party", PARTIES)
def test_what_a_party_holds_is_uniform(trainings, federation, party) -> None:
    seen = trainings[federation]
    for name in {what[0] for who, what in seen.held if who == party}:
        held = seen.shares(party, name)
        assert uniformity(held, 32 if held.shape[1] > 1000 else 4) < 1, name


@pytest.mark.parametrize("federation", SIZES)
def test_no_random_block_comes_twice_to_anybody(trainings, federation) -> None:
    """But for what is sent to several as one upload, the point of a check, which all who make summands know, and common
    coefficients, of which all banks get the same flooded share."""
    seen = trainings[federation]
    payloads = {payload: f"{kind} {party}" for party, view in seen.views.items() for kind, payload in view}
    found = repeated_blocks((name, payload) for payload, name in payloads.items())
    assert {(one.split()[0], other.split()[0]) for one, other in found} <= {
        ("setup", "setup"), ("coefficients", "coefficients")}
    places = defaultdict(list)
    for view in seen.views.values():
        for kind, payload in view:
            places[kind, payload].append(kind)
    twice = {kind for (kind, payload), all_of_it in places.items() if len(all_of_it) > 1 and len(payload) > 16}
    assert twice <= FANNED | {"init"}, "all banks get the same share of a platform's start points"


# ---------------------------------------------------------------- a bank and the hub that pool what they have


@pytest.mark.parametrize("federation", SIZES)
def test_a_single_platforms_summand_opens_to_a_uniform_number(trainings, federation) -> None:
    assert uniformity(np.concatenate(trainings[federation].opened, axis=1), 32) < 1


def test_a_summand_without_its_cover_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twin: platforms that do not cover what they send; the sum, and the bank's own view, stay as they are."""
    monkeypatch.setattr(FollowTrainer, "_cover", lambda self, kind, n: RING.zeros(n))
    monkeypatch.setattr(FollowTrainer, "_norm_cover", lambda self: RING.zeros(2))
    monkeypatch.setattr(feature_party, "mask_sum", lambda seeds, label, n: RING.zeros(n))
    seen = watch_many(banks((260,), 2, (3, 2), steps=1, seed=9))
    assert uniformity(np.concatenate(seen.opened, axis=1), 32) > 1
    assert uniformity(np.concatenate(seen.opened[::2], axis=1), 32) < 1, "the lead's, which has a mask of its own"
