"""Where everything is kept: what the rest of memagent asks of a database.

`Database` is all that durable state needs, so that SQLite and another SQL engine are the same to it. The SQL is one
text for both, with `?` for values: what they have no common words for is asked of the database (`dialect`, `words`).
Knows nothing of agents, memory or models: only rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from memagent.errors import StorageError

FEW = 8
Row = Sequence[Any]
Watch = Callable[[str], None]
"""Told of every "statement", "commit" and "committed" just before or after it; may raise, to test what then happens."""


@contextmanager
def reading(what: str) -> Iterator[None]:
    """A row is made sense of in the block; one that is not what we store becomes a `StorageError` that names it."""
    try:
        yield
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        hint = "Get a copy back with: memagent restore BACKUP"
        raise StorageError(f"{what} is damaged in the database.", hint=hint) from error


def text(value: Any) -> str:
    """What was read, if it is text: other programs can put bytes where text belongs."""
    if not isinstance(value, str):
        raise TypeError
    return value


def marked(values: Sequence[Any]) -> tuple[str, list[Any]]:
    """Marks for some values, as they stand in `IN (…)`, and the values to hand in: the last one is repeated, so that a
    few statements, which the engine then knows already, do for any number of them.
    """
    room = -(-len(values) // 64) * 64 if len(values) > FEW else len(values)
    return ", ".join("?" * room), [*values, *([values[-1]] * (room - len(values)) if values else ())]


class Transaction(Protocol):
    """A write transaction that is open now; all of it is kept, or nothing."""

    def run(self, sql: str, *values: Any) -> int:
        """Carry out one statement; returns how many rows it changed."""
        ...

    def add(self, sql: str, *values: Any) -> int:
        """Insert one row; returns its number."""
        ...

    def add_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> list[int]:
        """Insert many rows; returns their numbers, in the same order."""
        ...

    def put_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Insert many rows as they are, with the numbers that they have already."""
        ...

    def count_from(self, table: str, last: int) -> None:
        """Let the next row of a table get a number that is larger than this one."""
        ...

    def rows(self, sql: str, *values: Any) -> list[Row]:
        """Read inside the transaction."""
        ...


@dataclass(frozen=True)
class Dialect:
    """SQL that each engine has its own words for."""

    now: str
    """The database's clock, in whole seconds."""
    instant: str
    """The instant that a time stands for (`{}`, ISO 8601 with an offset), in whole seconds."""

    def seconds(self, column: str) -> str:
        """The instant of a time in a column, whole seconds since 1970."""
        return self.instant.format(column)


@dataclass(frozen=True)
class Texts:
    """Where texts stand that can be searched: a table, the column that holds them and the one that names the shelf;
    and what must hold for a row `t` to be found, in SQL. Rows with the same `whole` are parts of one, in their order.
    """

    table: str
    column: str
    shelf: str
    where: str
    whole: str = ""


@dataclass(frozen=True)
class Words:
    """What is looked for: any of some words, as a dictionary has them; `phrases` are words side by side, which count
    again. Without words, any of some `pieces`, wherever in a text they stand.
    """

    words: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    pieces: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hits:
    """Matching rows, best first: their numbers with their scores; and how many there are in all."""

    scores: Mapping[int, float]
    total: int


@dataclass(frozen=True)
class Spread:
    """Where one word or phrase stands: the numbers of the rows, ascending; and for each how strongly it does there:
    about 1, more where it stands often, less where the text is long. None at all means 1 for every one of them.
    """

    rows: Sequence[int]
    strengths: Sequence[float] = ()


class WordIndex(Protocol):
    """Finds texts by their words, stemmed and without accents. More and rarer words score higher (BM25)."""

    def hits(
        self, words: Words, shelves: Sequence[str], limit: int, start: int = 0, *,
        also: Sequence[int] = (), where: str = "TRUE", values: Sequence[Any] = (),
    ) -> Hits:  # fmt: skip
        """The matching rows of some shelves from the `start`-th on, and those of `also` that match; the newest first
        of equals. `where` is SQL, never from outside: what else must hold for a row `t`.
        """
        ...

    def spread(
        self, words: Words, shelves: Sequence[str], *, where: str = "TRUE", values: Sequence[Any] = ()
    ) -> list[Spread]:
        """For each of these words, and then for each of the phrases, all rows of some shelves that have it. How
        strongly is only told of words.
        """
        ...


class Database(Protocol):
    """An open database. Safe to use from several threads. Text values must have passed `messages.storable`."""

    dialect: Dialect

    @property
    def place(self) -> str:
        """Where it is, as people may see it: without a password."""
        ...

    def rows(self, sql: str, *values: Any) -> list[Row]:
        """Read rows."""
        ...

    def write(self, about: str = "", *, hasty: bool = False) -> AbstractContextManager[Transaction]:
        """Open a write transaction; it is committed when the block ends and rolled back when it raises.

        Nobody else writes meanwhile; but those who say which agent or source they write about may only have to wait
        for each other. A `hasty` one does not wait for the disk: all see it and a process that is killed loses nothing
        of it, but only the next one that does wait keeps it from being lost with the power.
        """
        ...

    def snapshot(self) -> AbstractContextManager[None]:
        """What this thread reads in the block is all from one moment, whatever others write meanwhile."""
        ...

    def words(self, texts: Texts) -> WordIndex:
        """The index of the words in some texts."""
        ...

    def vectors(self, table: str, model: str, dimension: int) -> VectorIndex:
        """The vectors that a model made of the "passages", "messages" or "facts"."""
        ...

    def last_numbers(self, tables: Sequence[str]) -> dict[str, int]:
        """The largest number that each of these tables has ever given to a row, where that is known; else what is
        there.
        """
        ...

    def parts(self) -> list[Part]:
        """What it is made of, and how large that is."""
        ...

    def check(self) -> list[str]:
        """What is wrong with it, each in a sentence without its point; empty when it is sound."""
        ...

    def close(self) -> None:
        """Let go of the file or connection."""
        ...


@dataclass(frozen=True)
class Part:
    """A part of a database: which engine keeps it, where, and how many bytes it takes."""

    engine: str
    place: str
    bytes: int


class VectorIndex(Protocol):
    """Finds the items of some shelves whose vectors are nearest to one. What it answers is what the database holds at
    that moment, whatever it keeps for speed: nothing that is gone, or was taken back, or is on another shelf.
    """

    def any(self, shelves: Sequence[str]) -> bool:
        """Whether there are vectors at all."""
        ...

    def near(
        self, query: bytes, count: int, shelves: Sequence[str], among: Sequence[int] | None = None
    ) -> dict[int, float]:
        """The nearest items, the nearest first, and how near each is (1 is the same); only of those `among`, if they
        are given.
        """
        ...

    def closeness(
        self, queries: Sequence[bytes], items: Iterable[int], shelves: Sequence[str], *, sure: bool = False
    ) -> list[dict[int, float]]:
        """For each query how near these items are, but for those without a vector. `sure`: whoever asks sees to it that
        they are there, and on these shelves; so that need not be looked up.
        """
        ...

    def save(self) -> None:
        """Bring what is kept for speed up to date, and make it durable: the next search need not."""
        ...


@dataclass(frozen=True)
class Found:
    """One result of a search in memory: the text, when it was written, who said it or which source it is from, and
    where in that; and why it was found. `passage` is the number of a passage, by which it is found again.
    """

    text: str
    when: datetime
    source: str
    id: int
    tags: Sequence[str] = ()
    place: str = ""
    why: str = ""
    passage: int = 0


@dataclass(frozen=True)
class Page:
    """One page of results, and how many there are in all."""

    results: Sequence[Found]
    total: int
    page: int
    size: int


@dataclass(frozen=True)
class Stretch:
    """Passages of one document that follow each other. The first of them is its `first`-th, from 1, of `total`."""

    passages: Sequence[Found]
    first: int
    total: int


@dataclass(frozen=True)
class Readable:
    """A source that an agent can search: its name, how much is in it, and some of its documents' places."""

    name: str
    documents: int
    passages: int
    examples: Sequence[str]
