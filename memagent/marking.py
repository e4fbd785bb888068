"""What became of a run, where turns are asked for from afar: marked in the turn's own transactions, so that the two
never differ.

Knows nothing of who asks.
"""

from __future__ import annotations

from datetime import UTC, datetime

from memagent.errors import UserError
from memagent.storage import Transaction


def mark_begun(tx: Transaction, run: str | None, turn: int) -> None:
    """A turn of a run begins or goes on; of one that was cancelled it does not any more."""
    query = "UPDATE runs SET turn = ?, state = 'running', ended = NULL WHERE id = ? AND state IN ('queued', 'running')"
    if run is not None and not tx.run(query, turn, run):
        raise UserError("This was cancelled before it began.")


def mark_ended(tx: Transaction, run: str | None, ending: str, now: datetime) -> None:
    """The turn of a run came to an end."""
    if run is not None:
        tx.run("UPDATE runs SET state = ?, ended = ? WHERE id = ?", ending, _dated(now), run)


def mark_settled(tx: Transaction, agent: str, turn: int, now: datetime) -> None:
    """A turn that was cut is over, and so is its run, whoever asked for that."""
    query = "UPDATE runs SET state = 'interrupted', ended = ? WHERE agent = ? AND turn = ? AND state = 'running'"
    tx.run(query, _dated(now), agent, turn)


def _dated(now: datetime) -> str:
    return now.astimezone(UTC).isoformat()
