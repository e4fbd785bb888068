"""memagent's agents as chat agents of autogen-agentchat, alone and in its teams, against a scripted server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("autogen_agentchat")

from autogen_agentchat.base import Response
from autogen_agentchat.conditions import MaxMessageTermination, StopMessageTermination
from autogen_agentchat.messages import (
    ModelClientStreamingChunkEvent,
    StopMessage,
    TextMessage,
    ThoughtEvent,
    ToolCallExecutionEvent,
    ToolCallRequestEvent,
)
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import CancellationToken

from memagent.bridges.autogen import NO_ANSWER, Show, chat_agent
from memagent.bridges.autogen.agentchat import MemagentChatAgent
from memagent.config import Settings
from memagent.events import ApprovalAsked
from memagent.llm.script_server import ModelServer, serve

FUNCTIONS = '''
from pathlib import Path
from memagent.tools import tool

@tool(approval=True)
def sink(self, ship: str) -> str:
    """Sink a ship.

    Args:
        ship: Its name.
    """
    self.files.mkdir(parents=True, exist_ok=True)
    (self.files / ship).write_text("sunk")
    return f"{ship} is gone."
'''
NOTE = {"call": "archival_memory_insert", "arguments": {"content": "{said}"}, "heartbeat": True}
STEPS = [
    {"steps": [{"thoughts": "I keep that.", **NOTE}, {"say": "Kept."}], "when": "keep"},
    {"when": {}, "say": "Aye."},
]


class House:
    """A home, a server with a scripted model, and agents that are let go in the end."""

    def __init__(self, home: Path, stack: ExitStack) -> None:
        self.home, self._stack = home, stack
        self.server: ModelServer

    def serve(self, script: Sequence[Any]) -> None:
        self.server = self._stack.enter_context(serve(script))

    def agent(self, name: str = "ada", **given: Any) -> MemagentChatAgent:
        settings = Settings(
            home=self.home, provider="openai", endpoint=self.server.url, model="scripted", embedder="off", facts="off",
            verify_first=False, preset=given.pop("preset", "chat"),
        )  # fmt: skip
        made = chat_agent(name, settings=settings, **given)
        self._stack.callback(made.participant.close)
        return made

    def may_sink(self, **given: Any) -> MemagentChatAgent:
        for name, file, text in (
            ("functions", "ships.py", FUNCTIONS),
            ("presets", "captain.yaml", "system: chat\nfunctions: [base, ships]\n"),
        ):
            (self.home / name).mkdir()
            (self.home / name / file).write_text(text)
        self.serve([{"when": {}, "steps": [{"call": "sink", "arguments": {"ship": "Argo"}, "heartbeat": True},
                                           {"say": "So: {result}"}]}])  # fmt: skip
        return self.agent(preset="captain", **given)

    def turns(self) -> list[str]:
        from memagent.storage.sqlite import SqliteDatabase

        database = SqliteDatabase(self.home / "memagent.db")
        try:
            return [row[0] for row in database.rows("SELECT state FROM turns ORDER BY turn")]
        finally:
            database.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with ExitStack() as stack:
        yield House(tmp_path, stack)


def says(text: str, source: str = "user") -> TextMessage:
    return TextMessage(content=text, source=source)


def answer(agent: MemagentChatAgent, *messages: TextMessage) -> Response:
    return asyncio.run(agent.on_messages(messages, CancellationToken()))


def test_the_steps_of_a_turn_are_one_message_and_the_stream_tells_them(house: House) -> None:
    house.serve(STEPS)
    agent = house.agent(inner=Show(thoughts=True, calls=True, results=True))
    response = answer(agent, says("Please keep this."))
    assert isinstance(response.chat_message, TextMessage) and response.chat_message.content == "Kept."
    assert response.chat_message.source == "ada" and response.chat_message.models_usage.prompt_tokens > 0
    assert [type(told) for told in response.inner_messages] == [
        ThoughtEvent, ToolCallRequestEvent, ToolCallExecutionEvent,
    ]  # fmt: skip
    call, result = response.inner_messages[1].content[0], response.inner_messages[2].content[0]
    assert json.loads(call.arguments)["content"] == "Please keep this."
    assert call.id == result.call_id and not result.is_error


def test_what_is_shown_is_a_choice(house: House) -> None:
    house.serve(STEPS)
    agent = house.agent(show=Show(thoughts=True, heard=True), inner=Show())
    response = answer(agent, says("Please keep this."))
    assert response.chat_message.content == "[heard] user: Please keep this.\n\n[thinks] I keep that.\n\nKept."
    assert response.inner_messages == []


def test_words_are_streamed_where_that_is_wanted(house: House) -> None:
    house.serve([{"when": {}, "say": "One two three four five six."}])
    agent = house.agent(model_client_stream=True)

    async def run() -> list[Any]:
        return [each async for each in agent.run_stream(task="Count.")]

    told = asyncio.run(run())
    chunks = [each.content for each in told if isinstance(each, ModelClientStreamingChunkEvent)]
    assert len(chunks) > 1 and "".join(chunks) == told[-1].messages[-1].content


def test_partners_are_told_apart_by_name(house: House) -> None:
    house.serve([{"when": {"system": "I am Ben"}, "say": "I am a baker."}, {"when": {}, "say": "I dive."}])
    ada, ben = house.agent("ada", system_message="I am Ada"), house.agent("ben", system_message="I am Ben")
    team = RoundRobinGroupChat([ada, ben], termination_condition=MaxMessageTermination(4))
    result = asyncio.run(team.run(task="What do you do?"))
    assert [(m.source, m.content) for m in result.messages] == [
        ("user", "What do you do?"), ("ada", "I dive."), ("ben", "I am a baker."), ("ada", "I dive."),
    ]  # fmt: skip
    told = [json.loads(m["content"]) for m in json.loads(house.server.requests[1])["messages"] if m["role"] == "user"]
    assert [(m.get("from"), m["message"]) for m in told[-2:]] == [(None, "What do you do?"), ("ada", "ada: I dive.")]
    assert ben.participant.agent.state.recall.search("dive").results[0].text == "ada: I dive."


def test_what_needs_a_persons_word_is_denied_and_told(house: House) -> None:
    agent = house.may_sink()
    response = answer(agent, says("Sink it."))
    assert response.chat_message.content == (
        "[denied] sink would need a person's word, and is not done.\n\nSo: The user did not allow this call."
    )
    assert not list(house.home.rglob("Argo"))


async def _yes(asked: ApprovalAsked) -> bool:
    await asyncio.sleep(0)
    return asked.arguments["ship"] == "Argo"


@pytest.mark.parametrize("approve", [lambda asked: asked.name == "sink", _yes])
def test_whoever_brought_the_agent_decides(house: House, approve: Callable[[ApprovalAsked], Any]) -> None:
    agent = house.may_sink(approve=approve)
    assert answer(agent, says("Sink it.")).chat_message.content == "So: Argo is gone."
    assert list(house.home.rglob("Argo"))


def test_a_failure_is_a_stop_message_that_says_why(house: House) -> None:
    house.serve([{"when": {}, "error": {"status": 400, "message": "the harbour is closed"}}])
    agent, other = house.agent("ada"), house.agent("ben")
    team = RoundRobinGroupChat([agent, other], termination_condition=StopMessageTermination())
    result = asyncio.run(team.run(task="Hello"))
    (told,) = result.messages[1:]
    assert isinstance(told, StopMessage) and told.content.startswith(NO_ANSWER) and "Traceback" not in told.content
    assert "the harbour is closed" in told.content and told.metadata["failed"] == "LLMError"


def test_an_agent_that_is_busy_says_so(house: House) -> None:
    house.serve([{"when": "long", "say": "At last.", "delay": 1.0}, {"when": {}, "say": "Aye."}])
    here, there = house.agent(), house.agent()
    there.participant.agent.patience = 0.1

    async def both() -> list[Response]:
        first = asyncio.ensure_future(here.on_messages([says("a long one")], CancellationToken()))
        while not house.server.requests:
            await asyncio.sleep(0.01)
        second = await there.on_messages([says("short")], CancellationToken())
        return [await first, second]

    first, second = asyncio.run(both())
    assert first.chat_message.content == "At last."
    assert isinstance(second.chat_message, StopMessage) and "busy" in second.chat_message.content


def test_a_cancelled_turn_is_closed_and_the_agent_goes_on(house: House) -> None:
    house.serve([{"when": "long", "say": "one " * 200, "pace": 0.02}, {"when": {}, "say": "Aye."}])
    agent = house.agent(model_client_stream=True)

    async def stopped() -> str:
        token = CancellationToken()
        with pytest.raises(asyncio.CancelledError):
            async for each in agent.on_messages_stream([says("a long one")], token):
                assert isinstance(each, ModelClientStreamingChunkEvent)
                token.cancel()
        with pytest.raises(asyncio.CancelledError):
            await agent.on_messages([says("never said")], token)
        return (await agent.on_messages([says("and now?")], CancellationToken())).chat_message.content

    assert asyncio.run(stopped()) == "Aye."
    assert house.turns() == ["interrupted", "done"]


def test_a_cancelled_team_stops_who_speaks(house: House) -> None:
    house.serve([{"when": {}, "say": "one " * 200, "pace": 0.02}])
    agent = house.agent(model_client_stream=True)

    async def stopped() -> None:
        token = CancellationToken()
        team = RoundRobinGroupChat([agent], termination_condition=MaxMessageTermination(2))
        with pytest.raises(asyncio.CancelledError):
            async for each in team.run_stream(task="Count.", cancellation_token=token):
                if isinstance(each, ModelClientStreamingChunkEvent):
                    token.cancel()
        await agent.close()

    asyncio.run(stopped())
    assert house.turns() == ["interrupted"]


def test_a_cancelled_turn_is_stored_before_its_agent_is_let_go(house: House) -> None:
    house.serve([{"when": "long", "say": "At last.", "delay": 0.7}, {"when": {}, "say": "Aye."}])
    agent = house.agent()

    async def stopped() -> None:
        token = CancellationToken()
        asked = asyncio.ensure_future(agent.on_messages([says("a long one")], token))
        while not house.server.requests:
            await asyncio.sleep(0.01)
        token.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await agent.close()

    asyncio.run(stopped())
    assert house.turns() == ["interrupted"]
    assert answer(house.agent(), says("and now?")).chat_message.content == "Aye."


def test_a_decision_that_nobody_waits_for_any_more_is_a_no(house: House) -> None:
    token = CancellationToken()

    async def never(asked: ApprovalAsked) -> bool:
        token.cancel()
        await asyncio.sleep(30)
        return True

    agent = house.may_sink(approve=never)

    async def stopped() -> None:
        with pytest.raises(asyncio.CancelledError):
            await agent.on_messages([says("Sink it.")], token)

    asyncio.run(stopped())
    agent._approve = lambda asked: False
    assert "did not allow" in answer(agent, says("And?")).chat_message.content
    assert not list(house.home.rglob("Argo"))


def test_an_agent_is_asked_although_nobody_said_anything(house: House) -> None:
    house.serve([{"when": {"said": "Hello", "kind": "user"}, "say": "Aye."}, {"when": {}, "say": "Is anybody there?"}])
    agent = house.agent()
    assert answer(agent, says("Hello")).chat_message.content == "Aye."
    assert answer(agent).chat_message.content == "Is anybody there?"


def test_a_team_is_saved_reset_and_loaded_and_the_agent_remembers(house: House) -> None:
    house.serve([{"when": {}, "say": "Aye."}])

    async def whole() -> None:
        agent = house.agent()
        team = RoundRobinGroupChat([agent], termination_condition=MaxMessageTermination(2))
        await team.run(task="My dog is called Rex.")
        state = json.loads(json.dumps(await team.save_state()))
        await team.reset()
        await team.run(task="Hello")
        await agent.close()
        again = house.agent()
        await RoundRobinGroupChat([again]).load_state(state)
        assert again.participant.agent.state.recall.search("Rex").total == 1

    asyncio.run(whole())
    assert "Another conversation begins" in house.server.requests[-1].decode()
