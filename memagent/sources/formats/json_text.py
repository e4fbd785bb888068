"""JSON, and JSON in lines: each record a part, with the names of its fields. Knows nothing of files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from memagent.sources import Document, Part, Unreadable
from memagent.sources.decode import text_of
from memagent.sources.records import flat, record

_TITLES = ("title", "name", "subject", "headline", "id")


def document(data: bytes, name: str) -> Document:
    """The records of a list, or the fields of an object."""
    value = _read(text_of(data), "is not JSON")
    return _document(name, _parts(value))


def lines(data: bytes, name: str) -> Document:
    """The records of a file with one on each line."""

    def parts() -> Iterator[Part]:
        broken = 0
        for number, line in enumerate(text_of(data).split("\n"), 1):
            if not line.strip():
                continue
            try:
                yield _part(_read(line, ""), f"line {number}")
            except Unreadable:
                broken += 1
                if broken > 10 and broken * 2 > number:
                    raise Unreadable("is not JSON in lines") from None
                yield Part(line, (f"line {number}",))

    return _document(name, parts())


def _document(name: str, parts: Iterator[Part]) -> Document:
    found = tuple(part for part in parts if part.text.strip())
    if not found:
        raise Unreadable("has no text")
    return Document(name, found)


def _read(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise Unreadable("is nested too deeply") from error
    except ValueError as error:
        raise Unreadable(f"{what}: {error}") from error


def _parts(value: Any) -> Iterator[Part]:
    if isinstance(value, list):
        for number, each in enumerate(value, 1):
            yield _part(each, f"item {number}")
        return
    if not isinstance(value, dict):
        yield Part(record(flat(value)))
        return
    single = {key: each for key, each in value.items() if not isinstance(each, (dict, list))}
    if single:
        yield Part(record(single.items()))
    for key, each in value.items():
        if isinstance(each, list) and each and all(isinstance(below, dict) for below in each):
            for number, below in enumerate(each, 1):
                yield _part(below, f"item {number}", str(key))
        elif isinstance(each, (dict, list)):
            yield Part(record(flat(each, str(key))), (str(key),))


def _part(value: Any, number: str, above: str = "") -> Part:
    title = number
    if isinstance(value, dict):
        named = next((str(value[key]) for key in _TITLES if isinstance(value.get(key), (str, int)) and value[key]), "")
        title = f"{number}: {' '.join(named.split())[:60]}" if named.strip() else number
    text = value if isinstance(value, str) else record(flat(value))
    return Part(text, (above, title) if above else (title,))
