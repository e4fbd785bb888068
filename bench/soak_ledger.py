"""What clients of the soak test were promised, held against what is stored: each check returns what is wrong, in words.

Knows nothing of how the clients or the servers are run.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.soak_client import TOKEN
from memagent.lease import Holder
from memagent.memory.log import MessageLog
from memagent.storage import Database
from memagent.verdict import open_calls

Line = Mapping[str, Any]
FAIL = ("fail", "broken")
"""Kinds of messages to which the model fails."""
DONE = ("done", "end_turn")


@dataclass(frozen=True)
class Ledger:
    """The journals of all clients, and the database. `frozen` are servers that another one took over from while they
    stood still, and their processes.
    """

    database: Database
    lines: Sequence[Line]
    frozen: Mapping[int, int]

    @classmethod
    def read(cls, database: Database, place: Path, frozen: Mapping[int, int]) -> Ledger:
        """The journals as they are now; the last line of a client that was killed may be cut."""
        lines = []
        for path in sorted((place / "journals").glob("*.jsonl")):
            for line in path.read_text().splitlines():
                lines.append(json.loads(line))
        return cls(database, sorted(lines, key=lambda line: line["at"]), frozen)

    def of(self, what: str) -> Iterator[Line]:
        """The lines of one kind, as they were written."""
        return (line for line in self.lines if line["what"] == what)

    def lost(self) -> list[str]:
        """What was accepted, and is not there; to be asked at any time."""
        runs = {row[0] for row in self.database.rows("SELECT id FROM runs")}
        return [f"{line['word']} as {line['run']}" for line in self.of("accepted") if line["run"] not in runs]

    def all(self) -> Mapping[str, list[str]]:
        """All checks, by what they look for, when nothing is running any more."""
        checks: Mapping[str, Callable[[], list[str]]] = {
            "accepted messages that were lost": self.lost,
            "messages that were said twice": self._twice,
            "messages out of order": self._out_of_order,
            "runs and turns that never ended": self._unended,
            "turns that are not whole": self._not_whole,
            "turns that ended badly, and nobody asked for it": self._ended_badly,
            "endings told otherwise than stored": self._told_otherwise,
            "confirmed edits of memory that are not there": self._edits,
            "notes of agents that are not there once": self._notes,
            "passages that are not as was confirmed": self._passages,
            "deleted agents that are still there": self._deleted,
            "words in another user's agents": self._mixed,
            "answers that must not be": lambda: [f"{line['of']}: {line['text']}" for line in self.of("fault")],
            "faults of the database file": self._file,
        }
        return {what: check() for what, check in checks.items()}

    # The checks -------------------------------------------------------------------------------------------------------

    def _twice(self) -> list[str]:
        said = Counter(f"{word} to {agent}" for agent, _, word in self._said())  # one taken elsewhere knows it too
        asked = Counter(found[0] for (told,) in self.database.rows("SELECT told FROM runs")
                        if (found := TOKEN.search(told)))  # fmt: skip
        return [f"{word}: {count} times" for count_of in (said, asked) for word, count in count_of.items() if count > 1]

    def _said(self) -> Iterator[tuple[str, int, str]]:
        """Agent, number and word of each message that a user said."""
        rows = self.database.rows("SELECT agent, seq, said FROM messages WHERE kind = 'user' ORDER BY agent, seq")
        for agent, seq, said in rows:
            for found in TOKEN.finditer(said):
                yield agent, seq, found[0]

    def _out_of_order(self) -> list[str]:
        """A client says one thing after the other was accepted: so they stand in the log. But what a server that was
        frozen had accepted comes when it goes on, and that may be later than what another one was told meanwhile.
        """
        place = {word: (agent, seq) for agent, seq, word in self._said()}
        accepted: dict[tuple[int, str], list[tuple[int, int, str]]] = defaultdict(list)
        for line in self.of("accepted"):
            if line["word"] in place:
                agent, seq = place[line["word"]]
                accepted[line["client"], agent].append((seq, line["server"], line["word"]))
        return [
            f"{then} stands after {now}"
            for said in accepted.values()
            for (before, server, then), (after, _, now) in pairwise(said)
            if before > after and server not in self.frozen
        ]

    def _unended(self) -> list[str]:
        runs = self.database.rows("SELECT id, state FROM runs WHERE state IN ('queued', 'running') OR ended IS NULL")
        turns = self.database.rows(
            "SELECT agent, turn FROM turns t WHERE state = 'running' "
            "AND EXISTS (SELECT 1 FROM runs r WHERE r.agent = t.agent)"
        )  # one that was taken elsewhere in the middle of a turn stands there until somebody talks with it
        held = self.database.rows("SELECT id, holder FROM agents WHERE holder IS NOT NULL")
        return [*(f"run {row}" for row in runs), *(f"turn {row}" for row in turns), *(f"held {row}" for row in held)]

    def _not_whole(self) -> list[str]:
        wrong = []
        for (agent,) in self.database.rows("SELECT id FROM agents"):
            log = MessageLog(self.database, agent)
            rows = self.database.rows("SELECT turn, state FROM turns WHERE agent = ? ORDER BY turn", agent)
            for turn, state in rows:
                messages = log.of_turn(turn)
                if state != "waiting" and (left := open_calls(messages)):
                    wrong.append(f"{agent}/{turn} is {state}, and has no result of {[call.name for call in left]}")
                if state == "done" and messages and not any(m.said for m in messages if m.role != "user"):
                    wrong.append(f"{agent}/{turn} is done, and nothing was said")
        return wrong

    def _ended_badly(self) -> list[str]:
        cancelled = {line["run"] for line in self.of("cancelled")}
        eve = {row[0] for row in self.database.rows("SELECT id FROM agents WHERE name = 'eve'")}
        frozen = {line["run"] for line in self.of("accepted") if line["server"] in self.frozen}
        wrong = []
        rows = self.database.rows(
            "SELECT id, agent, told, state, why, holder FROM runs "
            "WHERE work = 'say' AND state IN ('failed', 'interrupted')"
        )
        for run, agent, told, state, why, holder in rows:
            asked = run in cancelled or agent in eve or str(json.loads(told)["text"]).startswith(FAIL)
            if not asked and run not in frozen and Holder.parse(holder).process not in self.frozen.values():
                wrong.append(f"{run} of {agent} {state}: {why} ({told}, {holder})")
        return wrong

    def _told_otherwise(self) -> list[str]:
        states = dict(self.database.rows("SELECT id, state FROM runs"))
        return [
            f"{line['run']} was told to be done, and is {states[line['run']]}"
            for line in self.of("told")
            if line["ending"] in DONE and states.get(line["run"], "done") != "done"
        ]

    def _edits(self) -> list[str]:
        stored = {row[0] for row in self.database.rows("SELECT after FROM block_edits")}
        wrong = [line["word"] for line in self.of("edited") if line["word"] not in stored]
        return wrong + [line["word"] for line in self.of("shared") if line["word"] not in stored]

    def _notes(self) -> list[str]:
        """What an agent was asked to note stands in one edit of its, if the function said that it was done."""
        edits: Counter[tuple[str, str]] = Counter()
        query = "SELECT agent, before, after FROM block_edits WHERE cause = 'core_memory_append'"
        for agent, before, after in self.database.rows(query):
            was, now = (Counter((agent, found[0]) for found in TOKEN.finditer(text)) for text in (before, after))
            edits += now - was
        rows = self.database.rows(
            "SELECT m.agent, m.said, r.content FROM messages m "
            "JOIN messages r ON r.agent = m.agent AND r.turn = m.turn "
            "WHERE m.kind = 'user' AND m.said LIKE 'note %' AND r.kind = 'result' AND r.name = 'core_memory_append'"
        )
        wrong = []
        for agent, said, result in rows:
            word, fine = said.split()[1], json.loads(result)["status"] == "OK"
            if edits.pop((agent, word), 0) != fine:
                wrong.append(f"{word}: the function said {result[:100]}")
        return wrong + [f"{word}: edited without a result, {count} times" for (_, word), count in edits.items()]

    def _passages(self) -> list[str]:
        rows = self.database.rows("SELECT text FROM passages WHERE undone IS NULL AND text LIKE '%is in the drawer'")
        there = Counter(row[0].split()[0] for row in rows)
        going, gone = ({line["word"] for line in self.of(what)} for what in ("taking out", "taken out"))
        wrong = [f"{line['word']}: {there[line['word']]} times" for line in self.of("archived")
                 if there[line["word"]] != 1 and line["word"] not in going]  # fmt: skip
        return wrong + [f"{word} was taken out" for word in gone if there[word]]

    def _deleted(self) -> list[str]:
        there = {row[0] for row in self.database.rows("SELECT id FROM agents")}
        made, deleting = ({line["agent"] for line in self.of(what)} for what in ("made", "deleting"))
        wrong = [line["agent"] for line in self.of("deleted") if line["agent"] in there]
        return wrong + [f"{agent} was made, and is not there" for agent in made - deleting - there]

    def _mixed(self) -> list[str]:
        owners = dict(self.database.rows("SELECT id, owner FROM agents"))
        rows = self.database.rows("SELECT agent, content || said FROM messages")
        rows = [*rows, *self.database.rows("SELECT agent, value FROM blocks")]
        return [
            f"{found[0]} at {owners[agent]}" for agent, text in rows for found in TOKEN.finditer(text)
            if f"user{found[1]}" != owners[agent]
        ]  # fmt: skip

    def _file(self) -> list[str]:
        check: Callable[[], list[str]] = getattr(self.database, "check", list)
        return check()
