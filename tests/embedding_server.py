"""A real HTTP server that embeds texts as OpenAI, Azure and Ollama do, and can fail in the ways in which they do."""

from __future__ import annotations

import base64
import json
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def vector_of(text: str, dimension: int) -> list[float]:
    """The vector of a text: always the same one, and another one for another text."""
    digest = blake2b(text.encode(), digest_size=64).digest()
    return [(digest[n % 64] - 127.5) / 128 + n // 64 for n in range(dimension)]


@dataclass
class EmbeddingServer:
    """What it is like. Each of `failures` is sent instead of an answer, once: a status, a body and headers; `mangled`
    changes the vectors of an answer before they are sent.
    """

    model: str = "small-vectors"
    dimension: int = 8
    longest: int = 10_000
    key: str = ""
    floats_only: bool = False
    delay: float = 0.0
    failures: list[tuple[int, object, dict[str, str]]] = field(default_factory=list)
    mangled: Callable[[list[str], list[Any]], list[Any]] = lambda _texts, vectors: vectors
    asked: list[dict[str, Any]] = field(default_factory=list)
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""

    @property
    def texts(self) -> list[str]:
        """All texts that were embedded, in the order in which they came."""
        return [text for body in self.asked for text in body["input"]]

    def fail(self, status: int, message: str, times: int = 1, code: str = "", **headers: str) -> None:
        body = {"error": {"message": message, **({"code": code} if code else {})}}
        self.failures += [(status, body, {name.replace("_", "-"): value for name, value in headers.items()})] * times

    def answer(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> tuple[int, object, dict[str, str]]:
        self.seen.append((path, headers))
        if self.failures:
            return self.failures.pop(0)
        given = headers.get("api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        if self.key and given != self.key:
            return 401, {"error": {"message": f"Incorrect API key provided: {given}"}}, {}
        if body.get("model") != self.model and "/deployments/" not in path:
            return 404, {"error": {"message": f"model '{body.get('model')}' not found", "code": "model_not_found"}}, {}
        if self.floats_only and "encoding_format" in body:
            return 400, {"error": {"message": "unknown field: encoding_format"}}, {}
        texts = body["input"]
        if any(len(text.split()) > self.longest for text in texts):
            return 400, {"error": {"message": f"This model's maximum context length is {self.longest} tokens."}}, {}
        self.asked.append(body)
        time.sleep(self.delay)
        vectors = self.mangled(texts, [vector_of(text, body.get("dimensions") or self.dimension) for text in texts])
        if path == "/api/embed":
            return 200, {"model": self.model, "embeddings": vectors}, {}
        if body.get("encoding_format") == "base64":
            vectors = [
                base64.b64encode(struct.pack(f"<{len(v)}f", *v)).decode() if isinstance(v, list) else v for v in vectors
            ]
        data = [{"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(vectors)]
        return 200, {"object": "list", "data": data[::-1], "model": self.model, "usage": {"total_tokens": 1}}, {}


@contextmanager
def embedding_server(**traits: Any) -> Iterator[EmbeddingServer]:
    server = EmbeddingServer(**traits)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, answer, more = server.answer(self.path, headers, body)
            sent = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(sent)), **more}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    class Http(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Those who asked may hang up."""

    http = Http(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, args=[0.02], daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join(5)
