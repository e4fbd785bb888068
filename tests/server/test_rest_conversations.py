"""The REST door with the published client: an agent's one conversation, and who may reach what."""

from __future__ import annotations

from collections.abc import Iterator

import letta_client
import pytest
from letta import client_of, made
from letta_client import Letta
from serving import Serving


@pytest.fixture
def client(server: Serving) -> Iterator[Letta]:
    with client_of(server) as client:
        yield client


def test_an_agent_has_one_conversation_and_it_streams_by_itself(client: Letta, server: Serving) -> None:
    agent, other = made(client), made(client, "eve")
    talk = client.conversations.create(agent_id=agent.id)
    assert talk.id.startswith("conv-") and talk.agent_id == agent.id
    assert client.conversations.create(agent_id=agent.id) == talk == client.conversations.retrieve(talk.id)
    told = list(client.conversations.messages.create(talk.id, input="hello"))
    assert [each.message_type for each in told] == [
        "reasoning_message", "assistant_message", "stop_reason", "usage_statistics",
    ]  # fmt: skip
    whole = server.http().post(f"/v1/conversations/{talk.id}/messages", json={"input": "again", "streaming": False})
    assert whole.json()["messages"][-1]["content"] == "echo again"
    default = list(client.conversations.messages.create("default", agent_id=agent.id, input="by default"))
    assert default[1].content == "echo by default"
    listed = client.conversations.messages.list(talk.id, order="asc", limit=2)
    assert [message.id for message in listed] == [m.id for m in client.agents.messages.list(agent.id)][::-1]
    assert [each.agent_id for each in client.conversations.list(order="asc")] == [agent.id, other.id]
    assert client.conversations.cancel(talk.id) == {}
    for call in (client.conversations.delete, client.conversations.fork):
        with pytest.raises(letta_client.BadRequestError, match="one conversation"):
            call(talk.id)
    with pytest.raises(letta_client.BadRequestError, match="No run"):
        list(client.conversations.messages.stream(talk.id))


def test_conversations_are_their_owners_alone(server: Serving) -> None:
    with client_of(server, server.key("a", user="ann")) as ann, client_of(server, server.key("b", user="bo")) as bo:
        talk = ann.conversations.create(agent_id=made(ann).id)
        for call in (bo.conversations.retrieve, bo.conversations.messages.list, bo.conversations.cancel):
            with pytest.raises(letta_client.NotFoundError):
                call(talk.id)
        assert bo.conversations.list() == []
