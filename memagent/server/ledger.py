"""The runs as they are stored: what was asked for, by which key, and what became of it.

A run is marked as begun and ended by the turn itself, in its own transactions (see persistence.py). Knows nothing of
threads.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from memagent.lease import LEASE_SECONDS, Holder, held_by_another
from memagent.marking import OfRun
from memagent.messages import storable
from memagent.roster import Entry
from memagent.storage import Database, Row, reading

LONGEST_OTID = 200
UNENDED = ("queued", "running")


@dataclass(frozen=True)
class Stored:
    """A run as it is stored. `why` says what was wrong, if it failed."""

    id: str
    owner: str
    agent: str
    work: str
    told: Mapping[str, Any]
    state: str
    why: str
    turn: int | None
    created: datetime
    ended: datetime | None
    steps: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


_COLUMNS = (
    "r.id, a.owner, r.agent, r.work, r.told, r.state, r.why, r.turn, r.created, r.ended, coalesce(t.steps, 0), "
    "coalesce(t.prompt_tokens, 0), coalesce(t.completion_tokens, 0)"
)
_RUNS = (
    f"SELECT {_COLUMNS} FROM runs r JOIN agents a ON a.id = r.agent "
    "LEFT JOIN turns t ON t.agent = r.agent AND t.turn = r.turn"
)


class RunLedger:
    """All runs in a database. Times are in UTC, so that they can be compared."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._holder = Holder.new()
        self._last = datetime.min.replace(tzinfo=UTC)

    def add(
        self, entry: Entry, key: str, work: str, told: Mapping[str, Any], otid: str | None = None, *,
        hasty: bool = False,
    ) -> tuple[Stored, bool]:  # fmt: skip
        """Store a run of an agent; returns it, and whether it is new: the same `otid` again is the same run."""
        agent, otid = entry.id, _kept(otid)
        with self._database.write(agent, hasty=hasty) as tx:
            if otid and (rows := tx.rows(f"{_RUNS} WHERE r.agent = ? AND r.otid = ?", agent, otid)):
                return _stored(rows[0]), False
            # Later than the one before, whatever the clock says: they are taken up in this order.
            now = self._last = max(self._clock().astimezone(UTC), self._last + timedelta(microseconds=1))
            run = f"run-{uuid.uuid4()}"
            tx.run(
                "INSERT INTO runs (id, agent, key, otid, work, told, state, holder, created) "
                "VALUES (?, ?, ?, ?, ?, ?, 'queued', ?, ?)",
                run, agent, key, otid, work, json.dumps(told), str(self._holder), now.isoformat(),
            )  # fmt: skip
        return Stored(run, entry.owner, agent, work, told, "queued", "", None, now, None), True

    def end(self, run: str, state: str, why: str, *, of: Collection[str] = UNENDED) -> bool:
        """A run of ours that is in one of these states ends, and why; whether it was. What another server has taken
        over from us is its own business.
        """
        now = self._clock().astimezone(UTC).isoformat()
        with self._database.write() as tx:
            query = "UPDATE runs SET state = ?, why = ?, ended = coalesce(ended, ?) WHERE id = ?"
            query += f" AND holder = ? AND state IN ({', '.join('?' * len(of))})"
            return bool(tx.run(query, state, storable(why)[:2000], now, run, str(self._holder), *of))

    def take_over(self) -> list[Stored]:
        """What servers that are gone have left queued, or cut; it is ours now. The oldest first."""
        with self._database.write() as tx:
            rows = tx.rows(
                f"SELECT r.id, r.holder, r.created, a.holder, a.lease_until, {self._database.dialect.now} FROM runs r "
                "JOIN agents a ON a.id = r.agent WHERE r.state IN ('queued', 'running') ORDER BY r.created, r.id"
            )
            left = [row[0] for row in rows if self._left(row[1], row[2], row[3:])]
            for run in left:
                tx.run("UPDATE runs SET holder = ? WHERE id = ?", str(self._holder), run)
        return [stored for run in left if (stored := self.find(run))]

    def of(self, run: str) -> OfRun:
        """A run of ours, for the turn that it asks for."""
        return OfRun(run, str(self._holder))

    def let_go(self) -> None:
        """See to no run any more: who comes next may take them over."""
        self._holder.let_go()

    def _left(self, holder: str, created: str, agent: Row) -> bool:
        """Whether nobody sees to a run. Of a server on another host nothing is known but that it works: the agent of a
        run that is old is held then.
        """
        if holder == str(self._holder):
            return False
        if not (known := Holder.parse(holder)).elsewhere():
            return not known.alive()
        old = self._clock().astimezone(UTC) - datetime.fromisoformat(created) > timedelta(seconds=LEASE_SECONDS)
        return old and not held_by_another(agent, self._holder)

    def asked(self, agent: str, otid: str) -> Stored | None:
        """The run of an agent that was asked for with that `otid`."""
        rows = self._database.rows(f"{_RUNS} WHERE r.agent = ? AND r.otid = ?", agent, _kept(otid))
        return _stored(rows[0]) if rows else None

    def lately(self, since: datetime) -> list[tuple[str, str]]:
        """Owner and id of each agent for which something was asked since then."""
        query = "SELECT DISTINCT a.owner, a.id FROM runs r JOIN agents a ON a.id = r.agent WHERE r.created >= ?"
        return [(str(row[0]), str(row[1])) for row in self._database.rows(query, since.astimezone(UTC).isoformat())]

    def find(self, run: str) -> Stored | None:
        """The run of that id."""
        rows = self._database.rows(f"{_RUNS} WHERE r.id = ?", storable(run))
        return _stored(rows[0]) if rows else None

    def page(
        self, owner: str, *, agents: Collection[str] = (), states: Collection[str] = (), after: str | None = None,
        before: str | None = None, rising: bool = False, limit: int = 50,
    ) -> list[Stored]:  # fmt: skip
        """Runs of an owner's agents in the order in which they were asked for, or back: those after one, or before."""
        forward = rising == bool(after or not before)
        where, values = ["a.owner = ?"], [owner]
        for column, among in (("r.agent", agents), ("r.state", states)):
            if among:
                where.append(f"{column} IN ({', '.join('?' for _ in among)})")
                values += among
        if anchor := after or before:
            found = self.find(anchor)
            if found is None or found.owner != owner:
                return []
            where.append(f"(r.created, r.id) {'>' if forward else '<'} (?, ?)")
            values += [found.created.isoformat(), found.id]
        order = "r.created, r.id" if forward else "r.created DESC, r.id DESC"
        rows = self._database.rows(f"{_RUNS} WHERE {' AND '.join(where)} ORDER BY {order} LIMIT ?", *values, limit)
        runs = [_stored(row) for row in rows]
        return runs if after or not before else runs[::-1]

    def newest(self, agent: str, most: int = 50) -> list[Stored]:
        """The newest runs of an agent, newest first."""
        rows = self._database.rows(f"{_RUNS} WHERE r.agent = ? ORDER BY r.created DESC, r.id LIMIT ?", agent, most)
        return [_stored(row) for row in rows]


def _kept(otid: str | None) -> str | None:
    """An `otid` as it is stored; of a long one, its digest: two that begin alike are not the same."""
    text = storable(otid or "")
    return (text if len(text) <= LONGEST_OTID else sha256(text.encode()).hexdigest()) or None


def _stored(row: Row) -> Stored:
    with reading(f"The run {row[0]}"):
        run, owner, agent, work, told, state, why, turn, created, ended, steps, read, written = row
        return Stored(
            run, owner, agent, work, json.loads(told), state, why, turn, datetime.fromisoformat(created),
            datetime.fromisoformat(ended) if ended else None, steps, read, written,
        )  # fmt: skip
