"""A disk that fails or is full, a person who edits meanwhile, clocks that jump: no half of anything, and it goes on."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from driver import (
    KEEP,
    NAME,
    NOTE,
    call,
    consistent,
    database_of,
    environment,
    make_home,
    new_agent,
    old_agent,
    said,
)

from memagent.agent import Agent
from memagent.events import Failed, Returned
from memagent.llm import Heard, Request
from memagent.llm.scripted import ScriptedLLM
from memagent.memory.log import MessageLog
from memagent.messages import summary, user_message

posix = pytest.mark.skipif(os.name == "nt", reason="it uses what only POSIX has")
SCRIPT = [
    {"when": "again", "say": "Here I am."},
    {"when": {"result": "^Kept"}, "say": "I will remember: tea."},
    {"when": {"result": "^Saved"}, **KEEP},
    {"when": {}, **NOTE},
]


# The database fails ---------------------------------------------------------------------------------------------------


class Failing:
    """Lets the n-th statement or commit fail, and, if it is to last, all after it."""

    def __init__(self) -> None:
        self.passed = self.at = 0
        self.lasting = False

    def __call__(self, moment: str) -> None:
        if moment == "committed":
            return
        self.passed += 1
        if self.at and (self.passed == self.at or (self.lasting and self.passed > self.at)):
            raise sqlite3.OperationalError("disk I/O error")

    def set(self, at: int) -> None:
        self.passed, self.at = 0, at


@pytest.mark.slow
@pytest.mark.parametrize("lasting", [False, True])
def test_any_statement_may_fail_once_or_from_then_on(lasting: bool, tmp_path: Path) -> None:
    watch = Failing()
    home = make_home(tmp_path / "home", SCRIPT)
    with closing(database_of(home, watch)) as database:
        for number in range(1, 300):
            watch.lasting = lasting
            agent = new_agent(home, database, f"ada{number}", llm=ScriptedLLM(SCRIPT))
            watch.set(number)
            happened = list(agent.turn("Remember that I like tea."))
            told = "".join(event.message for event in happened if isinstance(event, Failed))
            reached = watch.passed >= number
            watch.set(0)
            if lasting:  # it was dropped, since not even the end of its turn could be stored
                agent = old_agent(home, database, agent.state.entry.name, llm=ScriptedLLM(SCRIPT))
            if not reached:
                assert said(happened) == ["I will remember: tea."] and not told
                break
            if said(happened) != ["I will remember: tea."]:  # otherwise only what comes after the turn has failed
                assert "disk I/O error" in told
            assert said(list(agent.turn("again"))) == ["Here I am."]
            assert agent.state.window == agent.state.log.window()
            stored = [m for m in agent.state.window if m.kind == "user" and "tea" in m.said]
            assert len(stored) <= 1
            with database.write() as tx:  # keeps the file small
                tx.run("DELETE FROM agents WHERE id <> ?", agent.state.entry.id)
            consistent(database)
        assert number > 50


def test_a_full_disk_is_named_and_once_there_is_room_all_goes_on(tmp_path: Path) -> None:
    long = "tea and " * 4000
    script = [
        {"when": "again", "say": "Here I am."},
        {"when": {"result": "^Kept"}, "say": "I will remember: tea."},
        {"when": {}, **call("archival_memory_insert", content=long)},
    ]
    home = make_home(tmp_path / "home", script)
    ended = set()
    with closing(database_of(home)) as database:
        for room in range(0, 150, 3):
            agent = new_agent(home, database, f"ada{room}", llm=ScriptedLLM(script, window=200_000))
            (pages,) = database.rows("PRAGMA page_count")[0]
            database.rows(f"PRAGMA max_page_count = {pages + room}")
            before = len(database.rows("SELECT id FROM passages"))
            happened = list(agent.turn(f"Remember {long}"))
            failed = [event for event in happened if isinstance(event, Failed)]
            database.rows("PRAGMA max_page_count = 1073741823")
            kept = len(database.rows("SELECT id FROM passages")) - before
            if not failed:
                assert said(happened) == ["I will remember: tea."] and kept > 1
                break
            assert "disk is full" in failed[0].message and "Free some space" in failed[0].hint
            assert kept in (0, agent.state.archival.total())
            ended.add(len([event for event in happened if isinstance(event, Returned)]))
            assert said(list(agent.turn("again"))) == ["Here I am."]
            consistent(database)
        assert not failed and room > 3
        assert 0 in ended


# What runs when -------------------------------------------------------------------------------------------------------

WRITER = '''
import sqlite3
from memagent.tools import Rules, attach, tool

def _write():
    other = sqlite3.connect({path!r}, timeout=0)
    other.execute("UPDATE agents SET quiet_until = NULL")
    other.commit()
    other.close()

@tool()
def outside(self) -> str:
    """Write, outside."""
    self.core.append("human", "Outside.")
    _write()
    return self.ask_model("aside")

@attach(Rules(inside=True, after_cut="retry"))
def inside(self) -> str:
    """Write, inside."""
    self.core.append("human", "Inside.")
    self.archival.insert("Inside.")
    _write()
    return "Written."
'''


def test_no_function_and_no_model_ever_runs_inside_a_write_transaction(tmp_path: Path) -> None:
    home = tmp_path / "home"
    path = home / "memagent.db"
    script = [
        {"when": {"kind": "summary"}, "text": "An aside."},
        {"when": {"after_calls": 2}, "say": "Both wrote."},
        {"when": {}, "calls": [{"call": "outside"}, {"call": "inside"}]},
    ]
    make_home(home, script, functions=WRITER.format(path=str(path)))

    class WritingLLM(ScriptedLLM):
        def ask(self, request: Request) -> Iterator[Heard]:
            with closing(sqlite3.connect(path, timeout=0)) as other:
                other.execute("UPDATE agents SET quiet_until = NULL")
                other.commit()
            yield from super().ask(request)

    with closing(database_of(home)) as database:
        happened = list(new_agent(home, database, llm=WritingLLM(script)).turn("Go"))
        assert [e.text for e in happened if isinstance(e, Returned)][:2] == ["An aside.", "Written."]
        assert said(happened) == ["Both wrote."]


MEANWHILE = '''
meanwhile = None

def note(self) -> str:
    """Note something, slowly."""
    self.core.append("human", "The agent's words.")
    self.archival.insert("The agent's note.")
    self.say("Noted.")
    meanwhile()
    return "Noted."
'''


def test_what_a_person_edits_while_a_function_runs_is_kept_and_the_model_is_told(tmp_path: Path) -> None:
    script = [
        {"when": {"ok": False, "result": "changed by someone else"}, "say": "You were faster."},
        {"when": {}, **call("note")},
    ]
    home = make_home(tmp_path / "home", script, functions=MEANWHILE)
    with closing(database_of(home)) as database, closing(database_of(home)) as theirs:
        agent = new_agent(home, database, llm=ScriptedLLM(script))
        person = old_agent(home, theirs)
        inside = agent.tools["note"].function.__globals__
        inside["meanwhile"] = lambda: person.state.edit_block("human", "The person's words.")
        happened = list(agent.turn("Go"))
        assert [e.ok for e in happened if isinstance(e, Returned)] == [False, True]
        assert said(happened) == ["You were faster."]
        for state in (agent.state, old_agent(home, database).state):
            assert state.core.blocks["human"].value == "The person's words."
            assert state.archival.total() == 0
        assert "The person's words." in agent.compiled()[0].content
        consistent(database)


# Copies ---------------------------------------------------------------------------------------------------------------


@posix
@pytest.mark.slow
def test_a_copy_of_the_files_at_any_instant_is_consistent(tmp_path: Path) -> None:
    """The process is stopped for each copy, as a snapshot of the file system would find it."""
    home = make_home(tmp_path / "home", SCRIPT)
    with closing(database_of(home)) as database:
        new_agent(home, database)
    driver = str(Path(__file__).with_name("driver.py"))
    chat = subprocess.Popen(
        [sys.executable, driver, "chat", str(home), NAME, "1000"], stdout=subprocess.PIPE, text=True
    )
    sizes = []
    try:
        assert chat.stdout and chat.stdout.readline()
        for number in range(40):
            copy = tmp_path / f"copy{number}"
            copy.mkdir()
            chat.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, chat.pid, os.WSTOPPED)
            for file in home.glob("memagent.db*"):
                shutil.copy(file, copy)
            chat.send_signal(signal.SIGCONT)
            with closing(database_of(copy)) as database:
                consistent(database)
                sizes.append(database.rows("SELECT count(*) FROM messages")[0][0])
        assert chat.poll() is None, "it was still writing"
    finally:
        chat.kill()
        chat.communicate()
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]
    shutil.copytree(home / "presets", copy / "presets")
    for folder in ("prompts", "functions"):
        shutil.copytree(home / folder, copy / folder)
    shutil.copy(home / "script.yaml", copy)
    with closing(database_of(copy)) as database:
        assert said(list(old_agent(copy, database).turn("again"))) == ["Here I am."]


@posix
@pytest.mark.slow
@pytest.mark.parametrize("hard", [True, False])
def test_an_export_that_can_not_be_finished_leaves_no_half_file(hard: bool, tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", SCRIPT)
    with closing(database_of(home)) as database:
        agent = new_agent(home, database)
        with database.write() as tx:
            now = datetime.now(UTC)
            MessageLog(database, agent.state.entry.id).append(tx, [user_message("x" * 1_000_000, now)], 1)
    target = tmp_path / "out" / "ada.json"
    target.parent.mkdir()
    target.write_text("what was there before")
    code = (
        "import resource, signal; resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000));"
        f"{'signal.signal(signal.SIGXFSZ, signal.SIG_DFL);' if hard else ''}"
        "from memagent.cli.app import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "export", NAME, str(target), "--overwrite"],
        env=environment(home), capture_output=True, text=True, timeout=50,
    )  # fmt: skip
    assert target.read_text() == "what was there before"
    if hard:
        assert done.returncode == -signal.SIGXFSZ
    else:
        assert done.returncode not in (0, 1) and "Traceback" not in done.stderr
        assert list(target.parent.iterdir()) == [target]


# Clocks, sizes, modes -------------------------------------------------------------------------------------------------


def test_a_clock_that_jumps_changes_no_order_and_holds_no_agent_for_ever(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", [{"when": {}, "say": "You said: {said}"}])
    start = now = datetime(2026, 5, 31, 12, tzinfo=UTC)
    with closing(database_of(home)) as database:
        agent = new_agent(home, database, clock=lambda: now)
        for number, jump in enumerate([timedelta(), timedelta(hours=-1), timedelta(days=1), timedelta(days=-400)]):
            now = start + jump
            assert said(list(agent.turn(f"message {number}"))) == [f"You said: message {number}"]
        again = old_agent(home, database, clock=lambda: now)
        users = [m.said for m in again.state.window if m.kind == "user"]
        assert users == [f"message {number}" for number in range(4)]
        events = agent.turn("held")
        next(events)
        assert again.state.held_by()
        with database.write() as tx:  # the database's own clock was a year ahead when the lease was taken
            tx.run("UPDATE agents SET lease_until = lease_until + 31536000")
        assert not again.state.held_by()
        events.close()


def test_messages_of_the_same_millisecond_keep_their_order(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", [{"when": {}, "say": "You said: {said}"}])
    frozen = datetime(2026, 5, 31, 12, tzinfo=UTC)
    with closing(database_of(home)) as database:
        agent = new_agent(home, database, llm=ScriptedLLM([{"when": {}, "say": "You said: {said}"}], window=100_000),
                          clock=lambda: frozen)  # fmt: skip
        for number in range(50):
            list(agent.turn(f"message {number}"))
        for window in (agent.state.window, old_agent(home, database).state.window):
            assert [m.said for m in window if m.said] == [
                text for number in range(50) for text in (f"message {number}", f"You said: message {number}")
            ]
        page = agent.state.recall.search_dates(frozen.date(), frozen.date())
        assert page.total == 100


def test_the_hundredth_message_costs_what_the_two_thousandth_costs(tmp_path: Path) -> None:
    """Counted in instructions of the database's machine, which no busy computer changes."""
    home = make_home(tmp_path / "home", [{"when": {}, "say": "Yes."}])
    spent = 0

    def count() -> int:
        nonlocal spent
        spent += 1
        return 0

    def cost(agent: Agent) -> int:
        nonlocal spent
        spent = 0
        assert said(list(agent.turn("Do you hear me?"))) == ["Yes."]
        return spent

    with closing(database_of(home)) as database:
        agent = new_agent(home, database)
        list(agent.turn("A first one."))
        with database._connections.lent() as connection:  # the only thread always gets the same one
            connection.set_progress_handler(count, 10)
        early = cost(agent)
        for _ in range(20):
            with database.write() as tx:
                now = datetime.now(UTC)
                log = MessageLog(database, agent.state.entry.id)
                stored = log.append(tx, [user_message(f"word {n} of many", now) for n in range(100)], 1)
                log.append(tx, [summary("We talked.", stored[-2].seq, stored[-1].seq, now)], 1)
        agent.state.reload()
        late = cost(agent)
        assert len(agent.state.log.all()) > 2000
        assert late < 2 * early
        fresh = old_agent(home, database)
        assert cost(fresh) < 3 * early


@posix
@pytest.mark.slow
def test_everything_that_is_kept_can_be_read_by_its_owner_alone(tmp_path: Path) -> None:
    home, out = tmp_path / "home", tmp_path / "out"
    out.mkdir()
    variables = {**environment(home), "MEMAGENT_SCRIPT": "", "MEMAGENT_PRESET": "chat", "HOME": str(tmp_path)}
    commands = [
        ["ask", "-a", "bob", "My name is Bob"],
        ["export", "bob", str(out / "bob.json")],
        ["backup", str(out / "all.zip")],
    ]
    for command in commands:
        code = "import os; os.umask(0o022); from memagent.cli.app import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code, *command], env=variables, capture_output=True, text=True, timeout=50,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    files = [home, *home.rglob("*"), *out.rglob("*")]
    assert {"memagent.db", "bob.json"} <= {file.name for file in files}
    wrong = {
        str(file): oct(mode)
        for file in files
        if (mode := stat.S_IMODE(file.stat().st_mode)) != (0o700 if file.is_dir() else 0o600)
    }
    assert not wrong
