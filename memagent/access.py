"""Who may ask a server: keys with scopes and limits, each of one user; and the record of what was done with them.

Of a key only the digest is stored: its secret is shown once, when it is made. It is as long as chance needs to be, so a
plain digest is enough. Knows nothing of how a key comes in, or of what it opens.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Literal

from memagent.errors import NameTaken, NotFound, UserError
from memagent.messages import storable
from memagent.storage import Database, Row, reading

Scope = Literal["read", "chat", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "chat", "admin")
"""Each opens what those before it open: look, talk, and change or make agents."""
LIMITS = ("requests", "tokens")
"""What can be limited: requests in a minute, and tokens of models in a day (24 hours)."""
SECRET = re.compile(r"ma-([0-9a-f]{12})-([\w-]{43})", re.ASCII)
LONGEST_NAME = 60
RENEWED = timedelta(minutes=1)
"""When a key was used is kept no more exactly than this, so that a question needs no writing."""


@dataclass(frozen=True)
class Key:
    """What a key opens: as whose, and how much of it. A limit of 0 is none."""

    id: str
    owner: str
    name: str
    scopes: tuple[Scope, ...]
    created: datetime
    limits: Mapping[str, int] = field(default_factory=dict)
    used: datetime | None = None
    revoked: datetime | None = None

    def opens(self, scope: Scope) -> bool:
        """Whether it opens what needs this scope."""
        return any(SCOPES.index(scope) <= SCOPES.index(own) for own in self.scopes)


@dataclass(frozen=True)
class Done:
    """One line of the audit log."""

    when: datetime
    owner: str
    key: str
    address: str
    what: str
    target: str
    outcome: str


class Keys:
    """All keys of a database, whosever they are; `owner` names one user's."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._needed = False

    def add(self, owner: str, name: str, scopes: Collection[Scope], limits: Mapping[str, int]) -> tuple[Key, str]:
        """Make a key; returns it with its secret, which can't be had again."""
        name = " ".join(storable(name).split())
        if not name or len(name) > LONGEST_NAME or not name.isprintable():
            raise UserError("That is no name for a key.", hint=f"Give one of at most {LONGEST_NAME} letters.")
        if not scopes:
            raise UserError("A key without scopes opens nothing.", hint=f"Scopes are: {', '.join(SCOPES)}.")
        if wrong := [of for of, most in limits.items() if of not in LIMITS or most < 0]:
            raise UserError(f"{wrong[0]!r} can't be limited like that.", hint=f"Limits are: {', '.join(LIMITS)}.")
        number, rest, now = secrets.token_hex(6), secrets.token_urlsafe(32), self._clock()
        kept = tuple(scope for scope in SCOPES if scope in scopes)
        with self._database.write() as tx:
            if tx.rows("SELECT 1 FROM keys WHERE owner = ? AND name = ? AND revoked IS NULL", owner, name):
                raise NameTaken(f"There is a key {name!r} already.", hint="Choose another name, or revoke that one.")
            tx.run("DELETE FROM keys WHERE owner = ? AND name = ?", owner, name)  # a revoked one makes room
            tx.run(
                "INSERT INTO keys (id, owner, name, digest, scopes, limits, created) VALUES (?, ?, ?, ?, ?, ?, ?)",
                number, owner, name, _digest(rest), json.dumps(kept), json.dumps(dict(limits)), now.isoformat(),
            )  # fmt: skip
        return Key(number, owner, name, kept, now, dict(limits)), f"ma-{number}-{rest}"

    def all(self, owner: str = "") -> list[Key]:
        """The keys of a user, or of all, the oldest first; those that were revoked among them."""
        where, values = ("WHERE owner = ? ", (owner,)) if owner else ("", ())
        return [_key(row) for row in self._database.rows(f"{_KEYS} {where}ORDER BY created, id", *values)]

    def any(self) -> bool:
        """Whether there is a key that opens anything."""
        return bool(self._database.rows("SELECT 1 FROM keys WHERE revoked IS NULL LIMIT 1"))

    def needed(self) -> bool:
        """Whether nothing opens without a key: there is one, or there was. Without its last key, a server is closed."""
        self._needed = self._needed or bool(self._database.rows("SELECT 1 FROM keys LIMIT 1"))
        return self._needed

    def revoke(self, owner: str, name: str) -> Key:
        """Let a key open nothing any more, from now on; named by its name or its number."""
        with self._database.write() as tx:
            query = "UPDATE keys SET revoked = ? WHERE owner = ? AND (name = ? OR id = ?) AND revoked IS NULL"
            if not tx.run(query, self._clock().isoformat(), owner, name, name):
                there = [key.name for key in self.all(owner) if not key.revoked]
                hint = f"There are: {', '.join(there)}." if there else "There are none."
                raise NotFound(f"There is no key {name[:80]!r}.", hint=hint)
        return next(key for key in reversed(self.all(owner)) if name in (key.name, key.id))

    def find(self, secret: str) -> Key | None:
        """The key with that secret, if it still opens anything. Takes as long whether the number is right or not."""
        found = SECRET.fullmatch(secret)
        if not found:
            return None
        rows = self._database.rows(f"{_KEYS} WHERE id = ? AND revoked IS NULL", found[1])
        digest = rows[0][-1] if rows else ""
        if not hmac.compare_digest(_digest(found[2]), str(digest)) or not rows:
            return None
        key, now = _key(rows[0]), self._clock()
        if key.used is None or now - key.used > RENEWED:
            with self._database.write() as tx:
                tx.run("UPDATE keys SET used = ? WHERE id = ?", now.isoformat(), key.id)
        return key

    def spent(self, key: Key) -> int:
        """Tokens that models have read and written for a key in the last 24 hours."""
        return self._spent("key", key.id)

    def spent_by(self, agent: str) -> int:
        """The same for an agent, whoever asked."""
        return self._spent("agent", agent)

    def _spent(self, by: Literal["key", "agent"], value: str) -> int:
        since = (self._clock() - timedelta(days=1)).astimezone(UTC).isoformat()  # as runs are dated
        rows = self._database.rows(
            "SELECT coalesce(sum(t.prompt_tokens + t.completion_tokens), 0) FROM turns t JOIN "
            f"(SELECT DISTINCT agent, turn FROM runs WHERE {by} = ? AND created >= ?) r "
            "ON t.agent = r.agent AND t.turn = r.turn",
            value, since,
        )  # fmt: skip
        return int(rows[0][0])

    def note(self, done: Done) -> None:
        """Add a line to the audit log; it is only ever added to."""
        with self._database.write() as tx:
            tx.run(
                "INSERT INTO audit (created, owner, key, address, what, target, outcome) VALUES (?, ?, ?, ?, ?, ?, ?)",
                done.when.isoformat(), done.owner, done.key, done.address, done.what, storable(done.target)[:200],
                done.outcome,
            )  # fmt: skip

    def noted(self, owner: str = "", most: int = 100) -> list[Done]:
        """The newest lines of the audit log, newest first."""
        where, values = ("WHERE owner = ? ", (owner,)) if owner else ("", ())
        query = f"SELECT created, owner, key, address, what, target, outcome FROM audit {where}ORDER BY id DESC LIMIT ?"
        with reading("The audit log"):
            return [Done(datetime.fromisoformat(row[0]), *row[1:]) for row in self._database.rows(query, *values, most)]


_KEYS = "SELECT id, owner, name, scopes, created, limits, used, revoked, digest FROM keys"


def _digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


def _key(row: Row) -> Key:
    with reading(f"The key {row[2]!r}"):
        scopes: tuple[Scope, ...] = tuple(json.loads(row[3]))
        moments = [datetime.fromisoformat(each) if each else None for each in (row[4], row[6], row[7])]
        assert moments[0]
        return Key(row[0], row[1], row[2], scopes, moments[0], json.loads(row[5]), moments[1], moments[2])
