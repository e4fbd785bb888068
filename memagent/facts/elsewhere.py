"""Conversations that were had with other programs and brought in: who reads them for facts, and how one is deleted.

Knows nothing of how they were brought in.
"""

from __future__ import annotations

from datetime import datetime
from itertools import groupby

from memagent.facts.keeping import FactMemory
from memagent.facts.reading import FactReader, take_back
from memagent.memory.log import MessageLog
from memagent.storage import Database, Transaction


def readers(memory: FactMemory, agent: str) -> list[FactReader]:
    """A reader for each conversation that an agent was given, the oldest first."""
    talks = sorted(MessageLog(memory.ledger.database, agent).elsewhere(), key=lambda talk: talk.first)
    return [FactReader(memory, agent, place=talk.place) for talk in talks]


def delete(tx: Transaction, database: Database, agent: str, place: str, now: datetime) -> None:
    """Delete a conversation that was brought in, with what was learned from it."""
    there = MessageLog(database, agent)
    numbers = [message.seq for message in there.brought_in(tx, place)]
    for _, run in groupby(enumerate(numbers), lambda one: one[1] - one[0]):
        together = [number for _, number in run]
        take_back(tx, database, agent, together[0], now, together[-1])
    there.delete_elsewhere(tx, place, now)
    tx.run("DELETE FROM fact_readers WHERE agent = ? AND place = ? AND place <> ''", agent, place)
