"""Answers a question from facts, without a model: those that fit best, told to whom they are about.

"The user uses Shram as a productivity tool" is told as "You use Shram." Questions about the past are answered from what
held. Where nothing fits, that is what is said. English only. Knows nothing of how facts are kept or found.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from memagent.facts import Fact
from memagent.facts.asking import of_before, of_whom
from memagent.facts.finding import Match
from memagent.facts.likeness import Statement
from memagent.facts.wording import in_full
from memagent.facts.words import root
from memagent.memory.days import spoken
from memagent.memory.search import STOP_WORDS

UNKNOWN = "I don't know that."
MOST, LEAST = 8, 4
"""An answer has no more sentences than this, and none fewer words: "The user uses Shram"."""
ENOUGH, NEAR = 0.45, 0.55
"""What share of the question's words a fact must have; without, how near in meaning it must be."""
_WAS_I = re.compile(r"\b(?:(?:did|was|were) (?:i|my|we)|had i)\b", re.IGNORECASE)
_ASKING = (
    "who whom whose what when where why how which tell know remember name called thing things kind many much please"
)
_SAYS_NOTHING = frozenset(root(word) for word in [*_ASKING.split(), *STOP_WORDS, "user"])
_SAME = {root(a): root(b) for a, b in (("job", "works"), ("work", "works"), ("kids", "children"), ("home", "lives"))}
_SECOND = {
    "is": "are", "was": "were", "has": "have", "does": "do", "isn't": "aren't", "wasn't": "weren't",
    "doesn't": "don't", "hasn't": "haven't", "goes": "go",
}  # fmt: skip
_BEEN = {"is": "was", "has": "had", "does": "did", "goes": "went", "speaks": "spoke", "eats": "ate", "drinks": "drank",
         "drives": "drove", "runs": "ran", "knows": "knew", "takes": "took", "wears": "wore", "reads": "read",
         "teaches": "taught", "thinks": "thought", "gets": "got", "makes": "made", "can": "could"}  # fmt: skip
_TAIL = re.compile(r"^(?P<rest>.+?) (?P<tail>(?:as|for) (?:an? )?[\w -]+)$")


class Answerer(Protocol):
    """Answers a question from facts that were found."""

    def answer(self, question: str, holding: Sequence[Match], past: Sequence[Match]) -> str:
        """An answer; what holds and what held is handed in, best first."""
        ...


class PlainAnswerer:
    """Answers without a model."""

    def answer(self, question: str, holding: Sequence[Match], past: Sequence[Match]) -> str:
        """The facts that fit, in a sentence or a few."""
        asked = _words(question)
        before = of_before(question) or bool(_WAS_I.search(question))
        now, then = _fitting(question, asked, holding), _fitting(question, asked, past)
        sentences: list[str] = []
        if before or (not now and then) or _worth(asked, then) > _worth(asked, now):
            sentences = [_held(fact, asked) for fact in then]
        if not sentences or (before and not then):
            sentences = [_told(_whole(fact), asked) for fact in now]
        return " ".join(_joined(list(dict.fromkeys(sentences))[:MOST])) or UNKNOWN


def plainly(question: str, facts: Sequence[Fact]) -> str:
    """An answer from facts that were found already, of which some may be past."""
    matches = [Match(fact, "") for fact in facts]
    past = [match for match in matches if match.fact.state == "past"]
    return PlainAnswerer().answer(question, [match for match in matches if match.fact.state == "holds"], past)


def _words(text: str) -> frozenset[str]:
    every = {_SAME.get(word, word) for word in Statement(text).words}
    return frozenset(every - _SAYS_NOTHING)


def _of(fact: Fact) -> frozenset[str]:
    return _words(f"{fact.text} {fact.subject}")


def _worth(asked: frozenset[str], facts: Sequence[Fact]) -> float:
    return max((_cover(asked, fact) for fact in facts), default=0.0)


def _cover(asked: frozenset[str], fact: Fact) -> float:
    return len(asked & _of(fact)) / max(1, len(asked))


def _fitting(question: str, asked: frozenset[str], matches: Sequence[Match]) -> list[Fact]:
    """Those that have most of what is asked for, in the order in which they were found."""
    meant = [match for match in matches if of_whom(match.fact, question)]
    best = max((_cover(asked, match.fact) for match in meant), default=0.0)
    if asked and best >= ENOUGH:
        return [match.fact for match in meant if _cover(asked, match.fact) >= best]
    near = [match for match in meant[:1] if match.meaning >= NEAR]
    return [match.fact for match in near]


def _told(text: str, asked: frozenset[str] = frozenset()) -> str:
    """A fact as it is told to whom it is about; without what the question has said already."""
    text = text.strip().rstrip(".")
    tail = _TAIL.match(text)
    if tail and len(tail["rest"].split()) >= LEAST and _words(tail["tail"]) and _words(tail["tail"]) <= asked:
        text = tail["rest"]
    return f"{second_person(text)}."


def _held(fact: Fact, asked: frozenset[str]) -> str:
    """A fact of the past, with the day until which it held."""
    text = re.sub(
        r"^(The user(?:'s [\w ]+?)?) ([\w']+)",
        lambda found: f"{found[1]} {_past(found[2])}",
        _whole(fact),
        count=1,
    )
    until = f" until {spoken(fact.until)}" if fact.until and re.fullmatch(r"\d{4}(-\d\d){0,2}", fact.until) else ""
    return f"{_told(text, asked).rstrip('.')}{until}."


def _whole(fact: Fact) -> str:
    """A fact's statement with its subject; what is told by its fields has all that it needs."""
    return fact.text if fact.details else in_full(fact.text, fact.about)


def second_person(text: str) -> str:
    """What is said of the user, said to them."""
    found = re.match(r"(?:The )?user (?P<first>[\w']+)(?P<rest>.*)$", text, re.IGNORECASE | re.DOTALL)
    if found:
        text = f"You {_second(found['first'])}{found['rest']}"
        text = re.sub(r"\b(?:their|his|her)\b", "your", text)
        text = re.sub(r"\bthem(selves|self)?\b", lambda one: "yourself" if one[1] else "you", text)
    return re.sub(r"\b[Tt]he user's\b", "your", re.sub(r"^[Tt]he user's\b", "Your", text)).replace("the user", "you")


def _second(verb: str) -> str:
    """A verb as it follows "you"."""
    if verb in _SECOND:
        return _SECOND[verb]
    if re.search(r"(?:[sxz]|ch|sh|o)es$", verb):
        return verb[:-1] if re.search(r"(?:[^s]s|[^aeiou]z|us|uz)es$", verb) else verb[:-2]
    if verb.endswith("ies") and len(verb) > len("dies"):
        return f"{verb[:-3]}y"
    return verb[:-1] if verb.endswith("s") and not verb.endswith("ss") else verb


def _past(verb: str) -> str:
    """A verb of the third person, in the past."""
    if verb in _BEEN:
        return _BEEN[verb]
    plain = _second(verb)
    if plain == verb:  # it is in the past already, or no verb that can be told
        return verb
    if plain.endswith("e"):
        return f"{plain}d"
    return f"{plain[:-1]}ied" if re.search(r"[^aeiou]y$", plain) else f"{plain}ed"


def _joined(sentences: list[str]) -> list[str]:
    """Sentences that begin alike become one: "You use Shram and Magnet." """
    heads: dict[str, list[str]] = {}
    for sentence in sentences:
        words = sentence.rstrip(".").split()
        alike = words[:1] == ["You"] and len(words) > 2 and " until " not in sentence
        heads.setdefault(" ".join(words[:2]) if alike else sentence.rstrip("."), []).append(" ".join(words[2:]))
    told = []
    for head, rests in heads.items():
        if len(head.split()) > 2 or not rests[0]:
            told.append(f"{head}.")
            continue
        listed = " and ".join([*([", ".join(rests[:-1])] if rests[:-1] else []), rests[-1]])
        told.append(f"{head} {listed}.")
    return told
