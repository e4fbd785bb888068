"""Finds facts: by words and meaning, like everything else; those that hold, or those that held.

A forgotten fact is never found. Knows nothing of where facts come from.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from time import monotonic
from typing import Any

from memagent.embeddings import Embedder
from memagent.errors import EmbeddingError, StorageError
from memagent.facts import Fact, State
from memagent.facts.ledger import TEXTS, Ledger
from memagent.memory.finding import Finder, Limits
from memagent.memory.search import Query, first_of
from memagent.memory.waiting import BATCH, Waiting
from memagent.messages import storable
from memagent.storage import VectorIndex

log = logging.getLogger(__name__)

VectorStore = Callable[[str, str, int], VectorIndex]
"""Opens where the nearest are found: of a table ("facts"), the model's vectors of so many dimensions. The vectors
themselves stand in the database, in the table of that name and `_vectors`, from which any index can be made.
"""
SOON = 1.0
"""Seconds that a search may take to embed what was learned since; the next one goes on."""


@dataclass(frozen=True)
class Match:
    """A fact that was found, and why; `meaning` is how near it is to what was looked for (1 is the same)."""

    fact: Fact
    why: str
    meaning: float = 0.0


@dataclass(frozen=True)
class Matches:
    """One page of what was found, best first; `total` counts all."""

    matches: Sequence[Match]
    total: int


class FactFinder:
    """Searches the facts of one ledger."""

    def __init__(self, ledger: Ledger, embedder: Embedder | None, vectors: VectorStore | None = None) -> None:
        self._ledger = ledger
        self._finder = Finder(ledger.database, TEXTS, embedder, vectors=vectors)
        self._waiting = (
            {s: Waiting(ledger.database, TEXTS, s, embedder) for s in ledger.keeper.shelves(("holds", "past"))}
            if embedder
            else {}
        )

    def find(
        self, text: str, page: int = 0, size: int = 10, *, states: Sequence[State] = ("holds",), kind: str = "",
        about: str = "", now: date | None = None,
    ) -> Matches:  # fmt: skip
        """Facts with these words or this meaning, best first."""
        start, wanted = first_of(page, size), Query.of(text)
        self._embed_soon()
        where, values = "TRUE", list[Any]()
        for column, value in (("kind", kind), ("about", about)):
            if value:
                condition = f"t.{column} = ?"
                where, values = condition if where == "TRUE" else f"{where} AND {condition}", [*values, storable(value)]
        searched = [state for state in states if state != "forgotten"]
        limits = Limits(self._ledger.keeper.shelves(searched), where, values)
        found = self._finder.find(wanted, limits, now or date.today())
        facts = self._ledger.of(found.page(start, size))
        told = zip(facts, found.why([fact.id for fact in facts]), strict=True)
        return Matches([Match(fact, why, found.meaning.get(fact.id, 0.0)) for fact, why in told], found.total)

    def catch_up(self, limit: int = BATCH) -> int:
        """Embed some facts that have no vector of this model yet; returns how many, 0 when there are no more."""
        return next((done for waiting in self._waiting.values() if (done := waiting.embed(limit))), 0)

    def _embed_soon(self) -> None:
        """Embed what is missing; a search goes on without what takes long."""
        end = monotonic() + SOON
        try:
            while monotonic() < end and self.catch_up():
                pass
        except (EmbeddingError, StorageError) as error:
            log.warning("What was learned last is found by its words alone for now: %s", error)
