"""Takes facts from what somebody says, by rules alone: for use without a model.

Simple sentences of the first person, and some of the third, become atomic facts in the third person; days are
resolved, plans keep their day. What is not understood is left out: a fact that was never said does more harm than one
that is missed. English only. Knows nothing of what is known already, but for corrections.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date

from memagent.facts import USER, Draft, Fact, Said
from memagent.facts.speech import STANDING_ORDER, expanded, statements, third_person
from memagent.memory.days import lasted, named, tense_of

MOST = 40
"""So many facts are taken from one message at the most."""
LONGEST_FACT = 200
_WHICH = r"(?:(?:older|younger|little|big|best|oldest|youngest|new|late|ex)[ -])?"
_KIN_WORDS = """sister brother mother father mum mom dad son daughter child wife husband partner girlfriend boyfriend
fiance fiancee friend cousin aunt uncle grandmother grandfather grandma grandpa niece nephew boss colleague coworker
neighbour neighbor roommate flatmate teacher doctor dog cat pet parrot rabbit horse puppy kitten"""
_KIN = rf"{_WHICH}(?:{'|'.join(_KIN_WORDS.split())})"
_NAME = r"(?:(?:Dr|Mr|Ms|Mrs)\.? )?[A-Z][\w-]+(?: [A-Z][\w-]+)?"
_VERB_WORDS = """is are was has have live lives lived work works worked like likes love loves hate hates play plays
speak speaks studies studied moved use uses want wants drive drives owns enjoy enjoys eat eats drink drinks teaches
runs got became turned turns died married graduated collects prefers"""
_VERBS = rf"(?:{'|'.join(_VERB_WORDS.split())})"
_THEIR = re.compile(
    rf"^(?i:my) (?P<of>{_KIN})(?:,? (?P<name>{_NAME}),?)? (?P<rest>(?:\w+ly |also |now |just )?{_VERBS} .+)$"
)
_CALLED = re.compile(rf"^(?i:my) (?P<of>{_KIN})(?:'s name)? is (?:called |named )?(?P<name>{_NAME})$")
_HAVE_CALLED = re.compile(
    rf"^(?:i|we) have (?:an? )?(?P<of>{_KIN}),? (?:called|named|whose name is) (?P<name>{_NAME})$", re.IGNORECASE
)
_MINE = re.compile(r"^(?:my|our) (?P<of>[\w' -]+?) (?P<rest>(?:is|are|was|were|has|will be|\w+s) .+)$", re.IGNORECASE)
_OTHER = re.compile(rf"^(?P<name>{_NAME}) (?P<rest>{_VERBS} .+)$")
_OF_LAST = re.compile(rf"^(?:he|she|they) (?P<rest>{_VERBS} .+)$", re.IGNORECASE)
_NAMED = re.compile(
    rf"^(?:(?:my|the) name is|(?:please )?call me|i am called|i go by) (?P<name>{_NAME})$", re.IGNORECASE
)
_I_AM = re.compile(r"^i am (?P<name>[A-Z][a-z]+)(?: [A-Z][a-z]+)?$", re.IGNORECASE)
_PEOPLE = re.compile(r"(?:ish|ese|ian|ean|can|man|ch|ic|vegan|ist)$", re.IGNORECASE)
_OVER = re.compile(
    r"^(?:i|we) (?:(?:do|am|can|have|are|did) )?(?:not|never)\b.*\b(?:anymore|any longer)$|"
    r"^(?:i|we) (?:am |have |can )?no longer\b|"
    r"^(?:i|we) (?:have )?(?:just |recently |finally )?(?:stopped|quit|gave up|given up|got rid of|sold|cancell?ed|"
    r"uninstalled|deleted|used to|broke up with|dropped)\b",
    re.IGNORECASE,
)
_USED_TO = re.compile(r"^(?:i|we) used to ", re.IGNORECASE)
_SWITCHED = re.compile(
    r"^(?:i|we) (?:have )?(?:just |recently |now )?(?:(?:switched|changed|moved over|migrated) from (?P<old>.+?) to|"
    r"(?:replaced|swapped) (?P<gone>.+?) (?:with|by|for)|(?:switched|changed) my (?P<what>[\w ]+?) to) (?P<new>.+)$",
    re.IGNORECASE,
)
_NOT_THAT = re.compile(r",? (?:and |but )?not (?:in |at |on )?[A-Z][\w.]*(?: [A-Z][\w.]*)?$")
_MOVED = re.compile(
    r"^(?:i|we) (?:have |am |are )?(?:just |recently |now )?(?:moved|relocated)(?: from (?P<old>.+?))?(?: back)? to "
    r"(?P<new>.+)$",
    re.IGNORECASE,
)
_FIRST = re.compile(r"^(?:i|we) (?P<rest>.+)$", re.IGNORECASE)
_NOTHING_SAID = re.compile(
    r"^(?:i|we) (?:really |also |just |do |do not |am |would )*(?:think|guess|suppose|mean|see|know|understand|wonder|"
    r"hope|agree|thank|appreciate|apologi[sz]e|believe|say|ask|feel|remember|forget|sure|sorry|glad|happy|fine|good|ok|"
    r"okay|here|back|confused|tired|hungry|bored|asking|trying|wondering|thinking|looking|talking|afraid|"
    r"need (?:you|your|help|to know)|want (?:you|to know|to ask)|would like (?:you|to know|to ask)|like (?:you|to know|"
    r"to ask|that|it)\b|have a question|have to go|can not (?:find|see|tell)|promise|bet|swear|doubt|let|got it|"
    r"will be back|was just|was wondering)\b",
    re.IGNORECASE,
)
_LISTING = """use uses like likes love loves enjoy enjoys hate hates has own owns play plays speak speaks eat eats drink
drinks know knows collect collects watches reads to using eating drinking playing"""
_LISTED = re.compile(
    rf"^(?P<head>(?:.*? )?(?:{'|'.join(_LISTING.split())}) )(?P<things>[^:]+?)"
    r"(?P<tail>(?: (?:as|for|in|at|with|on|since|every|when|named|called|from|anymore|any longer)\b.*)?)$"
)
_ONE_THING = frozenset(
    ["rock and roll", "fish and chips", "mac and cheese", "salt and pepper", "black and white", "bread and butter"]
)
_MEANT = re.compile(
    r"^(?:no,? |sorry,? |oops,? |wait,? )*(?:i meant(?: to say)?|correction:?|make that|i should have said) "
    r"(?P<new>.+?)(?:,? (?:and )?not (?P<old>.+?))?[.!]*$",
    re.IGNORECASE,
)
_LIKES = re.compile(r"\b(?:likes?|loves?|enjoys?|hates?|prefers?|dislikes?|favou?rite|not like)\b")


class PlainExtractor:
    """Takes facts from talk without a model."""

    def extract(self, talk: Sequence[Said], known: Sequence[Fact]) -> Sequence[Draft]:
        """What the people say in these messages; what an agent says is left out."""
        drafts: list[Draft] = []
        for said in talk:
            if said.who != "agent":
                found = {(draft.text, draft.holds): draft for draft in _Speaker(said, known).drafts()}
                drafts += [replace(d, message=said.seq) for d in found.values() if len(d.text) <= LONGEST_FACT][:MOST]
        return drafts


class _Speaker:
    """What one person says in one message."""

    def __init__(self, said: Said, known: Sequence[Fact]) -> None:
        self._said = said
        self._known = known
        self._day: date = said.when.date()
        user = said.who == USER
        self._who, self._about = ("The user", USER) if user else (said.who, said.who)
        self._last = ""  # who was named last

    def drafts(self) -> Iterator[Draft]:
        """Everything that is understood."""
        if meant := _MEANT.match(self._said.text.strip().replace("’", "'")):
            yield from self._corrected(meant["new"].strip(), (meant["old"] or "").strip())
            return
        for clause, sentence in statements(self._said.text):
            if STANDING_ORDER.match(clause):
                text = f"{self._who} said: “{clause[:150]}”"
                yield Draft(text, kind="instruction", about=self._about, confidence=0.5, quote=sentence)
                continue
            for draft in self._of(_NOT_THAT.sub("", expanded(clause).strip(" .!"))):
                yield replace(draft, quote=sentence[:300])

    def _of(self, clause: str) -> Iterator[Draft]:
        """What one clause says."""
        if found := _NAMED.match(clause) or self._introduced(clause):
            yield Draft(f"{self._whose()} name is {found['name']}", about=self._about, subject="name", confidence=0.9)
        elif found := _CALLED.match(clause) or _HAVE_CALLED.match(clause):
            yield from self._relation(found["of"], found["name"])
        elif found := _THEIR.match(clause):
            yield from self._their(found["of"], found["name"] or self._known_name(found["of"]), found["rest"])
        elif found := _SWITCHED.match(clause):
            yield from self._switched(found["old"] or found["gone"] or "", found["what"] or "", found["new"], clause)
        elif found := _MOVED.match(clause):
            when = named(found["new"], self._day, "past")
            place = found["new"][: when.start] if when else found["new"]
            since = when.first if when else self._day.isoformat()[:7]
            yield Draft(f"{self._who} lives in {place.strip(' ,')}", about=self._about, since=since)
        elif _OVER.match(clause):
            yield from self._over(clause)
        elif _FIRST.match(clause) and not _NOTHING_SAID.match(clause):
            yield from self._dated(third_person(clause, self._who), clause)
        elif found := _MINE.match(clause):
            theirs = re.match(rf"(?P<kin>{_KIN})(?:'s)? ", f"{found['of']} ")
            about = f"{self._whose()} {theirs['kin']}".lower() if theirs else self._about
            yield from self._dated(f"{self._whose()} {found['of']} {found['rest']}", clause, about)
        elif found := _OF_LAST.match(clause):
            if self._last:
                yield from self._about_other(self._last, found["rest"])
        elif found := _OTHER.match(clause):
            self._last = found["name"]
            yield from self._about_other(found["name"], found["rest"])

    def _whose(self) -> str:
        return f"{self._who}'s"

    def _introduced(self, clause: str) -> re.Match[str] | None:
        found = _I_AM.match(clause)
        return found if found and found["name"][0].isupper() and not _PEOPLE.search(found["name"]) else None

    # Others -----------------------------------------------------------------------------------------------------------

    def _relation(self, of: str, name: str) -> Iterator[Draft]:
        self._last = name
        yield Draft(f"{self._whose()} {of} is called {name}", about=self._about, subject=of, confidence=0.9)

    def _their(self, of: str, name: str, rest: str) -> Iterator[Draft]:
        """What is said of somebody who belongs to the speaker."""
        if name:
            yield from self._relation(of, name)
        about = name or f"{self._whose()} {of}".lower()
        text = " ".join(part for part in (f"{self._whose()} {of}", name, rest) if part)
        yield from self._dated(_settled(text), rest, about)

    def _known_name(self, of: str) -> str:
        """The name of a sister or a dog, if it was told before."""
        told = re.compile(rf"{re.escape(self._whose())} {re.escape(of)} is (?:called |named )?({_NAME})\b")
        return next((found[1] for fact in self._known if (found := told.match(fact.text))), "")

    def _about_other(self, name: str, rest: str) -> Iterator[Draft]:
        yield from self._dated(_settled(f"{name} {rest}"), rest, name)

    # Endings and corrections ------------------------------------------------------------------------------------------

    def _over(self, clause: str) -> Iterator[Draft]:
        """Something does not hold any more."""
        when = named(clause, self._day, "past")
        until = when.first if when and not when.coming else self._day.isoformat()
        if when:
            clause = f"{clause[: when.start]}{clause[when.end :]}".strip()
        text = re.sub(
            r"\b(?:(?:do|did|does) )?(?:not|no longer|never)\b ?(?:really )?", "", clause, flags=re.IGNORECASE
        )
        text = re.sub(r" ?\b(?:anymore|any longer)\b", "", text, flags=re.IGNORECASE).strip()
        before = _USED_TO.sub("I ", text)
        for one in _apart(third_person(before, self._who)):
            yield Draft(one, False, about=self._about, until=until)
        if before != text:
            yield Draft(third_person(clause, self._who), about=self._about)

    def _switched(self, old: str, what: str, new: str, clause: str) -> Iterator[Draft]:
        """One thing takes the place of another."""
        if what:
            yield from self._dated(f"{self._who} uses {new} as their {what}", clause)
            return
        known = [fact for fact in self._known if re.search(rf"\b{re.escape(old)}\b", fact.text, re.IGNORECASE)]
        if known:
            text = re.sub(rf"\b{re.escape(old)}\b", lambda _: new, known[0].text, flags=re.IGNORECASE)
            yield Draft(text, kind=known[0].kind, about=self._about, replaces=(known[0].text,))
            return
        yield Draft(f"{self._who} uses {old}", False, about=self._about, until=self._day.isoformat())
        yield from self._dated(f"{self._who} uses {new}", clause)

    def _corrected(self, new: str, old: str) -> Iterator[Draft]:
        """What was meant, in the place of what was said before."""
        if old:
            wrong = [fact for fact in self._known if re.search(rf"\b{re.escape(old)}\b", fact.text, re.IGNORECASE)]
        else:
            wrong = [fact for fact in self._known if len(_names(fact.text)) == 1 and _names(new) == [new]]
        last = max(wrong, key=lambda fact: (fact.said, fact.id), default=None)
        if last:
            before = old or _names(last.text)[0]
            text = re.sub(rf"\b{re.escape(before)}\b", lambda _: new, last.text, flags=re.IGNORECASE)
            yield Draft(text, kind=last.kind, about=last.about, subject=last.subject, replaces=(last.text,))
        elif _FIRST.match(expanded(new)) or _MINE.match(expanded(new)):
            yield from self._of(expanded(new))

    # Times ------------------------------------------------------------------------------------------------------------

    def _dated(self, text: str, clause: str, about: str = "") -> Iterator[Draft]:
        """A statement, apart if it lists several things, with the times that it names."""
        when = None if _YEARLY.search(text) else named(text, self._day, tense_of(clause))
        kind, since, until = "fact", None, None
        if when:
            moved = _MOVING.search(clause) and " lives in " in text[: when.start]  # whoever has, lives there since then
            before, after = text[: when.start], text[when.end :]
            text = f"{before.rstrip()}{after}" if moved else f"{before}{when.lasting}{after}"
            since, until = when.holding
            if when.coming and since and until:
                kind = "plan"
            else:
                until = until if when.coming else None
        since = since or lasted(clause, self._day) or None
        if kind == "fact" and _LIKES.search(text):
            kind = "preference"
        for one in _apart(text):
            yield Draft(
                _NOW.sub("", " ".join(one.split())), kind=kind, about=about or self._about, since=since, until=until
            )


_YEARLY = re.compile(r"\b(?:birthday|born|anniversary)\b")
_NOW = re.compile(r",? (?:now|nowadays|currently|these days)$", re.IGNORECASE)


_MOVING = re.compile(r"\b(?:has )?(?:just |recently |now )?(?:moved|relocated)(?: back)? to\b")


def _settled(text: str) -> str:
    """Whoever has moved somewhere lives there."""
    return _MOVING.sub("lives in", text)


def _names(text: str) -> list[str]:
    return [name for name in re.findall(r"[A-Z][\w-]+(?: [A-Z][\w-]+)*", text) if name not in ("The", "User", "I")]


def _apart(text: str) -> list[str]:
    """A statement that lists several things, as one for each."""
    found = _LISTED.match(text)
    things = re.split(r",? and |, ", found["things"]) if found else []
    if not found or len(things) < 2 or not all(_is_thing(thing) for thing in things):
        return [text]
    if any(pair in found["things"].lower() for pair in _ONE_THING):
        return [text]
    return [f"{found['head']}{thing}{_single(found['tail'])}" for thing in things]


def _is_thing(text: str) -> bool:
    return 1 <= len(text.split()) <= 4 and not re.search(
        r"\b(?:i|who|that|is|are|was|she|he|it|they|not|but)\b", text, re.IGNORECASE
    )


def _single(tail: str) -> str:
    """What several things are together, each of them is alone: "as tools" is "as a tool"."""
    found = re.match(r"^ as (?P<what>(?:[\w-]+ ){0,2}[\w-]+[^s\W])s$", tail)
    if not found:
        return tail
    article = "an" if found["what"][0].lower() in "aeiou" else "a"
    return f" as {article} {found['what']}"
