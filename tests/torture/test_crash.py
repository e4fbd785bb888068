"""Turns killed hard, wherever it hurts: nothing that was stored is lost, nothing is done twice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from driver import (
    NAME,
    SCENARIOS,
    call,
    consistent,
    database_of,
    environment,
    make_home,
    new_agent,
    old_agent,
    replies,
)

from memagent.events import Notice, Reply, Returned
from memagent.storage.sqlite import SqliteDatabase

DRIVER = Path(__file__).with_name("driver.py")
posix = pytest.mark.skipif(os.name == "nt", reason="it forks, and kills by signal")


def killed_homes(scenario: str, folder: Path) -> list[Path]:
    """The homes of a scenario that was killed at every commit boundary, one after the other, and mended each time."""
    done = subprocess.run(
        [sys.executable, str(DRIVER), "loop", scenario, str(folder)], capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr
    homes = [folder / str(number) for number in range(1, int(done.stdout) + 2)]
    assert all((home / "memagent.db").exists() for home in homes)
    return homes


def opened(homes: list[Path]) -> Iterator[tuple[Path, SqliteDatabase]]:
    for home in homes:
        with closing(database_of(home)) as database:
            consistent(database)
            yield home, database


def values(database: SqliteDatabase, sql: str) -> list[object]:
    return [row[0] for row in database.rows(sql)]


def everything_happened_once(database: SqliteDatabase, message: str) -> None:
    assert values(database, "SELECT said FROM messages WHERE kind = 'user'").count(message) == 1
    assert replies(database).count("I will remember: tea.") == 1
    (human,) = values(database, "SELECT value FROM blocks WHERE label = 'human'")
    assert str(human).count("Likes tea.") == 1
    assert values(database, "SELECT text FROM passages") == ["The user likes tea."]
    assert values(database, "SELECT count(*) FROM turns WHERE state NOT IN ('done', 'interrupted')") == [0]
    assert values(database, "SELECT count(*) FROM calls") == [0]


@posix
@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["memory", "approval", "compaction"])
def test_a_turn_killed_at_any_commit_goes_on_and_does_everything_once(scenario: str, folder: Path) -> None:
    homes = killed_homes(scenario, folder)
    assert len(homes) > 16  # at least eight commits, with a boundary before and after each
    compacted = 0
    for home, database in opened(homes):
        everything_happened_once(database, SCENARIOS[scenario].message)
        summaries = values(database, "SELECT count(*) FROM messages WHERE kind = 'summary'")[0]
        assert isinstance(summaries, int) and summaries <= 1
        compacted += summaries
        agent = old_agent(home, database)
        assert not agent.state.unfinished()
        assert [e.text for e in agent.turn("small talk") if isinstance(e, Reply)]
    assert (compacted == len(homes)) if scenario == "compaction" else not compacted


@posix
@pytest.mark.slow
def test_an_undo_killed_at_any_commit_is_whole_or_has_not_happened(folder: Path) -> None:
    homes = killed_homes("undo", folder)
    assert len(homes) > 2
    for _, database in opened(homes):
        assert replies(database) == []
        (human,) = values(database, "SELECT value FROM blocks WHERE label = 'human'")
        assert "tea" not in str(human)
        assert values(database, "SELECT count(*) FROM passages WHERE undone IS NULL") == [0]
        assert values(database, "SELECT count(*) FROM messages") != [0]  # undone, but still there


@posix
@pytest.mark.slow
def test_the_command_line_dies_where_it_is_told_to_and_the_chat_goes_on(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", SCENARIOS["memory"].script)
    with closing(database_of(home)) as database:
        new_agent(home, database)
        command = [sys.executable, "-m", "memagent.cli", "ask", "--agent", NAME, "Remember that I like tea."]
        command[1:3] = ["-c", "from memagent.cli.app import main; main()"]
        killed = subprocess.run(command, env=environment(home, MEMAGENT_CRASH_AT=5), capture_output=True, timeout=50)
        assert killed.returncode == -9
        assert old_agent(home, database).state.unfinished() == "running"
        command[-1] = "small talk"
        done = subprocess.run(command, env=environment(home), capture_output=True, text=True, timeout=50)
        assert done.returncode == 0, done.stderr
        assert "Indeed." in done.stdout
        consistent(database)


BELL = """
import os, signal
from pathlib import Path
from memagent.tools import tool

@tool(after_cut="{policy}")
def ring(self) -> str:
    \"\"\"Ring the bell outside.\"\"\"
    heard = Path({file!r})
    first = not heard.exists()
    with heard.open("a") as out:
        out.write(self.idempotency_key + "\\n")
    if first:
        os.kill(os.getpid(), signal.SIGKILL)
    return "Rung."
"""


@posix
@pytest.mark.parametrize("policy", ["retry", "ask"])
def test_a_function_that_acts_outside_and_dies_is_run_again_or_asked_about(policy: str, tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    script = [
        {"when": {"result": "not known whether"}, "say": "Did it ring?"},
        {"when": {"result": "Rung"}, "say": "It rang."},
        {"when": "ring", **call("ring")},
    ]
    home = make_home(tmp_path / "home", script, functions=BELL.format(policy=policy, file=str(heard)))
    with closing(database_of(home)) as database:
        new_agent(home, database)
        command = [sys.executable, str(DRIVER), "turn", str(home), "Please ring."]
        killed = subprocess.run(command, capture_output=True, text=True, timeout=50)
        assert killed.returncode == -9, killed.stderr
        assert "Called" in killed.stdout and "Returned" not in killed.stdout
        agent = old_agent(home, database)
        assert agent.state.unfinished() == "running"
        happened = list(agent.resume())
        said = [event.text for event in happened if isinstance(event, Reply)]
        keys = heard.read_text().split()
        if policy == "retry":
            assert len(keys) == 2 and len(set(keys)) == 1
            assert said == ["It rang."]
        else:
            assert len(keys) == 1
            assert said == ["Did it ring?"]
            assert any("not known whether ring happened" in e.text for e in happened if isinstance(e, Notice))
            assert not next(e.ok for e in happened if isinstance(e, Returned))
        consistent(database)


@posix
def test_a_new_message_instead_of_going_on_runs_nothing_again(tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    script = [{"when": "ring", **call("ring")}, {"when": {}, "say": "Well."}]
    home = make_home(tmp_path / "home", script, functions=BELL.format(policy="retry", file=str(heard)))
    with closing(database_of(home)) as database:
        new_agent(home, database)
        command = [sys.executable, str(DRIVER), "turn", str(home), "Please ring."]
        assert subprocess.run(command, capture_output=True, timeout=50).returncode == -9
        agent = old_agent(home, database)
        assert [e.text for e in agent.turn("Never mind.") if isinstance(e, Reply)] == ["Well."]
        (result,) = [m for m in agent.state.window if m.kind == "result" and m.name == "ring"]
        assert "not known whether" in result.content
        assert len(heard.read_text().split()) == 1
        consistent(database)
