"""Who loads into a source: one at a time, known by host and process, so that a dead one keeps nobody waiting.

Knows nothing of what is loaded.
"""

from __future__ import annotations

from memagent.errors import NotFound, SourceBusy
from memagent.lease import LEASE_SECONDS, NOW, Holder, held_by_another
from memagent.storage import Database, Transaction

AGAIN = "Give the same command again when that is done."


class Hold:
    """A source that is ours to change, as long as we renew it."""

    def __init__(self, source: str, name: str) -> None:
        self.source = source
        self._name = name
        self._holder = Holder.new()

    def take(self, tx: Transaction) -> None:
        """Take the source, if nobody else has it."""
        if holder := _holder_of(tx, self.source, self._holder):
            raise busy(self._name, holder)
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

    def _set(self, tx: Transaction) -> None:
        tx.run(
            f"UPDATE sources SET holder = ?, lease_until = {NOW} + ? WHERE id = ?",
            str(self._holder), LEASE_SECONDS, self.source,
        )  # fmt: skip


def held_by(reader: Database | Transaction, source: str) -> str:
    """Who loads into a source now, in words; empty when nobody does."""
    return _holder_of(reader, source, None)


def busy(name: str, holder: str) -> SourceBusy:
    """The error that says who loads into a source."""
    return SourceBusy(f"Something is being loaded into the source {name!r} ({holder}).", hint=AGAIN)


def _holder_of(reader: Database | Transaction, source: str, ours: Holder | None) -> str:
    rows = reader.rows(f"SELECT holder, lease_until, {NOW} FROM sources WHERE id = ?", source)
    return held_by_another(rows[0], ours or Holder.new()) if rows else ""
