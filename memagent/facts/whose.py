"""Whose a statement is that a small model notes: it says so first, in a word, and how sure it was of that word tells
what is to be trusted.

What is not meant (jokes, stories, games) or over in a moment is noted as such, since small models find it easier to
put a thing elsewhere than to leave it out. Knows nothing of what a statement says, so of no language.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from memagent.llm import Written

ME, OTHER = "me", "other"
JOKE, NOW = "joke", "now"
DOUBT, HALF, CERTAIN = 0.25, 0.5, 0.9
"""So likely it may have been to a model that something was not meant, what passes counted half; so likely it must have
been that it is the user's, and that it is so whatever the words around it look like.
"""
SUPPOSED = 0.8
"""How sure a model is of its word that does not tell."""
_BEHIND = re.compile(rf" ?\((?P<whose>{'|'.join((ME, OTHER, JOKE, NOW))})\)$")
_IN_LIST = re.compile(rf"{_BEHIND.pattern[:-1]}\"")


def whose(text: str) -> tuple[str, str]:
    """The word behind a statement, and the statement; no word, if there is none."""
    found = _BEHIND.search(text)
    return (found["whose"], text[: found.start()]) if found else ("", text)


def shares(written: Sequence[Written]) -> list[dict[str, float]]:
    """How likely each word was in the place of each that was written, in their order; nothing, where nobody told."""
    starts, text = dict[int, Written](), ""
    for piece in written:
        starts[len(text)] = piece
        text += piece.text
    found = [starts.get(match.start("whose")) for match in _IN_LIST.finditer(text)]
    return [_shared(piece) for piece in found if piece] if all(found) else []


def _shared(piece: Written) -> dict[str, float]:
    sums = {
        word: sum(chance for begun, chance in piece.chances.items() if begun and word.startswith(begun))
        for word in (ME, OTHER, JOKE, NOW)
    }
    whole = sum(sums.values()) or 1.0
    return {word: chance / whole for word, chance in sums.items()}


def told(noted: Any, written: Sequence[Written] = ()) -> Any:
    """The statements of a list with the words behind them apart: as {"text", "whose", "sure"}. Those that are not
    meant, or pass, are left out, and those of which the model was not sure enough.
    """
    if not isinstance(noted, list):
        return noted
    parted = [whose(each) if isinstance(each, str) else ("", each) for each in noted]
    known = shares(written)
    share = iter(known if len(known) == sum(bool(word) for word, _ in parted) else ())
    judged = [_judged(word, text, next(share, {word: SUPPOSED})) if word else text for word, text in parted]
    return [each for each in judged if each]


def _judged(word: str, text: str, share: Mapping[str, float]) -> Mapping[str, Any] | None:
    mine = share.get(ME, 0.0)
    if word in (JOKE, NOW) or share.get(JOKE, 0.0) + share.get(NOW, 0.0) / 2 > DOUBT:
        return None
    return {"text": text, "whose": ME if word == ME and mine >= HALF else OTHER, "sure": mine}
