"""Looks at what a load would do, without doing it: what is new, changed and gone, and how much is to be embedded.

Knows nothing of what embedding costs.
"""

from __future__ import annotations

from collections.abc import Iterator

from memagent.embeddings import Embedder
from memagent.errors import EmbeddingError
from memagent.loading import Came, Event
from memagent.loading.embed import Embedding
from memagent.loading.load import Order
from memagent.loading.sift import Sieve, Stages
from memagent.memory.passages import PassageStore
from memagent.memory.sources import Known, SourceEntry, Sources
from memagent.messages import estimate
from memagent.sources import Reader
from memagent.storage import Database


def survey(database: Database, owner: str, reader: Reader, order: Order, embedder: Embedder | None) -> Iterator[Event]:
    """What would come of each document."""
    sources, stages = Sources(database, owner), Stages()
    entry = _entry(sources, order.name)
    store = PassageStore(database, entry.id if entry else "", embedder)
    known: dict[str, Known] = dict(sources.documents(entry.id)) if entry else {}
    sieve = Sieve(known, order.manner, Embedding(store, stages, lambda: None).check, stages)
    for each in sieve.sifted(iter(reader.items())):
        yield Came(each.place, each.outcome, len(each.passages), each.tokens, each.reason)
    if not entry or order.remove is False or (sieve.doubt and not order.remove):
        return
    same = {r.id for r in sources.recipes(entry.id) if (r.kind, r.options) == (reader.kind, dict(order.options))}
    for place, _ in sieve.gone(same):
        yield Came(place, "gone")


def waiting(database: Database, owner: str, name: str, embedder: Embedder | None) -> tuple[int, int]:
    """How many passages of a source are stored without vectors and would get them now, and about how many tokens."""
    entry = _entry(Sources(database, owner), name)
    store = PassageStore(database, entry.id, embedder) if entry else None
    if store is None or store.waiting is None:
        return 0, 0
    try:
        tokens = [estimate(text) for text in store.waiting.texts()]
    except EmbeddingError:  # it is away, and so costs nothing now
        return 0, 0
    return len(tokens), sum(tokens)


def _entry(sources: Sources, name: str) -> SourceEntry | None:
    return next((entry for entry in sources.all() if entry.name == name), None)
