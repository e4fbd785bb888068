"""Who asks: the key that comes with a request, wherever it stands in it, and whether it opens what is asked for.

Every route names what it needs (`Needs`, or `OPEN`); the suite finds those that do not. While no key was ever
made, whoever reaches the server is its user: it is bound to this machine then. Knows nothing of what the routes do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from starlette.requests import HTTPConnection

from memagent.access import Done, Key, Scope
from memagent.assemble import local_time
from memagent.bridges.socket.wire import KEY
from memagent.server.house import House
from memagent.server.problems import Refused

COOKIE = "memagent_key"


@dataclass(frozen=True)
class Caller:
    """Whose agents are meant, and by which key; by none, if there are no keys. And where they ask from."""

    owner: str
    key: Key | None = None
    address: str = ""

    @property
    def id(self) -> str:
        """The number of the key, for what is stored."""
        return self.key.id if self.key else ""

    def may(self, scope: Scope) -> bool:
        """Whether something that needs this scope is open."""
        return self.key is None or self.key.opens(scope)

    def note(self, house: House, what: str, target: str) -> None:
        """Something was changed: a line in the audit log, whichever door it came through."""
        house.keys.note(Done(local_time(), self.owner, self.id, self.address, what, target, "done"))


Claim = Callable[[], Caller]
"""Tells in a thread who asks, or raises what is to be told instead."""


class Needs:
    """What a route needs. As a dependency, it is the caller."""

    def __init__(self, scope: Scope) -> None:
        self.scope: Scope = scope

    async def __call__(self, request: HTTPConnection) -> Caller:
        return await asyncio.to_thread(self.caller, request)

    def caller(self, request: HTTPConnection) -> Caller:
        """Who asks, if what is asked for is open to them."""
        house: House = request.app.state.house
        caller = identified(house, request)
        if not caller.may(self.scope):
            raise Refused(403, f"This key may not do that: it needs the scope {self.scope!r}.")
        house.limits.hit(caller.key)
        return caller


class Claimed(Needs):
    """The same where all that is done is done in one thread: it is there that who asks is found out, and before all
    else. What is wrong with a request is told to nobody else either (see problems.py).
    """

    async def __call__(self, request: HTTPConnection) -> Claim:  # type: ignore[override]
        claim = request.state.claim = partial(self.caller, request)
        return claim


async def open_to_all() -> None:
    """What a route says that needs no key."""


def secret_of(request: HTTPConnection) -> str:
    """The secret that comes with a request; empty if there is none. One in the address would be logged everywhere."""
    kind, _, secret = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and secret.strip():
        return secret.strip()
    protocols = [each.strip() for each in request.headers.get("sec-websocket-protocol", "").split(",")]
    from_socket = next((each.removeprefix(KEY) for each in protocols if each.startswith(KEY)), "")
    return request.headers.get("x-api-key", "") or request.cookies.get(COOKIE, "") or from_socket


def address_of(connection: HTTPConnection) -> str:
    """Where somebody asks from; empty if that can't be told."""
    return connection.client.host if connection.client else ""


def identified(house: House, request: HTTPConnection) -> Caller:
    """Who asks. Raises `Refused` if that can't be told. Called in a thread."""
    secret, address = secret_of(request), address_of(request)
    if any(name in request.query_params for name in ("key", "api_key", "token", "access_token")):
        raise Refused(401, "A key does not belong into the address, where it is logged. Send it as a Bearer token.")
    house.guesses.check(address)
    key = house.keys.find(secret) if secret else None
    if key is None:
        if not house.keys.needed():  # many programs can't but send some key
            return Caller(house.settings.user, address=address)
        if secret:
            house.guesses.wrong(address)
        told = "This key opens nothing." if secret else "This needs a key."
        raise Refused(401, f"{told} Whoever runs the server makes one with: memagent keys add NAME")
    return Caller(key.owner, key, address)
