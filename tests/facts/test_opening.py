"""Which model finds facts, as the settings say: what is said goes nowhere unasked."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from memagent import upkeep
from memagent.config import Settings
from memagent.errors import LLMError
from memagent.facts.behind import CalledAway, Leaving
from memagent.llm import LLM, Request
from memagent.llm.completion import CompletionLLM
from memagent.llm.scripted import ScriptedLLM
from memagent.llm.servers.llamacpp import LlamaCpp
from memagent.llm.wrappers.chatml import ChatML
from memagent.messages import user_message
from memagent.upkeep import facts_model

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
OWN = ScriptedLLM([{"when": {}, "text": "mine"}], model="own")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings with which models are opened."""
    seen: list[Settings] = []

    def open_model(settings: Settings) -> LLM:
        seen.append(settings)
        return ScriptedLLM([], model=settings.model)

    monkeypatch.setattr(upkeep, "open_model", open_model)
    return seen


def settings(**more: Any) -> Settings:
    given = {
        "provider": "openai",
        "model": "big",
        "endpoint": "http://one/v1",
        "api_key": "secret",
        "wrapper": "chatml",
    }
    return Settings(home=Path("/nowhere"), **{**given, **more})


@pytest.mark.parametrize(
    "same", [{}, {"facts_model": "big"}, {"facts_provider": "openai", "facts_endpoint": "http://one/v1"}]
)
def test_the_agents_own_model_is_taken_where_it_is_no_other(same: dict[str, Any], opened: list[Settings]) -> None:
    model = facts_model(settings(**same), lambda: OWN)
    assert model and model.opened().model == "own" and not opened


@pytest.mark.parametrize(
    ("other", "endpoint", "name", "key"),
    [
        ({"facts_model": "small"}, "http://one/v1", "small", "secret"),
        ({"facts_endpoint": "http://two/v1"}, "http://two/v1", "big", ""),
        ({"facts_endpoint": "http://two/v1", "facts_api_key": "two"}, "http://two/v1", "big", "two"),
        ({"facts_provider": "ollama", "facts_model": "qwen"}, "", "qwen", ""),
        ({"facts_provider": "embedded"}, "", "", ""),
    ],
)
def test_another_model_gets_no_key_that_is_not_its_own(
    other: dict[str, Any], endpoint: str, name: str, key: str, opened: list[Settings]
) -> None:
    model = facts_model(settings(**other), lambda: OWN)
    assert model and not opened  # it is opened when it is needed, and not before
    model.opened()
    (used,) = opened
    assert (used.endpoint, used.model, used.api_key, used.wrapper) == (endpoint, name, key, "auto")


@pytest.mark.parametrize("without", [{"facts_provider": "plain"}, {"facts": "off"}])
def test_there_can_be_none(without: dict[str, Any], opened: list[Settings]) -> None:
    assert facts_model(settings(**without), lambda: OWN) is None and not opened


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes every question, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_server_that_is_silent_is_hung_up_on(silent: str) -> None:
    llm = CompletionLLM(LlamaCpp(), ChatML(), "m", base_url=silent, window=4096, retries=0)
    leaving = Leaving(lambda: llm)
    heard: list[BaseException] = []

    def ask() -> None:
        try:
            list(leaving.ask(Request([user_message("Hello", NOW)])))
        except (CalledAway, LLMError) as error:
            heard.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.3)
    assert thread.is_alive()
    started = time.perf_counter()
    leaving.leave()
    thread.join(5)
    assert not thread.is_alive() and time.perf_counter() - started < 2
    assert [type(error) for error in heard] == [CalledAway]
