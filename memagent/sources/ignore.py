"""Which files of a folder are to be read: patterns of what to take and what to leave, and ignore files, read as git
does.

Knows nothing of what is in the files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from memagent.errors import ConfigError
from memagent.sources.decode import text_of

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILES = (".gitignore", ".memagentignore")
LARGEST = 1_000_000


class Patterns:
    """Patterns as in a `.gitignore`: "*.md", "docs/**", "/build/", "!keep.txt"."""

    def __init__(self, lines: Sequence[str]) -> None:
        from pathspec import GitIgnoreSpec

        try:
            self._spec: GitIgnoreSpec = GitIgnoreSpec.from_lines(lines)
        except ValueError as error:
            raise ConfigError(f"A pattern of files can't be read: {error}") from error

    def says(self, path: str) -> bool | None:
        """Whether a path is meant (a folder's ends with "/"); None when no pattern speaks of it."""
        return self._spec.check_file(path).include


class Ignored:
    """What the ignore files of a folder and of those above it, up to the source's own, leave out."""

    def __init__(self, above: Ignored | None = None, prefix: str = "", patterns: Patterns | None = None) -> None:
        self._above = above
        self._prefix = prefix
        self._patterns = patterns

    def below(self, folder: Path, prefix: str, names: Sequence[str]) -> Ignored:
        """The same for a folder in which there are these names. `prefix` is its path in the source, "" or with "/"."""
        lines: list[str] = []
        for name in IGNORE_FILES:
            if name in names:
                lines += _lines(folder / name)
        return Ignored(self, prefix, Patterns(lines)) if lines else self

    def __contains__(self, path: str) -> bool:
        """Whether a file, or a folder with "/" at its end, is left out: the file nearest to it has the say."""
        if self._patterns and (said := self._patterns.says(path.removeprefix(self._prefix))) is not None:
            return said
        return self._above is not None and path in self._above


def _lines(path: Path) -> list[str]:
    """A file that can't be read leaves nothing out: its folder's files will tell of the same trouble."""
    try:
        with path.open("rb") as file:
            return text_of(file.read(LARGEST)).splitlines()
    except (OSError, ConfigError):
        return []
