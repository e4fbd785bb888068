"""What the contract suites share: a database of each kind of storage, and a fresh one for those that need it alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from storages import Place, Topics, new_agent, new_place

from memagent import registry
from memagent.memory.passages import PassageStore
from memagent.storage import Database


@pytest.fixture(scope="session", params=registry.STORAGES)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A database for all tests of one storage, which keep apart by agents and sources of their own."""
    return new_place(request.param, tmp_path_factory.mktemp(request.param) / "home")


@pytest.fixture(scope="session")
def db(place: Place) -> Iterator[Database]:
    with place.opened() as database:
        yield database


@pytest.fixture
def fresh(place: Place, tmp_path: Path) -> Place:
    """A database that nobody else uses."""
    return new_place(place.storage, tmp_path / "home")


@pytest.fixture
def agent(db: Database) -> str:
    return new_agent(db)


@pytest.fixture
def store(db: Database, agent: str) -> PassageStore:
    """The notes of a new agent."""
    return PassageStore(db, agent, Topics())
