"""Passages that were cut before, from a file of JSON Lines as prepared.py writes it, with or without vectors.

The lines with the same `document` are one; those that name none are one together, named as the file. Only where the
lines of a document stand is kept in memory. Knows nothing of who made the vectors.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from memagent.errors import NotFound, UserError
from memagent.messages import storable
from memagent.sources import Document, Part, Unreadable
from memagent.sources.prepared import LONGEST_LINE, passage_fields

LONGEST_PLACE = 1000


class PassagesFile:
    """Reads such a file."""

    kind = "passages"

    def __init__(self, path: Path) -> None:
        self._path = path.expanduser().absolute()
        if not self._path.is_file():
            raise NotFound(f"There is no file {str(path)!r}.")
        self.about = storable(str(self._path))

    def items(self) -> Iterator[PassagesItem]:
        """The documents, in the order in which they begin. A line that is no passage makes one that is `Unreadable`."""
        spans: dict[str, list[tuple[int, int]]] = {}
        digests: dict[str, Any] = {}
        broken: list[PassagesItem] = []
        at = number = 0
        try:
            with self._path.open("rb") as file:
                while raw := file.readline(LONGEST_LINE):
                    number, start, at = number + 1, at, at + len(raw)
                    if not raw.strip():
                        continue
                    fields = passage_fields(raw)
                    if fields is None:
                        place = f"{self._path.name}, line {number}"
                        broken.append(PassagesItem(self._path, place, broken='is no object with a "text"'))
                        continue
                    place = _place(fields, self._path.name)
                    spans.setdefault(place, []).append((start, len(raw)))
                    digests.setdefault(place, blake2b(digest_size=16)).update(raw)
        except OSError as error:
            raise UserError(f"{self._path} can't be read: {error.strerror or error}.") from error
        for place, of in spans.items():
            yield PassagesItem(self._path, place, digests[place].hexdigest(), sum(n for _, n in of), tuple(of))
        yield from broken

    def close(self) -> None:
        """Nothing stays open."""


@dataclass(frozen=True)
class PassagesItem:
    """One document: where its lines begin in the file, and how long they are."""

    path: Path
    place: str
    stamp: str = ""
    size: int = 0
    spans: tuple[tuple[int, int], ...] = ()
    broken: str = ""

    def read(self) -> Document:
        """The document, cut as it was."""
        if self.broken:
            raise Unreadable(self.broken)
        lines: list[Mapping[str, Any]] = []
        try:
            with self.path.open("rb") as file:
                for start, length in self.spans:
                    file.seek(start)
                    fields = passage_fields(file.read(length))
                    if fields is None:
                        raise Unreadable("has changed while it was read")
                    lines.append(fields)
        except OSError as error:
            raise Unreadable(f"can't be opened: {error.strerror or error}") from error
        title = lines[0].get("title")
        parts = tuple(_part(fields) for fields in lines)
        vectors, model = _vectors(lines)
        return Document(
            title if isinstance(title, str) and title else self.place, parts, None, vectors, (), model, True
        )


def _place(fields: Mapping[str, Any], otherwise: str) -> str:
    document = fields.get("document")
    return storable(document)[:LONGEST_PLACE] if isinstance(document, str) and document.strip() else otherwise


def _part(fields: Mapping[str, Any]) -> Part:
    heading, page = fields.get("heading"), fields.get("page")
    named = tuple(each for each in heading if isinstance(each, str)) if isinstance(heading, list) else ()
    return Part(fields["text"], named, page if isinstance(page, int) and not isinstance(page, bool) else None)


def _vectors(lines: list[Mapping[str, Any]]) -> tuple[tuple[bytes, ...], str]:
    """The vectors of all lines and the model that made them; none when not every line has one of the same kind."""
    given = [fields.get("vector", fields.get("embedding")) for fields in lines]
    models = {fields.get("model") for fields in lines}
    if not all(isinstance(numbers, list) and numbers for numbers in given) or len(models) > 1:
        return (), ""
    try:
        vectors = tuple(_packed(numbers) for numbers in given if numbers)
    except (TypeError, ValueError, OverflowError, struct.error):
        raise Unreadable("has a vector with something in it that is no number") from None
    if len({len(vector) for vector in vectors}) > 1:
        raise Unreadable("has vectors of different sizes")
    model = models.pop()
    return vectors, model if isinstance(model, str) else ""


def _packed(numbers: list[Any]) -> bytes:
    length = math.hypot(*numbers)
    if not math.isfinite(length):
        raise ValueError
    return struct.pack(f"<{len(numbers)}f", *(number / length if length else 0.0 for number in numbers))
