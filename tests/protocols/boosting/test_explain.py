"""TreeSHAP against Shapley values by definition."""
from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from protocols.boosting.candidates import Candidate
from protocols.boosting.explain import Explainer
from protocols.boosting.model import LEAF, Forest
from protocols.boosting.settings import BoostingSettings
from tests.protocols.boosting.made import population, trained, trainings


def names_of(trees):
    """Own columns one by one, the other party as one."""
    return [f"column:{one.column}" if one.party == "bank" else "party:telco" for one in trees.splits]


def expectation(tree, names, sides, known, node=0):
    """Lundberg et al. 2018, Algorithm 1: what is not known goes both ways by covers."""
    split = tree.split[node]
    if split == LEAF:
        return tree.value[node]
    left, right = tree.left[node], tree.right[node]
    if names[split] in known:
        return expectation(tree, names, sides, known, left if sides[split] else right)
    return sum(tree.cover[child] / tree.cover[node] * expectation(tree, names, sides, known, child)
               for child in (left, right))


def by_definition(trees, names, sides):
    """Expected margin, and each player's Shapley value over all sets of the others."""
    players = sorted(set(names))

    def worth(known):
        return sum(expectation(tree, names, sides, known) for tree in trees.trees)
    shares = {}
    for player in players:
        others = [one for one in players if one != player]
        shares[player] = sum(
            factorial(size) * factorial(len(others) - size) / factorial(len(players))
            * (worth({*known, player}) - worth(set(known)))
            for size in range(len(others) + 1) for known in combinations(others, size))
    return trees.base + worth(set()), shares


@hypothesis_settings(max_examples=30, deadline=None)
@given(trainings(), st.integers(0, 109))
def test_shares_are_shapley_values_and_add_up_to_the_margin(training, row):
    settings, columns, codes, labels = training
    grower, oracle = trained(settings, columns, codes, labels)
    trees = grower.model()
    names, sides = names_of(trees), oracle.sides(trees.splits)[:, row]
    found = Explainer(trees, names).explain(sides)
    expected, shares = by_definition(trees, names, sides)
    assert found.expected == pytest.approx(expected, abs=1e-12)
    assert found.shares == pytest.approx(shares, abs=1e-12)
    assert found.expected + sum(found.shares.values()) == pytest.approx(grower.margins()[row], abs=1e-12)


def test_deep_trees_with_many_players_ask_about_a_column_twice_and_still_add_up():
    columns = tuple(Candidate("bank" if at < 5 else "telco", at, 6, 0, at % 2 == 0) for at in range(8))
    codes, labels = population(12_000, columns, 4)
    settings = BoostingSettings(bins=6, depth=7, trees=5, learning_rate=0.5)
    grower, oracle = trained(settings, columns, codes, labels)
    trees = grower.model()
    names, sides = names_of(trees), oracle.sides(trees.splits)
    explainer = Explainer(trees, names)
    assert max(tree.depth for tree in trees.trees) >= 5
    for row in range(0, 200, 20):
        expected, shares = by_definition(trees, names, sides[:, row])
        found = explainer.explain(sides[:, row])
        assert found.shares == pytest.approx(shares, abs=1e-10)
        assert expected + sum(found.shares.values()) == pytest.approx(grower.margins()[row], abs=1e-10)


def test_a_model_without_splits_explains_nothing():
    found = Explainer(Forest(base=0.25, trees=()), []).explain(np.zeros(0, bool))
    assert (found.expected, found.shares) == (0.25, {})


def test_sides_and_players_of_another_model_are_refused():
    explainer = Explainer(Forest(base=0.0, trees=()), [])
    with pytest.raises(ValueError, match="sides of 0 splits"):
        explainer.explain(np.zeros(2, bool))
    with pytest.raises(ValueError, match="players of 0 splits"):
        Explainer(Forest(base=0.0, trees=()), ["column:a"])
