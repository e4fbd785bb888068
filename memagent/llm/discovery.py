"""Finds the model servers that run on this machine, each by an answer that only its kind gives, and their models.

All are asked at once, and none is waited for longer than a moment. Knows nothing of which model is taken.
"""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from memagent import registry
from memagent.endpoints.failures import Endpoint, Setback
from memagent.llm.servers import Get, Offer, TextServer

HOST = "127.0.0.1"
MOMENT = 0.5
"""Seconds that a server has to say what it is."""
LISTING = 3.0
"""Seconds that a server of a known kind has to list its models."""
MOST_BYTES = 8_000_000


@dataclass(frozen=True)
class Said:
    """An answer: its status, its text, and the JSON in it, if it is JSON."""

    status: int
    text: str
    json: Any


@dataclass(frozen=True)
class Kind:
    """A kind of server: its usual port, what it is asked, and whether an answer shows that it is one."""

    title: str
    port: int
    path: str
    shows: Callable[[Said], bool]


@dataclass(frozen=True)
class Found:
    """A server that runs here, and the models that can be talked to there."""

    kind: str
    title: str
    port: int
    models: tuple[Offer, ...] = ()

    @property
    def where(self) -> str:
        """Its address, as people say it."""
        return f"localhost:{self.port}"

    @property
    def provider(self) -> str:
        """The provider that talks to it."""
        return self.kind if self.kind in registry.SERVERS else "openai"

    @property
    def endpoint(self) -> str:
        """Its address, as the provider wants it."""
        return f"http://{HOST}:{self.port}" + ("" if self.kind in registry.SERVERS else "/v1")


def _has(said: Said, key: str, kind: type) -> bool:
    return isinstance(said.json, dict) and isinstance(said.json.get(key), kind)


def _listed(said: Said, *marks: str) -> bool:
    """Whether it is a list of models whose items have these marks."""
    items = said.json.get("data") if isinstance(said.json, dict) else None
    if not isinstance(items, list) or not items:
        return False
    return all(isinstance(item, dict) and all(mark in item for mark in marks) for item in items)


def _of_vllm(said: Said) -> bool:
    return _listed(said, "owned_by") and said.json["data"][0]["owned_by"] == "vllm"


KINDS = {
    "ollama": Kind("Ollama", 11434, "/", lambda said: said.text.strip() == "Ollama is running"),
    "lmstudio": Kind("LM Studio", 1234, "/api/v0/models", lambda said: _listed(said, "id", "type", "state")),
    "llamacpp": Kind("llama.cpp", 8080, "/props", lambda said: _has(said, "default_generation_settings", dict)),
    "vllm": Kind("vLLM", 8000, "/v1/models", _of_vllm),
    "koboldcpp": Kind(
        "koboldcpp", 5001, "/api/extra/version", lambda said: _has(said, "result", str) and "Kobold" in said.text
    ),
    "webui": Kind(
        "text-generation-webui", 5000, "/v1/internal/model/info",
        lambda said: _has(said, "lora_names", list) and "model_name" in said.json,
    ),
}  # fmt: skip
"""Where each kind listens unless it is told otherwise. A web server that is none of them answers something else."""

_NO_TALK = re.compile(
    r"embed|minilm|paraphrase-|rerank|whisper|tts|dall-e|moderation|transcri|realtime|audio|image|sora|davinci|babbage"
    r"|(?<![a-z0-9])(bge|gte|e5)(?![a-z0-9])",
    re.IGNORECASE,
)


def talks(name: str) -> bool:
    """Whether a model of that name can be talked to: not one for embeddings, pictures or sound."""
    return name.isprintable() and not _NO_TALK.search(name)


def servers(ports: Mapping[str, int] | None = None) -> list[Found]:
    """The servers that run here. `ports` are where each kind is looked for, where that is not its usual one."""
    found: dict[str, Found] = {}

    def look(name: str, port: int) -> None:
        if _is_one(name, port):
            found[name] = Found(name, KINDS[name].title, port)
            found[name] = replace(found[name], models=_models(found[name]))

    where = {name: (ports or {}).get(name, kind.port) for name, kind in KINDS.items()}
    looking = {item[0]: threading.Thread(target=look, args=item, daemon=True) for item in where.items()}
    for thread in looking.values():
        thread.start()
    began = time.monotonic()
    for name, thread in looking.items():
        thread.join(max(0.0, began + MOMENT - time.monotonic()))
        if name in found:  # what has not said what it is by now is left alone
            thread.join(max(0.0, began + MOMENT + LISTING - time.monotonic()))
    return [found[name] for name in KINDS if name in found]


def window(server: Found, model: str) -> int:
    """The context window that a model has there; 0 when the server does not say."""
    offered = next((offer.window for offer in server.models if offer.name == model), 0)
    try:
        return offered or _spoken(server.kind).window(_get(server, LISTING), model)
    except Setback:
        return 0


def _is_one(name: str, port: int) -> bool:
    kind = KINDS[name]
    try:
        return kind.shows(_ask(port, kind.path, None, MOMENT))
    except (OSError, http.client.HTTPException):
        return False


def _models(server: Found) -> tuple[Offer, ...]:
    try:
        offers = _spoken(server.kind).offers(_get(server, LISTING))
    except Setback:
        return ()
    return tuple(offer for offer in offers if talks(offer.name))


def _spoken(name: str) -> TextServer:
    """How a server of that kind is asked which models it has; as OpenAI is, where nothing else is known."""
    server: TextServer = registry.load(registry.SERVERS[name])() if name in registry.SERVERS else TextServer()
    return server


def _get(server: Found, seconds: float) -> Get:
    endpoint = Endpoint(f"http://{server.where}", "", "", "", seconds)

    def get(path: str, body: Mapping[str, Any] | None) -> Any:
        try:
            said = _ask(server.port, path, body, seconds)
        except (OSError, http.client.HTTPException) as failure:
            raise endpoint.unreachable(failure) from None
        if said.status != 200 or said.json is None:
            raise endpoint.not_compatible(f"it answered {said.status} at {path}")
        return said.json

    return get


def _ask(port: int, path: str, body: Mapping[str, Any] | None, seconds: float) -> Said:
    """Ask a server on this machine: never through a proxy, and no longer than that."""
    until = time.monotonic() + seconds
    connection = http.client.HTTPConnection(HOST, port, timeout=seconds)
    try:
        sent = None if body is None else json.dumps(body)
        headers = {"Content-Type": "application/json"} if sent else {}
        connection.request("GET" if sent is None else "POST", path, sent, {"User-Agent": "memagent", **headers})
        response = connection.getresponse()
        data = b""
        while chunk := response.read1(65536):
            data += chunk
            if len(data) > MOST_BYTES or time.monotonic() > until:
                raise TimeoutError
    finally:
        connection.close()
    text = data.decode("utf-8", "replace")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    return Said(response.status, text, found)
