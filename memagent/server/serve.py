"""Starts the server and lets it end: where it is bound, what it refuses, and what a signal does.

Knows nothing of what is asked of it.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from memagent.access import Keys
from memagent.assemble import local_time, open_database
from memagent.errors import MissingExtra, UserError
from memagent.server.app import LOCAL, STOP_SECONDS, create
from memagent.settings import Settings

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

log = logging.getLogger(__name__)

LARGEST_FRAME = 1_000_000
"""Bytes of one message over a WebSocket."""


def serve(
    settings: Settings, host: str, port: int, *, names: Collection[str] = (), flags: Mapping[str, Any] | None = None,
    told: Callable[[str, int, bool], None],
) -> None:  # fmt: skip
    """Serve until a signal ends it. `told` hears the address and the port, and whether there are keys, once it is
    bound.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise MissingExtra("The server", "server") from error
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
    told(address[0], address[1], keys)
    with closing(place):
        uvicorn.Server(configured(app)).run(sockets=[place])


def configured(app: FastAPI) -> uvicorn.Config:
    """How an application is served."""
    import uvicorn

    return uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, ws_max_size=LARGEST_FRAME, lifespan="on",
        timeout_keep_alive=30, h11_max_incomplete_event_size=64_000, ws="websockets-sansio",
        timeout_graceful_shutdown=int(STOP_SECONDS),
    )  # fmt: skip


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
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else the end of each answer waits 40 ms
        made.bind(place)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        hint = "Another program may have it: choose another with --port."
        raise UserError(f"{host}:{port} can't be served: {reason}.", hint=hint) from error
    return made
