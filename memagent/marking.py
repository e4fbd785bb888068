"""What became of a run, where turns are asked for from afar: marked in the turn's own transactions, so that the two
never differ.

Knows nothing of who asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from memagent.errors import TakenOver, UserError
from memagent.storage import Transaction


@dataclass(frozen=True)
class OfRun:
    """The run that a turn belongs to, and who sees to it, as it is stored."""

    id: str
    holder: str


def mark_begun(tx: Transaction, run: OfRun | None, turn: int) -> None:
    """A turn of a run begins or goes on; of one that was cancelled it does not any more, and of one that another server
    has taken over meanwhile it does so there.
    """
    query = "UPDATE runs SET turn = ?, state = 'running', ended = NULL WHERE id = ? AND state IN ('queued', 'running')"
    if run is None or tx.run(f"{query} AND holder = ?", turn, run.id, run.holder):
        return
    if tx.rows("SELECT 1 FROM runs WHERE id = ? AND holder = ?", run.id, run.holder):
        raise UserError("This was cancelled before it began.")
    raise TakenOver("Another server has taken this over.", hint="Ask for the run to see what comes of it.")


def mark_ended(tx: Transaction, run: OfRun | None, ending: str, now: datetime) -> None:
    """The turn of a run came to an end."""
    if run is not None:
        tx.run("UPDATE runs SET state = ?, ended = ? WHERE id = ?", ending, _dated(now), run.id)


def mark_settled(tx: Transaction, agent: str, turn: int, now: datetime) -> None:
    """A turn that was cut is over, and so is its run, whoever asked for that."""
    query = "UPDATE runs SET state = 'interrupted', ended = ? WHERE agent = ? AND turn = ? AND state = 'running'"
    tx.run(query, _dated(now), agent, turn)


def _dated(now: datetime) -> str:
    return now.astimezone(UTC).isoformat()
