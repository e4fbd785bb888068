"""`memagent doctor`: looks at everything that a chat needs, and says what is wrong and what to do.

Knows nothing of how to mend it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

import typer

from memagent import __version__
from memagent.errors import LLMError, MemagentError

if TYPE_CHECKING:
    from pathlib import Path

    from memagent.config import Settings
    from memagent.embeddings import Embedder

State = Literal["ok", "note", "wrong"]
LITTLE, TOO_LITTLE = 500_000_000, 20_000_000
"""Bytes that are free on a disk: so few are told of, and with so few a conversation may end any time."""
MARKS = {"ok": ("✓", "green"), "note": ("–", "yellow"), "wrong": ("✗", "red")}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: State
    text: str


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(doctor)


def doctor(
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the model.")] = False,
    json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Check configuration, database, functions and model.

    The exit code is 1 when something is wrong.
    """
    tell(_findings(offline), json)


class Told(Protocol):
    """Whatever was found out, and how it is."""

    @property
    def what(self) -> str: ...
    @property
    def state(self) -> State: ...
    @property
    def text(self) -> str: ...


def tell(findings: Iterator[Told], json: bool) -> None:
    """Tell what was found as it is found; the exit code is 1 when something is wrong."""
    told = []
    for finding in findings:
        told.append(finding)
        if not json:
            mark, colour = MARKS[finding.state]
            typer.echo(f"{typer.style(mark, fg=colour)} {finding.what}: {finding.text}")
    if json:
        from memagent.cli.opened import as_json

        as_json([vars(finding) for finding in told])
    if any(finding.state == "wrong" for finding in told):
        raise typer.Exit(1)


def _findings(offline: bool) -> Iterator[Finding]:
    import sqlite3

    from memagent import config

    yield Finding("memagent", "ok", f"{__version__}, Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}")
    try:
        settings = config.load({})
    except MemagentError as error:
        yield Finding("configuration", "wrong", str(error))
        return
    checks: list[tuple[str, Callable[[Settings], str]]] = [
        ("home", _home),
        ("disk", _disk),
        ("database", _database),
        ("presets", _presets),
        ("functions", _functions),
        ("kinds", _kinds),
        ("sources", _sources),
        ("facts", _facts),
    ]
    if not (offline and _asked_elsewhere(settings)):
        checks += [("embeddings", _embeddings), ("vectors", _vectors)]
    if not offline:
        checks.append(("model", _model))
    for what, check in checks:
        try:
            text = check(settings)
            yield Finding(what, "note" if text.startswith(("none", "waiting", "only")) else "ok", text)
        except MemagentError as error:
            yield Finding(what, "wrong", str(error))


def _home(settings: Settings) -> str:
    import os

    from memagent.errors import ConfigError

    there = _there(settings.home)
    if not os.access(there, os.W_OK):
        hint = "Make it writable, or set MEMAGENT_HOME elsewhere."
        raise ConfigError(f"{settings.home} can't be written to.", hint=hint)
    return str(settings.home)


def _there(path: Path) -> Path:
    """The path, or what of it there is."""
    return next(each for each in (path, *path.parents) if each.exists())


def _disk(settings: Settings) -> str:
    from shutil import disk_usage

    from memagent.errors import StorageError

    places = [settings.home] if settings.database_url else [settings.home, settings.database_path.parent]
    free, place = min((disk_usage(_there(each)).free, each) for each in places)
    if free < TOO_LITTLE:
        hint = "Free some space; nothing stored is lost."
        raise StorageError(f"Only {free / 1e6:,.1f} MB are free for {place}.", hint=hint)
    return f"{'only ' if free < LITTLE else ''}{free / 1e6:,.0f} MB are free for {place}"


def _database(settings: Settings) -> str:
    from memagent import config
    from memagent.errors import StorageError
    from memagent.roster import Roster
    from memagent.storage.migrate import refuse_part
    from memagent.storage.opening import opened

    if not settings.database_there:
        return f"none yet; the first chat makes {settings.database_path}"
    config.ensure_home(settings)
    database = opened(settings)
    try:
        if problems := database.check():
            hint = "" if settings.database_url else "Get a copy back with: memagent restore BACKUP"
            raise StorageError(f"{problems[0]}.", hint=hint)
        refuse_part(database)
        count = len(Roster(database, settings.user).all())
        beside = "".join(f"; {part.engine} in {part.place}" for part in database.parts()[1:])
    finally:
        database.close()
    return f"{database.place} is sound{beside}; {count} agent{'s' if count != 1 else ''}"


def _presets(settings: Settings) -> str:
    from memagent.assemble import link_tools
    from memagent.library import Library

    library = Library(settings.home)
    names = [item.name for item in library.names("presets")]
    for name in names:
        preset = library.preset(name)
        kept = {"preset": name, "functions": preset.functions, "rules": preset.rules, "speech": preset.speech}
        link_tools(settings, kept)
    return ", ".join(names)


def _functions(settings: Settings) -> str:
    from memagent.tools.loader import available_sets, load_file

    sets = available_sets(settings.home / "functions")
    return ", ".join(f"{name} ({len(load_file(path))})" for name, path in sets.items())


def _kinds(settings: Settings) -> str:
    from memagent.facts.kinds import Kinds

    return ", ".join(f"{kind.name} ({len(kind.forms)})" for kind in Kinds(settings.home / "kinds").all())


def _asked_elsewhere(settings: Settings) -> bool:
    """Whether texts are embedded by something that must be asked over the wire."""
    return settings.embedder in ("openai", "azure", "ollama")


def _embedder(settings: Settings) -> Embedder | None:
    from memagent.assemble import open_embedder
    from memagent.embeddings.asked import Manner

    manner = Manner(retries=0, timeout=min(settings.timeout, 20.0), patient=True, anew=True)
    return open_embedder(settings, manner)


def _embeddings(settings: Settings) -> str:
    from datetime import datetime

    from memagent.embeddings import embedded

    embedder = _embedder(settings)
    if embedder is None:
        return "none; notes are searched by words. By meaning too with: pip install 'memagent[embeddings]'"
    embedded(embedder, [f"Is anybody there, at {datetime.now().isoformat()}?"])  # a text that is not known already
    return f"{settings.embedder}: {embedder.model}, {embedder.dimension} dimensions"


def _vectors(settings: Settings) -> str:
    from memagent.cli.opened import opened
    from memagent.cli.reindex import all_parts
    from memagent.memory.waiting import Coverage

    embedder = _embedder(settings) if settings.database_there else None
    if embedder is None:
        return "none"
    with opened() as home:
        parts = list(all_parts(home, embedder))
    found = sum((part.coverage for part in parts), Coverage())
    if not embedder.dimension:
        made = sum(count for (model, _), count in found.others.items() if model == embedder.model)
        return f"waiting for {embedder.model} to answer; {made:,} of {found.texts:,} texts have a vector of it"
    new = sum(part.coverage.waiting for part in parts if part.said)
    facts = sum(part.coverage.waiting for part in parts if part.facts)
    if found.waiting == new + facts and not found.others:
        late = [f"{count:,} {what}" for count, what in ((new, "messages"), (facts, "facts")) if count]
        but = f", but for {' and '.join(late)}, which get theirs when they are searched" if late else ""
        return f"all {found.texts:,} texts have theirs{but}"
    others = "; ".join(f"{count:,} have one of {model} ({size})" for (model, size), count in found.others.items())
    told = f"waiting: {found.waiting:,} of {found.texts:,} texts have none of {embedder.model} ({embedder.dimension})"
    return f"{told}{others and f'; {others}'}. Make them with: memagent reindex"


def _sources(settings: Settings) -> str:
    from memagent.memory.sources import Sources
    from memagent.storage.opening import opened

    if not settings.database_there:
        return "none yet; memagent load --help tells how to load one"
    database = opened(settings)
    try:
        sources = Sources(database, settings.user).all()
    finally:
        database.close()
    told = [f"{source.name} ({source.passages:,} passages, {len(source.agents)} agents)" for source in sources]
    return ", ".join(told) or "none yet; memagent load --help tells how to load one"


def _facts(settings: Settings) -> str:
    from memagent.cli.opened import opened
    from memagent.facts.ledger import Ledger, keepers
    from memagent.facts.reading import progress_of, waiting

    if settings.facts == "off" or not settings.database_there:
        return "none are kept: the setting facts is off" if settings.facts == "off" else "none yet"
    with opened() as home:
        ledgers = [Ledger(home.database, keeper) for keeper in keepers(home.database, settings.user)]
        holding, past = (sum(ledger.count((state,)) for ledger in ledgers) for state in ("holds", "past"))
        agents = home.roster.all()
        left = sum(waiting(home.database, entry.id) for entry in agents)
        failed = [text for entry in agents if (text := progress_of(home.database.rows, entry.id).failed)]
    known = f"{holding:,} hold, {past:,} are past"
    trouble = f"; the last trouble: {failed[0]}" if failed else ""
    if not left:
        return f"{known}{trouble}"
    return f"waiting: {left:,} messages are not read yet{trouble}. Read them now with: memagent facts read; {known}"


def _model(settings: Settings) -> str:
    from memagent.assemble import open_model
    from memagent.llm.trial import calls_a_function

    if settings.provider == "scripted":
        return f"scripted: it plays {settings.script or 'the demo'}"
    if not settings.model and not settings.api_key and not settings.endpoint and settings.provider == "openai":
        return "none is chosen; memagent run looks for one, memagent model list shows what there is"
    patience = min(settings.timeout, 20.0)
    llm = open_model(replace(settings, retries=0, timeout=patience))
    calls, timed = calls_a_function(llm, patience + 5.0)
    if timed.error:
        raise timed.error
    if timed.answer is None:
        hint = "See what it can do with: memagent model test"
        raise LLMError(f"{llm.model} has not answered in {timed.whole:.0f} s.", hint=hint)
    text = "calls functions" if calls else "does not call functions: use the preset chat_plain"
    return f"{llm.model} answers in {timed.whole:.1f} s, {text}, window {llm.window} tokens"
