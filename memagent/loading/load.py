"""Carries a load out: reads what is new of a source, embeds it and stores it in transactions of about a second each.

What was stored is kept, whatever happens then: an end by force, Ctrl-C, a full disk; the same load goes on from there.
Without an embedder, or while it fails, passages are stored without vectors and get them at the end of this load or of
the next one. Knows nothing of the kinds of readers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from memagent.embeddings import Embedder
from memagent.errors import StorageError
from memagent.library import check_name
from memagent.loading import Came, Event, Told
from memagent.loading.ahead import ahead
from memagent.loading.embed import Embedding
from memagent.loading.hold import Hold
from memagent.loading.keep import Keeper
from memagent.loading.sift import Manner, Sieve, Sifted, Stages
from memagent.memory.passages import PassageStore
from memagent.memory.sources import Sources
from memagent.sources import Reader
from memagent.sources.chunk import TOKENS
from memagent.storage import Database

FEWEST, MOST = 128, 8192
"""Passages in one transaction; how many it are follows from how long the last one took."""
MOST_DOCUMENTS = 2000
LONGEST = 2.0
"""Seconds that something read waits to be stored, if it can be helped."""
RENEW_SECONDS = 60.0


@dataclass(frozen=True)
class Order:
    """What is asked for: the name of the source, and how it is cut. `options` are those of the reader, which tell its
    recipe from others. `remove` what is not there any more: when that is certain (`None`), never, or always. Vectors
    that came along are left where texts are to be embedded `anew`.
    """

    name: str
    options: Mapping[str, Any]
    tokens: int = TOKENS
    remove: bool | None = None
    anew: bool = False

    @property
    def manner(self) -> Manner:
        """How documents become passages."""
        return Manner(self.tokens, self.anew)


class Load:
    """One load of what a reader gives into one source."""

    def __init__(
        self, database: Database, owner: str, reader: Reader, order: Order, *, embedder: Embedder | None,
        clock: Callable[[], datetime], stages: Stages | None = None, ahead: bool = True,
    ) -> None:  # fmt: skip
        self._database = database
        self._sources = Sources(database, owner)
        self._reader = reader
        self._order = order
        self._embedder = embedder
        self._clock = clock
        self._ahead = ahead
        self.stages = stages or Stages()
        self._pending: list[Sifted] = []
        self._waiting = 0
        self._since = self._renewed = time.monotonic()
        self._size = FEWEST

    def run(self) -> Iterator[Event]:
        """Carry it out; what comes of each document is told when that is stored."""
        name, kind, about = check_name(self._order.name, "name of a source"), self._reader.kind, self._reader.about
        self._hold = Hold(self._database, name)
        try:
            with self._database.write() as tx:
                source = self._sources.make(tx, name, kind, about, self._clock())
                self._hold.take(tx, source)
                self._recipe = self._sources.recipe(tx, source, kind, about, self._order.options, self._order.tokens)
            store = PassageStore(self._database, source, self._embedder)
            self._keeper = Keeper(store, self._recipe)
            self._embedding = Embedding(store, self.stages, self._renew_in_time)
            yield from self._carry_out(source)
        finally:
            self._hold.let_go()
            with suppress(StorageError), self._database.write() as tx:
                self._hold.release(tx)
                self._sources.forget_unloaded(tx, self._hold.source)

    def _carry_out(self, source: str) -> Iterator[Event]:
        known = self._sources.documents(source)
        sieve = Sieve(known, self._order.manner, self._embedding.check, self.stages)
        items = sieve.sifted(iter(self._reader.items()))
        with closing(ahead(items) if self._ahead else items) as sifted:
            for each in sifted:
                if each.outcome == "unreadable" or (each.settled and each.known and each.known.recipe == self._recipe):
                    yield Came(each.place, each.outcome, reason=each.reason)
                    continue
                self._since = self._since if self._pending else time.monotonic()
                self._pending.append(each)
                self._waiting += len(each.passages)
                if self._enough():
                    yield from self._store()
        yield from self._store()
        yield from self._remove(sieve, source)
        yield from self._embedding.catch_up()
        with self._database.write(source) as tx:
            self._hold.renew(tx)
            if sieve.found:
                self._sources.loaded(tx, source, self._recipe, self._clock())

    def _enough(self) -> bool:
        many = self._waiting >= self._size or len(self._pending) >= MOST_DOCUMENTS
        return many or time.monotonic() - self._since > LONGEST

    def _store(self) -> Iterator[Event]:
        """Embed and store what has gathered."""
        batch, self._pending, self._waiting = self._pending, [], 0
        if not batch:
            return
        begun = time.monotonic()
        vectors = yield from self._embedding.vectors(batch)
        with self.stages.of("store"), self._database.write(self._hold.source) as tx:
            self._hold.renew(tx)
            self._keeper.keep(tx, batch, vectors, self._clock())
        self._renewed = time.monotonic()
        spent = self._renewed - begun
        if spent > LONGEST:
            self._size = max(FEWEST, self._size // 2)
        elif spent < LONGEST / 2:
            self._size = min(MOST, self._size * 2)
        for each in batch:
            yield Came(each.place, each.outcome, len(each.passages), each.tokens)

    def _renew_in_time(self) -> None:
        """Keep the source ours while what belongs to one transaction is embedded."""
        if time.monotonic() - self._renewed > RENEW_SECONDS:
            with self._database.write(self._hold.source) as tx:
                self._hold.renew(tx)
            self._renewed = time.monotonic()

    def _remove(self, sieve: Sieve, source: str) -> Iterator[Event]:
        """Remove what is not there any more: what this very command has loaded, where that is certain."""
        if self._order.remove is False:
            return
        alike = {
            recipe.id
            for recipe in self._sources.recipes(source)
            if (recipe.kind, recipe.about) == (self._reader.kind, self._reader.about)
        }
        gone = sieve.gone(alike if self._order.remove else {self._recipe})
        if self._order.remove is None:
            if gone and (doubt := sieve.doubt):
                yield Told(f"{len(gone):,} documents are missing, but {doubt}: they are kept. {_REMOVE}")
                return
            if others := sieve.gone(alike - {self._recipe}):
                yield Told(f"{len(others):,} documents that were loaded with other options are kept. {_REMOVE}")
        for start in range(0, len(gone), MOST_DOCUMENTS):
            some = gone[start : start + MOST_DOCUMENTS]
            with self.stages.of("store"), self._database.write(self._hold.source) as tx:
                self._hold.renew(tx)
                for _, known in some:
                    self._keeper.remove(tx, known.id)
            for place, _ in some:
                yield Came(place, "gone")


_REMOVE = "To remove them, add --remove."
