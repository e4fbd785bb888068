"""What most commands begin with: settings from flags, the database, and the agent that is meant.

Knows nothing of what is done with them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from memagent import config
from memagent.errors import UserError
from memagent.roster import Entry, Roster

if TYPE_CHECKING:
    from memagent.config import Settings
    from memagent.storage import Database


T = TypeVar("T")
PATIENCE = 0.8
"""Seconds until a spinner shows that something is going on."""


@dataclass
class Opened:
    """Settings, the database and its agents."""

    settings: Settings
    database: Database
    roster: Roster

    def entry(self, name: str) -> Entry:
        """The agent of that name; without one, the only or last used agent."""
        if name:
            return self.roster.find(name)
        if self.settings.agent and self.roster.exists(self.settings.agent):
            return self.roster.find(self.settings.agent)
        entries = self.roster.all()
        if len(entries) == 1:
            return entries[0]
        names = ", ".join(entry.name for entry in entries)
        hint = f"There are: {names}." if names else "There are none yet; make one with: memagent run"
        raise UserError("Which agent? Name one.", hint=hint)


@contextmanager
def opened(flags: Mapping[str, Any] | None = None, agent: Mapping[str, Any] | None = None) -> Iterator[Opened]:
    """Open the database that flags, environment and configuration name."""
    from memagent.storage.migrate import refuse_part
    from memagent.storage.opening import opened as open_database

    settings = config.load(flags or {}, agent)
    config.ensure_home(settings)
    database = open_database(settings)
    try:
        refuse_part(database)
        yield Opened(settings, database, Roster(database, settings.user))
    finally:
        database.close()


def as_json(data: Any) -> None:
    """Print data for a script to read; times as ISO 8601 has them."""
    whole = (getattr(sys.stdout, "encoding", None) or "").lower() in ("utf-8", "utf8")
    typer.echo(json.dumps(data, ensure_ascii=not whole, indent=2, default=_plain))


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def attended() -> bool:
    """Whether somebody is there to answer questions."""
    return sys.stdin is not None and sys.stdin.isatty()


def piped_in() -> bytes:
    """All of standard input."""
    return sys.stdin.buffer.read() if sys.stdin is not None else b""


def day(text: str) -> date | None:
    """A day that was given; none when nothing was."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise UserError(f"{text!r} is not a day.", hint="Write it like 2026-05-01.") from error


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show that something is going on, when it takes more than a moment and somebody looks."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    from threading import Timer

    shown = ExitStack()

    def show() -> None:
        from rich.console import Console

        shown.enter_context(Console(stderr=True).status(what))

    later = Timer(PATIENCE, show)
    later.start()
    try:
        yield
    finally:
        later.cancel()
        later.join()
        shown.close()


class _End:
    """Stands where no item comes any more."""


_END = _End()


def spun(items: Iterator[T], what: str) -> Iterator[T]:
    """The same items, with a spinner while the next one is waited for."""
    while True:
        with working(what):
            item = next(items, _END)
        if isinstance(item, _End):
            return
        yield item


def confirmed(question: str, yes: bool) -> bool:
    """Ask, unless `--yes` was given; where nobody can answer, say how to."""
    if yes:
        return True
    if not attended():
        raise UserError(f"{question} Nobody is there to answer.", hint="Give --yes to go ahead.")
    import questionary

    return bool(questionary.confirm(question, default=False).ask())
