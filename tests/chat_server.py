"""A real HTTP server that sends whatever bytes a test wants sent, and keeps what it was asked."""

from __future__ import annotations

import json
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

Reply = Callable[[socket.socket], bool]
"""Sends an answer; True if the connection can be used again."""


@dataclass(frozen=True)
class Asked:
    """One request as it came over the wire."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class ChatServer:
    """Answers with one reply after the other; at each of its `doors` ("GET /path") always with the same."""

    replies: list[Reply]
    listener: socket.socket
    tls: ssl.SSLContext | None = None
    doors: Mapping[str, Reply] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        scheme = "https" if self.tls else "http"
        return f"{scheme}://127.0.0.1:{self.listener.getsockname()[1]}/v1"

    def accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=[connection], daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, suppress(OSError):
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            while asked := _request(connection):
                self.asked.append(asked)
                reply = self.doors.get(f"{asked.method} {asked.path}") or self._next()
                if not reply(connection):
                    return

    def _next(self) -> Reply:
        return self.replies.pop(0) if self.replies else plain(500, "the script is over")


@contextmanager
def chat_server(
    *replies: Reply, tls: ssl.SSLContext | None = None, doors: Mapping[str, Reply] | None = None
) -> Iterator[ChatServer]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = ChatServer(list(replies), listener, tls, doors or {})
    thread = threading.Thread(target=server.accept, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def _request(connection: socket.socket) -> Asked | None:
    data = b""
    while b"\r\n\r\n" not in data:
        received = connection.recv(65536)
        if not received:
            return None
        data += received
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65536)
    return Asked(method, path, headers, body)


# --- replies -------------------------------------------------------------------------------------------------------


def raw(*pieces: bytes) -> Reply:
    """These bytes, and the end of the connection."""

    def send(connection: socket.socket) -> bool:
        for piece in pieces:
            connection.sendall(piece)
        return False

    return send


def plain(status: int, body: str | bytes, *headers: str, kind: str = "text/plain") -> Reply:
    """A whole answer with its length."""
    content = body.encode() if isinstance(body, str) else body
    head = "\r\n".join(
        [f"HTTP/1.1 {status} Whatever", f"Content-Type: {kind}", f"Content-Length: {len(content)}", *headers]
    )

    def send(connection: socket.socket) -> bool:
        connection.sendall(head.encode() + b"\r\n\r\n" + content)
        return True

    return send


def as_json(status: int, body: object, *headers: str) -> Reply:
    return plain(status, json.dumps(body), *headers, kind="application/json")


def refusal(status: int, message: str, *headers: str, **fields: object) -> Reply:
    return as_json(status, {"error": {"message": message, **fields}}, *headers)


def whole(message: dict[str, Any] | None, finish: str | None = "stop", **fields: object) -> Reply:
    """The answer of a server that does not stream."""
    choices = [{"index": 0, "message": message, "finish_reason": finish}] if message is not None else []
    return as_json(200, {"object": "chat.completion", "choices": choices, **fields})


def chunk(finish: str | None = None, /, usage: object = None, **delta: object) -> dict[str, Any]:
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "model": "real-name",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **({"usage": usage} if usage is not None else {}),
    }


def call(
    index: int | None, id_: str | None = None, name: str | None = None, arguments: object = None
) -> dict[str, Any]:
    """A delta with a piece of a call."""
    function = {"name": name, "arguments": arguments}
    sent = {"index": index, "id": id_, "function": {key: value for key, value in function.items() if value is not None}}
    return chunk(tool_calls=[{key: value for key, value in sent.items() if value is not None}])


STOP = chunk("stop")
DONE = "[DONE]"


def events(*sent: object) -> list[bytes]:
    return [f"data: {item if isinstance(item, str) else json.dumps(item)}\n\n".encode() for item in sent]


def stream(*sent: object) -> Reply:
    """A well-made stream of events, in chunks."""
    return pieces(*events(*sent, DONE))


def pieces(*sent: bytes, end: bool = True, kind: str = "text/event-stream") -> Reply:
    """These bytes in chunks; without the last one, the connection is cut in the middle of the body."""

    def send(connection: socket.socket) -> bool:
        connection.sendall(
            f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode("ascii")
        )
        for piece in sent:
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        if end:
            connection.sendall(b"0\r\n\r\n")
        return end

    return send


def until_closed(*sent: bytes, kind: str = "text/event-stream") -> Reply:
    """These bytes without a length: the end of the connection is the end of the answer, whether meant or not."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n"
    return raw(head.encode("ascii"), *sent)


def then_silence(reply: Reply, gone: threading.Event | None = None) -> Reply:
    """The reply, and then nothing more; `gone` is set once the other side has hung up."""

    def send(connection: socket.socket) -> bool:
        try:
            reply(connection)
            left = bool(select.select([connection], [], [], 90)[0]) and connection.recv(1) == b""
        except ConnectionError:
            left = True
        if left and gone is not None:
            gone.set()
        return False

    return send


def speak(text: str) -> Sequence[dict[str, Any]]:
    """The chunks of a short answer."""
    return [chunk(role="assistant", content=""), *(chunk(content=word) for word in text), STOP]
