"""Hears a model while it writes: what can be shown already, whether the answer can be used, and which calls it makes.

Knows nothing of storage or of what the calls do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

from memagent.errors import JSONParseError
from memagent.events import Delta
from memagent.llm import Answer, Piece
from memagent.llm.repair import mend, split_calls
from memagent.messages import ToolCall, storable
from memagent.verdict import Speech

SPEAK = "send_message"
MOST_CALLS = 16
UNREADABLE = "unreadable_arguments"

EMPTY = "Your last answer was empty. Answer with a function call."
CUT_OFF = "Your last answer was too long and was cut off inside a function call. Make it shorter."
FIRST_WORDS = "Your first answer must call send_message, to speak to the user."


class Ear:
    """Turns pieces into deltas that may be shown: thoughts, and the words of a reply out of its unfinished JSON."""

    def __init__(self, speech: Speech) -> None:
        self._speech = speech
        self._arguments: dict[int, str] = {}
        self._names: dict[int, str] = {}
        self._shown: dict[int, int] = {}

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
                self._arguments[index] = self._arguments.get(index, "") + piece.text
                words = _words_so_far(self._arguments[index])
                shown = self._shown.get(index, 0)
                if len(words) > shown:
                    self._shown[index] = len(words)
                    yield Delta("reply", words[shown:])


def _words_so_far(arguments: str) -> str:
    """The `message` of unfinished arguments, as far as it is written."""
    import jiter

    if len(arguments) > 100_000:
        return ""  # nobody reads that as it is written; the whole is shown at the end
    try:
        found = jiter.from_json(storable(arguments).encode(), partial_mode="trailing-strings")
    except ValueError:
        return ""
    words = found.get("message") if isinstance(found, dict) else None
    return words if isinstance(words, str) else ""


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
    except ValueError:
        return False
    return True


def with_calls(answer: Answer, known: Collection[str]) -> Answer:
    """The same answer; calls that the model wrote into its text, as some do, are taken for what they are."""
    if answer.calls or not answer.text:
        return answer
    text, calls = split_calls(answer.text, known)
    return replace(answer, text=text, calls=calls) if calls else answer


def calls_of(answer: Answer, new_id: Callable[[int], str]) -> tuple[tuple[ToolCall, ...], int]:
    """The calls of an answer, with ids of ours and arguments that are JSON, and how many were too many."""
    found = answer.calls[:MOST_CALLS]
    calls = tuple(ToolCall(new_id(i), call.name, readable(call.arguments)) for i, call in enumerate(found))
    return calls, len(answer.calls) - len(found)


def readable(arguments: str) -> str:
    """Arguments as a JSON object; when they can't be mended, what is wrong with them under a name of its own."""
    try:
        mended = mend(arguments)
    except JSONParseError as error:
        mended = {UNREADABLE: error.message}
    return storable(json.dumps(mended, ensure_ascii=False))
