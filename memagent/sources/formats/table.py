"""Tables as text (CSV, TSV): each row with the names of its columns. Knows nothing of files."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator

from memagent.sources import Document, Part, Unreadable
from memagent.sources.decode import text_of
from memagent.sources.records import record

LARGEST_FIELD = 10_000_000

_NUMBER = re.compile(r"[-+\d.,\s%€$£]*$")


def document(data: bytes, name: str) -> Document:
    """The rows of a table, each a part; the first one gives the columns' names if it looks like names."""
    text = text_of(data).replace("\0", "\ufffd")
    delimiter = "\t" if name.lower().endswith((".tsv", ".tab")) else _delimiter(text)
    csv.field_size_limit(LARGEST_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        parts = tuple(_parts(reader))
    except csv.Error as error:
        raise Unreadable(f"is no table that can be read: {error}, near line {reader.line_num}") from error
    if not parts:
        raise Unreadable("has no rows")
    return Document(name, parts)


def _parts(rows: Iterator[list[str]]) -> Iterator[Part]:
    names: list[str] = []
    for number, row in enumerate(rows, 1):
        if not any(cell.strip() for cell in row):
            continue
        if not names:
            names = [cell.strip() for cell in row]
            if _are_names(names):
                continue
            names = [f"column {n}" for n in range(1, len(row) + 1)]
        while len(names) < len(row):
            names.append(f"column {len(names) + 1}")
        if text := record(zip(names, row, strict=False)):
            yield Part(text, (f"row {number}",))


def _are_names(cells: list[str]) -> bool:
    return len(set(cells)) == len(cells) > 1 and all(
        cell and len(cell) < 80 and not _NUMBER.match(cell) for cell in cells
    )


def _delimiter(text: str) -> str:
    """The mark that parts the first lines into the same number of cells, the most of them."""
    lines = [line for line in text[:20_000].split("\n")[:20] if line.strip()]

    def fitness(mark: str) -> tuple[float, int]:
        counts = [line.count(mark) for line in lines]
        alike = sum(count == counts[0] for count in counts) / len(counts) if counts and counts[0] else 0.0
        return alike, counts[0] if counts else 0

    return max(",;\t|", key=fitness)
