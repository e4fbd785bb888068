"""Makes room in a full context window: older messages leave it for a summary in the agent's own words.

Nothing leaves recall memory. Where the model fails at summarising, a plain summary is made without it. Knows nothing
of when room must be made.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Protocol

from memagent.context import (
    REPLY_ROOM,
    Gauge,
    Limits,
    cut,
    pending_question,
    plain_summary,
    portions,
    transcript,
    within_words,
)
from memagent.errors import ContextOverflow, LLMError
from memagent.events import Compacted, Event, Waiting
from memagent.llm import LLM, Answer, Pause, Request
from memagent.messages import Message, estimate, summary
from memagent.persistence import PersistenceManager


class Crowded(Protocol):
    """Whoever needs room: an agent."""

    state: PersistenceManager
    llm: LLM
    limits: Limits
    gauge: Gauge
    summary_prompt: str

    def used(self) -> int: ...


def relieve(agent: Crowded, *, force: bool = False) -> Generator[Event, None, None]:
    """Summarise what is oldest in the window, so that it falls to `compact_to`."""
    state, limits, gauge = agent.state, agent.limits, agent.gauge
    before = agent.used()
    fixed = before - gauge.of(state.window)
    if fixed > limits.window - REPLY_ROOM:
        raise ContextOverflow(
            f"The system prompt, core memory and functions alone fill {fixed} tokens; the window has {limits.window}.",
            hint="Use a model with a larger context window, or set context_window; or shorten core memory.",
        )
    target = int(limits.compact_to * limits.window)
    if force:
        target = min(target, before // 2)
    room = limits.summary_words * 2 + 60
    keep_from = cut(state.window, max(0, target - fixed - room), gauge)
    leaving, question = state.window[:keep_from], pending_question(state.window, keep_from)
    text = yield from _summarise(agent, leaving)
    if question:
        text += f"\nThe user is still waiting for my answer to this: {within_words(question, limits.summary_words)}"
    first = state.window[keep_from]
    state.note(summary(text, first.seq - 1, first.seq, state.clock()))
    yield Compacted(len(leaving), before, agent.used(), text)


def _summarise(agent: Crowded, leaving: Sequence[Message]) -> Generator[Event, None, str]:
    """A summary of these messages, made in portions that fit: each takes up the one before."""
    words = agent.limits.summary_words
    prompt = agent.summary_prompt.replace("{words}", str(words))
    room = agent.limits.window - estimate(prompt) - REPLY_ROOM - words * 2
    so_far = ""
    for portion in portions(leaving, max(200, int(room / agent.gauge.factor))):
        text = (f"Earlier summary: {so_far}\n" if so_far else "") + transcript(portion)
        so_far = yield from _ask(agent, prompt, text)
        if not so_far:
            return plain_summary(leaving, words)
    return so_far


def _ask(agent: Crowded, prompt: str, text: str) -> Generator[Event, None, str]:
    """The model's summary of a text within the word limit; empty when it has none, or one that is no shorter."""
    now = agent.state.clock()
    messages = [Message("system", "boot", prompt, now), Message("user", "summary", text, now)]
    answer = Answer()
    try:
        for heard in agent.llm.ask(Request(messages, max_tokens=agent.limits.summary_words * 3)):
            if isinstance(heard, Answer):
                answer = heard
            elif isinstance(heard, Pause):
                yield Waiting(heard.seconds, heard.reason)
    except LLMError:
        return ""
    found = answer.text.strip()
    if len(found) > len(text):
        return ""
    return within_words(found, agent.limits.summary_words)
