"""Several processes, several people and several agents on one file: one turn at a time for each agent, in order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from driver import KEEP, NAME, NOTE, consistent, database_of, make_home, new_agent, old_agent, replies, said

from memagent.errors import AgentBusy, NotFound, TakenOver
from memagent.events import ApprovalAsked, Failed, Returned, TurnEnded, TurnStarted, Waiting
from memagent.llm.scripted import ScriptedLLM
from memagent.messages import heartbeat
from memagent.roster import Roster

DRIVER = str(Path(__file__).with_name("driver.py"))
SLOW = [{"when": "slow", "say": "That took a while.", "delay": 1.5}, {"when": {}, "say": "You said: {said}"}]


@contextmanager
def another(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, DRIVER, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def told(process: subprocess.Popen[str], word: str) -> str:
    """The next line of a process that has the word in it."""
    assert process.stdout
    return next(line for line in process.stdout if word in line)


@pytest.mark.slow
def test_a_second_process_waits_its_turn_and_sees_the_first_ones(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", SLOW)
    with closing(database_of(home)) as database:
        agent = new_agent(home, database)
        list(agent.turn("from here"))
        with another("turn", str(home), "slow, from there") as process:
            told(process, "TurnStarted")
            assert agent.state.held_by() == f"process {process.pid}"
            happened = list(agent.turn("from here again"))
            assert process.wait(20) == 0
        waits = [event for event in happened if isinstance(event, Waiting)]
        assert waits and f"process {process.pid}" in waits[0].reason
        assert isinstance(happened[len(waits)], TurnStarted), "nothing is done before it is our turn"
        assert said(happened) == ["You said: from here again"]
        words = [m.said for m in agent.state.window if m.said]
        assert words == [
            "from here", "You said: from here", "slow, from there", "That took a while.",
            "from here again", "You said: from here again",
        ]  # fmt: skip
        assert agent.state.window == agent.state.log.window()
        consistent(database)


@pytest.mark.slow
def test_who_has_no_patience_is_told_which_process_is_in_the_way(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", SLOW)
    with closing(database_of(home)) as database:
        agent = new_agent(home, database)
        agent.patience = 0.0
        with another("turn", str(home), "slow, from there") as process:
            told(process, "TurnStarted")
            happened = list(agent.turn("from here"))
            (failed,) = [event for event in happened if isinstance(event, Failed)]
            assert failed.kind == AgentBusy.__name__ and f"process {process.pid}" in failed.message
            with pytest.raises(AgentBusy, match=f"process {process.pid}"):
                agent.state.undo_turn()
            assert process.wait(20) == 0
        assert replies(database) == ["That took a while."]
        assert [row[0] for row in database.rows("SELECT said FROM messages WHERE kind = 'user'")] == [
            "slow, from there"
        ]


@pytest.mark.skipif(os.name == "nt", reason="it kills hard")
@pytest.mark.slow
def test_a_process_that_has_died_is_in_nobodys_way(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", SLOW)
    with closing(database_of(home)) as database:
        agent = new_agent(home, database)
        with another("turn", str(home), "slow, from there") as process:
            told(process, "TurnStarted")
            process.kill()  # it is not waited for yet, and so still listed by the system
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            happened = list(agent.turn("from here"))
        assert said(happened) == ["You said: from here"]
        assert not any(isinstance(event, Waiting) for event in happened)
        consistent(database)


@pytest.mark.slow
def test_eight_processes_talk_to_eight_agents_on_one_file(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", [{"when": {}, "say": "You said: {said}"}])
    names = [f"agent{number}" for number in range(8)]
    with closing(database_of(home)) as database:
        for name in names:
            new_agent(home, database, name)
        processes = [
            subprocess.Popen([sys.executable, DRIVER, "chat", str(home), name, "12"], stdout=subprocess.PIPE, text=True)
            for name in names
        ]
        for name, process in zip(names, processes, strict=True):
            out, _ = process.communicate(timeout=50)
            assert process.returncode == 0
            assert out.splitlines() == [f"You said: {name} says {number}" for number in range(12)]
        consistent(database)


@pytest.mark.slow
def test_four_processes_talk_to_one_agent(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", [{"when": {}, "say": "You said: {said}"}])
    with closing(database_of(home)) as database:
        new_agent(home, database)
        processes = [
            subprocess.Popen([sys.executable, DRIVER, "chat", str(home), NAME, "4"], stdout=subprocess.PIPE, text=True)
            for _ in range(4)
        ]
        for process in processes:
            out, _ = process.communicate(timeout=50)
            assert process.returncode == 0
            assert out.splitlines() == [f"You said: {NAME} says {number}" for number in range(4)]
        words = [row[0] for row in database.rows("SELECT said FROM messages WHERE said <> '' ORDER BY seq")]
        assert len(words) == 32
        for question, answer in zip(words[::2], words[1::2], strict=True):
            assert answer == f"You said: {question}", "no turn begins before another ends"
        consistent(database)


# Whoever comes back after he was taken for dead -------------------------------------------------------------------


@pytest.mark.parametrize("after", range(1, 12))
def test_who_was_taken_over_writes_nothing_any_more(after: int, tmp_path: Path) -> None:
    script = [
        {"when": "new", "say": "I am the new one."},
        {"when": {"result": "^Kept"}, "say": "I am the old one."},
        {"when": {"result": "^Saved"}, **KEEP},
        {"when": {}, **NOTE},
    ]
    home = make_home(tmp_path / "home", script)
    with closing(database_of(home)) as database, closing(database_of(home)) as theirs:
        zombie = new_agent(home, database, llm=ScriptedLLM(script))
        events = zombie.turn("Remember that I like tea.")
        seen = [next(events) for _ in range(after)]
        assert not isinstance(seen[-1], TurnEnded)
        finished = said(seen)
        with theirs.write() as tx:  # it slept longer than its lease
            tx.run("UPDATE agents SET lease_until = lease_until - 10000")
        successor = old_agent(home, theirs)
        assert said(list(successor.turn("new"))) == ["I am the new one."]
        before = theirs.rows("SELECT * FROM messages"), theirs.rows("SELECT * FROM blocks")
        rest = list(events)
        (failed,) = [event for event in rest if isinstance(event, Failed)]
        assert failed.kind == TakenOver.__name__ and "taken over" in failed.message
        assert not [event for event in rest if isinstance(event, Returned)] and not said(rest)
        assert (theirs.rows("SELECT * FROM messages"), theirs.rows("SELECT * FROM blocks")) == before
        assert replies(theirs) == [*finished, "I am the new one."]
        consistent(theirs)
        assert said(list(zombie.turn("new again"))) == ["I am the new one."]
        assert zombie.state.window == zombie.state.log.window()


@pytest.mark.parametrize("after", range(1, 12))
def test_who_is_deleted_in_the_middle_of_a_turn_is_told_so(after: int, tmp_path: Path) -> None:
    script = [
        {"when": {"result": "^Kept"}, "say": "Done."},
        {"when": {"result": "^Saved"}, **KEEP},
        {"when": {}, **NOTE},
    ]
    home = make_home(tmp_path / "home", script)
    with closing(database_of(home)) as database, closing(database_of(home)) as theirs:
        agent = new_agent(home, database, llm=ScriptedLLM(script))
        events = agent.turn("Remember that I like tea.")
        assert not isinstance([next(events) for _ in range(after)][-1], TurnEnded)
        Roster(theirs, agent.state.entry.owner).delete(NAME)
        rest = list(events)
        (failed,) = [event for event in rest if isinstance(event, Failed)]
        assert failed.kind == NotFound.__name__ and "has been deleted" in failed.message
        assert isinstance(rest[-1], TurnEnded) and rest[-1].ending == "failed"
        for table in ("agents", "messages", "turns", "blocks", "passages", "calls"):
            assert not theirs.rows(f"SELECT * FROM {table}"), "nothing of it is written any more"


# Taking it all back -----------------------------------------------------------------------------------------------


def test_undo_takes_a_turn_back_everywhere(tmp_path: Path) -> None:
    script = [
        {"when": {"result": "^Kept"}, "say": "I will remember the samovar."},
        {"when": {"result": "^Saved"}, **KEEP},
        {"when": "samovar", **NOTE},
        {"when": {}, "say": "Good morning."},
    ]
    home = make_home(tmp_path / "home", script)
    with closing(database_of(home)) as database, closing(database_of(home)) as theirs:
        agent, other = new_agent(home, database), old_agent(home, theirs)
        list(agent.turn("Hello"))
        before = list(agent.state.window), agent.state.core.blocks["human"].value
        list(agent.turn("My samovar is the best."))
        assert agent.state.recall.search("samovar").total == 2 and agent.state.archival.search("tea").total == 1
        words, left = agent.state.undo_turn()
        assert words == "My samovar is the best." and not left
        for state in (agent.state, old_agent(home, theirs).state):
            assert (state.window, state.core.blocks["human"].value) == before
            assert state.recall.search("samovar").total == 0
            assert state.archival.search("tea").total == 0 and state.archival.total() == 0
        assert "tea" not in agent.compiled()[0].content
        history = agent.state.core.history("human")
        assert [re.sub(r"\d+", "n", edit.cause) for edit in history] == ["undo of version n", NOTE["call"], "preset"]
        assert said(list(other.turn("Hello again"))) == ["Good morning."], "who saw it before sees it no more"
        assert "samovar" not in str(other.state.window)
        list(agent.turn("My samovar is the best."))
        assert agent.state.recall.search("samovar").total == 2 and agent.state.archival.total() == 1
        consistent(database)


def test_undo_of_a_turn_that_waits_for_a_person_leaves_nothing_to_decide(tmp_path: Path) -> None:
    script = [{"when": "hello", "say": "Hello."}, {"when": {}, **NOTE}]
    preset = {"rules": {"core_memory_append": {"approval": True}}}
    home = make_home(tmp_path / "home", script, preset=preset)
    with closing(database_of(home)) as database:
        agent = new_agent(home, database)
        (asked,) = [event for event in agent.turn("I like tea.") if isinstance(event, ApprovalAsked)]
        assert agent.state.undo_turn()[0] == "I like tea."
        assert not agent.state.unfinished() and database.rows("SELECT * FROM calls") == []
        assert any(isinstance(event, Failed) for event in agent.decide(asked.call_id, asked.digest, True))
        assert said(list(agent.turn("hello"))) == ["Hello."]
        assert "tea" not in agent.state.core.blocks["human"].value
        assert agent.state.window == agent.state.log.window()


def test_undo_leaves_what_a_person_has_edited_since(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", [{"when": {"result": "^Saved"}, "say": "Noted."}, {"when": {}, **NOTE}])
    with closing(database_of(home)) as database:
        agent = new_agent(home, database)
        list(agent.turn("I like tea."))
        agent.state.edit_block("human", "Written by hand.")
        assert agent.state.undo_turn() == ("I like tea.", ["human"])
        assert agent.state.core.blocks["human"].value == "Written by hand."
        assert agent.state.window == []
        consistent(database)


def test_undo_after_an_earlier_turn_was_rewritten_takes_back_the_newest_alone(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", [{"when": {}, "say": "Hi."}])
    with closing(database_of(home)) as database:
        agent = new_agent(home, database)
        list(agent.turn("Hello"))
        before = [(m.kind, m.said, m.turn) for m in agent.state.window]
        list(agent.turn(heartbeat("A while has passed.", agent.state.clock())))
        rewritten = next(m for m in agent.state.window if m.kind == "answer")
        agent.state.amend(rewritten.seq, lambda m: m)
        assert agent.state.undo_turn() == ("", [])
        assert [(m.kind, m.said, m.turn) for m in agent.state.window] == before
        assert agent.state.undo_turn() == ("Hello", [])
        assert agent.state.window == []


def test_who_is_renamed_while_it_is_talked_to_knows_it_in_the_next_turn(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", [{"when": {}, "say": "Hi."}])
    with closing(database_of(home)) as database:
        agent = new_agent(home, database)
        name = agent.state.entry.name
        Roster(database, agent.state.entry.owner).rename(name, "Zoe")
        list(agent.turn("Hello"))
        assert agent.state.entry.name == "Zoe"
