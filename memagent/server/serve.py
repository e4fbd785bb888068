"""Starts the server and lets it end: where it is bound, what it refuses, and what a signal does.

Knows nothing of what is asked of it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
import socket
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from typing import Any

import uvicorn
from fastapi import FastAPI

from memagent.access import Keys
from memagent.assemble import local_time, open_database
from memagent.errors import UserError
from memagent.server.app import LOCAL, STOP_SECONDS, create
from memagent.server.house import House
from memagent.server.patience import Patience
from memagent.settings import Settings

log = logging.getLogger(__name__)

LARGEST_FRAME = 1_000_000
"""Bytes of one message over a WebSocket."""
FAREWELL = 3
"""Seconds that those who are connected may take to leave when all turns are over."""


def serve(
    settings: Settings, host: str, port: int, *, names: Collection[str] = (), flags: Mapping[str, Any] | None = None,
    told: Callable[[str, int, bool], None],
) -> None:  # fmt: skip
    """Serve until a signal ends it. `told` hears the address and the port, and whether there are keys, once it is
    bound.
    """
    here = is_here(host)
    with closing(open_database(settings)) as database:
        keys = Keys(database, local_time).any()
    if not here and not keys:
        raise UserError(
            f"Whoever reaches {host} could talk to your agents: there are no keys.",
            hint="Make one with: memagent keys add NAME; or serve this machine only, which needs none.",
        )
    place = bound(host, port)
    hosts = {*LOCAL, host, *names} if names or here else {"*"}
    app = create(settings, flags=flags, hosts=hosts)
    address = place.getsockname()
    for number in (signal.SIGINT, signal.SIGTERM):  # the server hears them; that it was told so is no failure
        signal.signal(number, lambda _number, _frame: None)
    with closing(place):
        Served(app, lambda: told(address[0], address[1], keys)).run(sockets=[place])


class Served(uvicorn.Server):
    """An application that is served. `ready` is called when it is; told to end, it lets turns come to their end before
    it lets go of those who look on.
    """

    def __init__(
        self, app: FastAPI, ready: Callable[[], None] = lambda: None, stop_seconds: float = STOP_SECONDS
    ) -> None:  # fmt: skip
        # h11, whatever else is installed: the other one reads the head of a request without an end.
        config = uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, ws_max_size=LARGEST_FRAME, lifespan="on",
            timeout_keep_alive=30, h11_max_incomplete_event_size=64_000, ws="websockets-sansio",
            timeout_graceful_shutdown=FAREWELL, http=Patience,
        )  # fmt: skip
        super().__init__(config)
        self._app = app
        self._ready = ready
        self._stop_seconds = stop_seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:  # it would end the process without a word
            raise self._app.state.failed or UserError("The server could not start; its log tells why.") from None
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        house: House = self._app.state.house
        cut = await asyncio.to_thread(house.runs.stop, self._stop_seconds, lambda: self.force_exit)
        if cut:
            log.warning("%s turns were cut; they go on when the server is there again", cut)
        await super().shutdown(sockets)
        if self.force_exit:  # it leaves this out then, and cancels what would close the house
            await self.lifespan.shutdown()


def is_here(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bound(host: str, port: int) -> socket.socket:
    """A socket at an address, which is ours from now on."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, place = found[0]
        made = socket.socket(family, kind, protocol)  # known to be TCP: else the end of each answer waits 40 ms
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(place)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        hint = "Another program may have it: choose another with --port."
        raise UserError(f"{host}:{port} can't be served: {reason}.", hint=hint) from error
    return made
