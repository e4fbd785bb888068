"""`memagent storage`: where everything is kept, and to copy it from one kind of storage to another.

Knows nothing of how rows are copied.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from memagent.cli.light import Commands
from memagent.errors import AgentBusy, NotFound, StorageError, UserError

if TYPE_CHECKING:
    from memagent.config import Settings
    from memagent.storage import Database

PLACES = "sqlite, sqlite:FILE, postgresql://…, lancedb, lancedb:FOLDER, chroma, chroma:FOLDER"
SETTINGS = ("storage", "database", "storage_path")
COUNTED = ("agents", "messages", "passages", "sources")


def register(app: typer.Typer) -> None:
    """Add these commands."""
    group = Commands(help="Show where everything is kept, or copy it elsewhere.")
    group.callback(invoke_without_command=True)(show)
    group.command()(migrate)
    app.add_typer(group, name="storage")


def show(context: typer.Context, json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False) -> None:
    """Show where everything is kept, or copy it to another kind of storage."""
    from memagent import config
    from memagent.cli.opened import as_json, opened

    if context.invoked_subcommand:
        return
    settings = config.load({})
    if not settings.database_there:
        typer.echo(f"Nothing is kept yet; the first chat makes {settings.database_path}")
        return
    with opened() as home:
        parts = home.database.parts()
        counts = {name: home.database.rows(f"SELECT count(*) FROM {name}")[0][0] for name in COUNTED}
    if json:
        as_json({"storage": settings.storage, "parts": [vars(part) for part in parts], **counts})
        return
    width = max(len(part.engine) for part in parts)
    for part in parts:
        typer.echo(f"{part.engine.ljust(width)}  {part.place}  {part.bytes / 1e6:,.1f} MB")
    typer.echo(", ".join(f"{name}: {count:,}" for name, count in counts.items()))


def migrate(
    from_: Annotated[str, typer.Option("--from", help=f"Where it is: {PLACES}.")],
    to: Annotated[str, typer.Option("--to", help="Where it should be, named alike; nothing may be there yet.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Copy everything, of all owners, to another place or kind of storage.

    What was copied is compared with what is there. Given again, the same command goes on where it was stopped. Nothing
    is deleted.
    """
    from memagent import config
    from memagent.cli.opened import confirmed
    from memagent.storage.opening import opened

    now = config.load({})
    config.ensure_home(now)
    begin, end = _named(from_, now), _named(to, now)
    if not begin.database_there:
        raise NotFound(f"There is nothing at {begin.database_path}.", hint="Name where it is with --from.")
    with closing(opened(begin)) as source, closing(_target(end)) as target:
        _check(source, target)
        if not confirmed(f"Copy everything from {_shown(source)} to {_shown(target)}?", yes):
            return
        told = _carry_out(source, target)
    typer.echo(told)
    typer.echo(_what_to_set(now, end))


def _target(end: Settings) -> Database:
    """What is copied to. A file there that can't be read as a database is not to be mended, but left alone."""
    from memagent.storage.opening import opened
    from memagent.storage.sqlite_errors import RESTORE

    try:
        return opened(end)
    except StorageError as error:
        if RESTORE not in error.hint:
            raise
        raise StorageError(error.message, hint="Name another file with --to, where nothing is yet.") from error


def _named(where: str, now: Settings) -> Settings:
    """The settings that name a place."""
    from memagent import registry

    file = "" if now.database_url else now.database
    kind, _, path = where.partition(":")
    if replace(now, database=where).database_url:
        return replace(now, storage="postgres", database=where, storage_path="")
    if kind == "postgres" and not path and now.database_url:
        return replace(now, storage="postgres", storage_path="")
    if kind not in registry.STORAGES or kind == "postgres":
        raise UserError(f"{where!r} is no place to keep anything.", hint=f"Name one of: {PLACES}.")
    whole = str(Path(path).expanduser().absolute()) if path else ""
    if kind == "sqlite":
        return replace(now, storage=kind, database=whole or file, storage_path="")
    kept = now.storage_path if now.storage == kind else ""
    return replace(now, storage=kind, database=file, storage_path=whole or kept)


def _check(source: Database, target: Database) -> None:
    """Refuse what can't come out well."""
    from memagent.lease import holders
    from memagent.storage.mirrored import MirroredDatabase

    if _same(source, target) and not isinstance(target, MirroredDatabase):
        if isinstance(source, MirroredDatabase):
            raise UserError(f"Everything is in {source.place} already.", hint=_set("storage", "sqlite"))
        raise UserError(f"{source.place} is where it should go.", hint="Name another place with --to.")
    for what, holder in holders(source).items():
        raise AgentBusy(f"The {what} is busy ({holder}).", hint="Try again when nothing goes on there.")


def _same(source: Database, target: Database) -> bool:
    one, other = Path(source.place), Path(target.place)
    return source.place == target.place or (one.exists() and other.exists() and one.samefile(other))


def _shown(database: Database) -> str:
    return " with ".join(f"{part.engine} in {part.place}" for part in database.parts())


def _carry_out(source: Database, target: Database) -> str:
    """Copy, compare, and let an engine beside the target have its copy; returns what came of it."""
    from memagent.cli.progress import progress
    from memagent.storage.migrate import copy
    from memagent.storage.mirrored import MirroredDatabase

    said = []
    try:
        if not _same(source, target):
            with progress() as bar:

                def show(what: str, done: int, total: int) -> None:
                    bar.of(total)
                    bar.show(0, done, 0, 0, what)

                said.append(f"{copy(source, target, show):,} rows were copied and compared: they are the same.")
        if isinstance(target, MirroredDatabase):
            with progress() as bar:

                def fill(done: int, total: int) -> None:
                    bar.of(total)
                    bar.show(0, done, 0, 0)

                title = target.parts()[-1].engine
                said.append(f"{target.fill(fill):,} passages with their vectors are in {title}.")
    except KeyboardInterrupt:
        typer.echo("Stopped. What was copied is kept; the same command goes on from there.", err=True)
        raise
    return "\n".join(said)


def _what_to_set(now: Settings, then: Settings) -> str:
    """How the settings are changed to what was copied to."""
    from memagent import config

    kept, changes = "What is there now stays as it is.", []
    names = [name for name in SETTINGS if getattr(then, name) != getattr(now, name)]
    if "database" in names and set(then.secrets) - set(now.secrets):
        names.remove("database")
        kept += f"\nThe address has a password: write it into {now.home / '.env'}, as MEMAGENT_DATABASE=…"
    for name in names:
        value = getattr(then, name)
        default = value == config.SETTINGS[name].default
        changes.append(f"--unset {name}" if default else f"--set {quote(f'{name}={value}')}")
    if not changes:
        return kept
    return f"{kept} Use the copy from now on with:\n  memagent configure {' '.join(changes)}"


def _set(name: str, value: str) -> str:
    return f"Use it alone with: memagent configure --set {name}={value}"
