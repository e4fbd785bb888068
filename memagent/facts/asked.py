"""Answers a question from what is known: in a model's words, or without one, with the facts themselves.

Knows nothing of how facts come to be known.
"""

from __future__ import annotations

from memagent.facts.keeping import FactMemory
from memagent.facts.minding import HEADING, known_of, told
from memagent.facts.telling import UNKNOWN as NOT_TOLD
from memagent.facts.telling import plainly
from memagent.llm import LLM, Answer, Request
from memagent.messages import Message, as_json

UNKNOWN = "Nothing is known of that."
PROMPT = (
    "Answer the user's question in one short sentence, from the facts alone. If they don't tell, say that you don't "
    "know. What is marked as no longer so is past."
)


def answered(memory: FactMemory, question: str, llm: LLM | None) -> str:
    """The answer; `UNKNOWN` when there is nothing to answer from."""
    facts = list(known_of(memory.finder, question))
    if not facts:
        return UNKNOWN
    if llm is None:
        said = plainly(question, facts)
        return said if said != NOT_TOLD else "\n".join(told(fact).removeprefix("- ") for fact in facts)
    now = memory.clock()
    asked = as_json({"facts": [HEADING, *map(told, facts)], "question": question, "today": f"{now:%Y-%m-%d}"})
    request = Request([Message("system", "boot", PROMPT, now), Message("user", "user", asked, now)])
    answer = next((heard.text for heard in llm.ask(request) if isinstance(heard, Answer)), "")
    return answer.strip() or UNKNOWN
