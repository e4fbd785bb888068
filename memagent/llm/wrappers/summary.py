"""Instruction and response: for models that only write text, and for summaries by any model.

Knows nothing of functions: what was called before is told in words.
"""

from __future__ import annotations

import json

from memagent.llm.wrappers import Wrapper
from memagent.messages import SPEAK, Message, ToolCall


class Summary(Wrapper):
    """No function is told or called, so an agent must speak plainly. Beginning-of-text is left to the server."""

    name = "summary"
    about = "models that only write text (preset chat_plain), and summaries by any model"
    stop = ("</s>", "\n### Instruction", "\n### Response", "\n### Result")
    terse = True
    marks = r"### ?(?:Instruction|Response|Result)"
    calls = False

    def message(self, role: str, text: str) -> str:
        names = {"user": "### Instruction:\n", "assistant": "### Response:\n", "tool": "### Result:\n"}
        return f"{names.get(role, '')}{text}\n\n"

    def answer_begins(self) -> str:
        return "### Response:\n"

    def written(self, message: Message) -> str:
        lines = [message.content, *(_in_words(call) for call in message.calls)]
        return self.guard.text("\n".join(filter(None, lines)))


def _in_words(call: ToolCall) -> str:
    if call.name == SPEAK:
        words = json.loads(call.arguments).get("message")
        return words if isinstance(words, str) else ""
    return f"(I called {call.name} with {call.arguments})"
