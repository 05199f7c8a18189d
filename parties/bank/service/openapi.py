"""The OpenAPI document: what FastAPI derives, with our refusals in place of its own."""
from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from parties.bank.service.http_guard import PROBLEM_TYPE
from parties.bank.service.messages import Problem
from parties.bank.service.refusals import Refusal

_OPEN = frozenset({"/healthz"})


def described(app: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if not app.openapi_schema:
        document = get_openapi(title=app.title, version=app.version, routes=app.routes, summary="Applications for "
                               "credit: decided in milliseconds, with reasons, kept for replay")
        schemas = document["components"]["schemas"]
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        schemas["Problem"] = Problem.model_json_schema()
        for path, operations in document["paths"].items():
            for operation in operations.values():
                _refusals(path, operation)
        app.openapi_schema = document
    return app.openapi_schema


def _refusals(path: str, operation: dict[str, Any]) -> None:
    """Which refusals an operation may answer with."""
    operation["responses"].pop("422", None)
    statuses = {kind.status: str(kind.__doc__).split("\n", 1)[0] for kind in Refusal.__subclasses__()}
    for status, words in sorted(statuses.items()):
        if path not in _OPEN:
            operation["responses"][str(status)] = {
                "description": words, "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
