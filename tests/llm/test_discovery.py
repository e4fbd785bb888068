"""The servers on this machine are found, each by what only its kind says, and nothing else is taken for one."""

from __future__ import annotations

import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from memagent import registry
from memagent.llm import discovery
from memagent.llm.discovery import KINDS, servers, talks

MODELS = {"object": "list", "data": [{"id": "qwen2.5:7b", "object": "model"}, {"id": "nomic-embed-text:latest"}]}
LM_STUDIO = {
    "object": "list",
    "data": [
        {"id": "qwen2.5:7b", "object": "model", "type": "llm", "state": "loaded", "max_context_length": 32768},
        {"id": "text-embedding-nomic-embed-text-v1.5", "object": "model", "type": "embeddings", "state": "not-loaded"},
    ],
}
SHOWN = {"model_info": {"qwen2.context_length": 32768}, "capabilities": ["completion"], "parameters": "", "details": {}}
VLLM = {"object": "list", "data": [{"id": "qwen2.5:7b", "object": "model", "owned_by": "vllm", "max_model_len": 4096}]}
ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "ollama": {
        "/": "Ollama is running", "/v1/models": MODELS, "/api/version": {"version": "0.5.7"}, "/api/show": SHOWN,
        "/api/tags": {"models": [{"name": "qwen2.5:7b"}, {"name": "nomic-embed-text:latest"}]},
        "/api/ps": {"models": []},
    },
    "lmstudio": {"/api/v0/models": LM_STUDIO, "/v1/models": LM_STUDIO},
    "llamacpp": {
        "/props": {"default_generation_settings": {"n_ctx": 4096}, "total_slots": 1}, "/health": {"status": "ok"},
        "/v1/models": {"object": "list", "data": [{"id": "qwen2.5:7b", "owned_by": "llamacpp"}]},
    },
    "vllm": {"/v1/models": VLLM, "/version": {"version": "0.6.6"}},
    "koboldcpp": {
        "/api/extra/version": {"result": "KoboldCpp", "version": "1.80"}, "/v1/models": MODELS,
        "/api/v1/model": {"result": "qwen2.5:7b"}, "/api/extra/true_max_context_length": {"value": 4096},
    },
    "webui": {
        "/v1/internal/model/info": {"model_name": "qwen2.5:7b", "lora_names": []}, "/v1/models": MODELS,
        "/v1/internal/model/list": {"model_names": ["qwen2.5:7b"]},
    },
}  # fmt: skip


@contextmanager
def answering(answers: Mapping[str, Any], status: int = 404) -> Iterator[int]:
    """A server on a free port that answers so at each path, and at all others as most do."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found = answers.get(self.path, answers.get("*"))
            body = (found if isinstance(found, str) else json.dumps(found)).encode()
            self.send_response(status if found is None else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def closed() -> dict[str, int]:
    """Ports at which nothing listens."""
    with ExitStack() as held:
        listening = {kind: held.enter_context(socket.create_server(("127.0.0.1", 0))) for kind in KINDS}
        return {kind: listener.getsockname()[1] for kind, listener in listening.items()}


def test_where_nothing_listens_nothing_is_waited_for(closed: dict[str, int]) -> None:
    began = time.monotonic()
    assert servers(closed) == []
    assert time.monotonic() - began < 1.5


def test_all_of_them_are_found_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with ExitStack() as stack:
        ports = {kind: stack.enter_context(answering(answers)) for kind, answers in ANSWERS.items()}
        found = servers(ports)
    assert [server.kind for server in found] == ["ollama", "lmstudio", "llamacpp", "vllm", "koboldcpp", "webui"]
    for server in found:
        assert [offer.name for offer in server.models] == ["qwen2.5:7b"], server.kind
        assert server.where == f"localhost:{ports[server.kind]}"
        assert server.endpoint == f"http://127.0.0.1:{ports[server.kind]}" + (
            "/v1" if server.provider == "openai" else ""
        )
        assert server.provider == (server.kind if server.kind in registry.SERVERS else "openai")


def test_the_window_of_a_model_is_told_where_the_server_tells_it(closed: dict[str, int]) -> None:
    with answering(ANSWERS["llamacpp"]) as port:
        (server,) = servers({**closed, "llamacpp": port})
        assert discovery.window(server, "qwen2.5:7b") == 4096
        assert discovery.window(server, "another") in (0, 4096)
    assert discovery.window(discovery.Found("vllm", "vLLM", port), "qwen2.5:7b") == 0, "it has gone"


@pytest.mark.parametrize(
    "answers",
    [
        {"*": "<html><title>It works!</title></html>"},
        {"*": {"status": "ok"}},
        {"*": {"version": "1.2", "result": "fine", "data": [{"id": "x"}], "model_name": "x"}},
        {"*": {"object": "list", "data": []}},
        {"*": MODELS},
        {"*": []},
        {"*": "[" * 100_000},
        {},
    ],
)
def test_another_web_server_is_taken_for_none_of_them(answers: Mapping[str, Any]) -> None:
    with answering(answers) as port:
        assert servers(dict.fromkeys(KINDS, port)) == []


@pytest.mark.parametrize("kind", KINDS)
def test_none_is_taken_for_another(kind: str) -> None:
    with answering(ANSWERS[kind]) as port:
        assert [server.kind for server in servers(dict.fromkeys(KINDS, port))] == [kind]


def test_what_listens_and_says_nothing_is_not_waited_for(closed: dict[str, int]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute, answering(ANSWERS["llamacpp"]) as port:
        began = time.monotonic()
        found = servers({**closed, "ollama": mute.getsockname()[1], "llamacpp": port})
        assert [server.kind for server in found] == ["llamacpp"]
        assert time.monotonic() - began < 2


def test_a_server_without_models_is_found_too(closed: dict[str, int]) -> None:
    with answering({"/": "Ollama is running"}) as port:
        (server,) = servers({**closed, "ollama": port})
    assert (server.title, server.models) == ("Ollama", ())


@pytest.mark.parametrize("kind", sorted(set(KINDS) & set(registry.SERVERS)))
def test_the_usual_ports_are_those_of_the_servers(kind: str) -> None:
    assert registry.load(registry.SERVERS[kind]).port == KINDS[kind].port


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("qwen2.5:7b", True), ("gpt-4.1-mini", True), ("llama3.2:latest", True), ("o3", True), ("mistral-large", True),
        ("nomic-embed-text", False), ("mxbai-embed-large", False), ("bge-m3", False), ("all-minilm:l6-v2", False),
        ("text-embedding-3-small", False), ("gpt-4o-realtime-preview", False), ("whisper-1", False),
        ("dall-e-3", False),
        ("evil\x1b[2J", False),
        ("qwen3-embedding:4b", False), ("multilingual-e5-large", False), ("gpt-image-1", False), ("tts-1-hd", False),
    ],
)  # fmt: skip
def test_models_that_do_not_talk_are_not_offered(name: str, right: bool) -> None:
    assert talks(name) is right
