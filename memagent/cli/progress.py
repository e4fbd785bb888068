"""How far many requests, texts or documents have come: a bar in a terminal, nothing elsewhere.

Knows nothing of what they are.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from memagent.embeddings.asked import Manner
    from memagent.settings import Settings

LONGEST_WAIT = 900.0
"""Seconds that an embedder that is full is waited for, in all, before the same texts."""


def patient(settings: Settings, held: Callable[[float, str], None], *, anew: bool = False) -> Manner:
    """How an embedder is asked for much, by a command that tells what it waits for; `anew` if it is to find out whether
    the model has changed.
    """
    from memagent.embeddings.asked import Manner

    return Manner(settings.retries, LONGEST_WAIT, settings.timeout, patient=True, anew=anew, told=held)


class Progress:
    """Where nobody looks."""

    def of(self, total: int) -> None:
        """So many there are in all."""

    def show(self, before: int, done: int, failed: int, tokens: int, more: str = "") -> None:
        """So many are done now: some before, some now, some of them badly; and what else there is to say."""

    def hold(self, seconds: float, why: str) -> None:
        """Nothing is sent for a while."""


class _Shown(Progress):
    """In a terminal."""

    def __init__(self, bar: Bar, task: TaskID) -> None:
        self._bar = bar
        self._task = task
        self._began = time.monotonic()
        self._held_until = 0.0
        self._why = ""

    def of(self, total: int) -> None:
        self._bar.update(self._task, total=total)

    def show(self, before: int, done: int, failed: int, tokens: int, more: str = "") -> None:
        now = time.monotonic()
        passed = max(0.001, now - self._began)
        said = f"{(done + failed) / passed:.1f}/s"
        if tokens:
            said += f" · {60 * tokens / passed:,.0f} tokens/min"
        if more:
            said += f" · {more}"
        if failed:
            said += f" · {failed:,} failed"
        if now < self._held_until:  # those that were under way still come in
            said = self._waiting(self._held_until - now)
        self._bar.update(self._task, completed=before + done + failed, said=said)

    def hold(self, seconds: float, why: str) -> None:
        from memagent.log import plain_to_see

        self._held_until = time.monotonic() + seconds
        self._why = plain_to_see(why)
        self._bar.update(self._task, said=self._waiting(seconds))

    def _waiting(self, seconds: float) -> str:
        return f"waiting {seconds:.0f} s: {self._why}"


@contextmanager
def progress(
    file: Path | None = None, total: int | None = None, count: Callable[[], int] | None = None
) -> Iterator[Progress]:
    """The progress of so many; or of as many as the file has lines, or as are counted: beside the work, since that may
    take a while.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield Progress()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        BarColumn(bar_width=30), MofNCompleteColumn(), TextColumn("{task.fields[said]}", markup=False),
        TimeRemainingColumn(compact=True),
    )  # fmt: skip
    with Bar(*columns, console=Console(stderr=True), refresh_per_second=4, speed_estimate_period=60) as bar:
        task = bar.add_task("", total=total, said="")
        if file is not None:
            count = partial(_lines_in, file)
        if count is not None:
            threading.Thread(target=_count, args=[count, bar, task], daemon=True).start()
        yield _Shown(bar, task)


def _count(count: Callable[[], int], bar: Bar, task: TaskID) -> None:
    bar.update(task, total=count())


def _lines_in(file: Path) -> int:
    """How many lines a file has."""
    lines, last = 0, b"\n"
    with file.open("rb") as read:
        while piece := read.read(1 << 20):
            lines += piece.count(b"\n")
            last = piece[-1:]
    return lines + (last != b"\n")
