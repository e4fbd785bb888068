"""Characters killed hard while they talk, sum up or play a scene: nothing is lost, and nothing is remembered twice."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from driver import consistent

from memagent.characters import CharacterSystem
from memagent.config import Settings
from memagent.llm.scripted import ScriptedLLM
from memagent.storage.opening import crash_at
from memagent.storage.sqlite import SqliteDatabase

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="it forks, and kills by signal")]

SCRIPT = [
    {"when": {"kind": "summary"}, "text": "In short: storms."},
    {"when": {"system": "You are Ann"}, "say": "How deep is it?"},
    {"when": {"system": "You are Bo"}, "say": "Nine fathoms."},
    {"when": {}, "say": "(pass)"},
]


def system_at(home: Path, database: SqliteDatabase) -> CharacterSystem:
    settings = Settings(home=home, embedder="off")
    return CharacterSystem(database, settings=settings, llm=ScriptedLLM(SCRIPT))  # type: ignore[arg-type]


def killed(folder: Path, prepare: Callable[[CharacterSystem], object], work: Callable[[CharacterSystem], object],
) -> Iterator[CharacterSystem]:  # fmt: skip
    """The system after it was killed at commit boundary 1, 2, … of some work, up to when it was not killed."""
    first = folder / "0"
    first.mkdir()
    with closing(SqliteDatabase(first / "memagent.db")) as database:
        prepare(system_at(first, database))
    for number in range(1, 200):
        home = folder / str(number)
        shutil.copytree(first, home)
        dead = dies(home, work, number)
        if number % 3 == 0:  # it may die again as it is caught up
            dies(home, lambda system: [character.catch_up() for character in system], 1 + number % 4)
        with closing(SqliteDatabase(home / "memagent.db")) as database:
            consistent(database)
            yield system_at(home, database)
            consistent(database)
        if not dead:
            assert number > 4
            return
    raise AssertionError("it never came to an end")


def dies(home: Path, work: Callable[[CharacterSystem], object], number: int) -> bool:
    """Work in a process of its own, which dies at a commit boundary; whether it did."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work(system_at(home, SqliteDatabase(home / "memagent.db", watch=crash_at(number))))
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def cast(system: CharacterSystem) -> None:
    for name in ("Ann", "Bo", "Cy"):
        system.create_character(name, f"You are {name}.")


def test_talk_killed_at_any_commit_is_remembered_once(folder: Path) -> None:
    both = 0
    for system in killed(folder, cast, lambda system: system.get_character("Ann").talk("Hello")):
        ann = system.get_character("Ann")
        cut = bool(ann.agent.state.unfinished())
        if cut:  # it is no memory before it is over
            assert ann.get_memories() == []
            list(ann.agent.resume())
        replies = [m.said for m in ann.agent.state.log.all() if m.role != "user" and m.said]
        for _ in range(2):
            assert [m.content["response"] for m in ann.get_memories()] == replies
        ann.talk("Again")
        assert len(ann.get_memories()) == len(replies) + 1
        both += bool(replies) and not cut
    assert both >= 2, "some were killed between the turn and its memory"


def test_summing_up_killed_at_any_commit_is_whole_or_has_not_happened(folder: Path) -> None:
    def prepare(system: CharacterSystem) -> None:
        ann = system.create_character("Ann", "You.", memory_config={"summary_threshold": 4})
        for number in range(4):
            ann.add_memory(f"storm {number}", "event")

    for system in killed(folder, prepare, lambda system: [
        system.get_character("Ann").add_memory(f"storm {number}", "event") for number in (4, 5, 6)
    ]):  # fmt: skip
        ann = system.get_character("Ann")
        everything = ann.get_memories(past=True)
        storms = [m.content for m in everything if m.type == "event"]
        assert storms == [f"storm {number}" for number in range(len(storms))] and 4 <= len(storms) <= 7
        summaries = [m for m in everything if m.type == "summary"]
        assert sum(m.content["count"] for m in summaries) == sum(m.how == "merged" for m in everything)
        assert {m.heir for m in everything if m.how == "merged"} == {m.id for m in summaries}
        ann.add_memory("storm 9", "event")
        assert len(ann.get_memories(types=["event"])) <= 4


def test_what_is_told_to_all_is_told_to_all_or_none(folder: Path) -> None:
    for system in killed(folder, cast, lambda system: system.broadcast_interaction("The fair")):
        assert len({len(character.get_memories()) for character in system}) == 1


def test_a_scene_killed_at_any_commit_loses_no_line(folder: Path) -> None:
    def work(system: CharacterSystem) -> None:
        list(system.scene(["Ann", "Bo", "Cy"], "The sea", 5))

    lost = 0
    for system in killed(folder, cast, work):
        logs = {name: system.get_character(name).agent.state.log.all() for name in ("Ann", "Bo", "Cy")}
        lines = [
            f"{name}: {m.said}" for name, log in logs.items() for m in log
            if m.role != "user" and m.said and m.said != "(pass)"
        ]  # fmt: skip
        for _ in range(2):
            for name, log in logs.items():
                told = " ".join(m.said for m in log if m.kind == "user")
                events = system.get_character(name).get_memories(types=["event"])
                known = told + " ".join(line for event in events for line in event.content["heard at the end"])
                for line in {line for line in lines if not line.startswith(name)}:
                    assert known.count(line) == lines.count(line), (name, line)
                lost += bool(events)
        assert not system.database.rows("SELECT 1 FROM scenes WHERE ended IS NULL")
        assert [line.who for line in system.scene(["Ann", "Bo"], "Again", 2)] == ["Ann", "Bo"]
    assert lost > 10, "some have missed a line, and remember it"
