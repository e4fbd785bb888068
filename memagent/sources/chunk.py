"""Cuts documents and long texts into passages of some hundred tokens, where a reader would: at headings and pages, at
the ends of paragraphs and sentences; blocks of code and tables stay whole where they fit.

Every character but white space at the ends of a passage is in some passage, in order. Where a sentence had to be cut,
the next passage begins some words earlier, so that what stands at the cut can still be found. Knows nothing of where
the text is from.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from memagent.messages import estimate, storable
from memagent.sources import Document, Part, Passage

TOKENS = 280
SMALL = 4
"""Sections that each fill less than this part of a passage are joined."""
LONGEST_PLACE = 200

# Where to cut, the best first: after a paragraph, after a sentence or line, between words.
_PARAGRAPH = re.compile(r"\n[^\S\n]*\n\s*")
_SENTENCE = re.compile(r"[.!?…]+[\"'”’»)\]]*\s+|[。！？；]+[」』”’）]*\s*|\n\s*")
_SPACE = re.compile(r"\s+")

_FENCE = re.compile(r"^[ \t]{0,3}(`{3,}|~{3,})(.*)$", re.M)
_TABLE = re.compile(r"(?:^[ \t]{0,3}\|.*\n?){2,}", re.M)

Span = tuple[int, int]


def passages_of(document: Document, place: str, tokens: int = TOKENS) -> list[Passage]:
    """A document in passages of at most about so many tokens; `place` is that of the whole document.

    No passage has two pages. One has two headings only where a section is so small that it would say little alone.
    """
    place = storable(place)
    if document.vectors or document.cut:
        return [_passage(storable(part.text), part, place) for part in document.parts]
    return [passage for run in _runs(document.parts, tokens) for passage in _cut_run(run, place, tokens)]


def passages(text: str, tokens: int = TOKENS) -> list[str]:
    """The text in passages of at most about so many tokens."""
    return [text[start:end] for start, end in spans(text, tokens, whole_blocks(text))]


def spans(text: str, tokens: int = TOKENS, whole: Sequence[Span] = ()) -> list[Span]:
    """Where the passages begin and end in the text. What lies in a span of `whole` is not parted, if it fits."""
    found: list[Span] = []
    start, length = 0, len(text)
    begins = [begin for begin, _ in whole]
    while start < length:
        window = _fitting(text, start, tokens)
        if start + len(window) >= length:
            cut, overlap = len(window), 0
        else:
            rest = length - start - len(window)
            if rest < len(window) // SMALL:  # rather two passages alike than one of few words at the end
                window = window[: (length - start) * 5 // 8]
            cut, overlap = _cut(window)
            block = bisect_right(begins, start + cut) - 1
            if block >= 0 and start < whole[block][0] < start + cut < whole[block][1]:
                begin, end = whole[block]
                if text[start:begin].strip() and end - begin <= 4 * tokens and estimate(text[begin:end]) <= tokens:
                    cut, overlap = begin - start, 0
        piece = window[:cut]
        first, last = start + cut - len(piece.lstrip()), start + len(piece.rstrip())
        if last > max(first, found[-1][1] if found else 0):  # not only white space, or what is repeated
            found.append((first, last))
        start += cut - overlap
    return found


def whole_blocks(text: str) -> list[Span]:
    """Where a text has fenced code and tables, as Markdown writes them."""
    found: list[Span] = []
    if "```" in text or "~~~" in text:
        opened: re.Match[str] | None = None
        for line in _FENCE.finditer(text):
            if opened is None:
                opened = line
            elif line[1].startswith(opened[1]) and not line[2].strip():
                found.append((opened.start(), line.end()))
                opened = None
    if "|" in text:
        found += [table.span() for table in _TABLE.finditer(text)]
        found.sort()
    return found


def _fitting(text: str, start: int, tokens: int) -> str:
    """A piece of the text from `start` that has at most so many tokens; at least one character."""
    window = text[start : start + 4 * tokens]
    while len(window) > 1 and (found := estimate(window)) > tokens:
        window = window[: max(1, len(window) * tokens // found)]
    return window


def _cut(window: str) -> tuple[int, int]:
    """Where to cut a text that goes on, and how many characters before the cut to repeat after it."""
    least = len(window) // 2
    for border in (_PARAGRAPH, _SENTENCE):
        ends = [match.end() for match in border.finditer(window, least)]
        if ends:
            return ends[-1], 0
    ends = [match.end() for match in _SPACE.finditer(window, least)]
    cut = ends[-1] if ends else len(window)
    shortest = cut - len(window) // 8
    spaces = [match.end() for match in _SPACE.finditer(window, shortest, cut) if match.end() < cut]
    return cut, cut - (spaces[0] if spaces else shortest)


# Sections -------------------------------------------------------------------------------------------------------------


def _runs(parts: Sequence[Part], tokens: int) -> Iterator[list[Part]]:
    """The parts, small ones together, and a heading with what it is above."""
    small = tokens // SMALL
    run: list[Part] = []
    filled = 0
    for part in parts:
        text = storable(part.text).strip()
        if not text:
            continue
        part, more = Part(text, part.heading, part.page), estimate(text) + 1
        if run:
            above = _is_bare(run[-1], part)
            alike = run[-1].page == part.page and filled < small and (above or more < small)
            if not alike or (filled + more > tokens and not above):
                yield run
                run, filled = [], 0
        run.append(part)
        filled += more
    if run:
        yield run


def _is_bare(part: Part, following: Part) -> bool:
    """Whether a part is nothing but a heading, and the one that follows is below it."""
    return "\n" not in part.text and bool(part.heading) and following.heading[:-1] == part.heading


def _cut_run(run: list[Part], place: str, tokens: int) -> Iterator[Passage]:
    text = "\n\n".join(part.text for part in run)
    if estimate(text) <= tokens:
        yield _passage(text, _named(run, len(text)), place)
        return
    begins = [0]
    for part in run[:-1]:
        begins.append(begins[-1] + len(part.text) + 2)
    for start, end in spans(text, tokens, whole_blocks(text)):
        first = bisect_right(begins, start) - 1
        yield _passage(text[start:end], _named(run[first:], end - begins[first]), place)


def _named(run: list[Part], length: int) -> Part:
    """The part after which a passage is named that begins in the first one: that one; if it is nothing but a heading,
    what it is above.
    """
    first = run[0]
    return run[1] if len(run) > 1 and length > len(first.text) + 2 and _is_bare(first, run[1]) else first


def _passage(text: str, part: Part, place: str) -> Passage:
    heading = tuple(storable(each) for each in part.heading)
    shown = place if part.page is None else f"{place}, p. {part.page}"
    if heading:
        path = " › ".join(heading)
        shown += f" › {path if len(path) <= LONGEST_PLACE else '…' + path[-LONGEST_PLACE:]}"
    return Passage(text, shown, heading, part.page)
