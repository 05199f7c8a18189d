"""The grower against an independent builder, its state, and what it never asks for."""
from __future__ import annotations

import itertools
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from protocols.boosting.candidates import Candidate, Candidates
from protocols.boosting.gradients import draw
from protocols.boosting.grower import Grower, Sides, Sums
from protocols.boosting.model import LEAF, Trees
from protocols.boosting.settings import BoostingSettings, Goss, widths
from protocols.boosting.splits import Bounds, best_split
from protocols.errors import ConfigError, DataError, ProtocolError
from protocols.state import pack
from tests.protocols.boosting.made import SEED, columns_of, population, trained, trainings
from tests.protocols.boosting.naive import Naive
from tests.protocols.boosting.oracle import Oracle


def nested(trees, columns):
    """Trees as the naive builder writes them."""
    place = {(one.party, one.column): at for at, one in enumerate(columns)}

    def node(tree, at):
        if tree.split[at] == LEAF:
            return {"leaf": tree.value[at], "cover": tree.cover[at]}
        split = trees.splits[tree.split[at]]
        return {"split": (place[split.party, split.column], split.bin, split.missing_left), "gain": tree.gain[at],
                "cover": tree.cover[at], "left": node(tree, tree.left[at]), "right": node(tree, tree.right[at])}
    return [node(tree, 0) for tree in trees.trees]


def naive_columns(columns):
    return [(one.bins, one.monotone, one.has_missing) for one in columns]


@hypothesis_settings(max_examples=40, deadline=None)
@given(trainings())
def test_trees_are_those_of_an_independent_builder(training):
    settings, columns, codes, labels = training
    grower, oracle = trained(settings, columns, codes, labels)
    trees, margins = Naive(settings, codes, labels, naive_columns(columns), SEED).train()
    assert nested(grower.model(), columns) == trees
    assert (grower.margins() == margins).all()
    sides = oracle.sides(grower.model().splits)
    assert (grower.model().margins(sides) == margins).all()


def test_deeper_trees_of_drawn_columns_are_those_of_an_independent_builder():
    settings = BoostingSettings(trees=3, depth=4, bins=3, column_share=0.5, learning_rate=0.3)
    columns = columns_of(3, 6, np.random.default_rng(5), monotone=False)
    codes, labels = population(1200, columns, 5)
    grower, _ = trained(settings, columns, codes, labels)
    drawn = [draw(np.arange(6), 3, SEED + tree.to_bytes(4, "little"), "columns").tolist() for tree in range(3)]
    naive, _ = Naive(settings, codes, labels, naive_columns(columns), SEED, drawn.__getitem__).train()
    assert nested(grower.model(), columns) == naive
    assert max(tree.depth for tree in grower.model().trees) > 2
    assert len({tuple(one) for one in drawn}) > 1


@hypothesis_settings(max_examples=15, deadline=None)
@given(trainings(), st.booleans())
def test_a_training_resumed_between_any_two_calls_makes_the_same_trees(training, stopping):
    settings, columns, codes, labels = training
    validation = None
    if stopping:
        settings = settings.model_copy(update={"trees": 3, "early_stopping_rounds": 1, "bins": 2})
        columns = tuple(Candidate(one.party, one.column, 2) for one in columns)
        codes, validation = codes % 2, np.arange(len(labels)) % 4 == 3
        labels[:5] = (0, 1, 0, 0, 1)
    whole, oracle = trained(settings, columns, codes, labels, validation)
    make = partial(Grower, settings, labels, columns, SEED, validation)
    grower, finished, answers, routes = make(), [], [], []
    while (wanted := grower.wanted()) is not None:
        if isinstance(wanted, Sums):
            answers.append(oracle.sums(wanted.vectors))
            grower.take_sums(answers[-1])
        else:
            routes.append(grower.take_sides(oracle.sides(wanted.splits)))
            answers.append(routes[-1])
        if grower.trees > len(finished):
            finished.append((Trees.from_json(grower.newest.to_json()), routes))
            answers, routes = [], []
        if grower.wanted() is not None:  # one that finds nothing ends without a tree
            grower = replayed(make(), finished, answers)
    assert grower.model() == whole.model()
    assert (grower.margins() == whole.margins()).all()


def replayed(grower, finished, answers):
    """The same training again, of finished trees and what was answered in the one under way."""
    grower.regrow(finished)
    for answer in answers:
        wanted = grower.wanted()
        if isinstance(wanted, Sums):
            grower.take_sums(answer)
        else:
            grower.take_sides([answer] * len(wanted.splits))
    return grower


def inside(grower):
    """All that an answer may change."""
    tree = grower._tree
    return pack({"model": grower.model().to_json(), "margins": grower.margins(), "member": tree.member,
                 "rest": repr((tree.nodes, tree.level, tree.asked, tree.sums))})


@hypothesis_settings(max_examples=15, deadline=None)
@given(trainings())
def test_sums_are_asked_of_no_small_node_and_leave_no_small_sibling(training):
    check_asked(*training)


@pytest.mark.parametrize("minimum, sampling", [(0, {}), (200, {}), (0, {"row_share": 0.3}),
                                               (0, {"goss": Goss(top=0.1, other=0.1)})])
def test_deep_trees_are_asked_for_their_smaller_nodes_and_for_none_too_small(minimum, sampling):
    settings = BoostingSettings(trees=3, depth=6, bins=4, minimum_node_rows=minimum, learning_rate=0.5, **sampling)
    columns = columns_of(4, 6, np.random.default_rng(6), monotone=False)
    assert check_asked(settings, columns, *population(3000, columns, 6)) > 3


def check_asked(settings, columns, codes, labels):
    """Follows a training by rows alone; how many nodes below the root were asked for."""
    grower, oracle, asked = Grower(settings, labels, columns, SEED), Oracle(codes, columns), 0
    while (wanted := grower.wanted()) is not None:
        if isinstance(wanted, Sums):
            vectors = wanted.vectors
            used = (vectors[:len(wanted.nodes)] != 0) & (vectors[len(wanted.nodes):] != 0)
            if wanted.nodes == (0,):
                counted, member = used[0], np.zeros(len(labels), int)
            for node, rows in zip(wanted.nodes, used, strict=True):
                assert rows.sum() >= settings.node_rows
                assert not (rows & (member != node)).any()
                sibling = counted & (member == (node + 1 if node % 2 else node - 1))
                assert node == 0 or sibling.sum() >= rows.sum()
                asked += node > 0
            grower.take_sums(oracle.sums(vectors))
        else:
            sides = oracle.sides(wanted.splits)
            nodes, first = grower._tree.split_nodes(), len(grower._tree.nodes)
            for offset, (node, side) in enumerate(zip(nodes, sides, strict=True)):
                member[member == node] = np.where(side, first + 2 * offset, first + 2 * offset + 1)[member == node]
            grower.take_sides(sides)
    return asked


@pytest.fixture
def small():
    columns = (Candidate("telco", 0, 4, 0, True), Candidate("bank", 0, 3), Candidate("bank", 1, 4))
    return columns, *population(600, columns, 3)


def test_equal_columns_and_bins_go_to_the_lower_one(small):
    columns, codes, labels = small
    settings = BoostingSettings(bins=4, depth=1, trees=1)
    codes[:, 2] = codes[:, 1]
    (split,) = trained(settings, columns[1:], codes[:, 1:], labels)[0].model().splits
    assert (split.party, split.column) == ("bank", 0)
    with_a_gap = 2 * labels[:, None]  # thresholds 0 and 1 part the rows alike
    (split,) = trained(settings, (Candidate("bank", 0, 3),), with_a_gap, labels)[0].model().splits
    assert split.bin == 0


def test_missing_values_learn_their_direction_and_go_left_where_none_is(small):
    _, codes, _ = small
    column = (Candidate("telco", 0, 3, 0, True),)
    settings = BoostingSettings(bins=3, depth=1, trees=1)
    for like in (0, 1):
        labels = np.where(codes[:, 0] >= 2, like, codes[:, 0] % 2)
        clipped = np.minimum(codes[:, :1], 2)
        (split,) = trained(settings, column, clipped, labels)[0].model().splits
        assert (split.bin, split.missing_left) == (0, like == 0)
    none = codes[:, :1] % 2
    (split,) = trained(settings, column, none, none[:, 0].copy())[0].model().splits
    assert split.missing_left


def test_missing_values_can_be_parted_from_all_others(small):
    _, codes, _ = small
    labels = (codes[:, 0] == 3).astype(np.int8)
    settings = BoostingSettings(bins=4, depth=1, trees=1)
    (split,) = trained(settings, (Candidate("telco", 0, 4, 0, True),), codes[:, :1], labels)[0].model().splits
    assert (split.bin, split.missing_left) == (2, False)


@pytest.mark.parametrize("sign", [-1, 1])
def test_margins_are_monotone_where_they_must_be(sign):
    columns = (Candidate("telco", 0, 6, sign), Candidate("bank", 0, 6))
    codes, labels = population(4000, columns, 11)
    settings = BoostingSettings(bins=6, depth=5, trees=12, learning_rate=0.5)
    trees = trained(settings, columns, codes, labels)[0].model()
    grid = np.array(list(itertools.product(range(6), range(6))))
    margins = trees.margins(Oracle(grid, columns).sides(trees.splits)).reshape(6, 6)
    free = trained(settings, tuple(Candidate(c.party, c.column, 6) for c in columns), codes, labels)[0].model()
    unbound = free.margins(Oracle(grid, columns).sides(free.splits)).reshape(6, 6)
    assert (sign * np.diff(margins, axis=0) >= -1e-12).all()
    assert (sign * np.diff(unbound, axis=0) < 0).any()


def test_validation_rows_enter_no_sum_and_the_best_number_of_trees_is_kept():
    columns = columns_of(4, 4, np.random.default_rng(2), monotone=False)
    codes, labels = population(1500, columns, 2)
    validation = np.arange(1500) % 3 == 0
    settings = BoostingSettings(bins=4, depth=3, trees=80, learning_rate=0.3, class_weight=4.0, early_stopping_rounds=3)
    grower, oracle = Grower(settings, labels, columns, SEED, validation), Oracle(codes, columns)
    while (wanted := grower.wanted()) is not None:
        if isinstance(wanted, Sums):
            assert not wanted.vectors[:, validation].any()
        oracle.answer(grower)
    best, losses = grower.model(), []
    for count in range(1, grower.trees + 1):
        first = grower._model.first(count)
        m = first.margins(oracle.sides(first.splits))[validation]
        weights = np.where(labels[validation] == 1, 4.0, 1.0)
        losses.append(np.average(np.logaddexp(0, m) - labels[validation] * m, weights=weights))
    assert len(best.trees) == int(np.argmin(losses)) + 1 == grower.trees - 3 < 77


def test_training_ends_when_no_row_has_a_gradient_left_or_nothing_gains():
    columns = (Candidate("bank", 0, 2),)
    codes = (np.arange(200) % 2)[:, None]
    settings = BoostingSettings(bins=2, depth=1, trees=500, learning_rate=1.0, l2=0.0, minimum_child_weight=0)
    grower, _ = trained(settings, columns, codes, codes[:, 0])
    assert 1 < grower.trees < 20 and grower.wanted() is None
    even = (np.arange(200) % 4 < 2).astype(np.int8)
    assert trained(settings, columns, codes, even)[0].trees == 0


def test_a_side_may_weigh_exactly_the_minimum():
    sums = np.array([[-2000, 2000], [2048, 4096]])
    candidates, everything = Candidates((Candidate("bank", 0, 2),)), np.ones(1, bool)
    for minimum, there in ((8.0, True), (8.001, False)):
        settings = BoostingSettings(bins=2, minimum_child_weight=minimum)
        assert (best_split(sums, candidates, everything, Bounds(), settings) is not None) == there


def test_goss_takes_the_largest_gradients_and_amplifies_the_rest():
    columns = (Candidate("bank", 0, 2),)
    codes, labels = population(1000, columns, 1)
    goss = Goss(top=0.2, other=0.1)
    rare = labels != np.median(labels)
    drawn = Grower(BoostingSettings(bins=2, goss=goss), labels, columns, SEED).wanted().vector(0)
    plain = Grower(BoostingSettings(bins=2), labels, columns, SEED).wanted().vector(0)
    times = np.round(drawn / plain)
    assert rare.sum() >= 200 and rare[times == 1].all()
    assert [(times == one).sum() for one in (0, 1, 8)] == [700, 200, 100]


def test_sums_and_sides_that_cannot_be_are_refused_and_change_nothing(small):
    columns, codes, labels = small
    oracle = Oracle(codes, columns)
    grower = Grower(BoostingSettings(bins=4, depth=2, trees=1), labels, columns, SEED)
    sums = oracle.sums(grower.wanted().vectors)
    before = inside(grower)
    wrong = sums.copy()
    wrong[1, 5] += 1
    for bad in (wrong, sums[:1], sums[:, 1:], sums.astype(float)):
        with pytest.raises(ProtocolError):
            grower.take_sums(bad)
    with pytest.raises(ProtocolError, match="no sides now"):
        grower.take_sides(np.zeros((1, 600), bool))
    assert inside(grower) == before
    grower.take_sums(sums)
    before, sides = inside(grower), oracle.sides(grower.wanted().splits)
    for bad in (~sides, sides[:, 1:], sides.astype(int), np.ones_like(sides), sides[1:], [*sides, sides[0]]):
        with pytest.raises(ProtocolError):
            grower.take_sides(bad)
    with pytest.raises(ProtocolError, match="no sums now"):
        grower.take_sums(sums)
    assert inside(grower) == before and isinstance(grower.wanted(), Sides)


def test_rows_that_cannot_carry_a_tree_are_refused(small):
    columns, codes, labels = small
    with pytest.raises(DataError, match="at least 640 training rows"):
        Grower(BoostingSettings(), labels, columns, SEED)
    with pytest.raises(DataError, match="at least 80"):
        Grower(BoostingSettings(bins=4, row_share=0.1), labels, columns, SEED)
    with pytest.raises(DataError, match="labels 0 and 1"):
        Grower(BoostingSettings(bins=4), np.zeros(600), columns, SEED)
    with pytest.raises(DataError, match="validation rows"):
        Grower(BoostingSettings(bins=4, early_stopping_rounds=2), labels, columns, SEED)
    with pytest.raises(DataError, match="at most 3 bins"):
        Grower(BoostingSettings(bins=3), labels, columns, SEED)
    with pytest.raises(DataError, match="got one twice"):
        Grower(BoostingSettings(bins=4), labels, columns + columns[:1], SEED)
    with pytest.raises(DataError, match="at least one column"):
        Grower(BoostingSettings(bins=4), labels, (), SEED)
    assert "REDACTED" in repr(Grower(BoostingSettings(bins=4), labels, columns, SEED))


@pytest.mark.parametrize("text", ["trees = 501", "depth = 9", "bins = 65", "minimum_node_rows = 639", "deep = 1",
                                  "row_share = 0.5\ngoss = {top = 0.1, other = 0.1}", "goss = {top = 0.9, other = 0.2}",
                                  "class_weight = 0"])
def test_settings_that_cannot_be_are_refused(text):
    with pytest.raises(ConfigError):
        BoostingSettings.from_toml_text(text)


def test_default_settings_open_no_node_below_twenty_rows_a_bin():
    assert BoostingSettings().node_rows == 640
    assert BoostingSettings(bins=16).node_rows == 320
    assert BoostingSettings(minimum_node_rows=5000).node_rows == 5000


@hypothesis_settings(max_examples=30, deadline=None)
@given(st.integers(1, 10**6), st.floats(0.01, 100), st.sampled_from([None, Goss(top=0.1, other=0.05)]),
       st.integers(4, 12), st.integers(4, 12))
def test_widths_bound_the_sums_of_the_worst_rows(rows, weight, goss, gradient_bits, hessian_bits):
    settings = BoostingSettings(class_weight=weight, goss=goss, gradient_bits=gradient_bits, hessian_bits=hessian_bits)
    heaviest = max(weight, 1.0) * (18.0 if goss else 1.0)
    for bits, fraction, most in zip(widths(settings, rows), (gradient_bits, hessian_bits), (1, 0.25), strict=True):
        assert rows * round(heaviest * most * 2**fraction * (1 - 1e-12)) <= 2 ** (bits - 1) - 1
        assert rows * (heaviest * most * 2**fraction + 1) >= 2 ** (bits - 2)
