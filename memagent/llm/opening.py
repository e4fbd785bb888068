"""How each kind of model is made from the settings; nothing is sent to it yet.

Knows nothing of agents.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from memagent.config import Settings
from memagent.errors import ConfigError
from memagent.llm import LLM


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
