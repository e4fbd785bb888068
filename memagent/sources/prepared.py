"""Passages in a file of JSON Lines: what a tree of texts becomes before it is embedded, loaded, or used by other
programs.

Each line is one passage, with an `id` that its text alone decides, so that the same text is known again. The file is
there whole or not at all. Knows nothing of embeddings but that a line can have one.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from memagent.errors import StorageError, UserError
from memagent.messages import estimate
from memagent.sources import Item, Passage, Reader, Unreadable
from memagent.sources.chunk import passages_of

FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
LONGEST_LINE = 32_000_000
TEXT_KEY = 16
"""So many characters of an id are made of the text; a second passage with that very text has "-2" behind them."""


@dataclass
class Count:
    """What has been written so far; what was left out, and why."""

    items: int = 0
    documents: int = 0
    passages: int = 0
    tokens: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)


def prepare(
    reader: Reader, tokens: int, out: Path, root: Path, on_item: Callable[[Count, int], None]
) -> Count:  # fmt: skip
    """Write all passages of what a reader gives to a file. `on_item` is told after each item how many there are.

    What is written to is never read, also if it lies in the folder `root` that is read.
    """
    own = {path.resolve() for path in (out, _part(out))}
    items = [item for item in reader.items() if (root / item.place).resolve() not in own]
    count = Count()
    with written_whole(out) as file:
        seen: dict[str, int] = {}
        for item in items:
            _prepare_item(item, tokens, file, count, seen)
            on_item(count, len(items))
        if not count.passages:
            raise UserError(f"There is no text to prepare in {reader.about}.", hint=_why(count))
    return count


def _prepare_item(item: Item, tokens: int, file: BinaryIO, count: Count, seen: dict[str, int]) -> None:
    count.items += 1
    try:
        document = item.read()
    except Unreadable as broken:
        count.skipped.append((item.place, f"{broken.message} {broken.hint or ''}".rstrip()))
        return
    found = passages_of(document, item.place, tokens)
    for passage in found:
        key = text_key(passage.text)
        seen[key] = nth = seen.get(key, 0) + 1
        size = estimate(passage.text)
        file.write(_line(key if nth == 1 else f"{key}-{nth}", passage, item.place, document.title, size))
        count.tokens += size
    count.documents += bool(found)
    count.passages += len(found)


def text_key(text: str) -> str:
    """What tells a text from all others."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=TEXT_KEY // 2).hexdigest()


def dumped(data: object) -> bytes:
    """A line of JSON."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` when the block ends, and is gone when it raises."""
    part = _part(path)
    try:
        try:
            with part.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
    except OSError as error:
        if error.errno in FULL:
            raise StorageError(f"The disk is full: {path} can't be written.", hint="Free some space.") from error
        raise UserError(f"{path} can't be written: {error.strerror or error}.") from error


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _line(name: str, passage: Passage, document: str, title: str, tokens: int) -> bytes:
    line: dict[str, Any] = {
        "id": name, "document": document, "title": title, "place": passage.place, "heading": passage.heading,
        "page": passage.page, "tokens": tokens, "text": passage.text,
    }  # fmt: skip
    return dumped(line)


def _why(count: Count) -> str:
    if not count.items:
        return "No file there is wanted; see --include and --exclude."
    return f"{count.skipped[0][0]} {count.skipped[0][1]}." if count.skipped else "The files there are empty."


# Read again -----------------------------------------------------------------------------------------------------------


class Line(NamedTuple):
    """One passage of such a file: what its text is known by, its fields, and where its line ends in the file."""

    key: str
    fields: Mapping[str, Any]
    end: int

    @property
    def text(self) -> str:
        return str(self.fields["text"])


def read_lines(path: Path) -> Iterator[Line]:
    """The passages in a file, each with an id; raises `UserError` at the first line that is none."""
    seen: dict[str, int] = {}
    number = end = 0
    try:
        with path.open("rb") as file:
            while raw := file.readline(LONGEST_LINE):
                number, end = number + 1, end + len(raw)
                if not raw.strip():
                    continue
                fields = passage_fields(raw)
                if fields is None:
                    raise UserError(
                        f'{path}, line {number} is no passage: a JSON object with a "text".',
                        hint="Such files are made by: memagent docs prepare",
                    )
                key = text_key(fields["text"])
                seen[key] = nth = seen.get(key, 0) + 1
                yield Line(key, {**fields, "id": key if nth == 1 else f"{key}-{nth}"}, end)
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror or error}.") from error


def passage_fields(raw: bytes) -> dict[str, Any] | None:
    """What a line tells of a passage; None if it is none."""
    try:
        fields = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    text = fields.get("text") if isinstance(fields, dict) else None
    return fields if isinstance(text, str) and text.strip() else None
