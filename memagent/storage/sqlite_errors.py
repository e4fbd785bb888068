"""What a failure of SQLite's file is told as: its name, what happened to it, and what to do.

Knows nothing of what is in the file.
"""

from __future__ import annotations

from pathlib import Path

from memagent.errors import StorageError

RESTORE = "Get a copy back with: memagent restore BACKUP"


def full(path: Path) -> StorageError:
    return StorageError(f"The disk is full: {path} can't grow.", hint="Free some space; nothing stored is lost.")


def _may_not_grow(path: Path) -> StorageError | None:
    """What stands behind a failed write, if this process may only write files up to a size."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return None
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if most == resource.RLIM_INFINITY:
        return None
    return StorageError(
        f"{path} may not grow: this process may write files of {most:,} bytes at most.",
        hint="Raise the limit (ulimit -f); nothing stored is lost.",
    )


def explained(path: Path, error: Exception) -> StorageError:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE")) and (limited := _may_not_grow(path)):
        return limited
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")):
        return full(path)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StorageError(f"{path} is in use by another program for too long.", hint="Close it, and try again.")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) or isinstance(error, UnicodeDecodeError):
        hint = f"See what is wrong with: memagent doctor. {RESTORE}"
        return StorageError(f"{path} is damaged, or not a database ({error}).", hint=hint)
    if name.startswith("SQLITE_READONLY"):
        return StorageError(f"{path} can't be written to.", hint="Make the file and its directory writable.")
    if name.startswith("SQLITE_CANTOPEN"):
        return StorageError(f"{path} can't be opened.", hint="Check that the file and its directory are yours.")
    return StorageError(f"{path}: {error}.", hint="See what is wrong with: memagent doctor")
