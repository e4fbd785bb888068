"""Core memory: the named blocks of text that an agent always sees and edits itself, with the history of every edit.

Edits are drafted on a copy (`Draft`), and stored in the caller's transaction against the version that they were
drafted on. Knows nothing of who asks for an edit beyond the `cause` it is told.
"""

from __future__ import annotations

import difflib
import html
import re
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from memagent import watching
from memagent.errors import ModelError, NotFound, ToolError, UserError
from memagent.messages import storable, unmarked
from memagent.storage import Database, Row, Transaction, reading, text

UNDO = "undo of version "
MOST_LINES = 100


@dataclass(frozen=True)
class Block:
    """A named piece of core memory. `limit` is in characters; `version` counts its edits. Agents that share one have it
    under the same `id`.
    """

    label: str
    value: str
    limit: int = 2000
    description: str = ""
    read_only: bool = False
    version: int = 1
    id: str = field(default="", compare=False)


@dataclass(frozen=True)
class Edit:
    """One change of a block: from what to what, when, and by whom or what (`cause`)."""

    label: str
    version: int
    before: str
    after: str
    cause: str
    created: datetime
    turn: int | None = None
    call_id: str | None = None

    def diff(self) -> str:
        """The change as a unified diff."""
        lines = difflib.unified_diff(
            self.before.splitlines(), self.after.splitlines(), f"version {self.version - 1}", f"version {self.version}",
            lineterm="",
        )  # fmt: skip
        return "\n".join(lines)


@dataclass(frozen=True)
class Change:
    """An edit that is not stored yet, against the version it was drafted on."""

    label: str
    base: int
    before: str
    after: str


class Draft:
    """A copy of the blocks to edit; nothing is stored. Errors are written for the model to read."""

    def __init__(self, blocks: Mapping[str, Block]) -> None:
        self._blocks = dict(blocks)  # the versions drafted on, whatever is stored meanwhile
        self._values: dict[str, str] = {}

    def labels(self) -> Sequence[str]:
        return tuple(self._blocks)

    def read(self, label: str) -> str:
        return self._values.get(label, self._block(label).value)

    def append(self, label: str, text: str) -> str:
        """Add a line of text to a block; returns the new value."""
        value = self.read(label)
        return self._set(label, f"{value}\n{text}" if value else text)

    def replace(self, label: str, old: str, new: str) -> str:
        """Put `new` where `old` stands, which must be there exactly once; returns the new value."""
        value = self.read(label)
        if not old:
            raise ToolError("The old text is empty. Give the exact text to replace, or append instead.")
        count = value.count(old)
        if count == 0:
            raise ToolError(
                f"The text {_short(old)!r} is not in the block {label!r}, so nothing was replaced. "
                f"It must match exactly. The block reads: {_short(value, 600)!r}"
            )
        if count > 1:
            raise ToolError(
                f"The text {_short(old)!r} stands {count} times in {label!r}. Give more of the text around it."
            )
        return self._set(label, value.replace(old, new).strip("\n"))

    def rewrite(self, label: str, value: str) -> str:
        """Replace the whole block."""
        return self._set(label, value)

    def changes(self) -> list[Change]:
        """What differs from the blocks the draft began with."""
        return [
            Change(label, self._blocks[label].version, self._blocks[label].value, value)
            for label, value in self._values.items()
            if value != self._blocks[label].value
        ]

    def _block(self, label: str) -> Block:
        if label not in self._blocks:
            raise ToolError(f"There is no block {label!r} in core memory. There are: {', '.join(self._blocks)}.")
        return self._blocks[label]

    def _set(self, label: str, value: str) -> str:
        block, value = self._block(label), storable(value)
        if block.read_only:
            raise ToolError(f"The block {label!r} is read-only.")
        check_size(block, self.read(label), value)
        self._values[label] = value
        return value


def check_size(block: Block, before: str, after: str) -> None:
    """Refuse a value over the block's limit, unless it makes an over-long block shorter."""
    if len(after) > block.limit and len(after) >= len(before):
        raise ToolError(
            f"The block {block.label!r} can hold {block.limit} characters and now holds {len(before)}; this would make "
            f"it {len(after)}. Shorten it with core_memory_replace first, or keep details in archival memory."
        )


class CoreMemory:
    """The blocks of one agent, as they are stored, and their history."""

    def __init__(self, database: Database, agent: str) -> None:
        self._database = database
        self._agent = agent
        self.blocks: dict[str, Block] = {}

    def reload(self) -> None:
        """See the blocks as they are stored now."""
        rows = self._database.rows(
            "SELECT label, value, size_limit, description, read_only, version, id FROM blocks WHERE agent = ? "
            "ORDER BY position",
            self._agent,
        )
        with reading("Core memory"):
            self.blocks = {
                row[0]: Block(row[0], text(row[1]), int(row[2]), text(row[3]), bool(row[4]), int(row[5]), row[6])
                for row in rows
            }

    def open_labels(self) -> list[str]:
        """The blocks that the agent may edit."""
        return [block.label for block in self.blocks.values() if not block.read_only]

    def open_lines(self) -> list[str]:
        """The lines of these blocks, each once."""
        lines = [line for label in self.open_labels() for line in self.blocks[label].value.splitlines()]
        return [*dict.fromkeys(line for line in lines if line.strip())][:MOST_LINES]

    def before(self, calls: Collection[str]) -> dict[str, Block]:
        """The blocks as they were before their latest edits, as far as it was these calls that made them."""
        rows = self._database.rows(
            "SELECT label, before, call_id FROM block_edits WHERE agent = ? ORDER BY id DESC LIMIT 1000", self._agent
        )
        blocks = dict(self.blocks)
        settled: set[str] = set()
        for label, value, call_id in rows:
            if call_id not in calls:
                settled.add(label)
            elif label not in settled and label in blocks:
                blocks[label] = replace(blocks[label], value=text(value))
        return blocks

    def render(self, blocks: Mapping[str, Block] | None = None) -> str:
        """The blocks, or others in their place, as the model sees them. No value can end its block and begin one."""
        blocks = self.blocks if blocks is None else blocks
        tags = re.compile(rf"<(?=/?(?:{'|'.join(map(re.escape, ['core_memory', *blocks]))}))", re.IGNORECASE)
        parts = ["<core_memory>"]
        for block in blocks.values():
            about = f' about="{html.escape(block.description)}"' if block.description else ""
            mode = ' read_only="true"' if block.read_only else ""
            size = f'used="{len(block.value)}" limit="{block.limit}"'
            value = unmarked(tags.sub("&lt;", block.value))
            parts.append(f"<{block.label}{about} {size}{mode}>\n{value}\n</{block.label}>")
        return "\n".join([*parts, "</core_memory>"])

    def draft(self) -> Draft:
        """A copy to edit."""
        return Draft(self.blocks)

    def create(self, tx: Transaction, blocks: Iterable[Block], cause: str, now: datetime) -> None:
        """Store new blocks, in this order, after those that there are."""
        rows = tx.rows("SELECT max(position) FROM blocks WHERE agent = ?", self._agent)
        for position, block in enumerate(blocks, start=0 if rows[0][0] is None else rows[0][0] + 1):
            value = storable(block.value)
            if len(value) > block.limit:
                raise UserError(
                    f"The text for the block {block.label!r} has {len(value)} characters; its limit is {block.limit}.",
                    hint="Shorten it, or give the block a higher limit in the preset.",
                )
            tx.run(
                "INSERT INTO blocks (agent, label, position, value, size_limit, description, read_only, version, id) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?)",
                self._agent, block.label, position, value, block.limit, storable(block.description),
                int(block.read_only), block.id or uuid.uuid4().hex,
            )  # fmt: skip
            self._record(tx, Change(block.label, 0, "", value), cause, now, None, None)

    def store(
        self, tx: Transaction, changes: Iterable[Change], cause: str, now: datetime,
        turn: int | None = None, call_id: str | None = None,
    ) -> list[Edit]:  # fmt: skip
        """Store drafted changes; refused when a block has changed since they were drafted."""
        return [self._change(tx, change, cause, now, turn, call_id) for change in changes]

    @watching.memory("update_memory", "core")
    def _change(
        self, tx: Transaction, change: Change, cause: str, now: datetime, turn: int | None, call_id: str | None
    ) -> Edit:
        own = "SELECT id FROM blocks WHERE agent = ? AND label = ?"
        query = f"UPDATE shared_blocks SET value = ? WHERE id = ({own})"  # first: so those who share it take turns
        shared = tx.run(query, change.after, self._agent, change.label)
        done = tx.run(
            "UPDATE blocks SET value = ?, version = version + 1 WHERE agent = ? AND label = ? AND version = ?",
            change.after, self._agent, change.label, change.base,
        )  # fmt: skip
        if not done:
            raise ToolError(f"The block {change.label!r} was changed by someone else meanwhile. Read it again first.")
        edit = self._record(tx, change, cause, now, turn, call_id)
        if shared:
            self._share(tx, change, cause, now)
        return edit

    def _share(self, tx: Transaction, change: Change, cause: str, now: datetime) -> None:
        """The others that share a block have the same in it now, with an edit of their own."""
        rows = tx.rows(
            "SELECT agent, label, version, value FROM blocks WHERE agent <> ? AND id = "
            "(SELECT id FROM blocks WHERE agent = ? AND label = ?)",
            self._agent, self._agent, change.label,
        )  # fmt: skip
        for agent, label, version, before in rows:
            query = "UPDATE blocks SET value = ?, version = version + 1 WHERE agent = ? AND label = ?"
            tx.run(query, change.after, agent, label)
            theirs = Change(label, version, text(before), change.after)
            CoreMemory(self._database, agent)._record(tx, theirs, f"shared: {cause}", now, None, None)

    def seen(self, edits: Iterable[Edit]) -> None:
        """Take over edits that are now committed."""
        for edit in edits:
            self.blocks[edit.label] = replace(self.blocks[edit.label], value=edit.after, version=edit.version)

    def history(self, label: str | None = None, limit: int = 1000) -> list[Edit]:
        """The edits of a block, or of all, newest first."""
        where, values = ("AND label = ? ", (label,)) if label else ("", ())
        rows = self._database.rows(
            f"{_EDITS} WHERE agent = ? {where}ORDER BY id DESC LIMIT ?", self._agent, *values, limit
        )
        return [_edit(row) for row in rows]

    def of_turns(self, first: int, last: int) -> list[Edit]:
        """The edits that were made in these turns, newest first."""
        where = "WHERE agent = ? AND turn BETWEEN ? AND ? ORDER BY id DESC"
        return [_edit(row) for row in self._database.rows(f"{_EDITS} {where}", self._agent, first, last)]

    def on(self, day: date) -> dict[str, Block]:
        """The blocks as they were at the end of a day; those that came later are not among them."""
        found = {}
        for block in self.blocks.values():
            where = "WHERE agent = ? AND label = ? AND substr(created, 1, 10) <= ? ORDER BY id DESC LIMIT 1"
            for row in self._database.rows(f"{_EDITS} {where}", self._agent, block.label, day.isoformat()):
                edit = _edit(row)
                found[block.label] = replace(block, value=edit.after, version=edit.version)
        return found

    def version(self, label: str, version: int) -> Edit:
        """The edit that made a version."""
        where = "WHERE agent = ? AND label = ? AND version = ?"
        rows = self._database.rows(f"{_EDITS} {where}", self._agent, label, version)
        if not rows:
            raise NotFound(
                f"The block {label!r} has no version {version}.", hint="See them with: memagent memory history"
            )
        return _edit(rows[0])

    def rewrite(self, tx: Transaction, label: str, value: str, cause: str, now: datetime) -> list[Edit]:
        """Replace a whole block for the user, who may also change read-only ones."""
        block = find(self.blocks, label)
        draft = Draft({label: replace(block, read_only=False)})
        try:
            draft.rewrite(label, value)
            return self.store(tx, draft.changes(), cause, now)
        except ModelError as error:  # the same checks as for the model, but a person reads the answer
            raise UserError(error.message) from error

    def undo(self, tx: Transaction, now: datetime) -> list[Edit]:
        """Take back the last edit that was not taken back yet; again and again, down to the beginning."""
        standing = self._standing(tx)
        return [self._take_back(tx, *next(reversed(standing)), now)] if standing else []

    def undo_turn(self, tx: Transaction, turn: int, now: datetime) -> tuple[list[Edit], list[str]]:
        """Take back a turn's edits; returns what was done, and the blocks that were edited again since and are left."""
        standing = self._standing(tx)
        done: list[Edit] = []
        left: list[str] = []
        for label, version in [key for key, made_in in reversed(standing.items()) if made_in == turn]:
            newest = next(key for key in reversed(standing) if key[0] == label)
            if newest == (label, version):
                done.append(self._take_back(tx, label, version, now))
                del standing[label, version]
            elif label not in left:
                left.append(label)
        return done, left

    def undo_version(self, tx: Transaction, label: str, version: int, now: datetime) -> Edit | None:
        """Take one edit back, if none of its block came after it."""
        rows = tx.rows("SELECT version FROM blocks WHERE agent = ? AND label = ?", self._agent, label)
        return self._take_back(tx, label, version, now) if rows and rows[0][0] == version else None

    def _standing(self, tx: Transaction) -> dict[tuple[str, int], int | None]:
        """The edits that were not taken back, oldest first: label and version, with the turn that made them."""
        standing: dict[tuple[str, int], int | None] = {}
        rows = tx.rows(
            "SELECT label, version, turn, cause FROM block_edits WHERE agent = ? AND version > 1 ORDER BY id",
            self._agent,
        )
        for label, version, turn, cause in rows:
            if cause.startswith(UNDO):
                standing.pop((label, int(cause.removeprefix(UNDO))), None)
            else:
                standing[label, version] = turn
        return standing

    def _take_back(self, tx: Transaction, label: str, version: int, now: datetime) -> Edit:
        """Set a block to what it was before an edit, whatever its limit is now: it was there before."""
        before = self.version(label, version).before
        row = tx.rows("SELECT version, value FROM blocks WHERE agent = ? AND label = ?", self._agent, label)[0]
        return self.store(tx, [Change(label, row[0], row[1], before)], f"{UNDO}{version}", now)[0]

    def _record(
        self, tx: Transaction, change: Change, cause: str, now: datetime, turn: int | None, call_id: str | None
    ) -> Edit:
        edit = Edit(change.label, change.base + 1, change.before, change.after, cause, now, turn, call_id)
        tx.add(
            "INSERT INTO block_edits (agent, label, version, before, after, cause, turn, call_id, created) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            self._agent, edit.label, edit.version, edit.before, edit.after, cause, turn, call_id, now.isoformat(),
        )  # fmt: skip
        return edit


def find(blocks: Mapping[str, Block], label: str) -> Block:
    """The block of that name, for a person."""
    if label not in blocks:
        raise NotFound(f"There is no block {label!r}.", hint=f"There are: {', '.join(blocks)}.")
    return blocks[label]


_EDITS = "SELECT label, version, before, after, cause, created, turn, call_id FROM block_edits"


def _edit(row: Row) -> Edit:
    with reading(f"Version {row[1]} of the block {row[0]!r}"):
        created = datetime.fromisoformat(row[5])
        return Edit(row[0], row[1], text(row[2]), text(row[3]), text(row[4]), created, row[6], row[7])


def _short(text: str, most: int = 120) -> str:
    return text if len(text) <= most else text[:most] + "…"
