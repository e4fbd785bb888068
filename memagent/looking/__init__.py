"""To look at: what an agent remembers, as pages that a person reads, in a terminal or as one file.

A page is a `Sheet`, put together once and shown in either way; a picture is SVG. Knows nothing of who looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memagent.facts.records import Records


@dataclass(frozen=True)
class Line:
    """One line, or a text with line breaks of its own. `aside` stands behind it, and matters less; `mark` before it,
    such as a date.
    """

    text: str
    aside: str = ""
    mark: str = ""
    depth: int = 0


@dataclass(frozen=True)
class Section:
    """Some lines under a heading. `note` says what is not shown, and how to see it."""

    title: str
    lines: Sequence[Line]
    note: str = ""


@dataclass(frozen=True)
class Sheet:
    """A page: its title, a line below that, sections, and perhaps a picture."""

    title: str
    about: str = ""
    sections: Sequence[Section] = ()
    picture: str = ""


@dataclass(frozen=True)
class Sight:
    """Whose memory is looked at: an agent, by id and name, and the typed memories and facts that it knows: its own, and
    those that all agents of its user share.
    """

    agent: str
    name: str
    memories: Sequence[Records]


LONGEST = 500
"""Characters of a fact that are shown; all of it is told by `memagent facts why`."""


def brief(text: str) -> str:
    """A fact on one line, as far as one reads."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def pages_told(shown: int, total: int, page: int, size: int) -> str:
    """Which of many are shown, and how to see more; empty when all are."""
    if shown >= total:
        return ""
    first = page * size + 1
    more = f"; more with --page {page + 1}" if page * size + shown < total else ""
    return f"{first:,}-{page * size + shown:,} of {total:,}{more}" if shown else f"page {page} is past all {total:,}"
