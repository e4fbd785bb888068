"""The WebSocket, with a real client: agents are made, loaded and talked with; what happens goes to all who look at the
agent, and to nobody else.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import Serving, in_a_process, until
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_socket

from memagent import events
from memagent.bridges.socket import connect, connect_async, wire
from memagent.errors import BackendError, UserError
from memagent.events import Event, Reply, TurnEnded


class Client:
    """A client that speaks the protocol word by word."""

    def __init__(self, server: Serving, *protocols: str, **headers: str) -> None:
        self._closing = ExitStack()
        opening = connect_socket(
            f"ws://127.0.0.1:{server.port}/ws", subprotocols=list(protocols) or None,  # type: ignore[arg-type]
            additional_headers=headers, proxy=None,
        )  # fmt: skip
        self.socket: ClientConnection = self._closing.enter_context(opening)

    def close(self) -> None:
        self._closing.close()

    def say(self, **message: Any) -> None:
        self.socket.send(json.dumps(message))

    def command(self, command: str, **more: Any) -> dict[str, Any]:
        self.say(type="command", command=command, **more)
        return self.until("command_response", "server_error")[-1]

    def hear(self, seconds: float = 10) -> dict[str, Any]:
        heard: dict[str, Any] = json.loads(self.socket.recv(seconds))
        return heard

    def until(self, *kinds: str) -> list[dict[str, Any]]:
        heard = [self.hear()]
        while heard[-1]["type"] not in kinds:
            heard.append(self.hear())
        return heard


def kinds(heard: list[dict[str, Any]]) -> list[str]:
    return [message.get("message_type", message["type"]) for message in heard]


def words(heard: list[dict[str, Any]]) -> list[str]:
    return [m["message"] for m in heard if m["type"] == "agent_response" and m["message_type"] == wire.ASSISTANT]


@pytest.fixture
def client(server: Serving) -> Iterator[Client]:
    with closing(Client(server)) as client:
        yield client


def test_an_agent_is_made_and_talked_with(client: Client) -> None:
    made = client.command("create_agent", config={"name": "ada", "preset": "chat", "more": "is not read"})
    assert (made["status"], made["name"]) == ("OK", "ada")
    first = made["number"] + 1
    client.say(type="user_message", message="note I like tea")
    heard = [m for m in client.until("agent_response_end") if m["type"] != "run"]
    assert kinds(heard)[0] == "agent_response_start"
    assert "memory_edited" in kinds(heard) and wire.FUNCTION in kinds(heard) and wire.MONOLOGUE in kinds(heard)
    assert words(heard) == ["Noted: I like tea"]
    assert [message["number"] for message in heard] == [*range(first, first + len(heard))]
    deltas = [
        m["message"] for m in heard if m["type"] == "agent_response_delta" and m["message_type"] == wire.ASSISTANT
    ]
    assert "".join(deltas) == "Noted: I like tea"
    assert heard[-1]["ending"] == "done" and heard[-1]["steps"] == 2


def test_a_client_goes_on_where_it_left(client: Client, server: Serving) -> None:
    server.agent("ada")
    seen = client.command("load_agent", name="ada")["number"] + 3
    client.say(type="user_message", message="hello")
    heard = [m for m in client.until("agent_response_end") if "number" in m]
    with closing(Client(server)) as again:
        assert again.command("load_agent", name="ada", after=seen)["number"] == seen
        assert again.until("agent_response_end") == heard[3:]
        assert again.command("load_agent", name="ada", after=3)["number"] == seen - 3  # of a server that is gone
        assert again.until("agent_response_end") == heard


def test_events_go_to_those_who_look_and_to_nobody_else(client: Client, server: Serving) -> None:
    for name in ("ada", "bob"):
        server.agent(name)
    with closing(Client(server)) as looker, closing(Client(server)) as other:
        looker.command("load_agent", name="ada")
        other.command("load_agent", name="bob")
        client.command("load_agent", name="ada")
        client.say(type="user_message", message="secret")
        client.until("agent_response_end")
        assert words(looker.until("agent_response_end")) == ["echo secret"]
        looker.command("leave_agent", name="ada")
        client.say(type="user_message", message="more")
        client.until("agent_response_end")
        for each in (looker, other):
            with pytest.raises(TimeoutError):
                each.hear(0.2)


def test_who_leaves_stops_nothing(server: Serving) -> None:
    server.agent("ada")
    with closing(Client(server)) as client:
        client.say(type="user_message", message="slow one", agent_name="ada")
        client.until("agent_response_start")
    until(lambda: server.rows("SELECT state FROM runs")[0][0] == "done")
    assert server.rows("SELECT said FROM messages WHERE said LIKE 'slow%' ORDER BY seq DESC")[0][0] == "slow one"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("nonsense", "JSON"),
        (b"bytes", "JSON"),
        ("[]", ""),
        ('{"type": "command", "command": "fly"}', "fly"),
        ('{"type": "command", "command": "load_agent", "name": "nobody"}', "no agent 'nobody'"),
        ('{"type": "command", "command": "create_agent", "config": {"name": "a/b"}}', "name"),
        ('{"type": "command", "command": "create_agent", "config": {"name": "x", "preset": "nix"}}', "nix"),
        ('{"type": "user_message", "message": "hello"}', "No agent is loaded"),
        ('{"type": "user_message", "message": ""}', ""),
    ],
)
def test_what_is_wrong_is_told_and_the_connection_stays(
    client: Client, server: Serving, said: str | bytes, told: str
) -> None:  # fmt: skip
    client.socket.send(said)
    heard = client.hear()
    assert heard["type"] == "server_error" and told in heard["message"]
    server.agent("ada")
    assert client.command("load_agent", name="ada")["status"] == "OK"


def test_who_made_an_agent_is_noted(client: Client, server: Serving) -> None:
    client.command("create_agent", config={"name": "ada"})
    assert server.rows("SELECT what, target, address FROM audit") == [("agent made", "ada", "127.0.0.1")]


def test_a_frame_that_is_too_large_ends_only_its_connection(client: Client, server: Serving) -> None:
    server.agent("ada")
    client.socket.send("x" * 16_000_000)
    with pytest.raises(Exception, match=r"1009|too big|close"):
        client.hear()
    with closing(Client(server)) as other:
        assert other.command("load_agent", name="ada")["status"] == "OK"


def test_a_call_is_approved_and_a_turn_is_cancelled(client: Client, server: Serving) -> None:
    server.agent("bob", preset="extras")
    client.say(type="user_message", message="fetch", agent_name="bob")
    asked = client.until("approval_request")[-1]
    assert client.until("agent_response_end")[-1]["ending"] == "waiting"
    client.say(type="command", command="approve", name="bob", approve=False, call_id=asked["call_id"], digest="wrong")
    assert client.until("agent_response_error", "server_error")[-1]["message"].startswith("This call does not wait")
    client.until("agent_response_end")
    client.say(
        type="command", command="approve", name="bob", approve=False, call_id=asked["call_id"], digest=asked["digest"]
    )
    assert "did not allow" in words(client.until("agent_response_end"))[0]
    client.say(type="user_message", message="silent")
    client.until("agent_response_start")
    client.say(type="command", command="cancel", name="bob")
    assert client.until("agent_response_end")[-1]["ending"] == "interrupted"


def test_keys_and_origins(server: Serving) -> None:
    server.agent("ada")
    key, reading, other = server.key("mine"), server.key("looks", "read"), server.key("theirs", user="eve")
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Bearer {key}", "Origin": "http://evil.example"},
                    {"Authorization": f"Bearer {key}", "Origin": "null"}):  # fmt: skip
        with pytest.raises(InvalidStatus) as refused:
            Client(server, **headers)
        assert refused.value.response.status_code == 403
    with closing(Client(server, wire.NAME, f"{wire.KEY}{key}")) as client:
        assert client.socket.subprotocol == wire.NAME, "the key is not sent back"
        assert client.command("load_agent", name="ada")["status"] == "OK"
    with closing(Client(server, Authorization=f"Bearer {other}")) as client:
        assert "no agent" in client.command("load_agent", name="ada")["message"]
    with closing(Client(server, Authorization=f"Bearer {reading}")) as client:
        assert client.command("load_agent", name="ada")["status"] == "OK"
        client.say(type="user_message", message="hello")
        assert "scope" in client.until("server_error")[-1]["message"]
        assert "scope" in client.command("create_agent", config={"name": "x"})["message"]


# The library ----------------------------------------------------------------------------------------------------------


def test_plain_code_talks_with_an_agent(server: Serving) -> None:
    with connect(server.address) as there:
        there.create("ada")
        happened = list(there.say("ada", "hello"))
        assert [e.text for e in happened if isinstance(e, Reply)] == ["echo hello"]
        assert isinstance(happened[0], events.TurnStarted) and isinstance(happened[-1], TurnEnded)
        with pytest.raises(BackendError, match="no agent 'bob'"):
            list(there.say("bob", "hello"))


def test_code_with_an_event_loop_talks_with_an_agent(server: Serving) -> None:
    server.agent("bob", preset="extras")

    async def talk() -> list[str]:
        async with await connect_async(server.address) as there:
            [asked] = [e async for e in there.say("bob", "fetch") if isinstance(e, events.ApprovalAsked)]
            heard = there.decide("bob", asked.call_id, asked.digest, False)
            return [event.text async for event in heard if isinstance(event, Reply)]

    assert "did not allow" in asyncio.run(talk())[0]


def test_a_connection_that_breaks_in_a_turn_is_made_again(server: Serving) -> None:
    server.agent("ada")
    with connect(server.address) as there:
        happened: list[Event] = []
        for event in there.say("ada", "slow words"):
            happened.append(event)
            if isinstance(event, events.TurnStarted):
                there._socket.socket.shutdown(2)
        assert [e.text for e in happened if isinstance(e, Reply)] == ["slow words"]
        assert sum(isinstance(e, events.TurnStarted) for e in happened) == 1
    assert server.rows("SELECT count(*) FROM messages WHERE kind = 'user'")[0][0] == 1


@pytest.mark.slow
def test_a_server_that_is_killed_in_a_turn_and_starts_again_goes_on_with_it(home: Path) -> None:
    with ExitStack() as later, in_a_process(home) as server:
        server.agent("ada")
        with connect(server.address) as there:
            happening = there.say("ada", "silent")
            happened = [next(happening)]
            server.kill()
            later.enter_context(in_a_process(home, "--port", str(server.port)))
            happened += happening
    assert isinstance(happened[0], events.TurnStarted)
    assert [event.text for event in happened if isinstance(event, Reply)] == ["At last."]


def test_wrong_addresses_and_closed_doors_are_told(server: Serving) -> None:
    server.key()
    with pytest.raises(UserError, match="without a key"):
        connect(server.address)
    with pytest.raises(UserError, match="no address"):
        connect("ftp://somewhere")
    with pytest.raises(BackendError, match="can't be reached"):
        connect("127.0.0.1:9")


FIELDS = {
    "arguments": st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.booleans())),
    "seconds": st.floats(allow_nan=False),  # one is not equal to itself
}
EVENTS = [
    st.builds(kind, **{name: of for name, of in FIELDS.items() if name in kind.__annotations__})
    for kind in Event.__subclasses__()
]


@given(st.one_of(EVENTS))
def test_every_event_is_told_and_understood(event: Event) -> None:
    assert wire.heard(json.loads(json.dumps(wire.told(event)))) == event
