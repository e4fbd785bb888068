"""Web pages: their text in sections, with lists, tables and code as Markdown has them. Knows nothing of the web."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from memagent.errors import MissingExtra
from memagent.sources import Document, Part, Unreadable
from memagent.sources.decode import encoding_named, encoding_of, text_of
from memagent.sources.formats import readable
from memagent.sources.formats.readable import BLOCKS, Element
from memagent.sources.when import time_of

if TYPE_CHECKING:
    from datetime import datetime

    from selectolax.lexbor import LexborHTMLParser, LexborNode

LISTS = ("ul", "ol", "table", "div", "section", "form", "dl")
MOST_ELEMENTS = 2_000_000
LONGEST_HEADING = 200

_CHARSET = re.compile(rb"""<meta[^>]{0,300}?charset\s*=\s*["']?\s*([\w.:-]{2,40})""", re.I)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_SPACE = re.compile(r"[^\S\n]+|\n")
_GAPS = re.compile(r"\n{3,}")
_DATES = ("article:published_time", "article:modified_time", "date", "dc.date", "datePublished")


def document(data: bytes, name: str, charset: str = "") -> Document:
    """The readable text of a page. `charset` is what its envelope says of it, if that says anything."""
    try:
        from selectolax.lexbor import LexborHTMLParser
    except ImportError as error:
        raise MissingExtra("What reads web pages", "documents") from error
    page = LexborHTMLParser(_decoded(data, charset))
    body = page.body
    if body is None:
        raise Unreadable("is an empty page")
    root = _tree(body)
    text = readable.main_text(root)
    parts = tuple(_sections(text))
    if not parts:
        raise Unreadable("has no readable text")
    return Document(_title(page, parts) or name, parts, when=_date(page))


def _decoded(data: bytes, charset: str) -> str:
    """The text of a page: by its mark, what the server says, what it says itself, or what it looks like."""
    encoding, mark = encoding_of(data)
    if not encoding:
        said = charset or (found[1].decode("ascii", "replace") if (found := _CHARSET.search(data[:4096])) else "")
        encoding = encoding_named(said)
    return text_of(data[mark:], encoding)


# The page ------------------------------------------------------------------------------------------------------------


def _tree(body: LexborNode) -> Element:
    """The page without what is not shown, and without what says that it is not the text."""
    root = Element("body")
    stack: list[tuple[LexborNode, Element]] = [(body, root)]
    count = 0
    while stack:
        node, element = stack.pop()
        child = node.first_child
        while child is not None:
            count += 1
            if count > MOST_ELEMENTS:
                raise Unreadable(f"has more than {MOST_ELEMENTS:,} elements")
            if child.is_text_node:
                element.inside.append(Element("", child.text_content or "", element))
            elif child.is_element_node and (below := _element(child, element)):
                element.inside.append(below)
                stack.append((child, below))
            child = child.next
    return root


def _element(node: LexborNode, above: Element) -> Element | None:
    tag = node.tag or "div"
    if tag in readable.SKIPPED:
        return None
    given = node.attributes
    style = (given.get("style") or "").replace(" ", "")
    role = given.get("role") or ""
    if "hidden" in given or given.get("aria-hidden") == "true" or "display:none" in style or role in readable.ROLES:
        return None
    about = readable.named(f"{given.get('class') or ''} {given.get('id') or ''}") + (f" role={role}" if role else "")
    return Element(tag, above=above, about=about)


def _title(page: LexborHTMLParser, parts: tuple[Part, ...]) -> str:
    """The page's own heading; else what stands on its tab."""
    for selector in ("h1", "title"):
        found = page.css(selector)
        if found and (len(found) == 1 or selector == "title"):
            words = " ".join(found[0].text().split()).rstrip("¶#§ ")
            if words:
                return words[:LONGEST_HEADING]
    return next((part.heading[0] for part in parts if part.heading), "")


def _date(page: LexborHTMLParser) -> datetime | None:
    for meta in page.css("meta[content]"):
        given = meta.attributes
        if (given.get("property") or given.get("name") or given.get("itemprop")) in _DATES:
            return time_of(given.get("content"))
    return None


# Its text -------------------------------------------------------------------------------------------------------------


def _sections(text: Element) -> Iterator[Part]:
    path: list[tuple[int, str]] = []
    lines: list[str] = []

    def part() -> Part:
        return Part(_GAPS.sub("\n\n", "".join(lines)).strip(), tuple(words for _, words in path))

    for level, words in _Blocks(text).all():
        if level:
            if (done := part()).text:
                yield done
            lines.clear()
            while path and path[-1][0] >= level:
                path.pop()
            path.append((level, words[:LONGEST_HEADING]))
            lines.append(f"{'#' * level} {words}\n\n")
        else:
            lines.append(words)
    if (done := part()).text:
        yield done


class _Blocks:
    """Goes through the text of a page, without recursion: a page may be nested as deeply as it likes."""

    def __init__(self, root: Element) -> None:
        self._root = root
        self._line: list[str] = []

    def all(self) -> Iterator[tuple[int, str]]:
        """A heading's level and words, or 0 and a piece of text with its line ends."""
        stack: list[tuple[Element, bool]] = [(self._root, False)]
        while stack:
            element, is_end = stack.pop()
            tag = element.tag
            if is_end:
                yield from self._ended(element)
            elif not tag:
                self._line.append(_SPACE.sub(" ", element.text))
            elif tag == "pre":
                yield from self._code(element)
            elif tag in _HEADINGS:
                yield from self._heading(element)
            elif tag == "br":
                yield from self._flushed("\n")
            elif tag in LISTS and element is not self._root and readable.is_list_of_links(element):
                continue
            elif tag == "table" and (rows := _table(element)):
                yield from self._flushed("\n\n")
                yield 0, "\n".join(rows) + "\n\n"
            else:
                yield from self._begun(tag)
                stack.append((element, True))
                stack.extend((each, False) for each in reversed(element.inside))
        yield from self._flushed("\n")

    def _begun(self, tag: str) -> Iterator[tuple[int, str]]:
        if tag in BLOCKS:
            yield from self._flushed("\n")
        if tag == "li":
            self._line.append("- ")

    def _code(self, element: Element) -> Iterator[tuple[int, str]]:
        yield from self._flushed("\n\n")
        if code := "".join(each.text for each in element.all() if not each.tag).strip("\n"):
            yield 0, f"```\n{code}\n```\n\n"

    def _heading(self, element: Element) -> Iterator[tuple[int, str]]:
        yield from self._flushed("\n\n")
        words = " ".join("".join(each.text for each in element.all() if not each.tag).split()).rstrip("¶#§ ")
        if words:
            yield _HEADINGS[element.tag], words

    def _ended(self, element: Element) -> Iterator[tuple[int, str]]:
        if element.tag in ("td", "th"):
            self._line.append(" ")
        elif element.tag in BLOCKS:
            close = element.tag in ("li", "tr", "dt", "dd", "option", "summary")
            yield from self._flushed("\n" if close else "\n\n")
            if not close:
                yield 0, "\n"

    def _flushed(self, end: str) -> Iterator[tuple[int, str]]:
        words = _SPACE.sub(" ", "".join(self._line)).strip()
        self._line.clear()
        if words and words != "-":
            yield 0, words + end


def _table(table: Element) -> list[str]:
    """A table of data as Markdown; nothing if it is one that only lays out the page."""
    rows: list[list[str]] = []
    for row in table.all():
        if row.tag != "tr":
            continue
        cells = [cell for cell in row.inside if cell.tag in ("td", "th")]
        if any(each.tag in ("p", "div", "table", "ul", "ol", "pre") for cell in cells for each in cell.all()):
            return []
        rows.append([_cell(cell) for cell in cells])
    rows = [row for row in rows if any(row)]
    if len(rows) < 2 or max(map(len, rows)) < 2:
        return []
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [lines[0], f"|{' --- |' * len(rows[0])}", *lines[1:]]


def _cell(cell: Element) -> str:
    text = "".join(each.text if not each.tag else " " * (each.tag == "br") for each in cell.all())
    return " ".join(text.split()).replace("|", "\\|")
