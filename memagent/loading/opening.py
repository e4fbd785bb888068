"""Makes the reader of a kind of source, from the options that its recipe keeps.

Knows nothing of what readers do.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from memagent import registry
from memagent.sources import Reader


def reader_of(kind: str, options: Mapping[str, Any]) -> Reader:
    """The reader of that kind; options are as JSON has them, and one called `path` is a path."""
    made: Any = registry.find("kind of source", registry.READERS, kind)
    reader: Reader = made(**{name: Path(value) if name == "path" else value for name, value in options.items()})
    return reader
