"""The one door to an agent's durable state: every change of an agent is a transaction here, in the order of the
durable turn.

The database is the truth; `window` and `core` are a view of it. Each write checks the fence: a number that grows
whenever somebody takes the agent for a turn. Knows nothing of models, or of why the loop does what it does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from memagent.embeddings import Embedder
from memagent.errors import AgentBusy, BackendError, MissingExtra, Outdated, UserError
from memagent.events import Ending
from memagent.lease import LEASE_SECONDS, held_by_another, lost
from memagent.llm import Usage
from memagent.marking import OfRun, mark_begun, mark_ended, mark_settled
from memagent.memory.archival import ArchivalMemory
from memagent.memory.core import CoreMemory, Draft, Edit, find
from memagent.memory.log import MessageLog
from memagent.memory.recall import AT_ONCE, RecallMemory
from memagent.messages import Message, ToolCall, digest, name_of, result
from memagent.roster import Entry
from memagent.stage import Door, OpenRecords, Stage, StagedArchive, StagedCore, StagedFacts, StagedRecall
from memagent.standing import Standing
from memagent.storage import Database, Transaction, text
from memagent.verdict import open_calls

if TYPE_CHECKING:
    from memagent.facts.keeping import FactMemory

log = logging.getLogger(__name__)

MOST_STEPS = 1024
"""More than a turn can have, by its setting."""
CUT = "Interrupted: it is not known whether this happened. Check, or ask the user, before you do it again."
NOT_DONE = "Interrupted before it was carried out: this did not happen."
NOT_APPROVED = "The user did not approve this call, and wrote something else instead."


class PersistenceManager(Standing):
    """The durable state of one agent. Between `begin` and `end`, the agent is ours alone."""

    def __init__(
        self, database: Database, entry: Entry, *, embedder: Embedder | None, clock: Callable[[], datetime],
        files: Path, allowed_hosts: Sequence[str] = (), facts: FactMemory | None = None,
        records: OpenRecords | None = None,
    ) -> None:  # fmt: skip
        super().__init__(database, entry, clock)
        self.core = CoreMemory(database, entry.id)
        self.log = MessageLog(database, entry.id)
        self.recall = RecallMemory(database, entry.id, embedder)
        self.archival = ArchivalMemory(database, entry.id, embedder)
        self.facts = facts
        self._records = records
        self.window: list[Message] = []
        self.turn_log: list[Message] = []
        self.run: OfRun | None = None
        """The run that a turn belongs to, where turns are asked for from afar."""
        self._files = files
        self._hosts = allowed_hosts
        self._fence = -1
        self._seen_whole = False
        self.reload()

    # What there is ---------------------------------------------------------------------------------------------------

    def reload(self) -> None:
        """See everything as it is stored now."""
        self.core.reload()
        self.window = self.log.window()

    def next_call_id(self, index: int) -> str:
        """An id for the call at `index` of the next answer: nine characters (some models want just that), never used
        twice.
        """
        steps = sum(m.kind == "answer" for m in self.turn_log)
        return name_of((self.turn * MOST_STEPS + steps) * 36 + index)

    def busy(self, holder: str) -> AgentBusy:
        """The error that says who has the agent."""
        return AgentBusy(f"The agent {self.entry.name!r} is busy ({holder}).", hint="Try again when it rests.")

    # The durable turn ------------------------------------------------------------------------------------------------

    def begin(self, messages: Sequence[Message]) -> str:
        """Take the agent and store what came in. Calls that were cut get their results first.

        Returns who has the agent instead, in words, or nothing when it is ours now.
        """
        with self.database.write(self.entry.id) as tx:
            if holder := self._take(tx):
                return holder
            turn, state = self.newest_turn(tx)
            settled = self._settle(tx, turn) if state in ("running", "waiting") else []
            started = self.clock().isoformat()
            tx.run(
                "INSERT INTO turns (agent, turn, state, started) VALUES (?, ?, 'running', ?)",
                self.entry.id, turn + 1, started,
            )  # fmt: skip
            mark_begun(tx, self.run, turn + 1)
            stored = self.log.append(tx, messages, turn + 1)
            if any(m.kind == "login" for m in messages):
                tx.run("UPDATE agents SET last_login = ? WHERE id = ?", started, self.entry.id)
        self.turn, self.turn_log = turn + 1, list(stored)
        self.window += [*settled, *stored]
        return ""

    def take_up(self, decisions: Sequence[tuple[str, str, bool]] = ()) -> str:
        """Take the agent to go on with the turn that did not end, with decisions on calls: (id, digest, yes or no)."""
        with self.database.write(self.entry.id) as tx:
            if holder := self._take(tx):
                return holder
            turn, state = self.newest_turn(tx)
            if state not in ("running", "waiting"):
                raise UserError("There is no unfinished turn to go on with.")
            for call_id, digest, yes in decisions:
                done = tx.run(
                    "UPDATE calls SET state = ? WHERE agent = ? AND call_id = ? AND digest = ? AND state = 'waiting'",
                    "approved" if yes else "denied", self.entry.id, call_id, digest,
                )  # fmt: skip
                if not done:
                    raise UserError("This call does not wait for approval (any more).")
            tx.run("UPDATE turns SET state = 'running' WHERE agent = ? AND turn = ?", self.entry.id, turn)
            mark_begun(tx, self.run, turn)
        self.turn, self.turn_log = turn, self.log.of_turn(turn)
        return ""

    def note(self, message: Message) -> Message:
        """Store a heartbeat, an alert or a summary."""
        with self._fenced() as tx:
            stored = self.log.append(tx, [message], self.turn)[0]
        self._see(stored)
        return stored

    def answer(self, message: Message, usage: Usage | None) -> Message:
        """Store what the model answered, before any of its calls runs."""
        with self._fenced() as tx:
            stored = self.log.append(tx, [message], self.turn)[0]
            tx.run(
                "UPDATE turns SET steps = steps + 1, prompt_tokens = prompt_tokens + ?, "
                "completion_tokens = completion_tokens + ? WHERE agent = ? AND turn = ?",
                usage.prompt if usage else 0, usage.completion if usage else 0, self.entry.id, self.turn,
            )  # fmt: skip
        self._see(stored)
        return stored

    def mark(self, call: ToolCall, state: str) -> None:
        """Store that a call waits for a person, or is about to run outside."""
        with self._fenced() as tx:
            tx.run(
                "INSERT INTO calls (agent, call_id, state, idempotency_key, digest, created) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (agent, call_id) DO UPDATE SET state = excluded.state",
                self.entry.id, call.id, state, self.key(call), digest(call), self.clock().isoformat(),
            )  # fmt: skip

    def stage(self, call: ToolCall, ask: Callable[[str], str]) -> Stage:
        """A fresh facade for one call."""
        first = self.turn_log[0].seq if self.turn_log else 1
        door = Door()
        core = StagedCore(self.core.draft(), door)
        return Stage(
            self.entry.name, self.clock(), self._files, self.key(call), self._hosts, core,
            StagedRecall(self.recall, first), StagedArchive(self.archival, door),
            StagedFacts(self.facts, self.entry.id, self.turn_log, door, self._records), ask, door,
        )  # fmt: skip

    def finish(self, call: ToolCall, ok: bool, text: str, stage: Stage | None) -> tuple[Message, list[Edit]]:
        """Store a result together with all that the call did to memory."""
        now = self.clock()
        if stage:
            stage.close()  # a thread that the function left behind must not change what is being stored
        said = "\n\n".join(stage.said) if stage else ""
        message = result(call, ok, text, now, said, stage.quiet_until if stage else None)
        edits: list[Edit] = []
        with self._fenced() as tx:
            if stage:
                edits = self.core.store(tx, stage.core.changes(), call.name, now, self.turn, call.id)
                for prepared in stage.archival.prepared:
                    self.archival.store(tx, prepared, turn=self.turn, now=now)
                stage.facts.store(tx, now)
                if stage.quiet_until:
                    tx.run(
                        "UPDATE agents SET quiet_until = ? WHERE id = ?", stage.quiet_until.isoformat(), self.entry.id
                    )
            tx.run("DELETE FROM calls WHERE agent = ? AND call_id = ?", self.entry.id, call.id)
            stored = self.log.append(tx, [message], self.turn)[0]
        self.core.seen(edits)
        self._see(stored)
        return stored, edits

    def end(self, ending: Ending, *, refused: bool = False) -> None:
        """The turn is over, or waits; the agent is free for others. What came in `refused` is taken back."""
        whole = ending in ("done", "waiting")
        with self._fenced() as tx:
            if not whole:
                self._settle(tx, self.turn)
            if refused:
                self._take_back(tx, self.turn_log[0].seq)
            tx.run(
                "UPDATE turns SET state = ?, ended = ? WHERE agent = ? AND turn = ?",
                ending, self.clock().isoformat(), self.entry.id, self.turn,
            )  # fmt: skip
            mark_ended(tx, self.run, ending, self.clock())
            tx.run("UPDATE agents SET holder = NULL WHERE id = ?", self.entry.id)
        if not whole:
            self.reload()
        self._seen_whole = True
        self._embed_what_is_left()

    def _embed_what_is_left(self) -> None:
        """What was said gets its vectors, some messages at a time; so do notes that were stored while the embedder
        failed, once it works again.
        """
        try:
            self.archival.catch_up()
            self.recall.catch_up(least=AT_ONCE)
        except (BackendError, MissingExtra) as error:
            log.warning("messages and notes wait to be embedded: %s", error)

    def key(self, call: ToolCall) -> str:
        """The idempotency key of a call: the same whenever it is run again."""
        return sha256(f"{self.entry.id}/{call.id}".encode()).hexdigest()[:32]

    # What a person changes --------------------------------------------------------------------------------------------

    def undo_turn(self) -> tuple[str, list[str]]:
        """Take the newest turn back everywhere: messages, edits of core memory, notes in archival memory.

        Returns the user's words that began it, and the blocks that were left since they were edited again after it.
        """
        now = self.clock()
        with self.alone() as tx:
            newest = tx.rows(
                "SELECT max(turn) FROM messages WHERE agent = ? AND undone IS NULL AND turn > 0", self.entry.id
            )[0][0]
            if newest is None:
                raise UserError("There is nothing to take back.")
            rows = tx.rows(
                "SELECT min(seq) FROM messages WHERE agent = ? AND turn = ? AND undone IS NULL", self.entry.id, newest
            )  # an earlier turn that was amended stands after what was undone of this one
            words = tx.rows(
                "SELECT said FROM messages WHERE agent = ? AND turn = ? AND kind = 'user' AND undone IS NULL",
                self.entry.id, newest,
            )  # fmt: skip
            paused = self.log.pause(tx, rows[0][0])
            self._take_back(tx, rows[0][0])
            if paused:
                tx.run("UPDATE agents SET quiet_until = ? WHERE id = ?", self.log.pause(tx), self.entry.id)
            _, left = self.core.undo_turn(tx, newest, now)
            self.archival.undo_turn(tx, newest, now)
            tx.run("DELETE FROM calls WHERE agent = ?", self.entry.id)
            tx.run("UPDATE turns SET state = 'undone' WHERE agent = ? AND turn = ?", self.entry.id, newest)
        return (str(words[0][0]) if words else ""), left

    def amend(self, first: int, change: Callable[[Message], Message]) -> None:
        """Put changed messages in the place of those from `first` on; the old ones stay in the log, as undone."""
        with self.alone() as tx:
            tail = [m for m in self.window if m.seq >= first]
            if not tail:
                raise UserError("That is not in view any more.")
            self._take_back(tx, first)
            for message in tail:
                self.log.append(tx, [change(message)], message.turn)

    def edit_block(self, label: str, value: str, cause: str = "user", *, of: int | None = None) -> list[Edit]:
        """Replace a block of core memory, for a person: that version `of` it which was edited, if one is named."""
        self.core.reload()
        if of is not None and find(self.core.blocks, label).version != of:
            raise Outdated(f"The block {label!r} was changed meanwhile.", hint="Look at it, and edit it again.")
        with self.database.write(self.entry.id) as tx:
            edits = self.core.rewrite(tx, label, value, cause, self.clock())
        self.core.seen(edits)
        return edits

    def edit_blocks(self, edit: Callable[[Draft], object], cause: str) -> list[Edit]:
        """Edit core memory from outside, while no turn is running, within all that holds for the agent itself."""
        with self.alone() as tx:
            draft = self.core.draft()
            edit(draft)
            return self.core.store(tx, draft.changes(), cause, self.clock())

    def undo_edit(self) -> list[Edit]:
        """Take back the newest edit of core memory that was not taken back yet."""
        self.core.reload()
        with self.database.write(self.entry.id) as tx:
            edits = self.core.undo(tx, self.clock())
        self.core.seen(edits)
        return edits

    def _take_back(self, tx: Transaction, first: int) -> None:
        """Messages from `first` on are undone, and with them what was learned from them."""
        from memagent.facts.reading import take_back

        now = self.clock()
        self.log.undo(tx, first, now)
        take_back(tx, self.database, self.entry.id, first, now)

    @contextmanager
    def alone(self) -> Iterator[Transaction]:
        """One transaction on an agent that no turn is running on; what others see changes with it."""
        with self.database.write(self.entry.id) as tx:
            if holder := self._take(tx):
                raise self.busy(holder)
            tx.run("UPDATE agents SET holder = NULL WHERE id = ?", self.entry.id)
            yield tx
        self.reload()

    # Inside -----------------------------------------------------------------------------------------------------------

    def let_go(self) -> None:
        """Hold the agent no more, whatever this object still does: it can store nothing from the next turn on."""
        self._holder.let_go()

    def _take(self, tx: Transaction) -> str:
        rows = tx.rows(f"SELECT holder, lease_until, {self._now}, fence, name FROM agents WHERE id = ?", self.entry.id)
        if not rows:
            raise lost(tx, self.entry.id, self.entry.name)
        if holder := held_by_another(rows[0], self._holder):
            return holder
        if rows[0][4] != self.entry.name:
            self.entry = replace(self.entry, name=text(rows[0][4]))
        fence = rows[0][3] + 1
        tx.run(
            f"UPDATE agents SET fence = ?, holder = ?, lease_until = {self._now} + ? WHERE id = ?",
            fence, str(self._holder), LEASE_SECONDS, self.entry.id,
        )  # fmt: skip
        if rows[0][3] != self._fence or not self._seen_whole:
            self.window = self.log.window()
        self.core.reload()
        self._fence, self._seen_whole = fence, False  # until the turn ends well: it can be cut between store and view
        return ""

    @contextmanager
    def _fenced(self) -> Iterator[Transaction]:
        """A transaction that only the rightful holder can make; it renews the lease."""
        with self.database.write(self.entry.id) as tx:
            ours = tx.run(
                f"UPDATE agents SET lease_until = {self._now} + ? WHERE id = ? AND fence = ?",
                LEASE_SECONDS, self.entry.id, self._fence,
            )  # fmt: skip
            if not ours:
                raise lost(tx, self.entry.id, self.entry.name)
            yield tx

    def _settle(self, tx: Transaction, turn: int) -> list[Message]:
        """Give every call that was cut a result, and close its turn. What is stored counts, not the view of it."""
        now = self.clock()
        texts = {"waiting": NOT_APPROVED, "started": CUT}
        cut = open_calls(self.log.window())
        settled = [result(call, False, texts.get(self.call_state(call), NOT_DONE), now) for call in cut]
        tx.run("DELETE FROM calls WHERE agent = ?", self.entry.id)
        tx.run("UPDATE turns SET state = 'interrupted' WHERE agent = ? AND turn = ?", self.entry.id, turn)
        mark_settled(tx, self.entry.id, turn, now)
        return self.log.append(tx, settled, turn)

    def _see(self, message: Message) -> None:
        self.turn_log.append(message)
        self.window = self.log.window() if message.kind == "summary" else [*self.window, message]
