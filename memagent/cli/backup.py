"""`memagent backup` and `restore`: the whole home in one archive: the database, the configuration and all that is
yours.

Keys (`.env`) and logs stay out. A restore keeps what was there before beside it. Knows nothing of what the files hold.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memagent.errors import UserError

if TYPE_CHECKING:
    from memagent.config import Settings

FOLDERS = ("personas", "humans", "prompts", "presets", "functions", "files")
DATABASE = "memagent.db"
LARGEST = 64 * 2**30


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(backup)
    app.command()(restore)


def backup(
    file: Annotated[Path | None, typer.Argument(help="Where to; memagent-<time>.zip here without it.")] = None,
) -> None:
    """Copy everything into one archive, while agents may be in use."""
    import os
    import tempfile
    import zipfile
    from datetime import datetime

    from memagent.cli.opened import opened
    from memagent.storage.sqlite import SqliteDatabase

    target = file or Path(f"memagent-{datetime.now():%Y%m%d-%H%M%S}.zip")
    if target.exists():
        raise UserError(f"{target} is there already.", hint="Give another name.")
    part = target.with_name(target.name + ".part")
    with opened() as home, tempfile.TemporaryDirectory(dir=home.settings.home) as work:
        if not isinstance(home.database, SqliteDatabase):
            raise UserError("This database is not a file.", hint="Back it up with the tools of its server.")
        copy = Path(work) / DATABASE
        home.database.backup(copy)
        try:
            with (
                os.fdopen(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as out,
                zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive,
            ):
                archive.write(copy, DATABASE)
                for path in _own_files(home.settings):
                    archive.write(path, path.relative_to(home.settings.home).as_posix())
            part.replace(target)
        except OSError as error:
            raise UserError(f"{target} can't be written: {error.strerror}.") from error
        finally:
            part.unlink(missing_ok=True)
    typer.echo(
        f"Backed up to {target} ({target.stat().st_size / 1e6:.1f} MB). Get it back with: memagent restore {target}"
    )


def _own_files(settings: Settings) -> list[Path]:
    config = settings.home / "config.yaml"
    found = [config] if config.is_file() else []
    for folder in FOLDERS:
        found += sorted(p for p in (settings.home / folder).rglob("*") if p.is_file() and not p.is_symlink())
    return [path for path in found if "__pycache__" not in path.parts]


def restore(
    file: Annotated[Path, typer.Argument(help="An archive made by `memagent backup`.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Put everything back to how an archive has it; what is there now is kept beside it."""
    import tempfile
    from datetime import datetime

    from memagent import config
    from memagent.cli.opened import confirmed

    settings = config.load({})
    config.ensure_home(settings)
    with tempfile.TemporaryDirectory(dir=settings.home) as work:
        names = _unpack(file, Path(work))
        _check(Path(work) / DATABASE)
        if not confirmed(f"Replace what is in {settings.home} with {file}?", yes):
            return
        kept = settings.home / f"before-restore-{datetime.now():%Y%m%d-%H%M%S}"
        for name in names:
            here = settings.database_path if name == DATABASE else settings.home / name
            _keep(here, kept / name)
            here.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            (Path(work) / name).replace(here)
    typer.echo(f"Restored {len(names)} files. What was there before is in {kept}")


def _keep(path: Path, kept: Path) -> None:
    """Move a file, and the companions of a database, out of the way."""
    import shutil

    for ending in ("", "-wal", "-shm"):
        old = path.with_name(path.name + ending)
        if old.exists():
            kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.move(old, kept.with_name(kept.name + ending))


def _unpack(file: Path, work: Path) -> list[str]:
    """The files of an archive, unpacked; nothing is taken that does not belong into a home."""
    import zipfile

    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            if DATABASE not in archive.namelist() or sum(entry.file_size for entry in entries) > LARGEST:
                raise UserError(f"{file} is not an archive made by memagent backup.")
            for entry in entries:
                path = Path(entry.filename)
                allowed = path.parts[0] in FOLDERS or entry.filename in (DATABASE, "config.yaml")
                if path.is_absolute() or ".." in path.parts or not allowed:
                    raise UserError(f"{file} holds {entry.filename!r}, which no backup does.")
                archive.extract(entry, work)
                (work / path).chmod(0o600)
            return [entry.filename for entry in entries]
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{file} can't be read: {error}.") from error


def _check(database: Path) -> None:
    from memagent.storage.sqlite import SqliteDatabase

    opened = SqliteDatabase(database)
    try:
        problems = opened.check()
    finally:
        opened.close()
    if problems:
        raise UserError(f"The database in the archive is damaged: {problems[0]}", hint="Use another archive.")
