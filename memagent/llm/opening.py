"""How each kind of model is made from the settings; nothing is sent to it yet.

Knows nothing of agents.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memagent import registry
from memagent.config import Settings
from memagent.errors import ConfigError
from memagent.llm import LLM

if TYPE_CHECKING:
    from memagent.llm.servers import TextServer
    from memagent.llm.wrappers import Wrapper


def openai(settings: Settings) -> LLM:
    """A model at OpenAI, or at any endpoint that speaks the same protocol."""
    from memagent.llm.openai import OpenAILLM

    if not settings.api_key and not settings.endpoint:
        raise ConfigError(
            "There is no key for OpenAI.",
            hint="Set OPENAI_API_KEY, or another endpoint; `memagent configure` asks for what is needed.",
        )
    return OpenAILLM(_model(settings), settings.window, base_url=settings.endpoint or None, **_common(settings))


def azure(settings: Settings) -> LLM:
    """A deployment at Azure OpenAI."""
    from memagent.llm.azure import API_VERSION, AzureLLM

    version = settings.azure_api_version or API_VERSION
    return AzureLLM(
        _model(settings), settings.window, endpoint=settings.endpoint, api_version=version, **_common(settings)
    )


def scripted(settings: Settings) -> LLM:
    """The scripted model, in this process."""
    from memagent.llm.script_file import load_script
    from memagent.llm.scripted import ScriptedLLM

    script = load_script(Path(settings.script) if settings.script else None)
    return ScriptedLLM(script, model=settings.model or "scripted", window=settings.window)


def text_server(settings: Settings) -> LLM:
    """A model behind a text server: through a wrapper of ours, or by the server's own chat."""
    server: TextServer = registry.find("provider", registry.SERVERS, settings.provider)()
    name = settings.wrapper
    if name == "auto":
        name = fitting(settings.model) if settings.constrain and server.constraint == "gbnf" else "native"
    if name == "native":
        return _chat(server, settings)
    from memagent.llm.completion import CompletionLLM

    wrapper: Wrapper = registry.find("wrapper", registry.WRAPPERS, name)()
    llm = CompletionLLM(
        server, wrapper, settings.model or server.title, base_url=settings.endpoint, window=settings.context_window,
        constrain=settings.constrain, sampling=sampling(settings), stop=settings.stop, **_common(settings),
    )  # fmt: skip
    llm.window = settings.context_window or llm.find_window() or settings.window
    return llm


def _chat(server: TextServer, settings: Settings) -> LLM:
    """The server's own chat, which knows the model's own template."""
    from memagent.llm.openai import OpenAILLM

    url = (settings.endpoint or f"http://127.0.0.1:{server.port}").removesuffix("/v1")
    extra = {**sampling(settings), **({"stop": list(settings.stop)} if settings.stop else {})}
    return OpenAILLM(_model(settings), settings.window, base_url=url + server.chat, extra=extra, **_common(settings))


def fitting(model: str) -> str:
    """The wrapper that suits a model, by the model's name; ChatML where the name says nothing.

    Of a path the file counts first: the folder above it may be named after some other model.
    """
    wrappers: dict[str, type[Wrapper]] = {name: registry.load(place) for name, place in registry.WRAPPERS.items()}
    for part in (re.split(r"[/\\]", model)[-1], model):
        for name, wrapper in wrappers.items():
            if wrapper.fits and re.search(wrapper.fits, part, re.IGNORECASE):
                return name
    return "chatml"


def sampling(settings: Settings) -> dict[str, Any]:
    """What is sent to a server in its own words: NAME=VALUE, the value as JSON or as text."""
    found: dict[str, Any] = {}
    for item in settings.sampling:
        name, equals, value = item.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"sampling: {item!r} does not set anything.", hint="Write it like top_k=40,min_p=0.05")
        try:
            found[name.strip()] = json.loads(value)
        except ValueError:
            found[name.strip()] = value.strip()
    return found


def _model(settings: Settings) -> str:
    if not settings.model:
        raise ConfigError(
            "No model is chosen.", hint="Set MEMAGENT_MODEL, or give --model; `memagent configure` lists what there is."
        )
    return settings.model


def _common(settings: Settings) -> dict[str, Any]:
    return {
        "api_key": settings.api_key,
        "temperature": settings.temperature,
        "max_tokens": settings.max_tokens or None,
        "timeout": settings.timeout,
        "retries": settings.retries,
    }
