"""Keeps facts: takes in what was said, holds it against what is known, and answers what holds, what held, and why.

This is the one door to the facts of one user, or of one agent alone; agents, the command line and the library go
through it. All parts are handed in. Knows nothing of agents, or of how a model is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from memagent import watching
from memagent.errors import UserError
from memagent.facts import BY_HAND, Cause, Chooser, Draft, Extractor, Fact, Said, State, What
from memagent.facts.drafts import checked
from memagent.facts.fields import When, form_of
from memagent.facts.finding import FactFinder, Match, Matches
from memagent.facts.ledger import Ledger
from memagent.facts.policy import USUAL, Policy, lapse, sweep
from memagent.storage import Transaction

if TYPE_CHECKING:
    from memagent.facts.reconcile import Verdict

CANDIDATES = 12
"""So many of the nearest known facts are compared with a new one."""
BATCH = 1000


@dataclass(frozen=True)
class Outcome:
    """What became of a draft: `what` happened, to which fact, and which one it took the place of."""

    what: What
    fact: Fact
    instead_of: Fact | None = None


@dataclass(frozen=True)
class Weighed:
    """A draft with what it means for what is known; `newest` is the number of the newest fact that was known then."""

    draft: Draft
    verdict: Verdict
    newest: int


class FactMemory:
    """The facts of one keeper."""

    def __init__(
        self, ledger: Ledger, finder: FactFinder, extractor: Extractor, clock: Callable[[], datetime],
        policy: Policy = USUAL, chooser: Chooser | None = None,
    ) -> None:  # fmt: skip
        self.ledger = ledger
        self.finder = finder
        self.extractor = extractor
        self.clock = clock
        self.policy = policy
        self.chooser = chooser

    # Taking in --------------------------------------------------------------------------------------------------------

    def add(self, text: str, *, who: str = "user", cause: Cause | None = None) -> list[Outcome]:
        """Learn from something that was said now."""
        return self.take([Said(who, text, self.clock())], cause or Cause("talk"))

    @watching.memory("upsert_memory", "facts")
    def take(self, talk: Sequence[Said], cause: Cause) -> list[Outcome]:
        """Learn from some messages, the newest last."""
        verdicts = self.weighed(self.extract(talk))
        with self.ledger.database.write(self.ledger.keeper.shelf) as tx:
            return self.take_in(tx, verdicts, talk, cause)

    def extract(self, talk: Sequence[Said]) -> Sequence[Draft]:
        """What is in these messages, as the extractor sees it, made fit to be kept; nothing is kept yet."""
        words = " ".join(said.text for said in talk)
        known = [match.fact for match in self.finder.find(words, size=CANDIDATES).matches] if words.strip() else []
        return list(checked(self.extractor.extract(talk, known)))

    def weighed(self, drafts: Sequence[Draft]) -> list[Weighed]:
        """Each draft with what it means for what is known; searching and asking take their time, so they come before
        the writing.
        """
        from memagent.facts.reconcile import decide

        newest = self.ledger.newest()
        return [Weighed(draft, decide(draft, self._near(draft), self.chooser), newest) for draft in drafts]

    def _near(self, draft: Draft) -> list[Match]:
        """The known facts that a draft may bear upon: those like it, and those that hold in its place."""
        from memagent.facts.reconcile import probe

        looked_for = [text for text in (draft.text, *draft.replaces, probe(draft)) if text.strip()]
        found: dict[int, Match] = {}
        for text in looked_for:
            for match in self.finder.find(text, size=CANDIDATES, about=draft.about).matches:
                found.setdefault(match.fact.id, match)
        return list(found.values())

    def take_in(
        self, tx: Transaction, weighed: Sequence[Weighed], talk: Sequence[Said], cause: Cause
    ) -> list[Outcome]:  # fmt: skip
        """Keep what drafts tell, within a transaction; others who learn for this keeper wait for its end."""
        self.ledger.hold(tx)
        by_number = {said.seq: said for said in talk}
        outcomes: list[Outcome] = []
        for each in weighed:
            said = by_number.get(each.draft.message) or talk[-1]
            own = replace(cause, message=said.seq or cause.message)
            verdict = self._weighed_anew(tx, each, {done.fact.id for done in outcomes})
            outcomes += self._take(tx, each.draft, verdict, said.when, own)
        return outcomes

    def _weighed_anew(self, tx: Transaction, weighed: Weighed, own: set[int]) -> Verdict:
        """The verdict, or another one, if others have learned something about the same meanwhile. What was learned in
        the same breath (`own`) contradicts nothing of itself.
        """
        newer = [fact for fact in self.ledger.learned_since(tx, weighed.newest, weighed.draft.about)
                 if fact.id not in own]  # fmt: skip
        if not newer:
            return weighed.verdict
        old = [fact for fact in map(lambda f: self._still(tx, f), weighed.verdict.facts) if fact]
        from memagent.facts.reconcile import decide

        return decide(weighed.draft, [Match(fact, "") for fact in [*old, *newer]])

    def _take(
        self, tx: Transaction, draft: Draft, verdict: Verdict, when: datetime, cause: Cause
    ) -> list[Outcome]:  # fmt: skip
        now = self.clock()
        if self.ledger.learned_from(tx, cause, draft.text):  # the same message came again
            return []
        old = [fact for fact in map(lambda f: self._still(tx, f), verdict.facts) if fact]
        if verdict.what == "confirmed":
            return self._confirmed(tx, old, draft, cause, now)
        outranked = verdict.doubtful and cause.origin not in BY_HAND
        spared = [fact for fact in old if outranked and fact.cause.origin in BY_HAND]
        old = [fact for fact in old if fact not in spared]
        if verdict.what == "ended":
            over = [fact for fact in old if _last_said(fact) <= _aware(when)]  # it was said again after that
            return [self._ended(tx, fact, verdict.left, draft, cause, now) for fact in over]
        confidence = draft.confidence / 2 if spared else draft.confidence  # what was written by hand says otherwise
        fact = Fact(
            draft.text, when, draft.kind, draft.about, draft.subject, draft.since, draft.until, confidence,
            draft.details, draft.quote, cause,
        )  # fmt: skip
        later = [fact for fact in old if _last_said(fact) > _aware(when)]
        if verdict.what == "contradicted" and later:
            return [self._outdated(tx, fact, later[0], now)]
        if verdict.what in ("refined", "contradicted") and old:
            new = self.ledger.learn(tx, fact, now, heir_of=old[0], what="learned")
            for one in old:
                self.ledger.end(tx, one, verdict.what, cause, now, heir=new.id, until=draft.since)
            return [Outcome(verdict.what, new, old[0])]
        if twin := self.ledger.twin(tx, draft.text, draft.about):
            return self._confirmed(tx, [twin], draft, cause, now)
        return [Outcome("learned", self.ledger.learn(tx, fact, now))]

    def _outdated(self, tx: Transaction, fact: Fact, later: Fact, now: datetime) -> Outcome:
        """What was said before the opposite, and is read after it: it held until then."""
        new = self.ledger.learn(tx, fact, now)
        until = fact.until or later.since or _last_said(later).date().isoformat()
        return Outcome("learned", self.ledger.end(tx, new, "contradicted", fact.cause, now, heir=later.id, until=until))

    def _confirmed(
        self, tx: Transaction, old: Sequence[Fact], draft: Draft, cause: Cause, now: datetime
    ) -> list[Outcome]:  # fmt: skip
        """The same is said again; nothing, if what is repeated is gone meanwhile, or by the very same message."""
        if not old or self.ledger.touched_by(tx, old[0], cause):
            return []
        confidence = 1 - (1 - old[0].confidence) * (1 - draft.confidence)
        return [Outcome("confirmed", self.ledger.confirm(tx, old[0], confidence, cause, now))]

    def _ended(
        self, tx: Transaction, fact: Fact, left: str, draft: Draft, cause: Cause, now: datetime
    ) -> Outcome:  # fmt: skip
        """A fact is over; what is left of it, if it told of several things, still holds."""
        heir = None
        if left:
            heir = self.ledger.learn(tx, replace(fact, text=left, cause=cause), now, heir_of=fact).id
        return Outcome("ended", self.ledger.end(tx, fact, "ended", cause, now, heir=heir, until=draft.until))

    def _still(self, tx: Transaction, fact: Fact) -> Fact | None:
        """The fact as it is now, if it still holds: a person may have changed it meanwhile."""
        found = self.ledger.seen(tx, fact.id)
        return found if found and found.state == "holds" else None

    # By hand ----------------------------------------------------------------------------------------------------------

    @watching.memory("delete_memory", "facts")
    def forget(self, number: int, cause: Cause) -> Fact:
        """Forget a fact: no answer shows a trace of it, but its history does."""
        fact = self.ledger.get(number)
        with self.ledger.database.write(self.ledger.keeper.shelf) as tx:
            return self.ledger.end(tx, fact, "forgotten", cause, self.clock())

    @watching.memory("update_memory", "facts")
    def end(self, number: int, cause: Cause, until: str | None = None) -> Fact:
        """A fact does not hold any more, from today or some day on: a day, a month or a year."""
        try:
            until = form_of(When).read(until) if until else None
        except ValueError as error:
            raise UserError(f"{until!r} is not a day.", hint="Write it like 2026-05-31, 2026-05 or 2026.") from error
        fact = self.ledger.get(number)
        with self.ledger.database.write(self.ledger.keeper.shelf) as tx:
            return self.ledger.end(tx, fact, "ended", cause, self.clock(), until=until)

    @watching.memory("update_memory", "facts")
    def restore(self, number: int, cause: Cause) -> Fact:
        """Bring a fact back that ended or was forgotten."""
        fact = self.ledger.get(number)
        with self.ledger.database.write(self.ledger.keeper.shelf) as tx:
            return self.ledger.restore(tx, fact, cause, self.clock())

    @watching.memory("create_memory", "facts")
    def state(self, text: str, cause: Cause, *, about: str = "user", subject: str = "", kind: str = "fact") -> Fact:
        """Keep a fact as somebody wrote it by hand."""
        now = self.clock()
        fact = Fact(_worded(text), now, kind, about, subject, confidence=1.0, cause=cause)
        with self.ledger.database.write(self.ledger.keeper.shelf) as tx:
            return self.ledger.learn(tx, fact, now)

    @watching.memory("create_memory", "facts")
    def state_many(self, texts: Sequence[str], cause: Cause) -> int:
        """Keep many facts as they are written, held against nothing, in batches; returns how many."""
        now = self.clock()
        texts = list(map(_worded, texts))
        for start in range(0, len(texts), BATCH):
            facts = [Fact(text, now, confidence=1.0, cause=cause) for text in texts[start : start + BATCH]]
            with self.ledger.database.write(self.ledger.keeper.shelf) as tx:
                self.ledger.learn_many(tx, facts, now)
        return len(texts)

    @watching.memory("update_memory", "facts")
    def correct(self, number: int, text: str, cause: Cause) -> Fact:
        """Put other words in the place of a fact; the old one is past, and its heir is of the same line."""
        old = self.ledger.get(number)
        if old.details:
            raise UserError(
                f"{number} is a memory of the kind {old.kind}, told by its fields.",
                hint=f"Change them: memagent memories edit {number} FIELD=VALUE",
            )
        with self.ledger.database.write(self.ledger.keeper.shelf) as tx:
            self.ledger.hold(tx)
            if not (still := self._still(tx, old)):
                raise UserError(f"Fact {number} does not hold any more.", hint="Bring it back first: restore it.")
            return self.ledger.replace(tx, still, _worded(text), cause, self.clock())

    def sweep(self) -> int:
        """Let all facts lapse that no longer hold by themselves; returns how many."""
        return sweep(self.ledger, self.policy, self.clock())

    # Asking -----------------------------------------------------------------------------------------------------------

    @watching.memory("search_memory", "facts")
    def search(
        self, text: str, page: int = 0, size: int = 10, *, states: Sequence[State] = ("holds",), kind: str = "",
        about: str = "",
    ) -> Matches:  # fmt: skip
        """Facts with these words or this meaning, best first. What has lapsed meanwhile is in the past now."""
        lapse(self.ledger, self.policy, self.clock())
        return self.finder.find(text, page, size, states=states, kind=kind, about=about, now=self.clock().date())


def _last_said(fact: Fact) -> datetime:
    return max(_aware(fact.said), _aware(fact.renewed or fact.said))


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.astimezone()


def _worded(text: str) -> str:
    if not text.strip():
        raise UserError("A fact needs words.", hint="To take one away, forget it.")
    return text
