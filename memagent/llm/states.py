"""What an embedded model has read, kept as files, and how many threads are quickest on this machine.

All of it is a cache: it can be deleted at any time. Knows nothing of how a model reads.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from memagent.config_file import write_whole

MOST = 4
"""Agents whose state is kept: each takes 30 kB for a token that it has read."""
WORTH = 200
"""Characters that must be the same for a state to be taken up."""


class States:
    """The states of one model in one folder. Those made with another model, window or engine are never taken up."""

    def __init__(self, folder: Path, model: Path, window: int, engine: str) -> None:
        self.folder = folder
        self._made_with = {"model": _identity(model), "window": window, "engine": engine}
        self._threads_file = folder / "threads.json"
        self._threads_of = {"model": _identity(model), "cores": os.cpu_count() or 1, "engine": engine}

    def nearest(self, prompt: str) -> str:
        """The file of the state that begins most like the prompt, if that saves reading; else nothing."""
        found = [(_shared(text, prompt), name) for name, text in self._texts()]
        same, name = max(found, default=(0, ""))
        return name if same >= WORTH else ""

    def new(self) -> str:
        """A name for a state that is about to be stored."""
        return f"{secrets.token_hex(8)}.state"

    def keep(self, name: str, prompt: str, *, lasting: bool = False) -> None:
        """A state was stored under that name; those that it goes on from, and those over the limit, go."""
        with suppress(OSError):
            (self.folder / name).chmod(0o600)
            write_whole(self._about(name), json.dumps({**self._made_with, "prompt": prompt, "lasting": lasting}))
        for other, text in self._texts():
            if other != name and prompt.startswith(text) and not _loaded(self._about(other)).get("lasting"):
                self.drop(other)
        passing = [
            (self._stored_at(other), other)
            for other, about in self._all()
            if not about.get("lasting") or about.get("model") != self._made_with["model"]
        ]
        for _, other in sorted(passing)[:-MOST]:
            self.drop(other)

    def drop(self, name: str) -> None:
        """Forget a state."""
        with suppress(OSError):
            self._about(name).unlink(missing_ok=True)
            (self.folder / name).unlink(missing_ok=True)

    def threads(self) -> tuple[int, int] | None:
        """How many threads were quickest here, for writing and for reading, if that was measured."""
        found = _loaded(self._threads_file)
        if {key: found.get(key) for key in self._threads_of} != self._threads_of:
            return None
        threads = found.get("write"), found.get("read")
        return threads if all(isinstance(count, int) and 0 < count < 1024 for count in threads) else None  # type: ignore[return-value]

    def keep_threads(self, write: int, read: int) -> None:
        """Note how many threads were quickest here."""
        with suppress(OSError):
            write_whole(self._threads_file, json.dumps({**self._threads_of, "write": write, "read": read}))

    def _stored_at(self, name: str) -> int:
        """When a state was stored. One of which nothing is told yet is being stored by another process, or was by one
        that was killed; one that is gone was dropped by another process.
        """
        for path in (self._about(name), self.folder / name):
            with suppress(OSError):
                return path.stat().st_mtime_ns
        return 0

    def _about(self, name: str) -> Path:
        return (self.folder / name).with_suffix(".json")

    def _all(self) -> list[tuple[str, Mapping[str, Any]]]:
        return [(path.name, _loaded(self._about(path.name))) for path in sorted(self.folder.glob("*.state"))]

    def _texts(self) -> list[tuple[str, str]]:
        return [
            (name, str(about.get("prompt", "")))
            for name, about in self._all()
            if {key: about.get(key) for key in self._made_with} == self._made_with
        ]


def _shared(text: str, other: str) -> int:
    """How many characters two texts begin with together."""
    return next((i for i, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), min(len(text), len(other)))


def _identity(model: Path) -> str:
    """What tells one file from another without reading gigabytes."""
    try:
        found = model.stat()
    except OSError:
        return str(model)
    return f"{model.name} {found.st_size} {found.st_mtime_ns}"


def _loaded(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
