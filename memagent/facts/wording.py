"""Statements in their one form: as they are kept, whoever wrote them, and however they were said.

Of the user nothing is said but what they do or have ("Lives in Rome"), lists of names become one statement each, and
days stand in words that mean the same for ever. Only English is put right. Knows nothing of models.
"""

from __future__ import annotations

import re
from collections.abc import Set
from datetime import date

from memagent.facts import USER
from memagent.facts.words import telling
from memagent.memory.days import named, tense_of
from memagent.messages import storable

LONGEST = 200
"""Characters of a fact; who wants to keep more keeps a passage."""
_LEAD_IN = re.compile(
    r"^(?:(?:no|sorry|oops|ah|oh|correction|actually|wait|i meant(?: that)?|i mean|typo|i mistyped|"
    r"(?:i|that|this|it)\b[^:,.]{0,40}\b(?:wrong|mistake|mistyped|misspel\w*)[^:,.]*)[\s,.:;!–-]+)+",
    re.IGNORECASE,
)
_NOT_THAT = re.compile(r",? (?:and |but )?not [^,.]+(?=[.!]?$)")
_LEAD = re.compile(r"^(?:(?:the )?users?(?:'s)?|i|my|we|our|you|your|fact:|-|\*|\d+\.)\s+", re.IGNORECASE)
_FIRST = (
    ("I'm ", "Is "), ("I am ", "Is "), ("I've got ", "Has "), ("I've ", "Has "), ("You are ", "Is "), ("We're ", "Is "),
    ("We are ", "Is "), ("We've got ", "Has "), ("We've ", "Has "), ("Have ", "Has "), ("New ", ""), ("Just ", ""),
)  # fmt: skip
_HANGS = re.compile(
    r"(?:mine|yours|ours|he|she|they|we|it|this|that|these|those|near|in|on|at|to|for|of|by|from|with|as|and|but|or|"
    r"because|so|no(?! longer)|are|there|here|one of|anything|everything|something|"
    r"ended|none|nothing|misspelled|mistyped|meant|said|told|asked|corrected|thanks|"
    r"hopes|wishes|sorry)\b(?!-)",
    re.IGNORECASE,
)
"""What begins like this is no statement by itself."""
_STILL_I = re.compile(r"\b(?:I|myself|your?|yourself)\b")
_I = re.compile(r"(?<=\w )I(?P<is>'m| am| was|'ve)?(?= \w)")
_THEY = {"'m": " are", " am": " are", " was": " were", "'ve": " have"}
_ME = re.compile(r"\bme\b|(?<=\band )I\b|\bI\b(?= and\b)")
_ASIDE = re.compile(
    r"(?:,? (?:by the way|btw|though|haha\w*|lol|argh|ugh|phew|you know|i guess|of course))+$|"
    r"(?:,| [–-]|;) (?:so|but|because|which|though|although|mine|yours|(?:and )?(?:i|we|he|she|it|they)(?:'\w+)?|"
    r"that(?:'s)?|there|this|what|how)\b(?!-).*$",
    re.IGNORECASE,
)
"""What is said beside a statement, behind it."""
_OWN = re.compile(r"\b(?:my|our)\b", re.IGNORECASE)
_IRREGULAR = {"am": "is", "have": "has", "do": "does", "go": "goes", "don't": "doesn't", "can": "can", "must": "must"}
_WERE = """
was were had went met got bought sold saw began left came ran took made gave told wrote grew won lost spent felt fell
became
"""
PAST = frozenset(_WERE.split())
"""Verbs that end in nothing that would show that it is over."""
_ITEM = r"[A-Z][\w+#.-]*(?: [A-Z][\w+#.-]*){0,2}"
_LIST = re.compile(
    r"(?P<head>(?:Uses|Plays|Speaks|Likes|Loves|Hates|Subscribes to|Codes in|Has lived in|Lived in|Has been to|Visited|"
    r"Knows|Owns|Reads|Learns|Studies|Watches|Is allergic to|Has used|Writes in|Programs in|Has dogs called|"
    r"Has cats called|"
    rf"Has (?:two|three|four) (?:\w+ )?called)) (?P<items>{_ITEM}(?:, {_ITEM})*,? and {_ITEM})(?P<tail> [a-z].*)?$"
)


_ONE_THING = re.compile(r"(?:(?!, (?!\d{4})|\b(?:and|but|while|because)\b).)*", re.DOTALL)
"""A sentence that tells no more than one thing, so that its day is the day of that."""


def tidied(text: str) -> str:
    """A statement in its one form: no subject when it is the user, a capital, no full stop; nothing if it is none."""
    text = " ".join(storable(text).replace("’", "'").split()).rstrip(".!;, ")
    text = _ASIDE.sub("", text).rstrip(".!;, ")
    for said, told in _FIRST:
        text = told + text[len(said) :] if text[: len(said)].lower() == said.lower() else text
    text = _I.sub(lambda found: "they" + _THEY.get(found["is"] or "", ""), _ME.sub("the user", _LEAD.sub("", text)))
    odd = text.endswith("?") or " " not in text or _HANGS.match(text) or _STILL_I.search(text)
    if odd or not 3 <= len(text) <= LONGEST:
        return ""
    first, _, rest = text.partition(" ")
    return f"{first[:1].upper()}{first[1:]} {_OWN.sub('their', rest)}"


_DOING = """is was has had lives works uses plays speaks likes loves hates owns knows reads learns studies watches
writes drives eats drinks wants prefers collects enjoys goes"""
_DOES = frozenset(_DOING.split())
"""With these, something else is told, and no further thing listed."""
_THING = r"(?:(?:to|for|in|at|of|with|on) )?(?:(?:an?|the|my|their|two|three|four|five) )?[\w'-]+"
_LISTS = (
    re.compile(  # things of several words, right behind the verb
        r"(?P<head>(?:The user|User|I|[A-Z]\w+(?: [A-Z]\w+)?) \w+ (?:both )?)(?P<items>.+?)"
        r"(?P<tail>(?: (?:as|for|in|at|with|on|to|since|every|because|when) .*)?[.!]?)$"
    ),
    re.compile(rf"(?P<head>.*?)(?P<items>{_THING}(?:, {_THING})*,? and {_THING})(?P<tail>.*)$"),
)


def without(text: str, named: Set[str]) -> str:
    """What is left of a statement that lists several things, without those that are named by these telling words;
    nothing if it names none of them or all.
    """
    for pattern in _LISTS:
        found = pattern.match(text)
        things = [thing for thing in re.split(r",? and |, ", found["items"]) if thing] if found else []
        left = [thing for thing in things if not telling(thing) & named]
        if found and 0 < len(left) < len(things) and not any(thing.split()[0] in _DOES for thing in things):
            listed = " and ".join(filter(None, [", ".join(left[:-1]), *left[-1:]]))
            return f"{found['head']}{listed}{found['tail']}"
    return ""


_WITH_SUBJECT = re.compile(r"(?:the )?(?:user|agent)\b|(?:i|i'm|my|we)\b", re.IGNORECASE)
_HELPERS = "is was has had does did can could would must may isn't wasn't hasn't doesn't can't won't"
_VERBS = PAST.union(_HELPERS.split())
_CONDITIONS = "allergic married engaged single divorced born afraid interested called vegetarian vegan pregnant retired"
_STATES = frozenset(_CONDITIONS.split())
_HOW_WORDS = "always never usually often still also only really mostly rarely sometimes currently"
_HOW = frozenset(_HOW_WORDS.split())
_SAYS_WORDS = "says thinks knows believes hopes feels finds means wants told said knew thought felt"
_SAYS = frozenset(_SAYS_WORDS.split())
_TO_BE = ("is", "are", "was", "were", "has", "have")


def in_full(text: str, about: str = USER, sentence: str = "") -> str:
    """A statement about the user, or about somebody by what they are to the user, as a whole sentence: "The user lives
    in Rome", "The user's cat is called Mimi". One that has its subject, or is about somebody else, is whole already.
    The sentence that it was said with tells a thing from a doing.
    """
    text = " ".join(text.split())
    first, _, rest = text.partition(" ")
    word, next_word = first.lower(), rest.partition(" ")[0]
    if about != USER or not text or word in ("the", "a", "an") or _WITH_SUBJECT.match(text) or " and the user " in text:
        return text
    if word in _STATES or (word.endswith("ing") and next_word not in _TO_BE):
        return f"The user is {word} {rest}".strip()
    acts = word.endswith(("s", "ed", "n't")) and not word.endswith(("ss", "'s"))
    if not _is_thing(word, rest, sentence) and (word in _VERBS or word in _HOW or acts):
        return f"The user {word} {rest}".strip()
    return f"The user's {first if first[1:2].isupper() else first[:1].lower() + first[1:]} {rest}".strip()


_WHICH = r"new|old|own|first|last|next|best|big|little|left|right|current|\w+'s"


def _is_thing(word: str, rest: str, sentence: str) -> bool:
    """Whether a statement begins with what something is told of, though that looks like what somebody does."""
    if word in _HELPERS.split():
        return False
    mine = rf"\b(?:my|our|the) (?:(?:{_WHICH}) )?{re.escape(word)}\b"
    if word.endswith("'s") or re.search(mine, sentence, re.IGNORECASE):
        return not re.search(rf"\b(?:I|we) {re.escape(word)}\b", sentence, re.IGNORECASE)
    ahead = rest.split()[:2]
    if ahead[:1] == ["they"] or (word.endswith("s") and sentence.lower().startswith(f"{word} ")):
        return True
    return word not in _SAYS and any(each in _TO_BE for each in ahead)


def in_short(text: str) -> str:
    """The same without its subject."""
    rest = re.sub(r"^The user(?:'s)? ", "", text)
    return rest[:1].upper() + rest[1:]


def put_right(sentence: str) -> str:
    """What a correction says, in its own words: "Sorry, my train leaves at 8" is "Train leaves at 8"."""
    rest = _NOT_THAT.sub("", _LEAD_IN.sub("", sentence))
    return third(tidied(rest), rest)


def third(text: str, sentence: str) -> str:
    """A statement that was copied as the user said it of themself, as it is said of somebody."""
    first, _, rest = text.partition(" ")
    word = first.lower()
    if word.endswith("ed") and (now := re.search(rf"\b(?:i|we) (?P<verb>{word[:-2]}e?)\b", sentence, re.IGNORECASE)):
        word = now["verb"].lower()  # what is so now was noted as past
    doing = r"\b(?:(?:i|we)(?:'ll| will)?(?: \w+ly| still| also)?|(?:get|got|love|like|want|have|need|able|try\w*) to)"
    if not re.search(rf"{doing} {re.escape(word)}\b", sentence, re.IGNORECASE):
        return text
    if word in _IRREGULAR:
        word = _IRREGULAR[word]
    elif word not in PAST and not word.endswith(("ed", "s", "'t", "'d", "'ll", "ould")):
        ies = re.search(r"[^aeiou]y$", word)
        word = f"{word[:-1]}ies" if ies else word + ("es" if word.endswith(("ch", "sh", "x", "z")) else "s")
    return f"{word.capitalize()} {rest}"


def split(text: str) -> list[str]:
    """A list of names as one statement for each of them: what ends later may be one alone."""
    found = _LIST.match(text)
    if not found:
        return [text]
    tail = re.sub(r"^( as) (\w+ )?(\w+)s$", r"\1 a \2\3", found["tail"] or "")
    items = [item for item in re.split(r",? and |, | or ", found["items"]) if item]
    return [f"{found['head']} {item}{tail}" for item in items]


_AGAIN = re.compile(r"\b(?:birthday|anniversary|every|each|always|annual\w*|yearly|born|due|name day)\b", re.IGNORECASE)
"""What comes each year, or has its day from the start: it is not over when the day is."""


def dated(text: str, sentence: str, said: date) -> tuple[str, str | None, str | None]:
    """A statement with the days that its sentence speaks of in words that mean the same for ever, and from when and
    until when it holds, as far as that is told.
    """
    tense = tense_of(sentence)
    within, again = named(text, said, tense), _AGAIN.search(sentence)
    days = within or named(sentence, said, tense)
    if not days:
        return text, None, None
    if within and (within.relative or (not again and len(within.words) < len(within.lasting))):
        text = f"{text[: within.start]}{within.lasting}{text[within.end :]}"
    if again or not (within or _ONE_THING.fullmatch(sentence)):
        return text, None, None
    since, until = days.holding
    if days.exact and (within or days.first > said.isoformat()):
        return (text if within else f"{text} {days.added}"), since, until
    return text, since, until if since is None else None
