"""Online scores of a model whose weights stay shared: they are the model's, and attacks of the rules get nothing."""
from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.crypto.ring import RING
from protocols.errors import DataError, MalformedMessage, ProtocolError, ReplayRefused, TrustError, UsageError
from protocols.scorecard.shared_weights import SCORE_SCALE_BITS
from protocols.scoring import shared
from protocols.scoring.shared import Asked, BankShared, Person, PlatformShared
from protocols.sharedscore.flood import FRESH_BITS, VERSION_BITS
from tests.protocols.sharedscore.shared_models import Rows, Trained, draw_rows, weights_in_the_clear

PRECISION = 2.0**-6 + (2.0**VERSION_BITS + 2.0**FRESH_BITS) / 2 / 2.0**SCORE_SCALE_BITS
ERROR_BITS = 28


class Pair:
    """Both halves, ready, and what calls between them give."""

    def __init__(self, trained: Trained):
        self.trained = trained
        self.bank, self.platform = BankShared(trained.bank), PlatformShared(trained.platform)
        self.weights = weights_in_the_clear(trained.bank, trained.platform)

    def rows(self, count: int, seed: int = 0) -> Rows:
        return draw_rows(self.trained.task, {"batch": count}, seed)

    def exact(self, rows: Rows) -> np.ndarray:
        return rows.scores(self.weights)["batch"]

    def ask(self, rows: Rows) -> Asked:
        return self.bank.ask(rows.bank["batch"])

    def answer(self, asked: Asked, rows: Rows, places: Sequence[int] | None = None) -> bytes:
        count = len(rows.people)
        return self.platform.answer(self.platform.read(asked.part, count),
                                    people(rows, range(count) if places is None else places))

    def opened(self, rows: Rows, asked: Asked | None = None) -> list[int]:
        """What the bank could read before it rounds, at SCORE_SCALE_BITS fractional bits."""
        asked, count = asked or self.ask(rows), len(rows.people)
        answer = self.answer(asked, rows)[32:]
        own = RING.add(asked.share, self.bank._finish(answer[:-16 * count], count))
        return RING.to_ints(RING.add(own, RING.from_bytes(answer[-16 * count:], count)))


def people(rows: Rows, places: Sequence[int]) -> list[Person]:
    return [Person(at, hashlib.sha256(rows.people[at].encode()).digest()[:16], rows.platform["batch"][at])
            for at in places]


@pytest.fixture(scope="session")
def pair(trained) -> Pair:
    return Pair(trained)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(count=st.sampled_from([1, 2, 9, 33, 64]), seed=st.integers(0, 2**20), data=st.data())
def test_scores_are_those_of_the_weights_whoever_is_left_out(pair, count: int, seed: int, data) -> None:
    rows = pair.rows(count, seed)
    places = sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=1)))
    asked = pair.ask(rows)
    scores = pair.bank.scores(asked, places, pair.answer(asked, rows, places))
    assert np.abs(scores - pair.exact(rows)[places]).max() <= PRECISION
    assert np.array_equal(scores * 32, np.rint(scores * 32))


def test_nothing_leaves_about_who_is_not_answered(pair) -> None:
    """Bytes of an answer about one of three: the one share there is fits nobody else's."""
    rows = pair.rows(3)
    asked = pair.ask(rows)
    assert pair.answer(asked, rows, []) == b""
    answer = pair.answer(asked, rows, [1])
    assert len(answer) == len(pair.answer(asked, rows)) - 2 * (16 + 16)
    pair.bank.scores(asked, [1], answer)
    strange = 0
    for _ in range(6):
        other = pair.ask(rows)
        for place in (0, 2):
            try:
                got = pair.bank.scores(other, [place], pair.answer(other, rows, [1]))
                strange += abs(got[0] - pair.exact(rows)[place]) > 1
            except ProtocolError:
                strange += 1
    assert strange == 12


# -- floods


def test_repeats_do_not_average_out(pair) -> None:
    """The mean of 24 openings of the same people keeps the flood of the version, 2^-6 wide; under a new name of the
    bank's data each time it would shrink by √24."""
    rows, unit = pair.rows(64), 2.0**SCORE_SCALE_BITS
    exact = pair.exact(rows)
    repeats = np.mean([np.array(pair.opened(rows), float) / unit - exact for _ in range(24)], axis=0)
    deviation = 2.0**-6 / np.sqrt(12)
    assert 0.75 * deviation < repeats.std() < 1.3 * deviation

    def renamed() -> Asked:
        asked = pair.ask(rows)
        names = np.random.default_rng().bytes(16 * 64)
        return Asked(asked.part[:32] + names + asked.part[32 + 16 * 64:], asked.share)

    others = np.mean([np.array(pair.opened(rows, renamed()), float) / unit - exact for _ in range(24)], axis=0)
    assert others.std() < deviation / 2.5


def test_two_openings_of_a_row_never_differ_by_their_bare_errors(pair) -> None:
    rows = pair.rows(64)
    differences = [abs(a - b) for a, b in zip(pair.opened(rows), pair.opened(rows), strict=True)]
    assert min(differences) > 1 << ERROR_BITS and max(differences) < 2 << FRESH_BITS


def test_the_error_under_the_floods_is_as_small_as_the_derivation_says(pair, monkeypatch) -> None:
    monkeypatch.setattr(shared, "cover", lambda drawn: RING.zeros(len(drawn.tags)))
    unit = 1 << 60  # an exact score has 60 zeros at its end
    errors = [abs((value + unit // 2) % unit - unit // 2) for value in pair.opened(pair.rows(64, 5))]
    assert 0 < max(errors) < 1 << ERROR_BITS


def test_every_other_version_has_another_flood(pair) -> None:
    """Another row of the bank, of the platform, or another person."""
    rows, again, moved, renamed = pair.rows(40), pair.rows(40), pair.rows(40), pair.rows(40)
    again.bank["batch"] = again.bank["batch"] + np.eye(1, again.bank["batch"].shape[1], 1) / 4096
    moved.platform["batch"] = moved.platform["batch"] + 1 / 4096
    renamed.people = [f"other {name}" for name in renamed.people]
    unit = 2.0**SCORE_SCALE_BITS
    flood = [np.array(pair.opened(one), float) / unit - pair.exact(one) for one in (rows, again, moved, renamed)]
    for other in flood[1:]:
        assert abs(np.corrcoef(flood[0], other)[0, 1]) < 0.6
    assert np.corrcoef(flood[0], np.array(pair.opened(rows), float) / unit - pair.exact(rows))[0, 1] > 0.9


# -- the same request, other requests


def test_the_same_part_about_the_same_data_gets_the_same_bytes(pair) -> None:
    rows = pair.rows(2)
    asked = pair.ask(rows)
    first = pair.answer(asked, rows)
    assert pair.answer(asked, rows) == first
    changed = pair.rows(2)
    changed.platform["batch"] = changed.platform["batch"] + 1 / 64
    second = pair.answer(asked, changed)
    third = pair.answer(asked, rows, [0])
    for other in (second, third):  # another mask and another zero
        words = min(len(first), len(other))
        assert (np.frombuffer(first[48:words // 8 * 8], "u1") == np.frombuffer(other[48:words // 8 * 8], "u1")
                ).mean() < 0.25
    assert pair.ask(rows).part != asked.part


def test_answers_are_remembered_up_to_a_bound(trained) -> None:
    fresh = Pair(trained)
    for seed in range(shared.REMEMBERED + 3):
        rows = fresh.rows(1, seed)
        fresh.answer(fresh.ask(rows), rows)
    assert len(fresh.platform._sent) == shared.REMEMBERED


def test_a_name_stands_for_the_banks_row_and_says_nothing_of_it(pair) -> None:
    rows = pair.rows(2)
    rows.bank["batch"][1] = rows.bank["batch"][0]
    names = pair.platform.read(pair.ask(rows).part, 2).names
    assert names[0] == names[1] == pair.platform.read(pair.ask(rows).part, 2).names[0]
    assert pair.platform.read(pair.ask(pair.rows(2, 9)).part, 2).names[0] != names[0]
    row = shared.fixed_columns(rows.bank["batch"])[0].astype("<i8").tobytes()
    assert hashlib.blake2b(row, digest_size=16, person=b"sealscore-online").digest() != names[0]


# -- swapped, tampered and malformed


def test_a_part_for_other_weights_is_refused(pair) -> None:
    """There is no message for another upload; a part made for one carries another digest than the model card pins."""
    asked = pair.ask(pair.rows(2))
    with pytest.raises(TrustError, match="not those that the training pinned"):
        pair.platform.read(bytes(32) + asked.part[32:], 2)


def test_an_answer_to_another_part_is_refused(pair) -> None:
    rows = pair.rows(2)
    first, second = pair.ask(rows), pair.ask(rows)
    with pytest.raises(ReplayRefused):
        pair.bank.scores(first, [0, 1], pair.answer(second, rows))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_cut_and_grown_parts_and_answers_are_refused(pair, data) -> None:
    rows = pair.rows(3)
    asked = pair.ask(rows)
    answer = pair.answer(asked, rows)
    cut = data.draw(st.integers(0, len(answer) - 1))
    for part in (asked.part[:cut], asked.part + b"\0"):
        with pytest.raises((MalformedMessage, TrustError)):
            pair.platform.read(part, 3)
    for other in (answer[:cut], answer + b"\0"):
        with pytest.raises(MalformedMessage):
            pair.bank.scores(asked, [0, 1, 2], other)
    with pytest.raises(MalformedMessage):
        pair.bank.scores(asked, [0, 1], answer)


def test_a_share_that_is_changed_beyond_any_score_is_refused(pair) -> None:
    """Integrity is the sealed call's; beyond it, what decodes to no possible score is refused."""
    rows = pair.rows(1)
    asked = pair.ask(rows)
    answer = pair.answer(asked, rows)
    share = RING.from_bytes(answer[-16:], 1)
    for shift in (1 << 115, -(1 << 116)):
        bad = answer[:-16] + RING.to_bytes(RING.add(share, RING.encode_ints([shift])))
        with pytest.raises(ProtocolError, match="between -1024 and 1024"):
            pair.bank.scores(asked, [0], bad)
    with pytest.raises(MalformedMessage):
        pair.bank.scores(asked, [0], answer[:-16] + b"\xff" * 16)


def test_rows_that_do_not_fit_the_model_are_refused(pair) -> None:
    rows = pair.rows(2)
    for bad in (rows.bank["batch"][:, 1:], rows.bank["batch"][:0], np.zeros((65, rows.bank["batch"].shape[1]))):
        with pytest.raises(DataError, match="encoded columns for this model"):
            pair.bank.ask(bad)
    with pytest.raises(UsageError, match="1 to 64 people"):
        pair.platform.read(pair.ask(rows).part, 65)
    with pytest.raises(MalformedMessage):
        pair.platform.read(pair.ask(rows).part, 3)


def test_halves_are_neither_printed_nor_pickled(pair) -> None:
    for half in (pair.bank, pair.platform):
        assert "REDACTED" in repr(half)
        with pytest.raises(TypeError):
            pickle.dumps(half)
    assert len(repr(pair.ask(pair.rows(1)))) < 100
