"""`memagent backup` and `restore`: the whole home in one archive: the database, the configuration and all that is
yours.

Keys (`.env`) and logs stay out. A restore keeps what was there before beside it. Knows nothing of what the files hold.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

import typer

from memagent.errors import AgentBusy, StorageError, UserError

if TYPE_CHECKING:
    from memagent.config import Settings

FOLDERS = ("personas", "humans", "prompts", "presets", "grammars", "functions", "files")
CONFIG = "config.yaml"
DATABASE = "memagent.db"
FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(backup)
    app.command()(restore)


def backup(
    file: Annotated[Path | None, typer.Argument(help="Where to; memagent-<time>.zip here without it.")] = None,
) -> None:
    """Copy everything into one archive; chats may go on."""
    import os
    import tempfile
    import zipfile
    from datetime import datetime

    from memagent.cli.opened import opened, working
    from memagent.storage.sqlite import SqliteDatabase

    target = file or Path(f"memagent-{datetime.now():%Y%m%d-%H%M%S}.zip")
    if target.exists():
        raise UserError(f"{target} is there already.", hint="Give another name.")
    part = target.with_name(target.name + ".part")
    with opened() as home, working("Backing up…"), _written(target):
        if not isinstance(home.database, SqliteDatabase):
            raise _on_a_server("It can be backed up with", "pg_dump --schema memagent --file BACKUP.sql")
        with tempfile.TemporaryDirectory(dir=home.settings.home) as work:
            copy = Path(work) / DATABASE
            home.database.backup(copy)
            out = os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600)
            try:
                with os.fdopen(out, "wb") as raw, zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
                    archive.write(copy, DATABASE)
                    for path in _own_files(home.settings):
                        archive.write(path, path.relative_to(home.settings.home).as_posix())
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)
    size = target.stat().st_size / 1e6
    typer.echo(f"Backed up to {target} ({size:.1f} MB). Get it back with: memagent restore {target}")


def _on_a_server(what: str, command: str) -> UserError:
    return UserError("The database is no file here, but on a server.", hint=f"{what} its own tools: {command} DATABASE")


def _own_files(settings: Settings) -> list[Path]:
    config = settings.home / CONFIG
    found = [config] if config.is_file() else []
    for folder in FOLDERS:
        found += sorted(p for p in (settings.home / folder).rglob("*") if p.is_file() and not p.is_symlink())
    return [path for path in found if "__pycache__" not in path.parts]


def restore(
    file: Annotated[Path, typer.Argument(help="An archive made by `memagent backup`.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Put everything back to how a backup has it.

    What is there now is kept beside it.
    """
    import tempfile
    from datetime import datetime

    from memagent import config
    from memagent.cli.opened import confirmed, working

    settings = config.load({})
    if settings.database_url:
        raise _on_a_server("What pg_dump has made is put back with", "psql --file BACKUP.sql")
    config.ensure_home(settings)
    with _written(settings.home), tempfile.TemporaryDirectory(dir=settings.home) as folder:
        work = Path(folder)
        with working("Reading the backup…"):
            _unpack(file, work)
            _check(file, work / DATABASE)
        _alone(settings.database_path)
        if not confirmed(f"Replace what is in {settings.home} with {file}?", yes):
            return
        kept = settings.home / f"before-restore-{datetime.now():%Y%m%d-%H%M%S}"
        _swap(settings, work, kept)
    typer.echo(f"Restored from {file}." + (f" What was there before is in {kept}" if kept.exists() else ""))


def _swap(settings: Settings, work: Path, kept: Path) -> None:
    """What is there goes to `kept`; what was unpacked comes in its place."""
    import shutil

    places = {name: settings.home / name for name in (*FOLDERS, CONFIG)}
    for ending in ("", "-wal", "-shm", ".vectors"):  # a database's companions belong to it alone
        places[DATABASE + ending] = settings.database_path.with_name(settings.database_path.name + ending)
    for name, here in places.items():
        if here.exists() or here.is_symlink():
            kept.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.move(here, kept / name)
        if (work / name).exists():
            shutil.move(work / name, here)


def _alone(database: Path) -> None:
    """Make sure that no chat goes on with the database that is about to be replaced: what it says would be lost."""
    import sqlite3
    from contextlib import closing

    if not database.is_file():
        return
    with closing(sqlite3.connect(database, timeout=1.0, isolation_level=None)) as connection:
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
                raise AgentBusy(f"{database} is in use.", hint="Leave all chats, then try again.") from error
            # else it is damaged, which is a reason to restore


def _unpack(file: Path, work: Path) -> None:
    """Unpack an archive; nothing is taken that does not belong into a home."""
    import shutil
    import zipfile
    import zlib

    try:
        with zipfile.ZipFile(file) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if DATABASE not in archive.namelist():
                raise UserError(f"{file} is not an archive made by memagent backup.")
            for entry in entries:
                if not _belongs(entry.filename):
                    raise UserError(f"{file} holds {entry.filename!r}, which no backup does.")
            if sum(entry.file_size for entry in entries) > shutil.disk_usage(work).free:
                raise StorageError(f"There is no room for what {file} holds.", hint="Free some space.")
            for entry in entries:
                Path(archive.extract(entry, work)).chmod(0o600)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise UserError(f"{file} is damaged, or no backup: {error}.") from error
    except OSError as error:
        if error.errno in FULL:
            raise
        raise UserError(f"{file} can't be read: {error.strerror or error}.") from error
    for path in [work, *work.rglob("*")]:
        if path.is_dir():
            path.chmod(0o700)


def _belongs(name: str) -> bool:
    """Whether a backup puts a file of that name into its archive."""
    path = PurePosixPath(name)
    inside = not path.is_absolute() and ".." not in path.parts
    return inside and (name in (DATABASE, CONFIG) or (len(path.parts) > 1 and path.parts[0] in FOLDERS))


def _check(file: Path, database: Path) -> None:
    from memagent.storage.sqlite import SqliteDatabase

    try:
        opened = SqliteDatabase(database)
        try:
            problems = opened.check()
        finally:
            opened.close()
    except StorageError as error:
        problems = [error.message.replace(str(database), DATABASE)]
    if problems:
        raise UserError(f"The database in {file} is damaged: {problems[0]}", hint="Use another backup.")


@contextmanager
def _written(target: Path) -> Iterator[None]:
    """A full disk is a failure of the machine, all else a matter of names and rights."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StorageError(f"The disk is full: {target} can't be written.", hint="Free some space.") from error
        raise UserError(f"{target} can't be written: {error.strerror or error}.") from error
