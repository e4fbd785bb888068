"""How a browser gets in: a key is exchanged for a cookie that no script can read and no other page can send.

Knows nothing of what is behind the door.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from memagent.server.callers import COOKIE, address_of, identified, open_to_all
from memagent.server.desk.at import Form
from memagent.server.house import House
from memagent.server.problems import Refused

router = APIRouter(prefix="/api", tags=["page"])
WEEKS = 4


class Login(Form):
    """A key."""

    key: str


@router.get("/me", dependencies=[Depends(open_to_all)])
async def me(request: Request) -> dict[str, Any]:
    """Who is known to ask, and what they may do; or that a key is needed."""
    try:
        caller = await asyncio.to_thread(identified, request.app.state.house, request)
    except Refused as refused:
        if refused.status != 401:
            raise
        return {"user": None, "scopes": []}
    scopes = [scope for scope in ("read", "chat", "admin") if caller.may(scope)]
    return {"user": caller.owner, "scopes": scopes, "key": caller.key.name if caller.key else None}


@router.post("/login", dependencies=[Depends(open_to_all)])
async def login(request: Request, response: Response, body: Login) -> dict[str, str]:
    """Let a browser in, for some weeks or until its key is revoked."""
    house: House = request.app.state.house
    address = address_of(request)
    house.guesses.check(address)
    key = await asyncio.to_thread(house.keys.find, body.key.strip())
    if key is None:
        house.guesses.wrong(address)
        raise Refused(401, "This key opens nothing.")
    secure = request.url.scheme == "https"
    response.set_cookie(
        COOKIE, body.key.strip(), max_age=WEEKS * 7 * 86_400, httponly=True, samesite="strict", secure=secure
    )
    return {"user": key.owner}


@router.post("/logout", dependencies=[Depends(open_to_all)])
async def logout(response: Response) -> dict[str, str]:
    """Forget the key in this browser."""
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return {"user": ""}
