"""Servers for tests of the command line: scripted models that play servers of some kind, and a hub with one model."""

from __future__ import annotations

import hashlib
import http.server
import json
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from memagent.llm import discovery, script_server
from memagent.llm.discovery import KINDS
from memagent.llm.script import Script, look
from memagent.llm.script_file import load_script

MODEL = b"GGUF" + struct.pack("<IQQ", 3, 0, 0) + bytes(2_000_000)
OLLAMA = {"/": "Ollama is running"}
SHOWN = {"capabilities": ["completion", "tools"], "model_info": {"qwen2.context_length": 32768}}


@contextmanager
def serving(answers: dict[str, object] | None = None, models: tuple[str, ...] = ("qwen2.5:7b",)) -> Iterator[int]:
    """A scripted model at a free port, which also answers as a server of some kind does; it has these models."""
    script = load_script(None)
    server = script_server.serve(script)
    handler = server._server.RequestHandlerClass
    before, before_post = handler.do_GET, handler.do_POST
    port = int(server.url.split(":")[2].split("/")[0])
    listed = {"/v1/models": {"data": [{"id": name} for name in models]}, "/api/ps": {"models": []}}
    found = {**listed, "/api/tags": {"models": [{"name": name} for name in models]}, **(answers or {})}

    def do_GET(self: http.server.BaseHTTPRequestHandler) -> None:
        if self.server.server_address[1] != port or self.path not in found:
            before(self)
            return
        answer = found[self.path]
        body = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self: http.server.BaseHTTPRequestHandler) -> None:
        if self.server.server_address[1] != port or self.path not in ("/api/show", "/api/chat"):
            before_post(self)
            return
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        body = json.dumps(SHOWN).encode() if self.path == "/api/show" else chatted(script, asked)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    handler.do_GET, handler.do_POST = do_GET, do_POST
    try:
        yield port
    finally:
        handler.do_GET, handler.do_POST = before, before_post
        server.close()


def chatted(script: Script, asked: dict[str, Any]) -> bytes:
    """What Ollama's own chat answers: one line of JSON with the answer, and one that ends it."""
    messages = [(message["role"], message["content"]) for message in asked["messages"]]
    reply = script.reply(look(messages, [tool["function"] for tool in asked.get("tools", [])], None))
    calls = [{"function": {"name": call.name, "arguments": json.loads(call.arguments)}} for call in reply.calls]
    said = {"role": "assistant", "content": reply.text, "tool_calls": calls}
    lines = [{"message": said, "done": False}, {"message": {"content": ""}, "done": True, "done_reason": "stop"}]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def ollama(port: int) -> dict[str, discovery.Kind]:
    return {"ollama": replace(KINDS["ollama"], port=port)}


@contextmanager
def fetchable(home: Path) -> Iterator[None]:
    """A model of two megabytes at a hub on this machine, as the default."""

    class Hub(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(MODEL)))
            self.end_headers()
            self.wfile.write(MODEL)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    (home / "models.yaml").write_text(
        f"models:\n- name: tiny\n  title: Tiny\n  licence: MIT\n  bytes: {len(MODEL)}\n"
        f"  sha256: {hashlib.sha256(MODEL).hexdigest()}\n"
        f"  places: [{{url: 'http://127.0.0.1:{server.server_port}/tiny.gguf'}}]\n"
    )
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
