"""The base functions: the agent speaks, edits its core memory, and searches what it remembers.

They touch nothing but the agent itself, through `AgentFacade`. Knows nothing of how memory is stored or searched.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

from memagent.errors import ToolError
from memagent.tools import AgentFacade, Found, Page, Rules, attach

_INSIDE = attach(Rules(inside=True, after_cut="retry"))
_QUIET = Rules(inside=True, after_cut="retry", quiet=True)
_QUIETLY = attach(_QUIET)
_ROOM = 5600
"""Characters that one page of results may fill; each result has an even share of it."""


@attach(Rules(inside=True, after_cut="retry", ends_turn=True))
def send_message(self: AgentFacade, message: str) -> str:
    """Speak to the user, who sees nothing else.

    Args:
        message: What to say.
    """
    self.say(message)
    return "Sent."


@_QUIETLY
def pause_heartbeats(self: AgentFacade, minutes: int) -> str:
    """Get no timed heartbeats for a while.

    Args:
        minutes: For how long.
    """
    self.pause_heartbeats(minutes)
    return f"No timed heartbeats for {minutes} minutes."


@attach(replace(_QUIET, blocks=("name",)))
def core_memory_append(self: AgentFacade, name: str, content: str) -> str:
    """Add a line to a block of your core memory.

    Args:
        name: Block, like human.
        content: Text to add.
    """
    return _size(name, self.core.append(name, content))


@attach(replace(_QUIET, blocks=("name",), lines=("old_content",)))
def core_memory_replace(self: AgentFacade, name: str, old_content: str, new_content: str) -> str:
    """Replace text in a block of your core memory.

    Args:
        name: Block, like human.
        old_content: Exact text in it.
        new_content: New text.
    """
    return _size(name, self.core.replace(name, old_content, new_content))


@_INSIDE
def conversation_search(self: AgentFacade, query: str, page: int = 0) -> str:
    """Search everything that was ever said.

    Args:
        query: Words to find.
        page: Page.
    """
    return _shown(self.recall.search(query, page))


@_INSIDE
def conversation_search_date(self: AgentFacade, start_date: str, end_date: str, page: int = 0) -> str:
    """Read what was said between two dates.

    Args:
        start_date: Like 2026-05-31.
        end_date: Included.
        page: Page.
    """
    start, end = _moment("start_date", start_date), _moment("end_date", end_date)
    return _shown(self.recall.search_dates(start, end, page))


@_QUIETLY
def archival_memory_insert(self: AgentFacade, content: str, tags: list[str] | None = None) -> str:
    """Keep a text in archival memory, which is unlimited.

    Args:
        content: Text that is clear by itself.
        tags: Topics.
    """
    parts = self.archival.insert(content, tags or ())
    if not parts:
        return "This very text was kept already."
    return "Kept." if parts == 1 else f"Kept, in {parts} parts."


@_INSIDE
def archival_memory_search(self: AgentFacade, query: str, page: int = 0) -> str:
    """Search archival memory by meaning and words.

    Args:
        query: What to find.
        page: Page.
    """
    return _shown(self.archival.search(query, page))


def _size(name: str, value: str) -> str:
    return f"Saved. {name} now has {len(value)} characters."


def _moment(name: str, text: str) -> date | None:
    """A day or a time; an empty text leaves that end open."""
    text = text.strip()
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ToolError(f"{name} must be a date like 2026-05-31 or 2026-05-31T18:30, not {text[:40]!r}.") from None


def _shown(page: Page) -> str:
    """A page of results as the model reads it."""
    if not page.total:
        return "Nothing was found."
    if not page.results:
        last = (page.total - 1) // page.size
        return f"There is no page {page.page}. The {page.total} results are on pages 0 to {last}."
    first = page.page * page.size
    head = f"Results {first + 1}-{first + len(page.results)} of {page.total} (page {page.page}):"
    room = _ROOM // len(page.results)
    return "\n".join([head, *(_line(found, room) for found in page.results)])


def _line(found: Found, room: int) -> str:
    text = " ".join(found.text.split())
    if len(text) > room:
        text = f"{text[:room]}… ({len(text) - room} more characters)"
    tags = f" ({', '.join(found.tags)})" if found.tags else ""
    place = f", {found.place}" if found.place and found.place != found.source else ""
    return f"[{found.when:%a %Y-%m-%d %H:%M}] {found.source}{place}{tags}: {text}"
