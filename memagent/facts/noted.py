"""What a model noted of a talk, checked: what stands on what was said becomes a draft, all else is left out.

A model may note anything, in any number and any form. A statement counts if it shares its telling words with a sentence
of the user's that states something, and names nobody and no number that was not said; an end of a known fact counts if
the words speak of it. Knows nothing of how a model is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from memagent.facts import SELF, USER, Draft, Fact
from memagent.facts.endings import OVER, common, follows, nearest, numbered, speaks_of, with_ends
from memagent.facts.fleeting import fleeting
from memagent.facts.grounds import KIN, source_of
from memagent.facts.sentences import Sentence
from memagent.facts.subjects import NOBODY, TELLS, completed, of_others
from memagent.facts.whose import CERTAIN, ME, OTHER
from memagent.facts.wording import PAST, dated, in_full, in_short, put_right, split, third, tidied
from memagent.facts.words import beginning, plain, telling
from memagent.memory.days import iso_day

MOST = 6
"""Facts that one message can tell."""
MOST_READ = 60
"""Of what a model noted, no more is looked at."""
LONGEST_CORRECTION = 14
"""Words of a correction that are kept as they were said."""
SURE, LIKELY = 0.8, 0.6
"""How far a statement is trusted, if all of its words were said, and if not."""
_OVER_NOW = re.compile(
    r"\b(?:no longer|no more|any ?more|stopped|quit|gave up|gave away|gave (?:\w+ )+away|cancelled|canceled|sold|"
    r"dropped|got rid|lost|broke up|finished|threw out|threw away|stepped down|moved out)\b",
    re.IGNORECASE,
)
"""What a statement says that only tells the end of another."""
DENIES = re.compile(
    r"\b(?:not|never|no|none|\w+n't|cannot|without|longer|any ?more|anymore|stop\w*|quit|former|ex)\b", re.IGNORECASE
)
_KIN = re.compile(
    rf"^(?:(?:the )?user's |their |his |her )?(?P<who>{KIN})\b(?!'s name| is called| is (?-i:[A-Z])|: )"
    r"(?: (?P<name>(?-i:[A-Z])[\w-]+))?",
    re.IGNORECASE,
)
_MY_KIN = re.compile(
    rf"\b[Mm]y (?:best |old |new |little |big |older |younger )?(?P<who>{KIN}) (?P<name>[A-Z][\w-]+)\b(?!')"
)
_KIN_BEHIND = re.compile(
    rf"(?<=[\w:,;] )(?P<name>[A-Z][\w-]+), my (?:best |old |new |little |big |older |younger )?(?P<who>{KIN})\b(?!')"
)
_LASTING = re.compile(
    r"\b(?:I (?:really |also |still )?(?:hate|love|prefer|live in|work (?:as|for|at|in)|speak|own|study)|I'd rather|"
    r"I'm allergic|[Mm]y (?:favourite|favorite|name is|birthday)) "
)
"""How people tell what lasts, in the plainest way."""
_CALLED = re.compile(r"(?:Is|Goes) (?:called|named|by) |Name is ")
_CALLS_SELF = re.compile(
    r"\b(?:I'm|I’m|I am|my (?:\w+ )?name|names?'s|call(?:s|ed)? me|go by|this is|it's)\b", re.IGNORECASE
)
_OWN = re.compile(r"\b(?:I|my|our|ours|we|me)\b", re.IGNORECASE)
_LEAD = re.compile(r"(?:[\w',:!-]+ ){1,4}(?=(?:I|we) )")
_SOMEBODY = re.compile(
    r"(?:The|An?|Half|Most|Some) (?P<who>[\w'-]+(?: [\w'-]+){0,4}?) "
    r"(?:is|are|was|were|has|have|had|does|can|can't|will|won't|\w+[^s\W]s|\w+ed)\b"
)
_NAME = re.compile(r"^(?P<name>(?:(?:Dr|Mr|Mrs|Ms|Prof)\.? )?[A-Z][\w-]*(?: [A-Z][\w-]+)?)(?:'s)? ")


@dataclass(frozen=True)
class Noted:
    """One thing that a model noted, as it wrote it, read into its parts."""

    text: str
    fields: Mapping[str, Any]

    @property
    def sure(self) -> bool:
        """Whether the model was certain that it is the user's."""
        sure = self.fields.get("sure")
        return self.fields.get("whose") == ME and isinstance(sure, float) and sure >= CERTAIN


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
        return in_full(draft.text, sentence=draft.quote)
    return re.sub(r"\b(is|are|was|were) their\b", r"\1 the user's", draft.text)


def _found(answer: Mapping[str, Any], sentences: Sequence[Sentence], known: Sequence[Fact]) -> list[Draft]:
    found, ended = dict[tuple[str, bool, int], Draft](), numbered(answer.get("ended"), known)
    every = list(_listed(answer.get("new", answer.get("facts")), [sentence.text for sentence in sentences]))
    ends_by_words = False
    for noted in every:
        over = noted.fields.get("holds") is False or _tells_an_end(noted.text, known, ended)
        now = max((common(draft.text, noted.text) for draft in found.values()), default=0)
        if over and (old := nearest(noted.text, known)) and common(noted.text, old.text) >= now:
            ended.append(old)
            ends_by_words = True
            continue
        draft = _draft(noted, sentences, known)
        if draft and over:  # something that was said in the same talk
            earlier = max(found.values(), key=lambda each: common(each.text, noted.text), default=draft)
            alike = common(earlier.text, noted.text) > 0
            draft = replace(draft, text=earlier.text, holds=False) if alike and earlier is not draft else draft
        if draft:
            found.setdefault((draft.text.casefold(), draft.holds, draft.message), draft)
        if len(found) >= MOST * len({sentence.said.seq for sentence in sentences}):
            break
    only_copied = {plain(noted.text) for noted in every} <= {plain(fact.text) for fact in known}
    if every and only_copied and not found and not ends_by_words:
        spoken_of = [fact for fact in ended if any(speaks_of(sentence.text, fact) for sentence in sentences)]
        own = [] if spoken_of else [draft for draft in map(_in_own_words, map(_from_speaker, sentences)) if draft]
        ended = spoken_of or [fact for fact in ended if any(follows(draft, fact) for draft in own)]
        found = {(draft.text, draft.holds, draft.message): draft for draft in own}
    missed = [draft for sentence in sentences if (draft := _missed(sentence, list(found.values())))]
    taken = _each_once([*found.values(), *missed])
    return with_ends(
        [*taken, *_relations(taken, sentences)], ended, sentences, known, lambda source: _corrected(source, sentences)
    )


def _each_once(found: Sequence[Draft]) -> list[Draft]:
    """Those that tell something which the others of the same message do not: of a list that was noted thing by thing
    the whole is not needed, and nothing of what another one says with more words.
    """
    kept = list({(draft.text.casefold(), draft.holds, draft.message): draft for draft in found}.values())
    for draft in sorted(kept, key=lambda each: -len(telling(each.text))):
        mine = telling(draft.text)
        alike = [each for each in kept if each is not draft and _of_one(each, draft)]
        parts = set[str]().union(*(words for each in alike if (words := telling(each.text)) < mine))
        if mine and (mine <= parts or any(mine == telling(each.text) for each in alike)):
            kept.remove(draft)
        else:
            kept = [each for each in kept if each not in alike or not telling(each.text) < mine]
    return kept


def _of_one(one: Draft, other: Draft) -> bool:
    return one.holds and other.holds and one.message == other.message and one.about == other.about


def _missed(sentence: Sentence, found: Sequence[Draft]) -> Draft | None:
    """What a plain statement about the user says, in its own words, where nothing was noted of it, or not all
    that it lists.
    """
    if DENIES.search(sentence.text) or OVER.search(sentence.text):
        return None
    if own := [draft for draft in found if draft.quote == sentence.text]:
        whole = _in_own_words(sentence)
        return whole if whole and len(own) == 1 and whole.text.startswith(f"{own[0].text},") else None
    lasting = _LASTING.search(sentence.text)
    return _in_own_words(replace(sentence, text=sentence.text[lasting.start() :])) if lasting else None


def _relations(found: Sequence[Draft], sentences: Sequence[Sentence]) -> Iterable[Draft]:
    """Who somebody is to the user, where that was said in passing: "my sister Eva works as a pilot"."""
    for sentence in sentences:
        for met in [*_MY_KIN.finditer(sentence.text), *_KIN_BEHIND.finditer(sentence.text)]:
            name, who = met["name"], met["who"].lower()
            lasting = [telling(draft.text) for draft in found if not draft.until]
            if not any({beginning(name.lower()), beginning(who)} <= words for words in lasting):
                text = f"{who.capitalize()} is called {name}"
                yield Draft(text, confidence=SURE, quote=sentence.text, message=sentence.said.seq)


def _tells_an_end(text: str, known: Sequence[Fact], ended: Sequence[Fact]) -> bool:
    """Whether a statement tells nothing but that something is over: it says so, says what happened to what the model
    takes for ended, or only denies what is known.
    """
    first, _, rest = text.removeprefix("Has ").partition(" ")
    if _OVER_NOW.search(text):
        return True
    left, happened = telling(rest), first.endswith("ed") or first.lower() in PAST
    if happened and left and any(left <= telling(fact.text) for fact in ended):
        return True
    old = nearest(text, known) if DENIES.search(text) else None
    return old is not None and telling(text) <= telling(old.text) and not DENIES.search(old.text)


def _listed(value: Any, sentences: Sequence[str]) -> Iterable[Noted]:
    for item in value[:MOST_READ] if isinstance(value, list) else ():
        fields = item if isinstance(item, dict) else {}
        text = fields.get("text") if fields else item
        for part in re.split(r", but (?=\w+s\b)", text) if isinstance(text, str) else ():
            if one := tidied(completed(part, sentences)):
                yield from (Noted(each, fields) for each in split(one))


def _draft(noted: Noted, sentences: Sequence[Sentence], known: Sequence[Fact]) -> Draft | None:
    told_of = noted.fields.get("message")
    if isinstance(told_of, int):  # one that is not among these was read already
        sentences = [sentence for sentence in sentences if sentence.said.seq == told_of]
    if DENIES.search(noted.text):
        sentences = [sentence for sentence in sentences if DENIES.search(sentence.text)]
    compared = [sentence.compared for sentence in sentences]
    at = source_of(noted.text, compared, [fact.text for fact in known])
    if at is None or not _is_who(noted.text, compared[at]):
        return None
    source = sentences[at]
    quote = noted.fields.get("quote")
    if isinstance(quote, str) and quote.strip() and plain(quote) not in plain(source.said.text):
        return None
    noted = replace(noted, text=_told_whole(noted, source))
    text, since, until = dated(third(noted.text, source.text), source.text, source.said.when.date())
    own, about = noted.fields, _whom(noted, source)
    if about == USER and not _is_own_name(text, source.text):
        return None
    if about == USER and (noted.fields.get("whose") == OTHER and _is_of_nobody(text, source.text)):
        return None
    if about == USER and of_others(source.text) and not noted.sure:
        return None
    if about == USER and fleeting(text, source.text, dated=bool(since or until)):
        return None
    subject = own.get("subject")
    return Draft(
        text,
        own.get("holds") is not False,
        about=about,
        subject=subject[:60] if isinstance(subject, str) else "",
        since=since or _told_day(own.get("since"), source.text),
        until=until or _told_day(own.get("until"), source.text),
        confidence=SURE if telling(text) <= telling(compared[at]) else LIKELY,
        quote=source.text,
        message=source.said.seq,
        replaces=[fact.text for fact in numbered(own.get("ends"), known) if common(source.text + text, fact.text)],
    )


def _told_whole(noted: Noted, source: Sentence) -> str:
    """A note; where it only names a thing of the user's, and not what is said of it, what its sentence says."""
    whole = put_right(source.text)
    if noted.fields.get("whose") != ME or not _OWN.search(source.text) or len(whole.split()) > LONGEST_CORRECTION:
        return noted.text
    lists = ":" in whole and plain(whole.partition(":")[0]) == plain(noted.text)
    return whole if whole and (lists or not _says_something(noted.text)) else noted.text


def _says_something(statement: str) -> bool:
    """Whether there may be a verb in a statement; the last word is taken for a thing."""
    words = statement.split()[:-1]
    return any(TELLS.fullmatch(word) or word.casefold() in PAST or word.endswith("ing") for word in words)


def _is_of_nobody(text: str, sentence: str) -> bool:
    """Whether a statement about somebody else does not say of whom: it begins with what they do, or tells nothing."""
    return in_full(text, sentence=sentence).startswith("The user ") or not TELLS.search(text)


def _told_day(value: Any, sentence: str) -> str | None:
    """A day that a model noted, if the sentence names its year: small models fill in some day, or an example's."""
    day = iso_day(value)
    return day if day and day[:4] in sentence else None


def _is_who(text: str, sentence: str) -> bool:
    """Whether somebody who is named by what they are to the user is called so in the sentence too."""
    kin = _KIN.match(text)
    if not kin or not kin["name"] or re.search(rf"\b{kin['who']}\b\W+(?:\w+\W+)?{kin['name']}\b", sentence, re.I):
        return True
    return bool(re.search(rf"\b{kin['name']}\b(?:\W+(?:is|my|our|the|an?|\w+))*?\W+{kin['who']}\b", sentence, re.I))


def _is_own_name(text: str, sentence: str) -> bool:
    """Whether a name that is noted as the user's was told as theirs."""
    return not _CALLED.match(text) or bool(_CALLS_SELF.search(sentence))


def _whom(noted: Noted, source: Sentence) -> str:
    """Whom a statement is about: the user, or somebody that the sentence names."""
    told = noted.fields.get("about")
    if isinstance(told, str) and told.strip():
        told = " ".join(told.split())[:60]
        if told.casefold() in (USER, SELF) or plain(told) in plain(source.said.text):
            return told.casefold() if told.casefold() in (USER, SELF) else told
    if kin := _KIN.match(noted.text):
        return kin["name"] or kin["who"].lower()
    if noted.sure:
        return USER
    found = None if of_others(source.text) and not source.whom else _NAME.match(noted.text)
    name = found["name"] if found else ""
    said = name.casefold() not in NOBODY and re.search(rf"\b{re.escape(name)}\b", f"{source.text} {source.whom}")
    if name and said:
        return name
    somebody = _SOMEBODY.match(noted.text) if noted.fields.get("whose") == OTHER else None
    return somebody["who"] if somebody else USER


def _from_speaker(sentence: Sentence) -> Sentence:
    """A sentence from where it speaks of who speaks: "From now on I swim" is "I swim"."""
    lead = _LEAD.match(sentence.text)
    rest = sentence.text[lead.end() :] if lead else sentence.text
    return replace(sentence, text=f"{rest[:1].upper()}{rest[1:]}")


def _in_own_words(sentence: Sentence) -> Draft | None:
    """What a plain statement about the user says, where the model noted something else instead."""
    text = put_right(sentence.text) if re.match(r"(?:I|My|We|Our)\b", sentence.text) else ""
    short = text and len(text.split()) <= LONGEST_CORRECTION
    return _draft(Noted(text, {}), [sentence], ()) if short and not DENIES.search(text) else None


def _corrected(source: Sentence, sentences: Sequence[Sentence]) -> Draft | None:
    """What a correction says, where the model only noted what it ends."""
    text = put_right(source.text)
    return _draft(Noted(text, {}), sentences, ()) if text and len(text.split()) <= LONGEST_CORRECTION else None
