"""What every request passes first: it must be meant for this server, come from no foreign page, and be of a size and
form that are read here.

Knows nothing of keys, or of what is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST = 10_000_000
LARGEST_FILE = 200_000_000
"""Bytes of a request; those of one that brings a file."""
FILE = "application/octet-stream"
READ = ("application/json", "multipart/form-data", FILE)
"""What is read; a browser sends the second to a foreign server only with an Origin, the others only if it allows it."""
SAFE = ("GET", "HEAD", "OPTIONS")
HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
        b"frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
"""What every answer says that does not say otherwise itself."""


class Gate:
    """Stands before the application. `hosts` are the names that this server goes by, without a port; with "*" among
    them, any.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refused = self._refused(scope)
        if refused and scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": refused[1]})  # before it is accepted: a 403
        elif refused:
            await _tell(send, *refused)
        elif scope["type"] == "websocket":
            await self._app(scope, receive, send)
        else:
            await self._pass(scope, receive, send)

    def _refused(self, scope: Scope) -> tuple[int, str] | None:
        """The status and the reason, if a request is not let through."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if "*" not in self._hosts and _name(host) not in self._hosts:
            return 421, "This server does not go by that name. Name it with --host-name."
        origin = headers.get("origin")
        if origin is not None and _place(origin) != host.lower():
            return 403, "This came from a page of another server."
        if scope["type"] == "websocket" or scope["method"] in SAFE:
            return None
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return 403, "This came from a page of another server."
        if headers.get("content-encoding", "identity") != "identity":
            return 415, "Nothing packed is read here; send it as it is."
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        length = headers.get("content-length", "0")
        empty = length == "0" and "transfer-encoding" not in headers
        if kind not in READ and not (empty and not kind):
            return 415, f"What is sent must be {' or '.join(READ)}."
        if not length.isdecimal() or int(length) > _largest(kind):
            return 413, f"At most {_largest(kind):,} bytes are read."
        return None

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        most = _largest(Headers(scope=scope).get("content-type", ""))
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > most:
                raise HTTPException(413, f"At most {most:,} bytes are read.")
            return message

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(each for each in HEADERS if each[0] not in there)]
            await send(message)

        await self._app(scope, counted, guarded)


def _largest(kind: str) -> int:
    return LARGEST_FILE if kind.startswith(("multipart/", FILE)) else LARGEST


def _name(host: str) -> str:
    """The name in a Host header, without the port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _place(origin: str) -> str:
    """The name and the port of an Origin; nothing of what is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


async def _tell(send: Send, status: int, detail: str) -> None:
    body = json.dumps({"detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
