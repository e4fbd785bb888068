"""Characters for tests: a system with a scripted model that keeps what it was asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from memagent.characters import CharacterSystem
from memagent.config import Settings
from memagent.llm.scripted import ScriptedLLM

NOON = datetime(2026, 3, 21, 12, 0, tzinfo=UTC)
SCRIPT = [
    {"when": {"kind": "summary"}, "text": "We spoke of small things."},
    {"when": {"said": "fail"}, "error": {"status": 400, "message": "no way"}},
    {"when": {"said": "name is (.+)"}, "steps": [
        {"call": "core_memory_append", "arguments": {"name": "human", "content": "Name: {1}"}, "heartbeat": True},
        {"say": "Hello, {1}!"},
    ]},
    {"when": {"said": "(?s)(.+)"}, "say": "You said: {1}"},
]  # fmt: skip


class Clock:
    """A clock that goes on by a minute whenever somebody looks."""

    def __init__(self) -> None:
        self._minutes = count()

    def __call__(self) -> datetime:
        return NOON + timedelta(minutes=next(self._minutes))


def system_in(folder: Path, database: Any, script: Any = None, **more: Any) -> CharacterSystem:
    """A system of which every character has the same scripted model."""
    settings = Settings(home=folder, embedder="off", user=more.pop("user", "local"))
    llm = more.pop("llm", None) or ScriptedLLM(script or SCRIPT)
    return CharacterSystem(database, settings=settings, llm=llm, clock=more.pop("clock", None) or Clock(), **more)
