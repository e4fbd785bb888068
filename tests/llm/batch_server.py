"""A real HTTP server for many requests at once: it answers as a test's function says, and keeps when each one came."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """A request: when it came, counted from the first one; where to; with what."""

    at: float
    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Said:
    """What is answered to it, after so many seconds. With `hang_up`, nothing is."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    after: float = 0.0
    hang_up: bool = False


Answer = Callable[[Asked], Said]


@dataclass
class BatchServer:
    """A running server, and what it was asked."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    most_at_once: int = 0
    at_once: int = 0
    guard: threading.Lock = field(default_factory=threading.Lock)

    def texts(self) -> list[str]:
        """What was said in each chat, in the order of arrival."""
        return [asked.body["messages"][0]["content"] for asked in self.asked]


def echo(asked: Asked) -> Said:
    """The text itself in capitals, or as vectors of its length."""
    if "input" in asked.body:
        given = asked.body["input"]
        texts = [given] if isinstance(given, str) else given
        data = [{"index": i, "embedding": [float(len(text)), 0.5]} for i, text in enumerate(texts)]
        return Said(body={"data": data, "usage": {"prompt_tokens": 3, "total_tokens": 3}})
    text = asked.body["messages"][0]["content"]
    return Said(body=chat(text.upper()))


def chat(text: str, total: int = 7) -> dict[str, Any]:
    return {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": total - 2, "completion_tokens": 2, "total_tokens": total},
    }


@contextmanager
def batch_server(answer: Answer = echo) -> Iterator[BatchServer]:
    server: BatchServer
    began: list[float] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with server.guard:
                now = time.monotonic()
                began.append(now)
                asked = Asked(now - began[0], self.path, dict(self.headers), body)
                server.asked.append(asked)
                server.at_once += 1
                server.most_at_once = max(server.most_at_once, server.at_once)
            said = answer(asked)
            time.sleep(said.after)
            with server.guard:
                server.at_once -= 1
            if said.hang_up:
                self.close_connection = True
                return
            content = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
            head = [f"HTTP/1.1 {said.status} Whatever", f"Content-Length: {len(content)}"]
            head += [f"{name}: {value}" for name, value in said.headers.items()]
            self.wfile.write("\r\n".join(head).encode() + b"\r\n\r\n" + content)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 200

        def handle_error(self, *_: object) -> None:
            pass

    with Server(("127.0.0.1", 0), Handler) as http:
        server = BatchServer(f"http://127.0.0.1:{http.server_address[1]}/v1")
        thread = threading.Thread(target=http.serve_forever, args=[0.02], daemon=True)
        thread.start()
        yield server
        http.shutdown()
        thread.join()
