"""Carries `memagent docs embed` out: which texts have no vector yet, in what parts they are asked for, what came of it.

Knows nothing of the command line.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memagent.embeddings import Embedder, embedded, packed
from memagent.embeddings.asked import Manner
from memagent.errors import EmbeddingError, MissingExtra, UserError
from memagent.llm.batch import Call, Door, Ending, Failure, Limits, Outcome, call_from, run_batch
from memagent.llm.batch.vectors import VectorFile
from memagent.messages import estimate
from memagent.sources.prepared import Line, read_lines

if TYPE_CHECKING:
    from memagent.cli.progress import Progress
    from memagent.config import Settings

MOST_TEXTS = 64
MOST_TOKENS = 16_000
"""In one request: more would be asked for again where one fails, fewer would take longer."""
OF_ONE_TEXT = {"overflow", "refused", "too_large"}
"""What a request can fail with because of one text in it."""
LONGEST_WAIT = 600.0
"""Seconds that an endpoint may ask for a rest, in all."""
FAILED, INTERRUPTED = 3, 130


@dataclass
class Embedding:
    """What came of it: how many texts have got their vectors, and how many had them before."""

    path: Path
    total: int = 0
    before: int = 0
    embedded: int = 0
    failed: int = 0
    tokens: int = 0
    reasons: dict[str, tuple[int, str]] = field(default_factory=dict)
    ending: Ending = field(default_factory=Ending)
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """How long it took."""
        return time.monotonic() - self.began

    @property
    def code(self) -> int:
        """The exit code of the command."""
        return INTERRUPTED if self.ending.interrupted else FAILED if self.failed else 0

    @property
    def summary(self) -> dict[str, Any]:
        """All of it, for scripts."""
        return {
            "output": str(self.path),
            "embedded": self.embedded,
            "failed": self.failed,
            "reasons": {kind: number for kind, (number, _) in self.reasons.items()},
            "embedded_before": self.before,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 3),
            "complete": not self.ending.interrupted and self.ending.stopped is None and not self.failed,
        }

    def fail(self, kind: str, message: str, texts: int) -> None:
        """So many texts got no vectors."""
        self.failed += texts
        self.reasons[kind] = (self.reasons.get(kind, (0, ""))[0] + texts, message)


def embed(file: Path, target: Path, settings: Settings, limits: Limits, retries: int) -> Embedding:
    """Make all vectors that are missing with the embedder of the settings."""
    from memagent.assemble import open_embedder

    if settings.embedder == "off":
        raise UserError("The embedder is off.", hint="Name one with --embedder: local, openai, azure or ollama.")
    embedder = open_embedder(settings, Manner(retries, LONGEST_WAIT, settings.timeout, patient=True, anew=True))
    if embedder is None:
        raise MissingExtra("The local embedding model", "embeddings")
    if next(read_lines(file), None) is None:
        raise UserError(f"There are no passages in {file}.", hint="Such files are made by: memagent docs prepare")
    done = Embedding(target)
    with VectorFile(target, embedder.model) as vectors, _bar(file, vectors, done) as bar:
        try:
            if settings.embedder in ("openai", "azure"):
                work = _Asking(file, vectors, done, bar, settings)
                work.at_once(limits, retries)
                if work.some_may_be_too_long:
                    done.failed, done.reasons = 0, {}
                    _one_by_one(file, vectors, done, bar, embedder)
            else:
                _one_by_one(file, vectors, done, bar, embedder)
        except KeyboardInterrupt:
            done.ending = Ending(interrupted=True)
        except EmbeddingError as error:
            done.ending = Ending(stopped=error)
        _finish(file, vectors)
    return done


class _Asking:
    """Asks an endpoint for all vectors that are missing, many requests at once."""

    def __init__(self, file: Path, vectors: VectorFile, done: Embedding, bar: Progress, settings: Settings) -> None:
        self._file = file
        self._vectors = vectors
        self._done = done
        self._bar = bar
        self._settings = settings
        self._size: list[int] = []

    def at_once(self, limits: Limits, retries: int) -> None:
        """Ask until all have been asked for, or there is no use in it."""
        door = door_of(self._settings)
        self._done.ending = run_batch(
            self._calls(door.model), door, limits, self._keep, retries=retries, on_hold=self._bar.hold
        )

    @property
    def some_may_be_too_long(self) -> bool:
        """Whether texts got no vectors perhaps because of one among them that is too long."""
        ending = self._done.ending
        return bool(self._done.reasons.keys() & OF_ONE_TEXT) and not ending.interrupted and ending.stopped is None

    def _calls(self, model: str) -> Iterator[Call]:
        dimension = self._settings.embedding_dimension
        asked = {"dimensions": dimension} if dimension else {}
        for group in _missing(self._file, self._vectors, self._settings.embedding_batch or MOST_TEXTS):
            yield call_from({"model": model, "input": [line.text for line in group], **asked}, group)

    def _keep(self, outcome: Outcome) -> None:
        done, group = self._done, outcome.call.tag
        found = _vectors(outcome, len(group), self._size)
        done.tokens += outcome.tokens or 0
        if isinstance(found, Failure):
            done.fail(found.type, found.message, len(group))
        else:
            self._vectors.add(group, found)
            done.embedded += len(group)
        self._bar.show(done.before, done.embedded, done.failed, done.tokens)


def door_of(settings: Settings) -> Door:
    """The endpoint that many requests for vectors go to."""
    from memagent.embeddings import azure, openai

    manner = Manner(timeout=settings.timeout)
    if settings.embedder == "azure":
        endpoint = azure.reached(settings, manner)
        return Door(endpoint, endpoint.model, settings.azure_api_version or azure.API_VERSION)
    endpoint = openai.reached(settings, manner)
    return Door(endpoint, endpoint.model)


def _one_by_one(file: Path, vectors: VectorFile, done: Embedding, bar: Progress, embedder: Embedder) -> None:
    """Make the vectors that are missing, one group of texts after the other; texts that are too long, in pieces."""
    for group in _missing(file, vectors, MOST_TEXTS):
        vectors.add(group, embedded(embedder, [line.text for line in group]))
        done.embedded += len(group)
        bar.show(done.before, done.embedded, 0, done.tokens)


def _bar(file: Path, vectors: VectorFile, done: Embedding) -> AbstractContextManager[Progress]:
    from memagent.cli.progress import progress

    done.before = vectors.before
    return progress(file)


def _finish(file: Path, vectors: VectorFile) -> None:
    """When every passage has its vector, the file gets the order of the passages, and loses those that are gone."""
    if all(line.key in vectors for line in read_lines(file)):
        vectors.tidy(read_lines(file))


def _missing(file: Path, vectors: VectorFile, most: int) -> Iterator[list[Line]]:
    """The passages whose text has no vector yet, each text once, at most so many together."""
    asked: set[str] = set()
    group: list[Line] = []
    tokens = 0
    for line in read_lines(file):
        if line.key in vectors or line.key in asked:
            continue
        asked.add(line.key)
        size = estimate(line.text)
        if group and (len(group) == most or tokens + size > MOST_TOKENS):
            yield group
            group, tokens = [], 0
        group.append(line)
        tokens += size
    if group:
        yield group


def _vectors(outcome: Outcome, count: int, size: list[int]) -> list[bytes] | Failure:
    """The vectors of an answer, in the order of what was asked. `size` holds the dimension, once it is known."""
    if outcome.answer is None:
        return outcome.failure or Failure("failed", "There is no answer.")
    try:
        data = sorted(outcome.answer["data"], key=lambda item: item.get("index", 0))
        found = [packed([float(number) for number in item["embedding"]]) for item in data]
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, struct.error, EmbeddingError):
        return Failure("not_compatible", "The endpoint sent something that is no vector.")
    if len(found) != count:
        return Failure("not_compatible", f"The endpoint was sent {count} texts, and sent back {len(found)} vectors.")
    size += [len(found[0])] * (not size)
    if not size[0] or any(len(vector) != size[0] for vector in found):
        return Failure("not_compatible", "The endpoint sent vectors of different sizes.")
    return found
