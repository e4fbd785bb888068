"""Reads XML that others made: element by element, and nothing that defines its own entities.

A document type is where all attacks by XML begin (a few lines that unfold into gigabytes, files of this machine read
along), and neither office documents nor site maps have one. Knows nothing of what the elements mean.
"""

from __future__ import annotations

from collections.abc import Callable
from xml.parsers import expat

from memagent.sources import Unreadable

DEEPEST = 1000

Start = Callable[[str, dict[str, str]], None]
Text = Callable[[str], None]


def parse(data: bytes, start: Start, end: Text, text: Text) -> None:
    """Go through the elements, telling of each where it starts, where it ends, and of its text. Names are without their
    namespace. Raises `Unreadable` when the XML is broken, has a document type or is nested too deeply.
    """
    depth = 0

    def started(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise Unreadable("is nested too deeply")
        start(_local(name), {_local(key): value for key, value in attributes.items()})

    def ended(name: str) -> None:
        nonlocal depth
        depth -= 1
        end(_local(name))

    def refused(*_: object) -> None:
        raise Unreadable("has a document type, which could unfold into anything")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = started
    parser.EndElementHandler = ended
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = refused
    parser.EntityDeclHandler = refused
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError, ValueError) as error:  # the others: an encoding that is none
        raise Unreadable(f"is broken XML: {error}") from error


def _local(name: str) -> str:
    return name.rpartition(" ")[2]
