"""Who keeps a connection waiting is hung up on, and keeps nobody else waiting meanwhile."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack, suppress

import pytest
from serving import Serving
from websockets.sync.client import connect

from memagent.server import patience

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
ALIVE = b"GET /v1/health/ HTTP/1.1\r\nHost: localhost\r\n"


def is_closed(connection: socket.socket) -> bool:
    """Whether the server hangs up within some seconds."""
    connection.settimeout(10)
    try:
        return not connection.recv(1)
    except ConnectionResetError:
        return True


def test_two_hundred_that_never_finish_keep_nobody_waiting_and_are_hung_up_on(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "HEAD_SECONDS", 0.2)
    monkeypatch.setattr(patience, "BODY_SECONDS", 0.2)
    server.agent()
    begun = [b"", HEAD, HEAD + b"Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{"]
    with ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", server.port))) for _ in range(200)]
        for number, connection in enumerate(slow):
            connection.sendall(begun[number % 3])
        said = {"model": "ada", "messages": [{"role": "user", "content": "slow and steady"}]}  # longer than they may
        assert server.http().post("/v1/chat/completions", json=said).json()["choices"][0]["message"]["content"]
        assert all(is_closed(connection) for connection in slow)


def test_a_head_may_not_be_sent_bit_by_bit_after_a_request_that_was_whole(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "HEAD_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(ALIVE + b"\r\n")
        assert b"200" in connection.recv(20)
        connection.recv(9000)
        begun = time.monotonic()
        with suppress(ConnectionError):
            while time.monotonic() - begun < 5:
                connection.sendall(b"G")
                time.sleep(0.05)
        assert time.monotonic() - begun < 5, "it may go on and on"


def test_a_websocket_may_be_silent_for_as_long_as_it_likes(server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "HEAD_SECONDS", 0.2)
    monkeypatch.setattr(patience, "BODY_SECONDS", 0.2)
    with connect(f"ws://127.0.0.1:{server.port}/ws", proxy=None) as listener:
        with pytest.raises(TimeoutError):  # and not that it is closed
            listener.recv(timeout=0.8)
        listener.send('{"type": "nonsense"}')
        assert "server_error" in str(listener.recv(timeout=5))
