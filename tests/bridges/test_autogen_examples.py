"""The examples for AutoGen, in both of its worlds, run as they stand against a scripted server."""

from __future__ import annotations

import builtins
import json
import re
import runpy
import sys
from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("autogen_agentchat")
pytest.importorskip("autogen")

from memagent.bridges.autogen import chat_agent, conversable_agent
from memagent.llm.script_server import ModelServer, serve

PAGE = (Path(__file__).parents[2] / "docs" / "autogen.md").read_text("utf-8")
EXAMPLES = Path(__file__).parents[2] / "examples" / "autogen"
NOTE = {"call": "core_memory_append", "arguments": {"name": "human", "content": "Name: {1}"}, "heartbeat": True}
SCRIPT: list[Any] = [
    {"when": {"system": "I am Ada", "said": r"My name is (\w+)", "first": True},
     "steps": [NOTE, {"say": "Nice to meet you, {1}."}]},
    {"when": {"system": "I am Ada(?s:.*)Name: Bo"}, "say": "You keep bees, Bo."},
    {"when": {"system": "I am a product manager"}, "say": "Make a die that can be thrown."},
    {"when": {"system": "I am a coder", "said": "product_manager: Make a die"}, "say": "random.randint(1, 6)"},
    {"when": {"tool": "answer_with_quotes", "result": r"\[(\d+)\]"}, "call": "answer_with_quotes",
     "arguments": {"message": "It is written down.", "quotes": ["turns at 4:17"], "passages": ["{1}"]}},
    {"when": {"tool": "answer_with_quotes"}, "call": "search_sources", "arguments": {"query": "tide Brixham"},
     "heartbeat": True},
    {"when": {"system": "I am (Ada, a diver|Ben, a baker|Eve, a sailor)"}, "say": "I work."},
    {"when": {"system": "I am a writer", "said": "librarian:(?s:.*)turns at 4:17"}, "say": "The tide turns at 4:17."},
]  # fmt: skip


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    with serve(SCRIPT) as running:
        given = {"HOME": tmp_path / "home", "PROVIDER": "openai", "ENDPOINT": running.url, "MODEL": "scripted"}
        for name, value in {**given, "EMBEDDER": "off", "FACTS": "off", "VERIFY_FIRST": "false"}.items():
            monkeypatch.setenv(f"MEMAGENT_{name}", str(value))
        monkeypatch.chdir(tmp_path)
        yield running


class Example:
    """Runs an example, and gives what it showed: one world prints, and the other one logs."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._patch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
        self._printed: pytest.CaptureFixture[str] = request.getfixturevalue("capsys")
        self._logged: pytest.LogCaptureFixture = request.getfixturevalue("caplog")

    def run(self, name: str, *arguments: str) -> str:
        self._patch.setattr(sys, "argv", [name, *arguments])
        self._logged.clear()
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        return "\n".join([self._printed.readouterr().out, *self._logged.messages])


@pytest.fixture
def example(request: pytest.FixtureRequest) -> Example:
    return Example(request)


def told(server: ModelServer) -> list[str]:
    """What the model saw, in its last request, of what was said to its agent."""
    fields = [json.loads(m["content"]) for m in json.loads(server.requests[-1])["messages"] if m["role"] == "user"]
    return [each["message"] for each in fields if each["type"] == "user_message"]


@pytest.mark.parametrize("name", ["auto_reply", "auto_reply_ag2"])
def test_auto_reply(name: str, server: ModelServer, example: Example) -> None:
    first = example.run(name)
    assert "Nice to meet you, Bo." in first and "Go on, I am listening." in first
    again = example.run(name)
    assert "You keep bees, Bo." in again and "Nice to meet you" not in again
    assert told(server)[-2:] == ["Hello! My name is Bo, and I keep bees.", "Go on, I am listening."]


@pytest.mark.parametrize("name", ["group_chat", "group_chat_ag2"])
def test_group_chat_with_user_product_manager_and_coder(
    name: str, server: ModelServer, example: Example, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = iter(["Make it blue.", "exit"])
    monkeypatch.setattr(builtins, "input", lambda *prompt: next(words))
    shown = example.run(name)
    assert shown.index("Make a die") < shown.index("random.randint(1, 6)") < shown.index("Make it blue.")
    assert told(server) == [
        "I want to show random numbers to my daughter.", "product_manager: Make a die that can be thrown.",
        "Make it blue.", "product_manager: Make a die that can be thrown.",
    ]  # fmt: skip
    assert next(words, "all was said") == "all was said"


@pytest.mark.parametrize("name", ["documents", "documents_ag2"])
def test_group_chat_with_documents(name: str, server: ModelServer, example: Example, tmp_path: Path) -> None:
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "tides.md").write_text("# Tides\n\nAt Brixham the tide turns at 4:17 in the morning.\n")
    shown = example.run(name, "papers", "When does the tide turn?")
    assert "1 documents, 1 new passages" in shown and "tides.md" in shown and "The tide turns at 4:17." in shown


def test_the_page_tells_of_all_examples_and_only_of_those() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(re.findall(r"examples/autogen/(\w+\.py)", PAGE))


def test_what_the_page_shows_runs(server: ModelServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "tides.md").write_text("# Tides\n\nAt Brixham the tide turns at 4:17 in the morning.\n")
    names: dict[str, Any] = {}
    for code in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        exec(compile(code, "docs/autogen.md", "exec"), names)
    printed = capsys.readouterr().out.splitlines()
    assert "['user', 'ada', 'ben']" in printed and "['user', 'eve']" in printed
    assert [entry.name for entry in names["ada"].participant.agent.state.archival.sources()] == ["tides"]
    for name in ("ada", "ben", "eve"):
        names[name].participant.close()


@pytest.mark.parametrize("make", [chat_agent, conversable_agent])
def test_every_parameter_is_on_the_page(make: Any) -> None:
    documented = set(re.findall(r"`(\w+)`", PAGE)) | set(re.findall(r"`(\w+)=", PAGE))
    assert set(signature(make).parameters) - {"conversable"} <= documented
