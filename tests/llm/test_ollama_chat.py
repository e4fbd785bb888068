"""Ollama's own chat: what is sent and what is heard, with models that call functions and with those that can't."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from chat_server import Reply, as_json, chat_server, pieces

from memagent.errors import ContextOverflow, LLMConnectionError, LLMError
from memagent.llm import Answer, Heard, Piece, Request, Restarted, Usage
from memagent.llm.ollama_chat import OllamaChat
from memagent.llm.opening import text_server
from memagent.llm.servers.ollama import Ollama
from memagent.llm.wrappers import Wrapper
from memagent.messages import Message, ToolCall, answer, result, user_message
from memagent.settings import Settings

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
SYSTEM = Message("system", "boot", "You are Sam.", NOW)
HELLO = user_message("Hello", NOW)


def tool(name: str) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]}
    return {"name": name, "description": "Does something.", "parameters": parameters}


CALL = ToolCall("c1", "send_message", '{"message": "Hi"}')


class Told(Wrapper):
    """As it is, with a schema of the test's."""

    def schema(self, request: Request) -> dict[str, Any]:
        return {"title": "SCHEMA"}


def lines(*sent: dict[str, Any], end: bool = True) -> Reply:
    """A stream as Ollama sends it."""
    stamped = [{"model": "m", "created_at": "2025-07-07T20:22:19.184789Z", **event} for event in sent]
    written = [json.dumps(event, separators=(",", ":")).encode() + b"\n" for event in stamped]
    return pieces(*written, end=end, kind="application/x-ndjson")


def said(text: str = "", **more: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": text, **more}, "done": False}


def done(reason: str = "stop", **counts: int) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": ""}, "done_reason": reason, "done": True, **counts}


def calling(name: str, **arguments: Any) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": arguments}}


def asked(request: Request, *replies: Reply, **settings: Any) -> tuple[list[Heard], dict[str, Any]]:
    with chat_server(*replies) as server:
        given = {"base_url": server.url, "window": 4096, "sleep": lambda _: None, "told": Told()}
        llm = OllamaChat(Ollama(), "m", **given | settings)
        try:
            heard = list(llm.ask(request))
        finally:
            llm.close()
        return heard, server.asked[0].json


def test_a_conversation_on_the_wire() -> None:
    spoken = answer("I should greet.", (CALL,), "", NOW)
    back = result(CALL, True, "None", NOW)
    request = Request([SYSTEM, HELLO, spoken, back], [tool("send_message"), tool("note")])
    _, body = asked(
        request, lines(said("ok"), done()), temperature=0.5, max_tokens=50, stop=("X",),
        sampling={"top_k": 7, "keep_alive": -1, "think": False},
    )  # fmt: skip
    assert body == {
        "model": "m",
        "tools": [{"type": "function", "function": tool(name)} for name in ("send_message", "note")],
        "messages": [
            {"role": "system", "content": "You are Sam."},
            {"role": "user", "content": HELLO.content},
            {
                "role": "assistant",
                "content": "I should greet.",
                "tool_calls": [{"id": "c1", "function": {"name": "send_message", "arguments": {"message": "Hi"}}}],
            },
            {"role": "tool", "content": back.content, "tool_name": "send_message", "tool_call_id": "c1"},
        ],
        "stream": True,
        "truncate": False,
        "shift": False,
        "keep_alive": -1,
        "think": False,
        "options": {"num_ctx": 4096, "num_predict": 50, "temperature": 0.5, "stop": ["X"], "top_k": 7},
    }


def test_a_function_that_must_be_called_is_the_only_one_offered() -> None:
    tools = [tool("send_message"), tool("note")]
    _, body = asked(Request([HELLO], tools, force="note", max_tokens=9), lines(done()))
    assert [offered["function"]["name"] for offered in body["tools"]] == ["note"]
    assert body["options"]["num_predict"] == 9


def test_thoughts_words_and_calls_as_they_come() -> None:
    heard, _ = asked(
        Request([HELLO], [tool("send_message")]),
        lines(
            said(thinking="Hm, "), said(thinking="well."), said("Yes"), said(" indeed"),
            said(tool_calls=[calling("send_message", message="Hi"), calling("note", message="x")]),
            said(tool_calls=[calling("note", message="y")]),
            done(prompt_eval_count=169, eval_count=18),
        ),
    )  # fmt: skip
    assert heard[:4] == [
        Piece("thought", "Hm, "),
        Piece("thought", "well."),
        Piece("text", "Yes"),
        Piece("text", " indeed"),
    ]
    assert heard[4] == Piece("arguments", '{"message": "Hi"}', 0, "send_message")
    last = heard[-1]
    assert isinstance(last, Answer)
    assert [(call.name, json.loads(call.arguments)["message"]) for call in last.calls] == [
        ("send_message", "Hi"), ("note", "x"), ("note", "y")
    ]  # fmt: skip
    assert len({call.id for call in last.calls}) == 3
    assert (last.text, last.thoughts, last.finish, last.usage) == ("Yes indeed", "Hm, well.", "stop", Usage(169, 18))


def test_a_call_that_comes_with_the_end() -> None:
    whole = {**done(), **said(tool_calls=[calling("note", message="x")]), "done": True}
    heard, _ = asked(Request([HELLO], [tool("note")]), lines(whole))
    assert isinstance(heard[-1], Answer) and heard[-1].calls[0].name == "note"


def test_an_answer_that_was_too_long_says_so() -> None:
    heard, _ = asked(Request([HELLO]), lines(said("Hel"), done("length")))
    assert heard[-1] == Answer("Hel", finish="length")


def test_a_cut_answer_is_asked_for_again() -> None:
    cut = lines(said("Hel"), end=False)
    heard, _ = asked(Request([HELLO]), cut, lines(said("Hello"), done()))
    assert isinstance(heard[1], Restarted) and heard[-1] == Answer("Hello")
    with pytest.raises(LLMConnectionError, match="broke off"):
        asked(Request([HELLO]), cut, cut)


def test_what_ollama_refuses() -> None:
    with pytest.raises(ContextOverflow, match="does not fit"):
        asked(Request([HELLO]), as_json(400, {"error": "the input length exceeds the context length"}))
    with pytest.raises(ContextOverflow, match="and the window of m 4096"):
        asked(Request([Message("system", "boot", "word " * 9000, NOW)]))
    with pytest.raises(LLMError, match="can't call functions"):
        asked(
            Request([HELLO], [tool("note")]),
            as_json(400, {"error": "registry.ollama.ai/library/gemma:2b does not support tools"}),
        )
    with pytest.raises(LLMError, match="not a server of Ollama's kind"):
        asked(Request([HELLO]), as_json(200, {"message": "hi"}))


def test_a_model_without_functions_is_told_of_them_in_words() -> None:
    back = result(CALL, True, "None", NOW)
    request = Request([SYSTEM, HELLO, answer("", (CALL,), "", NOW), back], [tool("send_message")])
    parts = ['{"function": "send_', 'message", "params": {"mess', 'age": "Hi Ada"}}']
    heard, body = asked(request, lines(*map(said, parts), done(prompt_eval_count=90, eval_count=9)), calls=False)
    assert body["format"] == {"title": "SCHEMA"} and "tools" not in body
    system, user, spoken, told = body["messages"]
    assert system["content"].endswith("You are Sam.") and "send_message(message): Does something." in system["content"]
    assert [message["role"] for message in (user, spoken, told)] == ["user", "assistant", "user"]
    assert json.loads(spoken["content"]) == {"function": "send_message", "params": {"message": "Hi"}}
    assert "".join(item.text for item in heard[:-1] if isinstance(item, Piece)) == '{"message": "Hi Ada"}'
    last = heard[-1]
    assert isinstance(last, Answer) and last.usage == Usage(90, 9)
    assert [(call.name, json.loads(call.arguments)) for call in last.calls] == [("send_message", {"message": "Hi Ada"})]


@pytest.mark.parametrize(("constrain", "tools"), [(False, True), (True, False)])
def test_nothing_is_held_to_a_form_where_that_is_not_wanted(constrain: bool, tools: bool) -> None:
    request = Request([HELLO], [tool("note")] if tools else [])
    heard, body = asked(request, lines(said("Hi"), done()), calls=False, constrain=constrain)
    assert "format" not in body and "tools" not in body
    assert isinstance(heard[-1], Answer) and heard[-1].text == "Hi"


@pytest.mark.parametrize(
    ("abilities", "calls"), [(["completion", "tools"], True), (["completion"], False), (None, True)]
)
def test_the_server_says_whether_a_model_calls_functions(abilities: list[str] | None, calls: bool) -> None:
    shown = {"capabilities": abilities, "model_info": {"llama.context_length": 4096}}
    doors = {"POST /api/show": as_json(200, shown), "GET /api/ps": as_json(200, {"models": []})}
    with chat_server(lines(said("Hi"), done()), doors=doors) as server:
        settings = Settings(provider="ollama", model="m", endpoint=server.url, constrain=False)
        list(text_server(settings).ask(Request([HELLO], [tool("note")])))
        assert ("tools" in server.asked[-1].json) == calls
