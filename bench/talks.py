"""Scripted conversations of the kind people have, and the rules by which a model's part in them is judged.

They stand in `talks.yaml`. Each rule belongs to one measure: the right function chosen, the right thing stored, the
right answer given. A rule carries samples of what it must accept and reject, to which the tests hold it. Knows nothing
of models, or of how a conversation is played.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("talks.yaml")
MEASURES = {
    "calls": "function", "not_calls": "function",
    "stored": "stored", "not_stored": "stored", "replaced": "stored",
    "says": "answer", "says_not": "answer",
}  # fmt: skip
"""Each kind of rule, and what it measures."""
NAMED = ("calls", "not_calls")
FORBIDDING = ("not_stored", "replaced", "says_not")

_KEYS = {
    "talk": {"id", "kind", "setup", "turns"},
    "setup": {"persona", "human", "notes", "past", "functions"},
    "past": {"said", "filler", "summary"},
    "turn": {"say", "restart", "compact", "filler", "expect", "ideal"},
    "rule": {"name", "has", "with", "in", "good", "bad"},
}
_FLAGS = re.IGNORECASE | re.DOTALL


def plain(text: str) -> str:
    """The same text with plain quotes and single spaces: how it is typed makes no answer wrong."""
    text = unicodedata.normalize("NFKC", text).translate({0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"'})
    return " ".join(text.split())


@dataclass(frozen=True)
class Memory:
    """What an agent remembers beside its messages: its blocks by label, and its notes."""

    blocks: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def of(self, place: str) -> str:
        """All text at one place: a block, `archival`, or `anywhere`."""
        found = [text for label, text in self.blocks.items() if place in (label, "anywhere")]
        return plain("\n".join([*found, *(self.notes if place in ("archival", "anywhere") else ())]))

    def beyond(self, before: Memory) -> Memory:
        """The lines and notes that were not there before."""
        old = {line for text in before.blocks.values() for line in text.splitlines()}
        new = {
            label: "\n".join(line for line in text.splitlines() if line not in old)
            for label, text in self.blocks.items()
        }
        return Memory(new, [note for note in self.notes if note not in before.notes])


@dataclass(frozen=True)
class Heard:
    """What came of one turn: which functions were called with what, what was said, and what was remembered at the
    beginning of the conversation, before the turn and after it.
    """

    calls: Sequence[tuple[str, Mapping[str, Any]]]
    replies: str
    at_first: Memory
    before: Memory
    after: Memory


@dataclass(frozen=True)
class Rule:
    """One thing that must hold after a turn, of a kind named in `MEASURES`.

    `has` is searched for in what is said or stored; where the kind is one that forbids, it must not be found. `name`
    fits the whole name of a function, and `given` is searched for in its arguments.
    """

    kind: str
    has: str = ""
    name: str = ""
    given: Mapping[str, str] = field(default_factory=dict)
    place: str = "anywhere"
    good: Sequence[Any] = ()
    bad: Sequence[Any] = ()

    @property
    def measure(self) -> str:
        """What it measures."""
        return MEASURES[self.kind]

    @property
    def sampled(self) -> bool:
        """Whether it can be held to samples; a mere name of a function needs none."""
        return bool(self.has or self.given)

    def __str__(self) -> str:
        if self.kind in NAMED:
            return f"{self.kind} {self.name} {dict(self.given) or ''}".strip()
        return f"{self.kind} /{self.has}/" + ("" if self.place == "anywhere" else f" in {self.place}")

    def accepts(self, sample: Any) -> bool:
        """Whether it holds for a text; for a rule on calls, for their arguments."""
        if self.kind in NAMED:
            return all(re.search(has, _written(sample.get(key, "")), _FLAGS) for key, has in self.given.items())
        return bool(re.search(self.has, plain(sample), _FLAGS)) is not (self.kind in FORBIDDING)

    def holds(self, heard: Heard) -> bool:
        """Whether it holds for what came of a turn."""
        if self.kind in NAMED:
            called = any(re.fullmatch(self.name, name) and self.accepts(args) for name, args in heard.calls)
            return called is (self.kind == "calls")
        if self.measure == "answer":
            return bool(heard.replies) and self.accepts(heard.replies)
        if self.kind == "not_stored":
            return self.accepts(heard.after.beyond(heard.before).of(self.place))
        if self.kind == "replaced":  # only blocks are edited; a note may well tell what was
            return self.accepts(Memory(heard.after.blocks).of(self.place))
        return self.accepts(heard.after.beyond(heard.at_first).of(self.place))  # a persona may speak of such things


def _written(value: Any) -> str:
    """An argument as text: lists as words, since models differ in how they write them."""
    return plain(", ".join(map(str, value)) if isinstance(value, list) else str(value))


@dataclass(frozen=True)
class Past:
    """What was said before the conversation begins: exchanges, then so much small talk, then perhaps a summary that
    hides all of it but the newest.
    """

    said: Sequence[tuple[str, str]] = ()
    filler: int = 0
    summary: str = ""


@dataclass(frozen=True)
class Setup:
    """What there is before the first turn; what is empty is as a new user has it."""

    persona: str = ""
    human: str = ""
    notes: Sequence[str] = ()
    past: Past = field(default_factory=Past)
    functions: str = ""


@dataclass(frozen=True)
class Turn:
    """What the user says, what happened just before, what must hold afterwards, and how a perfect model would act."""

    say: str
    rules: Sequence[Rule]
    ideal: Sequence[Mapping[str, Any]]
    restart: bool = False
    compact: bool = False
    filler: int = 0


@dataclass(frozen=True)
class Talk:
    """One conversation."""

    id: str
    kind: str
    turns: Sequence[Turn]
    setup: Setup

    @property
    def rules(self) -> Sequence[Rule]:
        """All rules of all turns."""
        return [rule for turn in self.turns for rule in turn.rules]

    @cached_property
    def ideal(self) -> Sequence[Mapping[str, Any]]:
        """A script for the scripted model that plays this conversation perfectly."""
        summary = {"when": {"kind": "summary"}, "text": "I talked with the user about this and that."}
        return [summary, *(_step(step) for turn in self.turns for step in turn.ideal)]


def _step(written: Mapping[str, Any]) -> Mapping[str, Any]:
    """A step of a script; `note` is short for adding a line to the block human, and going on."""
    if "note" not in written:
        return written
    content = {"name": "human", "content": written["note"]}
    return {"call": "core_memory_append", "arguments": content, "heartbeat": True}


@dataclass(frozen=True)
class Talks:
    """All conversations, and the small talk that is put between their turns: what the user says, and what is said."""

    talks: Sequence[Talk]
    filler: Sequence[tuple[str, str]]

    def chosen(self, only: Sequence[str]) -> Sequence[Talk]:
        """Those with one of these ids or kinds, or all."""
        known = {talk.id for talk in self.talks} | {talk.kind for talk in self.talks}
        if unknown := set(only) - known:
            raise ValueError(f"there is no conversation and no kind {', '.join(sorted(unknown))}")
        return [talk for talk in self.talks if not only or {talk.id, talk.kind} & set(only)]


def load(path: Path = FILE) -> Talks:
    """The conversations in a file. A key that is not known is an error: a rule must not be passed over for a slip."""
    import yaml

    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    talks = [_talk(each) for each in written["talks"]]
    twice = {talk.id for talk in talks if sum(other.id == talk.id for other in talks) > 1}
    if twice:
        raise ValueError(f"{path}: two conversations are called {', '.join(twice)}")
    return Talks(talks, [(said, answer) for said, answer in written["filler"]])


def _known(written: Any, what: str, where: str) -> Mapping[str, Any]:
    if not isinstance(written, dict) or (written.keys() - _KEYS[what]):
        raise ValueError(f"{where}: a {what} has the keys {', '.join(sorted(_KEYS[what]))}, not {written!r}")
    return written


def _talk(written: Any) -> Talk:
    where = str(written.get("id"))
    _known(written, "talk", where)
    setup = dict(_known(written.get("setup", {}), "setup", where))
    past = dict(_known(setup.pop("past", {}), "past", where))
    past["said"] = [(said, answer) for said, answer in past.get("said", ())]
    turns = [_turn(each, where) for each in written["turns"]]
    return Talk(written["id"], written["kind"], turns, Setup(past=Past(**past), **setup))


def _turn(written: Any, where: str) -> Turn:
    more = dict(_known(written, "turn", where))
    say, ideal, expect = more.pop("say"), more.pop("ideal"), more.pop("expect", {})
    if unknown := expect.keys() - MEASURES.keys():
        raise ValueError(f"{where}: there is no kind of rule {', '.join(unknown)}")
    rules = [
        _rule(kind, rule, where)
        for kind, given in expect.items()
        for rule in (given if isinstance(given, list) else [given])
    ]
    return Turn(say, rules, ideal, **more)


def _rule(kind: str, written: Any, where: str) -> Rule:
    if isinstance(written, str) and kind in NAMED:
        return Rule(kind, name=written)
    found = dict(_known(written, "rule", f"{where}, {kind}"))
    given, place = found.pop("with", {}), found.pop("in", "anywhere")
    return Rule(kind, given=given, place=place, **found)
