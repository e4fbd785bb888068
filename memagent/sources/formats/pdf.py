"""PDF, page by page, with the headings of its outline. Knows nothing of files."""

from __future__ import annotations

import itertools
import re
from bisect import bisect_right
from typing import TYPE_CHECKING

from memagent.errors import MissingExtra
from memagent.sources import Document, Part, Unreadable
from memagent.sources.when import time_of

if TYPE_CHECKING:
    from datetime import datetime

    from pypdfium2 import PdfDocument

MOST_PAGES = 20_000
MOST_TEXT = 100_000_000
MOST_BOOKMARKS = 5_000
LONGEST_HEADING = 200

_PARTED = re.compile("(?<=\\w)[\x02\ufffe\xad]\r?\n?(?=\\w)")  # a hyphen at the end of a line, as PDFium marks it
_LINE_ENDS = re.compile("\r\n?|\x0c")
_DATE = re.compile(r"D:(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?")


def document(data: bytes, name: str) -> Document:
    """The text of a PDF; pages without any are left out."""
    try:
        import pypdfium2
    except ImportError as error:
        raise MissingExtra("What reads PDF", "documents") from error
    try:
        pdf = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        protected = "password" in str(error).lower()
        raise Unreadable("is protected by a password" if protected else f"is a broken PDF: {error}") from error
    try:
        headings = _Outline(pdf)
        parts = []
        filled = 0
        for page, text in enumerate(_pages(pdf), 1):
            filled += len(text)
            if filled > MOST_TEXT:
                raise Unreadable(f"has more than {MOST_TEXT // 1_000_000} MB of text")
            if text.strip():
                parts.append(Part(text, headings.at(page), page))
        if not parts:
            raise Unreadable("has no text: its pages are pictures" if len(pdf) else "has no pages")
        told = pdf.get_metadata_dict()
        return Document(" ".join(told.get("Title", "").split()) or name, tuple(parts), when=_time(told))
    finally:
        pdf.close()


def _pages(pdf: PdfDocument) -> list[str]:
    import pypdfium2

    texts = []
    for number in range(min(len(pdf), MOST_PAGES)):
        try:
            page = pdf[number]
            content = page.get_textpage()
            text = content.get_text_bounded()
            content.close()
            page.close()
        except pypdfium2.PdfiumError:
            text = ""  # one broken page does not spoil the others
        texts.append(_LINE_ENDS.sub("\n", _PARTED.sub("", text)))
    return texts


class _Outline:
    """The headings that a PDF names for its pages."""

    def __init__(self, pdf: PdfDocument) -> None:
        import pypdfium2

        self._pages: list[int] = []
        self._paths: list[tuple[str, ...]] = []
        path: list[str] = []
        try:
            for mark in itertools.islice(pdf.get_toc(max_depth=6), MOST_BOOKMARKS):
                target = mark.get_dest()
                page = target.get_index() if target else None
                words = " ".join(mark.get_title().split())[:LONGEST_HEADING]
                path = [*path[: mark.level], words]
                if page is not None and words and (not self._pages or page + 1 >= self._pages[-1]):
                    self._pages.append(page + 1)
                    self._paths.append(tuple(path))
        except (pypdfium2.PdfiumError, UnicodeError):
            pass  # what could be read of it serves

    def at(self, page: int) -> tuple[str, ...]:
        """The heading under which a page begins: the first of its own, or the last one before."""
        first = bisect_right(self._pages, page - 1)
        if first < len(self._pages) and self._pages[first] == page:
            return self._paths[first]
        return self._paths[first - 1] if first else ()


def _time(told: dict[str, str]) -> datetime | None:
    found = _DATE.match(told.get("ModDate", "") or told.get("CreationDate", ""))
    if not found:
        return None
    year, *rest = (
        each or least for each, least in zip(found.groups(), ("", "01", "01", "00", "00", "00"), strict=True)
    )
    return time_of(f"{year}-{rest[0]}-{rest[1]}T{':'.join(rest[2:])}")
