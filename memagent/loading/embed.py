"""Embeds what is being loaded. When the embedder fails, that is told once, and what follows is stored without vectors;
at the end it is tried again.

Knows nothing of documents' places or of how they are stored.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence

from memagent.embeddings import embedded
from memagent.errors import ConfigError, EmbeddingError
from memagent.loading import CatchingUp, Embedded, Event, Told
from memagent.loading.keep import Vectors
from memagent.loading.sift import Sifted, Stages
from memagent.memory.passages import PassageStore
from memagent.sources import Document

AT_ONCE = 512
"""Texts that the embedder is given together; how many of them it embeds at the same time is its own affair."""


class Embedding:
    """Gets vectors for one source. `between` is called now and then while that takes its time."""

    def __init__(self, store: PassageStore, stages: Stages, between: Callable[[], None]) -> None:
        self._store = store
        self._embedder = store.embedder
        self._stages = stages
        self._between = between
        self._failed = False

    def check(self, document: Document) -> None:
        """Refuse vectors that came along and can't be searched together with those of this embedder."""
        if not document.vectors:
            return
        embedder, size = self._embedder, len(document.vectors[0]) // 4
        made = f"vectors of dimension {size}" + (f", made by {document.model!r}" if document.model else "")
        again = "Or give --texts-only: their texts are embedded anew."
        if embedder is None:
            raise ConfigError(f"There are {made}, but no embedder to search them with.", hint=f"Set one. {again}")
        if any(len(vector) != 4 * embedder.dimension for vector in document.vectors) or (
            document.model and document.model != embedder.model
        ):
            raise ConfigError(
                f"There are {made}, but what is searched here is embedded by {embedder.model!r}, of dimension "
                f"{embedder.dimension}.",
                hint=f"Set the embedder that made them. {again}",
            )

    def vectors(self, batch: Sequence[Sifted]) -> Generator[Event, None, Vectors]:
        """The vectors of some documents' passages; those of a document are all there, or none."""
        found: dict[str, Sequence[bytes]] = {}
        texts: list[str] = []
        for each in batch:
            if each.passages and each.document and each.document.vectors:
                found[each.place] = each.document.vectors
            else:
                texts += [passage.text for passage in each.passages]
        made: list[bytes] = []
        for start in range(0, len(texts), AT_ONCE):
            some = self._embed(texts[start : start + AT_ONCE])
            if isinstance(some, Told):
                yield some
            if not isinstance(some, list):
                break
            made += some
            yield Embedded(len(some))
            self._between()
        start = 0
        for each in batch:
            count = 0 if each.place in found else len(each.passages)
            if count and start + count <= len(made):
                found[each.place] = made[start : start + count]
            start += count
        return found

    def _embed(self, texts: list[str]) -> list[bytes] | Told | None:
        if self._embedder is None or self._failed:
            return None
        try:
            with self._stages.of("embed"):
                return embedded(self._embedder, texts)
        except EmbeddingError as error:
            self._failed = True
            return Told(f"Passages are stored without vectors for now: {error}")

    def catch_up(self) -> Iterator[Event]:
        """Embed what is stored and has no vector of this model yet."""
        if self._embedder is None:
            return
        try:
            left = self._store.waiting.count() if self._store.waiting else 0
            if left:
                yield CatchingUp(left, 0 if self._failed else left)
            while count := self._caught_up():
                yield Embedded(count)
                self._between()
        except EmbeddingError as error:
            told = f"{error} " if not self._failed else ""
            left = self._store.waiting.coverage().waiting if self._store.waiting else 0
            yield Told(
                f"{told}{left:,} passages have no vectors yet, and are found by their words. "
                "The same command gets them, once the embedder works."
            )

    def _caught_up(self) -> int:
        with self._stages.of("embed"):
            return self._store.catch_up(AT_ONCE)
