"""What a run asks of its agent, as it is stored: a kind of work, and what is told with it.

Knows nothing of runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memagent.agent import Agent
from memagent.errors import UserError
from memagent.events import Happening
from memagent.messages import alert


def asked_for(agent: Agent, work: str, told: Mapping[str, Any]) -> Happening[None]:
    """The turn that is asked for, in no more steps than it says, if it does."""
    usual = agent.max_steps
    agent.max_steps = min(usual, told.get("max_steps", usual))
    try:
        yield from _by_kind(agent, work, told)
    finally:
        agent.max_steps = usual


def _by_kind(agent: Agent, work: str, told: Mapping[str, Any]) -> Happening[None]:
    if work == "greet":
        return agent.greet()
    if work == "resume":
        return agent.resume()
    if work == "summarize":
        return agent.summarize()
    if work == "decide":
        return agent.decide(told["call_id"], told["digest"], told["approve"])
    if work != "say":
        raise UserError(f"There is no work {work!r}.")
    said = alert(told["text"], agent.state.clock()) if told.get("alert") else told["text"]
    return agent.turn(said, arriving=bool(told.get("arriving")))
