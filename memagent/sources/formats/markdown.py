"""Markdown, cut at its headings. Knows nothing of files."""

from __future__ import annotations

import re
from collections.abc import Iterator

from memagent.sources import Document, Part
from memagent.sources.decode import text_of

LONGEST_HEADING = 200

_MARK = re.compile(
    r"^ {0,3}(?:(?P<fence>`{3,}|~{3,})(?P<info>.*)"
    r"|(?P<marks>\#{1,6})[ \t]+(?P<title>.*)"
    r"|(?P<line>={2,}|-{2,})[ \t]*)$",
    re.M,
)
_FRONT = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.M | re.S)
_TITLE = re.compile(r"^title:[ \t]*[\"']?(.+?)[\"']?[ \t]*$", re.M)
_CLOSING = re.compile(r"[ \t]+#+[ \t]*$")
_LINK = re.compile(r"!?\[([^\]\n]{0,300})\]\([^)\n]{0,2000}\)")
_NO_HEADING = re.compile(r"\s*$|[ \t]{4}|[ \t]*(?:[>|]|[-*+][ \t]|\d+[.)][ \t])")


def document(data: bytes, name: str) -> Document:
    """The text in its sections; its title is the one in front of it, or its first heading."""
    text = text_of(data)
    title, start = "", 0
    if front := _FRONT.match(text[:20_000]):
        start = front.end()
        if found := _TITLE.search(front[1]):
            title = found[1]
    parts = tuple(sections(text, start))
    if not title:
        title = next((part.heading[0] for part in parts if part.heading), name)
    return Document(title, parts)


def sections(text: str, start: int = 0) -> Iterator[Part]:
    """The parts of a text from `start`, each with its own heading line; what is in fenced code is no heading."""
    path: list[tuple[int, str]] = []
    begin = start
    for at, level, title in _headings(text, start):
        if text[begin:at].strip():
            yield Part(text[begin:at], tuple(each for _, each in path))
        while path and path[-1][0] >= level:
            path.pop()
        path.append((level, title))
        begin = at
    if text[begin:].strip():
        yield Part(text[begin:], tuple(each for _, each in path))


def _headings(text: str, start: int) -> Iterator[tuple[int, int, str]]:
    """Where a heading's line begins, its level and its words."""
    fence = ""
    for mark in _MARK.finditer(text, start):
        if mark["fence"]:
            if not fence:
                fence = mark["fence"]
            elif mark["fence"].startswith(fence) and not mark["info"].strip():
                fence = ""
        elif fence:
            continue
        elif mark["marks"]:
            if words := _words(mark["title"]):
                yield mark.start(), len(mark["marks"]), words
        else:
            at = text.rfind("\n", start, max(mark.start() - 1, start)) + 1 or start
            line = text[at : max(mark.start() - 1, at)]
            if len(line) <= LONGEST_HEADING and not _NO_HEADING.match(line) and (words := _words(line)):
                yield at, 1 if mark["line"][0] == "=" else 2, words


def _words(line: str) -> str:
    words = _LINK.sub(r"\1", _CLOSING.sub("", line)).strip().strip("*_`").strip()
    return words if len(words) <= LONGEST_HEADING else words[:LONGEST_HEADING] + "…"
