"""What another program can do with an agent's memory: search and read it, keep notes and facts, and edit core memory.

What it changes goes the way of every change: within limits, never while a turn is running, with a cause in the
history, so that it can be taken back. Knows nothing of how the program speaks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from memagent.access import Scope
from memagent.assemble import open_state
from memagent.errors import ToolError
from memagent.facts import Cause
from memagent.memory.core import Draft, Edit, find
from memagent.messages import storable
from memagent.upkeep import open_facts

if TYPE_CHECKING:
    from memagent.config import Settings
    from memagent.facts import Fact
    from memagent.facts.keeping import FactMemory
    from memagent.persistence import PersistenceManager
    from memagent.roster import Entry
    from memagent.storage import Database, Found, Page

OFFERED: Mapping[str, Scope] = {
    "search": "read", "recall": "read", "read_core_memory": "read", "remember": "admin",
    "append_to_core_memory": "admin", "edit_core_memory": "admin",
}  # fmt: skip
"""What is offered, and what a key must open for it: the same as at every other door."""
CAUSE = "mcp"
"""By whom an edit was made, in the history of core memory."""
LONGEST_FACT = 500
ROOM = 6000
"""Characters of one page of results."""

Query = Annotated[str, Field(description="Words to look for, or a question.")]
PageNumber = Annotated[int, Field(ge=0, le=10_000, description="Which page of results, from 0.")]
Day = Annotated[str, Field(description="A day, like 2026-05-31; empty: no limit.")]
Label = Annotated[str, Field(description="The block, such as human.")]
Tags = Annotated[list[str], Field(description="Topics, for a note.")]
Text = Annotated[str, Field(description="A text that is clear by itself.")]
Done = Callable[[str, Sequence[Edit]], None]
"""Told what was done, and which edits of core memory that were."""


def opened(
    settings: Settings, database: Database, entry: Entry, *, by: str = "", done: Done = lambda _what, _edits: None
) -> OpenMemory:
    """The memory of an agent. Edits are in its history `by` somebody."""
    facts = open_facts(settings, database, entry.id)
    return OpenMemory(
        open_state(settings, database, entry, facts=facts), facts, f"{CAUSE}, {by}" if by else CAUSE, done
    )


class OpenMemory:
    """The memory of one agent, for callers in several threads. Each answer is a text."""

    def __init__(self, state: PersistenceManager, facts: FactMemory | None, cause: str, done: Done) -> None:
        self.state = state
        self._facts = facts
        self._cause = cause
        self._done = done
        self._one_at_a_time = threading.Lock()

    def search(
        self, query: Query, where: Literal["all", "conversation", "notes", "facts"] = "all", page: PageNumber = 0
    ) -> str:
        """Search what the agent remembers: what was said, its notes and sources, and facts."""
        parts = []
        if where in ("all", "conversation"):
            parts.append(_page("Conversation", self.state.recall.search(query, page)))
        if where in ("all", "notes"):
            parts.append(_page("Notes and sources", self.state.archival.search(query, page)))
        if where == "facts" or (where == "all" and self._facts):
            parts.append(self._found_facts(query, page))
        return "\n\n".join(parts)

    def recall(self, since: Day = "", until: Day = "", page: PageNumber = 0) -> str:
        """Read what was said between two days, both included."""
        return _page("Conversation", self.state.recall.search_dates(_day(since), _day(until), page))

    def read_core_memory(self) -> str:
        """Read core memory: what the agent always has in mind, in named blocks."""
        with self._one_at_a_time:
            self.state.core.reload()
            return self.state.core.render()

    def read(self, label: str) -> str:
        """One block of core memory."""
        with self._one_at_a_time:
            self.state.core.reload()
            return find(self.state.core.blocks, label).value

    def remember(self, text: Text, kind: Literal["note", "fact"] = "note", tags: Tags = []) -> str:  # noqa: B006
        """Keep a note in archival memory, or a fact: one short sentence that holds true, such as of the user."""
        if kind == "fact":
            words = " ".join(storable(text).split())
            if not 0 < len(words) <= LONGEST_FACT:
                raise ToolError(f"A fact is a sentence of at most {LONGEST_FACT} characters; keep more as a note.")
            kept = self._kept_facts().state(words, Cause("agent", "by MCP", self.state.entry.id))
            self._done("fact kept", ())
            return f"Kept as fact {kept.id}."
        prepared = self.state.archival.prepare(text, tags)
        with self._one_at_a_time, self.state.alone() as tx:
            parts = self.state.archival.store(tx, prepared, turn=None, now=self.state.clock())
        self._done("note kept", ())
        return "Kept." if parts else "This very text was kept already."

    def append_to_core_memory(self, block: Label, text: Annotated[str, Field(description="A line to add.")]) -> str:
        """Add a line to a block of core memory."""
        return self._edit(lambda draft: draft.append(block, text))

    def edit_core_memory(
        self, block: Label, old: Annotated[str, Field(description="Exact text that stands in the block.")],
        new: Annotated[str, Field(description="What shall stand there instead; may be empty.")],
    ) -> str:  # fmt: skip
        """Put other words in the place of a text in a block of core memory."""
        return self._edit(lambda draft: draft.replace(block, old, new))

    def _edit(self, change: Callable[[Draft], object]) -> str:
        with self._one_at_a_time:
            edits = self.state.edit_blocks(change, self._cause)
        self._done("block edited", edits)
        return (
            "\n".join(f"{each.label} is now at version {each.version}:\n{each.after}" for each in edits) or "As it was."
        )

    def _found_facts(self, query: str, page: int) -> str:
        found = self._kept_facts().search(query, page)
        return _listed("Facts", [_fact(match.fact) for match in found.matches], found.total)

    def _kept_facts(self) -> FactMemory:
        if self._facts is None:
            raise ToolError("No facts are kept here: the setting facts is off.")
        return self._facts


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text.strip()) if text.strip() else None
    except ValueError:
        raise ToolError(f"{text[:40]!r} is not a day. Write it like 2026-05-31.") from None


def _page(title: str, page: Page) -> str:
    return _listed(title, [_line(found) for found in page.results], page.total)


def _line(found: Found) -> str:
    tags = f" ({', '.join(found.tags)})" if found.tags else ""
    place = f", {found.place}" if found.place and found.place != found.source else ""
    return f"[{found.when:%Y-%m-%d %H:%M}] {found.source}{place}{tags}: {' '.join(found.text.split())}"


def _fact(fact: Fact) -> str:
    times = [f"since {fact.since}" if fact.since else "", f"until {fact.until}" if fact.until else ""]
    return f"[{fact.id}] {fact.text} ({', '.join(filter(None, [f'said {fact.said:%Y-%m-%d}', *times]))})"


def _listed(title: str, lines: Sequence[str], total: int) -> str:
    room = ROOM // max(1, len(lines))
    cut = [line if len(line) <= room else f"{line[:room]}…" for line in lines]
    return "\n".join([f"{title}: {len(lines)} of {total}", *cut])
