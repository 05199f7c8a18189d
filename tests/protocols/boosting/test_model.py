"""A model's JSON, its halves and importances."""
from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from protocols.boosting.candidates import Candidate
from protocols.boosting.halves import FeatureHalf, LabelHalf
from protocols.boosting.model import Trees, importances
from protocols.boosting.settings import BoostingSettings
from protocols.errors import MalformedMessage
from tests.protocols.boosting.made import population, trained, trainings


def edges_of(columns, party):
    """Upper edges that put code c between c - 0.5 and c + 0.5."""
    return {one.column: (f"{party}-{one.column}", [at + 0.5 for at in range(one.bins - one.has_missing - 1)])
            for one in columns if one.party == party}


def values_of(columns, codes, party):
    """By name a party's values: the codes themselves, NaN where missing."""
    return {f"{party}-{one.column}": np.where(one.has_missing & (codes[:, at] == one.bins - 1), np.nan, codes[:, at])
            for at, one in enumerate(columns) if one.party == party}


@hypothesis_settings(max_examples=25, deadline=None)
@given(trainings())
def test_halves_together_give_the_margins_of_the_whole(training):
    settings, columns, codes, labels = training
    grower, oracle = trained(settings, columns, codes, labels)
    trees = grower.model()
    bank = LabelHalf.from_json(LabelHalf.of(trees, "bank", edges_of(columns, "bank")).to_json())
    telco = FeatureHalf.from_json(FeatureHalf.of(trees, "telco", edges_of(columns, "telco")).to_json())
    assert Trees.from_json(trees.to_json()) == trees
    assert len(telco.cuts) == bank.numbers.get("telco", 0)
    others = {"telco": telco.sides(values_of(columns, codes, "telco"))}
    own = {**values_of(columns, codes, "bank"), "unused": np.zeros(len(codes))}
    assert (bank.sides(own, others) == oracle.sides(trees.splits)).all()
    assert (bank.margins(bank.sides(own, others)) == grower.margins()).all()


@pytest.fixture(scope="module")
def model():
    columns = (Candidate("bank", 0, 4), Candidate("telco", 0, 4, 0, True), Candidate("telco", 1, 3))
    codes, labels = population(900, columns, 8)
    trees = trained(BoostingSettings(bins=4, depth=3, trees=4), columns, codes, labels)[0].model()
    return trees, LabelHalf.of(trees, "bank", edges_of(columns, "bank"))


def test_the_banks_half_tells_nothing_of_the_others_splits(model):
    trees, half = model
    elsewhere = [one for one in json.loads(half.to_json())["splits"] if "party" in one]
    assert elsewhere == [{"party": "telco", "number": at} for at in range(half.numbers["telco"])] != []
    assert b"leaf" not in half.to_json() and "telco-" not in half.to_json().decode()


def test_importances_name_own_columns_and_add_up_the_other_party(model):
    trees, half = model
    found = {one.name: one for one in importances(half, half.names)}
    assert set(found) == {"column:bank-0", "party:telco"}
    by_hand = [sum(gain for gain, split in zip(trees.gains, trees.splits, strict=True) if split.party == party)
               for party in ("bank", "telco")]
    assert [found["column:bank-0"].gain, found["party:telco"].gain] == pytest.approx(by_hand)
    assert sum(one.splits for one in found.values()) == trees.count
    gains = [one.gain for one in importances(half, half.names)]
    assert gains == sorted(gains, reverse=True)


def test_a_platforms_half_drops_what_early_stopping_dropped(model):
    trees, half = model
    columns = (Candidate("telco", 0, 4, 0, True), Candidate("telco", 1, 3))
    whole = FeatureHalf.of(trees, "telco", edges_of(columns, "telco"))
    kept = FeatureHalf.of(trees.first(1), "telco", edges_of(columns, "telco"))
    assert 0 < len(kept.cuts) < len(whole.cuts) and whole.first(len(kept.cuts)) == kept
    with pytest.raises(ValueError, match="at most"):
        kept.first(len(kept.cuts) + 1)


def put(*path_and_value):
    *path, last, value = path_and_value

    def change(document):
        for step in path:
            document = document[step]
        document[last] = value
    return change


def cut_short(document):
    document["splits"].pop()


def drop_base(document):
    del document["base"]


@pytest.mark.parametrize("change", [
    put("base", float("nan")), put("base", "0"), put("base", True), put("extra", 1), drop_base, cut_short,
    put("trees", 0, "value", [0.0]), put("trees", 0, "split", 0, 1), put("trees", 0, "left", 0, 0),
    put("trees", 0, "left", 0, 2), put("trees", 0, "left", 0, 1.5), put("trees", 0, "cover", 0, 0.0),
    put("trees", 0, "cover", 0, float("inf")), put("trees", 0, "split", 0, -1), put("trees", 1, "split", 0, 0),
    put("trees", 0, "split", []), put("splits", 0, {"party": "telco"}), put("splits", 0, "missing_left", 1),
    put("splits", 0, "bin", -1), put("trees", [{}])])
def test_a_model_that_does_not_hold_together_is_malformed(model, change):
    document = json.loads(model[0].to_json())
    change(document)
    with pytest.raises(MalformedMessage):
        Trees.from_json(json.dumps(document).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"1", b'{"base": 0.0}'])
def test_bytes_that_are_no_model_are_malformed(data):
    for kind in (Trees, LabelHalf, FeatureHalf):
        with pytest.raises(MalformedMessage):
            kind.from_json(data)


def test_halves_whose_numbers_are_out_of_order_are_malformed(model):
    document = json.loads(model[1].to_json())
    elsewhere = [one for one in document["splits"] if "party" in one]
    elsewhere[0]["number"], elsewhere[1]["number"] = 1, 0
    with pytest.raises(MalformedMessage, match="not numbered in order"):
        LabelHalf.from_json(json.dumps(document).encode())


def test_sides_of_another_shape_are_refused(model):
    trees, half = model
    with pytest.raises(ValueError, match="expected the sides"):
        trees.margins(np.zeros((trees.count + 1, 3), bool))
    with pytest.raises(ValueError, match="splits of telco"):
        half.sides({"bank-0": np.zeros(3)}, {"telco": np.zeros((1, 3), bool)})
    with pytest.raises(ValueError, match="splits of telco"):
        half.sides({"bank-0": np.zeros(3)}, {})
