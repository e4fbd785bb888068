"""Files that were sent, to a server for instance: each is a document. They are kept only until they are loaded.

Knows nothing of who sent them.
"""

from __future__ import annotations

from pathlib import Path

from memagent.sources.directory import Directory

KIND = "sent"


class Sent(Directory):
    """Reads the files of a folder in which they wait, whatever they are called."""

    kind = KIND

    def __init__(self, path: Path) -> None:
        super().__init__(path, hidden=True, ignore_files=False)
        self.about = "files that were sent"
