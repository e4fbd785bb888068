"""Agents that talk to a model over real HTTP, and what must hold of them whatever the model does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from memagent.agent import Agent
from memagent.assemble import load_agent, make_agent, open_database
from memagent.config import Settings
from memagent.endpoints.retry import Backoff
from memagent.events import Event, Failed, Reply, Returned
from memagent.llm import LLM
from memagent.llm.openai import OpenAILLM
from memagent.llm.script_server import ModelServer, serve
from memagent.messages import Message
from memagent.storage.sqlite import SqliteDatabase

SHORT = "You remember things. Speak by calling send_message."


class Clock:
    """A minute later each time it is looked at."""

    def __init__(self) -> None:
        self.now = datetime(2026, 6, 1, 9, 0, tzinfo=timezone(timedelta(hours=2)))

    def __call__(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now


def http_model(url: str, window: int = 8192, **settings: Any) -> OpenAILLM:
    """A model at an endpoint, that waits for nothing."""
    given: dict[str, Any] = {"api_key": "none", "timeout": 10.0, "sleep": lambda seconds: None, **settings}
    return OpenAILLM("scripted", window, base_url=url, backoff=Backoff(first=0.0), **given)


@contextmanager
def talking(
    home: Path, llm: LLM, *, preset: str = "brief", functions: str = "", rules: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Iterator[Agent]:  # fmt: skip
    """A new agent in a home of its own; the preset `brief` has a short prompt and few functions."""
    for folder in ("presets", "prompts", "functions"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    brief: dict[str, Any] = {
        "system": "brief",
        "functions": ["send_message", "core_memory_append", "core_memory_replace", "conversation_search"],
        "rules": dict(rules or {}),
    }
    if functions:
        (home / "functions" / "own.py").write_text(functions)
        brief["functions"].append("own")
    (home / "prompts" / "brief.txt").write_text(SHORT)
    (home / "presets" / "brief.yaml").write_text(json.dumps(brief))
    (home / "presets" / "brief_plain.yaml").write_text(
        json.dumps({**brief, "functions": brief["functions"][1:], "speech": "plain"})
    )
    all_settings = Settings(home=home, preset=preset, embedder="off", verify_first=False)
    all_settings = replace(all_settings, **settings)
    database = open_database(all_settings)
    try:
        yield make_agent(all_settings, database, "ada", llm=llm, clock=Clock())
    finally:
        database.close()


@contextmanager
def served(
    home: Path, script: Sequence[Any], *, window: int = 8192, **settings: Any
) -> Iterator[tuple[Agent, ModelServer]]:
    """A new agent whose model is a script behind a real HTTP server."""
    with (
        serve(list(script), window=window) as server,
        talking(home, http_model(server.url, window), **settings) as agent,
    ):
        yield agent, server


def again(agent: Agent) -> Agent:
    """The same agent, as another process finds it."""
    database = agent.state.database
    settings = Settings(home=Path(agent.state._files).parents[1], embedder="off", verify_first=False)
    assert isinstance(database, SqliteDatabase)
    return load_agent(settings, database, "ada", llm=agent.llm, clock=agent.state.clock)


def replies(events: Sequence[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Reply)]


def failure(events: Sequence[Event]) -> Failed:
    """The one failure of a turn that failed."""
    (failed,) = [event for event in events if isinstance(event, Failed)]
    return failed


def returned(events: Sequence[Event]) -> list[Returned]:
    return [event for event in events if isinstance(event, Returned)]


def paired(window: Sequence[Message]) -> None:
    """Each call has its result right behind it, and each result its call before it."""
    open_calls: list[str] = []
    for message in window:
        if message.role == "tool":
            assert message.call_id in open_calls, message
            open_calls.remove(message.call_id)
        else:
            assert not open_calls, message
            open_calls = [call.id for call in message.calls]
    assert not open_calls
