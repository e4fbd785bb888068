"""What of a source is new: each item that a reader lists is held against what is known of it, is read if it may have
changed, and is cut into passages if it has.

Knows nothing of where documents are kept, or of embedding.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b

from memagent.errors import MissingExtra
from memagent.loading import Outcome
from memagent.memory.sources import Known
from memagent.messages import estimate, storable
from memagent.sources import Document, Item, Passage, Unreadable
from memagent.sources.chunk import passages_of


@dataclass(frozen=True)
class Sifted:
    """An item of which it is known what is to be done. `known` is what is stored of it."""

    place: str
    outcome: Outcome
    known: Known | None = None
    stamp: str = ""
    digest: str = ""
    document: Document | None = None
    passages: tuple[Passage, ...] = ()
    reason: str = ""

    @property
    def settled(self) -> bool:
        """Whether it is as it is stored, down to its stamp."""
        return self.outcome == "unchanged" and self.document is None

    @property
    def tokens(self) -> int:
        """About how many tokens are to be embedded."""
        if self.document and self.document.vectors:
            return 0
        return sum(estimate(passage.text) for passage in self.passages)


class Stages:
    """How many seconds each stage of a load took."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.spent: dict[str, float] = dict.fromkeys(("list", "read", "cut", "embed", "store"), 0.0)

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """What is done in the block belongs to this stage."""
        begun = self._clock()
        try:
            yield
        finally:
            self.spent[stage] += self._clock() - begun


@dataclass(frozen=True)
class Manner:
    """How documents become passages: of about how many tokens, and whether vectors that came along are left."""

    tokens: int
    anew: bool = False

    def stamp(self, told: str) -> str:
        """What is kept of an item's stamp: made in another manner, it is another one."""
        return f"{self._begin}{told}" if told else ""

    def told(self, stamp: str) -> str:
        """The stamp as the item told it; "" if it was made in another manner."""
        return stamp.removeprefix(self._begin) if stamp.startswith(self._begin) else ""

    def made(self, document: Document) -> Document:
        """The document as it is to be stored."""
        return replace(document, vectors=(), model="", cut=True) if self.anew and document.vectors else document

    @property
    def _begin(self) -> str:
        return f"{self.tokens}{'+' if self.anew else ''} "


class Sieve:
    """Goes through the items of a source once. `check` may refuse a document, and with it the whole load."""

    def __init__(
        self, known: Mapping[str, Known], manner: Manner, check: Callable[[Document], None], stages: Stages
    ) -> None:
        self._known = known
        self._manner = manner
        self._check = check
        self._stages = stages
        self._same = Counter(each.digest for each in known.values())
        self._seen: set[str] = set()
        self._closed: list[str] = []
        """What could not even be listed."""
        self._complete = False
        self.found = False
        """Whether there was anything that could be read."""

    def sifted(self, items: Iterator[Item]) -> Generator[Sifted, None, None]:
        """Every item, with what is to be done about it; each place once."""
        while True:
            with self._stages.of("list"):
                item = next(items, None)
            if item is None:
                break
            place = storable(item.place)
            if place not in self._seen:
                self._seen.add(place)
                sifted = self._sift(item, place)
                self.found |= sifted.outcome != "unreadable"
                yield sifted
        self._complete = True

    def gone(self, recipes: Collection[int]) -> list[tuple[str, Known]]:
        """What was loaded by these recipes and is not there any more, by place."""
        return [
            (place, known)
            for place, known in self._known.items()
            if place not in self._seen and known.recipe in recipes
        ]

    @property
    def doubt(self) -> str:
        """Why what was not listed may be there all the same; empty when it is gone for sure."""
        if not self._complete:
            return "not all was listed"
        if self._closed:
            return f"{self._closed[0]} could not be listed"
        return "" if self._seen else "nothing at all is there now"

    def _sift(self, item: Item, place: str) -> Sifted:
        known = self._known.get(place)
        with self._stages.of("list"):
            told = storable(item.stamp)  # once: a page's is asked for
        stamp = self._manner.stamp(told)
        if known and stamp and known.stamp == stamp:
            return Sifted(place, "unchanged", known, stamp, known.digest)
        try:
            with self._stages.of("read"):
                document = self._manner.made(item.read())
        except (Unreadable, MissingExtra) as error:
            if not known and not told:
                self._closed.append(place)
            return Sifted(place, "unreadable", known, reason=str(error))
        self._check(document)
        with self._stages.of("cut"):
            digest = _digest(document, self._manner.tokens)
            if known and known.digest == digest:
                return Sifted(place, "unchanged", known, stamp, digest, document)
            if known:
                self._same[known.digest] -= 1
            copy = bool(digest) and self._same[digest] > 0
            self._same[digest] += 1
            if copy:
                return Sifted(place, "copy", known, stamp, digest, document)
            passages = tuple(passages_of(document, place, self._manner.tokens))
        return Sifted(place, "changed" if known else "new", known, stamp, digest, document, passages)


def _digest(document: Document, tokens: int) -> str:
    """A name for exactly this content, cut in this way; none for a document in which there is nothing."""
    if not any(part.text.strip() for part in document.parts):
        return ""
    found = blake2b(
        f"{tokens} {document.when} {document.tags} {document.model}".encode("utf-8", "replace"), digest_size=16
    )
    for part in document.parts:
        found.update(f"\0{part.heading} {part.page} ".encode("utf-8", "replace"))
        found.update(part.text.encode("utf-8", "replace"))
    for vector in document.vectors:
        found.update(vector)
    return found.hexdigest()
