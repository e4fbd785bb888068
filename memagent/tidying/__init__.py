"""Tidies memory while nobody waits: what says the same is merged, what is full is put more shortly, what is over ends.

A kind of tidying is an object with `name`, `proposals` and `undo` (`Chore`). Each change is one transaction together
with its record, so a kill in between leaves whole steps; each is told, stands in the history of what it changed, and
can be taken back with all of its run. Nothing is ever lost by it. Knows nothing of what is tidied, or when.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from memagent import watching
from memagent.messages import as_json, storable
from memagent.storage import Database, Row, Transaction, reading
from memagent.storage import text as stored_text


class Proposal(Protocol):
    """One change that would tidy something. `told` says what, in a sentence."""

    @property
    def told(self) -> str: ...

    def carry_out(self, tx: Transaction, now: datetime) -> Mapping[str, Any] | None:
        """Do it; returns what taking it back needs, or None when it does not fit any more."""
        ...


class Chore(Protocol):
    """One kind of tidying."""

    name: str

    def proposals(self) -> Generator[Proposal | None]:
        """What could be tidied now; nothing is changed. None in between: it is still looking, and may be stopped."""
        ...

    def undo(self, tx: Transaction, details: Mapping[str, Any], now: datetime) -> bool:
        """Take a change back; False when what it made has been changed since, and is left as it is."""
        ...


@dataclass(frozen=True)
class Step:
    """A change that was made. `run` tells which of them belong together."""

    id: int
    run: int
    kind: str
    told: str
    details: Mapping[str, Any]
    created: datetime
    undone: datetime | None = None


class Tidying:
    """Tidies what one agent remembers, chore by chore."""

    def __init__(self, database: Database, agent: str, chores: Sequence[Chore], clock: Callable[[], datetime]) -> None:
        self._database = database
        self.agent = agent
        self._chores = {chore.name: chore for chore in chores}
        self._clock = clock

    def proposed(self) -> Generator[tuple[str, Proposal] | None]:
        """All that could be tidied, each with its kind; nothing is changed. To stop, close the generator."""
        for chore in self._chores.values():
            for proposal in chore.proposals():
                yield (chore.name, proposal) if proposal else None

    def carry_out(self, kind: str, proposal: Proposal, run: int = 0) -> Step | None:
        """Make one change, as a part of a run, or of a new one; None when it does not fit any more."""
        now = self._clock()
        with self._database.write() as tx:
            details = proposal.carry_out(tx, now)
            if details is None:
                return None
            run = run or 1 + int(
                tx.rows("SELECT coalesce(max(run), 0) FROM tidyings WHERE agent = ?", self.agent)[0][0]
            )
            kept, told = storable(as_json(dict(details))), storable(proposal.told)
            number = tx.add(
                "INSERT INTO tidyings (agent, run, kind, told, details, created) VALUES (?, ?, ?, ?, ?, ?)",
                self.agent, run, kind, told, kept, now.isoformat(),
            )  # fmt: skip
        return Step(number, run, kind, told, details, now)

    @watching.behind("update_memory", "all")
    def tidy(self) -> Generator[Step | None]:
        """Make every change that is proposed, one after the other; all of them are one run."""
        run = 0
        for found in self.proposed():
            step = self.carry_out(*found, run) if found else None
            run = step.run if step else run
            yield step

    def steps(self, limit: int = 50) -> list[Step]:
        """What was changed, the newest first."""
        rows = self._database.rows(f"{_STEPS} WHERE agent = ? ORDER BY id DESC LIMIT ?", self.agent, limit)
        return [_step(row) for row in rows]

    def undo(self) -> tuple[list[Step], list[Step]]:
        """Take the newest run back, whole; returns what was taken back, and what is left since it was changed again."""
        now = self._clock()
        done: list[Step] = []
        left: list[Step] = []
        with self._database.write() as tx:
            newest = "(SELECT max(run) FROM tidyings WHERE agent = ? AND undone IS NULL)"
            rows = tx.rows(
                f"{_STEPS} WHERE agent = ? AND undone IS NULL AND run = {newest} ORDER BY id DESC", *[self.agent] * 2
            )
            for step in map(_step, rows):
                chore = self._chores.get(step.kind)
                (done if chore and chore.undo(tx, step.details, now) else left).append(step)
                tx.run(
                    "UPDATE tidyings SET undone = ? WHERE id = ? AND agent = ?", now.isoformat(), step.id, self.agent
                )
        return done, left


_STEPS = "SELECT id, run, kind, told, details, created, undone FROM tidyings"


def _step(row: Row) -> Step:
    number, run, kind, told, details, created, undone = row
    with reading(f"Tidying {number}"):
        return Step(
            number, run, stored_text(kind), stored_text(told), json.loads(details), datetime.fromisoformat(created),
            datetime.fromisoformat(undone) if undone else None,
        )  # fmt: skip
