"""What passes by itself and is not worth keeping: moods and aches, meals, the weather, what is done right now.

Known by its words alone, and English ones. Knows nothing of facts.
"""

from __future__ import annotations

import re

_LASTS = re.compile(
    r"\b(?:always|every|each|often|usually|mostly|never|since|for (?:\w+ )?(?:years|months)|chronic\w*|whenever|when|"
    r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days|(?:once|twice|times) a \w+)\b",
    re.IGNORECASE,
)
"""Words by which even a mood lasts."""
_NOW = re.compile(
    r"\b(?:right now|right away|just now|at this moment|tonight|later|on (?:my|their) way|"
    r"this (?:very )?(?:minute|second|morning|afternoon|evening)|"
    r"in (?:an?|half an|one|two|three|five|ten|a few|\d+) (?:minutes?|hours?|sec(?:ond)?s?|moment))\b",
    re.IGNORECASE,
)
_MOODS = """
tired exhausted hungry thirsty starving freezing cold hot warm sleepy bored happy sad angry furious annoyed excited
stressed nervous worried glad sorry fine ok okay good great busy late ready awake hungover confused lost curious
grateful thankful relieved surprised impressed disappointed frustrated upset lonely wet full back here
home overwhelmed desperate
"""
_MOOD = re.compile(
    r"^(?:(?:is|are|was|feels?|feeling|got|gets) )?"
    r"(?:(?:so|very|really|a (?:bit|little)|quite|pretty|rather|totally|too|just|feeling|still|also|all|super) )*"
    rf"(?:{'|'.join(_MOODS.split())})"
    r"(?=$|[,;.!]| (?:and|but|because|today|tonight|now|again|about|from|after|to|that|this|as|by)\b)",
    re.IGNORECASE,
)
_HURTS = re.compile(
    r"\b(?:hurts?|aches?|(?:is|are) (?:killing|sore|aching|hurting)|has a (?:headache|hangover|stomach ache))\b",
    re.IGNORECASE,
)
_MEAL = re.compile(
    r"^(?:(?:is|has|have|had|having|ate|eat|eating|making|makes?|cooking|cooks?|drinks?|drinking|got|finished|took|"
    r"takes?|taking|needs?|just|still) )+(?:\w+ )*?(?:breakfast|lunch|dinner|supper|coffee|tea|nap|snack|shower|bath)$|"
    r"^(?:breakfast|lunch|dinner|supper|coffee|tea) (?:is|was)\b",
    re.IGNORECASE,
)
_JUST = re.compile(r"\b(?:just|now|about to|(?:'m|am|'re|are) (?:having|eating|making|drinking)|need)\b", re.IGNORECASE)
_DAY = re.compile(
    r"^(?:spent|had|is having|having|what) (?:an?|the|their|such an?)(?: [\w-]+){0,2} "
    r"(?:day|morning|afternoon|evening|night|week|weekend|time)\b",
    re.IGNORECASE,
)
_OFF = re.compile(
    r"^(?:(?:has|have|had|is|needs?|must|got|gotta|going|gonna) )+(?:to )?"
    r"(?:run|go|leave|hurry|sleep|get going|be off|go to bed)$",
    re.IGNORECASE,
)
_LOOKS_FORWARD = re.compile(r"^(?:can't|cannot) wait\b|^(?:is )?looking forward\b", re.IGNORECASE)
_LATE = re.compile(
    r"\b(?:is|are) (?:late|delayed|down|broken|gone|off|raining|pouring|snowing)(?: again)?(?: today)?$", re.IGNORECASE
)
_HIM = re.compile(
    r"^\w+ (?:it|them|him|this|those|these|that)\b|^\w+ \w+ (?:it|them|him)\b|\b(?:it|them|him)$", re.IGNORECASE
)
_WILL = re.compile(r"\b(?:I|we)(?:'ll| will) (?:(?:also|just|then|\w+ly) )?(?P<verb>\w+)", re.IGNORECASE)


def fleeting(statement: str, sentence: str, *, dated: bool) -> bool:
    """Whether what a sentence says of the user is over before anybody could ask. What has its day passes with it."""
    sentence = sentence.replace("’", "'")
    if _HIM.search(statement):
        return True  # nobody knows later what that was
    if _LASTS.search(sentence):
        return False
    if any(pattern.search(statement) for pattern in (_MOOD, _HURTS, _DAY, _OFF, _LATE, _LOOKS_FORWARD)):
        return True
    if _MEAL.search(statement) and _JUST.search(sentence):
        return True
    return not dated and (_NOW.search(statement) is not None or _will(statement, sentence))


def _will(statement: str, sentence: str) -> bool:
    """Whether it is what the user is about to do, without a day."""
    first = re.sub(r"^will (?:\w+ly )?", "", statement.casefold()).split()[0]
    verbs = [found["verb"].casefold() for found in _WILL.finditer(sentence)]
    forms = {f"{verb}{end}" for verb in verbs if verb not in ("be", "become") for end in ("", "s", "es", "d", "ed")}
    return first in forms
