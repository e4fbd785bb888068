"""A server's agents over a WebSocket, from a program: `connect` for plain code, `connect_async` for code with an event
loop. Both yield the same events as `Agent.turn`.

    from memagent.bridges.socket import connect

    with connect("http://127.0.0.1:8283") as server:
        for event in server.say("ada", "Hello"):
            print(event)

Knows nothing of how a server does its work.
"""

from __future__ import annotations

from memagent.bridges.socket.connection import AsyncConnection, Connection, connect, connect_async

__all__ = ["AsyncConnection", "Connection", "connect", "connect_async"]
