"""Reads what was said to an agent and by it, message by message in their order, and keeps what can be learned from it.

A conversation with another program that was brought in is read in the same way, by a reader of its own, and only when
somebody asks for it: it can be years of talk. How far each has read is stored in the transaction that keeps what was
learned: a process that is killed loses nothing and learns nothing twice. What can't be made use of, however often it is
tried, is passed over with a note, so that nothing stands still. Knows nothing of turns, or of who waits for what.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import takewhile
from typing import TYPE_CHECKING

from memagent import watching
from memagent.errors import LLMConnectionError, LLMError, ModelError
from memagent.facts import Cause, Draft, Said
from memagent.facts.ledger import NEWEST, Keeper, Ledger
from memagent.messages import estimate
from memagent.storage import Database, Transaction, reading

if TYPE_CHECKING:
    from memagent.facts.keeping import FactMemory, Outcome

log = logging.getLogger(__name__)

Rows = Callable[..., Sequence[Sequence[object]]]

MOST = 20
"""So many messages are read together when there is much to catch up with …"""
MOST_TOKENS = 1500
"""… or so many tokens of them, whichever is less."""
LONGEST = 6000
"""Characters of one message that are read."""
TRIES = 3
"""So often messages are tried that the model makes nothing of, and then passed over …"""
MORE_TRIES = 12
"""… and so often while it can't be reached at all."""

_SPOKEN = "agent = ? AND seq > ? AND said <> '' AND undone IS NULL AND kind IN ('user', 'answer', 'result') AND "
_HERE, _ELSEWHERE = "place = ?", "place <> '' AND place = ?"  # so that the index of those that were brought in is found
_ENDED = "turn NOT IN (SELECT turn FROM turns WHERE agent = ? AND state IN ('running', 'waiting'))"


@dataclass(frozen=True)
class Progress:
    """How far an agent's messages are read: up to `seq`; how often the next ones were tried, and what came of that."""

    seq: int = 0
    tries: int = 0
    failed: str = ""


class FactReader:
    """Learns from the messages of one agent, of those that were brought in from one `place`, or of the agent's own.
    `quick` says that no model is asked, so that nobody waits for it.
    """

    def __init__(self, memory: FactMemory, agent: str, *, place: str = "", quick: bool = False) -> None:
        self.memory = memory
        self.agent = agent
        self.place = place
        self.quick = quick
        self._database = memory.ledger.database
        self._spoken = _spoken(place)

    def waiting(self) -> int:
        """How many messages were not read yet."""
        return waiting(self._database, self.agent, self.place)

    def go_back(self) -> None:
        """Let all that was ever said be read again; what is known from it already stays as it is."""
        with self._database.write(self.agent) as tx:
            self._store(tx, Progress())

    @watching.behind("upsert_memory", "facts", count=len)
    def read(self, leave: Callable[[], bool] = lambda: False) -> Generator[list[Outcome]]:
        """Read what waits, some messages after the other; yields what became of each message's facts, once it is kept.

        Ends when nothing waits, when it shall `leave`, and at the first failure: the next time it is tried again.
        """
        while not leave():
            progress = self.progress(self._database.rows)
            batch = self._next(progress)
            if not batch:
                return
            try:
                for part, last in parts(self.memory.extract(batch), batch):
                    if leave():
                        return
                    outcomes = self._keep(part, [said for said in batch if said.seq <= last], progress, last)
                    if outcomes is None:  # another process was quicker, or a message was taken back meanwhile
                        return
                    progress = Progress(last)
                    yield outcomes
            except (LLMError, ModelError) as error:
                if not self._failed(progress, batch[-1].seq, error):
                    return

    def progress(self, rows: Rows) -> Progress:
        """How far it has read, seen from a database or from within a transaction."""
        return progress_of(rows, self.agent, self.place)

    def _next(self, progress: Progress) -> list[Said]:
        """The messages that are read next; those of one turn alone, if they failed before."""
        rows = self._database.rows(
            f"SELECT seq, turn, role, said, created, name FROM messages WHERE {self._spoken} AND {_ENDED} "
            "ORDER BY seq LIMIT ?",
            self.agent, progress.seq, self.place, self.agent, MOST,
        )  # fmt: skip
        if progress.tries and rows:
            rows = list(takewhile(lambda row: row[1] == rows[0][1], rows))
        batch: list[Said] = []
        room = MOST_TOKENS
        with reading("A message of the log"):
            for seq, _, role, said, created, name in rows:
                text = str(said)[:LONGEST]
                who = "agent" if role != "user" else str(name) if name and not self.place else "user"
                room -= estimate(text)
                if batch and room < 0:
                    break
                batch.append(Said(who, text, datetime.fromisoformat(created), seq))
        return batch

    def _keep(self, drafts: Sequence[Draft], talk: Sequence[Said], before: Progress, last: int) -> list[Outcome] | None:
        """Keep what these messages tell, and that they were read, in one transaction. None when somebody else has read
        them, or one of them was taken back, since they were looked at.
        """
        weighed = self.memory.weighed(drafts)
        with self._database.write(self.agent) as tx:
            there = tx.rows(
                f"SELECT count(*) FROM messages WHERE {self._spoken} AND seq <= ?",
                self.agent, before.seq, self.place, last,
            )[0][0]  # fmt: skip
            came = sum(said.seq > before.seq for said in talk)
            if self.progress(tx.rows).seq != before.seq or there != came:
                return None
            outcomes = self.memory.take_in(tx, weighed, talk, Cause("talk", agent=self.agent)) if weighed else []
            self._store(tx, Progress(last))
        return outcomes

    def _failed(self, before: Progress, last: int, error: LLMError | ModelError) -> bool:
        """Note that messages could not be read; whether they are passed over from now on."""
        most = MORE_TRIES if isinstance(error, LLMConnectionError) else TRIES
        with self._database.write(self.agent) as tx:
            now_at = self.progress(tx.rows)
            if now_at.seq != before.seq:
                return True
            over = now_at.tries + 1 >= most
            failed = f"{error.message} Up to message {last}."
            after = Progress(last, 0, failed) if over else Progress(before.seq, now_at.tries + 1, failed)
            self._store(tx, after)
        if over:
            log.warning("messages up to %s were passed over, no facts could be taken from them: %s", last, error)
        else:
            log.info("facts could not be taken from messages now, it is tried again later: %s", error)
        return over

    def _store(self, tx: Transaction, progress: Progress) -> None:
        tx.run(
            "INSERT INTO fact_readers (agent, place, seq, tries, failed, changed) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (agent, place) DO UPDATE SET seq = excluded.seq, tries = excluded.tries, "
            "failed = excluded.failed, changed = excluded.changed",
            self.agent, self.place, progress.seq, progress.tries, progress.failed or None,
            self.memory.clock().isoformat(),
        )  # fmt: skip


def _spoken(place: str) -> str:
    """Which messages are read: an agent's, after a number, of a place."""
    return _SPOKEN + (_ELSEWHERE if place else _HERE)


def parts(drafts: Sequence[Draft], batch: Sequence[Said]) -> Iterator[tuple[list[Draft], int]]:
    """What was found, message by message, and up to which message that is: so one can take back what an earlier one
    has told. What names none is of the last one that the user said; what names one that was read before was learned.
    """
    numbers = {said.seq for said in batch}
    own = [said.seq for said in batch if said.who == "user"] or [batch[-1].seq]
    found: dict[int, list[Draft]] = {}
    for draft in drafts:
        if 0 < draft.message < batch[0].seq:
            continue
        number = draft.message if draft.message in numbers else own[-1]
        found.setdefault(number, []).append(replace(draft, message=number))
    last = batch[-1].seq
    for number in sorted(found):
        yield found[number], number
    if last not in found:
        yield [], last


def progress_of(rows: Rows, agent: str, place: str = "") -> Progress:
    """How far the messages of an agent are read, seen from a database or from within a transaction."""
    found = rows("SELECT seq, tries, failed FROM fact_readers WHERE agent = ? AND place = ?", agent, place)
    if not found:
        return Progress()
    with reading("How far messages are read"):
        seq, tries, failed = found[0]
        return Progress(int(str(seq)), int(str(tries)), str(failed or ""))


def waiting(database: Database, agent: str, place: str = "") -> int:
    """How many messages of an agent were not read yet."""
    seq = progress_of(database.rows, agent, place).seq
    return int(database.rows(f"SELECT count(*) FROM messages WHERE {_spoken(place)}", agent, seq, place)[0][0])


def take_back(
    tx: Transaction, database: Database, agent: str, first: int, now: datetime, last: int = NEWEST
) -> None:  # fmt: skip
    """Take back what was learned from the messages of an agent from `first` on, for whomever it was kept."""
    keepers = tx.rows(
        "SELECT k.shelf, k.owner, k.agent FROM keepers k JOIN agents a ON a.owner = k.owner "
        "WHERE a.id = ? AND k.agent IN ('', a.id)",
        agent,
    )
    for shelf, owner, own in keepers:
        Ledger(database, Keeper(owner, shelf, own or None)).undo_messages(tx, agent, first, now, last)
