"""What is done while nobody waits, killed wherever it hurts: nothing is written of twice, nothing is done by half."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from driver import NAME, call, consistent, database_of, environment, make_home, new_agent, to_the_end

from memagent.facts import Cause, Fact
from memagent.facts.ledger import Ledger, keeper
from memagent.memory.journal import Journal
from memagent.storage.sqlite import SqliteDatabase

TOLD = "My sister Kate visits me on Friday with her two dogs."
LINES = [f"Likes tea number {number}." for number in range(14)]
SHORT = "Likes tea: numbers " + ", ".join(str(number) for number in range(14)) + "."
ENTRY = {
    "entry": "The user told me that Kate visits on Friday.", "highlights": [], "quotes": [TOLD], "commitments": [],
    "action_items": [], "dates": [],
}  # fmt: skip
SCRIPT = [
    {"when": {"forced": "write_entry"}, "call": "write_entry", "arguments": ENTRY},
    {"when": {"forced": "write_shorter"}, "call": "write_shorter", "arguments": {"lines": [SHORT]}},
    {"when": {"kind": "result", "result": "^Saved"}, "say": "I see."},
    {"when": {}, **call("core_memory_append", name="human", content="\n".join(LINES))},
]
COMMAND = (sys.executable, "-c", "from memagent.cli.app import main; main()")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose agent has been told something, has a crowded block, and facts that say the same or are over."""
    home = make_home(tmp_path / "home", SCRIPT, preset={"human": "blank"})
    (home / "humans").mkdir()
    (home / "humans" / "blank.txt").write_text("Likes tea.")
    with opened(home) as database:
        agent = new_agent(home, database)
        to_the_end(agent, agent.turn(TOLD))
        now = agent.state.clock()
        ledger = Ledger(database, keeper(database, "local", None, now))
        with database.write() as tx:
            for text, until in (("Likes tea.", None), ("likes tea", None), ("Is away.", "2020-01-01")):
                ledger.learn(tx, Fact(text, now, until=until, cause=Cause("talk")), now)
    return home


@contextmanager
def opened(home: Path) -> Iterator[SqliteDatabase]:
    with closing(database_of(home)) as database:
        yield database


def run(home: Path, *words: str, crash_at: int = 0) -> subprocess.CompletedProcess[str]:
    env = environment(home, MEMAGENT_CRASH_AT=crash_at)
    done = subprocess.run([*COMMAND, *words], env=env, capture_output=True, text=True, timeout=50)
    assert done.returncode in (0, -9), done.stderr
    return done


def killed_everywhere(home: Path, words: Sequence[str]) -> Iterator[int]:
    """Run a command again and again: killed at its first commit boundary, its second …, until a run is not killed."""
    for number in range(1, 60):
        done = run(home, *words, crash_at=number)
        yield number
        if done.returncode == 0:
            return
    raise AssertionError("it never came to an end")


def entries(home: Path) -> list[Any]:
    with opened(home) as database:
        consistent(database)
        return Journal(database, database.rows("SELECT id FROM agents")[0][0]).entries()


@pytest.mark.slow
def test_a_journal_killed_at_any_commit_has_one_entry_in_the_end(home: Path) -> None:
    for _ in killed_everywhere(home, ["journal", NAME, "write"]):
        assert len(entries(home)) <= 1
    (entry,) = entries(home)
    assert entry.text == ENTRY["entry"] and not entry.plain
    with opened(home) as database:
        assert database.rows("SELECT count(*) FROM journal")[0][0] == 1
    assert run(home, "journal", NAME, "write").stdout == "There is nothing to write.\n"


@pytest.mark.slow
def test_two_processes_that_write_at_once_write_one_entry(home: Path) -> None:
    writers = [
        subprocess.Popen([*COMMAND, "journal", NAME, "write"], env=environment(home), stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    told = [writer.communicate(timeout=50)[0] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert all("Kate visits" in text or text == "There is nothing to write.\n" for text in told)
    (entry,) = entries(home)
    assert entry.text == ENTRY["entry"]


def state(home: Path) -> dict[str, list[Any]]:
    """What holds and stands, and what tidying has a record of."""
    with opened(home) as database:
        consistent(database)
        return {
            "facts": [row[0] for row in database.rows("SELECT text FROM facts WHERE ended IS NULL ORDER BY text")],
            "human": [row[0] for row in database.rows("SELECT value FROM blocks WHERE label = 'human'")],
            "steps": [row[0] for row in database.rows("SELECT kind FROM tidyings WHERE undone IS NULL ORDER BY id")],
        }


@pytest.mark.slow
def test_tidying_killed_at_any_commit_leaves_whole_steps_and_is_taken_back_whole(home: Path) -> None:
    before = state(home)
    for _ in killed_everywhere(home, ["tidy", NAME, "--yes"]):
        now = state(home)
        changed = ["Is away." not in now["facts"], len(set(map(_plain, now["facts"]))) == len(now["facts"])]
        changed += [now["human"] == [SHORT]]
        kinds = ("expired facts", "duplicate facts", "core memory")
        assert [kind in now["steps"] for kind in kinds] == changed, "what was done has its record, and the other way"
        assert len(now["steps"]) == len(set(now["steps"])), "nothing was done twice"
    assert len(state(home)["steps"]) == 3
    for _ in killed_everywhere(home, ["tidy", NAME, "--undo", "--json"]):
        pass
    while state(home)["steps"]:  # each run that was killed is one of its own
        run(home, "tidy", NAME, "--undo")
    assert state(home) == before


def _plain(text: str) -> str:
    return text.lower().strip(".")


@pytest.mark.slow
def test_a_full_disk_keeps_the_entry_for_later(mounts: tuple[str, ...], tmp_path: Path) -> None:
    home = make_home(tmp_path / "home", SCRIPT)
    code = f"""
import json, subprocess, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from driver import database_of, new_agent, to_the_end
home, disk = Path({str(home)!r}), Path({str(tmp_path)!r}) / "disk"
disk.mkdir()
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", disk], check=True)
for file in home.iterdir():
    subprocess.run(["cp", "-r", file, disk], check=True)
database = database_of(disk)
agent = new_agent(disk, database)
to_the_end(agent, agent.turn({TOLD!r}))
from memagent.errors import StorageError
from memagent.journal import JournalWriter
from memagent.memory.journal import Journal
writer = JournalWriter(Journal(database, agent.state.entry.id), agent.llm, "Write.", "ada", agent.state.clock, 30)
filler = disk / "filler"
with filler.open("wb", buffering=0) as file:
    try:
        while file.write(b"x" * 1000): pass
    except OSError: pass
told = []
try:
    writer.close(over=True)
except StorageError as error:
    told.append(error.message)
told.append(len(writer.journal.entries()))
filler.unlink()
writer.close(over=True)
for entry in writer.waiting():
    list(writer.write(entry))
told += [entry.text for entry in writer.journal.entries()]
print(json.dumps(told))
"""
    done = subprocess.run(
        [*mounts, sys.executable, "-c", code], env=environment(home), capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert "disk is full" in told[0] and told[1:] == [0, ENTRY["entry"]]
