"""ChatML: messages between <|im_start|> and <|im_end|>, as Hermes, OpenHermes, Yi and many others read them.

Knows nothing of Qwen's own way with functions: see qwen.py.
"""

from __future__ import annotations

from memagent.llm.wrappers import Wrapper
from memagent.llm.wrappers.form import Form


class ChatML(Wrapper):
    """Models that were trained on ChatML. Few of them want a beginning-of-text token, and servers know which."""

    name = "chatml"
    about = "Hermes, Yi, SmolLM and others that were trained on ChatML; whatever no other one fits"
    fits = r"hermes|\byi\b|chatml|smollm|mistral.*openorca"
    stop = ("<|im_end|>", "<|im_start|>", "<|endoftext|>")
    marks = r"</?tool_(?:response|call)>"

    def message(self, role: str, text: str) -> str:
        if role == "tool":
            role, text = "user", self.result(text)
        return f"<|im_start|>{role}\n{text}<|im_end|>\n"

    def result(self, text: str) -> str:
        """What a function returned, in a message of the user's."""
        return f"<tool_response>\n{text}\n</tool_response>"

    def answer_begins(self) -> str:
        return "<|im_start|>assistant\n"


class ChatMLThoughts(ChatML):
    """The same, with a thought before each answer."""

    name = "chatml-thoughts"
    about = "the same, and the model thinks before it calls"
    fits = ""
    form = Form(thoughts="thoughts")
