"""Throttle, cursors, ids and metrics, each by itself."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parties.bank.service.metrics import BOUNDS_S, Metrics
from parties.bank.service.names import ApplicationIds
from parties.bank.service.pages import Cursors
from parties.bank.service.refusals import TooMany, Unprocessable
from parties.bank.service.settings import DecisionsConfig
from parties.bank.service.throttle import MOST_KEYS, Rate, Throttle

TEXTS = st.text(min_size=1, max_size=30)


@given(st.lists(st.floats(0, 2), max_size=200), st.floats(0.5, 50), st.integers(1, 20))
def test_never_more_than_the_burst_and_the_rate(waits, per_second, burst):
    throttle, now, taken = Throttle({"all": Rate(per_second, burst)}), 100.0, 0
    for wait in waits:
        now += wait
        try:
            throttle.take([("all", "")], now)
            taken += 1
        except TooMany as refused:
            assert refused.retry_after_s >= 1
    assert taken <= burst + (now - 100) * per_second + 1e-6


def test_a_surge_of_one_province_leaves_the_others_alone():
    throttle = Throttle({"all": Rate(100, 100), "province": Rate(1, 2)})
    for _ in range(2):
        throttle.take([("all", ""), ("province", "44")], 0)
    for _ in range(50):
        with pytest.raises(TooMany, match="province"):
            throttle.take([("all", ""), ("province", "44")], 0)
    throttle.take([("all", ""), ("province", "11")], 0)  # what was refused took nothing from the whole


def test_a_throttle_forgets_who_came_longest_ago():
    throttle = Throttle({"caller": Rate(1, 1)})
    for number in range(MOST_KEYS + 10):
        throttle.take([("caller", str(number))], 0)
    assert len(throttle._buckets) == MOST_KEYS


@given(TEXTS, st.lists(st.one_of(TEXTS, st.integers(0, 2**60)), min_size=1, max_size=3))
def test_a_cursor_comes_back_as_it_was(listing, place):
    cursors = Cursors(b"k" * 32)
    cursor = cursors.make(listing, place)
    assert cursors.read(listing, cursor) == place
    for wrong in (cursor[:-2], cursor + "AAAA", "A" * len(cursor), cursor.swapcase()):
        if wrong != cursor:
            with pytest.raises(Unprocessable, match="begin without"):
                cursors.read(listing, wrong)
    with pytest.raises(Unprocessable, match="begin without"):
        cursors.read(listing + "x", cursor)
    with pytest.raises(Unprocessable):
        Cursors(b"j" * 32).read(listing, cursor)


@given(st.text(max_size=80))
def test_whatever_comes_as_a_cursor_is_refused(text):
    with pytest.raises(Unprocessable):
        Cursors(b"k" * 32).read("all", text)


@given(TEXTS, TEXTS, TEXTS)
def test_an_id_belongs_to_its_channel(channel, key, other):
    ids = ApplicationIds(b"k" * 32)
    name = ids.make(channel, key)
    assert name == ids.make(channel, key) and ids.is_of(channel, name) and len(name) == 34
    assert other == channel or not ids.is_of(other, name)
    assert not ApplicationIds(b"j" * 32).is_of(channel, name)


def test_metrics_are_cumulative_and_hold_closed_sets_only():
    metrics = Metrics()
    metrics.count("decisions", outcome="approved")
    for seconds in (0.001, 0.06, 60.0):
        metrics.decision_s.observe(seconds)
    text = metrics.text()
    assert 'sealscore_bank_decisions_total{outcome="approved"} 1' in text
    assert 'decision_seconds_bucket{le="0.1"} 2' in text and 'decision_seconds_bucket{le="+Inf"} 3' in text
    assert "decision_seconds_count 3" in text and len(BOUNDS_S) + 4 == text.count("decision_seconds")


@pytest.mark.parametrize(("changes", "word"), [
    ({"listen": "0.0.0.0:8443"}, "decisions.tls"), ({"grpc": "10.0.0.1:8444"}, "decisions.tls"),
    ({"clients": {"app": {"role": "channel", "certificate": "ab" * 32}}}, "clients"),
    ({"clients": {"app": {"role": "root", "certificate": "ab" * 32}}}, "role"),
    ({"score_deadline_ms": 1}, "score_deadline_ms"), ({"rulebok": "x"}, "rulebok"), ({"model": "m-1"}, "model"),
])
def test_a_section_that_does_not_hold_is_refused(changes, word):
    with pytest.raises(ValueError, match=word):
        DecisionsConfig.model_validate({"listen": "127.0.0.1:1"} | changes)
