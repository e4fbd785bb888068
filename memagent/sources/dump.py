"""Dumps of SQLite databases (the text that `.dump` writes), made databases again.

A dump is a program. It may fill tables and nothing else: open no other file, load no code, fill no disk and not run for
ever. Knows nothing of what is in the tables.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from memagent.errors import UserError

CHUNK = 1 << 20
LONGEST_STATEMENT = 200_000_000
SECONDS = 60.0
"""So long a dump may take, and a second more for each megabyte of it."""
PAGE = 4096

_FORBIDDEN = frozenset({sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH, sqlite3.SQLITE_CREATE_VTABLE})
_PRAGMAS = frozenset({"foreign_keys", "encoding", "user_version", "application_id"})


def is_dump(path: Path) -> bool:
    """Whether a file is a dump and not a database."""
    with path.open("rb") as file:
        return not file.read(16).startswith(b"SQLite format 3\0") and path.suffix.lower() in (".sql", ".dump", ".txt")


def restored(dump: Path, to: Path) -> Path:
    """The database that a dump describes, in a new file."""
    size = dump.stat().st_size
    until = time.monotonic() + SECONDS + size / 1e6
    with closing(sqlite3.connect(to, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size = {PAGE}")
        connection.execute(f"PRAGMA max_page_count = {(20 * size + 100_000_000) // PAGE}")
        connection.execute("PRAGMA journal_mode = MEMORY")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.set_authorizer(_allowed)
        connection.set_progress_handler(lambda: time.monotonic() > until, 100_000)
        try:
            _run(connection, dump)
        except (sqlite3.Error, ValueError) as error:  # the latter: it is not UTF-8, or has NUL in it
            hint = "Give what `sqlite3 FILE .dump` writes; other databases are read by their address."
            raise UserError(f"{dump.name} is no dump of SQLite that can be read: {error}", hint=hint) from error
        connection.set_progress_handler(None, 0)
        if connection.in_transaction:
            connection.execute("COMMIT")
    return to


def _run(connection: sqlite3.Connection, dump: Path) -> None:
    """Carry out the statements, some at a time."""
    with dump.open(encoding="utf-8-sig", errors="strict", newline="") as file:
        waiting: list[str] = []
        length, enough = 0, CHUNK
        for line in iter(lambda: file.readline(LONGEST_STATEMENT), ""):
            waiting.append(line)
            length += len(line)
            if length > LONGEST_STATEMENT:
                raise UserError(f"{dump.name} has a statement of more than {LONGEST_STATEMENT // 1_000_000} MB.")
            # Only now and then, since finding out whether a statement is complete takes going through it.
            if length >= enough and line.rstrip().endswith(";"):
                if sqlite3.complete_statement(text := "".join(waiting)):
                    _carry_out(connection, text)
                    waiting, length, enough = [], 0, CHUNK
                else:
                    enough = 2 * length
        if text := "".join(waiting).strip():
            _carry_out(connection, text)


def _carry_out(connection: sqlite3.Connection, text: str) -> None:
    # Python commits what is open before; the dump's own transaction goes on after that.
    connection.executescript(f"BEGIN;\n{text}" if connection.in_transaction else text)


def _allowed(action: int, first: str | None, second: str | None, *_: object) -> int:
    if action in _FORBIDDEN:
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_PRAGMA and (first or "").lower() not in _PRAGMAS:
        return sqlite3.SQLITE_IGNORE
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in (
        "load_extension",
        "writefile",
        "readfile",
        "edit",
    ):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK
