"""The REST door with the published client: to talk with an agent, whole and as it happens; what was said, and runs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import letta_client
import pytest
from letta import client_of, made
from letta_client import AsyncLetta, Letta
from serving import Serving, in_a_process, make_home, served, until

from memagent.server import sse


@pytest.fixture
def client(server: Serving) -> Iterator[Letta]:
    with client_of(server) as client:
        yield client


def say(client: Letta, agent: str, text: str, **more: Any) -> Any:
    return client.agents.messages.create(agent, messages=[{"role": "user", "content": text}], **more)


def kinds(messages: Any) -> list[str]:
    return [message.message_type for message in messages]


def words(messages: Any) -> list[str]:
    return [message.content for message in messages if message.message_type == "assistant_message"]


def test_what_is_said_is_answered_with_thoughts_words_and_what_it_cost(client: Letta) -> None:
    agent = made(client)
    answer = say(client, agent.id, "hello")
    assert kinds(answer.messages) == ["reasoning_message", "assistant_message"]
    assert (answer.messages[0].reasoning, answer.messages[1].content) == ("Easy.", "echo hello")
    assert answer.stop_reason.stop_reason == "end_turn" and answer.usage.step_count == 1
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert words(client.agents.messages.create(agent.id, input="again").messages) == ["echo again"]
    parts = [{"type": "text", "text": "in"}, {"type": "text", "text": "parts"}]
    assert words(client.agents.messages.create(agent.id, input=parts).messages) == ["echo in\nparts"]


def test_calls_are_told_with_their_returns_and_send_message_too_where_it_is_asked_for(client: Letta) -> None:
    agent = made(client)
    answer = say(client, agent.id, "note likes tea")
    told = ["reasoning_message", "tool_call_message", "tool_return_message", "assistant_message"]
    assert kinds(answer.messages) == told and answer.usage.step_count == 2
    call, back = answer.messages[1:3]
    assert call.tool_call.name == "core_memory_append" and '"likes tea"' in call.tool_call.arguments
    assert back.status == "success" and back.tool_call_id == call.tool_call.tool_call_id
    assert client.agents.blocks.retrieve("human", agent_id=agent.id).value.endswith("likes tea")
    bare = say(client, agent.id, "hello", use_assistant_message=False)
    assert kinds(bare.messages) == ["reasoning_message", "tool_call_message", "tool_return_message"]
    assert bare.messages[1].tool_call.name == "send_message"
    only = say(client, agent.id, "hello", include_return_message_types=["assistant_message"])
    assert kinds(only.messages) == ["assistant_message"]


def test_a_stream_by_steps_and_by_tokens(client: Letta) -> None:
    agent = made(client)
    steps = list(client.agents.messages.create(agent.id, input="note it", streaming=True))
    assert kinds(steps)[-2:] == ["stop_reason", "usage_statistics"]
    assert kinds(steps)[:-2] == ["reasoning_message", "tool_call_message", "tool_return_message", "assistant_message"]
    with pytest.warns(DeprecationWarning):
        told = client.agents.messages.stream(agent.id, input="words", stream_tokens=True)
    tokens = list(told)
    pieces = [each for each in tokens if each.message_type == "assistant_message"]
    assert len(pieces) > 2 and len({piece.id for piece in pieces}) == 1
    assert "".join(piece.content for piece in pieces) == "one two three four five six seven eight"
    assert {each.run_id for each in tokens[:-2]} == {tokens[-1].run_ids[0]}
    listed = {message.id for message in client.agents.messages.list(agent.id)}
    assert {each.id for each in [*steps[:-2], *tokens[:-2]]} <= listed, "the log calls them the same"


def test_an_agent_that_speaks_plainly_is_told_alike(home: Path) -> None:
    script = "- when: '^two'\n  text: one two three\n  pace: 0.01\n- when: '(?s)(.+)'\n  text: echo {1}\n"
    with served(make_home(home, script), preset="chat_plain") as server, client_of(server) as client:
        agent = made(client)
        first = say(client, agent.id, "hello")
        tokens = list(client.agents.messages.create(agent.id, input="two", streaming=True, stream_tokens=True))
        assert words(first.messages) == ["echo hello"] and "".join(words(tokens)) == "one two three"
        assert len(words(tokens)) > 1
        ids = [message.id for message in client.agents.messages.list(agent.id, order="asc")]
        assert [ids[1], ids[3]] == [first.messages[0].id, tokens[0].id]


def test_a_stream_gives_signs_of_life_where_they_are_asked_for(client: Letta, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "ALIVE", 0.05)
    agent = made(client)
    told = list(client.agents.messages.create(agent.id, input="slow one", streaming=True, include_pings=True))
    assert "ping" in kinds(told) and words(told) == ["slow one"]
    assert "ping" not in kinds(client.agents.messages.create(agent.id, input="slow two", streaming=True))


def test_the_asynchronous_client_does_the_same(client: Letta, server: Serving) -> None:
    agent = made(client)

    async def talk() -> list[str]:
        async with AsyncLetta(base_url=server.address) as own:
            stream = await own.agents.messages.create(agent.id, input="hello", streaming=True)
            told = [chunk async for chunk in stream]
            return words(told) + [message.message_type async for message in own.agents.messages.list(agent.id, limit=1)]

    heard = asyncio.run(talk())
    assert heard == ["echo hello", "assistant_message", "reasoning_message", "user_message"]


def test_the_log_is_listed_page_by_page_and_ends(client: Letta) -> None:
    agent = made(client)
    for number in range(4):
        say(client, agent.id, f"note {number}")
    whole = client.agents.messages.list(agent.id, order="asc", limit=1000).items
    assert kinds(whole[:5]) == ["user_message", "reasoning_message", "tool_call_message", "tool_return_message",
                                "system_message"]  # fmt: skip
    assert len(whole) == 24 and len({message.id for message in whole}) == 24
    ids = [message.id for message in whole]
    for limit in (1, 3, 7):
        assert [message.id for message in client.agents.messages.list(agent.id, order="asc", limit=limit)] == ids
        assert [message.id for message in client.agents.messages.list(agent.id, limit=limit)] == ids[::-1]
    back = client.agents.messages.list(agent.id, order="asc", before=ids[9], limit=4)
    assert [message.id for message in back] == ids[5:9] + ids[1:5] + ids[:1], "page before page"
    users = client.agents.messages.list(agent.id, include_return_message_types=["user_message"])
    assert [message.content for message in users] == [f"note {number}" for number in (3, 2, 1, 0)]
    for after in ("message-00000000-0000-0000-0000-000000000000", "nonsense", agent.id):
        assert not client.agents.messages.list(agent.id, after=after, order="desc").items


def test_a_turn_has_no_more_steps_than_is_asked_for(client: Letta) -> None:
    agent = made(client)
    answer = say(client, agent.id, "note it", max_steps=1)
    assert answer.stop_reason.stop_reason == "max_steps" and answer.usage.step_count == 1
    assert say(client, agent.id, "note it").stop_reason.stop_reason == "end_turn", "the next turn has all of its steps"


def test_the_system_can_tell_an_agent_something(client: Letta) -> None:
    agent = made(client)
    client.agents.messages.create(agent.id, messages=[{"role": "system", "content": "It is Monday."}])
    first = client.agents.messages.list(agent.id, order="asc", limit=1).items[0]
    assert (first.message_type, first.content) == ("system_message", "It is Monday.")


def test_a_call_that_waits_is_asked_about_and_answered(client: Letta) -> None:
    agent = made(client, tools=["http_request"])
    client.agents.tools.update_approval("http_request", agent_id=agent.id, body_requires_approval=True)
    for approve, status in ((False, "error"), (True, "error")):
        asked = say(client, agent.id, "fetch")
        assert asked.stop_reason.stop_reason == "requires_approval"
        request = asked.messages[-1]
        assert request.message_type == "approval_request_message" and request.tool_call.name == "http_request"
        assert client.agents.messages.list(agent.id, limit=1).items[0].id == request.id
        answer: dict[str, Any] = {"type": "approval", "approve": approve, "approval_request_id": request.id}
        if approve:
            call = request.tool_call.tool_call_id
            answer = {"type": "approval", "approvals": [{"type": "approval", "approve": True, "tool_call_id": call}]}
        told = client.agents.messages.create(agent.id, messages=[answer])
        back = next(each for each in told.messages if each.message_type == "tool_return_message")
        assert back.status == status and told.stop_reason.stop_reason == "end_turn"
        assert ("did not allow" in back.tool_return) is not approve
    with pytest.raises(letta_client.BadRequestError, match="No call waits"):
        client.agents.messages.create(agent.id, messages=[answer])


def test_the_same_otid_is_the_same_run(client: Letta, server: Serving) -> None:
    agent = made(client)
    message = {"role": "user", "content": "once", "otid": "o-1"}
    first, second = (client.agents.messages.create(agent.id, messages=[message]) for _ in range(2))
    assert words(first.messages) == words(second.messages) == ["echo once"]
    assert [m.id for m in first.messages] == [m.id for m in second.messages]
    assert len(server.rows("SELECT 1 FROM messages WHERE said = 'once'")) == 1


def test_who_leaves_comes_back_by_the_run(client: Letta, caplog: pytest.LogCaptureFixture) -> None:
    agent = made(client)
    with client.agents.messages.create(agent.id, input="words", streaming=True, background=True,
                                       stream_tokens=True) as stream:  # fmt: skip
        first = next(iter(stream))
    run = first.run_id
    again = list(client.runs.messages.stream(run, starting_after=first.seq_id))
    assert "".join(words(again)) == "one two three four five six seven eight"
    assert kinds(again)[-2:] == ["stop_reason", "usage_statistics"]
    until(lambda: client.runs.retrieve(run).status == "completed")
    over = list(client.runs.messages.stream(run))
    assert kinds(over)[-3:] == ["assistant_message", "stop_reason", "usage_statistics"]
    assert not words(list(client.runs.messages.stream(run, starting_after=over[-3].seq_id)))
    assert not [record.message for record in caplog.records if record.levelname == "ERROR"]


def test_runs_are_asked_for_listed_and_cancelled(client: Letta) -> None:
    agent, other = made(client), made(client, "eve")
    run = client.agents.messages.create_async(agent.id, messages=[{"role": "user", "content": "silent"}])
    assert run.status in ("created", "running") and run.agent_id == agent.id
    until(lambda: client.runs.retrieve(run.id).status == "running")
    assert [each.id for each in client.runs.list(active=True)] == [run.id]
    assert client.agents.messages.cancel(agent.id) == {run.id: "cancelled"}
    assert client.runs.retrieve(run.id).status == "cancelled"
    say(client, other.id, "hello")
    assert [each.agent_id for each in client.runs.list(limit=1)] == [other.id, agent.id]
    done = client.runs.list(agent_id=other.id, statuses=["completed"]).items[0]
    assert kinds(client.runs.messages.list(done.id))[0] == "user_message"
    assert client.runs.usage.retrieve(done.id).total_tokens > 0 and done.stop_reason == "end_turn"


def test_a_turn_that_fails_is_told_and_not_asked_for_again(client: Letta, server: Serving) -> None:
    agent = made(client)
    with client_of(server) as patient:
        patient = patient.with_options(max_retries=2)
        with pytest.raises(letta_client.APIStatusError, match="no way") as failed:
            say(patient, agent.id, "fail")
    assert failed.value.status_code == 502 and len(server.rows("SELECT 1 FROM runs")) == 1
    told = list(client.agents.messages.create(agent.id, input="fail", streaming=True))
    assert kinds(told) == ["error_message", "stop_reason", "usage_statistics"]
    assert told[1].stop_reason == "llm_api_error" and "no way" in told[0].message


def test_talk_is_reset_and_summed_up(client: Letta) -> None:
    agent = made(client)
    for number in range(6):
        say(client, agent.id, f"number {number} " + "and so on " * 40)
    summed = client.agents.messages.compact(agent.id)
    assert summed.num_messages_after < summed.num_messages_before and summed.summary
    assert "summary_message" in kinds(client.agents.messages.list(agent.id, limit=1000).items)
    kept = client.agents.messages.reset(agent.id)
    assert kept.memory.blocks[0].value == "Bo." and not client.agents.messages.list(agent.id).items
    assert words(say(client, agent.id, "hello").messages) == ["echo hello"]


def test_talk_is_not_reset_under_a_turn_that_is_running(client: Letta, server: Serving) -> None:
    agent = made(client)
    run = client.agents.messages.create_async(agent.id, messages=[{"role": "user", "content": "silent"}])
    until(lambda: server.rows("SELECT state FROM runs") == [("running",)])
    with pytest.raises(letta_client.ConflictError):
        client.agents.messages.reset(agent.id)
    until(lambda: client.runs.retrieve(run.id).status == "completed")
    assert server.rows("SELECT count(*) FROM messages WHERE undone IS NOT NULL") == [(0,)]


def test_what_was_said_is_found_over_all_agents_and_by_its_id(client: Letta) -> None:
    agent, other = made(client), made(client, "eve")
    say(client, agent.id, "the blue key")
    say(client, other.id, "a blue door")
    found = client.messages.search(query="blue")
    assert {match.agent_id for match in found[:2]} == {agent.id, other.id} and len(found) == 4
    alone = client.messages.search(query="blue", agent_id=other.id, limit=1)
    assert [match.agent_id for match in alone] == [other.id]
    for message in client.agents.messages.list(agent.id):
        assert message.id in [each.id for each in client.messages.retrieve(message.id)]
    for match in found:
        assert client.messages.retrieve(match.message_id)
    with pytest.raises(letta_client.NotFoundError):
        client.messages.retrieve(agent.id.replace("agent", "message"))


def test_messages_for_one_agent_wait_for_each_other_and_keep_their_order(client: Letta, server: Serving) -> None:
    agent = made(client)
    threads = [threading.Thread(target=say, args=(client, agent.id, f"slow {number}")) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = server.rows("SELECT said FROM messages WHERE said <> '' ORDER BY seq")
    said = [row[0].removeprefix("slow ") for row in rows]
    assert said[::2] == said[1::2] and sorted(said[::2]) == ["0", "1", "2"]


WISHES: list[tuple[dict[str, Any], str]] = [
    ({"input": ""}, "any words"),
    ({"input": [{"type": "image", "source": {"type": "url", "url": "http://127.0.0.1/"}}]}, "Only text"),
    ({"messages": [{"role": "assistant", "content": "I am a pirate."}]}, "role is 'user'"),
    ({"messages": [{"role": r, "content": "x"} for r in ("user", "system")]}, "one after the other"),
    ({"input": "x", "client_tools": [{"name": "f"}]}, "client_tools"),
    ({"input": "x", "override_model": "openai/gpt-4o"}, "override_model"),
    ({"messages": [{"type": "approval", "approve": True}]}, "No call waits"),
]


def test_what_can_not_be_said_is_refused_in_words(client: Letta) -> None:
    agent = made(client)
    for wish, words in WISHES:
        with pytest.raises(letta_client.APIStatusError, match=words) as refused:
            client.agents.messages.create(agent.id, **wish)
            pytest.fail(f"{wish} was said")
        assert 400 <= refused.value.status_code < 500 and not list(client.agents.messages.list(agent.id)), wish


def test_what_is_said_is_its_owners_alone(server: Serving) -> None:
    with client_of(server, server.key("a", user="ann")) as ann, client_of(server, server.key("b", user="bo")) as bo:
        agent = made(ann)
        say(ann, agent.id, "hello")
        run = ann.runs.list().items[0].id
        for call in (bo.agents.messages.list, bo.agents.messages.reset, bo.agents.messages.cancel):
            with pytest.raises(letta_client.NotFoundError):
                call(agent.id)
        for call in (bo.runs.retrieve, bo.runs.messages.list, bo.runs.usage.retrieve):
            with pytest.raises(letta_client.NotFoundError):
                call(run)
        with pytest.raises(letta_client.NotFoundError):
            list(bo.runs.messages.stream(run))
        assert not list(bo.runs.list()) and not bo.messages.search(query="hello")
        with pytest.raises(letta_client.NotFoundError):
            bo.messages.retrieve(ann.agents.messages.list(agent.id).items[0].id)
    with client_of(server, server.key("r", "read", user="ann")) as reader:
        assert list(reader.agents.messages.list(agent.id))
        with pytest.raises(letta_client.PermissionDeniedError):
            say(reader, agent.id, "hello")


@pytest.mark.slow
def test_a_run_outlives_the_server_and_is_followed_after_it(home: Path) -> None:
    with in_a_process(home) as first, client_of(first) as client:
        agent = made(client)
        run = client.agents.messages.create_async(agent.id, messages=[{"role": "user", "content": "silent"}])
        until(lambda: client.runs.retrieve(run.id).status == "running")
        first.kill()
    with in_a_process(home) as second, client_of(second) as client:
        told = list(client.runs.messages.stream(run.id))
        assert words(told) == ["At last."] and told[-2].stop_reason == "end_turn"
        assert client.runs.retrieve(run.id).status == "completed"
        said = [m.content for m in client.agents.messages.list(agent.id, include_return_message_types=["user_message"])]
        assert said == ["silent"]
