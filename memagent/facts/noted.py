"""What a model noted of a talk, checked: what stands on what was said becomes a draft, all else is left out.

A model may note anything, in any number and any form. A statement counts if it shares its telling words with a sentence
of the user's that states something, and names nobody and no number that was not said; an end of a known fact counts if
the words speak of it. Knows nothing of how a model is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from memagent.facts import SELF, USER, Draft, Fact, Said
from memagent.facts.dating import named
from memagent.facts.grounds import KIN, names_in, plain, source_of, stated, stem, telling
from memagent.facts.likeness import Statement, weighed
from memagent.facts.wording import dated, in_full, in_short, put_right, split, third, tidied, without
from memagent.messages import storable

MOST = 6
"""Facts that one message can tell."""
MOST_READ = 60
"""Of what a model noted, no more is looked at."""
LONGEST_CORRECTION = 14
"""Words of a correction that are kept as they were said."""
CLEAR, OPEN = 0.3, 1.0
"""How far ahead of the others one must be to be meant for sure, and how far behind it one can be and yet be meant."""
SURE, LIKELY = 0.8, 0.6
"""How far a statement is trusted, if all of its words were said, and if not."""
OVER = re.compile(
    r"\b(?:\w+n't|not|no|never|cannot|longer|any ?more|anymore|stop\w*|quit\w*|gave up|giving up|given up|cancel\w*|"
    r"sold|selling|lost|left|leaving|broke up|split up|divorced|died|dropp?\w*|ended|finished|over|former|replac\w*|"
    r"switch\w*|instead|returned|deleted|uninstalled|retired|resigned|got rid|gone|without|moved)\b",
    re.IGNORECASE,
)
"""Words by which something comes to an end, without anything in its place."""
_OVER_NOW = re.compile(
    r"\b(?:no longer|no more|any ?more|stopped|quit|gave up|cancelled|canceled|sold|dropped|got rid|lost|broke up)\b",
    re.IGNORECASE,
)
"""What a statement says that only tells the end of another."""
PUTS_RIGHT = re.compile(
    r"\b(?:actually|correct\w*|sorry|oops|meant|wrong|mistyped|misspel\w*|typo|now)\b", re.IGNORECASE
)
"""Words by which something else takes the place of what was said."""
DENIES = re.compile(
    r"\b(?:not|never|no|none|\w+n't|cannot|without|longer|any ?more|anymore|stop\w*|quit|former|ex)\b", re.IGNORECASE
)
_KIN = re.compile(
    rf"^(?:(?:the )?user's |their |his |her )?(?P<who>{KIN})\b(?!'s name| is called| is (?-i:[A-Z])|: )"
    r"(?: (?P<name>(?-i:[A-Z])[\w-]+))?",
    re.IGNORECASE,
)
_MANY = frozenset(
    {
        "plays",
        "likes",
        "loves",
        "uses",
        "speaks",
        "has",
        "owns",
        "knows",
        "collects",
        "grows",
        "takes",
        "hates",
        "reads",
    }
    | {"enjoys", "watches", "subscribes", "codes", "visited", "learns", "sings", "practises", "drinks", "eats"}
)
"""Of these, many can hold at once."""
_ALSO = re.compile(r"\b(?:also|too|as well|another|second|third|besides|in addition)\b", re.IGNORECASE)
_MY_KIN = re.compile(
    rf"\b[Mm]y (?:best |old |new |little |big |older |younger )?(?P<who>{KIN}) (?P<name>[A-Z][\w-]+)\b(?!')"
)
_LASTING = re.compile(
    r"\b(?:I (?:really |also |still )?(?:hate|love|prefer|live in|work (?:as|for|at|in)|speak|own|study)|I'd rather|"
    r"I'm allergic|[Mm]y (?:favourite|favorite|name is|birthday)) "
)
"""How people tell what lasts, in the plainest way."""
_NAME = re.compile(r"^(?P<name>(?:(?:Dr|Mr|Mrs|Ms|Prof)\.? )?[A-Z][\w-]*(?: [A-Z][\w-]+)?)(?:'s)? ")


@dataclass(frozen=True)
class Sentence:
    """Something that a message states."""

    text: str
    said: Said

    @property
    def compared(self) -> str:
        """Its words, with the days that it speaks of written out."""
        days = named(self.text, self.said.when.date())
        return f"{self.text} {days.shown} {days.first}" if days else self.text


@dataclass(frozen=True)
class Noted:
    """One thing that a model noted, as it wrote it, read into its parts."""

    text: str
    fields: Mapping[str, Any]


def sentences_of(talk: Sequence[Said]) -> list[Sentence]:
    """What the messages state; what the agent said is not among it."""
    return [Sentence(text, said) for said in talk if said.who != "agent" for text in stated(storable(said.text))]


def drafts(answer: Mapping[str, Any], sentences: Sequence[Sentence], known: Sequence[Fact]) -> list[Draft]:
    """The drafts in what a model noted. `known` are the facts that it was shown, in the order of their numbers."""
    names = {in_short(fact.text): fact.text for fact in known}
    shown = [replace(fact, text=in_short(fact.text)) for fact in known]
    return [
        replace(
            draft, text=_whole(draft) if draft.holds else names.get(draft.text) or _whole(draft),
            replaces=[names[text] for text in draft.replaces],
        )
        for draft in _found(answer, sentences, shown)
    ]  # fmt: skip


def _whole(draft: Draft) -> str:
    """A statement with its subject."""
    if draft.about == USER or _KIN.match(draft.text):
        return in_full(draft.text)
    return re.sub(r"\b(is|are|was|were) their\b", r"\1 the user's", draft.text)


def _found(answer: Mapping[str, Any], sentences: Sequence[Sentence], known: Sequence[Fact]) -> list[Draft]:
    found, ended = dict[tuple[str, bool, int], Draft](), _ended(answer.get("ended"), known)
    every, ends_by_words = list(_listed(answer.get("new", answer.get("facts")))), False
    for noted in every:
        over = noted.fields.get("holds") is False or bool(_OVER_NOW.search(noted.text))
        now = max((_common(draft.text, noted.text) for draft in found.values()), default=0)
        if over and (old := _nearest(noted.text, known)) and _common(noted.text, old.text) >= now:
            ended.append(old)
            ends_by_words = True
            continue
        draft = _draft(noted, sentences, known)
        if draft and over:  # something that was said in the same talk
            earlier = max(found.values(), key=lambda each: _common(each.text, noted.text), default=draft)
            alike = _common(earlier.text, noted.text) > 0
            draft = replace(draft, text=earlier.text, holds=False) if alike and earlier is not draft else draft
        if draft:
            found.setdefault((draft.text.casefold(), draft.holds, draft.message), draft)
        if len(found) >= MOST * len({sentence.said.seq for sentence in sentences}):
            break
    only_copied = {plain(noted.text) for noted in every} <= {plain(fact.text) for fact in known}
    if every and only_copied and not found and not ends_by_words:
        ended = []  # it only copied what it was shown
        found = {(d.text, d.holds, d.message): d for d in map(_in_own_words, sentences) if d}
    missed = [draft for sentence in sentences if (draft := _missed(sentence, list(found.values())))]
    parts = [draft for draft in found.values() if not any(m.text.startswith(f"{draft.text},") for m in missed)]
    texts = {draft.text.casefold() for draft in parts}
    taken = [*parts, *(draft for draft in missed if draft.text.casefold() not in texts)]
    return _with_ends([*taken, *_relations(taken, sentences)], ended, sentences, known)


def _missed(sentence: Sentence, found: Sequence[Draft]) -> Draft | None:
    """What a plain statement about the user says, in its own words, where nothing was noted of it, or not all
    that it lists.
    """
    if DENIES.search(sentence.text) or OVER.search(sentence.text):
        return None
    if own := [draft for draft in found if draft.quote == sentence.text]:
        whole = _in_own_words(sentence)
        return whole if whole and any(whole.text.startswith(f"{draft.text},") for draft in own) else None
    lasting = _LASTING.search(sentence.text)
    return _in_own_words(replace(sentence, text=sentence.text[lasting.start() :])) if lasting else None


def _relations(found: Sequence[Draft], sentences: Sequence[Sentence]) -> Iterable[Draft]:
    """Who somebody is to the user, where that was said in passing: "my sister Eva works as a pilot"."""
    for sentence in sentences:
        for met in _MY_KIN.finditer(sentence.text):
            name, who = met["name"], met["who"].lower()
            if not any({stem(name.lower()), stem(who)} <= telling(draft.text) for draft in found):
                text = f"{who.capitalize()} is called {name}"
                yield Draft(text, confidence=SURE, quote=sentence.text, message=sentence.said.seq)


def _listed(value: Any) -> Iterable[Noted]:
    for item in value[:MOST_READ] if isinstance(value, list) else ():
        fields = item if isinstance(item, dict) else {}
        text = fields.get("text") if fields else item
        if isinstance(text, str) and (text := tidied(text)):
            yield from (Noted(one, fields) for one in split(text))


def _draft(noted: Noted, sentences: Sequence[Sentence], known: Sequence[Fact]) -> Draft | None:
    told_of = noted.fields.get("message")
    if isinstance(told_of, int):  # one that is not among these was read already
        sentences = [sentence for sentence in sentences if sentence.said.seq == told_of]
    if DENIES.search(noted.text):
        sentences = [sentence for sentence in sentences if DENIES.search(sentence.text)]
    compared = [sentence.compared for sentence in sentences]
    at = source_of(noted.text, compared, [fact.text for fact in known])
    if at is None:
        return None
    source = sentences[at]
    quote = noted.fields.get("quote")
    if isinstance(quote, str) and quote.strip() and plain(quote) not in plain(source.said.text):
        return None
    text, since, until = dated(third(noted.text, source.text), source.text, source.said.when.date())
    own = noted.fields
    subject = own.get("subject")
    return Draft(
        text,
        own.get("holds") is not False,
        about=_whom(noted, source),
        subject=subject[:60] if isinstance(subject, str) else "",
        since=since or _told_day(own.get("since"), source.text),
        until=until or _told_day(own.get("until"), source.text),
        confidence=SURE if telling(text) <= telling(compared[at]) else LIKELY,
        quote=source.text,
        message=source.said.seq,
        replaces=[fact.text for fact in _ended(own.get("ends"), known) if _common(source.text + text, fact.text)],
    )


def _told_day(value: Any, sentence: str) -> str | None:
    """A day that a model noted, if the sentence names its year: small models fill in any, or that of an example."""
    day = _day(value)
    return day if day and day[:4] in sentence else None


def _day(value: Any) -> str | None:
    """An ISO day, month or year, if it is one."""
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}(?:-\d\d(?:-\d\d)?)?", value):
        return None
    try:
        date.fromisoformat((value + "-01-01")[:10])
    except ValueError:
        return None
    return value


def _whom(noted: Noted, source: Sentence) -> str:
    """Whom a statement is about: the user, or somebody that the sentence names."""
    told = noted.fields.get("about")
    if isinstance(told, str) and told.strip():
        told = " ".join(told.split())[:60]
        if told.casefold() in (USER, SELF) or plain(told) in plain(source.said.text):
            return told.casefold() if told.casefold() in (USER, SELF) else told
    if kin := _KIN.match(noted.text):
        return kin["name"] or kin["who"].lower()
    name = _NAME.match(noted.text)
    return name["name"] if name and re.search(rf"\b{re.escape(name['name'])}\b", source.text) else USER


# What comes to an end -------------------------------------------------------------------------------------------------


def _ended(value: Any, known: Sequence[Fact]) -> list[Fact]:
    """The known facts of these numbers, which count from 1."""
    numbers = value if isinstance(value, list) else [value]
    wanted = {n for n in numbers if isinstance(n, int) and not isinstance(n, bool)}
    return [fact for number, fact in enumerate(known, 1) if number in wanted]


def _with_ends(
    found: list[Draft], ended: Sequence[Fact], sentences: Sequence[Sentence], known: Sequence[Fact]
) -> list[Draft]:
    """The drafts, and what they put an end to; what ends without anything in its place is a draft of its own."""
    result, told = list(found), {plain(fact.text) for fact in known}
    for fact in ended:
        new = [draft for draft in result if draft.holds and plain(draft.text) not in told]  # what is known is no heir
        if heirs := [draft for draft in new if _may_follow(draft, fact)]:
            heir = max(heirs, key=lambda draft: _common(draft.text, fact.text))
            if heir.about != USER and not _says_so(heir.quote):
                continue  # of what is told of somebody else, meaning decides, which is not known here
            meant = which(heir, [each for each in known if each is fact or _may_follow(heir, each)], fact)
            result[result.index(heir)] = replace(heir, replaces=[*dict.fromkeys([*heir.replaces, meant.text])])
            continue
        meant, source = _meant(fact, sentences, known)
        corrected = _corrected(meant, source, sentences) if source and PUTS_RIGHT.search(source.text) else None
        if corrected:
            result.append(corrected)
        elif source and OVER.search(source.text):
            result.append(_end_of(meant, source))
    return result


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


def _may_follow(draft: Draft, fact: Fact) -> bool:
    """Whether a new statement can take the place of a known fact: it tells the same kind of thing, in other words. Who
    plays the piano may well play the violin too, so that the words must say that something ended.
    """
    first = plain(fact.text).split()[:1]
    return (
        (draft.about == USER) == (fact.about == USER)
        and plain(draft.text) != plain(fact.text)
        and (plain(draft.text).split()[:1] == first or _common(draft.text, fact.text) > 0)
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


def _in_own_words(sentence: Sentence) -> Draft | None:
    """What a plain statement about the user says, where the model noted something else instead."""
    text = put_right(sentence.text) if re.match(r"(?:I|My|We|Our)\b", sentence.text) else ""
    short = text and len(text.split()) <= LONGEST_CORRECTION
    return _draft(Noted(text, {}), [sentence], ()) if short and not DENIES.search(text) else None


def _corrected(fact: Fact, source: Sentence, sentences: Sequence[Sentence]) -> Draft | None:
    """What a correction says, where the model only noted what it ends."""
    text = put_right(source.text)
    draft = _draft(Noted(text, {}), sentences, ()) if text and len(text.split()) <= LONGEST_CORRECTION else None
    return replace(draft, replaces=[fact.text]) if draft and _may_follow(draft, fact) else None


def _end_of(fact: Fact, source: Sentence) -> Draft:
    if left := without(fact.text, source.text):
        return Draft(
            left, kind=fact.kind, about=fact.about, subject=fact.subject, quote=source.text, message=source.said.seq,
            replaces=[fact.text],
        )  # fmt: skip
    return Draft(
        fact.text, holds=False, kind=fact.kind, about=fact.about, subject=fact.subject, quote=source.text,
        message=source.said.seq, replaces=[fact.text],
    )  # fmt: skip


def _nearest(text: str, known: Sequence[Fact]) -> Fact | None:
    """The known fact that shares the most telling words with a text, if any does; where that names something, only one
    that names it too.
    """
    names = names_in(text)
    known = [fact for fact in known if not names or names & telling(fact.text)]
    best = max(known, key=lambda fact: _common(text, fact.text), default=None)
    return best if best and _common(text, best.text) else None


def _common(text: str, other: str) -> int:
    return len(telling(text) & telling(other))
