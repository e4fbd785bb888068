"""Who loads into a source: one at a time, known by host and process, so that a dead one keeps nobody waiting.

Knows nothing of what is loaded.
"""

from __future__ import annotations

from memagent.errors import NotFound, SourceBusy
from memagent.lease import LEASE_SECONDS, Holder, held_by_another
from memagent.memory.sources import SourceEntry, Sources
from memagent.storage import Database, Transaction

AGAIN = "Give the same command again when that is done."


class Hold:
    """A source that is ours to change, as long as we renew it."""

    def __init__(self, database: Database, name: str) -> None:
        self.source = ""
        self._name = name
        self._now = database.dialect.now
        self._holder = Holder.new()

    def take(self, tx: Transaction, source: str) -> None:
        """Take a source, if nobody else has it."""
        if holder := _holder_of(tx, source, self._now, self._holder):
            raise busy(self._name, holder)
        self.source = source
        self._set(tx)

    def renew(self, tx: Transaction) -> None:
        """Make sure that the source is still ours, in the transaction that changes it."""
        rows = tx.rows("SELECT holder FROM sources WHERE id = ?", self.source)
        if not rows:
            raise NotFound(f"The source {self._name!r} has been deleted.")
        if rows[0][0] != str(self._holder):
            raise SourceBusy(f"Another process has taken over the source {self._name!r}.", hint=AGAIN)
        self._set(tx)

    def release(self, tx: Transaction) -> None:
        """Let others have it."""
        tx.run("UPDATE sources SET holder = NULL WHERE id = ? AND holder = ?", self.source, str(self._holder))

    def let_go(self) -> None:
        """Let others have it, also when that can't be stored."""
        self._holder.let_go()

    def _set(self, tx: Transaction) -> None:
        tx.run(
            f"UPDATE sources SET holder = ?, lease_until = {self._now} + ? WHERE id = ?",
            str(self._holder), LEASE_SECONDS, self.source,
        )  # fmt: skip


def free(database: Database, tx: Transaction, source: str, name: str) -> None:
    """Make sure that nobody loads into a source now."""
    if holder := _holder_of(tx, source, database.dialect.now, Holder.new()):
        raise busy(name, holder)


def delete(database: Database, owner: str, source: SourceEntry) -> None:
    """Delete a source with all that was loaded into it, for all agents; while something is loaded into it, not."""
    with database.write() as tx:
        free(database, tx, source.id, source.name)
        Sources(database, owner).delete(tx, source.id)


def busy(name: str, holder: str) -> SourceBusy:
    """The error that says who loads into a source."""
    return SourceBusy(f"Something is being loaded into the source {name!r} ({holder}).", hint=AGAIN)


def _holder_of(tx: Transaction, source: str, now: str, ours: Holder) -> str:
    rows = tx.rows(f"SELECT holder, lease_until, {now} FROM sources WHERE id = ?", source)
    return held_by_another(rows[0], ours) if rows else ""
