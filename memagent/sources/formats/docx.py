"""Word documents (docx): paragraphs, headings, lists and tables. What is marked as deleted is left out.

Read by hand: a docx is a zip of XML, of which a text needs ten elements. Knows nothing of files.
"""

from __future__ import annotations

import io
import re
import zlib
from zipfile import BadZipFile, ZipFile

from memagent.sources import Document, Part, Unreadable, xml
from memagent.sources.when import time_of

LARGEST_PART = 100_000_000
LONGEST_HEADING = 200

_HEADING = re.compile(r"heading ([1-9])$", re.I)


def document(data: bytes, name: str) -> Document:
    """The text of a Word document in its sections."""
    try:
        with ZipFile(io.BytesIO(data)) as archive:
            levels = _levels(archive)
            body = _Body(levels)
            xml.parse(_part(archive, "word/document.xml"), body.start, body.end, body.text)
            properties = _Properties()
            if "docProps/core.xml" in archive.namelist():
                xml.parse(_part(archive, "docProps/core.xml"), properties.start, properties.end, properties.text)
    except KeyError as error:
        raise Unreadable("is no Word document: it has no text in it") from error
    except (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError) as error:
        raise Unreadable(f"is a broken or protected Word document: {error}") from error
    parts = tuple(body.parts())
    if not parts:
        raise Unreadable("has no text")
    title = properties.found.get("title", "").strip()
    title = title or next((part.heading[0] for part in parts if part.heading), name)
    return Document(title, parts, when=time_of(properties.found.get("modified", "")))


def _part(archive: ZipFile, name: str) -> bytes:
    """One file of the archive, as long as it does not unfold into too much."""
    with archive.open(name) as file:
        data = file.read(LARGEST_PART + 1)
    if len(data) > LARGEST_PART:
        raise Unreadable(f"unpacks to more than {LARGEST_PART // 1_000_000} MB")
    return data


def _levels(archive: ZipFile) -> dict[str, int]:
    """Which styles are headings, and of which level: in a German Word, "berschrift1" is the id of "heading 1"."""
    levels = {f"Heading{level}": level for level in range(1, 10)} | {"Title": 1}
    style = ""

    def start(name: str, given: dict[str, str]) -> None:
        nonlocal style
        if name == "style":
            style = given.get("styleId", "")
        elif name == "name" and (found := _HEADING.match(given.get("val", ""))):
            levels[style] = int(found[1])
        elif name == "name" and given.get("val") == "Title":
            levels[style] = 1
        elif name == "outlineLvl" and (level := given.get("val", "")).isdigit() and int(level) < 9:
            levels.setdefault(style, int(level) + 1)

    if "word/styles.xml" in archive.namelist():
        xml.parse(_part(archive, "word/styles.xml"), start, _nothing, _nothing)
    return levels


def _nothing(_: str) -> None:
    """What is done where an element ends and with its text, when neither matters."""


class _Properties:
    """Title and time of a document."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._within = ""

    def start(self, name: str, given: dict[str, str]) -> None:  # noqa: ARG002
        self._within = name

    def end(self, name: str) -> None:  # noqa: ARG002
        self._within = ""

    def text(self, text: str) -> None:
        if self._within in ("title", "modified"):
            self.found[self._within] = self.found.get(self._within, "") + text


class _Body:
    """Gathers the text, as its elements come."""

    def __init__(self, levels: dict[str, int]) -> None:
        self._levels = levels
        self._parts: list[Part] = []
        self._path: list[tuple[int, str]] = []
        self._lines: list[str] = []
        self._words: list[str] = []
        self._level = 0
        self._list = False
        self._shown = False  # within w:t
        self._hidden = 0  # within a copy of what stands there already
        self._tables: list[list[list[str]]] = []

    def start(self, name: str, given: dict[str, str]) -> None:
        if name == "Fallback" or self._hidden:
            self._hidden += 1
        elif name == "p":
            if not self._tables:
                self._words.clear()
            self._level, self._list = 0, False
        elif name == "pStyle":
            self._level = self._levels.get(given.get("val", ""), 0)
        elif name == "outlineLvl" and given.get("val", "9").isdigit() and int(given["val"]) < 9:
            self._level = int(given["val"]) + 1
        elif name == "numPr":
            self._list = True
        elif name == "t":
            self._shown = True
        elif name in ("tab", "br", "cr", "noBreakHyphen"):
            self._words.append({"tab": "\t", "noBreakHyphen": "-"}.get(name, "\n"))
        elif name == "tbl":
            self._tables.append([])
        elif name == "tr" and self._tables:
            self._tables[-1].append([])
        elif name == "tc":
            self._words.clear()

    def end(self, name: str) -> None:
        if self._hidden:
            self._hidden -= 1
        elif name == "t":
            self._shown = False
        elif name == "p" and self._tables:
            self._words.append(" ")
        elif name == "p":
            self._paragraph("".join(self._words).strip())
        elif name == "tc" and self._tables and self._tables[-1]:
            self._tables[-1][-1].append(" ".join("".join(self._words).split()).replace("|", "\\|"))
            self._words.clear()
        elif name == "tbl" and self._tables:
            self._table(self._tables.pop())

    def text(self, text: str) -> None:
        if self._shown and not self._hidden:
            self._words.append(text)

    def parts(self) -> list[Part]:
        """All sections, when the end has been reached."""
        self._section()
        return self._parts

    def _paragraph(self, text: str) -> None:
        if not text:
            return
        if self._level:
            self._section()
            while self._path and self._path[-1][0] >= self._level:
                self._path.pop()
            self._path.append((self._level, " ".join(text.split())[:LONGEST_HEADING]))
            self._lines.append(f"{'#' * min(self._level, 6)} {' '.join(text.split())}\n\n")
        else:
            self._lines.append(f"- {text}\n" if self._list else f"{text}\n\n")

    def _section(self) -> None:
        text = "".join(self._lines).strip()
        if text:
            self._parts.append(Part(text, tuple(words for _, words in self._path)))
        self._lines.clear()

    def _table(self, rows: list[list[str]]) -> None:
        rows = [row for row in rows if any(row)]
        lines = [f"| {' | '.join(row)} |" for row in rows]
        if self._tables:  # a table in a table: its words belong to the cell
            self._words.append(" ".join(lines))
        elif lines:
            self._lines.append("\n".join([lines[0], f"|{' --- |' * len(rows[0])}", *lines[1:]]) + "\n\n")
