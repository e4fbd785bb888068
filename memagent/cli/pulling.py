"""Fetches a model while a bar shows how far it is, and lets it be read ready for its first chat.

Knows nothing of when a model is fetched.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from pathlib import Path

    from memagent.config import Settings
    from memagent.llm.store import Model
    from memagent.llm.store.fetch import Progress

Shown = Callable[[str, int, int], None]
"""Shows what is being done, how much of it is done, and how much it is in all."""


def pulled(settings: Settings, model: Model) -> Path:
    """The file of a model, fetched and ready."""
    from memagent import config
    from memagent.llm.store.fetch import fetch

    config.ensure_home(settings)
    with _bar(in_bytes=True) as (show, tell):

        def listen(progress: Progress) -> None:
            if progress.told:
                tell(progress.told)
            if progress.total:
                show(f"{progress.doing} {model.title}", progress.done, progress.total)

        try:
            path = fetch(model, settings.home, listen)
        except KeyboardInterrupt:
            typer.echo("Stopped. What was fetched is kept; next time it goes on from there.", err=True)
            raise
    _prepare(settings, model.name)
    return path


def _prepare(settings: Settings, name: str) -> None:
    """What the first chat would wait for is done now, while one waits anyway."""
    from dataclasses import replace

    from memagent.assemble import prepare_model
    from memagent.errors import MissingExtra

    with _bar(in_bytes=False) as (show, _), suppress(MissingExtra):  # a model can be fetched where it is not run
        chosen = replace(settings, provider="embedded", model=name)
        prepare_model(chosen, lambda done, total: show("reading its first prompt", done, total))


@contextmanager
def _bar(*, in_bytes: bool) -> Iterator[tuple[Shown, Callable[[str], None]]]:
    """A bar where somebody looks, else nothing; and how to tell something beside it."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield (lambda _what, _done, _total: None), partial(typer.echo, err=True)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    more = (DownloadColumn(), TransferSpeedColumn()) if in_bytes else (TaskProgressColumn(),)
    columns = (TextColumn("{task.description}"), BarColumn(), *more, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        doing = ""

        def show(what: str, done: int, total: int) -> None:
            nonlocal doing
            if what != doing:  # so that speed and time left are those of what is done now
                progress.reset(task, total=total, completed=done, description=what)
                doing = what
            progress.update(task, completed=done)

        yield show, lambda text: progress.console.print(text, markup=False, highlight=False)
