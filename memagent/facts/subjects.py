"""Of whom a sentence says something: puts back what a model left out before its statement.

Of "Yusuf is our caretaker. He is patient" a small model notes "Is our caretaker" and "Patient": both would be said of
the user then. Only English is read. Knows nothing of facts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from memagent.facts.grounds import KIN
from memagent.memory.phrases import MONTHS, WEEKDAYS
from memagent.memory.search import STOP_WORDS

_SMALL = (
    r"(?P<small>(?: (?:an?|the|so|very|really|quite|also|still|now|currently|one|no|\d+|two|three|four|five|six))*)"
)
_YOU = re.compile(rf"\byou(?:'re| are)?{_SMALL}$", re.IGNORECASE)
_SHORT = re.compile(r"\b(?P<who>he|she|it|they)'(?P<is>s|re) (?!been|got|had)", re.IGNORECASE)
_I_AM = re.compile(rf"\b(?:I'm|I am|we're|we are){_SMALL}$", re.IGNORECASE)
_I_WAS = re.compile(rf"\b(?:I was|we were){_SMALL}$", re.IGNORECASE)
_I_HAVE = re.compile(rf"\b(?:I|we)(?:'ve| have)(?: got)?{_SMALL}$", re.IGNORECASE)
_NAME = r"[A-Z][\w-]+(?: [A-Z][\w-]+)?"
_SOMEBODY = re.compile(
    r"(?:^|[,;:] |\b(?:and|but|because|so|that|since|while|of) )"
    rf"(?P<who>(?:[Mm]y|[Oo]ur|[Tt]he) (?:[\w'-]+ ){{0,2}}[\w'-]+|{_NAME})$"
)
_THEY = re.compile(rf"(?:^|[\s,;])(?P<who>he|she|they|it)(?P<is>'s| is| was| are|'re| has)?{_SMALL}$", re.IGNORECASE)
_OF_THEM = re.compile(
    r"^(?:(?:and|but|so|well|also)[ ,]+)*(?:he|she|they|it|his|her|their|its|most|many|some|all|every\w*|people|nobody|"
    r"kids|both|few)\b|\byou(?:r|rself|'re|'ve|'ll|'d)?\b",
    re.IGNORECASE,
)
_HE = re.compile(r"^(?:(?:and|but|so)[ ,]+)*(?:he|she)\b", re.IGNORECASE)
_MINE = re.compile(r"\b(?:I|my|me|mine|we|our|us)\b|\bI'", re.IGNORECASE)
TELLS = re.compile(
    r"\b(?:is|are|was|were|has|had|does|did|can|can't|will|won't|\w+[^s\W]s|\w+ed|\w+n't)\b", re.IGNORECASE
)
_DOES = re.compile(r"(?!is\b|was\b)\w+[^s\W]s|has|does", re.IGNORECASE)
_IN_PASSING = re.compile(r"(?:[,;]|\b(?:so|because|since|as|but))$", re.IGNORECASE)
_OF_THINGS = re.compile(
    r"(?!(?:is|are|was|were|has|have|does|can|can't)\b)[\w-]+(?: [\w-]+)? (?:is|are) ", re.IGNORECASE
)
"""What is said of things in general, in passing: "so economy class is torture"."""
_NAMED = re.compile(rf"\b(?P<kin>(?:[Mm]y|[Oo]ur) (?:\w+ )?{KIN})\b(?: (?P<name>[A-Z][\w-]+))?|\b(?P<who>{_NAME})\b")
_NO_NAMES = """i thanks hello hi hey oh yes no never always one there here just only maybe anything everything nothing
something most many some all people everyone nobody"""
NOBODY = STOP_WORDS.union(WEEKDAYS, MONTHS, _NO_NAMES.split())


def completed(statement: str, sentences: Sequence[str]) -> str:
    """A statement with what stands before its words in the sentence that it was copied from; nothing, if that is
    somebody of whom it isn't known who is meant.
    """
    words = statement.strip(" .!").split()
    if not words:
        return ""
    wanted = re.compile(_copied(words[:3]), re.IGNORECASE)
    written = [_SHORT.sub(_at_length, text.replace("’", "'")) for text in sentences]
    for at, sentence in enumerate(written):
        if found := wanted.search(sentence):
            before = sentence[: found.start()].rstrip()
            if _IN_PASSING.search(before) and found[0][0].islower() and _OF_THINGS.match(statement):
                return ""
            return _with_subject(statement, before, written[:at])
    doing = [re.search(_copied(words[:1]), sentence) for sentence in written if _DOES.fullmatch(words[0])]
    once = [found for found in doing if found and _SOMEBODY.search(found.string[: found.start()].rstrip())]
    if len(once) == 1:  # what somebody else does, in other words
        return _with_subject(statement, once[0].string[: once[0].start()].rstrip(), ())
    return statement


def _at_length(found: re.Match[str]) -> str:
    return f"{found['who']} {'is' if found['is'] == 's' else 'are'} "


def _copied(words: Sequence[str]) -> str:
    return r"(?i:\b" + r"\s+".join(map(re.escape, words)) + r"\b)"


def who_is_meant(sentence: str, earlier: Sequence[str]) -> str:
    """Of whom a sentence tells that begins with "he" or "she"; nothing where that is not known."""
    return _meant(earlier) if _HE.match(sentence) else ""


def of_others(sentence: str) -> bool:
    """Whether a sentence is about people in general, or somebody who is only pointed at, and not about who speaks."""
    return bool(_OF_THEM.search(sentence)) and not _MINE.search(sentence)


def _with_subject(statement: str, before: str, earlier: Sequence[str]) -> str:
    rest = f"{statement[:1].lower()}{statement[1:]}"
    if _YOU.search(before):
        return ""
    if found := _I_AM.search(before):
        return f"Is{found['small']} {rest}"
    if found := _I_WAS.search(before):
        return f"Was{found['small']} {rest}"
    if found := _I_HAVE.search(before):
        return f"Has{found['small']} {rest}"
    if found := _THEY.search(before):
        who = _meant([*earlier, before[: found.start()]]) if found["who"].lower() in ("he", "she") else ""
        tells = f"{who} {(found['is'] or '').strip().replace(chr(39) + 's', 'is')}{found['small']} {rest}"
        return " ".join(tells.split()) if who else ""
    found = _SOMEBODY.search(before)
    if found and TELLS.match(statement) and found["who"].casefold() not in NOBODY:
        who = re.sub(r"^(?:my|our) ", "", found["who"], flags=re.IGNORECASE)
        return f"{who} {rest}"
    return statement


def _meant(earlier: Sequence[str]) -> str:
    """Who was named last, if that was one."""
    for sentence in reversed(earlier):
        found = [
            found["name"] or found["kin"] or found["who"] for found in _NAMED.finditer(sentence)
            if (found["who"] or "").casefold() not in NOBODY
        ]  # fmt: skip
        if found:
            return re.sub(r"^(?:my|our) ", "", found[0], flags=re.IGNORECASE) if len({*found}) == 1 else ""
    return ""
