"""Agents as models of OpenAI's API, with OpenAI's own client: whoever speaks it talks to an agent that remembers."""

from __future__ import annotations

import json
from collections.abc import Iterator

import openai
import pytest
from serving import Serving, served, until


@pytest.fixture
def client(server: Serving) -> Iterator[openai.OpenAI]:
    """OpenAI's client, which can't but send a key."""
    server.agent("ada")
    with openai.OpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=2) as client:
        yield client


def say(client: openai.OpenAI, *said: str, model: str = "ada") -> str:
    messages = [{"role": "user", "content": each} for each in said]
    answer = client.chat.completions.create(model=model, messages=messages)  # type: ignore[arg-type]
    return answer.choices[0].message.content or ""


def test_agents_are_models(client: openai.OpenAI, server: Serving) -> None:
    server.agent("Zoë two")
    assert {model.id for model in client.models.list()} == {"ada", "Zoë two"}
    assert client.models.retrieve("ada").id == "ada"
    assert client.models.retrieve("Zoë two").owned_by == "local"
    with pytest.raises(openai.NotFoundError, match="no agent 'bob'"):
        client.models.retrieve("bob")


def test_only_the_last_message_counts(client: openai.OpenAI, server: Serving) -> None:
    messages = [
        {"role": "system", "content": "You are a pirate."},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "whatever"},
        {"role": "user", "content": "second"},
    ]
    answer = client.chat.completions.create(model="ada", messages=messages, temperature=0.1, user="me")  # type: ignore[call-overload]
    assert answer.choices[0].message.content == "echo second"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    said = [row[0] for row in server.rows("SELECT said FROM messages WHERE kind = 'user'")]
    assert said == ["second"], "what the client keeps of the conversation is not told to the agent again"


def test_a_stream_has_the_words_as_they_come(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="ada", messages=[{"role": "user", "content": "words"}], stream=True,
        stream_options={"include_usage": True},
    )  # fmt: skip
    *chunks, last = stream
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert "".join(pieces) == "one two three four five six seven eight"
    assert len([piece for piece in pieces if piece]) > 3
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "stop"
    assert last.choices == [] and last.usage and last.usage.completion_tokens > 0
    assert len({chunk.id for chunk in chunks}) == 1


def test_what_is_no_text_is_not_fetched(client: openai.OpenAI) -> None:
    parts = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "http://127.0.0.1:9/secret.png"}},
        {"type": "file", "file": {"file_id": "/etc/passwd"}},
    ]
    answer = client.chat.completions.create(model="ada", messages=[{"role": "user", "content": parts}])  # type: ignore[list-item, misc]
    told = answer.choices[0].message.content or ""
    assert told.startswith("echo look") and told.count("can't be seen") == 2 and "passwd" not in told


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_fails_is_told(client: openai.OpenAI, server: Serving, stream: bool) -> None:
    with pytest.raises(openai.APIError, match="no way"):
        list(client.chat.completions.create(model="ada", messages=[{"role": "user", "content": "fail"}], stream=stream))  # type: ignore[call-overload]
    assert server.rows("SELECT count(*) FROM messages WHERE said = 'fail'")[0][0] == 1, "it was not sent again"


def test_what_is_not_right_is_refused(client: openai.OpenAI) -> None:
    spoken = [{"role": "assistant", "content": "x"}]
    for messages in ([], spoken, [{"role": "user", "content": "  "}], [{"role": "user"}], "x", [7]):
        with pytest.raises((openai.BadRequestError, openai.UnprocessableEntityError)) as refused:
            client.chat.completions.create(model="ada", messages=messages)  # type: ignore[call-overload]
            pytest.fail(f"{messages} was answered")
        assert refused.value.message, messages


def test_a_call_that_waits_is_answered_with_yes_or_no(client: openai.OpenAI, server: Serving) -> None:
    server.agent("bob", preset="extras")
    assert "May I call http_request(" in say(client, "fetch", model="bob")
    assert say(client, "Yes.", model="bob").startswith("It said:")
    assert "May I call" in say(client, "fetch", model="bob")
    assert "did not allow" in say(client, "no", model="bob")
    assert "May I call" in say(client, "fetch", model="bob")
    assert say(client, "something else", model="bob") == "echo something else", "which is a no"


def test_responses(client: openai.OpenAI) -> None:
    answer = client.responses.create(model="ada", input="hello", instructions="Be a pirate.")
    assert (answer.status, answer.output_text) == ("completed", "echo hello")
    assert answer.usage and answer.usage.total_tokens > 0
    again = client.responses.create(
        model="ada", input=[{"role": "user", "content": [{"type": "input_text", "text": "more"}]}],
        previous_response_id=answer.id,
    )  # fmt: skip
    assert again.output_text == "echo more"
    kept = client.responses.retrieve(answer.id)
    assert (kept.status, kept.output_text, kept.model) == ("completed", "echo hello", "ada")
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve("resp_00000000-0000-0000-0000-000000000000")


def test_a_response_is_streamed(client: openai.OpenAI) -> None:
    with client.responses.stream(model="ada", input="words") as stream:
        heard = [event for event in stream]
        last = stream.get_final_response()
    assert last.output_text == "one two three four five six seven eight"
    kinds = [event.type for event in heard]
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
    assert kinds.count("response.output_text.delta") > 3
    with pytest.raises(openai.APIError, match="no way"):
        client.responses.create(model="ada", input="fail")


def test_a_client_that_leaves_stops_nothing(client: openai.OpenAI, server: Serving) -> None:
    stream = client.responses.create(model="ada", input="slow one", stream=True)
    first = next(iter(stream))
    stream.close()
    number = first.response.id  # type: ignore[union-attr]
    until(lambda: client.responses.retrieve(number).status == "completed")
    assert client.responses.retrieve(number).output_text == "slow one"


def test_keys_open_their_users_agents_only(server: Serving) -> None:
    server.agent("ada")
    server.agent("eve", user="eve")
    mine, theirs, looking = server.key("a"), server.key("b", user="eve"), server.key("c", "read")
    own = openai.OpenAI(base_url=f"{server.address}/v1", api_key=mine)
    assert say(own, "hello") == "echo hello"
    answer = own.responses.create(model="ada", input="hello")
    other = openai.OpenAI(base_url=f"{server.address}/v1", api_key=theirs)
    assert [model.id for model in other.models.list()] == ["eve"]
    with pytest.raises(openai.NotFoundError):
        say(other, "hello")
    with pytest.raises(openai.NotFoundError):
        other.responses.retrieve(answer.id)
    with pytest.raises(openai.PermissionDeniedError):
        say(openai.OpenAI(base_url=f"{server.address}/v1", api_key=looking), "hello")
    with pytest.raises(openai.AuthenticationError):
        say(openai.OpenAI(base_url=f"{server.address}/v1", api_key="wrong"), "hello")
    for each in (own, other):
        each.close()


def test_what_is_told_can_not_be_taken_back(home: object, server: Serving) -> None:
    """Where the words as they came turn out not to hold, the answer begins anew below them."""
    from memagent import events
    from memagent.server.openai_api.heard import Heard

    heard = Heard()
    happened = [
        events.Delta("reply", "I th"), events.Discarded("it broke"), events.Delta("reply", "I know"),
        events.Delta("reply", " it"), events.Reply("I know it."), events.Reply("More."), events.TurnEnded("done", 1),
    ]  # fmt: skip
    pieces = [piece for event in happened for piece in heard.pieces(event)]
    assert pieces == ["I th", "\n\nI know", " it", ".", "\n\nMore."]
    assert heard.text == "".join(pieces)


def test_errors_have_the_form_of_both_worlds(server: Serving) -> None:
    answer = server.http().post("/v1/chat/completions", json={"model": "ada"})
    assert answer.status_code == 422
    told = json.loads(answer.text)
    assert told["detail"][0]["loc"] == ["body", "messages"] and "required" in told["error"]["message"].lower()


def test_one_server_serves_the_settings_it_was_given(home: object) -> None:
    with served(home, model="mine") as server:  # type: ignore[arg-type]
        server.agent("ada")
        assert say(openai.OpenAI(base_url=f"{server.address}/v1", api_key="x"), "hello") == "echo hello"
