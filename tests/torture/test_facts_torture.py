"""Reading for facts, killed and crossed wherever it hurts: no message is lost, and none tells anything twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from driver import NAME, consistent, database_of, environment, make_home, new_agent, old_agent, settings_of, to_the_end

from memagent.assemble import load_agent, open_database
from memagent.facts import Cause
from memagent.facts.ledger import Ledger, keepers
from memagent.facts.reading import FactReader

posix = pytest.mark.skipif(os.name == "nt", reason="it forks, and kills by signal")

SCRIPT = [
    {
        "when": {"kind": "facts"},
        "facts": [
            {"text": "The user uses Shram.", "message": 1},
            {"text": "The user uses Magnet.", "message": 4},
            {"text": "The user uses Magnet.", "holds": False, "message": 7},
            {"text": "The user uses Shram.", "message": 7},
        ],
    },
    {"when": {}, "say": "Good.", "usage": None},
]
MESSAGES = ["I use Shram", "I use Magnet", "I use Shram, and Magnet no more"]


def told(home: Path, messages: list[str] = MESSAGES, script: Any = SCRIPT) -> None:
    """An agent that was told something that nobody has read for facts yet."""
    make_home(home, script)
    database = database_of(home)
    agent = new_agent(home, database)
    for message in messages:
        to_the_end(agent, agent.turn(message))
    numbers = [m.seq for m in agent.state.log.all() if m.role == "user"]
    assert script is not SCRIPT or numbers == [1, 4, 7], numbers
    database.close()


def reader_of(home: Path, database: Any) -> FactReader:
    reader = old_agent(home, database).behind.reader
    assert reader
    return reader


def ledger_of(database: Any) -> Ledger:
    (keeper,) = keepers(database, "local")
    return Ledger(database, keeper)


def dies_at(home: Path, number: int, work: Callable[[Any], object]) -> bool:
    """Work in a process of its own, which dies at a commit boundary; whether it did."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            settings = settings_of(home, MEMAGENT_CRASH_AT=number)
            work(load_agent(settings, open_database(settings), NAME))
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def read(agent: Any) -> None:
    list(agent.behind.reader.read())


def everything_was_learned_once(database: Any) -> None:
    consistent(database)
    ledger = ledger_of(database)
    (shram,) = ledger.listed()
    (magnet,) = ledger.listed(("past",))
    assert (shram.text, shram.confirmed, magnet.text) == ("The user uses Shram", 2, "The user uses Magnet")
    assert [c.what for c in ledger.history(shram.id)] == ["learned", "confirmed"]
    assert [c.what for c in ledger.history(magnet.id)] == ["learned", "ended"]
    assert ledger.count(("forgotten",)) == 0


@posix
@pytest.mark.slow
def test_reading_killed_at_any_commit_loses_nothing_and_doubles_nothing(folder: Path) -> None:
    boundaries = 0
    for number in range(1, 100):
        home = folder / str(number)
        told(home)
        killed = dies_at(home, number, read)
        boundaries += killed
        if killed:
            dies_at(home, 1 + number % 3, read)  # and again, on the way
        with closing(database_of(home)) as database:
            list(reader_of(home, database).read())
            everything_was_learned_once(database)
        if not killed:
            break
    assert boundaries >= 6  # a commit for each message that tells something, with a boundary on either side


@posix
def test_a_process_killed_while_the_model_thinks_is_read_by_the_next(tmp_path: Path) -> None:
    slow = [{**SCRIPT[0], "delay": 60, "times": 1}, SCRIPT[1]]
    told(tmp_path / "home", script=slow)
    home = tmp_path / "home"
    command = [sys.executable, "-c", "from memagent.cli.app import program; program()", "facts", "read"]
    process = subprocess.Popen(command, env=environment(home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.8)
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    with closing(database_of(home)) as database:
        reader = reader_of(home, database)
        assert reader.waiting() == 6
        reader.memory.extractor = old_agent(tmp_path / "home", database, llm=_scripted(SCRIPT)).state.facts.extractor  # type: ignore[union-attr]
        list(reader.read())
        everything_was_learned_once(database)


def _scripted(script: Any) -> Any:
    from memagent.llm.scripted import ScriptedLLM

    return ScriptedLLM(script)


READ = """
import sys
from memagent import config
from memagent.assemble import load_agent, open_database
settings = config.load({})
agent = load_agent(settings, open_database(settings), sys.argv[1])
for _ in range(40):
    if not agent.behind.reader.waiting():
        break
    list(agent.behind.reader.read())
"""


@pytest.mark.slow
def test_many_processes_read_each_message_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    script = [
        {"when": {"kind": "facts", "said": r"(?s)number (\d+)\. So"}, "facts": ["Number {1} was said."], "delay": 0.01},
        {"when": {}, "say": "Good.", "usage": None},
    ]
    told(home, [f"This is number {n}. " + "So it goes. " * 450 for n in range(4)], script)
    processes = [
        subprocess.Popen([sys.executable, "-c", READ, NAME], env=environment(home), stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=50)
        assert process.returncode == 0, errors
    with closing(database_of(home)) as database:
        ledger = ledger_of(database)
        facts = ledger.listed()
        assert sorted(fact.text for fact in facts) == [f"The user's number {n} was said" for n in range(4)]
        assert {fact.confirmed for fact in facts} == {1}
        assert reader_of(home, database).waiting() == 0


@posix
def test_an_undo_killed_at_any_commit_takes_back_what_was_learned_or_nothing(folder: Path) -> None:
    for number in range(1, 50):
        home = folder / str(number)
        told(home)
        with closing(database_of(home)) as database:
            list(reader_of(home, database).read())
        killed = dies_at(home, number, lambda agent: agent.state.undo_turn())
        with closing(database_of(home)) as database:
            consistent(database)
            taken_back = not any(m.said == MESSAGES[2] for m in old_agent(home, database).state.log.all())
            magnet = [fact.text for fact in ledger_of(database).listed() if "Magnet" in fact.text]
            assert bool(magnet) == taken_back
        if not killed:
            assert taken_back
            break


@posix
@pytest.mark.slow
def test_a_correction_by_the_agent_killed_at_any_commit_is_made_once(folder: Path) -> None:
    script = [
        {"when": {"kind": "facts"}, "facts": []},
        {
            "when": "^put right",
            "steps": [
                {"call": "fact_correct", "arguments": {"fact": 1, "new_text": "It is Max."}, "heartbeat": True},
                {"say": "It is put right."},
            ],
        },
        {"when": {}, "say": "Good.", "usage": None},
    ]
    for number in range(1, 60):
        home = folder / str(number)
        make_home(home, script, preset={"functions": ["send_message", "facts"]})
        with closing(database_of(home)) as database:
            agent = new_agent(home, database)
            assert agent.state.facts
            agent.state.facts.state("It is Rex.", Cause("user"))
        killed = dies_at(home, number, lambda agent: to_the_end(agent, agent.turn("put right")))
        with closing(database_of(home)) as database:
            agent = old_agent(home, database)
            if agent.state.unfinished():
                to_the_end(agent, agent.resume())
            elif not any(m.said == "put right" for m in agent.state.log.all()):
                to_the_end(agent, agent.turn("put right"))
            consistent(database)
            ledger = ledger_of(database)
            assert [fact.text for fact in ledger.listed()] == ["It is Max."]
            assert [(fact.text, fact.how) for fact in ledger.listed(("past",))] == [("It is Rex.", "corrected")]
        if not killed:
            break


@pytest.mark.parametrize(
    "answer",
    [
        {"text": "I'd rather not."},
        {"call": "note_facts", "arguments": "{{{{"},
        {"call": "note_facts", "arguments": {"facts": "none"}},
        {"call": "note_facts", "arguments": {"facts": [None, 7, {"text": []}, {"fact": "x"}]}},
        {"call": "rm", "arguments": {}},
        {"error": {"status": 200, "body": "<html>"}},
        {"cut": 0},
    ],
    ids=str,
)
def test_rubbish_never_stops_it_for_good(tmp_path: Path, answer: dict[str, Any]) -> None:
    home = tmp_path / "home"
    told(home, ["I use Shram"], [{"when": {"kind": "facts"}, **answer}, SCRIPT[1]])
    with closing(database_of(home)) as database:
        reader = reader_of(home, database)
        for _ in range(20):
            list(reader.read())
        assert reader.waiting() == 0
        assert ledger_of(database).count() == 0
        consistent(database)
