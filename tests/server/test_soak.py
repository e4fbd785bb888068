"""A short soak test: all doors at once, with clients and servers that are killed; nothing that was promised is missing.

And the checks that say so are tried on a database that was tampered with.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import postgres_server
import pytest

from bench.soak import soaked
from bench.soak_ledger import Ledger
from memagent.storage.sqlite import SqliteDatabase

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="it looks at processes through /proc"),
]
HARM = {
    "accepted messages that were lost": "DELETE FROM runs WHERE work = 'say'",
    "messages that were said twice": "UPDATE messages SET said = 'say u1-c1-n1x' WHERE kind = 'user'",
    "messages out of order": "UPDATE messages SET seq = 1000000 - seq",
    "runs and turns that never ended": "UPDATE turns SET state = 'running' WHERE turn = 2",
    "turns that are not whole": "DELETE FROM messages WHERE kind = 'result'",
    "turns that ended badly, and nobody asked for it": "UPDATE runs SET state = 'failed' WHERE state = 'done'",
    "endings told otherwise than stored": "UPDATE runs SET state = 'interrupted'",
    "confirmed edits of memory that are not there": "DELETE FROM block_edits WHERE cause <> 'core_memory_append'",
    "notes of agents that are not there once": "DELETE FROM block_edits WHERE cause = 'core_memory_append'",
    "passages that are not as was confirmed": "UPDATE passages SET undone = created",
    "words in another user's agents": "UPDATE blocks SET value = 'u9-c1-n1x' WHERE label = 'persona'",
}
"""What makes each check find something."""


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where the agents live: nothing for SQLite, in the home, or the address of a new database."""
    if request.param == "sqlite":
        yield ""
        return
    url = postgres_server.new_database()
    yield url
    postgres_server.drop(url)


@pytest.mark.skipif(os.name == "nt", reason="it kills by signal")
def test_nothing_is_lost_and_the_checks_would_have_told(database: str, tmp_path: Path) -> None:
    place = tmp_path / "soak"
    _, found, samples = soaked(45, "a stormy day", database, lambda _: None, place)
    assert {what: wrong for what, wrong in found.items() if wrong} == {}
    assert samples[-1].runs > 20, "that was no load"
    if not database:
        with_harm(place)


def with_harm(place: Path) -> None:
    """Each check must find what is wrong with a database in which something was changed."""
    for what, harm in HARM.items():
        copy = place / "harmed"
        copy.mkdir()
        for file in place.glob("memagent.db*"):
            shutil.copy(file, copy)
        with closing(sqlite3.connect(copy / "memagent.db")) as connection, connection:
            connection.execute(harm)
        with closing(SqliteDatabase(copy / "memagent.db")) as database:
            assert Ledger.read(database, place, {}).all()[what], what
            deleted = [{"what": "deleted", "agent": agent} for (agent,) in database.rows("SELECT id FROM agents")]
            assert Ledger(database, deleted, {}).all()["deleted agents that are still there"]
        shutil.rmtree(copy)
