"""What a message says outright, and whether a statement stands on it: for whatever is taken from talk by a model.

Questions, what-ifs, jokes that say so and orders tell nothing. A statement must share its telling words with what was
said, and bring no names or numbers of its own. Knows nothing of models.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from memagent.facts.words import beginning, names_in, telling

LONGEST_SENTENCE = 400
MOST_SENTENCES = 60
KIN = (
    r"(?:(?:grand|step|half-|god)?(?:mother|father|mum|mom|dad|sister|brother|son|daughter|child|ma|pa)(?:-in-law)?|wife|"
    r"husband|partner|fianc[eé]e?|girlfriend|boyfriend|boss|manager|colleague|co-?worker|friend|neighbou?r|cousin|aunt|"
    r"uncle|niece|nephew|ex|god(?:mother|father|child)|roommate|flatmate|housemate|teacher|landlord|landlady|coach|trainer|tutor|assistant|intern)"
)
"""Words for people by what they are to somebody."""
ENOUGH = 0.6
"""Of the telling words of a statement, so many must have been said."""
_ENDS = re.compile(r"(?<=[.!?…])(?<!\b[A-Z]\.)(?<!\bDr\.)(?<!\bMr\.)(?<!\bMs\.)(?<!\bMrs\.)(?<!\bSt\.)['\"”»)]*\s+|\n+")
_ASKS = re.compile(
    r"^(?:(?:and|but|so|hey|hi|well|ok(?:ay)?|please)\b[\s,]*)*(?:what|who|whom|whose|where|when|why|how|which|do|does|"
    r"did|is|are|am|was|were|can|could|would|will|should|shall|have you|has (?:he|she|it|anyone))\b",
    re.IGNORECASE,
)
_SUPPOSED = re.compile(
    r"\b(?:if (?:i|we|my \w+|you|he|she|they) (?:were|was|had|could|would|won|lived|owned|became|ever)\b|what if\b|"
    r"as if\b|imagine\b|(?<!i )suppos(?:e|ing)\b|"
    r"pretend|hypothetical|let's say\b|say i\b|i wish i\b|would happen|role-?play|"
    r"(?:i|we|it)(?:'d| would) (?:be|buy|have|love to be)\b.*\bif\b|"
    r"maybe (?:one day|someday|i'll|i will|i should|we'll)|some ?day i|perhaps (?:one day|i'll|i will)|who knows\b|"
    r"might (?:one day|someday)|in (?:my|a) dream|"
    r"i dream(?:t|ed) (?:that|of|about)|one day (?:i|we)(?:'ll| will| might| may)|"
    r"\w+ would(?:n't)? (?!rather|prefer|like|love|never|have to)\w+|(?:i|we|he|she|they|you) (?:could|might) be\b)",
    re.IGNORECASE,
)
_JOKE = re.compile(
    r"\b(?:just kidding|only kidding|kidding\b|joking\b|just a joke|lol\b|rofl\b|lmao\b|jk\b|april fool|mua(?:ha)+)\b|"
    r"^\W*(?:ha){2,}\w*\b",
    re.IGNORECASE,
)
_AS_IF = re.compile(r"\bso \w+ (?:that )?(?:i|we) could\b", re.IGNORECASE)
_ORDER = re.compile(
    r"^(?:please |now |then |ok(?:ay)?,? |hey,? )*(?:write|tell|give|show|translate|explain|summari[sz]e|make|find|"
    r"search|list|draw|compose|invent|create|continue|rewrite|ignore|repeat|print|run|delete|send|calculate|compute|"
    r"describe|generate|compare|recommend|suggest|help|let's|let us)\b",
    re.IGNORECASE,
)
_TELLS_OF_SELF = re.compile(r"\b(?:i|i'm|i've|i'd|my|mine|we|we're|our)\b", re.IGNORECASE)
_THEN_ASKS = re.compile(
    r"(?:,|;|:| [–-])\s+(?:(?:so|and|but|or|now)\s+)?(?:what|who|whom|whose|where|when|why|how|which|do|does|did|"
    r"is|are|can|could|would|will|should|shall|any|don't|isn't|aren't)\b",
    re.IGNORECASE,
)
_IF = re.compile(r"\W*(?:if|when|suppose|say|let's|imagine)\b", re.IGNORECASE)
_KEEP = re.compile(r"^(?:please |also )*(?:remember|note|keep in mind|don't forget)\b", re.IGNORECASE)
_BROUGHT = """
user users use uses using has have had is are was were live lives like likes love loves work works call called name
named want wants prefer prefers own owns does do not no longer any more anymore favourite favorite since until now new
old go goes get gets take takes play plays person people tool day time from born year years age move moved moves
currently always never also well week month stopped ended former visited
"""
_ADDED = frozenset(_BROUGHT.split())
"""Words that a statement may bring along: they tell what is said, not of what."""


def sentences(text: str) -> list[str]:
    """The sentences of a message; of what is too long to be one, its beginning."""
    parts = (part.strip()[:LONGEST_SENTENCE] for part in _ENDS.split(text[: LONGEST_SENTENCE * MOST_SENTENCES]))
    return [part for part in parts if part][:MOST_SENTENCES]


def tells(sentence: str) -> bool:
    """Whether a sentence may state something: it is no question, no what-if, no joke that says so, and no order."""
    sentence = sentence.replace("’", "'")
    if not any(char.isalpha() for char in sentence) or sentence.rstrip("'\"”) ").endswith("?"):
        return False
    if any(pattern.search(sentence) for pattern in (_SUPPOSED, _JOKE, _AS_IF)):
        return False
    if _KEEP.match(sentence):
        return True
    if _ORDER.match(sentence):
        return False
    return not _ASKS.match(sentence) or bool(_TELLS_OF_SELF.match(sentence))


def stated(text: str) -> list[str]:
    """The sentences of a message that may state something."""
    if _JOKE.search(text[-40:]) and len(sentences(text)) == 1:
        return []
    return [each for each in map(_ahead_of_question, sentences(text)) if tells(each)]


def _ahead_of_question(sentence: str) -> str:
    """What somebody says of themself before they ask, in one breath: "I have no garden, so what can I grow?"."""
    asked = list(_THEN_ASKS.finditer(sentence)) if sentence.rstrip("'\"”) ").endswith("?") else []
    head = sentence[: asked[-1].start()] if asked else ""
    return head if len(head.split()) >= FEW and _TELLS_OF_SELF.search(head) and not _IF.match(head) else sentence


FEW = 4
"""Words that a statement before a question has at least."""


def source_of(statement: str, sentences: Sequence[str], brought: Iterable[str] = ()) -> int | None:
    """Which sentence a statement is from: the one that shares the most of its telling words; None when none shares
    enough of them, or when a name or number in the statement was never said. The words of what is known already may be
    `brought` along.
    """
    own = telling(statement)
    free = {beginning(word) for word in _ADDED}
    wanted = own - free.union(*(telling(text) - names_in(text) for text in brought)) or own
    said = [telling(sentence) for sentence in sentences]
    if not wanted or not names_in(statement) <= set().union(*said, free):
        return None
    shared = [(len(wanted & words) / len(wanted), len(own & words), -at) for at, words in enumerate(said)]
    best = max(shared, default=(0.0, 0, 0))
    return -best[2] if best[0] >= ENOUGH else None
