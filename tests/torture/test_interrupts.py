"""Ctrl-C at any instant, and again while the first one is being heeded: the turn is over, memory is whole, the chat
goes on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from driver import (
    KEEP,
    NAME,
    NOTE,
    consistent,
    database_of,
    environment,
    make_home,
    new_agent,
    old_agent,
    replies,
)

from memagent.events import Called, Reply, Returned
from memagent.llm.scripted import ScriptedLLM
from memagent.verdict import open_calls

posix = pytest.mark.skipif(os.name == "nt", reason="it sends signals")
SCRIPT = [
    {"when": "again", "say": "Here I am."},
    {"when": {"result": "^Kept"}, "say": "I will remember: tea."},
    {"when": {"result": "^Saved"}, **KEEP},
    {"when": {}, **NOTE},
]


class Interrupting:
    """Raises Ctrl-C at moments of the database, counted from 1; what a moment is, is told to a database's `watch`."""

    def __init__(self) -> None:
        self.passed = 0
        self.at: set[int] = set()

    def __call__(self, moment: str) -> None:
        self.passed += 1
        if self.passed in self.at:
            raise KeyboardInterrupt

    def set(self, *moments: int) -> None:
        self.passed, self.at = 0, set(moments)


@pytest.mark.slow
@pytest.mark.parametrize("again_after", [0, 1, 4])
def test_ctrl_c_at_every_moment_of_the_database_and_again_on_the_way_out(again_after: int, tmp_path: Path) -> None:
    watch = Interrupting()
    home = make_home(tmp_path / "home", SCRIPT)
    with closing(database_of(home, watch)) as database:
        for number in range(1, 300):
            agent = new_agent(home, database, f"ada{number}", llm=ScriptedLLM(SCRIPT))
            watch.set(number, number + again_after)
            interrupted = False
            try:
                happened = list(agent.turn("Remember that I like tea."))
            except KeyboardInterrupt:
                interrupted = True
            reached = watch.passed
            watch.set()
            if not interrupted and reached < number:
                assert [e.text for e in happened if isinstance(e, Reply)] == ["I will remember: tea."]
                break
            later = list(agent.turn("again"))
            assert [e.text for e in later if isinstance(e, Reply)] == ["Here I am."]
            assert not open_calls(agent.state.window)
            assert agent.state.window == agent.state.log.window(), "what is seen is what is stored"
            assert [m.said for m in agent.state.window if m.kind == "user"][-1] == "again"
            with database.write() as tx:  # keeps the file small
                tx.run("DELETE FROM agents WHERE id <> ?", agent.state.entry.id)
            consistent(database)
        assert number > 50


def test_ctrl_c_while_the_model_writes(tmp_path: Path) -> None:
    def stop(_: float) -> None:
        raise KeyboardInterrupt

    script = [{"when": "again", "say": "Here I am."}, {"when": {}, "say": "A long story " * 20, "pace": 0.1}]
    home = make_home(tmp_path / "home", script)
    with closing(database_of(home)) as database:
        agent = new_agent(home, database, llm=ScriptedLLM(script, sleep=stop))
        with pytest.raises(KeyboardInterrupt):
            list(agent.turn("Tell me"))
        assert database.rows("SELECT state FROM turns") == [("interrupted",)]
        assert [m.kind for m in agent.state.window] == ["user"], "what was half heard is not stored"
        assert [e.text for e in agent.turn("again") if isinstance(e, Reply)] == ["Here I am."]
        consistent(database)


STUBBORN = '''
import threading
from memagent.tools import tool

began, go_on, over = threading.Event(), threading.Event(), threading.Event()

@tool()
def stubborn(self) -> str:
    """Do not stop."""
    self.core.append("human", "BEFORE")
    began.set()
    go_on.wait(20)
    try:
        self.core.append("human", "AFTER")
    finally:
        over.set()
    return "Done."
'''


@posix
def test_ctrl_c_while_a_function_runs_which_then_has_no_effect(tmp_path: Path) -> None:
    script = [{"when": "again", "say": "Here I am."}, {"when": {}, "call": "stubborn"}]
    home = make_home(tmp_path / "home", script, functions=STUBBORN)
    with closing(database_of(home)) as database:
        agent = new_agent(home, database, llm=ScriptedLLM(script))
        inside = agent.tools["stubborn"].function.__globals__
        presser = threading.Thread(
            target=lambda: (inside["began"].wait(20), signal.pthread_kill(threading.main_thread().ident, signal.SIGINT))  # type: ignore[arg-type]
        )
        presser.start()
        with pytest.raises(KeyboardInterrupt):
            list(agent.turn("Go"))
        presser.join()
        assert database.rows("SELECT state FROM turns") == [("interrupted",)]
        (result,) = [m for m in agent.state.window if m.kind == "result"]
        assert "not known whether" in result.content
        inside["go_on"].set()
        assert inside["over"].wait(20)
        assert [e.text for e in agent.turn("again") if isinstance(e, Reply)] == ["Here I am."]
        assert "BEFORE" not in agent.state.core.blocks["human"].value
        assert "AFTER" not in agent.state.core.blocks["human"].value
        consistent(database)


def test_a_listener_that_goes_away_at_any_event_leaves_everything_whole(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", SCRIPT)
    with closing(database_of(home)) as database:
        for number in range(1, 100):
            agent = new_agent(home, database, f"ada{number}", llm=ScriptedLLM(SCRIPT))
            events = agent.turn("Remember that I like tea.")
            with suppress(StopIteration):
                told = [next(events) for _ in range(number)]
                events.close()
                assert sum(isinstance(e, Called) for e in told) - sum(isinstance(e, Returned) for e in told) in (0, 1)
                assert not agent.state.held_by() and not agent.state.unfinished()
                assert not open_calls(agent.state.window)
                continue
            break
        assert number > 12
        consistent(database)


def asking(home: Path, message: str, **more: Any) -> subprocess.Popen[str]:
    door = "from memagent.cli.app import program; program()"
    command = [sys.executable, "-c", door, "ask", "--json", "-a", NAME, message]
    return subprocess.Popen(
        command, env=environment(home), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, **more,
    )  # fmt: skip


SLEEPY = '''
import time

def sleepy() -> str:
    """Sleep."""
    time.sleep(30)
    return "Slept."
'''


@posix
@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "presses", "code"),
    [("Delta", [signal.SIGINT], 130), ("Called", [signal.SIGINT], 130), ("Delta", [signal.SIGTERM], 143),
     ("Called", [signal.SIGINT, signal.SIGINT], 130)],
)  # fmt: skip
def test_a_process_that_is_told_to_stop(where: str, presses: list[signal.Signals], code: int, tmp_path: Path) -> None:
    script = [
        {"when": "again", "say": "Here I am."},
        {"when": "story", "say": "A long story " * 20, "pace": 0.2},
        {"when": {}, "call": "sleepy"},
    ]
    home = make_home(tmp_path / "home", script, functions=SLEEPY)
    with closing(database_of(home)) as database:
        new_agent(home, database)
        process = asking(home, "Tell me a story" if where == "Delta" else "Go")
        try:
            assert process.stdout
            assert any(f'"{where}"' in line for line in process.stdout)
            for press in presses:
                process.send_signal(press)
            process.communicate(timeout=20)
        finally:
            process.kill()
            process.communicate()
        assert process.returncode in ((code, -2) if len(presses) > 1 else (code,))
        if len(presses) == 1:
            assert database.rows("SELECT state FROM turns") == [("interrupted",)]
        agent = old_agent(home, database)
        assert [e.text for e in agent.turn("again") if isinstance(e, Reply)] == ["Here I am."]
        assert replies(database) == ["Here I am."]
        consistent(database)
