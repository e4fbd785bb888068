"""Memory as a library, in PostgreSQL by its url: two days, two users, two processes that tell at once."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import postgres_server
import pytest

from memagent import Memory
from memagent.errors import NotFound, StorageError

TELLS = """
import sys
from memagent import Memory
url, *said = sys.argv[1:]
with Memory(user="ada", url=url) as memory:
    for text in said:
        memory.add(text)
"""


@pytest.fixture(autouse=True, scope="module")
def on_postgres() -> None:
    """Nothing is taken over here."""


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MEMAGENT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MEMAGENT_EMBEDDER", "off")
    return postgres_server.new_database()


def test_what_is_told_on_two_days_is_answered_and_kept_by_user(url: str, tmp_path: Path) -> None:
    days = [datetime(2026, 5, 25, 12, tzinfo=UTC), datetime(2026, 6, 1, 12, tzinfo=UTC)]
    with Memory(user="ada", url=url, clock=lambda: days[0]) as memory:
        memory.add("I use Shram and Magnet as productivity tools")
        memory.of("bob").add("I use Zed as an editor")
    with Memory(user="ada", url=url, clock=lambda: days[1]) as memory:
        memory.add("I don't use Magnet anymore")
        assert memory.ask("What productivity tools do I use?") == "You use Shram."
        assert memory.ask("What did I use before?") == "You used Magnet as a productivity tool until 1 June 2026."
        assert [f"{step.change.when:%m-%d} {step.change.what}" for step in memory.history("Magnet")] == [
            "05-25 learned",
            "06-01 ended",
        ]
        (zed,) = memory.of("bob").list()
        assert "Zed" not in repr(memory.list()) + repr(memory.search("Zed")) and not memory.history("Zed")
        with pytest.raises(NotFound):
            memory.forget(zed.id)
    assert not list((tmp_path / "home").glob("*.db"))


def test_two_processes_that_contradict_one_fact_at_once_leave_one_that_holds(url: str) -> None:
    with Memory(user="ada", url=url) as memory:
        for round_ in range(2):
            memory.add(f"I live in Town{round_}")
            both = [
                subprocess.Popen([sys.executable, "-c", TELLS, url, f"I live in {place}{round_}"], env=os.environ)
                for place in ("Porto", "Faro")
            ]
            assert [one.wait(60) for one in both] == [0, 0]
            assert len(memory.list()) == 1, memory.list()


def test_a_place_that_is_not_there_is_named(url: str) -> None:
    with pytest.raises(StorageError, match="no_such_database"):
        Memory(user="ada", url=f"{url.partition('?')[0].rpartition('/')[0]}/no_such_database?{url.partition('?')[2]}")
