"""`/v1/models`: the agents of whoever asks, as models.

Knows nothing of what they say.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from memagent.errors import NotFound
from memagent.roster import Entry
from memagent.server.callers import Caller, Needs
from memagent.server.house import House
from memagent.server.problems import Refused

router = APIRouter(tags=["OpenAI"])
Reader = Annotated[Caller, Depends(Needs("read"))]


@router.get("/v1/models")
def models(request: Request, caller: Reader) -> dict[str, Any]:
    """All agents."""
    house: House = request.app.state.house
    return {"object": "list", "data": [_model(entry) for entry in house.residents.roster(caller.owner).all()]}


@router.get("/v1/models/{model:path}")
def model(request: Request, model: str, caller: Reader) -> dict[str, Any]:
    """One agent."""
    house: House = request.app.state.house
    try:
        return _model(house.residents.roster(caller.owner).find(model))
    except NotFound as error:
        raise Refused(404, str(error)) from error


def _model(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.name, "object": "model", "created": int(entry.created.timestamp()), "owned_by": entry.owner,
    }  # fmt: skip
