"""How each kind of model is made from the settings. A server is asked at most which models it has, and how large
their windows are.

Knows nothing of agents.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from memagent import registry
from memagent.config import Settings
from memagent.errors import ConfigError, NotFound
from memagent.llm import LLM

if TYPE_CHECKING:
    from memagent.endpoints.line import Line
    from memagent.llm.embedded import EmbeddedLLM
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
    """A model behind a text server: through a wrapper of ours, or by the server's own chat.

    What is not set (model, window) the server is asked for.
    """
    from memagent.llm.completion import CompletionLLM
    from memagent.llm.line import line_to

    server: TextServer = registry.find("provider", registry.SERVERS, settings.provider)()
    line = line_to(
        server, settings.model, base_url=settings.endpoint, api_key=settings.api_key, timeout=settings.timeout
    )
    with asking(line):
        model = settings.model or _first(server, line)
        window = settings.context_window or server.window(line.get, model) or settings.window
        name = settings.wrapper
        if name == "auto":
            held = settings.constrain and server.constraint == "gbnf"
            name = fitting(model) if held or not (server.chat or server.own_chat) else "native"
        if name == "native":
            return _chat(server, line, model, window, settings)
    return CompletionLLM(
        server, _wrapper(name, settings), model, base_url=settings.endpoint, window=window,
        constrain=settings.constrain, sampling=sampling(settings), stop=stops(settings), **_common(settings),
    )  # fmt: skip


def embedded(settings: Settings) -> EmbeddedLLM:
    """The model that runs in this process; it is loaded when it is first asked."""
    from memagent.llm import store
    from memagent.llm.embedded import EmbeddedLLM

    path = store.located(settings.home, settings.model)
    name = fitting(path.stem) if settings.wrapper in ("auto", "native") else settings.wrapper
    return EmbeddedLLM(
        path, _wrapper(name, settings), states=settings.home / "models" / "states", window=settings.context_window,
        threads=settings.threads, constrain=settings.constrain, sampling=sampling(settings), stop=stops(settings),
        temperature=settings.temperature, max_tokens=settings.max_tokens or None,
    )  # fmt: skip


def _wrapper(name: str, settings: Settings) -> Wrapper:
    wrapper: Wrapper = registry.find("wrapper", registry.WRAPPERS, name)()
    wrapper.terse = settings.terse
    return wrapper


@contextmanager
def asking(line: Line) -> Iterator[None]:
    """While something is asked over a line, which is then let go."""
    from memagent.endpoints.failures import Setback

    try:
        yield
    except Setback as setback:
        raise setback.error from None
    finally:
        line.close()


def offered(settings: Settings) -> list[str]:
    """The models that a text server has, the one in use first."""
    from memagent.llm.line import line_to

    server: TextServer = registry.find("provider", registry.SERVERS, settings.provider)()
    line = line_to(server, base_url=settings.endpoint, api_key=settings.api_key)
    with asking(line):
        return [offer.name for offer in server.offers(line.get)]


def _first(server: TextServer, line: Line) -> str:
    """The model in use there, or else the first that it has."""
    offers = server.offers(line.get)
    if not offers:
        raise NotFound(f"{server.title} at {line.endpoint.where} has no model.", hint=server.load)
    return offers[0].name


def _chat(server: TextServer, line: Line, model: str, window: int, settings: Settings) -> LLM:
    """The server's own chat, which knows the model's own template."""
    stop = {"stop": list(stops(settings))} if settings.stop else {}
    if server.own_chat:
        return cast(
            LLM,
            registry.load(server.own_chat)(
                server, model, base_url=settings.endpoint, window=window, calls=server.calls(line.get, model),
                constrain=settings.constrain, sampling=sampling(settings), stop=stops(settings), **_common(settings),
            ),
        )  # fmt: skip
    if not server.chat:
        raise ConfigError(
            f"{server.title} has no chat of its own that knows functions.",
            hint="Choose a wrapper: memagent configure --set wrapper=auto",
        )
    from memagent.llm.openai import OpenAILLM

    url = line.endpoint.url + server.chat
    llm = OpenAILLM(model, window, base_url=url, extra=sampling(settings) | stop, **_common(settings))
    llm.endpoint = replace(llm.endpoint, title=server.title, start=server.start, login=line.endpoint.login)
    return llm


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


def stops(settings: Settings) -> tuple[str, ...]:
    """The texts at which an answer ends; a line break in one is written as \\n."""
    return tuple(text.replace("\\n", "\n") for text in settings.stop)


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
