"""Rows of a database: of tables, or what a query gives. Each row is a document, with the names of its columns.

Nothing is written: the connection is read-only where the database knows that, and what it has done is rolled back. Rows
come in batches, so that a table may be larger than memory. Passwords are never shown. Knows nothing of what rows mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from memagent.errors import BackendError, MissingExtra, NotFound, UserError
from memagent.sources import Document, Part
from memagent.sources.directory import shown as shown_path
from memagent.sources.dump import is_dump, restored
from memagent.sources.records import flat, record, shown

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, CursorResult, Engine, Table

BATCH = 500
LONGEST_KEY = 200

_READS = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/|\()*(?:select|with|values|table|show)\b", re.I | re.S)
_TITLES = ("title", "name", "subject", "headline")


class Database:
    """Reads a database: by its address, by the parts of one, or a file of SQLite or a dump of it. `key` names the
    column that tells rows apart where a query is given.
    """

    kind = "database"

    def __init__(
        self,
        url: str = "",
        *,
        path: Path | None = None,
        dialect: str = "postgresql",
        host: str = "",
        port: int | None = None,
        user: str = "",
        password: str = "",
        database: str = "",
        query: str = "",
        tables: Sequence[str] = (),
        key: str = "",
    ) -> None:
        if query and tables:
            raise UserError("Give a query or tables, not both.")
        if query and not _READS.match(query):
            raise UserError("The query must read, and do nothing else.", hint="It begins with SELECT or WITH.")
        self._query, self._tables, self._key = query, tuple(tables), key
        self._folder: TemporaryDirectory[str] | None = None
        self._path = path.expanduser().absolute() if path else None
        self._secrets: tuple[str, ...] = ()
        if self._path:
            self._url: URL | None = None
            self._file = self._file_of(self._path)
            self.about = shown_path(str(self._path))
        else:
            self._url = _url(url, dialect, host, port, user, password, database)
            self._secrets = tuple(secret for secret in (str(self._url.password or ""), password) if secret)
            self.about = self._url.set(query={}).render_as_string(hide_password=True)
        self._engine = self._made()

    def items(self) -> Iterator[Row]:
        """All rows, those of a table in the order of its key."""
        with self._told(), self._engine.connect() as connection:
            try:
                self._only_read(connection)
                connection.execution_options(stream_results=True, yield_per=BATCH)
                if self._query:
                    yield from self._rows(connection, "row", self._query, [self._key] if self._key else [])
                else:
                    for name in self._tables or self._all_tables(connection):
                        table = _table(connection, name)
                        keys = [column.name for column in table.primary_key.columns]
                        statement = table.select().order_by(*table.primary_key.columns)
                        yield from self._rows(connection, name, statement, keys)
            finally:
                connection.rollback()

    def close(self) -> None:
        """Close the connections, and delete what a dump was unpacked to."""
        self._engine.dispose()
        if self._folder:
            self._folder.cleanup()

    def _rows(self, connection: Connection, name: str, statement: Any, keys: Sequence[str]) -> Iterator[Row]:
        found: CursorResult[Any]
        if isinstance(statement, str):  # as it was given: neither ":name" nor "%" in it stands for anything else
            found = connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
        else:
            found = connection.execute(statement)
        columns = list(found.keys())
        if missing := [key for key in keys if key not in columns]:
            raise UserError(f"There is no column {missing[0]!r}.", hint=f"There are: {', '.join(columns)}.")
        at = [columns.index(key) for key in keys]
        for number, row in enumerate(found, 1):
            key = ", ".join(shown(row[n])[:LONGEST_KEY] for n in at) or str(number)
            yield Row(f"{name} {key}", tuple(zip(columns, row, strict=True)))

    def _all_tables(self, connection: Connection) -> list[str]:
        from sqlalchemy import inspect

        names = sorted(inspect(connection).get_table_names())
        if not names:
            raise UserError(f"There are no tables in {self.about}.")
        return names

    def _only_read(self, connection: Connection) -> None:
        told = {
            "sqlite": "PRAGMA trusted_schema = OFF",
            "postgresql": "SET TRANSACTION READ ONLY",
            "mysql": "SET SESSION TRANSACTION READ ONLY",
            "mariadb": "SET SESSION TRANSACTION READ ONLY",
        }.get(connection.dialect.name)
        if told:
            connection.exec_driver_sql(told)

    def _made(self) -> Engine:
        try:
            from sqlalchemy import create_engine, exc
        except ImportError as error:
            raise MissingExtra("What reads databases", "database") from error
        try:
            if self._url is None or (self._url.get_backend_name() == "sqlite" and self._url.database):
                file = self._file if self._url is None else self._file_of(Path(str(self._url.database)).absolute())
                # mode=ro: a file that is not there is not made, and one that is there stays as it is
                return create_engine(f"sqlite:///file:{_escaped(file)}?mode=ro&uri=true")
            return create_engine(self._url)
        except (exc.ArgumentError, ImportError) as error:
            hint = "Its driver may have to be installed, such as psycopg for PostgreSQL or pymysql for MySQL."
            raise UserError(
                f"The database {self.about} can't be read: {self._hidden(str(error))}", hint=hint
            ) from error

    def _file_of(self, path: Path) -> Path:
        if not path.is_file():
            raise NotFound(f"There is no file {str(path)!r}.")
        if not is_dump(path):
            return path
        self._folder = TemporaryDirectory(prefix="memagent-", ignore_cleanup_errors=True)
        try:
            return restored(path, Path(self._folder.name) / "restored.db")
        except UserError:
            self._folder.cleanup()
            raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What the database says when something fails, without secrets and without the statement."""
        from sqlalchemy import exc

        try:
            yield
        except exc.NoSuchTableError as error:
            raise NotFound(f"There is no table {str(error)!r} in {self.about}.") from error
        except exc.SQLAlchemyError as error:
            said = self._hidden(str(getattr(error, "orig", None) or error)).strip()
            raise BackendError(f"The database {self.about} says: {said}") from error

    def _hidden(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


@dataclass(frozen=True)
class Row:
    """One row."""

    place: str
    fields: tuple[tuple[str, Any], ...]
    stamp: str = ""
    size: int = 0

    def read(self) -> Document:
        """The row, with the names of its columns."""
        text = record([one for name, value in self.fields for one in flat(value, name)])
        title = next(
            (shown(value) for name, value in self.fields if name.lower() in _TITLES and shown(value)), self.place
        )
        return Document(title[:LONGEST_KEY], (Part(text),) if text else ())


def _url(url: str, dialect: str, host: str, port: int | None, user: str, password: str, database: str) -> URL:
    try:
        from sqlalchemy import URL, exc, make_url
    except ImportError as error:
        raise MissingExtra("What reads databases", "database") from error
    if not url and not database:
        raise UserError(
            "No database is named.", hint="Give its address, such as postgresql://user@host/name, or a file."
        )
    try:
        made = make_url(url) if url else URL.create(dialect, user or None, None, host or None, port, database)
    except (exc.ArgumentError, ValueError) as error:  # its text may hold the password
        raise UserError(
            "That is no address of a database.", hint="Write it as postgresql://user@host:port/name."
        ) from error
    return made.set(password=password) if password else made


def _table(connection: Connection, name: str) -> Table:
    from sqlalchemy import MetaData, Table, exc

    try:
        return Table(name, MetaData(), autoload_with=connection)
    except exc.NoSuchTableError:
        schema, _, last = name.rpartition(".")
        return Table(last, MetaData(), schema=schema or None, autoload_with=connection)


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
