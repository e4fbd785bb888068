"""What a new statement means for what is known: it says the same, says more, contradicts it, or ends it.

Decided by words and meaning alone, without a model, unless the extractor has told what is replaced. Short statements
are understood (`frames`): whoever moved lives in the old place no more, whoever likes tea may like coffee too. Of
longer ones it is weighed how much they speak of one thing (`likeness`). Knows nothing of how facts are kept or found.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from memagent.facts import SELF, USER, Chooser, Draft, Fact
from memagent.facts.finding import Match
from memagent.facts.frames import Frame, written_out
from memagent.facts.likeness import Statement, weighed
from memagent.facts.wording import in_full, without
from memagent.facts.words import beginning, plain, root, telling

LONGEST = 400
"""Of a statement so many characters are looked at."""
SURE_MEANING = 0.8
"""An ending that shares no telling word with any fact may mean one that is so near."""
AGAINST = -2.1
"""From so much on a statement is held to take the place of another one: chosen where of a hundred statements that
contradict nothing three would end something, and of a hundred that do 94 end the right one.
"""
_MORE = "agent anymore longer stopped quit gave never now still currently"
_SAYS_NOTHING = frozenset(beginning(word) for word in _MORE.split())
_JOB = re.compile(r"\bjob\b")
_PRONOUN = re.compile(r"\b(?:there|it|that|this|him|her|them|those|these)\b")


@dataclass(frozen=True)
class Verdict:
    """What becomes of known facts: which, and whether that is `doubtful`, so that facts by hand are left alone. `left`
    is what remains of an ended fact that told of several things.
    """

    what: Literal["learned", "confirmed", "refined", "contradicted", "ended"]
    facts: Sequence[Fact] = ()
    doubtful: bool = True
    left: str = ""


def probe(draft: Draft) -> str:
    """What else to look for, beside a draft's own words: what holds instead of what it says, such as another home."""
    whose, relation, _ = _frame(draft.text, draft.about).said
    if not relation or relation.startswith("*"):
        return ""
    return _PROBES.get(relation, f"{whose}'s {relation}")


_PROBES = {
    "lives": "lives in, moved to", "works at": "works at, works for, job", "job": "works as, is a, profession",
    "age": "is years old, age", "partner": "is married to, partner, wife, husband", "marital": "married, single",
    "diet": "vegetarian, vegan, eats meat", "drives": "drives a car",
}  # fmt: skip


def decide(draft: Draft, known: Sequence[Match], chooser: Chooser | None = None) -> Verdict:
    """What a draft means for the facts that are nearest to it, the nearest first. Where words leave it open, the
    `chooser` is asked.
    """
    matches = [match for match in known if _comparable(draft, match.fact)]
    facts = [match.fact for match in matches]
    told = {plain(text) for text in draft.replaces}
    named = [fact for fact in facts if plain(fact.text) in told]
    if not draft.holds:
        return Verdict("ended", named, doubtful=False) if named else _ended(draft, matches)
    new = _frame(draft.text, draft.about)
    bears = [(fact, new.bears_on(_frame(fact.text, fact.about))) for fact in facts]
    if same := [fact for fact, how in bears if how in ("same", "vaguer") and not _another_time(draft, fact)]:
        replaced = [fact for fact in named if plain(fact.text) != plain(draft.text)]
        return Verdict("contradicted", replaced, doubtful=False) if replaced else Verdict("confirmed", same[:1])
    if named:
        return Verdict("contradicted", named, doubtful=False)
    if against := [fact for fact, how in bears if how == "against"]:
        return Verdict("contradicted", against, doubtful=not new.changed)
    if away := _said_to_be_over(draft, new, facts):
        return Verdict("contradicted", away, doubtful=False)
    finer = [fact for fact, how in bears if how == "finer" and not _another_time(draft, fact)]
    open_ = [match for match, (fact, how) in zip(matches, bears, strict=True) if how == "none" or fact in finer]
    weighed = _weighed(draft, open_, chooser)
    if finer and (not weighed.facts or weighed.facts[0] in finer):
        return Verdict("refined", finer[:1])
    return weighed


def _said_to_be_over(draft: Draft, new: Frame, facts: Sequence[Fact]) -> list[Fact]:
    """What the words that a draft was taken from put away: "my cat is called Mimi, not Momo", "I replaced Vim"."""
    quote = written_out(draft.quote)[:LONGEST]
    away = {root(word) for word in _AWAY.findall(quote)}
    alike = [
        (fact, old) for fact in facts
        if (old := _frame(fact.text, fact.about)).said[:2] == new.said[:2] and new.said[1] and old.denied == new.denied
    ]  # fmt: skip
    if over := [fact for fact, old in alike if away & (old.words - new.words)]:
        return over[:1]
    shared = [fact for fact, old in alike if old.words & new.words]
    return shared if len(shared) == 1 and _SWITCHED.search(quote) else []


_AWAY = re.compile(
    r"\b(?:not|replaced|replace|instead of|rather than|no longer|sold|dropped|from) (?:in |on |my |the |an? |at )*"
    r"(?:mr\.? |mrs\.? |ms\.? |dr\.? )?([\w-]+)"
)
_SWITCHED = re.compile(r"\b(?:switched|changed|swapped|replaced)\b")


def _frame(text: str, about: str) -> Frame:
    return Frame(in_full(text[:LONGEST], about))


def _comparable(draft: Draft, fact: Fact) -> bool:
    """Whether both tell of the same one; what is declared field by field is only held against its like."""
    return fact.about == draft.about and (fact.kind == draft.kind or not (fact.details or draft.details))


def _another_time(draft: Draft, fact: Fact) -> bool:
    """Whether the same is said of two times: two journeys to Rome."""
    if not draft.since or not fact.since:
        return False
    return not (draft.since.startswith(fact.since) or fact.since.startswith(draft.since))


def _weighed(draft: Draft, matches: Sequence[Match], chooser: Chooser | None) -> Verdict:
    """Whether a statement about somebody with a name takes the place of an older one."""
    new = Statement(draft.text[:LONGEST])
    olds = [Statement(match.fact.text[:LONGEST]) for match in matches]
    if draft.about in (USER, SELF) and len(new.rest) < ENOUGH:
        return Verdict("learned")
    worths = weighed(new, olds, [match.meaning for match in matches])
    rated = [(w, m.fact) for w, m, old in zip(worths, matches, olds, strict=True) if new.shares_somebody(old)]
    rated.sort(key=lambda one: -one[0])
    worth, fact = _chosen(draft, rated, chooser) if chooser else rated[0] if rated else (AGAINST, None)
    return Verdict("contradicted", [fact]) if fact and worth > AGAINST else Verdict("learned")


def _chosen(
    draft: Draft, rated: Sequence[tuple[float, Fact]], chooser: Chooser
) -> tuple[float, Fact | None]:  # fmt: skip
    """What weighs most once the chooser has been heard, where that may change it."""
    first, second = ([worth for worth, _ in rated] + [UNLIKELY] * 2)[:2]
    if first <= UNLIKELY or (first > SURE and first - second > CLEAR):
        return rated[0] if rated else (AGAINST, None)
    near = [(worth, fact) for worth, fact in rated[:MOST_ASKED] if worth > UNLIKELY and first - worth <= CLEAR]
    heard = chooser.against(draft.text, [fact.text for _, fact in near])
    if len(heard) != len(near):
        return rated[0]
    return max(((worth + SAY * (said - USUAL_SAY), fact) for (worth, fact), said in zip(near, heard, strict=True)),
               key=lambda one: one[0])  # fmt: skip


UNLIKELY, SURE, CLEAR = -4.0, 0.0, 1.0
"""Nothing is asked below the first, or above the second where one is so far ahead of the others: there, a model's word
changed hardly anything.
"""
MOST_ASKED = 2
SAY, USUAL_SAY = 2.0, -0.5
"""How much it counts what a chooser says, and what it says where that changes nothing."""
ENOUGH = 4
"""What is said of the user is only weighed if it has so many telling words: in few words, many things are alike."""


# Endings --------------------------------------------------------------------------------------------------------------


def _ended(draft: Draft, matches: Sequence[Match]) -> Verdict:
    """The one fact that an ending speaks of."""
    target = _frame(draft.text, draft.about)
    wanted = _telling(target.said[2]) or _telling(draft.text)
    relation = target.said[1].lstrip("*")
    if not wanted:
        alike = [
            m.fact for m in matches if relation and _frame(m.fact.text, m.fact.about).said[1].lstrip("*") == relation
        ]
        return Verdict("ended", alike[:1] if len(alike) == 1 or _PRONOUN.search(target.small) else [])
    best: tuple[tuple[bool, bool, float], Fact] | None = None
    for match in matches:
        frame = _frame(match.fact.text, match.fact.about)
        have = _telling(match.fact.text[:LONGEST])
        shared = wanted & have
        if not shared or (frame.denied and not target.denied):
            continue
        all_of_it = wanted <= have or (_telling(frame.said[2]) or have) <= wanted
        worth = (all_of_it, frame.said[1].lstrip("*") == relation, len(shared) / len(wanted | have))
        if (all_of_it or 2 * len(shared) >= len(wanted)) and (best is None or worth > best[0]):
            best = worth, match.fact
    if best:
        (sure, *_), fact = best
        return Verdict("ended", [fact], not sure, without(in_full(fact.text, fact.about), wanted))
    if _JOB.search(target.small):
        works = [m.fact for m in matches if _frame(m.fact.text, m.fact.about).said[1] in ("works at", "job")]
        return Verdict("ended", works[:1])
    near = [match.fact for match in matches[:1] if match.meaning >= SURE_MEANING]
    return Verdict("ended", near)


def _telling(text: str) -> set[str]:
    return telling(text) - _SAYS_NOTHING
