"""Carries out the calls that a model asks for: in order, by each function's rules.

Each result is stored before it is told. Knows nothing of when the model is asked, or of what a turn needs next.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from memagent import events
from memagent.errors import ToolError
from memagent.events import Happening
from memagent.listen import refused
from memagent.llm import LLM, Answer, Request
from memagent.messages import Message, ToolCall, digest, unmarked
from memagent.persistence import CUT, PersistenceManager
from memagent.tools import Outcome, Tool
from memagent.tools.run import run
from memagent.verdict import first_due

DENIED = "The user did not allow this call."


class Actor(Protocol):
    """Whose calls they are: an agent."""

    state: PersistenceManager
    llm: LLM
    tools: Mapping[str, Tool]


def act(agent: Actor, calls: Sequence[ToolCall]) -> Happening[bool]:
    """Carry out calls in order. True when one waits for a person; those after it wait too."""
    for call in calls:
        arguments = json.loads(call.arguments)
        known = agent.state.call_state(call)
        tool = agent.tools.get(call.name)
        if known in ("", "waiting") and tool and tool.rules.approval and not refused(arguments):
            agent.state.mark(call, "waiting")
            yield events.ApprovalAsked(call.id, call.name, arguments, digest(call))
            return True
        yield events.Called(call.id, call.name, arguments)
        if known == "started" and tool and tool.rules.after_cut == "ask":
            yield events.Notice(f"It is not known whether {call.name} happened: the process ended while it ran.")
        yield from _carry_out(agent, call, tool, known)
    return False


def _carry_out(agent: Actor, call: ToolCall, tool: Tool | None, known: str) -> Happening[None]:
    refused = _refusal(agent, call, tool, known)
    stage = None
    if refused or tool is None:
        outcome = Outcome(False, refused)
    else:
        if not tool.rules.inside:
            agent.state.mark(call, "started")
        stage = agent.state.stage(call, partial(_ask_aside, agent))
        outcome = run(tool, call.arguments, stage)
    try:
        message, edits = agent.state.finish(call, outcome.ok, outcome.text, stage if outcome.ok else None)
    except ToolError as error:  # the block was changed by somebody else while the function ran
        agent.state.core.reload()
        outcome = replace(outcome, ok=False, text=error.message)
        message, edits = agent.state.finish(call, False, error.message, None)
    yield events.Returned(call.id, call.name, outcome.ok, outcome.text)
    for edit in edits:
        yield events.MemoryEdited(edit.label, edit.before, edit.after, edit.version, edit.cause)
    if message.said:
        yield events.Reply(message.said)


def _refusal(agent: Actor, call: ToolCall, tool: Tool | None, known: str) -> str:
    """Why a call is not carried out, in words for the model; empty when it is."""
    if known == "denied":
        return DENIED
    if known == "started" and tool and tool.rules.after_cut == "ask":
        return CUT
    if reason := refused(json.loads(call.arguments)):
        return reason
    if tool is None:
        return f"There is no function {call.name!r}. There are: {', '.join(agent.tools)}."
    due = first_due(agent.state.turn_log, agent.tools)
    return f"Call {due} first." if due and due != call.name and not tool.rules.first else ""


def _ask_aside(agent: Actor, text: str) -> str:
    """Ask the model something outside the conversation."""
    question = Message("user", "user", unmarked(text), agent.state.clock())
    return next((heard.text for heard in agent.llm.ask(Request([question])) if isinstance(heard, Answer)), "")
