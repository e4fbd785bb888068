"""Where texts come from: what a reader gives, and what is asked of it.

A `Reader` lists the items of a source (files, pages, rows), each with a place that names it and a stamp that tells
cheaply whether it has changed; `read` makes an item a `Document`, which chunk.py cuts into passages. Other chat
programs' exports are `Conversation`s. A new kind is one file, and one line in `registry.py`. Knows nothing of agents
or of where passages are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from memagent.errors import UserError

__all__ = [
    "Conversation",
    "ConversationItem",
    "ConversationReader",
    "Document",
    "Item",
    "Part",
    "Passage",
    "Reader",
    "Said",
    "Unreadable",
]


class Unreadable(UserError):
    """One item can't be read; the message is the reason, without the item's name. All others can be read still."""


@dataclass(frozen=True)
class Part:
    """A stretch of a document: under one heading, on one page. `heading` goes from the outermost to the innermost."""

    text: str
    heading: tuple[str, ...] = ()
    page: int | None = None


@dataclass(frozen=True)
class Document:
    """A text with its structure. `when` is the time that it tells of itself, such as an e-mail's date.

    When embeddings came along, `vectors` has one for each part, as little-endian float32 of length 1 that the model
    `model` made. Then, and when they are `cut` already, the parts are the passages, as they are.
    """

    title: str
    parts: tuple[Part, ...]
    when: datetime | None = None
    vectors: tuple[bytes, ...] = ()
    tags: tuple[str, ...] = ()
    model: str = ""
    cut: bool = False


@dataclass(frozen=True)
class Passage:
    """A piece of a document that is found and quoted; `place` says to a person where it stands."""

    text: str
    place: str
    heading: tuple[str, ...] = ()
    page: int | None = None


class Listed(Protocol):
    """One thing of a source, which can be read by itself."""

    @property
    def place(self) -> str:
        """What names it within the source, the same in every run: a relative path, a URL, a row's key."""
        ...

    @property
    def stamp(self) -> str:
        """What changes when it changes, had without reading it; "" when there is no such thing."""
        ...

    @property
    def size(self) -> int:
        """How many bytes it has, 0 when that is not known."""
        ...


class Item(Listed, Protocol):
    """One thing that can be read as a document."""

    def read(self) -> Document:
        """The document; raises `Unreadable` if it is broken, too large, or no text. May be called from any thread."""
        ...


class Opened(Protocol):
    """What is read from."""

    @property
    def kind(self) -> str:
        """The name of this kind of source, as in `registry.py`."""
        ...

    @property
    def about(self) -> str:
        """What is read, for people: a folder, an address. Holds no secrets."""
        ...

    def close(self) -> None:
        """Let go of what is open: connections, files, processes."""
        ...


class Reader(Opened, Protocol):
    """Gives the documents of a source."""

    def items(self) -> Iterator[Item]:
        """All there is, in the same order each time. What could not even be listed is an item that is `Unreadable`."""
        ...


@dataclass(frozen=True)
class Said:
    """One message of a conversation: by whom, when if that is known. `place` names it within the conversation."""

    role: Literal["user", "assistant"]
    text: str
    name: str = ""
    when: datetime | None = None
    place: str = ""


@dataclass(frozen=True)
class Conversation:
    """What was said, in its order. `id` is the other program's own, so that the same one is known again; `program` is
    that program's name, where it is known.
    """

    id: str
    title: str
    said: tuple[Said, ...]
    program: str = ""


class ConversationItem(Listed, Protocol):
    """One conversation of an export."""

    def read(self) -> Conversation:
        """The conversation; raises `Unreadable` if it is broken."""
        ...


class ConversationReader(Opened, Protocol):
    """Gives the conversations of another program's export."""

    def conversations(self) -> Iterator[ConversationItem]:
        """All there are, in the same order each time."""
        ...
