"""An agent of memagent as a ConversableAgent of ag2: in a chat of two, or in a GroupChat.

All steps of a turn are one reply. It takes the place of what that world would ask a model for: when a chat ends, and
how often it replies, is that world's own. Knows nothing of how an agent is opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing, closing
from typing import Any

from autogen import Agent, ConversableAgent
from autogen.code_utils import content_str

from memagent.bridges.autogen.joined import Heard, Joined, Show
from memagent.bridges.autogen.participant import Participant, Policy, ReadsSources, deny
from memagent.bridges.autogen.running import Running

ABOUT = "An agent that remembers, across conversations, what it was told."
AFTER_TERMINATION = 2
"""Its place among the reply functions: after the two that end a chat or ask a human."""


class MemagentConversableAgent(ReadsSources, ConversableAgent):  # type: ignore[misc]
    """An agent that remembers. Its memory is its own: `reset` begins another conversation, and forgets nothing."""

    def __init__(
        self, participant: Participant, description: str = "", *, show: Show, approve: Policy | None = None,
        **conversable: Any,
    ) -> None:  # fmt: skip
        about = description or ABOUT
        usual = {"human_input_mode": "NEVER", "llm_config": False, "system_message": about, "description": about}
        super().__init__(participant.name, **(usual | conversable))
        self.participant = participant
        self._show = show
        self._approve = approve or deny
        ours = MemagentConversableAgent
        self.register_reply([Agent, None], ours.generate_memagent_reply, AFTER_TERMINATION)
        self.register_reply(
            [Agent, None], ours.a_generate_memagent_reply, AFTER_TERMINATION, ignore_async_in_sync_chat=True
        )

    def generate_memagent_reply(
        self, messages: Sequence[dict[str, Any]] | None = None, sender: Any = None, config: Any = None  # noqa: ARG002
    ) -> tuple[bool, str]:  # fmt: skip
        """One turn, and its one reply."""
        heard = self._heard(messages, sender)
        joined = Joined(self.name, self._show, heard)
        with closing(self.participant.turn(heard, self._approve)) as happening:
            for event in happening:
                joined.take(event)
        return True, joined.text

    async def a_generate_memagent_reply(
        self, messages: Sequence[dict[str, Any]] | None = None, sender: Any = None, config: Any = None  # noqa: ARG002
    ) -> tuple[bool, str]:  # fmt: skip
        """The same, while others go on."""
        heard = self._heard(messages, sender)
        joined = Joined(self.name, self._show, heard)
        running = Running(
            lambda approve: self.participant.turn(heard, approve), self._approve, self.participant.hang_up
        )
        async with aclosing(running.events()) as happening:
            async for event in happening:
                joined.take(event)
        return True, joined.text

    def _heard(self, messages: Sequence[dict[str, Any]] | None, sender: Any) -> list[Heard]:
        """What was said since its own last words: that world hands on the whole conversation each time."""
        whole = self.chat_messages[sender] if messages is None else messages
        other = sender.name if sender else "user"
        new: list[Heard] = []
        for message in reversed(whole):
            if message.get("role") == "assistant" and message.get("name", self.name) == self.name:
                break
            new.append((str(message.get("name") or other), content_str(message.get("content"))))
        return new[::-1]

    def reset(self) -> None:
        """Begin another conversation. What the agent remembers stays."""
        super().reset()
        self.participant.begin_anew()

    def close(self) -> None:
        """Let the agent go; it is kept."""
        self.participant.close()
