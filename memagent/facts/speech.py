"""Takes speech apart: which sentences of a message state something, and what they say in the third person.

Questions, orders, jokes, what is only imagined and what others are quoted with state nothing. English only. Knows
nothing of facts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

LONGEST = 8000
"""Of a message so many characters are looked at."""
_QUOTED = re.compile(r"""["“][^"”]{25,}["”]|```.*?```|^\s*>.*$""", re.MULTILINE | re.DOTALL)
_REPORTED = re.compile(
    r"\b(?:said|says|told|tells|wrote|writes|claims?|claimed|thinks|believes|asked|asks|replied|according to|"
    r"heard that|quote|read that)\b",
    re.IGNORECASE,
)
_OWN_REPORT = re.compile(r"^(?:as )?i (?:already )?(?:said|told you|mentioned)(?: that)?,? ", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<!\bDr\.)(?<!\bMr\.)(?<!\bMs\.)(?<!\bMrs\.)(?<=[.!?…])[\"”)]?\s+|\n+")
_LABEL = re.compile(r"^[^:.?!]{2,40}:\s+(?=(?:i|i'm|i've|we|my)\b)", re.IGNORECASE)
_LAUGHS = re.compile(r"^(?:ha(?:ha)+|lol|rofl|lmao|hehe)\b", re.IGNORECASE)
"""Who laughs first means nothing that follows."""
_JOKE = re.compile(
    r"\b(?:just |only )?(?:kidding|joking)\b|\bjk\b|\bjust a joke\b|\bapril fools?\b|\bnot really\b|\byeah,? right\b"
    r"|/s\b|\bsarcas",
    re.IGNORECASE,
)
_JOKE_AHEAD = re.compile(r"\b(?:here'?s a joke|this is a joke|joke:)", re.IGNORECASE)
_IMAGINED = re.compile(
    r"\b(?:if i (?:were|was|had|could|would|ever|won|lived|became)|imagine|suppose|pretend|let'?s say|what if|"
    r"hypothetical\w*|in (?:a|my|the|this|another) (?:perfect world|dream|novel|story|game|movie|book|play|other life|"
    r"parallel \w+|life)|my character|role-?play|i (?:dreamt|dreamed|wish|might|may|could)|"
    r"i would(?!\s+(?:like|love|prefer|rather)\b)|i'd (?!like|love|prefer|rather)|maybe|perhaps|as if|fictional|"
    r"for example|for instance|i almost|i nearly)\b",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"^(?:who|whose|what|when|where|why|how|which|do|does|did|is|are|was|were|can|could|would|will|should|shall|may|has|"
    r"have|am|don't|isn't|aren't|won't|can't)\b(?! i\b.*[.!]$)",
    re.IGNORECASE,
)
_FILLERS = re.compile(
    r"^(?:(?:well|so|oh|hi|hey|hello|yes|yeah|yep|no|nope|ok|okay|sorry|actually|anyway|also|besides|and|but|hm+|ah|btw|"
    r"fyi|by the way|just so you know|to be honest|honestly|frankly|unfortunately|luckily|sadly|fortunately|in fact|"
    r"from now on|"
    r"of course|as you know|you know|i (?:must|have to|should) (?:say|admit|confess)|i (?:think|guess|believe) that|"
    r"(?:please )?(?:remember|note|know|keep in mind|don't forget|let me tell you|i want you to know|you should know)"
    r"(?: that)?(?= (?:i|i'm|i've|my|we)\b)|good (?:morning|evening|afternoon)|there)\b[,:;!. —-]*)+",
    re.IGNORECASE,
)
_CLAUSES = re.compile(
    r"\s*(?:;|—|\s-\s)\s*|,?\s+(?:and|but|while|whereas|though|although|so)\s+(?=(?:i|i'm|i've|i'll|my|we|she|he)\b)"
    r"|,?\s+and\s+(?=(?:got|bought|started|switched|moved|now use|now live)\b)|,\s+(?=(?:i|i'm|i've|my|mine)\b)"
    r"|,?\s+(?:because|since i|as i|which means|so that)\b.*$|,\s*but\s+not\b.*$",
    re.IGNORECASE,
)  # fmt: skip
_GOES_ON = re.compile(r"(?:got|bought|started|switched|moved|now use|now live)\b", re.IGNORECASE)
STANDING_ORDER = re.compile(
    r"^(?:please,? )?(?:remember to|always (?!a\b|the\b)|never (?!mind)|from now on,? (?!i\b|we\b|my\b)|"
    r"ignore|disregard|you must|"
    r"forget (?:your|all|everything|previous)|don't ever|make sure)",
    re.IGNORECASE,
)
"""What tells the listener how to be: it is a fact that somebody said so, and nothing more."""

_EXPANDED = (
    (r"\b(i)'m\b", r"\1 am"), (r"\b(\w+)'ve\b", r"\1 have"), (r"\b(\w+)'ll\b", r"\1 will"), (r"\bi'd\b", "I would"),
    (r"\bcan't\b", "can not"), (r"\bcannot\b", "can not"), (r"\bwon't\b", "will not"), (r"\b(\w+?)n't\b", r"\1 not"),
    (r"\bwe're\b", "we are"), (r"\b(he|she|it|that)'s\b(?= (?:a|an|the|in|from|\w+ing|my|very|\d|not))", r"\1 is"),
    (r"\bany more\b", "anymore"),
)  # fmt: skip
_WORDS_BEFORE = """also really usually always often never still currently now just recently only sometimes mostly mainly
normally rarely finally both actually definitely absolutely truly already do did"""
_ADVERBS = frozenset(_WORDS_BEFORE.split())
_ALIKE = """was had did went got bought met saw made took began became came ate drank left lost won sold kept knew
taught ran wrote read gave grew found built broke flew drove swam sang slept spent quit put cut set let will would can
could should must may might used has is"""
_UNCHANGED = frozenset(_ALIKE.split())
_IRREGULAR = {"am": "is", "are": "is", "have": "has", "do": "does", "were": "was"}


def statements(text: str) -> Iterator[tuple[str, str]]:
    """The clauses of a message that state something, each with the sentence that it is from."""
    text = text[:LONGEST].replace("’", "'").replace("‘", "'")
    text = _QUOTED.sub(" ", re.sub(r"[^\S\n]+", " ", text))
    sentences = [part.strip() for part in _SENTENCE.split(text) if part.strip()]
    joking = {n - 1 for n, sentence in enumerate(sentences) if _JOKE.search(sentence) and len(sentence.split()) < SHORT}
    for number, sentence in enumerate(sentences):
        if number in joking or _JOKE.search(sentence) or _JOKE_AHEAD.search(sentence) or sentence.endswith("?"):
            continue
        if _LAUGHS.match(sentence):
            continue
        bare = _OWN_REPORT.sub("", _FILLERS.sub("", _LABEL.sub("", _FILLERS.sub("", sentence)))).strip()
        if STANDING_ORDER.match(bare):
            yield bare, sentence
            continue
        if not bare or _ASKS.match(bare) or _IMAGINED.search(bare) or (_REPORTED.search(bare)):
            continue
        for clause in _CLAUSES.split(bare):
            if clause and (stated := _FILLERS.sub("", clause).strip(" ,.!;")):
                yield (f"I {stated}" if _GOES_ON.match(stated) else stated), sentence


SHORT = 6
"""A joke that is called one in fewer words than that means what was said before."""


def expanded(clause: str) -> str:
    """A clause with its short forms written out."""
    for pattern, full in _EXPANDED:
        clause = re.sub(pattern, full, clause, flags=re.IGNORECASE)
    return " ".join(clause.split())


def third_person(clause: str, who: str) -> str:
    """What somebody says with "I" or "we", told of them: "I use my bike" is "The user uses their bike"."""
    words = clause.split()
    if words[0].lower() not in ("i", "we"):
        return clause
    at = 1
    while at < len(words) - 1 and words[at].lower() in _ADVERBS and not _helps(words, at):
        at += 1
    words[at] = _of_third(words[at])
    return " ".join([who, *words[1:at], words[at], *_theirs(words[at + 1 :])])


def _helps(words: list[str], at: int) -> bool:
    """Whether "do" or "did" is the verb here, or the "not" behind it makes it one."""
    return words[at].lower() in ("do", "did") and (words[at + 1].lower() == "not" or len(words) == at + 1)


def _of_third(verb: str) -> str:
    small = verb.lower()
    if small in _IRREGULAR:
        return _IRREGULAR[small]
    if small in _UNCHANGED or (small.endswith("ed") and small not in ("need", "feed", "speed")):
        return verb
    if small.endswith(("s", "x", "z", "ch", "sh", "o")):
        return f"{verb}es"
    return f"{verb[:-1]}ies" if re.search(r"[^aeiou]y$", small) else f"{verb}s"


_PRONOUNS = {"my": "their", "mine": "theirs", "me": "them", "myself": "themselves", "our": "their", "us": "them"}


def _theirs(words: list[str]) -> list[str]:
    return [_PRONOUNS.get(word.lower().rstrip(",.;"), word) for word in words if word.lower() != "i"]
