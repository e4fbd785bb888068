"""The server's process is killed, told to end, and started in ways that it refuses: nothing is lost, nothing is done
twice.
"""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

import httpx2
import pytest
from serving import Serving, environment, in_a_process, make_home, until

from memagent.storage.sqlite import SqliteDatabase

posix = pytest.mark.skipif(os.name == "nt", reason="it kills by signal")
COMMAND = [sys.executable, "-c", "from memagent.cli.app import program; program()", "server", "--port", "0"]


def ask(server: Serving, agent: str, text: str) -> httpx2.Response:
    message = {"model": agent, "messages": [{"role": "user", "content": text}]}
    return server.http().post("/v1/chat/completions", json=message)


def in_the_background(server: Serving, agent: str, text: str) -> threading.Thread:
    """Ask, and do not care what becomes of the connection."""

    def call() -> None:
        with suppress(httpx2.HTTPError):
            ask(server, agent, text)

    thread = threading.Thread(target=call)
    thread.start()
    return thread


def states(server: Serving) -> Counter[str]:
    return Counter(row[0] for row in server.rows("SELECT state FROM runs"))


@posix
@pytest.mark.slow
def test_killed_in_the_middle_of_turns_all_are_taken_up_and_nothing_is_said_twice(home: Path) -> None:
    names = [f"agent {number}" for number in range(4)]
    asked = [(name, f"slow {name} {n}") for name in names for n in range(3)]
    with in_a_process(home) as server:
        for name in names:
            server.agent(name)
        threads = [in_the_background(server, *each) for each in asked]
        until(lambda: len(server.rows("SELECT 1 FROM runs")) == len(asked) and states(server)["running"] > 1)
        server.kill()
        for thread in threads:
            thread.join()
        assert states(server)["queued"] > 0
    with in_a_process(home) as server:
        until(lambda: states(server) == {"done": len(asked)})
        said = Counter(row[0] for row in server.rows("SELECT said FROM messages WHERE said <> ''"))
        assert {text: said[text] for _, text in asked} == {text: 2 for _, text in asked}
        assert isinstance(server.database, SqliteDatabase) and server.database.check() == []
        order = "SELECT said FROM messages WHERE kind = 'user' AND agent = ? ORDER BY seq"
        runs = "SELECT told FROM runs WHERE agent = ? ORDER BY created"
        for name in names:
            told = [row[0] for row in server.rows(runs, server.entry(name).id)]
            assert told == [f'{{"text": "{row[0]}"}}' for row in server.rows(order, server.entry(name).id)]


@posix
@pytest.mark.slow
def test_killed_again_and_again_under_load_nothing_is_lost(home: Path) -> None:
    with in_a_process(home) as server:
        for number in range(3):
            server.agent(f"agent {number}")
    stored: set[str] = set()
    for round_ in range(4):
        with in_a_process(home) as server:
            threads = [in_the_background(server, f"agent {n % 3}", f"note round {round_} number {n}") for n in range(9)]
            time.sleep(0.05 * round_)
            until(lambda: bool(server.rows("SELECT 1 FROM runs WHERE state = 'done'")))
            server.kill()
            for thread in threads:
                thread.join()
            stored |= {row[0] for row in server.rows("SELECT id FROM runs")}
    with in_a_process(home) as server:
        until(lambda: states(server).keys() == {"done"})
        assert {row[0] for row in server.rows("SELECT id FROM runs")} == stored
        assert server.end() == 0
        human = "".join(row[0] for row in server.rows("SELECT value FROM blocks WHERE label = 'human'"))
        for (told,) in server.rows("SELECT told FROM runs"):
            note = told.partition("note ")[2].rstrip('"}')
            assert human.count(note) == 1, note


@posix
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_ends_well_and_soon(home: Path, number: signal.Signals) -> None:
    with in_a_process(home) as server:
        server.agent()
        assert ask(server, "ada", "hello").status_code == 200
        begun = time.monotonic()
        assert server.end(number) == 0
        assert time.monotonic() - begun < 5
        assert "Traceback" not in (home / "server.out").read_text()


@posix
@pytest.mark.slow
def test_told_to_end_it_lets_a_turn_end_and_tells_who_waits(home: Path) -> None:
    with in_a_process(home) as server:
        server.agent()
        got: list[str] = []
        thread = threading.Thread(
            target=lambda: got.append(ask(server, "ada", "silent").json()["choices"][0]["message"]["content"])
        )
        thread.start()
        until(lambda: states(server)["running"] == 1)
        assert server.end() == 0
        thread.join()
        assert got == ["At last."] and states(server) == {"done": 1}


@posix
@pytest.mark.slow
def test_two_ctrl_c_end_it_at_once_and_the_turn_goes_on_at_the_next_start(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", "- {when: {}, say: 'At last.', delay: 60}")
    with in_a_process(home) as server:
        server.agent()
        thread = in_the_background(server, "ada", "hello")
        until(lambda: states(server)["running"] == 1)
        begun = time.monotonic()
        assert server.process
        server.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert server.end(signal.SIGINT) == 0
        assert time.monotonic() - begun < 5
        thread.join()
    make_home(home)
    with in_a_process(home) as server:
        until(lambda: states(server) == {"done": 1})
        assert [row[0] for row in server.rows("SELECT said FROM messages WHERE turn > 0 AND said <> ''")] == [
            "hello", "echo hello",
        ]  # fmt: skip


def started(home: Path, *words: str, seconds: float = 20) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words], env=environment(home), cwd=home, capture_output=True, text=True, timeout=seconds
    )


def test_an_address_that_others_reach_needs_keys(home: Path) -> None:
    done = started(home, "--host", "0.0.0.0")
    assert done.returncode != 0 and "there are no keys" in done.stderr and "memagent keys add" in done.stderr


def test_an_address_that_is_taken_or_none_is_told(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = started(home, "--port", str(taken.getsockname()[1]))
    assert done.returncode != 0 and "can't be served" in done.stderr and "--port" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_database_that_somebody_holds_is_told(home: Path) -> None:
    with in_a_process(home) as server:
        assert server.end() == 0
    with closing(sqlite3.connect(home / "memagent.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        done = started(home, seconds=50)
    assert done.returncode != 0 and "in use by another program" in done.stderr and "Traceback" not in done.stderr
