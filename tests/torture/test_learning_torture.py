"""Facts under fire: a process that is killed while it learns, and several that learn at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from memagent.facts.ledger import Ledger, keeper
from memagent.storage.sqlite import SqliteDatabase

posix = pytest.mark.skipif(os.name == "nt", reason="it forks, and kills by signal")

LOOP = """
import os, sys
from datetime import datetime
from pathlib import Path
from memagent import Memory
from memagent.facts import Cause, Said
from memagent.storage.opening import crash_at
from memagent.storage.sqlite import SqliteDatabase

NOW = datetime.fromisoformat("2026-06-01T12:00:00+00:00")
TALK = ["I use Shram and Magnet as productivity tools. I live in Porto.", "I like tea.", "I like tea.",
        "I moved to Lisbon.", "I don't use Magnet anymore.", "My sister Anna lives in Faro."]

def learn(path, watch=None):
    database = SqliteDatabase(path, **({"watch": watch} if watch else {}))
    memory = Memory("ada", database=database, clock=lambda: NOW)
    for seq, text in enumerate(TALK, 1):
        memory.facts.take([Said("user", text, NOW, seq)], Cause("talk", agent="a1"))
    database.close()

folder, number = Path(sys.argv[1]), 0
while True:
    number += 1
    path = folder / f"{number}.db"
    child = os.fork()
    if not child:
        learn(path, crash_at(number))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    learn(path)  # all messages come again, as to a reader that does not know how far it came
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0
        print(number)
        break
"""


@posix
@pytest.mark.slow
def test_killed_at_any_commit_each_message_is_learned_from_once(tmp_path: Path) -> None:
    environment = {**os.environ, "MEMAGENT_HOME": str(tmp_path), "MEMAGENT_EMBEDDER": "off"}
    done = subprocess.run(
        [sys.executable, "-c", LOOP, str(tmp_path)], env=environment, capture_output=True, text=True, timeout=55
    )
    assert done.returncode == 0, done.stderr
    seen = [state_of(path) for path in sorted(tmp_path.glob("*.db"), key=lambda path: int(path.stem))]
    assert len(seen) == int(done.stdout) > 12
    assert all(one == seen[-1] for one in seen)
    holding, past = seen[-1]
    assert holding == [
        ("The user likes tea", 2),
        ("The user lives in Lisbon", 1),
        ("The user uses Shram as a productivity tool", 1),
        ("The user's sister Anna lives in Faro", 1),
        ("The user's sister is called Anna", 1),
    ]
    assert past == [("The user lives in Porto", 1), ("The user uses Magnet as a productivity tool", 1)]


def state_of(path: Path) -> list[list[tuple[str, int]]]:
    """The facts that hold and those that held, each with how often it was said; and every one has its history."""
    from datetime import UTC, datetime

    database = SqliteDatabase(path)
    ledger = Ledger(database, keeper(database, "ada", None, datetime(2026, 6, 1, tzinfo=UTC)))
    found = []
    for state in ("holds", "past"):
        facts = ledger.listed((state,))
        assert all(ledger.history(fact.id)[0].what == "learned" for fact in facts)
        found.append(sorted((fact.text, fact.confirmed) for fact in facts))
    assert database.check() == []
    database.close()
    return found


TELL = """
import sys
from memagent import Memory
number, path = sys.argv[1:]
with Memory("ada", path=path) as memory:
    for turn in range(10):
        memory.add(f"I like food{number}x{turn}. I like tea. I live in Porto.")
"""


@posix
@pytest.mark.slow
def test_several_processes_learn_at_once(tmp_path: Path) -> None:
    environment = {**os.environ, "MEMAGENT_HOME": str(tmp_path), "MEMAGENT_EMBEDDER": "off"}
    path = tmp_path / "one.db"
    command = [sys.executable, "-c", TELL]
    running = [subprocess.Popen([*command, str(number), str(path)], env=environment) for number in range(4)]
    assert [process.wait(timeout=55) for process in running] == [0, 0, 0, 0]
    holding, past = state_of(path)
    assert ("The user likes tea", 40) in holding and ("The user lives in Porto", 40) in holding
    assert len(holding) == 42 and past == []
