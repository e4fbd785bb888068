"""Agents to be tortured: their homes, what must hold of them whatever happened, and processes that are killed on the
way.

Run as a script, it is such a process: `driver.py loop SCENARIO FOLDER` kills a turn at every commit boundary, one
after the other; `driver.py turn HOME MESSAGE` has one turn and prints what happens, `driver.py chat HOME AGENT COUNT`
has many.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from memagent import config
from memagent.agent import Agent
from memagent.assemble import load_agent, local_time, make_agent, open_database
from memagent.events import ApprovalAsked, Event, Failed, Reply
from memagent.llm import LLM
from memagent.storage.sqlite import SqliteDatabase

ENVIRONMENT = {
    "MEMAGENT_PROVIDER": "scripted",
    "MEMAGENT_PRESET": "brief",
    "MEMAGENT_EMBEDDER": "off",
    "MEMAGENT_VERIFY_FIRST": "false",
}
PRESET = {
    "system": "brief",
    "functions": ["send_message", "core_memory_append", "core_memory_replace", "archival_memory_insert",
                  "conversation_search", "pause_heartbeats"],
}  # fmt: skip
NAME = "ada"


def make_home(
    home: Path, script: Sequence[Any], *, functions: str = "", preset: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Path:  # fmt: skip
    """A home with the preset `brief`, functions of its own (all named in the preset), and a script."""
    for folder in ("presets", "prompts", "functions"):
        (home / folder).mkdir(parents=True)
    (home / "prompts" / "brief.txt").write_text("You remember things.")
    whole = {**PRESET, **(preset or {})}
    if functions:
        (home / "functions" / "own.py").write_text(functions)
        whole["functions"] = [*whole["functions"], "own"]
    (home / "presets" / "brief.yaml").write_text(json.dumps(whole))
    (home / "script.yaml").write_text(json.dumps(list(script)))
    (home / "config.yaml").write_text(json.dumps(dict(settings or {})))
    return home


def environment(home: Path, **more: object) -> dict[str, str]:
    """The variables under which memagent uses a home."""
    given = {"MEMAGENT_HOME": home, "MEMAGENT_SCRIPT": home / "script.yaml", **more}
    return {**os.environ, **ENVIRONMENT, **{name: str(value) for name, value in given.items()}}


def settings_of(home: Path, **more: object) -> config.Settings:
    return config.load({}, environ=environment(home, **more), cwd=home)


def database_of(home: Path, watch: Callable[[str], None] = lambda _: None) -> Any:
    if url := settings_of(home).database_url:
        from memagent.storage.postgres import PostgresDatabase

        return PostgresDatabase(url, watch=watch)
    return SqliteDatabase(home / "memagent.db", watch=watch)


def new_agent(home: Path, database: Any, name: str = NAME, *, llm: LLM | None = None, clock: Any = local_time) -> Agent:
    return make_agent(settings_of(home), database, name, llm=llm, clock=clock)


def old_agent(home: Path, database: Any, name: str = NAME, *, llm: LLM | None = None, clock: Any = local_time) -> Agent:
    return load_agent(settings_of(home), database, name, llm=llm, clock=clock)


def to_the_end(agent: Agent, events: Iterable[Event], approve: bool = True) -> list[Event]:
    """All that happens until the agent rests; what it asks for is allowed, or not."""
    happened = list(events)
    while any(asked := [event for event in happened if isinstance(event, ApprovalAsked)][-1:]) and (
        agent.state.unfinished() == "waiting"
    ):
        happened += agent.decide(asked[0].call_id, asked[0].digest, approve)
    return happened


def go_on(agent: Agent, message: str) -> list[Event]:
    """What a person does after a crash: let the agent go on; say again what it has never heard."""
    if agent.state.unfinished():
        return to_the_end(agent, agent.resume())
    if not any(m.said == message for m in agent.state.log.all()):
        return to_the_end(agent, agent.turn(message))
    return []


# What must hold -------------------------------------------------------------------------------------------------------


def consistent(database: SqliteDatabase) -> None:
    """What must hold of everything stored, at any instant at which somebody looks."""
    assert database.check() == []
    for (agent,) in database.rows("SELECT id FROM agents"):
        rows = database.rows("SELECT seq, turn, kind, calls, call_id FROM messages WHERE agent = ? ORDER BY seq", agent)
        assert [row[0] for row in rows] == list(range(1, len(rows) + 1)), "numbers have no gap"
        newest, state = (database.rows(
            "SELECT turn, state FROM turns WHERE agent = ? ORDER BY turn DESC LIMIT 1", agent
        ) or [(0, "")])[0]  # fmt: skip
        asked, answered = [], []
        for _, turn, _, calls, call_id in rows:
            asked += [(call[0], turn) for call in json.loads(calls or "[]")]
            if call_id:
                assert call_id in [known for known, _ in asked], "a result comes after its call"
                answered.append(call_id)
        assert len(set(answered)) == len(answered), "a call has one result"
        assert len({call for call, _ in asked}) == len(asked), "ids of calls never come back"
        open_in = {turn for call, turn in asked if call not in answered}
        assert open_in <= ({newest} if state in ("running", "waiting") else set()), "no call is left without a result"
        history_fits(database, agent)


def history_fits(database: SqliteDatabase, agent: str) -> None:
    """The blocks are what their history says."""
    for label, value, version in database.rows("SELECT label, value, version FROM blocks WHERE agent = ?", agent):
        edits = database.rows(
            "SELECT version, before, after FROM block_edits WHERE agent = ? AND label = ? ORDER BY id", agent, label
        )
        assert [edit[0] for edit in edits] == list(range(1, version + 1))
        assert edits[-1][2] == value
        assert all(later[1] == earlier[2] for earlier, later in pairwise(edits))


def replies(database: SqliteDatabase) -> list[str]:
    """Everything that was said to the user, as recall memory has it."""
    rows = database.rows("SELECT said FROM messages WHERE role <> 'user' AND said <> '' AND undone IS NULL ORDER BY id")
    return [row[0] for row in rows]


def said(happened: Iterable[Event]) -> list[str]:
    """What the user hears of it."""
    return [event.text for event in happened if isinstance(event, Reply)]


# A turn killed everywhere ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scenario:
    """A turn that will be killed at each of its commit boundaries, and the home in which it happens."""

    script: Sequence[Any]
    message: str = "Remember that I like tea."
    work: Callable[[Agent, str], object] = lambda agent, message: to_the_end(agent, agent.turn(message))
    mend: Callable[[Agent, str], object] = go_on
    before: Sequence[str] = ()
    functions: str = ""
    preset: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


def call(function: str, /, *, heartbeat: bool = True, **arguments: Any) -> dict[str, Any]:
    """A call of a function, for a script."""
    return {"call": function, "arguments": arguments, "heartbeat": heartbeat, "usage": None}


NOTE = call("core_memory_append", name="human", content="Likes tea.")
KEEP = call("archival_memory_insert", content="The user likes tea.")
SMALL_TALK = {"when": "^small talk", "say": "Indeed. " * 300, "usage": None}
THREE_STEPS = [
    {"when": {"kind": "summary"}, "text": "We made small talk."},
    SMALL_TALK,
    {"when": {"result": "^Kept"}, "say": "I will remember: tea.", "usage": None},
    {"when": {"result": "^(Saved|Essay)"}, **KEEP},
    {"when": {}, **NOTE},
]
ESSAY = '''
from memagent.tools import tool

@tool(after_cut="retry")
def essay() -> str:
    """Read an essay."""
    return "Essay. " + "Tea is a drink. " * 140
'''


def _undo(agent: Agent, _: str) -> None:
    agent.state.undo_turn()


def _undo_again(agent: Agent, message: str) -> None:
    if any(m.said == message for m in agent.state.log.all()):
        agent.state.undo_turn()


SCENARIOS = {
    "memory": Scenario(THREE_STEPS),
    "approval": Scenario(THREE_STEPS, preset={"rules": {"archival_memory_insert": {"approval": True}}}),
    "compaction": Scenario(
        [*THREE_STEPS[:3], {"when": {"result": "^Essay"}, **KEEP}, {"when": {"result": "^Saved"}, **call("essay")},
         {"when": {}, **NOTE}],
        before=[f"small talk {number}" for number in range(3)],
        functions=ESSAY, settings={"context_window": 4000, "warn_at": 0.9, "compact_to": 0.6},
    ),
    "undo": Scenario(THREE_STEPS, work=_undo, mend=_undo_again, before=["Remember that I like tea."]),
}  # fmt: skip


def loop(name: str, folder: Path) -> int:
    """Kill the scenario at boundary 1, 2, … until a run is not killed, and mend each; returns how many were killed.

    A process is forked for each run, to save the start of Python; in all else it is a process of its own.
    """
    scenario = SCENARIOS[name]
    first = make_home(
        folder / "0", scenario.script, functions=scenario.functions, preset=scenario.preset, settings=scenario.settings
    )
    _prepare(first, scenario.before)
    for number in range(1, 200):
        home = folder / str(number)
        shutil.copytree(first, home)
        if not _killed(home, scenario.work, scenario.message, number):
            return number - 1
        _killed(home, scenario.mend, scenario.message, 1 + number % 5)  # it may die again on the way
        assert not _killed(home, scenario.mend, scenario.message, 0)
    raise AssertionError("it never came to an end")


def _prepare(home: Path, before: Iterable[str]) -> None:
    database = database_of(home)
    agent = new_agent(home, database)
    for message in before:
        to_the_end(agent, agent.turn(message))
    database.close()


def _killed(home: Path, work: Callable[[Agent, str], object], message: str, number: int) -> bool:
    """Work in a process of its own, which dies at a commit boundary (0: does not); whether it was killed."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            settings = settings_of(home, MEMAGENT_CRASH_AT=number)
            work(load_agent(settings, open_database(settings), NAME), message)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == 9
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def turn(home: Path, message: str) -> None:
    """One turn, each event told on a line of its own. Ctrl-C ends it, as in the chat."""
    database = database_of(home)
    agent = old_agent(home, database)
    events = agent.turn(message)
    try:
        for event in events:
            print(type(event).__name__, getattr(event, "text", ""), flush=True)
    finally:
        events.close()
        database.close()


def chat(home: Path, name: str, count: int) -> None:
    """A chat of so many turns; tells each reply or error on a line."""
    database = database_of(home)
    agent = old_agent(home, database, name)
    for number in range(count):
        for event in agent.turn(f"{name} says {number}"):
            if isinstance(event, Reply | Failed):
                print(vars(event).get("text") or vars(event)["message"], flush=True)
    database.close()


if __name__ == "__main__":
    if sys.argv[1] == "loop":
        print(loop(sys.argv[2], Path(sys.argv[3])))
    elif sys.argv[1] == "chat":
        chat(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    else:
        turn(Path(sys.argv[2]), sys.argv[3])
