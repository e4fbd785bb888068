"""Texts without marks of structure. Knows nothing of files."""

from __future__ import annotations

from memagent.sources import Document, Part
from memagent.sources.decode import text_of


def document(data: bytes, name: str) -> Document:
    """The text as it is."""
    return Document(name, (Part(text_of(data)),))
