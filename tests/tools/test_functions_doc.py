"""Every example in docs/functions.md is carried out, and does what stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from memagent.memory.core import Block, Draft
from memagent.preset import parse
from memagent.storage import Page
from memagent.tools import Rules, Tool, tool
from memagent.tools.loader import link, load_file
from memagent.tools.run import run

TEXT = (Path(__file__).parents[2] / "docs" / "functions.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
FILES = {code.split(".py", 1)[0].removeprefix("# "): code for kind, code in BLOCKS if kind == "python"}
SETS = [name for name in FILES if not name.startswith("try_")]
PRESETS = [text for kind, text in BLOCKS if kind == "yaml"]
CALLS = [
    call for kind, text in BLOCKS if not kind for call in re.findall(r"^(\w+)\((.*)\)\n→ (.*)$", text, re.MULTILINE)
]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name, code in FILES.items():
        (tmp_path / f"{name}.py").write_text(code, "utf-8")
    return tmp_path


@pytest.fixture
def tools(directory: Path) -> Mapping[str, Tool]:
    return {name: tool for file in SETS for name, tool in load_file(directory / f"{file}.py").items()}


def test_the_document_is_read() -> None:
    assert SETS == ["weather", "trips", "shop", "diary", "letters", "sums"]
    assert len(CALLS) == 8 and len(PRESETS) == 2


@pytest.mark.parametrize(("name", "arguments", "said"), CALLS)
def test_calls_have_the_results_that_are_shown(tools: Mapping[str, Tool], name: str, arguments: str, said: str) -> None:
    assert run(tools[name], arguments).text == said


@pytest.mark.parametrize("text", PRESETS)
def test_presets_find_their_functions(directory: Path, text: str) -> None:
    preset = parse(text, "mine", directory / "mine.yaml", Path.read_text)
    tools = link(preset.functions, [directory], preset.rules)
    assert "forecast" in tools and "send_message" in tools
    assert all(getattr(tools[n].rules, key) == value for n, r in preset.rules.items() for key, value in r.items())


def test_the_agent_is_reached_as_it_is_described(tools: Mapping[str, Tool], tmp_path: Path) -> None:
    kept: list[Any] = []
    agent: Any = SimpleNamespace(
        now=datetime(2026, 5, 31, tzinfo=UTC),
        core=Draft({"human": Block("human", "")}),
        archival=SimpleNamespace(
            insert=lambda text, tags: kept.append((text, tags)), search=lambda _: Page([], 4, 0, 5)
        ),
        files=tmp_path,
    )
    outcome = run(tools["note_mood"], '{"mood": "fine"}', agent)
    assert (outcome.ok, outcome.text) == (True, "Noted. 4 earlier notes.")
    assert agent.core.read("human") == "2026-05-31: fine"
    assert kept == [("On 2026-05-31 the user felt fine.", ["mood"])]
    assert (tmp_path / "moods.txt").read_text() == "2026-05-31 fine\n"


def test_the_rules_and_their_defaults_are_those_that_are_listed(tools: Mapping[str, Tool]) -> None:
    listed = dict(re.findall(r"^\| `(\w+)` \| `(.*?)` \|", TEXT, re.MULTILINE))
    defaults = {name: default for name, default in vars(Rules()).items() if name != "inside"}
    assert {name: eval(default) for name, default in listed.items()} == defaults
    assert tool(**defaults)(lambda: None).__memagent_rules__ == Rules()
    letter = tools["send_letter"].rules
    assert (letter.approval, letter.time_limit, letter.after_cut) == (True, 10, "ask")


def test_a_function_is_tried_without_a_model(directory: Path) -> None:
    done = subprocess.run([sys.executable, "try_weather.py"], cwd=directory, capture_output=True, text=True, check=True)
    assert done.stdout == "Bonn: 3 days of sun\n"
