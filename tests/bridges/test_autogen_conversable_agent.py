"""memagent's agents as ConversableAgents of ag2, in chats of two and in group chats, against a scripted server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("autogen")

from autogen import ConversableAgent, GroupChat, GroupChatManager, UserProxyAgent

from memagent.bridges.autogen import NO_ANSWER, Show, conversable_agent
from memagent.bridges.autogen.conversable import MemagentConversableAgent
from memagent.config import Settings
from memagent.llm.script_server import ModelServer, serve


class House:
    """A home, a server with a scripted model, and agents that are let go in the end."""

    def __init__(self, home: Path, stack: ExitStack) -> None:
        self.home, self._stack = home, stack
        self.server: ModelServer

    def agent(self, script: Sequence[Any], name: str = "ada", **given: Any) -> MemagentConversableAgent:
        self.server = self._stack.enter_context(serve(script))
        settings = Settings(
            home=self.home, provider="openai", endpoint=self.server.url, model="scripted", embedder="off", facts="off",
            verify_first=False,
        )  # fmt: skip
        made = conversable_agent(name, settings=settings, silent=True, **given)
        self._stack.callback(made.close)
        return made

    def told(self) -> list[tuple[str | None, str]]:
        """What the model saw, in its last request, of what was said to its agent."""
        sent = [m for m in json.loads(self.server.requests[-1])["messages"] if m["role"] == "user"]
        fields = [json.loads(message["content"]) for message in sent]
        return [(each.get("from"), each["message"]) for each in fields if each["type"] == "user_message"]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with ExitStack() as stack:
        yield House(tmp_path, stack)


def proxy(times: int = 0, name: str = "user") -> UserProxyAgent:
    return UserProxyAgent(
        name, human_input_mode="NEVER", max_consecutive_auto_reply=times, default_auto_reply="Go on.",
        code_execution_config=False, silent=True,
    )  # fmt: skip


def said(result: Any) -> list[tuple[str, str]]:
    return [(message["name"], message["content"]) for message in result.chat_history]


def test_it_replies_by_itself_and_is_told_everything_once(house: House) -> None:
    agent = house.agent([{"when": {}, "say": "Heard: {said}"}])
    result = proxy(1).initiate_chat(agent, message="Hello")
    assert said(result) == [
        ("user", "Hello"), ("ada", "Heard: Hello"), ("user", "Go on."), ("ada", "Heard: Go on."),
    ]  # fmt: skip
    assert house.told() == [(None, "Hello"), (None, "Go on.")]
    assert said(proxy().initiate_chat(agent, message="Again")) == [("user", "Again"), ("ada", "Heard: Again")]


def test_the_steps_of_a_turn_are_one_reply_and_what_is_shown_is_a_choice(house: House) -> None:
    note = {"call": "archival_memory_insert", "arguments": {"content": "{said}"}, "heartbeat": True}
    agent = house.agent([{"when": {}, "steps": [note, {"say": "Kept."}]}], show=Show(calls=True, heard=True))
    reply = agent.generate_reply([{"role": "user", "content": "A key."}])
    assert reply == (
        '[heard] user: A key.\n\n[calls] archival_memory_insert(content="A key.", request_heartbeat=true)\n\nKept.'
    )


def test_in_a_group_chat_it_is_told_who_said_what(house: House) -> None:
    class Baker(ConversableAgent):  # type: ignore[misc]
        def generate_reply(self, messages: Any = None, sender: Any = None, exclude: Any = ()) -> str:
            return "Bread."

    user, baker = proxy(), Baker("ben", llm_config=False, silent=True)
    agent = house.agent([{"when": {}, "say": "Fish."}])
    group = GroupChat([user, baker, agent], max_round=3, speaker_selection_method="round_robin")
    manager = GroupChatManager(group, llm_config=False, silent=True)
    user.initiate_chat(manager, message="What do you bring?")
    assert [(m["name"], m["content"]) for m in group.messages[1:]] == [("ben", "Bread."), ("ada", "Fish.")]
    assert house.told() == [(None, "What do you bring?"), ("ben", "ben: Bread.")]


def test_it_replies_in_an_asynchronous_chat_too(house: House) -> None:
    agent = house.agent([{"when": {}, "say": "Heard: {said}"}])

    async def run() -> tuple[Any, int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        ticking = asyncio.ensure_future(tick())
        result = await proxy().a_initiate_chat(agent, message="Hello")
        ticking.cancel()
        return result, ticks

    result, ticks = asyncio.run(run())
    assert said(result) == [("user", "Hello"), ("ada", "Heard: Hello")]
    assert ticks, "others could not go on while the agent spoke"


def test_a_failure_is_told_in_the_chat_and_can_end_it(house: House) -> None:
    agent = house.agent([{"when": {}, "error": {"status": 400, "message": "the harbour is closed"}}])
    user = proxy(5)
    user._is_termination_msg = lambda message: NO_ANSWER in (message["content"] or "")
    _, (_, told) = said(user.initiate_chat(agent, message="Hello"))
    assert told.startswith(NO_ANSWER) and "the harbour is closed" in told and "Traceback" not in told


def test_when_a_chat_ends_is_for_that_world_to_say(house: House) -> None:
    agent = house.agent(
        [{"when": {}, "say": "Heard."}], is_termination_msg=lambda message: "farewell" in message["content"]
    )
    assert said(proxy().initiate_chat(agent, message="Fare well, farewell")) == [("user", "Fare well, farewell")]
    assert not house.server.requests


def test_another_conversation_begins_and_nothing_is_forgotten(house: House) -> None:
    agent = house.agent([{"when": {}, "say": "Aye."}])
    proxy().initiate_chat(agent, message="My dog is called Rex.")
    agent.reset()
    proxy().initiate_chat(agent, message="Hello")
    assert "Another conversation begins" in house.server.requests[-1].decode()
    assert agent.participant.agent.state.recall.search("Rex").total == 1
