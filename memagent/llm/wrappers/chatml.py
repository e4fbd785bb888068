"""ChatML: messages between <|im_start|> and <|im_end|>, as Qwen, Hermes, OpenHermes and many others read them."""

from __future__ import annotations

from memagent.llm.wrappers import Wrapper
from memagent.llm.wrappers.form import Form


class ChatML(Wrapper):
    """Models that were trained on ChatML."""

    name = "chatml"
    about = "Qwen, Hermes, Yi and others that were trained on ChatML"
    fits = r"hermes|\byi\b|chatml|smollm"
    stop = ("<|im_end|>", "<|im_start|>", "<|endoftext|>")
    form = Form()

    def message(self, role: str, text: str) -> str:
        if role == "tool":
            role, text = "user", f"<tool_response>\n{text}\n</tool_response>"
        return f"<|im_start|>{role}\n{text}<|im_end|>\n"

    def answer_begins(self) -> str:
        return "<|im_start|>assistant\n"


class ChatMLThoughts(ChatML):
    """The same, with a thought before each answer."""

    name = "chatml-thoughts"
    fits = ""
    about = "the same, and the model thinks before it calls"
    form = Form(thoughts="thoughts")
