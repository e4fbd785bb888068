"""Makes room in a full context window: older messages leave it for a summary in the agent's own words.

Nothing leaves recall memory. Where the model fails at summarising, a plain summary is made without it. Knows nothing
of when room must be made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from memagent.context import (
    REPLY_ROOM,
    WORD_TOKENS,
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
from memagent.events import Compacted, Happening, Waiting
from memagent.llm import LLM, Answer, Pause, Request
from memagent.messages import Message, estimate, summary, unmarked
from memagent.persistence import PersistenceManager


class Crowded(Protocol):
    """Whoever needs room: an agent."""

    state: PersistenceManager
    llm: LLM
    limits: Limits
    gauge: Gauge
    summary_prompt: str

    def used(self) -> int: ...


def relieve(agent: Crowded, *, force: bool = False) -> Happening[None]:
    """Summarise what is oldest in the window, so that it falls to `compact_to`; where prompt and functions alone fill
    more than that, to this part of what they leave. Without `force`, what fits stays as it is if nothing can go.
    """
    state, limits, gauge = agent.state, agent.limits, agent.gauge
    before = agent.used()
    fixed = before - gauge.of(state.window)
    if fixed > limits.window - REPLY_ROOM:
        raise ContextOverflow(
            f"The system prompt, core memory and functions alone fill {fixed} tokens; the window has {limits.window}.",
            hint="Use a model with a larger context window, or set context_window; or shorten core memory.",
        )
    keep_from = _cut(agent, before, fixed, force)
    if not keep_from:
        if before > limits.window:
            raise _too_long(before, limits)
        if force:
            raise ContextOverflow("There is nothing in the context window that could be summarised.", hint=_HINT)
        return
    first = state.window[keep_from]
    kept = fixed + gauge.of(state.window[keep_from:])
    if kept > limits.window:
        raise _too_long(kept, limits)
    leaving, question = state.window[:keep_from], pending_question(state.turn_log, first.seq)
    text = yield from _summarise(agent, leaving)
    if question:
        text += f"\nThe user is still waiting for my answer to this: {within_words(question, limits.summary_words)}"
    state.note(summary(text, first.seq - 1, first.seq, state.clock()))
    yield Compacted(len(leaving), before, agent.used(), text)


_HINT = "Use a model with a larger context window, or set context_window; or send it in parts."


def _too_long(tokens: int, limits: Limits) -> ContextOverflow:
    return ContextOverflow(
        f"What came last is too long: with it there are about {tokens} tokens, and the context window has "
        f"{limits.window}.",
        hint=_HINT,
    )


def _cut(agent: Crowded, before: int, fixed: int, force: bool) -> int:
    """The index of the first message that stays; 0 when nothing can go."""
    limits, gauge = agent.limits, agent.gauge
    target = limits.compact_to * limits.window
    free = limits.compact_at * limits.window - fixed
    if force:
        target = min(target, before / 2)
        free = min(free, (before - fixed) * limits.compact_at)
    room = gauge.factor * (limits.summary_words * WORD_TOKENS + 60)
    budget = max(target - fixed - room, (free - room) * limits.compact_to, 0)
    return cut(agent.state.window, int(budget), int(free - room), gauge)


def _summarise(agent: Crowded, leaving: Sequence[Message]) -> Happening[str]:
    """A summary of these messages, made in portions that fit: each takes up the one before."""
    words = agent.limits.summary_words
    prompt = agent.summary_prompt.replace("{words}", str(words))
    room = agent.limits.window - estimate(prompt) - REPLY_ROOM - words * WORD_TOKENS
    so_far = ""
    for portion in portions(leaving, max(200, int(room / agent.gauge.factor))):
        text = (f"Earlier summary: {so_far}\n" if so_far else "") + transcript(portion)
        so_far = yield from _ask(agent, prompt, text)
        if not so_far:
            return plain_summary(leaving, words)
    return so_far


def _ask(agent: Crowded, prompt: str, text: str) -> Happening[str]:
    """The model's summary of a text within the word limit; empty when it has none, or one that is no shorter."""
    now = agent.state.clock()
    messages = [Message("system", "boot", prompt, now), Message("user", "summary", unmarked(text), now)]
    answer = Answer()
    try:
        for heard in agent.llm.ask(Request(messages, max_tokens=agent.limits.summary_words * WORD_TOKENS)):
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
