"""What a short statement says of whom: a relation, such as living somewhere or liking something, and its value.

Tells of two statements whether one says the same, says more, contradicts the other, or has nothing to do with it. Some
relations hold for one value at a time (where somebody lives), others for many (what somebody likes). English only, and
only such statements as extractors write; of others nothing is claimed. Knows nothing of facts, or of how they are kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from memagent.facts.words import root
from memagent.memory.search import STOP_WORDS

Bearing = Literal["same", "vaguer", "finer", "against", "none"]
"""How a statement bears upon an earlier one; "none" if both can hold."""

_SHORT = {
    "won't": "will not", "can't": "can not", "cannot": "can not", "shan't": "shall not", "i'm": "i am",
    "he's": "he is", "she's": "she is", "it's": "it is", "favorite": "favourite", "any more": "anymore",
}  # fmt: skip
_DENIED = re.compile(r"\b(?:does|do|did|is|are|am|was|were|has|have|had|can|will|would|could|should)? ?(?:not|never)\b")
_GONE = re.compile(
    r"\b(?:no longer|not|never|anymore|any longer|now|currently|these days|at the moment|already|still|also|really|"
    r"actually|instead|usually|often|recently|just|since \w+|as of \w+)\b"
)
_STOPPED = re.compile(
    r"\b(?:has |have )?(?:stopped|quit|gave up|given up|ceased|cancelled|canceled|left|sold|deleted|uninstalled|"
    r"got rid of|used to|is done with|dropped|lost|finished|broke up with)\b"
)
_NO_MORE = re.compile(r"\b(?:stopped|quit|gave up|given up|ceased|used to)\b")
_LIVES = r"(?:lives?|living|resides?|is based|is living|(?:has )?(?:just )?(?:moved|relocated))"
_PROFESSIONS = """accountant actor actress analyst architect artist baker banker barber barista biologist builder
butcher carpenter cashier chef chemist clerk coach consultant cook dentist designer developer director doctor driver
economist editor electrician engineer farmer firefighter florist freelancer gardener geologist hairdresser historian
instructor interpreter journalist judge lawyer lecturer librarian manager mechanic midwife musician nurse optician
painter paramedic pharmacist photographer physicist pilot plumber policeman postman professor programmer psychologist
receptionist researcher salesman scientist secretary soldier student surgeon tailor teacher technician therapist
translator tutor vet veterinarian violinist waiter waitress welder writer"""
_JOB = "|".join(_PROFESSIONS.split())
_NUMBERS = "no one two three four five six seven eight nine ten"
_COUNT = {word: str(number) for number, word in enumerate(_NUMBERS.split())} | {"once": "1", "twice": "2"}
_TIME = r"\d[\d:.,]*(?: ?[ap]\.?m\.?)?|noon|midnight"

# What a relation is known by; those that hold for one value at a time come first.
_SINGLE = tuple(
    (key, re.compile(pattern))
    for key, pattern in (
        ("works at", r"(?:works?|is working|is employed|(?:has )?(?:started|got|took) (?:working|a (?:new )?job))"
                     r"(?: as (?:an? )?[\w -]+?)? (?:at|for) (?P<value>.+)"),
        ("job", r"(?:works?|is working|is employed|(?:has )?started(?: working)?) as (?:an? |the )?(?P<value>.+)"),
        ("job", rf"(?:is|became|has become) (?:an? |the )?(?P<value>(?:[\w-]+ ){{0,3}}(?:{_JOB}))(?: by profession)?$"),
        ("lives", rf"{_LIVES} (?:back )?(?:in|at|to|near|on|from [\w ]+ to) (?P<value>.+)"),
        ("age", r"(?:is|turned|turns|just turned|became) (?P<value>\d{1,3})(?: years old| years of age)?$"),
        ("born on", r"(?:was|is) born on (?P<value>.+)"),
        ("born in", r"(?:was|is) born in (?P<value>.+)"),
        ("from", r"(?:is|comes|originally comes) (?:originally )?from (?P<value>.+)"),
        ("name", r"(?:is called|is named|goes by|wants to be called|prefers to be called) (?P<value>.+)"),
        ("partner", r"(?:is married to|married|is engaged to|is dating|is in a relationship with) (?P<value>.+)"),
        ("marital", r"(?:is|got|became) (?P<value>married|single|divorced|engaged|widowed|separated)$"),
        ("diet", r"(?:is|became|has become|turned) (?:an? )?(?P<value>vegetarian|vegan|pescatarian|omnivore)$"),
        ("diet", r"(?:eats|eat|started eating|is eating) (?P<value>meat|only plants)(?: again)?$"),
        ("job status", r"(?:is|became|got) (?P<value>unemployed|retired|self-employed|employed|between jobs)$"),
        ("weight", r"weighs? (?P<value>\d.*)"),
        ("height", r"is (?P<value>\d[\d.,]* ?(?:cm|m|meters|metres|feet|foot|ft).*?)(?: tall)?$"),
        ("wakes up", rf"(?:wakes?|gets?) up at (?P<value>{_TIME}).*"),
        ("goes to bed", rf"goes? to (?:bed|sleep) at (?P<value>{_TIME}).*"),
        ("drives", r"drives? (?:an? |the )?(?P<value>[\w -]+)$"),
        ("favourite", r"(?:has as favourite|likes best|likes most) (?P<value>.+)"),
    )
)  # fmt: skip
_DONE = r"been|taught|given|won|written|held|led|known|run|\w+ed"
_LIKES = r"likes?|loves?|enjoys?|adores?|is fond of|is into|is passionate about|is a fan of|is a big fan of|prefers?"
_HATES = r"hates?|dislikes?|detests?|loathes?|can not stand|is not into"
_MANY_VERBS = tuple(
    (key, re.compile(rf"(?:{pattern}) (?P<value>.+)"))
    for key, pattern in (
        ("likes", _LIKES),
        ("hates", _HATES),
        ("uses", r"uses?|is using|works? with|relies on|switched to|started using|started to use"),
        ("owns", rf"(?:has|have)(?! (?:{_DONE})\b)|owns?|possesses|got|adopted"),
        ("plays", r"plays?|is playing"),
        ("speaks", r"speaks?|is fluent in|is learning|learns?"),
        ("eats", r"eats?|drinks?|is eating|is drinking"),
    )
)
_KIN = """sister brother mother father mum mom dad son daughter child wife husband partner girlfriend boyfriend friend
cousin aunt uncle grandmother grandfather grandma grandpa niece nephew boss colleague coworker neighbour neighbor
roommate flatmate teacher dog cat pet parrot rabbit horse puppy kitten"""
_LIVING = frozenset(_KIN.split())
_MANY_THINGS = """brother sister son daughter child friend cousin aunt uncle niece nephew colleague coworker neighbour
neighbor roommate flatmate dog cat pet hobby language allergy skill interest goal plan dream tool pets hobbies languages
allergies friends parents children kids"""
_SEVERAL = frozenset(_MANY_THINGS.split())
_OWNED = re.compile(r"(?:(?:the )?user's|my) (?P<of>.+?) (?P<verb>is|are|was|were|will be) (?P<value>.+)")
_WORDS = re.compile(r"[^\W_]+(?:['’.:-][^\W_]+)*")
_FILL = (STOP_WORDS | {"user", "some"}) - {"no", "not"}
_DAYS = """monday tuesday wednesday thursday friday saturday sunday january february march april may june july august
september october november december today tomorrow tonight weekend week month year morning evening afternoon next noon
midnight am pm o'clock"""
_TIMES = frozenset(root(word) for word in _DAYS.split())
_EXCLUSIVE = frozenset({"*likes", "*uses", "*speaks", "*eats", "*plays"})
SHORT = 4
"""What is new takes the place of something that shares a word with it, if both are no longer than that."""
_VERB = (
    r"(?=(?:is|are|was|has|became|got|moved|studies|(?:live|work|like|love|hate|play|speak|want|use|eat|drink)s?)\b)"
)
_OF_THEIRS = re.compile(rf"(?:(?:the )?user's|my) (?P<of>.+?) {_VERB}")
_THEMSELVES = re.compile(r"(?:the )?(?:user|i|we|agent)\b ?")
_OTHERS = re.compile(rf"(?P<of>[\w-]+(?: (?!(?:is|are|was|has)\b)[\w-]+){{0,2}}?) {_VERB}")
_TIE = re.compile(r"\b(?:married|engaged|dating)\b")
_PAST = re.compile(r"\b(?:\w\w+ed|went|saw|met|was|were|did|had|bought)\b")
_MEATLESS = re.compile(r"\b(?:vegetarian|vegan)\b")
_MEAT = re.compile(r"\beats? (?:\w+ )?(?:meat|beef|pork|chicken|steak)\b")


def written_out(text: str) -> str:
    """A statement in small letters, without its point, its short forms written out."""
    text = " ".join(text.replace("’", "'").lower().strip(' .!"“”').split())
    for short, long in _SHORT.items():
        text = text.replace(short, long)
    text = re.sub(r"(\w)n't\b", r"\1 not", text)
    return re.sub(r"^(?:i|we) (?:am|are)\b", "user is", re.sub(r"^(?:i|we) have\b", "user has", text))


@dataclass(frozen=True)
class Frame:
    """One statement, taken apart as far as that goes."""

    text: str

    @cached_property
    def small(self) -> str:
        """The text as `written_out` has it."""
        return written_out(self.text)

    @cached_property
    def denied(self) -> bool:
        """Whether it says that something is not so, or not so any more."""
        no = " no " in f" {self.small} ".replace(" no longer ", " not ")
        return no or bool(_DENIED.search(self.small) or _NO_MORE.search(self.small))

    @cached_property
    def ending(self) -> bool:
        """Whether it says that something is over."""
        return bool(re.search(r"\bno longer\b|\banymore\b|\bany longer\b", self.small) or _STOPPED.search(self.small))

    @cached_property
    def changed(self) -> bool:
        """Whether it says that something is new."""
        return bool(re.search(r"\b(?:now|moved|switched|changed|became|instead|no longer|anymore|new)\b", self.small))

    @cached_property
    def only(self) -> bool:
        """Whether it holds for this alone."""
        return bool(re.search(r"\b(?:only|exclusively|nothing but)\b", self.small))

    @cached_property
    def said(self) -> tuple[str, str, str]:
        """Of whom, which relation, and what; the relation is empty where it is not understood."""
        text = _GONE.sub(" ", _DENIED.sub(" ", self.small))
        text = " ".join(re.sub(r"\b(?:only|exclusively)\b", " ", text).split())
        if owned := _OWNED.fullmatch(text):
            return self._owned(owned["of"], owned["verb"], owned["value"])
        whose, rest = _apart(text)
        for key, pattern in _SINGLE:
            if found := pattern.fullmatch(rest):
                return whose, key, _bare(found["value"])
        for key, pattern in _MANY_VERBS:
            if found := pattern.fullmatch(_present(rest)):
                return whose, f"*{key}", _bare(found["value"])
        verb, _, value = _present(rest).partition(" ")
        return whose, f"*{root(verb)}" if verb else "", _bare(value)

    def _owned(self, of: str, verb: str, value: str) -> tuple[str, str, str]:
        """What is said of something or somebody of the user's."""
        head = of.split()[-1]
        if called := re.fullmatch(r"(?:called|named) (?P<name>.+)", value):
            return "user", f"{'*' if head in _SEVERAL else ''}{of}", called["name"]
        if not _LIVING & set(of.split()):
            return "user", f"{'*' if head in _SEVERAL else ''}{of}", _bare(value)
        for key, pattern in _SINGLE:
            if found := pattern.fullmatch(f"{verb} {value}"):
                return of, key, _bare(found["value"])
        if verb == "is" and re.fullmatch(r"[A-Z][\w-]+(?: [A-Z][\w-]+)*", self._last(value)):
            return "user", f"{'*' if head in _SEVERAL else ''}{of}", _bare(value)
        return of, "*is", _bare(value)

    def _last(self, value: str) -> str:
        """The end of the text as it was written."""
        end = self.text.strip(" .!")
        return end[-len(value) :]

    @cached_property
    def words(self) -> frozenset[str]:
        """The stems of the words in what is said."""
        return frozenset(_stems(self.said[2]))

    @cached_property
    def core(self) -> frozenset[str]:
        """Those of them that are neither numbers nor times."""
        return frozenset(w for w in self.words if w not in _TIMES and not w[0].isdigit())

    @cached_property
    def single(self) -> bool:
        """Whether the relation holds for one value at a time."""
        return bool(self.said[1]) and self.said[1][0] != "*"

    @cached_property
    def past(self) -> bool:
        """Whether it tells of something that has happened, which may happen again."""
        return bool(_PAST.search(self.small))

    def bears_on(self, old: Frame) -> Bearing:
        """How this statement bears upon an earlier one."""
        if self.small == old.small:
            return "same"
        (whose, relation, value), (whose_old, relation_old, value_old) = self.said, old.said
        if not relation or not relation_old or not _same_one(whose, whose_old):
            return "none"
        if {relation, relation_old} == {"*likes", "*hates"}:
            return "against" if self._alike(old) and self.denied == old.denied else "none"
        if relation != relation_old:
            return self._diet_against(old)
        if self.denied != old.denied:
            return "against" if self._alike(old) else "none"
        if value == value_old or (self.words and self.words == old.words):
            return "same" if _TIE.findall(self.small) == _TIE.findall(old.small) else "against"
        if self.single:
            return "none" if self.denied else self._other_value(old)
        return self._among_many(old)

    def _alike(self, old: Frame) -> bool:
        if not self.words or not old.words:
            return self.words == old.words
        return self.words <= old.words or old.words <= self.words

    def _diet_against(self, old: Frame) -> Bearing:
        """Who eats meat is no vegetarian."""
        for one, other in ((self, old), (old, self)):
            if _MEATLESS.search(one.small) and not one.denied and _MEAT.search(other.small) and not other.denied:
                return "against"
        return "none"

    def _other_value(self, old: Frame) -> Bearing:
        if old.words and old.words < self.words:
            return "finer"
        return "vaguer" if self.words and self.words < old.words else "against"

    def _among_many(self, old: Frame) -> Bearing:
        new_numbers, old_numbers = self.words - self.core, old.words - old.core
        if self.core and self.core == old.core:
            if not old_numbers:
                return "finer"
            if not new_numbers:
                return "vaguer"
            return "none" if self.past else "against"
        if self.only and not self.words & old.words and self.said[1] in _EXCLUSIVE:
            return "against"
        if self.changed and not old.past and self.core & old.core and len(self.core | old.core) <= SHORT:
            return "against"
        if old.words and old.words < self.words and not self.denied:
            return "finer"
        return "vaguer" if self.words and self.words < old.words and not old.denied else "none"


def _apart(text: str) -> tuple[str, str]:
    """Of whom it is said, and what."""
    for pattern in (_OF_THEIRS, _THEMSELVES, _OTHERS):
        if found := pattern.match(text):
            return found.groupdict().get("of") or "user", text[found.end() :]
    return "", text


def _same_one(one: str, other: str) -> bool:
    """Whether "sister" and "sister Anna" may be the same one."""
    first, second = frozenset(one.split()), frozenset(other.split())
    return first <= second or second <= first


def _present(text: str) -> str:
    """What is left of a statement of an end: what is over."""
    return re.sub(r"^(?:has |have |is )?(?:stopped|quit|gave up|given up|ceased|used to) (?=\w)", "", text)


def _bare(value: str) -> str:
    return re.sub(r"^(?:an?|the|his|her|their|my) ", "", value.strip(" ,;"))


def _stems(value: str) -> list[str]:
    words = [_COUNT.get(word, word) for word in _WORDS.findall(value)]
    return [root(word) for word in words if word not in _FILL]
