"""Function sets: found, loaded, linked by name, and every mistake in them told with file and line."""

from __future__ import annotations

import os
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memagent.errors import ConfigError, NotFound, ToolFileError
from memagent.tools.loader import SHIPPED, available_sets, link, load_file
from memagent.tools.run import run

Write = Callable[..., Path]
GREET = '''
def greet(name: str) -> str:
    """Greet somebody.

    Args:
        name: Who.
    """
    return f"Hello, {name}"
'''


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a function set into the user's directory."""

    def make(name: str, text: str, directory: str = "functions") -> Path:
        path = tmp_path / directory / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip(), "utf-8")
        return path

    return make


def call(tool: Any, arguments: str = "{}") -> str:
    return run(tool, arguments).text


# One file -------------------------------------------------------------------------------------------------------------


def test_the_public_functions_of_a_file_are_its_tools(write: Write) -> None:
    path = write(
        "things",
        '''
        from __future__ import annotations
        import functools
        import json
        from dataclasses import dataclass
        from os.path import join
        from memagent.tools import tool

        @dataclass
        class Place:
            name: str

        def _hidden(x): ...

        @tool(approval=True, time_limit=5, after_cut='retry')
        def visit(place: Place) -> str:
            """Go there.

            Args:
                place: Where.
            """
            return _helper(place)

        @functools.lru_cache
        def remembered(x: int) -> int:
            """Count.

            Args:
                x: A number.
            """
            return x + 1

        async def wait() -> str:
            """Wait."""
            return "waited"

        def _helper(place):
            return f"at {place.name}"

        number = 3
        ''',
    )
    tools = load_file(path)
    assert list(tools) == ["visit", "remembered", "wait"]
    rules = tools["visit"].rules
    assert (rules.approval, rules.time_limit, rules.after_cut) == (True, 5, "retry")
    line = path.read_text().splitlines().index("@tool(approval=True, time_limit=5, after_cut='retry')") + 1
    assert tools["visit"].where == f"{path}:{line}"
    assert call(tools["visit"], '{"place": {"name": "home"}}') == "at home"
    assert call(tools["remembered"], '{"x": "1"}') == "2"
    assert call(tools["wait"]) == "waited"


def test_an_edit_is_seen_and_leaves_nothing_beside_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = write("greetings", GREET)
    before = load_file(path)["greet"]
    assert load_file(path)["greet"] is before
    path.write_text(GREET.replace("Hello", "Salve"), "utf-8")
    os.utime(path, ns=(1, 1))
    assert call(load_file(path)["greet"], '{"name": "A"}') == "Salve, A"
    assert call(before, '{"name": "A"}') == "Hello, A"
    assert [p.name for p in path.parent.iterdir()] == ["greetings.py"]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("x = 1\ndef broken(:\n", 2, "SyntaxError: invalid syntax"),
        ("x = 1\n  y = 2\n", 2, "IndentationError: unexpected indent"),
        ("\nimport not_installed_anywhere\n", 2, "ModuleNotFoundError: No module named 'not_installed_anywhere'"),
        ("from memagent.tools import toool\n", 1, "ImportError: cannot import name 'toool'"),
        ("def f():\n    return 1 / 0\n\nf()\n", 2, "ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(0)\n", 2, "SystemExit: 0"),
        ("import json\njson.loads('{')\n", 2, "JSONDecodeError: Expecting property name"),
        ("x = '\0'\n", 1, "source code string cannot contain null bytes"),
    ],
)
def test_a_file_that_can_not_be_loaded_is_told_with_its_line(
    write: Write, text: str, line: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write("broken", "")
    path.write_text(text, "utf-8")
    modules = set(sys.modules)
    with pytest.raises(ToolFileError) as caught:
        load_file(path)
    assert caught.value.message.startswith(f"{path}:{line}: the function set can't be loaded: ")
    assert said in caught.value.message
    assert caught.value.hint
    assert {name for name in set(sys.modules) - modules if name.endswith("broken")} == set()


def test_a_file_that_is_corrected_is_loaded(write: Write) -> None:
    path = write("greetings", "x = (\n")
    with pytest.raises(ToolFileError):
        load_file(path)
    path.write_text(GREET, "utf-8")
    assert list(load_file(path)) == ["greet"]


def test_what_a_file_prints_when_it_is_loaded_is_not_shown(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    load_file(write("chatty", "print('loading')\n" + GREET))
    assert capsys.readouterr() == ("", "")


def test_a_missing_file_and_a_directory_are_told(write: Write, tmp_path: Path) -> None:
    with pytest.raises(ToolFileError, match=r"none\.py can't be read"):
        load_file(tmp_path / "none.py")
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(ToolFileError, match="the function set can't be loaded"):
        load_file(tmp_path / "folder.py")


def test_a_function_that_can_not_be_a_tool_is_told_with_its_line(write: Write) -> None:
    path = write("greetings", GREET + "\ndef helper(x):\n    return x\n")
    with pytest.raises(ToolFileError) as caught:
        load_file(path)
    assert caught.value.message.startswith(f"{path}:9: helper: it has no docstring")
    assert "_helper" in caught.value.hint


# Many files -----------------------------------------------------------------------------------------------------------


def test_the_sets_there_are(write: Write, tmp_path: Path) -> None:
    mine = write("greetings", GREET)
    write("_hidden", GREET)
    sets = available_sets(mine.parent, tmp_path / "missing")
    assert sets["greetings"] == mine
    assert sets["base"] == SHIPPED / "base.py"
    assert not any(name.startswith("_") for name in sets)


def test_ones_own_set_stands_before_the_shipped_one_of_its_name(write: Write) -> None:
    mine = write("extras", GREET)
    assert available_sets(mine.parent)["extras"] == mine


def test_a_preset_names_sets_functions_of_sets_and_functions(write: Write) -> None:
    directory = write("greetings", GREET).parent
    write("numbers", (GREET + GREET.replace("greet", "count") + GREET.replace("greet", "add")).replace("greet", "sub"))
    tools = link(["base", "numbers.count", "greet", "numbers.add"], [directory])
    assert next(iter(tools)) == "send_message"
    assert list(tools)[-3:] == ["count", "greet", "add"]
    assert link(["greet", "greetings", "greetings.greet"], [directory]).keys() == {"greet"}


def test_two_functions_of_one_name_are_told_with_both_files(write: Write) -> None:
    one = write("one", GREET)
    two = write("two", GREET)
    with pytest.raises(ToolFileError) as caught:
        link(["one", "two"], [one.parent])
    assert str(one) in caught.value.message and str(two) in caught.value.message and "'greet'" in caught.value.message
    with pytest.raises(ToolFileError) as caught:
        link(["greet"], [one.parent])
    assert str(one) in caught.value.message and str(two) in caught.value.message
    assert list(link(["two.greet"], [one.parent])) == ["greet"]


@pytest.mark.parametrize(
    ("entry", "said", "near"),
    [
        ("gret", "There is no function or function set 'gret'.", "greet"),
        ("greetngs", "There is no function or function set 'greetngs'.", "greetings"),
        ("greetngs.greet", "There is no function set 'greetngs'.", "greetings"),
        ("greetings.gret", "There is no function 'gret' in ", "greet"),
    ],
)
def test_what_is_missing_is_told_with_what_is_near(write: Write, entry: str, said: str, near: str) -> None:
    directory = write("greetings", GREET).parent
    with pytest.raises(NotFound) as caught:
        link([entry], [directory])
    assert caught.value.message.startswith(said)
    assert f"'{near}'" in caught.value.message.removeprefix(said)
    assert str(directory) in str(caught.value)


def test_files_that_an_agent_does_not_use_are_neither_run_nor_in_its_way(write: Write, tmp_path: Path) -> None:
    directory = write("greetings", GREET).parent
    write("broken", "def wave(:\n")
    write("harmful", f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    write("also_broken", "import nothing_of_this_name\n" + GREET)
    assert list(link(["base", "greet"], [directory]))[-1] == "greet"
    assert not (tmp_path / "ran").exists()


def test_a_broken_file_is_told_when_it_is_the_one_that_has_the_function(write: Write) -> None:
    path = write("broken", "import nothing_of_this_name\n" + GREET)
    with pytest.raises(ToolFileError, match="nothing_of_this_name") as caught:
        link(["greet"], [path.parent])
    assert str(path) in caught.value.message


def test_two_threads_may_load_the_same_file(write: Write) -> None:
    path = write("greetings", GREET)
    failures: list[BaseException] = []

    def load() -> None:
        try:
            for turn in range(20):
                os.utime(path, ns=(turn, turn))
                assert call(load_file(path)["greet"], '{"name": "A"}') == "Hello, A"
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


# Rules ----------------------------------------------------------------------------------------------------------------


def test_a_preset_changes_the_rules_of_its_functions(write: Write) -> None:
    directory = write("greetings", GREET).parent
    rules = {"greet": {"approval": True, "ends_turn": True, "time_limit": 2}, "core_memory_append": {"first": True}}
    tools = link(["base", "greet"], [directory], rules)
    assert tools["greet"].rules.approval and tools["greet"].rules.time_limit == 2
    assert "request_heartbeat" not in tools["greet"].schema["parameters"]["properties"]
    assert tools["core_memory_append"].rules.first and tools["core_memory_append"].rules.inside
    assert not link(["greet"], [directory])["greet"].rules.approval


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"gret": {}}, "There are rules for 'gret', which is not among the agent's functions. Did you mean 'greet'?"),
        ({"greet": {"aproval": True}}, "rules.greet.aproval: there is no such rule. Did you mean 'approval'?"),
        ({"greet": {"inside": True}}, "rules.greet.inside: there is no such rule."),
        ({"greet": {"approval": "yes"}}, "rules.greet.approval must be true or false, not 'yes'."),
        ({"greet": {"time_limit": 0}}, "rules.greet.time_limit must be a number of seconds, not 0."),
        ({"greet": {"time_limit": True}}, "rules.greet.time_limit must be a number of seconds, not True."),
        ({"greet": {"result_limit": 1.5}}, "rules.greet.result_limit must be a number of characters, not 1.5."),
        ({"greet": {"after_cut": "maybe"}}, "rules.greet.after_cut must be retry or ask, not 'maybe'."),
    ],
)
def test_rules_that_are_wrong_are_told_by_name(write: Write, rules: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        link(["greet"], [write("greetings", GREET).parent], rules)
    assert caught.value.message == said


def test_every_shipped_set_loads() -> None:
    for path in available_sets().values():
        assert load_file(path)
