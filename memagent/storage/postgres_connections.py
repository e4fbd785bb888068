"""Connections to PostgreSQL: opened when they are needed, set up as we need them, a few kept for the next.

A connection belongs to whoever took it until it is given back, so that there are as many as are at work at once, and
not one for every thread. A vector is bytes here (32-bit floats, the lowest byte first), as it is in SQLite. Knows
nothing of our tables.
"""

from __future__ import annotations

import re
import threading
from array import array
from contextlib import suppress
from functools import lru_cache
from typing import Any

import psycopg
from psycopg import RawCursor
from psycopg.abc import Buffer
from psycopg.adapt import Dumper, Loader
from psycopg.pq import Format, TransactionStatus

from memagent.storage.postgres_errors import address_of, refused, shown

KEPT = 4
DEFAULTS = {
    "connect_timeout": "10",
    "application_name": "memagent",
    "client_encoding": "utf8",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}
Connection = psycopg.Connection[tuple[Any, ...]]

_MARKS = re.compile(r"""'[^']*'|"[^"]*"|\?""")


@lru_cache(maxsize=2000)
def marked(sql: str) -> bytes:
    """The same SQL with PostgreSQL's marks for values, which are numbered."""
    number = 0

    def mark(found: re.Match[str]) -> str:
        nonlocal number
        if found[0] != "?":
            return found[0]
        number += 1
        return f"${number}"

    return _MARKS.sub(mark, sql).encode()


class Connections:
    """The connections to one database."""

    def __init__(self, url: str) -> None:
        self._parts = {**DEFAULTS, **address_of(url)}
        self.place = shown(self._parts)
        self._session = ""
        self._vectors = 0
        self._idle: list[Connection] = []
        self._guard = threading.Lock()

    def take(self) -> tuple[Connection, bool]:
        """A connection, and whether it is a new one: an old one may have been cut meanwhile."""
        with self._guard:
            while self._idle:
                connection = self._idle.pop()
                if not connection.closed:
                    return connection, False
        return self._new(), True

    def give(self, connection: Connection) -> None:
        """Give a connection back; what is open in it is rolled back."""
        try:
            if connection.info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
                connection.execute("ROLLBACK")
        except psycopg.Error:
            connection.close()
        with self._guard:
            if connection.info.transaction_status == TransactionStatus.IDLE and len(self._idle) < KEPT:
                self._idle.append(connection)
                return
        connection.close()

    def clear(self) -> None:
        """Let go of all that are not at work."""
        with self._guard:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def ready(self, session: str, vectors: int) -> None:
        """From now on, `session` is said in each connection, and vectors are known by the number of their type."""
        self._session, self._vectors = session, vectors
        with self._guard:
            for connection in self._idle:
                self._set_up(connection)

    def _set_up(self, connection: Connection) -> None:
        if self._vectors:
            dumper = type("VectorDumper", (_VectorDumper,), {"oid": self._vectors})
            connection.adapters.register_dumper(bytes, dumper)
            connection.adapters.register_loader(self._vectors, _VectorLoader)
        if self._session:
            connection.execute(self._session.encode())

    def _new(self) -> Connection:
        try:
            connection = psycopg.connect(**self._parts, autocommit=True, cursor_factory=RawCursor)  # type: ignore[arg-type]
        except psycopg.Error as error:
            raise refused(self.place, self._parts, error) from None  # its text can hold what must not be shown
        try:
            self._set_up(connection)
        except BaseException:
            with suppress(psycopg.Error):
                connection.close()
            raise
        return connection


class _VectorDumper(Dumper):
    """Bytes as pgvector takes them: how many numbers, two bytes without a meaning, the numbers, highest byte first."""

    format = Format.BINARY

    def dump(self, obj: bytes) -> Buffer:
        numbers = array("f", obj)
        numbers.byteswap()
        return len(numbers).to_bytes(2, "big") + b"\0\0" + numbers.tobytes()


class _VectorLoader(Loader):
    """And back."""

    format = Format.BINARY

    def load(self, data: Buffer) -> bytes:
        numbers = array("f", bytes(data)[4:])
        numbers.byteswap()
        return numbers.tobytes()
