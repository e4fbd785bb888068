"""Ollama: its own interface, raw at /api/generate; its chat is in ollama_chat.py.

Speaks for version 0.33. Each request says how large the window is, for Ollama's own idea of it is small and it cuts
off what does not fit; newer versions can be told to refuse that instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from memagent.llm import Usage
from memagent.llm.servers import Completion, Get, Offer, Part, TextServer, inside, items, whole_number

KEPT = "30m"
"""How long a model stays loaded after it was asked: people think before they answer, and loading takes its time."""
MODEST = 8192
"""The largest window that is taken unasked: a large one takes gigabytes."""
_OF_THE_REQUEST = frozenset({"keep_alive", "think"})
_NUM_CTX = re.compile(r"^num_ctx\s+(\d+)$", re.MULTILINE)


class Ollama(TextServer):
    """Ollama: many models, loaded when they are asked for; constrains output by JSON Schema."""

    title = "Ollama"
    port = 11434
    version = "0.33"
    start = "ollama serve"
    load = "Fetch one: ollama pull qwen2.5:7b"
    constraint = "schema"
    chat = ""
    own_chat = "memagent.llm.ollama_chat:OllamaChat"

    def asked(self, completion: Completion) -> tuple[str, dict[str, Any]]:
        body: dict[str, Any] = {"model": completion.model, "prompt": completion.prompt, "raw": True}
        return "/api/generate", body | settings(completion)

    def heard(self, event: Mapping[str, Any]) -> Part | None:
        text = event.get("response")
        return Part(text, *ended(event)) if isinstance(text, str) else None

    def offers(self, get: Get) -> list[Offer]:
        """The models there; its list does not say how large their windows are."""
        loaded = {item["name"] for item in items(get("/api/ps", None), "models", "name")}
        listed = items(get("/api/tags", None), "models", "name")
        listed.sort(key=lambda item: item["name"] not in loaded)
        return [Offer(item["name"]) for item in listed]

    def window(self, get: Get, model: str) -> int:
        """What the model was set up for, or as much of its own as is modest; more if it is loaded with more."""
        shown = get("/api/show", {"model": model})
        set_up = _NUM_CTX.search(str(inside(shown, "parameters") or ""))
        if set_up:
            return int(set_up[1])
        info = inside(shown, "model_info")
        info = info if isinstance(info, dict) else {}
        own = max((whole_number(of) for name, of in info.items() if name.endswith(".context_length")), default=0)
        names = (model, f"{model}:latest")
        running = [item for item in items(get("/api/ps", None), "models", "name") if item["name"] in names]
        return max(min(MODEST, own), *(whole_number(item.get("context_length")) for item in running), 0)

    def calls(self, get: Get, model: str, /) -> bool:
        able = inside(get("/api/show", {"model": model}), "capabilities")
        return not isinstance(able, list) or "tools" in able


def settings(completion: Completion) -> dict[str, Any]:
    """What goes along with a prompt, and with a chat."""
    options: dict[str, Any] = {"num_ctx": completion.window, "num_predict": completion.max_tokens}
    if completion.temperature is not None:
        options["temperature"] = completion.temperature
    if completion.stop:
        options["stop"] = list(completion.stop)
    own = {name: value for name, value in completion.sampling.items() if name in _OF_THE_REQUEST}
    options |= {name: value for name, value in completion.sampling.items() if name not in _OF_THE_REQUEST}
    found = {"stream": True, "truncate": False, "shift": False, "keep_alive": KEPT, **own, "options": options}
    return found | {"format": dict(completion.schema)} if completion.schema is not None else found


def ended(event: Mapping[str, Any]) -> tuple[str, Usage | None]:
    """Why an answer ended with this event, if it did, and what was counted."""
    if event.get("done") is not True:
        return "", None
    prompt, written = whole_number(event.get("prompt_eval_count")), whole_number(event.get("eval_count"))
    reason = event.get("done_reason")
    return reason if isinstance(reason, str) and reason else "stop", Usage(prompt, written) if prompt else None
