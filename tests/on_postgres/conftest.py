"""Tests that were written for SQLite, run once more on PostgreSQL: what holds there holds here.

A file here takes the tests of another over, and names it. Where those open a file, they get a database of the server
instead. Databases are emptied and used again, since to make one takes longer than a test.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import postgres_server
import pytest

TESTED = Path(__file__).parents[1]
sys.path += [str(TESTED / room) for room in ("memory", "torture", "facts", "looking", "characters")]

EMPTY = (
    "TRUNCATE agents, turns, messages, calls, blocks, block_edits, passages, sources, keepers, facts, journal, "
    "templates, scenes, shared_blocks CASCADE"
)
_free: list[str] = []
_used: dict[Path, str] = {}


def _empty() -> str:
    """The address of an empty database."""
    from memagent.storage.postgres import PostgresDatabase

    url = _free.pop() if _free else postgres_server.new_database()
    database = PostgresDatabase(url)
    with database.write() as tx:
        tx.run(EMPTY)
    database.close()
    return url


def _opened(path: Path, **more: Any) -> Any:
    """A database in the place of a file; the same one for the same path."""
    from memagent.storage.postgres import PostgresDatabase

    if path not in _used:
        _used[path] = _empty()
    database: Any = PostgresDatabase(_used[path], **more)
    database.path = path
    return database


@pytest.fixture(autouse=True, scope="module")
def on_postgres(request: pytest.FixtureRequest) -> Iterator[None]:
    """The tests that a module here has taken over find PostgreSQL."""
    tests = importlib.import_module(request.module.__name__.removesuffix("_on_postgres"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tests, "SqliteDatabase", _opened, raising=False)
        patch.setattr(tests, "new_database", lambda folder: _opened(folder / "memory.db"), raising=False)
        if make := getattr(tests, "make_home", None):

            def make_home(home: Path, *given: Any, settings: Any = None, **more: Any) -> Path:
                _used[home] = _empty()
                return Path(make(home, *given, settings={**(settings or {}), "database": _used[home]}, **more))

            patch.setattr(tests, "make_home", make_home)
        yield


@pytest.fixture(autouse=True)
def used_again(on_postgres: None, tmp_path: Path) -> Iterator[None]:
    """What a test has used is free for the next."""
    yield
    for path in [path for path in _used if path.is_relative_to(tmp_path)]:
        _free.append(_used.pop(path))
