"""Reads and plays the scripted cases of facts.yaml and facts_fresh.yaml, or of another file: a little talk, another
session, a question, and a rule.

Each case has a real file, opened anew for each session. Knows nothing of how what was found is counted.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from memagent.config import Settings
from memagent.facts import USER, Cause, Draft, Extractor, Fact, Said
from memagent.facts.answer import UNKNOWN, denies, recalled
from memagent.facts.finding import FactFinder
from memagent.facts.keeping import FactMemory
from memagent.facts.ledger import Ledger, keeper
from memagent.facts.wording import in_full
from memagent.facts.words import beginning, telling
from memagent.storage import Database

KINDS = (
    "state", "change", "negate", "correct", "list", "preference", "relation", "date", "plan", "joke", "other", "users",
)  # fmt: skip
FIRST_DAY, ASKED = date(2026, 3, 2), date(2026, 4, 6)
FILLER = "seen"
"""The kind of facts among which the others must be found."""
THINGS = (
    "lighthouses", "volcanoes", "glass-blowing", "the moon", "bridges", "moss", "silk", "chimneys", "owls", "salt",
    "canals", "meteors", "clocks", "lichen", "kites", "tunnels", "amber", "whales", "carpets", "windmills",
)  # fmt: skip
EMPTY = frozenset(
    map(beginning, ("is", "has", "now", "learning", "training", "their", "user", "work", "works", "uses"))
)
SIGHT = 5
"""So many of the facts that were found are the answer, where no model puts them into words."""

Half = Literal["tune", "report", "fresh", "given"]
Answering = Callable[[str, Sequence[Fact], date], str]


@dataclass(frozen=True)
class Line:
    """A message of the talk, what a perfect extractor takes from it, and what is forgotten by hand then."""

    who: Literal["user", "agent"]
    by: str
    text: str
    when: datetime
    drafts: Sequence[Draft] = ()
    forget: Sequence[str] = ()


@dataclass(frozen=True)
class Case:
    """A talk, a question, and the rule that judges the answer."""

    id: str
    talk: Sequence[Line]
    ask: str
    asked: date = ASKED
    by: str = "ada"
    has: Sequence[str] = ()
    hasnt: str = ""
    unknown: bool = False
    given: bool = False

    @property
    def kind(self) -> str:
        """What it is about."""
        return self.id.split("-")[-2]

    @property
    def half(self) -> Half:
        """Whether it was for tuning, counts for what is reported, is one that nobody had seen, or is from a file of its
        own.
        """
        if self.given:
            return "given"
        if self.id.startswith("fresh-"):
            return "fresh"
        return "report" if int(self.id.rpartition("-")[2]) % 2 == 0 else "tune"

    @cached_property
    def perfect(self) -> Mapping[str, Sequence[Draft]]:
        """What a perfect extractor takes from a message, by its text."""
        return {line.text: line.drafts for line in self.talk}

    def right(self, answer: str, *, in_words: bool) -> bool:
        """Whether an answer keeps the rule; one `in_words` must also say that it does not know, where it can't."""
        if any(not re.search(pattern, answer, re.IGNORECASE) for pattern in self.has):
            return False
        if self.hasnt and re.search(self.hasnt, answer, re.IGNORECASE):
            return False
        return not (self.unknown and in_words) or denies(answer) or bool(re.match(r"no\b", answer, re.IGNORECASE))


@dataclass(frozen=True)
class Played:
    """What became of a case: the answer; what was stored, what of it is `false` (nobody said so, or it is over), and
    what is `needless` (a perfect extractor would not have taken it, or another fact says the same); and what it cost.
    """

    case: Case
    answer: str
    right: bool
    stored: Sequence[str]
    false: Sequence[str]
    needless: Sequence[str]
    calls: int
    messages: int
    seconds: float
    tokens: Sequence[int] = ()
    returned: Sequence[str] = ()

    @property
    def forgotten_returned(self) -> bool:
        """Whether what was forgotten came back in an answer."""
        forgotten = [text for line in self.case.talk for text in line.forget]
        return any(text in self.returned for text in forgotten)


class Perfect:
    """Takes from each message what its case says."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self.asked = 0
        self.spent = None

    def extract(self, talk: Sequence[Said], _known: Sequence[Fact]) -> Sequence[Draft]:
        """The drafts that the case tells."""
        return [
            Draft(**{**vars(draft), "message": said.seq, "quote": said.text})
            for said in talk if said.who != "agent" for draft in self._case.perfect.get(said.text, ())
        ]  # fmt: skip


def load(given: Path | None = None) -> list[Case]:
    """All cases, in their order; or those of a file that is `given`, which nobody had seen."""
    import yaml

    files = [given] if given else [Path(__file__).with_name(name) for name in ("facts.yaml", "facts_fresh.yaml")]
    found = [entry for file in files for entry in yaml.safe_load(file.read_text(encoding="utf-8"))["cases"]]
    cases = [_case(entry) for entry in found]
    if given:
        cases = [replace(case, given=True) for case in cases]
    missing = set() if given else {*KINDS} - {case.kind for case in cases}
    if unknown := {case.kind for case in cases} - {*KINDS} or missing:
        raise ValueError(f"facts.yaml: there is no kind {', '.join(sorted(unknown))}, or none of it")
    return cases


def _case(entry: Mapping[str, Any]) -> Case:
    if odd := entry.keys() - {"id", "talk", "ask", "asked", "as", "has", "not", "unknown"}:
        raise ValueError(f"facts.yaml: {entry['id']}: nobody knows {', '.join(sorted(odd))}")
    lines, day = list[Line](), FIRST_DAY
    for at, said in enumerate(entry["talk"]):
        if odd := said.keys() - {"day", "by", "user", "agent", "learn", "end", "forget"}:
            raise ValueError(f"facts.yaml: {entry['id']}: nobody knows {', '.join(map(str, odd))}")
        day = said.get("day", day)
        when = datetime(day.year, day.month, day.day, 9).astimezone() + timedelta(minutes=at)
        who: Literal["user", "agent"] = "user" if "user" in said else "agent"
        learnt = [_draft(each) for each in said.get("learn", ())]
        ended = [Draft(in_full(t), holds=False, replaces=[in_full(t)]) for t in said.get("end", ())]
        lines.append(
            Line(
                who, said.get("by", "ada"), said[who], when, [*learnt, *ended], [*map(in_full, said.get("forget", ()))]
            )
        )
    return Case(
        entry["id"], lines, entry["ask"], entry.get("asked", ASKED), entry.get("as", "ada"), entry.get("has", ()),
        entry.get("not", ""), entry.get("unknown", False),
    )  # fmt: skip


def _draft(entry: Any) -> Draft:
    """A draft as it is kept: with its subject."""
    draft = Draft(entry) if isinstance(entry, str) else Draft(**entry)
    text = in_full(draft.text) if draft.about == "user" else draft.text
    return replace(draft, text=text, replaces=[in_full(old) for old in draft.replaces])


# Playing --------------------------------------------------------------------------------------------------------------


def play(
    case: Case, extractor: Any, answering: Answering | None = None, *, batch: bool = False, among: int = 0
) -> Played:
    """Tell, open everything anew, and ask. With `batch`, all that one user says on one day is read at once; `among` so
    many other facts.
    """
    with TemporaryDirectory() as home:
        settings = Settings(home=Path(home))
        calls, tokens, began = extractor.asked, list[int](), time.monotonic()
        with closing(_opened(settings)) as database:
            for by in dict.fromkeys(line.by for line in case.talk):
                _fill(_memory(database, settings, by, extractor, case.talk[0].when), among)
            for portion in _portions(case.talk, batch=batch):
                before = extractor.asked
                _tell(_memory(database, settings, portion[0].by, extractor, portion[-1].when), portion)
                if extractor.asked > before and extractor.spent:
                    tokens += [extractor.spent.prompt, extractor.spent.cached, extractor.spent.completion]
        seconds = time.monotonic() - began
        with closing(_opened(settings)) as database:
            now = datetime(case.asked.year, case.asked.month, case.asked.day, 18).astimezone()
            memory = _memory(database, settings, case.by, extractor, now)
            facts = recalled(memory, case.ask, case.asked)
            shown = [fact.text for fact in facts[:SIGHT]]
            answer = answering(case.ask, facts, case.asked) if answering else " / ".join(shown) or UNKNOWN
            people = dict.fromkeys(line.by for line in case.talk)
            held = [_memory(database, settings, by, extractor, now).ledger.listed() for by in people]
            held = [[fact for fact in facts if fact.kind != FILLER] for facts in held]
            stored = [fact for facts in held for fact in facts]
            again = {fact.id for facts in held for fact in facts if _is_told_again(fact, facts)}
        right = case.right(answer, in_words=answering is not None)
        messages = sum(line.who == "user" for line in case.talk)
        return Played(
            case, answer, right, [f.text for f in stored],
            [f.text for f in stored if _of_another(f, case) or not (_was_told(f, case) or was_said(f, case))],
            [f.text for f in stored if _of_another(f, case) or not _was_told(f, case) or f.id in again],
            extractor.asked - calls, messages, seconds, tokens, [fact.text for fact in facts],
        )  # fmt: skip


def _opened(settings: Settings) -> Database:
    from memagent.assemble import open_database

    return open_database(settings)


def _memory(database: Database, settings: Settings, by: str, extractor: Extractor, now: datetime) -> FactMemory:
    from memagent.assemble import open_embedder

    ledger = Ledger(database, keeper(database, by, None, now))
    return FactMemory(ledger, FactFinder(ledger, open_embedder(settings)), extractor, lambda: now)


def _fill(memory: FactMemory, count: int) -> None:
    """Let other facts be known, of things that no question asks about."""
    now = memory.clock()
    with memory.ledger.database.write(memory.ledger.keeper.shelf) as tx:
        for number in range(count):
            text = f"Saw part {number // len(THINGS) + 1} of a documentary about {THINGS[number % len(THINGS)]}"
            memory.ledger.learn(tx, Fact(text, now, FILLER), now)


def _portions(talk: Sequence[Line], *, batch: bool) -> list[list[Line]]:
    """What is read together: a message of the user's with what the agent said before, or all of a day."""
    portions: list[list[Line]] = []
    open_ = False
    for line in talk:
        same = bool(portions) and portions[-1][0].by == line.by and portions[-1][0].when.date() == line.when.date()
        if same and (batch or open_):
            portions[-1].append(line)
        else:
            portions.append([line])
        open_ = line.who == "agent"
    return portions


def _tell(memory: FactMemory, portion: Sequence[Line]) -> None:
    talk = [Said(line.who, line.text, line.when, seq) for seq, line in enumerate(portion, 1)]
    weighed = memory.weighed(memory.extract(talk))
    with memory.ledger.database.write(memory.ledger.keeper.shelf) as tx:
        memory.take_in(tx, weighed, talk, Cause("talk"))
    for text in [text for line in portion for text in line.forget]:
        wanted = telling(text)
        for fact in memory.ledger.listed(("holds",)):
            if wanted and len(wanted & telling(fact.text)) * 2 >= len(wanted):
                memory.forget(fact.id, Cause("user"))


def _was_told(fact: Fact, case: Case) -> bool:
    """Whether a stored fact is one of those that a perfect extractor takes, in these words or others: at least half of
    its telling words are those of one of them that was not taken back.
    """
    drafts = [draft for line in case.talk for draft in line.drafts]
    over = {text for draft in drafts for text in draft.replaces} | {t for line in case.talk for t in line.forget}
    held = [f"{draft.text} {draft.about}" for draft in drafts if draft.holds and draft.text not in over]
    stale = max((covered(fact.text, text) for text in over), default=0.0)
    best = max((covered(fact.text, text) for text in held), default=0.0)
    return best >= max(stale, 0.5) or (best >= stale and covered(fact.text, " ".join(held)) >= 0.75)


def _of_another(fact: Fact, case: Case) -> bool:
    """Whether a fact says of the user what was told of somebody else, whom it does not even name."""
    if fact.about != USER:
        return False
    drafts = [draft for line in case.talk for draft in line.drafts if draft.holds]
    best = max(drafts, key=lambda draft: (covered(fact.text, draft.text), draft.about == USER), default=None)
    unnamed = best is not None and best.about != USER and not telling(best.about) & telling(fact.text)
    return best is not None and unnamed and covered(fact.text, best.text) >= 0.5


def _is_told_again(fact: Fact, held: Sequence[Fact]) -> bool:
    """Whether another one of the facts that hold says all that this one says."""
    mine = telling(fact.text)
    others = [(telling(other.text), other) for other in held if other.id != fact.id]
    return any(
        (mine < theirs and other.about == fact.about) or (mine == theirs and other.id < fact.id)
        for theirs, other in others
    )


def was_said(fact: Fact, case: Case) -> bool:
    """Whether somebody at least said so, in a message that tells facts, and nothing that was taken back."""
    over = {text for line in case.talk for draft in line.drafts for text in draft.replaces}
    over |= {text for line in case.talk for text in line.forget}
    said = max((covered(fact.text, line.text) for line in case.talk if line.drafts), default=0.0)
    return said >= 0.75 and max((covered(fact.text, text) for text in over), default=0.0) < said


def covered(text: str, other: str) -> float:
    """How much of what a text tells stands in another one."""
    own = telling(text) - EMPTY or telling(text)
    return len(own & telling(other)) / len(own) if own else 0.0
