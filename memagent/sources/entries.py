"""What a store of vectors gives: entries, each a text with its embedding; and which columns of a table hold what.

Knows nothing of where they are from, or of what becomes of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from memagent.errors import MissingExtra, UserError

BATCH = 200
"""So many entries are one document."""

TEXTS = ("text", "content", "chunk", "document", "page_content", "passage", "body", "chunk_text", "texts", "contents")
VECTORS = ("vector", "embedding", "embeddings", "vec", "vectors", "emb")
KEYS = ("id", "key", "uuid", "_id", "doc_id", "chunk_id", "node_id")


@dataclass(frozen=True)
class Entry:
    """A text with its embedding. `about` is what else the store keeps of it."""

    key: str
    text: str
    vector: Any
    about: Mapping[str, Any] = field(default_factory=dict)


class Store(Protocol):
    """What keeps entries. `model` is the name of what made the vectors, if the store knows it."""

    @property
    def about(self) -> str:
        """What it is, for people, without secrets."""
        ...

    @property
    def name(self) -> str:
        """What it is called, short."""
        ...

    @property
    def stamp(self) -> str:
        """What changes when it changes; "" when there is no such thing."""
        ...

    @property
    def model(self) -> str:
        """What made the vectors; "" when it is not told."""
        ...

    def batches(self) -> Iterator[Sequence[Entry]]:
        """All entries, in the same order each time."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


@dataclass(frozen=True)
class Columns:
    """Which columns hold what, as far as that was told; else they are known by their names."""

    text: str = ""
    vector: str = ""
    key: str = ""

    def pick(self, names: Iterable[str], vectors: Sequence[str], texts: Sequence[str]) -> Columns:
        """The columns to read: of all names, those that can hold vectors, and those that can hold texts."""
        every = list(names)
        for given in (self.text, self.vector, self.key):
            if given and given not in every:
                raise UserError(f"There is no column {given!r}.", hint=f"There are: {', '.join(every)}.")
        vector = self.vector or _known(vectors, VECTORS)
        text = self.text or _known(texts, TEXTS)
        if not vector or not text:
            what = "vectors" if not vector else "texts"
            raise UserError(f"It is not clear which column holds the {what}.", hint=f"Name one of: {', '.join(every)}.")
        return Columns(text, vector, self.key or next((name for name in every if name.lower() in KEYS), ""))


def _known(names: Sequence[str], usual: Sequence[str]) -> str:
    """The column that has a usual name, or is the only one."""
    found = [name for wanted in usual for name in names if name.lower() == wanted]
    return found[0] if found else names[0] if len(names) == 1 else ""


def numbers() -> Any:
    """NumPy, if it is there."""
    try:
        import numpy
    except ImportError as error:
        raise MissingExtra("NumPy, which reads vectors,", "embeddings") from error
    return numpy
