"""The bars as tests: `pytest -m bench tests/benchmarks`; alone on a machine of two cores, or they say little."""
from __future__ import annotations

import os

import pytest

from tests.benchmarks import __main__ as bench
from tests.benchmarks import alignment

IDS = int(os.environ.get("SEALSCORE_BENCH_IDS", "100000"))


@pytest.mark.bench
@pytest.mark.timeout(600)
def test_alignment():
    found = alignment.align(IDS)
    assert [party["common"] for party in found["parties"]] == [IDS - IDS // 10] * 2
    assert found["seconds"] <= bench.BARS["alignment_seconds"] * max(1, IDS / 100_000)


@pytest.mark.bench
@pytest.mark.timeout(900)
def test_training():
    found = bench.bench_training()
    assert found["auc_test"] >= bench.BARS["auc_test"]
    assert found["train_megabytes"] <= 128
    peer = found["secretflow_cheetah"]
    if peer is not None:
        assert peer["times_faster"] >= bench.BARS["times_faster"]
        assert peer["share_of_bytes"] <= bench.BARS["share_of_bytes"]
