"""Takes facts from talk by asking a model, once, for a list of them in a fixed form.

Knows nothing of how facts are kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from memagent.errors import LLMError
from memagent.facts import Draft, Fact, Said
from memagent.llm import LLM, Answer, Request
from memagent.messages import Message, unmarked

FUNCTION = "note_facts"
SCHEMA = {
    "name": FUNCTION,
    "description": "Note the lasting facts in this talk.",
    "parameters": {
        "type": "object",
        "properties": {
            "facts": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "text": {"type": "string"},
                        "about": {"type": "string"},
                        "holds": {"type": "boolean"},
                        "message": {"type": "integer"},
                    },
                    "required": ["text"],
                },
            }
        },
        "required": ["facts"],
    },
}
PROMPT = "Note lasting facts from this talk, each a short sentence that is clear by itself. None is a fine answer too."


class ModelExtractor:
    """Asks a model for the facts in some messages."""

    def __init__(self, llm: LLM) -> None:
        self._llm = llm

    def extract(self, talk: Sequence[Said], known: Sequence[Fact]) -> Sequence[Draft]:
        """What the model finds; known facts are shown to it."""
        lines = [f"[{said.seq}] {said.who}, {said.when:%Y-%m-%d}: {said.text}" for said in talk]
        lines = [*(f"known: {fact.text}" for fact in known), *lines]
        now = talk[-1].when
        messages = [
            Message("system", "boot", PROMPT, now),
            Message("user", "user", unmarked("\n".join(lines)), now),
        ]
        request = Request(messages, [SCHEMA], FUNCTION)
        answer = next((heard for heard in self._llm.ask(request) if isinstance(heard, Answer)), Answer())
        for call in answer.calls:
            try:
                facts = json.loads(call.arguments)["facts"]
            except (ValueError, LookupError, TypeError, RecursionError):
                continue
            if isinstance(facts, list):
                return list(_drafts(facts))
        raise LLMError(f"{self._llm.model} did not answer with facts.")


def _drafts(facts: Sequence[Any]) -> Iterator[Draft]:
    for fact in facts:
        if isinstance(fact, dict) and isinstance(fact.get("text"), str):
            number = fact.get("message")
            yield Draft(
                fact["text"],
                bool(fact.get("holds", True)),
                about=str(fact.get("about") or "user"),
                message=number if isinstance(number, int) else 0,
                quote=str(fact.get("quote") or ""),
            )
