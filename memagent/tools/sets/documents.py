"""Functions for an agent that answers from documents and from what was said: search page by page, read on, and answer
with quotes that are checked.

A quote is looked up in the passage or message that it is said to be from, and shown to the user as it stands there,
with its place: words that stand nowhere can't be quoted, and no place can be made up. Knows nothing of how sources are
loaded or searched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from memagent.errors import ToolError
from memagent.tools import AgentFacade, Found, Page, Rules, attach
from memagent.tools.quoting import quoted_from

_INSIDE = attach(Rules(inside=True, after_cut="retry"))
_ROOM = 5600
"""Characters that the passages of one result may fill."""
MOST_QUOTES = 8
_MESSAGE = "m"
"""What the number of a message begins with; that of a passage is a number alone."""


@_INSIDE
def search_sources(self: AgentFacade, query: str, page: int = 0, source: str = "") -> str:
    """Search documents and your notes by words and meaning.

    Args:
        query: Words of the passage.
        page: From 0.
        source: Only in this one.
    """
    return _listed(self.archival.search(query, page, source=source), said=False)


@_INSIDE
def search_conversations(self: AgentFacade, query: str, page: int = 0) -> str:
    """Search all that was said, in loaded chats too.

    Args:
        query: Words to find.
        page: From 0.
    """
    return _listed(self.recall.search(query, page), said=True)


@_INSIDE
def read_around(self: AgentFacade, passage: str, before: int = 1, after: int = 1) -> str:
    """Read around a passage or message.

    Args:
        passage: Its number in brackets.
        before: How many.
        after: How many.
    """
    number, said = _number(passage)
    if said:
        messages = self.recall.around(number, before, after)
        return "\n\n".join(["What was said there:", *_all_shown(messages, said=True)])
    stretch = self.archival.around(number, before, after)
    last = stretch.first + len(stretch.passages) - 1
    shown = f"Passage {last}" if last == stretch.first else f"Passages {stretch.first}-{last}"
    head = f"{shown} of the {stretch.total} of this document:"
    return "\n\n".join([head, *_all_shown(stretch.passages, said=False)])


@_INSIDE
def list_sources(self: AgentFacade) -> str:
    """List the sources."""
    sources = self.archival.sources()
    if not sources:
        return "No source is attached. There are only your own notes."
    lines = [
        f"{s.name}: {s.documents} documents, {s.passages} passages, such as {', '.join(s.examples)}" for s in sources
    ]
    return "\n".join([*lines, "you: your own notes"])


@attach(Rules(inside=True, after_cut="retry", ends_turn=True))
def answer_with_quotes(self: AgentFacade, message: str, quotes: list[str], passages: list[str]) -> str:
    """Answer from what was found. Quotes are shown with their places.

    Args:
        message: Without quotes.
        quotes: Decisive words, copied exactly.
        passages: For each quote, its number in brackets.
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


def _listed(found: Page, *, said: bool) -> str:
    """A page of results as the model reads it."""
    if not found.total:
        return "Nothing was found."
    last = (found.total - 1) // found.size
    if not found.results:
        return f"There is no page {found.page}. The {found.total} results are on pages 0 to {last}."
    first = found.page * found.size
    head = f"Results {first + 1}-{first + len(found.results)} of {found.total} (page {found.page})"
    if found.page < last:
        head += f"; more on page {found.page + 1}"
    return "\n\n".join([f"{head}:", *_all_shown(found.results, said=said)])


def _all_shown(found: Sequence[Found], *, said: bool) -> list[str]:
    room = _ROOM // len(found)
    return [_shown(each, room, said=said) for each in found]


def _shown(found: Found, room: int, *, said: bool) -> str:
    """A passage or message as the model reads it: its number, where it stands, and its lines as they are."""
    who = "the user" if found.source == "user" else "you" if not found.place else "the answer"
    number, where = (
        (f"{_MESSAGE}{found.id}", f"{_where_said(found)}, {who}") if said else (found.passage, _where(found))
    )
    head, text = f"[{number}] {where}:", found.text.strip()
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


def _where_said(found: Found) -> str:
    """In which conversation something was said, and on what day, in words for a person."""
    return f"{found.place or 'our conversation'}, {found.when.day} {found.when:%B %Y}"


def _number(passage: str) -> tuple[int, bool]:
    """The number that stands in brackets, and whether it is that of a message."""
    plain = passage.strip().strip("[]").strip()
    number = plain.removeprefix(_MESSAGE)
    if not number.isascii() or not number.removeprefix("-").isdigit() or len(number) > 20:
        raise ToolError(f"There is no passage {passage.strip()[:20]!r}. Its number is what a result begins with.")
    return int(number), number != plain


def _quoted(agent: AgentFacade, quote: str, passage: str) -> str:
    """A quote as the user sees it: the very words, and their place."""
    number, said = _number(passage)
    (found,) = agent.recall.around(number) if said else agent.archival.around(number, 0, 0).passages
    words = quoted_from(found.text, quote)
    if not words:
        _refuse(quote, passage)
    answered = " (the answer)" if found.source != "user" else ""
    return f"“{words}”\n— {_where_said(found) + answered if said else _where(found)}"


def _refuse(quote: str, passage: str) -> NoReturn:
    raise ToolError(
        f"These words don't stand in passage {passage[:20]}: {quote.strip()[:80]!r}. Copy a sentence from it exactly, "
        "leave nothing out, and take the number from its brackets."
    )
