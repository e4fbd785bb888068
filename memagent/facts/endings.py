"""What a talk puts an end to: which known fact is meant, and what takes its place.

A model names known facts by numbers; whether words bear that out, and of which fact they speak, is decided here. Knows
nothing of how a model is asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from memagent.facts import USER, Draft, Fact
from memagent.facts.likeness import Statement, weighed
from memagent.facts.sentences import Sentence
from memagent.facts.wording import in_full, without
from memagent.facts.words import names_in, plain, telling

Correcting = Callable[[Sentence], Draft | None]
CLEAR, OPEN = 0.3, 1.0
"""How far ahead of the others one must be to be meant for sure, and how far behind it one can be and yet be meant."""
OVER = re.compile(
    r"\b(?:\w+n't|not|no|never|cannot|longer|any ?more|anymore|stop\w*|quit\w*|gave up|giving up|given up|cancel\w*|"
    r"sold|selling|lost|left|leaving|broke up|split up|divorced|died|dropp?\w*|ended|finished|over|former|replac\w*|"
    r"switch\w*|instead|returned|deleted|uninstalled|retired|resigned|got rid|gone|without|moved)\b",
    re.IGNORECASE,
)
"""Words by which something comes to an end, without anything in its place."""
PUTS_RIGHT = re.compile(
    r"\b(?:actually|correct\w*|sorry|oops|meant|wrong|mistyped|misspel\w*|typo|now)\b", re.IGNORECASE
)
"""Words by which something else takes the place of what was said."""
_MANY_VERBS = """
plays likes loves uses speaks has owns knows collects grows takes hates reads enjoys watches subscribes codes visited
learns sings practises drinks eats
"""
_MANY = frozenset(_MANY_VERBS.split())
"""Of these, many can hold at once."""
_ALSO = re.compile(r"\b(?:also|too|as well|another|second|third|besides|in addition)\b", re.IGNORECASE)


def numbered(value: Any, known: Sequence[Fact]) -> list[Fact]:
    """The known facts of these numbers, which count from 1."""
    numbers = value if isinstance(value, list) else [value]
    wanted = {n for n in numbers if isinstance(n, int) and not isinstance(n, bool)}
    return [fact for number, fact in enumerate(known, 1) if number in wanted]


def with_ends(
    found: list[Draft],
    ended: Sequence[Fact],
    sentences: Sequence[Sentence],
    known: Sequence[Fact],
    corrected: Correcting,
) -> list[Draft]:
    """The drafts, and what they put an end to; what ends without anything in its place is a draft of its own. What a
    sentence says that puts something right is `corrected`.
    """
    result, told = list(found), {plain(fact.text) for fact in known}
    for fact in ended:
        new = [draft for draft in result if draft.holds and plain(draft.text) not in told]  # what is known is no heir
        if heirs := [draft for draft in new if _may_follow(draft, fact)]:
            heir = max(heirs, key=lambda draft: common(draft.text, fact.text))
            if heir.about != USER and not _says_so(heir.quote):
                continue  # of what is told of somebody else, meaning decides, which is not known here
            meant = which(heir, [each for each in known if each is fact or _may_follow(heir, each)], fact)
            result[result.index(heir)] = replace(heir, replaces=[*dict.fromkeys([*heir.replaces, meant.text])])
            continue
        meant, source = _meant(fact, sentences, known)
        right = corrected(source) if source and PUTS_RIGHT.search(source.text) else None
        if right and _may_follow(right, meant):
            result.append(replace(right, replaces=[meant.text]))
        elif source and (OVER.search(source.text) or (not new and speaks_of(source.text, meant))):
            result.append(_end_of(meant, source))
    return result


def speaks_of(sentence: str, fact: Fact) -> bool:
    """Whether a sentence speaks of what a fact tells beyond its verb: of its things, and of whom it names."""
    said, names = telling(sentence), names_in(fact.text)
    acts = in_full(fact.text, fact.about).startswith("The user ")
    things = telling(fact.text.partition(" ")[2] if acts else fact.text)
    return bool(said & things) and (not names or bool(names & said))


def which(heir: Draft, known: Sequence[Fact], chosen: Fact) -> Fact:
    """Which known fact a new statement takes the place of: the one that the words speak of, where they clearly speak of
    one; where they leave it open, the one that was chosen.
    """
    words = heir.text if plain(heir.text) in plain(heir.quote) else f"{heir.text} {heir.quote}"
    ranking = ranked(words, known)
    worths = [worth for worth, _ in ranking]
    if len(worths) > 1 and worths[0] - worths[1] < CLEAR:
        near = [fact for worth, fact in ranking if worths[0] - worth < OPEN]
        return chosen if chosen in near else near[0]
    return ranking[0][1] if ranking else chosen


def ranked(statement: str, known: Sequence[Fact]) -> list[tuple[float, Fact]]:
    """The known facts, first what a statement most likely takes the place of, and how much speaks for each."""
    worths = weighed(Statement(statement), [Statement(fact.text) for fact in known], [0.0] * len(known))
    return sorted(zip(worths, known, strict=True), key=lambda one: -one[0])


def follows(draft: Draft, fact: Fact) -> bool:
    """Whether a new statement takes the place of a known fact, and its sentence says so."""
    return _may_follow(draft, fact) and _says_so(draft.quote)


def _may_follow(draft: Draft, fact: Fact) -> bool:
    """Whether a new statement can take the place of a known fact: it tells the same kind of thing, in other words. Who
    plays the piano may well play the violin too, so that the words must say that something ended.
    """
    first = plain(fact.text).split()[:1]
    return (
        (draft.about == USER) == (fact.about == USER)
        and plain(draft.text) != plain(fact.text)
        and (plain(draft.text).split()[:1] == first or common(draft.text, fact.text) > 0)
        and (not ({*first} & _MANY or _ALSO.search(draft.quote)) or _says_so(draft.quote))
    )


def _says_so(sentence: str) -> bool:
    return bool(OVER.search(sentence) or PUTS_RIGHT.search(sentence))


def _meant(fact: Fact, sentences: Sequence[Sentence], known: Sequence[Fact]) -> tuple[Fact, Sentence | None]:
    """The known fact that ends, and the sentence that says so: what the model named, unless the sentence speaks of
    another one with more of its words.
    """
    spoken = [s for s in sentences if OVER.search(s.text) or PUTS_RIGHT.search(s.text)] or list(sentences)
    words = {sentence.text: telling(sentence.text) for sentence in spoken}
    counts = [
        (len(words[sentence.text] & telling(each.text)), each is fact, -at, each, sentence)
        for sentence in spoken for at, each in enumerate(known)
    ]  # fmt: skip
    most = max(counts, key=lambda count: count[:3], default=None)
    if most is None or not most[0]:
        return fact, None
    return most[3], most[4]


def _end_of(fact: Fact, source: Sentence) -> Draft:
    if left := without(fact.text, telling(source.text)):
        return Draft(
            left, kind=fact.kind, about=fact.about, subject=fact.subject, quote=source.text, message=source.said.seq,
            replaces=[fact.text],
        )  # fmt: skip
    return Draft(
        fact.text, holds=False, kind=fact.kind, about=fact.about, subject=fact.subject, quote=source.text,
        message=source.said.seq, replaces=[fact.text],
    )  # fmt: skip


def nearest(text: str, known: Sequence[Fact]) -> Fact | None:
    """The known fact that shares the most telling words with a text, if any does; where that names something, only one
    that names it too.
    """
    names = names_in(text)
    known = [fact for fact in known if not names or names & telling(fact.text)]
    best = max(known, key=lambda fact: common(text, fact.text), default=None)
    return best if best and common(text, best.text) else None


def common(text: str, other: str) -> int:
    return len(telling(text) & telling(other))
