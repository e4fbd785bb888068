"""An agent in PostgreSQL: killed at every commit, made by a process that dies, and its password told nowhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import postgres_server
import pytest
from driver import NAME, SCENARIOS, _killed, consistent, database_of, environment, make_home, new_agent, replies, said

from memagent.events import Failed
from memagent.llm.scripted import ScriptedLLM

psycopg = pytest.importorskip("psycopg")
posix = pytest.mark.skipif(os.name == "nt", reason="it uses what only POSIX has")
PASSWORD = "canary%20w0rd"


@pytest.fixture
def url() -> Iterator[str]:
    url = postgres_server.new_database()
    yield url
    postgres_server.drop(url)


@posix
@pytest.mark.slow
@pytest.mark.parametrize("name", ["memory", "undo"])
def test_a_turn_killed_at_any_commit_goes_on_and_does_everything_once(name: str, url: str, tmp_path: Path) -> None:
    scenario = SCENARIOS[name]
    home = make_home(tmp_path / "home", scenario.script, settings={"database": url})
    for number in range(1, 100):
        with closing(database_of(home)) as database:
            with database.write() as tx:
                tx.run("DELETE FROM agents")
            agent = new_agent(home, database)
            for message in scenario.before:
                list(agent.turn(message))
        if not _killed(home, scenario.work, scenario.message, number):
            break
        _killed(home, scenario.mend, scenario.message, 1 + number % 5)  # it may die again on the way
        assert not _killed(home, scenario.mend, scenario.message, 0)
        with closing(database_of(home)) as database:
            consistent(database)
            happened_once(database) if name == "memory" else never_happened(database)
    assert number > (16 if name == "memory" else 2)


def cut(url: str) -> None:
    """End all connections to a database, as a restart of the server does."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def happened_once(database: Any) -> None:
    assert replies(database).count("I will remember: tea.") == 1
    [(human,)] = database.rows("SELECT value FROM blocks WHERE label = 'human'")
    assert human.count("Likes tea.") == 1
    assert database.rows("SELECT text FROM passages") == [("The user likes tea.",)]
    assert database.rows("SELECT count(*) FROM turns WHERE state NOT IN ('done', 'interrupted')") == [(0,)]
    assert database.rows("SELECT count(*) FROM calls") == [(0,)]


def never_happened(database: Any) -> None:
    assert replies(database) == []
    assert "tea" not in database.rows("SELECT value FROM blocks WHERE label = 'human'")[0][0]
    assert database.rows("SELECT count(*) FROM passages WHERE undone IS NULL") == [(0,)]


class Cutting:
    """Cuts all connections before the n-th statement or commit."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.passed = self.at = 0

    def __call__(self, moment: str) -> None:
        if moment == "committed":
            return
        self.passed += 1
        if self.passed == self.at:
            cut(self.url)


@pytest.mark.slow
def test_a_connection_may_be_lost_at_any_statement(url: str, tmp_path: Path) -> None:
    script = [{"when": "again", "say": "Here I am."}, *SCENARIOS["memory"].script]
    home, watch = make_home(tmp_path / "home", script, settings={"database": url}), Cutting(url)
    told = set()
    with closing(database_of(home, watch)) as database:
        for number in range(1, 300, 3):
            agent = new_agent(home, database, f"ada{number}", llm=ScriptedLLM(script))
            watch.passed, watch.at = 0, number
            happened = list(agent.turn("Remember that I like tea."))
            reached, watch.at = watch.passed >= number, 0
            errors = [event.message for event in happened if isinstance(event, Failed)]
            assert errors or said(happened) == ["I will remember: tea."]
            assert all("was lost" in error for error in errors)
            told |= {error.rpartition(" was lost")[2] for error in errors}
            if not reached:
                break
            assert said(list(agent.turn("again"))) == ["Here I am."]
            assert agent.state.window == agent.state.log.window()
            with database.write() as tx:
                tx.run("DELETE FROM agents WHERE id <> ?", agent.state.entry.id)
            consistent(database)
    assert number > 50 and len(told) == 2, "in the middle, and at the last moment"


@posix
@pytest.mark.parametrize("boundary", [1, 2])
def test_tables_whose_maker_is_killed_are_there_or_not(url: str, boundary: int, tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", [], settings={"database": url})
    code = "from memagent import config; from memagent.storage.opening import opened; opened(config.load({}))"
    made = subprocess.run([sys.executable, "-c", code], env=environment(home, MEMAGENT_CRASH_AT=boundary), timeout=50)
    assert made.returncode == -9
    with closing(database_of(home)) as database:
        new_agent(home, database)
        consistent(database)


ONE_AFTER_THE_OTHER = """
import json, os, sys, traceback
from memagent.cli.app import main
for database, words in json.loads(sys.argv[1]):
    os.environ["MEMAGENT_DATABASE"] = database
    sys.argv = ["memagent", *words]
    try:
        main()
    except SystemExit:
        pass
    except BaseException:
        traceback.print_exc()
    print("", end="\\x1e", flush=True)
"""


def memagent(home: Path, *commands: tuple[str, list[str]]) -> list[str]:
    """All that these commands print, each with the database that it is for; they run in one process, to be quick."""
    done = subprocess.run(
        [sys.executable, "-c", ONE_AFTER_THE_OTHER, json.dumps(commands)],
        env=environment(home, MEMAGENT_LOG_LEVEL="debug"), stdin=subprocess.DEVNULL, text=True, cwd=home,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=55,
    )  # fmt: skip
    return done.stdout.split("\x1e")[:-1]


@pytest.mark.slow
def test_every_command_works_there_and_none_tells_the_password(url: str, tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", [{"when": {}, "say": "Hello there."}])
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "engine.md").write_text("# Engines\n\nThe analytical engine weaves patterns.")
    (tmp_path / "papers" / "loom.txt").write_text("The loom weaves flowers and leaves.")
    secret = url if postgres_server.GIVEN else url.replace("memagent@", f"memagent:{PASSWORD}@")
    away, gone = f"postgresql://ada:{PASSWORD}@127.0.0.1:9/x", "postgresql://ada@127.0.0.1:9/x can't be reached"
    expected: list[tuple[str, list[str], str]] = [
        (secret, ["ask", "--agent", NAME, "hello"], "Hello there."),
        (secret, ["list"], NAME),
        (secret, ["search", NAME, "hello"], "hello"),
        (secret, ["load", "directory", str(tmp_path / "papers"), "--attach", NAME], "2 new"),
        (secret, ["load", "directory", str(tmp_path / "papers"), "--attach", NAME], "2 unchanged"),
        (secret, ["sources"], "papers"),
        (secret, ["search", NAME, "engine", "--in", "archival"], "analytical engine"),
        (secret, ["reindex"], ""),
        (secret, ["doctor", "--offline"], "is sound; 1 agent"),
        (secret, ["config", "show", "--origin"], "postgresql://"),
        (secret, ["config", "path"], "postgresql://"),
        (secret, ["export", NAME], "memagent-agent"),
        (secret, ["backup"], "pg_dump --schema memagent"),
        (secret, ["restore", "all.zip"], "psql --file"),
        (away, ["ask", "--debug", "--agent", NAME, "hello"], gone),
        (away, ["doctor", "--offline"], gone),
        (away, ["list"], gone),
    ]
    told = memagent(home, *((database, words) for database, words, _ in expected))
    for (_, words, part), printed in zip(expected, told, strict=True):
        assert part in printed, (words, printed)
    kept = [path.read_text("latin-1") for path in home.rglob("*") if path.is_file()]
    for form in (PASSWORD, "canary", "w0rd"):
        assert not any(form in text for text in (*told, *kept)), form
