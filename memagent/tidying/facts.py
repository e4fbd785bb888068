"""Tidies facts: those that say the same become one, those whose time is over end. No model is asked.

What was written by hand is never merged into something else. Knows nothing of agents.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from memagent.facts import BY_HAND, Cause, Draft, Fact, How
from memagent.facts.finding import FactFinder, Match
from memagent.facts.ledger import Ledger
from memagent.facts.reconcile import decide
from memagent.storage import Transaction
from memagent.tidying import Proposal

MOST = 300
"""So many of the newest facts are looked at in one run."""
NEAREST = 6
BACK = Cause("tidy", "the tidying was taken back")


@dataclass(frozen=True)
class Ending:
    """A fact that would end: because another says the same, its `heir`, or because its time is over."""

    ledger: Ledger
    fact: Fact
    how: How
    heir: Fact | None = None

    @property
    def told(self) -> str:
        if self.heir:
            return f'"{self.fact.text}" tells no more than "{self.heir.text}", and is merged with it.'
        return f'"{self.fact.text}" held until {self.fact.until}, and is past.'

    def carry_out(self, tx: Transaction, now: datetime) -> Mapping[str, Any] | None:
        for seen in filter(None, (self.fact, self.heir)):
            found = self.ledger.seen(tx, seen.id)
            if found is None or found.state != "holds" or (found.text, found.until) != (seen.text, seen.until):
                return None
        heir = self.heir.id if self.heir else None
        self.ledger.end(tx, self.fact, self.how, Cause("tidy", self.told), now, heir=heir)
        return {"fact": self.fact.id}


def _restored(ledger: Ledger, tx: Transaction, details: Mapping[str, Any], how: How, now: datetime) -> bool:
    """Let a fact hold again, unless something else became of it since."""
    fact = ledger.seen(tx, int(details["fact"]))
    if fact is None or fact.how != how:
        return False
    ledger.restore(tx, fact, BACK, now)
    return True


class Duplicates:
    """Facts that say the same become one: the one that was written by hand, or is surest, or was said most often. Of
    one that says less, only the other stays.
    """

    name = "duplicate facts"

    def __init__(self, ledger: Ledger, finder: FactFinder) -> None:
        self._ledger = ledger
        self._finder = finder

    def proposals(self) -> Generator[Proposal | None]:
        gone: set[int] = set()
        for fact in self._ledger.listed(limit=MOST):
            if fact.id in gone:
                continue
            for same in self._same(fact, gone):
                heir, other = same, fact
                if _says_no_more(same, fact):
                    heir, other = sorted((fact, same), key=_worth, reverse=True)
                if other.cause.origin in BY_HAND:
                    continue
                gone.add(other.id)
                yield Ending(self._ledger, other, "merged", heir)
                if other is fact:
                    break
            else:
                yield None

    def _same(self, fact: Fact, gone: set[int]) -> list[Fact]:
        """The facts that say the same, or more, one after the other."""
        matches = [
            match for match in self._finder.find(fact.text, size=NEAREST, kind=fact.kind, about=fact.about).matches
            if match.fact.id != fact.id and match.fact.id not in gone
            and (match.fact.since, match.fact.until) == (fact.since, fact.until)
        ]  # fmt: skip
        return [match.fact for match in matches if _says_no_more(fact, match.fact)]

    def undo(self, tx: Transaction, details: Mapping[str, Any], now: datetime) -> bool:
        return _restored(self._ledger, tx, details, "merged", now)


def _says_no_more(fact: Fact, than: Fact) -> bool:
    """Whether whoever knows the one learns nothing from the other."""
    draft = Draft(fact.text, kind=fact.kind, about=fact.about, subject=fact.subject, confidence=fact.confidence)
    return decide(draft, [Match(than, "")]).what == "confirmed"


def _worth(fact: Fact) -> tuple[bool, float, int, int]:
    return fact.cause.origin in BY_HAND, fact.confidence, fact.confirmed, -fact.id


class Expired:
    """Facts that held until a day that is over are past."""

    name = "expired facts"

    def __init__(self, ledger: Ledger, clock: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._clock = clock

    def proposals(self) -> Generator[Proposal | None]:
        today = self._clock().date().isoformat()
        rows = self._ledger.database.rows(
            "SELECT id FROM facts WHERE shelf = ? AND until < ? ORDER BY id LIMIT ?",
            self._ledger.keeper.shelf, today, MOST,
        )  # fmt: skip
        for fact in self._ledger.of([row[0] for row in rows]):
            if fact.until and fact.until < today[: len(fact.until)]:
                yield Ending(self._ledger, fact, "expired")

    def undo(self, tx: Transaction, details: Mapping[str, Any], now: datetime) -> bool:
        return _restored(self._ledger, tx, details, "expired", now)
