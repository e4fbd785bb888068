"""Lets a model fill in a form: one question about a text, whose answer must be the arguments of one function.

Where the server can, the answer is held to the form; what comes all the same is mended where that can mean one thing
only. Knows nothing of what forms are for.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from datetime import datetime
from typing import Any

from memagent.errors import JSONParseError
from memagent.llm import LLM, Answer, Heard, Request, Schema
from memagent.llm.repair import mend, split_calls
from memagent.messages import Message, unmarked


def filled(
    llm: LLM, instruction: str, text: str, form: Schema, now: datetime, most: int
) -> Generator[Heard, None, Mapping[str, Any] | None]:
    """The form as the model fills it in, in at most so many tokens; None when what it says is of no use. To stop early,
    close the generator. Raises `LLMError` when the model can't be had.
    """
    messages = [Message("system", "boot", instruction, now), Message("user", "user", unmarked(text), now)]
    answer = Answer()
    for heard in llm.ask(Request(messages, [form], form["name"], most)):
        if isinstance(heard, Answer):
            answer = heard
        yield heard
    name = str(form["name"])
    calls = answer.calls or split_calls(answer.text, [name])[1]
    written = next((call.arguments for call in calls if call.name == name), answer.text if not calls else "")
    if "{" not in written:
        return None
    try:
        return mend(written)
    except JSONParseError:
        return None
