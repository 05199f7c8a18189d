"""A data scientist's day at the coordinator: run, runs, plan, score."""
from __future__ import annotations

from coordinator.demo.federation import Federation
from tests.end_to_end import support


def test_a_finished_run_names_its_model(federation: Federation, trained: dict) -> None:
    assert trained["model_id"] == "m-" + trained["run"].removeprefix("r-")
    assert trained["run"] in support.run_ids(federation)
