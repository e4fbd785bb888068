"""Jupyter notebooks: their texts in sections, with the code between them; what the code has printed is left out.

Knows nothing of files.
"""

from __future__ import annotations

import json
from typing import Any

from memagent.sources import Document, Unreadable
from memagent.sources.decode import text_of
from memagent.sources.formats.markdown import sections


def document(data: bytes, name: str) -> Document:
    """The cells of a notebook, as one text."""
    try:
        notebook = json.loads(text_of(data))
        cells = notebook["cells"]
        language = str(notebook.get("metadata", {}).get("kernelspec", {}).get("language", ""))
        texts = [_text(cell, language) for cell in cells]
    except RecursionError as error:
        raise Unreadable("is nested too deeply") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Unreadable("is no notebook of Jupyter") from error
    parts = tuple(sections("\n\n".join(filter(None, texts))))
    title = next((part.heading[0] for part in parts if part.heading), name)
    return Document(title, parts)


def _text(cell: dict[str, Any], language: str) -> str:
    source = cell["source"]
    text = ("".join(source) if isinstance(source, list) else str(source)).strip()
    return f"```{language}\n{text}\n```" if text and cell["cell_type"] == "code" else text
