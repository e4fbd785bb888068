"""Functions for an agent that answers from documents: search page by page, read on, and answer with quotes that are
checked.

A quote is looked up in the passage that it is said to be from, and shown to the user as it stands there, with its
place: words that are not in the documents can't be quoted, and no place can be made up. Knows nothing of how sources
are loaded or searched.
"""

from __future__ import annotations

from typing import NoReturn

from memagent.errors import ToolError
from memagent.tools import AgentFacade, Found, Rules, attach
from memagent.tools.quoting import quoted_from

_INSIDE = attach(Rules(inside=True, after_cut="retry"))
_ROOM = 5600
"""Characters that the passages of one result may fill."""
MOST_QUOTES = 8


@_INSIDE
def search_sources(self: AgentFacade, query: str, page: int = 0, source: str = "") -> str:
    """Search the documents, and your own notes, by words and meaning.

    Args:
        query: Words that the passage would use.
        page: Page, from 0.
        source: Only in this source.
    """
    found = self.archival.search(query, page, source=source)
    if not found.total:
        return "Nothing was found."
    last = (found.total - 1) // found.size
    if not found.results:
        return f"There is no page {found.page}. The {found.total} results are on pages 0 to {last}."
    first = found.page * found.size
    head = f"Results {first + 1}-{first + len(found.results)} of {found.total} (page {found.page})"
    if found.page < last:
        head += f"; more on page {found.page + 1}"
    room = _ROOM // len(found.results)
    return "\n\n".join([f"{head}:", *(_shown(each, room) for each in found.results)])


@_INSIDE
def read_around(self: AgentFacade, passage: int, before: int = 1, after: int = 1) -> str:
    """Read what stands before and after a passage in its document.

    Args:
        passage: The number in brackets.
        before: How many passages before it.
        after: How many after it.
    """
    stretch = self.archival.around(passage, before, after)
    last = stretch.first + len(stretch.passages) - 1
    shown = f"Passage {last}" if last == stretch.first else f"Passages {stretch.first}-{last}"
    room = _ROOM // len(stretch.passages)
    head = f"{shown} of the {stretch.total} of this document:"
    return "\n\n".join([head, *(_shown(each, room) for each in stretch.passages)])


@_INSIDE
def list_sources(self: AgentFacade) -> str:
    """List the sources that you can search."""
    sources = self.archival.sources()
    if not sources:
        return "No source is attached. There are only your own notes."
    lines = [
        f"{s.name}: {s.documents} documents, {s.passages} passages, such as {', '.join(s.examples)}" for s in sources
    ]
    return "\n".join([*lines, "you: your own notes"])


@attach(Rules(inside=True, after_cut="retry", ends_turn=True))
def answer_with_quotes(self: AgentFacade, message: str, quotes: list[str], passages: list[int]) -> str:
    """Answer the user from the documents. Each quote is shown below your answer, with its place.

    Args:
        message: The answer, without quotes.
        quotes: The decisive words, copied exactly.
        passages: For each quote, the number of the passage that has it.
    """
    if not message.strip():
        raise ToolError("The message is empty. Write what you want to say to the user.")
    if not quotes or len(quotes) != len(passages):
        raise ToolError(f"Give a passage for each quote: there are {len(quotes)} quotes and {len(passages)} passages.")
    if len(quotes) > MOST_QUOTES:
        raise ToolError(f"Quote {MOST_QUOTES} times at most: only what decides.")
    shown = [_quoted(self, quote, passage) for quote, passage in zip(quotes, passages, strict=True)]
    self.say("\n\n".join([message.strip(), *dict.fromkeys(shown)]))
    return "Sent."


def _shown(found: Found, room: int) -> str:
    """A passage as the model reads it: its number, where it stands, and its lines as they are."""
    head, text = f"[{found.passage}] {_where(found)}:", found.text.strip()
    room = max(0, room - len(head))
    if len(text) > room:
        text = f"{text[:room]}… ({len(text) - room} more characters)"
    return f"{head}\n{text}"


def _where(found: Found) -> str:
    """Where a passage stands, in words for a person."""
    if found.place and found.source != found.place:
        return f"{found.place} ({found.source})"
    tags = f" ({', '.join(found.tags)})" if found.tags else ""
    return f"{found.source}, {found.when:%a %Y-%m-%d}{tags}"


def _quoted(agent: AgentFacade, quote: str, passage: int) -> str:
    """A quote as the user sees it: the words of the passage themselves, and their place."""
    (found,) = agent.archival.around(passage, 0, 0).passages
    words = quoted_from(found.text, quote)
    if not words:
        _refuse(quote, passage)
    return f"“{words}”\n— {_where(found)}"


def _refuse(quote: str, passage: int) -> NoReturn:
    raise ToolError(
        f"These words don't stand in passage {passage}: {quote.strip()[:80]!r}. Copy a sentence from it exactly, leave "
        "nothing out, and take the number from its brackets."
    )
