"""The one search behind recall memory, archival memory and sources: by words and by meaning, ranked together.

Words and meaning each name candidates, and in a conversation so do the messages beside the best of them. What is known
of the candidates goes to `ranking`, which puts them in order; whatever else has any of the words follows after them. So
pages are stable, and their total is that of all that was found. Knows nothing of what a text is to an agent.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from memagent.embeddings import Embedder, embedded
from memagent.errors import EmbeddingError
from memagent.memory.question import Question
from memagent.memory.ranking import Evidence, Near, scores
from memagent.memory.search import Query
from memagent.memory.talk import Talk
from memagent.memory.tally import Sums, Tally
from memagent.storage import Database, Spread, Texts, VectorIndex, Words, marked
from memagent.storage.closeness import possible

log = logging.getLogger(__name__)

BY_WORDS = 70
"""So many candidates are named by all words …"""
BY_TELLING = 50
"""… by the telling ones, and by those on the days that are asked for …"""
BY_MEANING = 60
"""… and by meaning alone, of which each must be …"""
CLOSE_ENOUGH = 0.4
"""… at least so near, when the nearest counts 1."""
BESIDE = 60
"""Beside so many of the best candidates, the messages before and after are candidates too …"""
CLOSE_BESIDE = 0.15
"""… if they are at least so near, or have a word."""
LEAVE_OUT = 300
"""If no more than so many messages are to be left out, so many more are asked for; else the others are listed."""
EVERYTHING = 2**40
REACH = (-2, -1, 1, 2)


@dataclass(frozen=True)
class Limits:
    """What is searched: shelves, what must hold for a row `t` in SQL, and the message before which all must stand."""

    shelves: Sequence[str]
    where: str = "TRUE"
    values: Sequence[Any] = ()
    before_seq: int | None = None


@dataclass(frozen=True)
class Findings:
    """All that was found: the candidates in their order, and the rest that has any of the words."""

    question: Question
    tally: Tally
    ranked: Sequence[int] = ()
    meaning: Mapping[int, float] = field(default_factory=dict)
    dated: Collection[int] = ()
    total: int = 0

    def page(self, start: int, size: int) -> list[int]:
        """The rows from the `start`-th on."""
        shown = list(self.ranked[start : start + size])
        if len(shown) < size and start + len(shown) < self.total:
            skip = max(0, start - len(self.ranked))
            shown += self.tally.rest(skip, size - len(shown), frozenset(self.ranked))
        return shown

    def why(self, rows: Sequence[int]) -> list[str]:
        """Why each of some rows was found, in a few words."""
        return [self._why(row, words) for row, words in zip(rows, self.tally.telling(rows)[1].tolist(), strict=True)]

    def _why(self, row: int, words: int) -> str:
        named = [word for n, word in enumerate(self.question.query.words.words) if words >> n & 1]
        parts = [f"words: {', '.join(named)}"] if named else []
        if self.meaning.get(row, 0.0) > 0:
            parts.append(f"meaning {self.meaning[row]:.2f}")
        parts += ["date"] if row in self.dated else []
        return "; ".join(parts) or "beside what matches"


class Finder:
    """Searches one kind of texts; a conversation if there is a `talk`."""

    def __init__(
        self, database: Database, texts: Texts, embedder: Embedder | None, talk: Talk | None = None,
        vectors: Callable[[str, str, int], VectorIndex] | None = None,
    ) -> None:  # fmt: skip
        self._database = database
        self._texts = texts
        self._embedder = embedder
        self._talk = talk
        self._words = database.words(texts)
        self._open = vectors or database.vectors
        self._vectors: VectorIndex | None = None
        self._size = 0
        self._counted: tuple[Sequence[str], int] = ((), -1)

    def find(self, query: Query, limits: Limits, now: date) -> Findings:
        """Everything that matches. Never from inside a write transaction: what is read there may be rolled back."""
        question, candidates = self.candidates(query, limits, now)
        found = candidates.evidence(question, self._talk)
        order = scores(question, found)
        ranked = [row for _, row in sorted(zip(order, candidates.rows, strict=True), reverse=True)]
        tally = candidates.tally
        total = tally.total + candidates.sums.words.tolist().count(0)
        dated = {row for row, fit in zip(candidates.rows, found.dates, strict=False) if fit > 0.5}
        return Findings(question, tally, ranked, candidates.meaning, dated, total)

    def candidates(self, query: Query, limits: Limits, now: date) -> tuple[Question, Candidates]:
        """The question as it is understood, and the rows that are to be ranked."""
        talk = self._talk
        if talk:
            talk.refresh()
        pieces = query.words.pieces
        if pieces:
            query = Query(query.text, Words((query.text,), pieces=pieces))
        question = Question.of(query, talk.speakers() if talk else (), now)
        spreads = self._spreads(question, limits)
        allowed = self._allowed(limits) if talk and limits.where != "TRUE" else None
        below = _below(talk, limits.before_seq) if talk else EVERYTHING
        tally = Tally.of(question, spreads, self._count(limits.shelves), talk, allowed, below)
        whole, gist = self._embedded(question, limits.shelves)
        rows = [*tally.best(BY_WORDS), *tally.best_telling(BY_TELLING, talk)]
        if talk and question.dates.spans:
            rows += tally.best_dated(BY_TELLING, talk)
        near = self._near(gist, limits, allowed, below)
        rows = list(dict.fromkeys([*rows, *near]))
        beside = self._beside(tally, near, rows, allowed, below) if talk else []
        return question, self._known(tally, [*rows, *beside], whole, gist, near, limits)

    def _spreads(self, question: Question, limits: Limits) -> list[Spread]:
        """Where the words stand; parts of words, in scripts without spaces, count as one word together."""
        words = question.query.words
        where, values = ("TRUE", ()) if self._talk else (limits.where, limits.values)
        if not words.pieces:
            return self._words.spread(words, limits.shelves, where=where, values=values)
        hits = self._words.hits(Words(pieces=words.pieces), limits.shelves, EVERYTHING, where=where, values=values)
        found = sorted(hits.scores.items())
        return [Spread([row for row, _ in found], [score / len(words.pieces) for _, score in found])]

    def _count(self, shelves: Sequence[str]) -> int:
        """About how many texts there are; they are counted again when a hundredth of them is new."""
        if self._talk:
            return len(self._talk.ids)
        newest = self._database.rows(f"SELECT max(id) FROM {self._texts.table}")[0][0] or 0
        before, at = self._counted
        if tuple(shelves) != before or not at <= newest <= 1.01 * at:
            marks = ", ".join("?" for _ in shelves)
            sql = f"SELECT count(*) FROM {self._texts.table} t WHERE t.{self._texts.shelf} IN ({marks})"
            self._size = self._database.rows(sql, *shelves)[0][0]
            self._counted = tuple(shelves), newest
        return self._size

    def _allowed(self, limits: Limits) -> set[int]:
        """The rows for which the conditions hold."""
        return {row[0] for row in self._rows("t.id", limits)}

    def _rows(self, columns: str, limits: Limits, also: str = "TRUE", values: Sequence[Any] = ()) -> Sequence[Any]:
        texts, marks = self._texts, ", ".join("?" for _ in limits.shelves)
        # || '' keeps the database from going through all of a shelf's rows where some are named
        shelf = f"t.{texts.shelf} || ''" if values else f"t.{texts.shelf}"
        return self._database.rows(
            f"SELECT {columns} FROM {texts.table} t WHERE {also} AND {shelf} IN ({marks}) AND {texts.where} "
            f"AND {limits.where}",
            *values, *limits.shelves, *limits.values,
        )  # fmt: skip

    def _embedded(self, question: Question, shelves: Sequence[str]) -> tuple[bytes | None, bytes | None]:
        """The vectors of the query and of its telling words, if they say anything and there is something to compare."""
        if not any(map(str.isalnum, question.query.text)):  # signs alone mean nothing, but would be near to something
            return None, None
        if self._embedder and self._vectors is None and possible() and self._embedder.dimension:
            self._vectors = self._open(self._texts.table, self._embedder.model, self._embedder.dimension)
        if not self._embedder or not self._vectors or not self._vectors.any(shelves):
            return None, None
        try:
            whole, gist = embedded(self._embedder, [question.query.text, question.gist])
        except EmbeddingError as error:
            log.warning("What was asked is searched by words alone: %s", error)
            return None, None
        return whole, gist

    def _near(
        self, vector: bytes | None, limits: Limits, allowed: Collection[int] | None, below: int
    ) -> dict[int, float]:
        """What is nearest in meaning, within the limits."""
        if not vector or not self._vectors:
            return {}
        more, among = 0, None if allowed is None else [row for row in allowed if row < below]
        if self._talk and among is None and below < EVERYTHING:
            ids = self._talk.ids
            more = len(ids) - bisect_left(ids, below)
            if more > LEAVE_OUT:
                more, among = 0, ids[:-more].tolist()
        elif not self._talk and limits.where != "TRUE":
            among = [row[0] for row in self._rows("t.id", limits)]
        near = self._vectors.near(vector, BY_MEANING + more, limits.shelves, among)
        talk = self._talk
        rows = list(near)
        known = talk.positions(rows).tolist() if talk else rows
        best = [row for row, place in zip(rows, known, strict=True) if row < below and place >= 0][:BY_MEANING]
        least = CLOSE_ENOUGH * near[best[0]] if best else 0.0
        return {row: near[row] for row in best if near[row] >= least > 0}

    def _beside(
        self, tally: Tally, near: Mapping[int, float], rows: Sequence[int], allowed: Collection[int] | None, below: int
    ) -> list[int]:
        """The messages before and after the best candidates so far."""
        talk, nearest, known = self._talk, max(near.values(), default=0.0) or 1.0, set(rows)
        assert talk
        strongest = tally.most[1] or 1.0
        worth = [
            telling / strongest + max(0.0, near.get(row, 0.0)) / nearest
            for row, telling in zip(rows, tally.telling(rows)[0].tolist(), strict=True)
        ]
        best = [row for _, row in sorted(zip(worth, rows, strict=True), reverse=True)[:BESIDE]]
        places = talk.positions(best)
        found = [row for reach in (-1, 1) for row in talk.told("ids", talk.beside(places, reach), -1).tolist()]
        known.add(-1)
        return [
            row for row in dict.fromkeys(found)
            if row not in known and row < below and (allowed is None or row in allowed)
        ]  # fmt: skip

    def _known(
        self, tally: Tally, rows: Sequence[int], whole: bytes | None, gist: bytes | None, near: Mapping[int, float],
        limits: Limits,
    ) -> Candidates:  # fmt: skip
        """The candidates with their texts and how near they are, without those that are not worth it after all."""
        texts, meaning = self._read(rows, limits), dict[int, float]()
        rows = [row for row in rows if row in texts]
        words = tally.telling(rows)[1].tolist()
        if whole and gist and self._vectors:
            meaning, close = self._vectors.closeness([whole, gist], rows, limits.shelves, sure=True)
            near = {**near, **close}
        least = CLOSE_BESIDE * max(near.values(), default=0.0)
        rows = [row for row, has in zip(rows, words, strict=True) if has or near.get(row, -1.0) >= least > 0]
        if not any(row in meaning for row in rows):
            meaning = near = {}
        return Candidates(tally, rows, tally.sums(rows), texts, meaning, near, self._documents(rows, limits))

    def _read(self, rows: Sequence[int], limits: Limits) -> dict[int, str]:
        """The texts of some rows, as far as they are there."""
        marks, numbers = marked(rows)
        found = self._rows(f"t.id, t.{self._texts.column}", limits, f"t.id IN ({marks})", numbers) if rows else []
        return {row: str(text) for row, text in found}

    def _documents(self, rows: Sequence[int], limits: Limits) -> dict[int, Any]:
        """What the candidates and the rows beside them are parts of, where there are parts."""
        if not self._texts.whole or not rows:
            return {}
        marks, some = marked(list({row + distance for row in rows for distance in (-1, 0, 1)}))
        texts = self._texts
        columns = f"t.id, t.{texts.shelf}, t.{texts.whole}"
        parts = self._rows(columns, limits, f"t.id IN ({marks})", some)
        return {row: (shelf, whole) for row, shelf, whole in parts}


@dataclass(frozen=True)
class Candidates:
    """The rows that are ranked, with what is known of each."""

    tally: Tally
    rows: Sequence[int]
    sums: Sums
    texts: Mapping[int, str]
    meaning: Mapping[int, float] = field(default_factory=dict)
    gist: Mapping[int, float] = field(default_factory=dict)
    documents: Mapping[int, Any] = field(default_factory=dict)
    """Which note or document a row is a part of; of the rows beside the candidates, too."""

    def evidence(self, question: Question, talk: Talk | None) -> Evidence:
        """All of it in columns."""
        rows, sums = self.rows, self.sums
        parts: dict[str, Any] = {
            "texts": [self.texts[row] for row in rows],
            "strength": sums.strength,
            "telling": sums.telling,
            "words": sums.words,
            "phrases": sums.phrases,
            "rarity": self.tally.rarity,
            "most": self.tally.most,
        }
        if self.meaning:
            parts["meaning"] = [self.meaning.get(row, -1.0) for row in rows]
            parts["gist"] = [self.gist.get(row, -1.0) for row in rows]
        if talk:
            parts |= self._in_talk(question, talk)
        elif self.documents:
            parts["near"] = {distance: self._in_document(distance) for distance in (-1, 1)}
        return Evidence(**parts)

    def _in_document(self, distance: int) -> Near:
        """The part before or after each, in the same note or document: parts are stored one after the other."""
        of = self.documents
        return Near(*self.tally.telling([r + distance if of.get(r + distance) == of.get(r) else -1 for r in self.rows]))

    def _in_talk(self, question: Question, talk: Talk) -> dict[str, Any]:
        places = talk.positions(self.rows)
        beside = {distance: talk.beside(places, distance) for distance in REACH}
        people, dates = question.people, question.dates
        known: dict[str, Any] = {
            "near": {d: Near(*self.tally.telling(talk.told("ids", at, -1))) for d, at in beside.items()},
            "role": talk.told("roles", places),
            "asked": talk.told("asks", beside[-1]),
            "asks_next": talk.told("asks", beside[1]),
            "session": self.tally.sittings(talk.told("sittings", places).tolist()),
        }
        if people:
            named = [1 if name in people else -1 if name else 0 for name in talk.known]
            known["speaker"] = [named[name] for name in talk.told("names", places).tolist()]
        if dates.spans:
            days = talk.told("days", places).tolist()
            fits = {day: dates.fit_day(day) for day in set(days)}
            known["dates"] = [fits[day] for day in days]
        return known


def _below(talk: Talk, before_seq: int | None) -> int:
    """The number that all rows must be below to stand before a message."""
    at = len(talk.seqs) if before_seq is None else bisect_left(talk.seqs, before_seq)
    return talk.ids[at] if at < len(talk.ids) else EVERYTHING
