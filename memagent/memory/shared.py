"""Blocks of core memory that have a life of their own: shared by several agents, or kept while no agent has them.

Every block has an id. Agents that share one have it each in their own core memory, under the same id: what one of them
writes is written to all in the same transaction, with an edit in the history of each (see core.py). Knows nothing of
who asks.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from memagent.errors import NameTaken, NotFound, UserError
from memagent.memory.core import Block, CoreMemory, Edit, check_size
from memagent.messages import storable
from memagent.storage import Database, Row, Transaction, reading, text

_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,39}")
LARGEST = 100_000
ATTACHED = "attached"


@dataclass(frozen=True)
class SharedBlock:
    """A block, with the ids of the agents that have it, and what else is known `about` it, such as its tags."""

    id: str
    block: Block
    created: datetime
    agents: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """What is to be changed of a block; nothing where it is None."""

    value: str | None = None
    label: str | None = None
    limit: int | None = None
    description: str | None = None
    read_only: bool | None = None
    about: Mapping[str, Any] = field(default_factory=dict)


def checked(block: Block) -> Block:
    """The block, if it is one that a model can be shown."""
    if not _LABEL.fullmatch(block.label):
        hint = "Use letters a-z, digits, and - _ or dots, at most 40; the first is a letter."
        raise UserError(f"{block.label[:60]!r} is no label for a block.", hint=hint)
    if not 1 <= block.limit <= LARGEST:
        raise UserError(f"The limit of a block is from 1 to {LARGEST} characters.")
    value = storable(block.value)
    if len(value) > block.limit:
        raise UserError(
            f"The text for the block {block.label!r} has {len(value)} characters; its limit is {block.limit}.",
            hint="Shorten it, or give the block a higher limit.",
        )
    return replace(block, value=value, description=storable(block.description))


class SharedBlocks:
    """The blocks of one owner: those of all agents, and those that no agent has."""

    def __init__(self, database: Database, owner: str) -> None:
        self._database = database
        self._owner = owner

    def all(self, id: str = "", tx: Transaction | None = None) -> list[SharedBlock]:
        """Every block once, the oldest first; or the one of that id. In a transaction, as it is there."""
        reader = tx or self._database
        where, values = (" AND b.id = ?", (id,)) if id else ("", ())
        loose = reader.rows(
            "SELECT b.id, b.label, b.value, b.size_limit, b.description, b.read_only, b.created, b.about, NULL "
            f"FROM shared_blocks b WHERE b.owner = ?{where}",
            self._owner, *values,
        )  # fmt: skip
        held = reader.rows(
            "SELECT b.id, b.label, b.value, b.size_limit, b.description, b.read_only, a.created, '{}', b.agent "
            f"FROM blocks b JOIN agents a ON a.id = b.agent WHERE a.owner = ?{where} "
            "ORDER BY a.created, a.name, b.position",
            self._owner, *values,
        )  # fmt: skip
        found: dict[str, SharedBlock] = {}
        for row in [*loose, *held]:
            block = found.setdefault(row[0], _shared(row))
            if row[8]:
                found[row[0]] = replace(block, agents=(*block.agents, row[8]))
        return sorted(found.values(), key=lambda block: block.created)

    def find(self, id: str, tx: Transaction | None = None) -> SharedBlock:
        """The block of that id."""
        if found := self.all(id, tx) if id else []:
            return found[0]
        raise NotFound(f"There is no block {id[:80]!r}.")

    def make(self, tx: Transaction, block: Block, about: Mapping[str, Any], now: datetime) -> str:
        """Keep a block that no agent has yet; returns its id."""
        made = replace(checked(block), id=uuid.uuid4().hex)
        self._keep(tx, SharedBlock(made.id, made, now, about=about))
        return made.id

    def attach(self, tx: Transaction, id: str, agent: str, now: datetime) -> None:
        """Let an agent have a block, together with the others that do."""
        shared = self._shared(tx, id)
        if agent in shared.agents:
            return
        if tx.rows("SELECT 1 FROM blocks WHERE agent = ? AND label = ?", agent, shared.block.label):
            raise NameTaken(f"The agent has a block {shared.block.label!r} already.", hint="Detach that one first.")
        CoreMemory(self._database, agent).create(tx, [replace(shared.block, id=id)], ATTACHED, now)

    def detach(self, tx: Transaction, id: str, agent: str) -> None:
        """Take a block from an agent, with the agent's history of it; the block stays."""
        shared = self._shared(tx, id)
        if agent not in shared.agents:
            raise NotFound(f"The agent has no block {id[:80]!r}.")
        self._take(tx, shared, agent)

    def delete(self, tx: Transaction, id: str) -> None:
        """Delete a block, whoever has it."""
        shared = self.find(id, tx)
        for agent in shared.agents:
            self._take(tx, shared, agent)
        tx.run("DELETE FROM shared_blocks WHERE id = ? AND owner = ?", id, self._owner)

    def change(self, tx: Transaction, id: str, wanted: Wanted, cause: str, now: datetime) -> list[Edit]:
        """Change a block wherever it is; its new value is an edit in the history of each agent that has it. Returns
        that of the first one.
        """
        shared = self.find(id, tx)
        before = shared.block
        block = replace(
            before,
            label=wanted.label if wanted.label is not None else before.label,
            limit=wanted.limit if wanted.limit is not None else before.limit,
            description=wanted.description if wanted.description is not None else before.description,
            read_only=wanted.read_only if wanted.read_only is not None else before.read_only,
        )
        checked(replace(block, value=""))
        if wanted.about:
            shared = self._shared(tx, id)
            about = json.dumps({**shared.about, **wanted.about})
            tx.run("UPDATE shared_blocks SET about = ? WHERE id = ?", about, id)
        kept = (block.label, block.limit, storable(block.description), int(block.read_only), id)
        for table in ("shared_blocks", "blocks"):
            if table == "blocks" and block.label != before.label:
                self._rename(tx, shared, block.label)
            query = f"UPDATE {table} SET label = ?, size_limit = ?, description = ?, read_only = ? WHERE id = ?"
            tx.run(query, *kept)
        return [] if wanted.value is None else self._write(tx, replace(shared, block=block), wanted.value, cause, now)

    # Inside -----------------------------------------------------------------------------------------------------------

    def _write(self, tx: Transaction, shared: SharedBlock, value: str, cause: str, now: datetime) -> list[Edit]:
        value = storable(value)
        check_size(shared.block, shared.block.value, value)
        if not shared.agents:
            tx.run("UPDATE shared_blocks SET value = ? WHERE id = ?", value, shared.id)
            return []
        core = CoreMemory(self._database, shared.agents[0])
        label = shared.block.label
        rows = tx.rows("SELECT value, version FROM blocks WHERE agent = ? AND label = ?", shared.agents[0], label)
        core.blocks = {label: replace(shared.block, value=text(rows[0][0]), version=int(rows[0][1]))}
        return core.rewrite(tx, label, value, cause, now)

    def _rename(self, tx: Transaction, shared: SharedBlock, label: str) -> None:
        for agent in shared.agents:
            if tx.rows("SELECT 1 FROM blocks WHERE agent = ? AND label = ?", agent, label):
                raise NameTaken(f"An agent that has it has a block {label!r} already.", hint="Choose another label.")
            query = "UPDATE block_edits SET label = ? WHERE agent = ? AND label = ?"
            tx.run(query, label, agent, shared.block.label)

    def _take(self, tx: Transaction, shared: SharedBlock, agent: str) -> None:
        for table in ("block_edits", "blocks"):
            tx.run(f"DELETE FROM {table} WHERE agent = ? AND label = ?", agent, shared.block.label)

    def _shared(self, tx: Transaction, id: str) -> SharedBlock:
        """A block, which is kept from now on whether an agent has it or not."""
        shared = self.find(id, tx)
        if not tx.rows("SELECT 1 FROM shared_blocks WHERE id = ?", id):
            self._keep(tx, shared)
        return shared

    def _keep(self, tx: Transaction, shared: SharedBlock) -> None:
        block = shared.block
        tx.run(
            "INSERT INTO shared_blocks (id, owner, label, value, size_limit, description, read_only, about, created) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            shared.id, self._owner, block.label, block.value, block.limit, block.description, int(block.read_only),
            json.dumps(dict(shared.about)), shared.created.isoformat(),
        )  # fmt: skip


def _shared(row: Row) -> SharedBlock:
    with reading(f"The block {row[1]!r}"):
        block = Block(row[1], text(row[2]), int(row[3]), text(row[4]), bool(row[5]), id=row[0])
        return SharedBlock(row[0], block, datetime.fromisoformat(row[6]), (), {**json.loads(text(row[7]))})
