"""Many at once ask, follow, cancel and leave, in whatever order: each run comes to one end, nothing is said twice."""

from __future__ import annotations

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from serving import Serving, make_home, served, until

from memagent.errors import AgentBusy
from memagent.events import TurnEnded
from memagent.server import runs as runs_of
from memagent.server.runs import Run
from memagent.storage.sqlite import SqliteDatabase

SCRIPT = """
- when: '^slow'
  say: "slow done"
  delay: 0.15
- when: '^words'
  say: "one two three four five"
  pace: 0.01
- when: '^fail'
  error: {status: 400, message: "no way"}
- when: {said: '^note', after_calls: 0}
  call: core_memory_append
  arguments: {name: human, content: "."}
  heartbeat: true
- when: {}
  say: "fine"
"""
KINDS = ("slow", "words", "fail", "note", "plain")


def visit(server: Serving, agents: list[str], seed: int, seconds: float, begun: list[Run]) -> None:
    """One client that does as it likes for a while."""
    chance, end = random.Random(seed), time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        number += 1
        agent, text = chance.choice(agents), f"{chance.choice(KINDS)} {seed} {number}"
        try:
            run = server.start(agent, text, otid=text if chance.random() < 0.3 else None, waits=chance.random() < 0.8)
        except AgentBusy:
            continue
        begun.append(run)
        if chance.random() < 0.3:
            time.sleep(chance.random() * 0.1)
            server.house.runs.cancel(chance.choice(begun[-20:]))
        if chance.random() < 0.2:
            server.house.residents.forget(agent)
        if chance.random() < 0.5:
            ends = [event for event in server.heard(run) if isinstance(event, TurnEnded)]
            assert len(ends) == 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_clients_do_each_run_ends_once(home: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(runs_of, "PATIENCE", 0.02)  # so that agents are often taken from their threads
    make_home(home, SCRIPT)
    begun: list[Run] = []
    with served(home) as server:
        agents = [server.agent(f"agent {number}") for number in range(5)]
        with ThreadPoolExecutor(10) as pool:
            for done in [pool.submit(visit, server, agents, 100 * seed + n, 5, begun) for n in range(10)]:
                done.result()
        until(lambda: not server.house.runs.running())
        for run in begun:
            assert run.over.wait(5)
        rows = server.rows("SELECT id, state, told, turn, ended FROM runs")
        assert len({run.id for run in begun}) == len(rows) > 50
        assert {row[1] for row in rows} <= {"done", "failed", "interrupted"} and all(row[4] for row in rows)
        assert Counter(row[1] for row in rows).keys() == {"done", "failed", "interrupted"}
        said = Counter(row[0] for row in server.rows("SELECT said FROM messages WHERE kind = 'user'"))
        assert set(said.values()) == {1}
        texts = {row[2].partition('": "')[2].rstrip('"}'): row[1] for row in rows}
        assert {text for text, state in texts.items() if state == "done"} <= said.keys() <= texts.keys()
        open_turns = server.rows("SELECT count(*) FROM turns WHERE state IN ('running', 'waiting')")
        assert open_turns == [(0,)] and server.rows("SELECT count(*) FROM agents WHERE holder IS NOT NULL") == [(0,)]
        assert isinstance(server.database, SqliteDatabase) and server.database.check() == []
        for agent in agents:  # each still talks
            assert server.heard(server.start(agent, "plain"))[-1].ending == "done"
