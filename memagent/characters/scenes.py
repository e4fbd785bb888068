"""Scenes as they are stored: who takes part, and what was said, as the logs of those who said it have it.

A scene ends once: then each who did not get to hear the last lines remembers them. One whose process has ended without
that is ended by whoever comes next. Knows nothing of models, or of what a turn is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from memagent.characters.memories import record
from memagent.errors import StorageError
from memagent.facts import Cause
from memagent.facts.ledger import Keeper, Ledger, made_keeper
from memagent.lease import LEASE_SECONDS, Holder, held_by_another
from memagent.messages import Message, as_json, stamp, storable
from memagent.storage import Database, Transaction, reading, text

EVENT = "event"
LONGEST = 20_000
"""Characters of what one memory tells of the end of a scene."""
SILENT = "pass"
"""What somebody answers who says nothing; small models copy brackets into what they say."""
_PASSES = {"pass", "passes", "i pass", "skip", ""}


@dataclass(frozen=True)
class Line:
    """What one of a scene said in its turn; `number` counts turns, from 1."""

    number: int
    who: str
    text: str


@dataclass(frozen=True)
class Member:
    """Who takes part: an agent, by id and name, and the number of the last message in its log before the scene."""

    id: str
    name: str
    before: int


def is_pass(text: str) -> bool:
    """Whether somebody says nothing this time."""
    return text.strip(" \t\r\n()[]*_.!…\"'").casefold() in _PASSES


def cue(scene: int, number: int, topic: str, words: str, now: datetime) -> Message:
    """The message that gives somebody a turn in a scene."""
    words = storable(words)
    content = as_json(
        {"type": "user_message", "scene": topic, "turn": f"{scene}/{number}", "message": words, "time": stamp(now)}
    )
    return Message("user", "user", content, now, said=words)


def begin(database: Database, owner: str, topic: str, agents: Sequence[tuple[str, str]], holder: Holder, now: datetime,
) -> tuple[int, list[Member]]:  # fmt: skip
    """Store that a scene begins; returns its number, and who takes part."""
    with database.write() as tx:
        members = [
            Member(agent, name, tx.rows("SELECT max(seq) FROM messages WHERE agent = ?", agent)[0][0] or 0)
            for agent, name in agents
        ]
        number = tx.add(
            "INSERT INTO scenes (owner, topic, members, holder, lease_until, started) "
            f"VALUES (?, ?, ?, ?, {database.dialect.now} + ?, ?)",
            owner, topic, json.dumps([[m.id, m.name, m.before] for m in members]), str(holder), LEASE_SECONDS,
            now.isoformat(),
        )  # fmt: skip
    return number, members


def renew(database: Database, scene: int, holder: Holder) -> None:
    """Say that a scene goes on."""
    with database.write() as tx:
        ours = tx.run(
            f"UPDATE scenes SET lease_until = {database.dialect.now} + ? WHERE id = ? AND holder = ? AND ended IS NULL",
            LEASE_SECONDS, scene, str(holder),
        )  # fmt: skip
    if not ours:
        raise StorageError("Another process has ended this scene.", hint="What was said is kept. Begin another one.")


def was_heard(rows: Callable[..., Any], scene: int, number: int, member: Member) -> bool:
    """Whether the message that gave somebody its turn is in its log."""
    return number in dict(_cues(rows, scene, member))


def _cues(rows: Callable[..., Any], scene: int, member: Member) -> list[tuple[int, int]]:
    """The turns that somebody has had in a scene: their numbers there, and in its own log."""
    mark = f'"turn": "{scene}/'
    found = rows(
        "SELECT turn, content FROM messages WHERE agent = ? AND seq > ? AND kind = 'user' AND undone IS NULL "
        "AND content LIKE ? ORDER BY seq",
        member.id, member.before, f"%{mark}%",
    )  # fmt: skip
    with reading(f"Scene {scene}"):
        return [(int(text(content).split(mark, 1)[1].split('"')[0]), turn) for turn, content in found]


def lines_of(rows: Callable[..., Any], scene: int, members: Sequence[Member]) -> tuple[list[Line], dict[str, int]]:
    """What was said in a scene so far; and the number of the last turn of each, by id."""
    lines: list[Line] = []
    last: dict[str, int] = {}
    for member in members:
        for number, turn in _cues(rows, scene, member):
            last[member.id] = max(number, last.get(member.id, 0))
            said = rows(
                "SELECT said FROM messages WHERE agent = ? AND turn = ? AND seq > ? AND role <> 'user' AND said <> '' "
                "AND undone IS NULL ORDER BY seq",
                member.id, turn, member.before,
            )  # fmt: skip
            words = "\n\n".join(text(row[0]) for row in said)
            if not is_pass(words):
                lines.append(Line(number, member.name, words))
    return sorted(lines, key=lambda line: line.number), last


def end(database: Database, scene: int, now: datetime) -> None:
    """End a scene, once: what somebody did not get to hear, it remembers as an event."""
    with database.write() as tx:
        found = tx.rows("SELECT owner, topic, members FROM scenes WHERE id = ? AND ended IS NULL", scene)
        if not found:
            return
        with reading(f"Scene {scene}"):
            members = [Member(*each) for each in json.loads(text(found[0][2]))]
        lines, last = lines_of(tx.rows, scene, members)
        for member in members:
            missed = [line for line in lines if line.number > last.get(member.id, 0) and line.who != member.name]
            if missed and tx.rows("SELECT 1 FROM agents WHERE id = ?", member.id):
                _remember(tx, database, made_keeper(tx, found[0][0], member.id, now), found[0][1], missed, now)
        tx.run("UPDATE scenes SET ended = ?, holder = NULL WHERE id = ?", now.isoformat(), scene)


def _remember(
    tx: Transaction, database: Database, keeper: Keeper, topic: str, missed: Sequence[Line], now: datetime
) -> None:
    cause = Cause("talk", "it was said after its last turn in a scene")
    for portion in _portions([f"{line.who}: {line.text}" for line in missed]):
        content = {"scene": topic[:LONGEST], "heard at the end": portion}
        Ledger(database, keeper).learn(tx, record(content, EVENT, {}, now, cause), now)


def _portions(lines: Sequence[str]) -> Iterator[list[str]]:
    """Lines in portions that one memory can hold; a line that is too long for one is in several."""
    portion: list[str] = []
    for line in lines:
        for start in range(0, len(line), LONGEST):
            part = line[start : start + LONGEST]
            if portion and sum(map(len, portion)) + len(part) > LONGEST:
                yield portion
                portion = []
            portion.append(part)
    yield portion


def settle(database: Database, owner: str, clock: Callable[[], datetime]) -> None:
    """End the scenes of which the process has ended."""
    rows = database.rows(
        f"SELECT holder, lease_until, {database.dialect.now}, id FROM scenes WHERE owner = ? AND ended IS NULL", owner
    )
    for row in rows:
        if not held_by_another(row, Holder("", 0, "", 0)):
            end(database, row[3], clock())
