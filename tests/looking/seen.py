"""Memories to look at, put into a real database by the parts that keep them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from memagent.facts import SELF, Cause, Fact, How
from memagent.facts.kinds import Kinds
from memagent.facts.ledger import Ledger, keeper
from memagent.facts.records import Records
from memagent.looking import Sight
from memagent.roster import Roster
from memagent.storage.sqlite import SqliteDatabase

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
HAND = Cause("user", "by hand")


class Seen:
    """An agent whose memory is filled one day after the other."""

    def __init__(self, db: SqliteDatabase, folder: Path | None = None) -> None:
        self.db = db
        days = count()
        self.clock: Callable[[], datetime] = lambda: START + timedelta(days=next(days))
        with db.write() as tx:
            self.agent = Roster(db, "me").make(tx, "ada", {}, "You are.", START)
        kinds = Kinds(folder) if folder else Kinds()
        self.shared = Records(Ledger(db, keeper(db, "me", None, START)), kinds, self.clock)
        self.own = Records(Ledger(db, keeper(db, "me", self.agent, START)), kinds, self.clock)
        self.sight = Sight(self.agent, "ada", [self.own, self.shared])

    def learn(
        self, text: str, subject: str = "", about: str = "user", kind: str = "fact", *, heir_of: Fact | None = None,
        since: str | None = None, until: str | None = None,
    ) -> Fact:  # fmt: skip
        now = self.clock()
        fact = Fact(text, now, kind, about, subject, since, until, cause=Cause("talk"))
        with self.db.write() as tx:
            kept = self.shared.ledger.learn(tx, fact, now, heir_of=heir_of)
            if heir_of:
                self.shared.ledger.end(tx, heir_of, "contradicted", Cause("talk"), now, heir=kept.id)
        return kept

    def end(self, fact: Fact, how: How = "ended") -> None:
        with self.db.write() as tx:
            self.shared.ledger.end(tx, fact, how, HAND, self.clock())

    def fill(self) -> Seen:
        """A family, some tools, a plan, an event, and the agent itself."""
        add = self.shared.create
        add("person", {"name": "Noor", "relation": "user", "objectives": "learn Portuguese"}, HAND)
        add("person", {"name": "Anna", "relation": "sister", "relationships": "Bob: husband; Mila: daughter"}, HAND)
        add("person", {"name": "Bob", "relationships": "Carl: brother", "alive": "no"}, HAND)
        self.end(self.learn("Uses Magnet.", "tools"))
        self.learn("Uses Shram.", "tools")
        self.learn("Works day shifts.", "work", heir_of=self.learn("Works night shifts.", "work"))
        self.learn("Anna plays the cello.", "music", "Anna")
        self.learn("Likes fado.", "music", since="2024")
        self.learn("Visits Joana in Porto.", "travel", kind="plan", until="2026-12-20")
        self.learn("Visited Lisbon.", "travel", kind="plan", until="2026-01-20")
        add("event", {"note": "Moved to Bonn", "dates": "2024-05"}, HAND)
        self.end(self.learn("A secret."), "forgotten")
        ada = self.own.create("person", {"name": "Ada", "relation": SELF, "personality": "shy"}, HAND)
        self.own.change(ada, {"personality": "bold"}, HAND)
        return self
