"""All that the doors of the server share: settings, database, open agents, runs, keys and limits.

Knows nothing of requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

from memagent.access import Keys
from memagent.assemble import local_time, open_database
from memagent.events import MemoryEdited
from memagent.memory.core import Edit
from memagent.server.ledger import RunLedger
from memagent.server.limits import Guesses, Limits
from memagent.server.loads.carrying import Loads
from memagent.server.residents import Residents
from memagent.server.runs import Runs
from memagent.settings import Settings
from memagent.storage import Database
from memagent.storage.migrate import refuse_part

LATELY = timedelta(days=7)
"""Agents that were talked with so long ago may have something left undone."""


@dataclass(frozen=True)
class House:
    """What every door finds at `app.state.house`."""

    settings: Settings
    database: Database
    residents: Residents
    runs: Runs
    keys: Keys
    limits: Limits
    guesses: Guesses
    loads: Loads

    @classmethod
    def opened(cls, settings: Settings, flags: Mapping[str, Any], loop: asyncio.AbstractEventLoop) -> Self:
        """Open everything."""
        database = open_database(settings)
        try:
            refuse_part(database)
        except BaseException:
            database.close()
            raise
        residents = Residents(settings, database, flags)
        keys = Keys(database, local_time)
        runs = Runs(residents, RunLedger(database, local_time), loop)
        limits = Limits(keys)
        runs.allow = lambda entry: limits.check_agent(entry, residents.settings(entry))
        loads = Loads(settings.home, database, flags)
        return cls(settings, database, residents, runs, keys, limits, Guesses(), loads)

    def start(self) -> None:
        """Go on with what an earlier server has left: turns, files to load, and what is done while nobody talks."""
        self.runs.take_up()
        self.loads.take_up()
        self.runs.idle.start(self.runs.ledger.lately(local_time() - LATELY))

    def edited(self, agent: str, edits: Iterable[Edit]) -> None:
        """Tell those who look on of edits of core memory that no turn has made; also those who look at other agents
        that share the block.
        """
        query = "SELECT b.agent, b.label, b.version FROM blocks b JOIN blocks own ON b.id = own.id"
        for edit in edits:
            for having, label, version in self.database.rows(
                f"{query} WHERE own.agent = ? AND own.label = ?", agent, edit.label
            ):
                self.runs.tell(having, MemoryEdited(label, edit.before, edit.after, version, edit.cause))

    def close(self, patience: float) -> int:
        """Let no more turns begin, give those that run so many seconds, and close; returns how many had to be cut."""
        cut = self.runs.stop(patience)
        self.loads.close()
        self.residents.close()
        self.database.close()
        return cut
