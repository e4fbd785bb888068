"""Typed memories: created, read, changed and found, each with all that it was before.

A record is a fact of a declared kind: its fields are the fact's details, its text tells them in sentences, so that it
is searched for, remembered and forgotten like every fact. A change makes a new version of the same line. Whoever
changes a field of the self, the person who is the agent, leaves an event that says so. Knows nothing of how a person
is asked or answered.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Any

from memagent.errors import NotFound, StorageError, UserError
from memagent.facts import SELF, USER, Cause, Fact, State
from memagent.facts.fields import told
from memagent.facts.kinds import Event, Kind, Kinds, Person
from memagent.facts.ledger import COLUMNS, Ledger, fact_of
from memagent.messages import storable
from memagent.storage import Database, Row, Transaction, marked

log = logging.getLogger(__name__)

LONGEST_SUBJECT = 200
POSSESSIVES = ("my ", "our ", "your ", "the user's ", "mein ", "meine ")
PERSON = "person"


@dataclass(frozen=True)
class Record:
    """A typed memory: the fact that holds it, and what it holds, as one of its kind."""

    fact: Fact
    value: Any
    name: str
    kind: Kind

    @property
    def number(self) -> int:
        return self.fact.id

    @property
    def bare(self) -> bool:
        """Whether it was taken from talk as a sentence, and nobody has filled its fields."""
        return not self.fact.details


@dataclass(frozen=True)
class Step:
    """One version of a record: what was changed to come to it, field by field, from what to what."""

    record: Record
    changed: Mapping[str, tuple[str, str]]


class Records:
    """The typed memories of one keeper."""

    def __init__(self, ledger: Ledger, kinds: Kinds, clock: Callable[[], datetime]) -> None:
        self.ledger = ledger
        self.kinds = kinds
        self._clock = clock

    # Writing ----------------------------------------------------------------------------------------------------------

    def create(self, kind: str, fields: Mapping[str, Any], cause: Cause, *, about: str = USER) -> Record:
        """Keep a new one, about somebody who may be named as `find` knows it. There is one person of a name, and one
        self.
        """
        fact = self.drafted(kind, fields, cause, about=about)
        with self.ledger.database.write(self.ledger.keeper.shelf) as tx:
            return self.keep(tx, fact)

    def drafted(self, kind: str, fields: Mapping[str, Any], cause: Cause, *, about: str = USER) -> Fact:
        """A new one that is not kept yet, if it can be."""
        declared = self.kinds.find(kind)
        who = None if about in (USER, SELF) else self.person(about)
        about = who.fact.about if who else about
        value = declared.make(fields)
        self.refuse_twin(self.ledger.database, value)
        return self._fact(declared, value, about, cause, self._clock())

    def keep(self, tx: Transaction, fact: Fact) -> Record:
        """Keep what was drafted, unless somebody was faster."""
        self.ledger.hold(tx)
        value = self.record_of(fact).value
        self.refuse_twin(tx, value)
        return self.record_of(self.ledger.learn(tx, fact, fact.said))

    def change(self, record: Record, fields: Mapping[str, Any], cause: Cause) -> Record:
        """Give fields of a record other values; it is the same record if they are no others. A person who gets another
        name is still found by the old one.
        """
        value = self.changed(record, fields)
        if value == record.value:
            return record
        with self.ledger.database.write(self.ledger.keeper.shelf) as tx:
            return self.put(tx, record, value, cause)

    def changed(self, record: Record, fields: Mapping[str, Any]) -> Any:
        """What a record would hold then, if it can; nothing is kept yet."""
        value = record.kind.make(fields, record.value)
        if isinstance(value, Person) and value.name != record.name and "aliases" not in fields:
            value = record.kind.make({"aliases": (*value.aliases, record.name)}, value)
        return value

    def put(self, tx: Transaction, record: Record, value: Any, cause: Cause) -> Record:
        """Keep what a record holds now, unless somebody has changed it meanwhile."""
        now = self._clock()
        fact = self._still(tx, record)
        self.refuse_twin(tx, value, record.number)
        new = self._fact(record.kind, value, fact.about, cause, now)
        kept = self.ledger.learn(tx, new, now, heir_of=fact, what="corrected")
        self.ledger.end(tx, fact, "corrected", cause, now, heir=kept.id)
        changed = self.record_of(kept)
        self._tell_of_self(tx, record, changed, cause, now)
        return changed

    def undo(self, record: Record, cause: Cause) -> Record:
        """Take back the newest change of a record: it is again what it was before."""
        before = [fact for fact in self.ledger.line(record.number) if fact.heir == record.number]
        if not before:
            raise UserError(
                f"{record.name!r} was never changed.", hint=f"Forget it with: memagent memories forget {record.number}"
            )
        with self.ledger.database.write(self.ledger.keeper.shelf) as tx:
            now = self._clock()
            fact = self._still(tx, record)
            old = self.record_of(before[-1])
            self.refuse_twin(tx, old.value, record.number)
            self.ledger.end(tx, fact, "undone", cause, now)
            back = self.record_of(self.ledger.restore(tx, before[-1], cause, now))
            self._tell_of_self(tx, record, back, cause, now)
        return back

    def forget(self, record: Record, cause: Cause) -> Record:
        """Forget a record; its history keeps it."""
        with self.ledger.database.write(self.ledger.keeper.shelf) as tx:
            fact = self._still(tx, record)
            return self.record_of(self.ledger.end(tx, fact, "forgotten", cause, self._clock()))

    def restore(self, number: int, cause: Cause) -> Record:
        """Bring back a record that was forgotten, or a version that is past."""
        with self.ledger.database.write(self.ledger.keeper.shelf) as tx:
            record = self.record_of(self.ledger.get(number))
            if record.fact.state == "holds":
                raise UserError(f"{record.name!r} is there; nobody has forgotten it.")
            newer = [fact.id for fact in self.ledger.line(number) if fact.state == "holds" and fact.id != number]
            if newer:
                hint = f"Take its changes back with: memagent memories undo {newer[0]}"
                raise UserError(f"{record.name!r} is there, in a newer version.", hint=hint)
            self.refuse_twin(tx, record.value)
            return self.record_of(self.ledger.restore(tx, record.fact, cause, self._clock()))

    def _fact(self, kind: Kind, value: Any, about: str, cause: Cause, now: datetime) -> Fact:
        name = getattr(value, kind.named_by)
        subject = "" if kind.name == "fact" else name[:LONGEST_SUBJECT]
        if isinstance(value, Person):
            about = value.relation if value.relation in (SELF, USER) else name
        return Fact(
            kind.told(value), now, kind.name, about, subject, kind.happened(value), confidence=1.0,
            details=kind.plain(value), cause=cause, renewed=now,
        )  # fmt: skip

    def _tell_of_self(self, tx: Transaction, old: Record, new: Record, cause: Cause, now: datetime) -> None:
        """An event that says what has become of the agent itself."""
        if not isinstance(new.value, Person) or SELF not in (old.value.relation, new.value.relation):
            return
        kind = self.kinds.find("event")
        changes = differences(old, new)
        note = "; ".join(
            f"my {name} changed from {_quoted(was)} to {_quoted(now_is)}" for name, (was, now_is) in changes.items()
        )
        event = Event(storable(note[:1].upper() + note[1:]), (now.date().isoformat(),))  # type: ignore[arg-type]
        why = replace(cause, why=f"change of memory {new.number}")
        self.ledger.learn(tx, self._fact(kind, event, SELF, why, now), now)

    def _still(self, tx: Transaction, record: Record) -> Fact:
        """The fact of a record, if nobody has changed it meanwhile."""
        self.ledger.hold(tx)
        fact = self.ledger.seen(tx, record.number)
        if fact is None or fact.state != "holds":
            raise UserError(
                f"{record.name!r} was changed or forgotten meanwhile.",
                hint=f"See how it is now: memagent memories history {record.number}",
            )
        return fact

    def refuse_twin(self, reader: Transaction | Database, person: Any, own: int = 0) -> None:
        """There is one person of a name, or nobody would know who is meant; and one self, and one user."""
        if not isinstance(person, Person):
            return
        for other in self._people(reader):
            if other.number == own or other.bare:
                continue
            if same(other.name, person.name):
                hint = (
                    f"Change it: memagent memories edit {other.number} …; or call the other one {person.name} (work)."
                )
                raise UserError(f"There is a person called {other.name!r} already.", hint=hint)
            if person.relation in (SELF, USER) and other.value.relation == person.relation:
                hint = f"Change it: memagent memories edit {other.number} …"
                raise UserError(f"{other.name!r} is the {person.relation} already.", hint=hint)

    # Reading ----------------------------------------------------------------------------------------------------------

    def get(self, number: int) -> Record:
        """The record of that number, whatever its state."""
        return self.record_of(self.ledger.get(number))

    def listed(
        self, kind: str = "", states: Sequence[State] = ("holds",), *, start: int = 0, limit: int = 50
    ) -> list[Record]:
        """Records, the newest first; of one kind, or of every kind but plain facts."""
        where, values = self._where(kind, states)
        rows = self.ledger.database.rows(
            f"SELECT {COLUMNS} FROM facts t WHERE {where} ORDER BY t.id DESC LIMIT ? OFFSET ?", *values, limit, start
        )
        return self._readable(rows)

    def count(self, kind: str = "", states: Sequence[State] = ("holds",)) -> int:
        """How many there are of those."""
        where, values = self._where(kind, states)
        return int(self.ledger.database.rows(f"SELECT count(*) FROM facts t WHERE {where}", *values)[0][0])

    def _where(self, kind: str, states: Sequence[State]) -> tuple[str, list[Any]]:
        names = [self.kinds.find(kind).name] if kind else [one.name for one in self.kinds.all() if one.name != "fact"]
        shelves = self.ledger.keeper.shelves(states)
        kinds, wanted = marked(names)
        return f"t.shelf IN ({', '.join('?' for _ in shelves)}) AND t.kind IN ({kinds})", [*shelves, *wanted]

    def people(self) -> list[Record]:
        """Every person, by name. A sentence that was taken from talk tells of a person who is known better already, or
        stands for one.
        """
        found: list[Record] = []
        known: set[str] = set()
        for person in sorted(self._people(self.ledger.database), key=lambda person: person.bare):
            names = {folded(name) for name in (person.name, *person.value.aliases)}
            if not (person.bare and names & known):
                found.append(person)
                known |= names
        return sorted(found, key=lambda person: person.name.casefold())

    def _people(self, reader: Any) -> list[Record]:
        rows = reader.rows(
            f"SELECT {COLUMNS} FROM facts t WHERE t.shelf = ? AND t.kind = ? ORDER BY t.id",
            self.ledger.keeper.shelf, PERSON,
        )  # fmt: skip
        return self._readable(rows)

    def _readable(self, rows: Sequence[Row]) -> list[Record]:
        """The records in these rows; one that does not fit its kind any more hides no other."""
        found = []
        for row in rows:
            try:
                found.append(self.record_of(fact_of(row, self.ledger.keeper)))
            except StorageError as error:
                log.warning("%s", error)
        return found

    def self(self) -> Record | None:
        """The agent itself, if anything is known of it."""
        return next((person for person in self.people() if person.value.relation == SELF), None)

    def find(self, name: str, kind: str = "") -> Record:
        """The record of that number or name. A person is also found by an alias, or by who it is to the user."""
        if (number := name.strip().removeprefix("#")).isascii() and number.isdigit():
            return self.get(int(number))
        wanted = self.kinds.find(kind).name if kind else ""
        found = self.person(name) if wanted in ("", PERSON) else None
        if found:
            return found
        where, values = self._where(wanted, ("holds",))
        rows = self.ledger.database.rows(
            f"SELECT {COLUMNS} FROM facts t WHERE {where} AND lower(?) IN (lower(t.subject), lower(t.text)) "
            "ORDER BY t.id",
            *values, storable(name.strip())[:LONGEST_SUBJECT],
        )  # fmt: skip
        matches = self._readable(rows)
        if len(matches) > 1:
            raise UserError(
                f"There are {len(matches)} memories called {name!r}.",
                hint="Say which: " + ", ".join(f"{one.number} ({one.kind.name})" for one in matches[:20]),
            )
        if not matches:
            raise self._unknown(name, wanted)
        return matches[0]

    def person(self, name: str) -> Record | None:
        """The person that is meant: by name, by an alias, or by who it is to the user, like "my sister", if there is
        only one.
        """
        people = self.people()
        wanted = name.strip()
        relation = next((wanted[len(p) :] for p in POSSESSIVES if wanted.lower().startswith(p)), wanted)
        for matches in (
            [one for one in people if same(one.name, wanted)],
            [one for one in people if any(same(alias, wanted) for alias in one.value.aliases)],
            [one for one in people if one.value.relation and same(one.value.relation, relation)],
        ):
            if len(matches) == 1:
                return matches[0]
            if matches:
                names = ", ".join(f"{one.name} ({one.number})" for one in matches[:20])
                raise UserError(f"More than one person is meant by {name!r}.", hint=f"Say which: {names}")
        return None

    def _unknown(self, name: str, kind: str) -> NotFound:
        from difflib import get_close_matches

        names = [one.name for one in self.listed(kind, limit=1000)]
        near = get_close_matches(name, names, 1)
        hint = f"Did you mean {near[0]!r}?" if near else "See them with: memagent memories list"
        return NotFound(f"There is no {kind or 'memory'} called {name[:80]!r}.", hint=hint)

    def history(self, record: Record) -> list[Step]:
        """The versions of a record, the oldest first; those that were taken back are not among them."""
        line = [self.record_of(fact) for fact in self.ledger.line(record.number) if fact.how != "undone"]
        steps = [Step(one, {}) for one in line[:1]]
        return steps + [Step(new, differences(old, new)) for old, new in pairwise(line)]

    def record_of(self, fact: Fact) -> Record:
        """A fact of a declared kind, with its fields. A `StorageError` says that they do not fit any more."""
        kind = self.kinds.get(fact.kind)
        if kind is None:
            kinds = ", ".join(one.name for one in self.kinds.all())
            raise NotFound(
                f"{fact.id} is a fact of the kind {fact.kind!r}, which is not declared.", hint=f"There are: {kinds}."
            )
        details = dict(fact.details)
        if kind.named_by not in details:  # taken from talk, where nobody filled fields
            apart = kind.name == PERSON and fact.about not in (USER, SELF)
            details[kind.named_by] = (fact.about if apart else " ".join(fact.text.split()))[:LONGEST_SUBJECT]
            details["source"] = _source(fact)
        try:
            value = kind.read(details)
        except UserError as error:
            hint = f"Its kind may have been declared anew, in {kind.where}. {error.message}"
            raise StorageError(f"Memory {fact.id} does not fit its kind {kind.name} any more.", hint=hint) from error
        return Record(fact, value, getattr(value, kind.named_by), kind)


def differences(old: Record, new: Record) -> dict[str, tuple[str, str]]:
    """What was changed between two versions: field by field, from what to what."""
    pairs = {name: (told(getattr(old.value, name)), told(getattr(new.value, name))) for name in new.kind.forms}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _source(fact: Fact) -> str:
    """Where a fact is known from that nobody wrote by hand: the words, or the message."""
    where = f"message {fact.cause.message}" if fact.cause.message else fact.cause.origin
    return f"{where}: “{fact.quote}”" if fact.quote else where


def _quoted(text: str) -> str:
    return f"“{text}”" if text else "nothing"


def same(one: str, other: str) -> bool:
    """Whether two names are the same to a reader."""
    return folded(one) == folded(other)


def folded(name: str) -> str:
    """A name without what makes no difference to a reader."""
    return " ".join(name.split()).casefold()
