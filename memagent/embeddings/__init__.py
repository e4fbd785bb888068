"""What an embedder is to the rest of memagent: something that turns texts into vectors, so that near means alike.

A new kind of embedder is one file with a class that has `model`, `dimension` and `embed`, and one line in
`registry.py`. Knows nothing of where vectors are kept or how they are searched.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import Protocol

from memagent import watching
from memagent.errors import EmbeddingError


class Embedder(Protocol):
    """Turns texts into vectors. Safe to use from several threads; raises `EmbeddingError` when it can't."""

    @property
    def model(self) -> str:
        """A name that changes whenever the same text would get another vector."""
        ...

    @property
    def dimension(self) -> int:
        """How many numbers a vector has."""
        ...

    def embed(self, texts: Sequence[str]) -> Sequence[bytes]:
        """One vector for each text, in their order: of length 1, as little-endian float32 (see `packed`)."""
        ...


def packed(numbers: Sequence[float]) -> bytes:
    """A vector as it is kept: scaled to length 1, as little-endian float32."""
    length = math.hypot(*numbers)
    if not math.isfinite(length):
        raise EmbeddingError("The embedding model returned NaN or infinite numbers.")
    return struct.pack(f"<{len(numbers)}f", *(number / length if length else 0.0 for number in numbers))


def unpacked(vector: bytes) -> tuple[float, ...]:
    """The numbers of a vector."""
    return struct.unpack(f"<{len(vector) // 4}f", vector)


def averaged(weighted: Sequence[tuple[bytes, float]]) -> bytes:
    """The vector between these, each of which counts by its weight."""
    rows = [[number * weight for number in unpacked(vector)] for vector, weight in weighted]
    return packed([sum(column) for column in zip(*rows, strict=True)])


def embedded(embedder: Embedder, texts: Sequence[str]) -> list[bytes]:
    """The vectors of some texts, checked: as many as texts, each of the dimension that the embedder promises."""
    vectors = list(watching.embedded(embedder, texts))
    if len(vectors) != len(texts):
        raise EmbeddingError(
            f"The embedding model {embedder.model!r} was given {len(texts)} texts and returned {len(vectors)} vectors."
        )
    dimension = embedder.dimension
    for vector in vectors:
        if len(vector) != 4 * dimension:
            raise EmbeddingError(
                f"The embedding model {embedder.model!r} should give vectors of dimension {dimension}, "
                f"but gave one of dimension {len(vector) // 4}.",
                hint="Check the embedding model and its dimension in the settings.",
            )
    if not _finite(b"".join(vectors)):
        raise EmbeddingError(f"The embedding model {embedder.model!r} returned NaN or infinite numbers.")
    return vectors


def batches(texts: Sequence[str], count: int, size: Callable[[str], int], most: int) -> Iterator[Sequence[str]]:
    """The texts in their order, at most `count` together, and together of a size of at most `most`; a text that is
    larger than that comes alone.
    """
    start = total = 0
    for end, text in enumerate(texts):
        if end > start and (end - start >= count or total + size(text) > most):
            yield texts[start:end]
            start, total = end, 0
        total += size(text)
    if start < len(texts):
        yield texts[start:]


def _finite(numbers: bytes) -> bool:
    """Whether these are numbers throughout; a model that is asked over the wire needs no numpy."""
    if find_spec("numpy") is None:
        return all(math.isfinite(number) for (number,) in struct.iter_unpack("<f", numbers))
    import numpy as np

    return bool(np.isfinite(np.frombuffer(numbers, "<f4")).all())
