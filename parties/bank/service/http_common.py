"""What all routes share: who calls, parameters of paths, and how an answer is written."""
from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Query, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from parties.bank.service.callers import Caller
from parties.bank.service.credentials import Credentials
from parties.bank.service.refusals import Unprocessable

_bearer = HTTPBearer(auto_error=False, description="a token of `sealscore bank decisions token`, or instead of it a "
                     "client certificate that the bank has registered")


async def _caller(request: Request,
                  shown: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Caller:
    """Who calls; nothing of a call is looked at before."""
    credentials: Credentials = request.app.state.credentials
    caller = credentials.caller(request.headers.get("authorization"), request.scope.get("state", {}).get("certificate"))
    _known_query(request)
    return caller


def _known_query(request: Request) -> None:
    """A filter that was misspelt or given twice must not be passed over in silence."""
    asked = [name for name, _ in request.query_params.multi_items()]
    if asked:
        known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
        if not set(asked) <= known or len(set(asked)) < len(asked):
            words = f"only {', '.join(sorted(known))}" if known else "none"
            raise Unprocessable(f"expected query parameters: {words}, each once; got others")


By = Annotated[Caller, Depends(_caller)]
ApplicationPath = Annotated[str, Path(pattern="^[A-Za-z0-9._-]{1,64}$", description="the id that a submission got")]
PersonPath = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="the keyed hash that answers call `person`")]
Why = Annotated[str, Query(alias="purpose", pattern=r"^[^\x00-\x1f\x7f]{3,200}$", description="kept in the access log")]
ReferencePath = Annotated[str, Path(pattern="^[A-Za-z0-9._-]{1,64}$")]


def told(model: BaseModel, status: int = 200) -> Response:
    """A model as JSON; already validated, so FastAPI need not do it again."""
    return Response(model.model_dump_json(), status, media_type="application/json")
