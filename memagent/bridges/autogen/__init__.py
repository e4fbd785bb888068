"""memagent's agents in AutoGen: as a chat agent of autogen-agentchat, and as a ConversableAgent of ag2.

    from memagent.bridges.autogen import chat_agent
    team = RoundRobinGroupChat([chat_agent("ada"), chat_agent("ben")])

An agent keeps its memory in memagent's store, as everywhere: it is the same one that `memagent run --agent ada` talks
to. Knows nothing of servers or of the command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from memagent.bridges.autogen.joined import NO_ANSWER, Show
from memagent.bridges.autogen.opening import seated
from memagent.errors import MissingExtra

if TYPE_CHECKING:
    from memagent.bridges.autogen.agentchat import MemagentChatAgent
    from memagent.bridges.autogen.conversable import MemagentConversableAgent
    from memagent.bridges.autogen.participant import AsyncPolicy, Policy
    from memagent.config import Settings
    from memagent.llm import LLM
    from memagent.storage import Database

__all__ = ["NO_ANSWER", "Show", "chat_agent", "conversable_agent"]

ALONE = Show()
CALLED = Show(calls=True, results=True)


def chat_agent(
    name: str, *, agent: str = "", description: str = "", system_message: str = "", user: str = "user",
    show: Show = ALONE, inner: Show = CALLED, model_client_stream: bool = False,
    approve: Policy | AsyncPolicy | None = None,
    settings: Settings | Mapping[str, Any] | None = None, database: Database | None = None, llm: LLM | None = None,
) -> MemagentChatAgent:  # fmt: skip
    """The agent `name` as a chat agent of autogen-agentchat. It is made if there is none; `agent` is its name in
    memagent, if it has another one there.

    `system_message` says who a new agent is: later it is its own memory. `user` is who in the chat is its user.
    `show` is what stands beside its words in its message, `inner` what is told in the stream alone; with
    `model_client_stream`, its words are told there as the model writes them. `approve` decides on calls that need a
    person's word; without it they are denied. `settings` are those of docs/settings.md.
    """
    if find_spec("autogen_agentchat") is None:
        raise MissingExtra("autogen-agentchat", "autogen")
    from memagent.bridges.autogen.agentchat import MemagentChatAgent

    participant = seated(name, agent, system_message, user, settings=settings, database=database, llm=llm)
    return MemagentChatAgent(
        participant, description, show=show, inner=inner, approve=approve, stream=model_client_stream
    )


def conversable_agent(
    name: str, *, agent: str = "", description: str = "", system_message: str = "", user: str = "user",
    show: Show = ALONE, approve: Policy | None = None,
    settings: Settings | Mapping[str, Any] | None = None, database: Database | None = None, llm: LLM | None = None,
    **conversable: Any,
) -> MemagentConversableAgent:  # fmt: skip
    """The agent `name` as a ConversableAgent of ag2, with all its steps in one message: see `chat_agent`. What else is
    given goes to ConversableAgent, such as `is_termination_msg` or `max_consecutive_auto_reply`.
    """
    if find_spec("autogen") is None:
        raise MissingExtra("ag2, with its ConversableAgent (before version 1),", "autogen")
    from memagent.bridges.autogen.conversable import MemagentConversableAgent

    participant = seated(name, agent, system_message, user, settings=settings, database=database, llm=llm)
    return MemagentConversableAgent(participant, description, show=show, approve=approve, **conversable)
