"""The route of experiments: over the case of experiment_cases.py."""
from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from fastapi import FastAPI, Path, Query, Response

from parties.bank.experiments.kept import KeptReport
from parties.bank.service.experiment_cases import ExperimentCases
from parties.bank.service.http_common import By, Why, told

NamePath = Annotated[str, Path(pattern="^[a-z][a-z0-9-]{0,31}$", description="as the rulebook names it")]


def add_experiments(app: FastAPI, experiments: ExperimentCases) -> None:
    """Give the app the route of experiments."""
    @app.get("/v1/experiments/{name}", response_model=KeptReport, tags=["experiments"])
    async def experiment(by: By, name: NamePath, why: Why,
                         confidence: Annotated[Literal["0.9", "0.95", "0.99"], Query()] = "0.95") -> Response:
        """The challengers of an experiment compared with its champion, from the decisions and loans that are kept."""
        return told(await experiments.report(by, name, why, Decimal(confidence)))
