"""Vectors to search, and queries: made up, or from texts or vectors of one's own.

Made up are clumps within clumps: topics of very different sizes, subjects in them, and passages about these, all with
far more spread in some directions than in others, as vectors of texts have it; queries are about a subject, but none of
the passages, and half as near to them as passages are to each other. Everything is on the unit sphere and has a mean of
its own. Texts are cut into sentences, every fiftieth of which is a query, and embedded by the local model. Where there
are fewer than wanted, more are made of them: each is moved on the way to one of its neighbours, and by what two other
neighbours differ. That keeps how near things are to each other in all directions; but it makes crowds, of which the
nearest ten are harder to tell than they are among as many true texts.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

DIMENSION = 384
QUERIES = 100
NEIGHBOURS = 6
POOL = 20_000
CHUNK = 20_000


def vectors(size: int, data: Path | None, into: Path) -> Any:
    """Write so many vectors to a file; returns the queries."""
    known, queries = (None, None) if data is None else _known(data)
    dimension = DIMENSION if known is None else known.shape[1]
    matrix = np.lib.format.open_memmap(into, "w+", "<f4", (size, dimension))
    chunks = _made_up(size, dimension) if known is None else _stretched(known, size)
    start = 0
    for chunk in chunks:
        matrix[start : start + len(chunk)] = chunk
        start += len(chunk)
    matrix.flush()
    return _made_up_queries(dimension) if queries is None else queries


# Made up --------------------------------------------------------------------------------------------------------------


def _spread(dimension: int) -> Any:
    """How much there is of each direction: less and less, as with the vectors of texts."""
    strength = (np.arange(dimension) + 12.0) ** -0.5
    return strength / np.sqrt((strength**2).mean())


def _subjects(dimension: int) -> tuple[Any, Any, Any, Any]:
    """The subjects, how often each comes up, a turn that hides the directions, and the mean."""
    random = np.random.default_rng(1)
    spread = _spread(dimension)
    topics = random.standard_normal((500, dimension)) * spread
    subjects = topics[random.integers(0, 500, 20_000)] + 0.8 * random.standard_normal((20_000, dimension)) * spread
    often = random.permutation(1.0 / (np.arange(20_000) + 50.0) ** 0.7)
    turn = np.linalg.qr(random.standard_normal((dimension, dimension)))[0]
    return subjects, often / often.sum(), turn, 0.2 * np.sqrt(dimension) * _unit(random.standard_normal(dimension))


def _passages(random: Any, count: int, far: float, dimension: int, known: tuple[Any, Any, Any, Any]) -> Any:
    subjects, often, turn, mean = known
    chosen = subjects[random.choice(len(subjects), count, p=often)]
    return _unit((chosen + far * random.standard_normal((count, dimension)) * _spread(dimension)) @ turn + mean)


def _made_up(size: int, dimension: int) -> Iterator[Any]:
    random, known = np.random.default_rng(2), _subjects(dimension)
    for start in range(0, size, CHUNK):
        yield _passages(random, min(CHUNK, size - start), 0.8, dimension, known)


def _made_up_queries(dimension: int) -> Any:
    return _passages(np.random.default_rng(3), QUERIES, 1.6, dimension, _subjects(dimension))


# From data ------------------------------------------------------------------------------------------------------------


def _known(data: Path) -> tuple[Any, Any]:
    """Vectors from a .npy file, with their queries beside it (NAME.queries.npy); or those of texts."""
    random = np.random.default_rng(4)
    if data.suffix == ".npy":
        known, beside = np.load(data), data.with_suffix(".queries.npy")
        queries = np.load(beside) if beside.exists() else known[random.permutation(len(known))[:QUERIES]]
        return _unit(known), _unit(queries[random.permutation(len(queries))[:QUERIES]])
    from memagent.embeddings.local import LocalEmbedder

    embedder = LocalEmbedder()
    sentences = list(dict.fromkeys(_sentences(data)))
    matrix = np.frombuffer(b"".join(embedder.embed(sentences)), "<f4").reshape(len(sentences), -1)
    asked = np.arange(len(matrix)) % 50 == 49
    matrix, asked = matrix[there := matrix.any(axis=1)], asked[there]
    return matrix[~asked], matrix[asked][random.permutation(asked.sum())[:QUERIES]]


def _sentences(data: Path) -> Iterator[str]:
    for path in sorted(data.rglob("*")) if data.is_dir() else [data]:
        if path.is_file():
            for text in _texts(path):
                yield from (part for part in re.split(r"(?<=[.!?])\s+|\n+", text) if len(part) > 20)


def _texts(path: Path) -> Iterator[str]:
    """All texts in a file, whatever its form."""
    with gzip.open(path, "rt", errors="replace") if path.suffix == ".gz" else path.open(errors="replace") as file:
        kind = Path(path.name.removesuffix(".gz")).suffix
        if kind == ".csv":
            csv.field_size_limit(1 << 30)
            for row in csv.reader(file):
                yield from row
        elif kind in (".json", ".jsonl"):
            for part in file if kind == ".jsonl" else [file.read()]:
                yield from _strings(json.loads(part))
        else:
            yield file.read()


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _strings(each)


def _stretched(known: Any, size: int) -> Iterator[Any]:
    random = np.random.default_rng(5)
    order = random.permutation(len(known))[:size]
    yield from (known[order[start : start + CHUNK]] for start in range(0, len(order), CHUNK))
    if size <= len(known):
        return
    pool = known[random.permutation(len(known))[:POOL]]
    near = np.concatenate(
        [
            np.argpartition(-(known[at : at + 1000] @ pool.T), NEIGHBOURS, axis=1)[:, :NEIGHBOURS].copy()
            for at in range(0, len(known), 1000)
        ]
    )
    for start in range(len(known), size, CHUNK):
        count = min(CHUNK, size - start)
        one, other = random.integers(0, len(known), (2, count))
        ones, others = (near[some, random.integers(0, NEIGHBOURS, count)] for some in (one, other))
        moved = random.uniform(0, 0.5, (count, 1)) * (pool[ones] - known[one])
        yield _unit(known[one] + moved + random.uniform(0.1, 0.5, (count, 1)) * (known[other] - pool[others]))


def _unit(vectors: Any) -> Any:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype("<f4")
