"""Hears a model while it writes: what can be shown already, whether the answer can be used, and which calls it makes.

Knows nothing of storage or of what the calls do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from memagent.errors import JSONParseError
from memagent.events import Delta
from memagent.llm import Answer, Piece
from memagent.llm.patient_json import ready, unescaped
from memagent.llm.repair import mend, split_calls
from memagent.messages import SPEAK, Message, ToolCall, as_json, storable
from memagent.verdict import Speech

MOST_CALLS = 16
UNREADABLE = "unreadable_arguments"
DROPPED = "dropped_calls"

EMPTY = "Your last answer was empty. Answer with a function call."
CUT_OFF = "Your last answer was too long and was cut off inside a function call. Make it shorter."
FIRST_WORDS = "Your first answer must call send_message, to speak to the user."


class Ear:
    """Turns pieces into deltas that may be shown: thoughts, and the words of a reply out of its unfinished JSON."""

    def __init__(self, speech: Speech) -> None:
        self._speech = speech
        self._words: dict[int, Words] = {}
        self._names: dict[int, str] = {}

    def hear(self, piece: Piece) -> Iterator[Delta]:
        """What this piece adds to what can be shown."""
        if piece.kind == "thought":
            yield Delta("thought", piece.text)
        elif piece.kind == "text":
            yield Delta("reply" if self._speech == "plain" else "thought", piece.text)
        else:
            index = piece.index
            self._names[index] = self._names.get(index) or piece.name
            if self._names[index] == SPEAK:
                words = self._words.setdefault(index, Words())
                if more := words.hear(piece.text):
                    yield Delta("reply", more)


_BEFORE = re.compile(
    r'\s*\{\s*(?:"(?!message")\w+"\s*:\s*(?:[\w.+-]+|"(?:[^"\\]|\\.)*+")\s*,\s*)*+"message"\s*:\s*"', re.DOTALL
)
_LONGEST_ESCAPE = len(r"\ud83d\ude00")


class Words:
    """The `message` of arguments that are still being written, word for word: each character is looked at once.

    A preview: where the arguments are not as expected, there is none, and the whole is shown at the end.
    """

    LONGEST_BEGINNING = 1000

    def __init__(self) -> None:
        self._rest = ""
        self._inside = False
        self._over = False

    def hear(self, text: str) -> str:
        """The words that this piece of the arguments adds."""
        if self._over:
            return ""
        if self._inside and not self._rest and '"' not in text and "\\" not in text:
            return storable(text)
        self._rest += text
        if not self._inside:
            found = _BEFORE.match(self._rest)
            self._over = not found and len(self._rest) > self.LONGEST_BEGINNING
            if not found:
                return ""
            self._inside, self._rest = True, self._rest[found.end() :]
        end = ready(self._rest)
        written, self._rest = self._rest[:end], self._rest[end:]
        self._over = self._rest.startswith('"') or len(self._rest) >= _LONGEST_ESCAPE
        return storable(unescaped(written))


def problem_with(answer: Answer, must_speak: bool, forced: str | None) -> str:
    """Why an answer can't be used, in words for the model; empty when it can."""
    if not answer.calls and not answer.text.strip():
        return CUT_OFF if answer.finish == "length" else EMPTY
    if answer.calls and answer.finish == "length" and not _whole(answer.calls[-1].arguments):
        return CUT_OFF
    if must_speak and forced in (None, SPEAK) and all(call.name != SPEAK for call in answer.calls):
        return FIRST_WORDS
    return ""


def _whole(arguments: str) -> bool:
    try:
        json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return False
    return True


def with_calls(answer: Answer, known: Collection[str]) -> Answer:
    """The same answer; calls that the model wrote into its text, as some do, are taken for what they are."""
    if answer.calls or not answer.text:
        return answer
    text, calls = split_calls(answer.text, known)
    return replace(answer, text=text, calls=calls) if calls else answer


def calls_of(answer: Answer, new_id: Callable[[int], str]) -> tuple[tuple[ToolCall, ...], int]:
    """The calls of an answer, with ids of ours and arguments that are JSON, and how many were too many. The first of
    these stands for all of them: with a result of its own, by which the model learns that they did not happen.
    """
    found = answer.calls[:MOST_CALLS]
    calls = [ToolCall(new_id(i), call.name, readable(call.arguments)) for i, call in enumerate(found)]
    if dropped := len(answer.calls) - len(found):
        told = (
            f"One answer may have {MOST_CALLS} calls. This one had {dropped} more, which did not happen; make those "
            "again that are still needed."
        )
        name = answer.calls[MOST_CALLS].name
        calls.append(ToolCall(new_id(MOST_CALLS), name, as_json({DROPPED: told})))
    return tuple(calls), dropped


def refused(arguments: Mapping[str, Any]) -> str:
    """Why a call with these arguments was never fit to be carried out, in words for the model; empty when it was."""
    for reason in (UNREADABLE, DROPPED):
        if reason in arguments:
            return str(arguments[reason]) or "These arguments could not be read."
    return ""


def readable(arguments: str) -> str:
    """Arguments as a JSON object; when they can't be mended, what is wrong with them under a name of its own."""
    try:
        mended = mend(arguments)
    except JSONParseError as error:
        mended = {UNREADABLE: str(error)}
    return storable(as_json(mended))


def first_answer_due(heard: Answer, window: Sequence[Message], turn: Sequence[Message]) -> bool:
    """Whether the agent's very first answer is due, which must speak. Noting down what the user has said first, and
    speaking then, will do too: refused, it would be lost.
    """
    if heard.calls and any(m.kind == "user" for m in turn):
        return False
    return not any(m.kind in ("answer", "summary") for m in window)
