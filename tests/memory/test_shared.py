"""Blocks that several agents share: what one writes, all have, each with an edit of its own; and no other owner's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from memagent.errors import NameTaken, NotFound, UserError
from memagent.memory.core import Block, CoreMemory
from memagent.memory.shared import SharedBlocks, Wanted
from memagent.roster import Roster
from memagent.storage.sqlite import SqliteDatabase

NOW = datetime(2026, 3, 4, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    database = SqliteDatabase(tmp_path / "shared.db")
    yield database
    database.close()


def agent(database: SqliteDatabase, name: str, owner: str = "bo") -> CoreMemory:
    with database.write() as tx:
        core = CoreMemory(database, Roster(database, owner).make(tx, name, {}, "", NOW))
        core.create(tx, [Block("human", "Bo.")], "preset", NOW)
    core.reload()
    return core


def agent_id(database: SqliteDatabase, name: str) -> str:
    return Roster(database, "bo").find(name).id


def test_what_one_agent_writes_all_have_with_an_edit_of_their_own(database: SqliteDatabase) -> None:
    ada, eve = agent(database, "ada"), agent(database, "eve")
    shared = SharedBlocks(database, "bo")
    with database.write() as tx:
        id = shared.make(tx, Block("project", "Begun.", 50), {"tags": ["x"]}, NOW)
        shared.attach(tx, id, agent_id(database, "ada"), NOW)
        shared.attach(tx, id, agent_id(database, "eve"), NOW)
    ada.reload()
    draft = ada.draft()
    draft.append("project", "Half done.")
    with database.write() as tx:
        ada.store(tx, draft.changes(), "core_memory_append", NOW, 3, "c")
    eve.reload()
    assert eve.blocks["project"].value == shared.find(id).block.value == "Begun.\nHalf done."
    assert [(edit.version, edit.cause) for edit in eve.history("project")] == [
        (2, "shared: core_memory_append"), (1, "attached"),
    ]  # fmt: skip
    with database.write() as tx:  # a person takes it back for one, and so for all
        ada.reload()
        ada.undo(tx, NOW)
    eve.reload()
    assert eve.blocks["project"].value == "Begun." and shared.find(id).about == {"tags": ["x"]}


def test_an_agents_own_block_can_be_shared_and_outlives_being_detached(database: SqliteDatabase) -> None:
    ada, eve = agent(database, "ada"), agent(database, "eve")
    shared = SharedBlocks(database, "bo")
    own = ada.blocks["human"].id
    with pytest.raises(NameTaken), database.write() as tx:
        shared.attach(tx, own, agent_id(database, "eve"), NOW)
    with database.write() as tx:
        shared.detach(tx, eve.blocks["human"].id, agent_id(database, "eve"))
        shared.attach(tx, own, agent_id(database, "eve"), NOW)
        shared.change(tx, own, Wanted(value="Bo, of Oslo.", label="person", limit=20), "user", NOW)
    for core in (ada, eve):
        core.reload()
        assert [(b.label, b.value, b.limit, b.id) for b in core.blocks.values()] == [
            ("person", "Bo, of Oslo.", 20, own)
        ]
    assert shared.find(eve.blocks["person"].id).agents == (agent_id(database, "ada"), agent_id(database, "eve"))
    with pytest.raises(UserError), database.write() as tx:
        shared.change(tx, own, Wanted(limit=0), "user", NOW)
    with database.write() as tx:
        shared.delete(tx, own)
    ada.reload()
    assert ada.blocks == {} and ada.history() == []
    assert [block.block.value for block in shared.all()] == ["Bo."], "the one that was detached is still there"


def test_blocks_are_their_owners_alone(database: SqliteDatabase) -> None:
    core = agent(database, "ada", "mo")
    agent(database, "ada")
    assert len(SharedBlocks(database, "bo").all()) == 1
    for id in (core.blocks["human"].id, "", "nothing"):
        with pytest.raises(NotFound), database.write() as tx:
            SharedBlocks(database, "bo").change(tx, id, Wanted(value="mine"), "user", NOW)
