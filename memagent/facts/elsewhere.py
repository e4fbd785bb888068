"""Reads conversations that were had with other programs and brought in, for facts, when somebody asks for that.

They can be years of talk, so they are not read unasked, and how far is not kept: who stops it begins again, and what
was learned from a message already is not learned again. Knows nothing of how they were brought in.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby

from memagent.errors import ModelError
from memagent.facts import Cause, Draft, Said
from memagent.facts.keeping import FactMemory, Outcome
from memagent.facts.reading import LONGEST, MOST, MOST_TOKENS, parts, take_back
from memagent.memory.log import MessageLog
from memagent.messages import estimate
from memagent.storage import Database, Transaction, marked, reading

log = logging.getLogger(__name__)

_SPOKEN = "agent = ? AND place = ? AND place <> '' AND said <> '' AND undone IS NULL"


class TalkElsewhere:
    """The conversations that one agent was given, one after the other, the oldest first."""

    def __init__(self, memory: FactMemory, agent: str) -> None:
        self._memory = memory
        self._agent = agent
        self._database = memory.ledger.database

    def messages(self) -> int:
        """How many messages there are to read."""
        return sum(each.messages for each in MessageLog(self._database, self._agent).elsewhere())

    def read(self) -> Iterator[list[Outcome]]:
        """Read all of it; yields what became of each message's facts, once it is kept. Raises an `LLMError` when the
        model can't be had; what it makes nothing of is passed over.
        """
        for talk in sorted(MessageLog(self._database, self._agent).elsewhere(), key=lambda each: each.first):
            for batch in self._batches(talk.place):
                try:
                    drafts = self._memory.extract(batch)
                except ModelError as error:
                    log.warning("messages up to %s of %r were passed over: %s", batch[-1].seq, talk.place, error)
                    continue
                for part, _ in parts(drafts, batch):
                    yield self._kept(part, batch)

    def _batches(self, place: str) -> Iterator[list[Said]]:
        """The messages of a conversation, as many at once as a model reads well."""
        rows = self._database.rows(
            f"SELECT seq, role, said, created FROM messages WHERE {_SPOKEN} ORDER BY seq", self._agent, place
        )
        batch: list[Said] = []
        room = MOST_TOKENS
        with reading("A message of the log"):
            for seq, role, said, created in rows:
                text = str(said)[:LONGEST]
                room -= estimate(text)
                if batch and (room < 0 or len(batch) == MOST):
                    yield batch
                    batch, room = [], MOST_TOKENS - estimate(text)
                batch.append(Said("user" if role == "user" else "agent", text, datetime.fromisoformat(created), seq))
        if batch:
            yield batch

    def _kept(self, drafts: Sequence[Draft], batch: Sequence[Said]) -> list[Outcome]:
        """Keep what some messages tell, unless one of them was deleted meanwhile."""
        weighed = self._memory.weighed(drafts)
        numbers, values = marked([said.seq for said in batch])
        with self._database.write(self._agent) as tx:
            there = f"agent = ? AND undone IS NULL AND seq IN ({numbers})"
            count = tx.rows(f"SELECT count(*) FROM messages WHERE {there}", self._agent, *values)[0][0]
            if not weighed or count < len(batch):
                return []
            return self._memory.take_in(tx, weighed, batch, Cause("talk", agent=self._agent))


def delete(tx: Transaction, database: Database, agent: str, place: str, now: datetime) -> None:
    """Delete a conversation that was brought in, with what was learned from it."""
    there = MessageLog(database, agent)
    numbers = [message.seq for message in there.brought_in(tx, place)]
    for _, run in groupby(enumerate(numbers), lambda one: one[1] - one[0]):
        together = [number for _, number in run]
        take_back(tx, database, agent, together[0], now, together[-1])
    there.delete_elsewhere(tx, place, now)
