"""A model behind an endpoint: what is sent, and what is heard."""

import gc
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from chat_server import (
    DONE,
    STOP,
    ChatServer,
    Reply,
    as_json,
    call,
    chat_server,
    chunk,
    events,
    pieces,
    plain,
    refusal,
    speak,
    stream,
    then_silence,
    until_closed,
    whole,
)

from memagent.errors import ConfigError, LLMConnectionError, LLMError
from memagent.llm import Answer, Heard, Pause, Piece, Request, Restarted, Usage
from memagent.llm.openai import OpenAILLM
from memagent.messages import Message, ToolCall, answer, result, user_message

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
TOOL = {
    "name": "send_message",
    "description": "Speak to the user.",
    "parameters": {"type": "object", "properties": {"message": {"type": "string"}}},
}
SYSTEM = Message("system", "boot", "You are Sam.", NOW)


def hello(text: str = "Hello") -> Message:
    return user_message(text, NOW)


def ask(server: ChatServer, request: Request | None = None, **settings: Any) -> list[Heard]:
    """Everything that is heard; without waiting."""
    model = OpenAILLM("m", 8000, **{"api_key": "k", "base_url": server.url, "sleep": lambda _: None} | settings)
    try:
        return list(model.ask(request or Request([SYSTEM, hello()])))
    finally:
        model.close()


def heard_from(*replies: Reply, **settings: Any) -> list[Heard]:
    with chat_server(*replies) as server:
        return ask(server, **settings)


def answer_to(*replies: Reply, **settings: Any) -> Answer:
    last = heard_from(*replies, **settings)[-1]
    assert isinstance(last, Answer)
    return last


def text_of(heard: list[Heard], kind: str = "text") -> str:
    return "".join(item.text for item in heard if isinstance(item, Piece) and item.kind == kind)


# --- what is sent --------------------------------------------------------------------------------------------------


def test_a_conversation_on_the_wire() -> None:
    calls = (ToolCall("c1", "send_message", '{"message":"Hi — you"}'),)
    said = answer("I should greet.", calls, "", NOW)
    back = result(calls[0], True, "None", NOW)
    with chat_server(stream(*speak("ok"))) as server:
        ask(
            server,
            Request([SYSTEM, hello("Grüß dich"), said, back], [TOOL], force="send_message", max_tokens=50),
            temperature=0.5,
            extra={"top_p": 0.9},
        )
        asked = server.asked[0]
    assert (asked.method, asked.path) == ("POST", "/v1/chat/completions")
    assert asked.headers["authorization"] == "Bearer k"
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["user-agent"].startswith("memagent/")
    assert asked.json == {
        "model": "m",
        "temperature": 0.5,
        "top_p": 0.9,
        "stream": True,
        "stream_options": {"include_usage": True},
        "tools": [{"type": "function", "function": TOOL}],
        "messages": [
            {"role": "system", "content": "You are Sam."},
            {"role": "user", "content": hello("Grüß dich").content},
            {
                "role": "assistant",
                "content": "I should greet.",
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "send_message", "arguments": '{"message":"Hi — you"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "name": "send_message", "content": back.content},
        ],
        "max_tokens": 50,
        "tool_choice": {"type": "function", "function": {"name": "send_message"}},
    }


def test_a_request_begins_with_the_bytes_of_the_one_before() -> None:
    first = [SYSTEM, hello("one — ünïcode 🦊")]
    second = [*first, answer("", (ToolCall("c1", "f", "{}"),), "", NOW), hello("two")]
    settings: dict[str, Any] = {"temperature": 0.1, "max_tokens": 9, "extra": {"seed": 1}}
    with chat_server(*[stream(*speak("ok"))] * 4) as server:
        for messages in (first, first, second):
            ask(server, Request(messages, [TOOL]), **settings)
        ask(server, Request(second, [TOOL], force="send_message", max_tokens=3), **settings | {"max_tokens": None})
        once, again, later, forced = (asked.body for asked in server.asked)
    assert once == again
    assert later.startswith(once.removesuffix(b"]}"))
    assert list(json.loads(later))[-1] == "messages"
    assert forced.index(b'"messages"') < forced.index(b'"tool_choice"'), "what is for once does not break the beginning"


def test_an_answer_of_calls_alone_has_no_text_and_names_that_every_endpoint_takes() -> None:
    odd = answer("", (ToolCall("c1", "say.it loud!", "{}"), ToolCall("c2", "", "{}")), "", NOW)
    with chat_server(stream(*speak("ok"))) as server:
        ask(server, Request([hello(), odd]))
        sent = server.asked[0].json["messages"][1]
    assert sent["content"] is None
    assert [one["function"]["name"] for one in sent["tool_calls"]] == ["say_it_loud_", "unnamed"]


def test_a_lone_surrogate_in_a_message_does_not_stop_the_chat() -> None:
    with chat_server(stream(*speak("ok"))) as server:
        ask(server, Request([Message("system", "boot", "half \ud83d a fox", NOW)]))
        assert server.asked[0].json["messages"][0]["content"] == "half ? a fox"


def test_connections_are_kept() -> None:
    with chat_server(*[stream(*speak("ok"))] * 3, whole({"content": "ok"}), as_json(200, {"data": []})) as server:
        model = OpenAILLM("m", 8000, api_key="k", base_url=server.url)
        for _ in range(4):
            list(model.ask(Request([hello()])))
        model.list_models()
        model.close()
        assert (len(server.asked), server.connections) == (5, 1)


def test_a_key_in_the_environment_is_never_sent_to_another_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/")
    with chat_server(stream(*speak("ok"))) as server:
        ask(server, api_key=None)
        assert "canary" not in str(server.asked[0])


def test_models_are_listed() -> None:
    with chat_server(as_json(200, {"object": "list", "data": [{"id": "b"}, {"id": "a"}, {}, 3]})) as server:
        model = OpenAILLM("m", 8000, api_key="k", base_url=server.url)
        assert model.list_models() == ["a", "b"]
        assert server.asked[0].path == "/v1/models"
        model.close()


@pytest.mark.parametrize("body", ["<html>hi</html>", '["a"]', ""])
def test_a_list_of_models_that_is_none(body: str) -> None:
    with chat_server(plain(200, body)) as server:
        model = OpenAILLM("m", 8000, api_key="k", base_url=server.url)
        with pytest.raises(LLMError, match="not an OpenAI-compatible endpoint"):
            model.list_models()
        model.close()


# --- what is heard -------------------------------------------------------------------------------------------------


def test_words_as_they_come() -> None:
    usage = {"prompt_tokens": 30, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 20}}
    heard = heard_from(stream(*speak("Hello"), {"choices": [], "usage": usage}))
    assert [item for item in heard[:-1] if isinstance(item, Piece)] == [Piece("text", letter) for letter in "Hello"]
    assert heard[-1] == Answer("Hello", finish="stop", usage=Usage(30, 4, 20), raw={"id": "c1", "model": "real-name"})


def test_calls_as_they_come() -> None:
    heard = heard_from(
        stream(
            call(0, "a", "send_message", ""),
            call(0, None, None, '{"mess'),
            call(1, "b", "core_memory_append", '{"x":'),
            call(0, None, None, 'age":"Hi"}'),
            call(1, None, None, "1}"),
            chunk("tool_calls"),
        )
    )
    last = heard[-1]
    assert isinstance(last, Answer)
    assert last.calls == (
        ToolCall("a", "send_message", '{"message":"Hi"}'),
        ToolCall("b", "core_memory_append", '{"x":1}'),
    )
    assert last.finish == "tool_calls"
    assert heard[0] == Piece("arguments", '{"mess', 0, "send_message")
    assert heard[1] == Piece("arguments", '{"x":', 1, "core_memory_append")


def test_calls_of_endpoints_that_do_not_count_them() -> None:
    all_zero = answer_to(stream(call(0, "a", "f", "{}"), call(0, "b", "g", "{"), call(0, "b", None, "}"), STOP))
    assert [(one.id, one.name, one.arguments) for one in all_zero.calls] == [("a", "f", "{}"), ("b", "g", "{}")]
    no_index = answer_to(
        stream(call(None, "a", "f", "{"), call(None, None, None, "}"), call(None, "b", "g", "{}"), STOP)
    )
    assert [(one.id, one.name, one.arguments) for one in no_index.calls] == [("a", "f", "{}"), ("b", "g", "{}")]


def test_calls_without_ids_or_with_the_same_get_their_own() -> None:
    heard = answer_to(stream(call(0, "x", "f", {"a": 1}), call(1, "x", "f", "{}"), call(2, None, "f", None), STOP))
    ids = [one.id for one in heard.calls]
    assert ids[0] == "x"
    assert len(set(ids)) == 3
    assert all(len(own) == 9 and own.isalnum() for own in ids[1:])
    assert json.loads(heard.calls[0].arguments) == {"a": 1}


def test_a_server_that_does_not_stream() -> None:
    message = {"content": "Hi", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]}
    heard = heard_from(whole(message, None, usage={"prompt_tokens": 3, "completion_tokens": 1}))
    assert heard[0] == Piece("text", "Hi")
    assert heard[-1] == Answer("Hi", calls=(ToolCall("a", "f", "{}"),), usage=Usage(3, 1))


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_thoughts_have_a_field_of_their_own(field: str) -> None:
    heard = heard_from(stream(chunk(**{field: "Hm, "}), chunk(**{field: "well."}), chunk(content="Yes."), STOP))
    assert (text_of(heard, "thought"), text_of(heard)) == ("Hm, well.", "Yes.")
    last = heard[-1]
    assert isinstance(last, Answer)
    assert (last.thoughts, last.text) == ("Hm, well.", "Yes.")


def test_thoughts_at_the_beginning_of_the_text() -> None:
    letters = [chunk(content=letter) for letter in "\n<think>\nHm <b>.</think>\n\nYes </think>."]
    heard = heard_from(stream(*letters, STOP))
    assert (text_of(heard, "thought"), text_of(heard)) == ("\nHm <b>.", "Yes </think>.")


def test_content_in_parts() -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}, {"type": "text", "text": "Yes"}, 7]
    heard = answer_to(stream(chunk(content=parts), STOP))
    assert (heard.thoughts, heard.text) == ("Hm", "Yes")


def test_a_character_cut_into_surrogates_is_whole_again() -> None:
    halves = [
        b'data: {"choices":[{"delta":{"content":"' + half + b'"}}]}\n\n'
        for half in (b"a\\ud83e", b"\\udd8a", b"\\ud83e")
    ]
    heard = heard_from(pieces(*halves, b'data: {"choices":[{"delta":{"content":"b"}}]}\n\n', *events(STOP, DONE)))
    assert text_of(heard) == "a🦊\ufffdb"


def test_a_stream_cut_into_single_bytes_with_comments_and_carriage_returns() -> None:
    body = b": ping\r\n\r\nevent: message\r\nid: 1\r\n" + b"".join(events(*speak("Grüße"), DONE)).replace(
        b"\n", b"\r\n"
    )
    assert answer_to(pieces(*(body[i : i + 1] for i in range(len(body))))).text == "Grüße"


@pytest.mark.parametrize(
    "reply",
    [
        whole(None),
        as_json(200, {"choices": None}),
        as_json(200, {"choices": [None]}),
        whole({"content": None}),
        stream({"choices": []}),
        stream({"choices": None}),
        stream(),
        stream(chunk(content=None), STOP),
    ],
)
def test_nothing_said_is_an_empty_answer(reply: Reply) -> None:
    assert answer_to(reply) in (Answer(), Answer(raw={"id": "c1", "model": "real-name"}))


def test_an_answer_without_the_count_of_tokens_has_none() -> None:
    assert answer_to(stream(*speak("ok"))).usage is None
    assert answer_to(stream(*speak("ok"), {"choices": [], "usage": {"prompt_tokens": "x"}})).usage is None


def test_length_is_told_and_not_mended() -> None:
    cut = answer_to(stream(call(0, "a", "f", '{"message":"Hi'), chunk("length")))
    assert (cut.finish, cut.calls) == ("length", (ToolCall("a", "f", '{"message":"Hi'),))


# --- streams that break --------------------------------------------------------------------------------------------

HALF = events(*speak("Half")[:-1])


@pytest.mark.parametrize(
    "broken",
    [
        pieces(*HALF, end=False),
        until_closed(*HALF),
        pieces(*HALF),
        stream(*speak("Half")[:-1]),
        pieces(*HALF, b"data: {oops\n\n"),
        pieces(*HALF, b"data: 17\n\n"),
        stream(*speak("Half")[:-1], {"error": {"message": "CUDA out of memory"}}),
        pieces(*HALF, b'event: error\ndata: {"message": "CUDA out of memory"}\n\n'),
        pieces(*HALF, *events({"error": "overloaded"})),
        pieces(*HALF, *events(chunk("error"), DONE)),
        pieces(*HALF, b'data: {"choices":[{"delta":{},"finish_reason":"st', end=False),
        pieces(b"data: " + b"[" * 50_000 + b"\n\n"),
        pieces(end=False),
        pieces(),
        plain(200, ""),
        as_json(200, {"error": {"message": "provider failed", "code": 502}}),
    ],
)
def test_a_broken_stream_is_never_an_answer_and_is_asked_again_once(broken: Reply) -> None:
    with chat_server(broken, stream(*speak("Whole"))) as server:
        heard = ask(server)
        assert server.asked[0].body == server.asked[1].body
    again = next(index for index, item in enumerate(heard) if isinstance(item, Restarted))
    assert text_of(heard[:again]) in ("Half", "")
    assert text_of(heard[again:]) == "Whole"
    assert isinstance(heard[-1], Answer)
    assert heard[-1].text == "Whole"
    with chat_server(broken, broken, stream(*speak("Never"))) as server, pytest.raises(LLMError):
        ask(server)


def test_broken_twice_says_so() -> None:
    with pytest.raises(
        LLMConnectionError, match=r"127.0.0.1:\d+ broke off: the connection was cut. It was asked 2 times"
    ):
        heard_from(*[pieces(*HALF, end=False)] * 2)


def test_an_error_announced_in_the_stream_is_waited_for_and_told() -> None:
    waits: list[float] = []
    broken = stream(*speak("Half")[:-1], {"error": {"message": "overloaded", "code": 529}})
    heard = heard_from(broken, stream(*speak("Whole")), sleep=waits.append)
    kinds = [type(item) for item in heard if not isinstance(item, Piece)]
    assert kinds == [Restarted, Pause, Answer]
    assert len(waits) == 1
    assert any("overloaded" in item.reason for item in heard if isinstance(item, Restarted))


def test_after_the_last_word_nothing_is_asked_again() -> None:
    assert answer_to(pieces(*events(*speak("Whole")), end=False)).text == "Whole"
    assert answer_to(until_closed(*events(*speak("Whole")))).text == "Whole"
    assert answer_to(pieces(*events(*speak("Whole")), b"data: {oops\n\n")).text == "Whole"


def test_a_server_that_does_not_hang_up_after_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memagent.llm.asking.GRACE", 0.05)
    lingering = then_silence(pieces(*events(*speak("Whole"), DONE), end=False))
    with chat_server(lingering, stream(*speak("Next"))) as server:
        model = OpenAILLM("m", 8000, api_key="k", base_url=server.url)
        assert [list(model.ask(Request([hello()])))[-1] for _ in range(2)] == [
            Answer(text, raw={"id": "c1", "model": "real-name"}) for text in ("Whole", "Next")
        ]
        model.close()


def test_silence_in_the_middle() -> None:
    silent = then_silence(pieces(*HALF, end=False))
    heard = heard_from(silent, stream(*speak("Whole")), timeout=0.1)
    assert any(isinstance(item, Restarted) and "nothing came for 0.1 s" in item.reason for item in heard)


def test_a_slow_drip_ends_at_the_limit() -> None:
    ticks = iter(range(0, 10_000, 100))
    with pytest.raises(LLMConnectionError, match="still not done after 500 s"):
        heard_from(stream(*speak("slowly " * 9)), time_limit=500, clock=lambda: float(next(ticks)))


# --- answers that do not end ---------------------------------------------------------------------------------------


def forever(*sent: bytes) -> Reply:
    """The same again and again until the client hangs up (then `sendall` fails)."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"

    def send(connection: Any) -> bool:
        connection.sendall(head)
        while True:
            for piece in sent:
                connection.sendall(piece)

    return send


@pytest.mark.parametrize(
    "reply",
    [
        forever(*events(chunk(content="x" * 50_000))),
        forever(*events(chunk(reasoning="x" * 50_000))),
        forever(*events(call(0, "a", "f", "[" * 50_000))),
        forever(*events(call(None, None, "f", "{}"))),
        forever(b"data: " + b"x" * 50_000),
        forever(b"data: " + b"x" * 50_000 + b"\n"),
        forever(b": ping" + b" " * 50_000 + b"\n"),
        forever(b" " * 50_000),
        stream(chunk(content="x" * 5_000_000), STOP),
        whole({"content": "x" * 5_000_000}),
        stream(chunk(tool_calls=[{"index": i, "function": {"name": "f"}} for i in range(100_000)]), STOP),
    ],
)
def test_an_answer_without_end_is_cut(reply: Reply) -> None:
    cut = answer_to(reply)
    assert cut.finish == "length"
    assert len(cut.text) + len(cut.thoughts) + sum(len(one.arguments) for one in cut.calls) <= 2_000_000
    assert len(cut.calls) <= 64


def test_endless_empty_chunks_are_cut_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memagent.llm.asking.LONGEST_BODY", 1_000_000)
    assert answer_to(forever(*events(chunk()))).finish == "length"


# --- stopping early ------------------------------------------------------------------------------------------------


def test_closing_the_iterator_hangs_up_at_once() -> None:
    gone = threading.Event()
    with chat_server(then_silence(pieces(*HALF, end=False), gone)) as server:
        model = OpenAILLM("m", 8000, api_key="k", base_url=server.url)
        heard: Iterator[Heard] = model.ask(Request([hello()]))
        assert next(heard) == Piece("text", "H")
        heard.close()  # type: ignore[attr-defined]
        assert gone.wait(30)
        model.close()


def test_giving_up_hangs_up_too_even_while_the_error_is_kept() -> None:
    gone = threading.Event()
    ticks = iter(range(0, 10_000, 100))
    with chat_server(then_silence(pieces(*HALF, end=False), gone)) as server:
        model = OpenAILLM("m", 8, api_key="k", base_url=server.url, time_limit=50, clock=lambda: float(next(ticks)))
        with pytest.raises(LLMConnectionError, match="still not done") as kept:
            list(model.ask(Request([hello()])))
        assert gone.wait(30)
        assert kept.value.__context__ is None
        model.close()


def test_an_interrupt_while_waiting_ends_it() -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    with chat_server(refusal(500, "no")) as server, pytest.raises(KeyboardInterrupt):
        ask(server, sleep=interrupted)


def test_no_thread_is_left_behind() -> None:
    before = set(threading.enumerate())
    heard_from(stream(*speak("ok")))
    gc.collect()
    deadline = time.monotonic() + 30
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not set(threading.enumerate()) - before


# --- warming up ----------------------------------------------------------------------------------------------------


def test_warming_up_beside_the_first_question() -> None:
    with chat_server(stream(*speak("ok"))) as server:
        model = OpenAILLM("m", 8000, api_key="k", base_url=server.url)
        warming = threading.Thread(target=model.warm_up)
        warming.start()
        last = list(model.ask(Request([hello()])))[-1]
        warming.join()
        model.close()
        assert isinstance(last, Answer)
        assert server.connections == 1


# --- what an endpoint does not take --------------------------------------------------------------------------------


def test_parameters_that_an_endpoint_refuses_are_left_out_from_then_on() -> None:
    no_options = as_json(
        422, {"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]}
    )
    no_choice = as_json(
        400, {"error": "Invalid tool_choice type: 'object'. Supported string values: none, auto, required"}
    )
    no_max = refusal(
        400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", param="max_tokens"
    )
    with chat_server(
        no_options, no_choice, no_max, *[stream(*speak("ok"))] * 2, no_choice, stream(*speak("ok"))
    ) as server:
        model = OpenAILLM("m", 8000, api_key="k", base_url=server.url, max_tokens=7)
        for _ in range(3):
            heard = list(model.ask(Request([hello()], [TOOL], force="send_message")))
            assert [type(item) for item in heard] == [Piece, Piece, Answer]
        model.close()
        sent = [asked.json for asked in server.asked]
    assert ["stream_options" in body for body in sent] == [True] + [False] * 6
    assert [body.get("max_tokens", "gone") for body in sent] == [7, 7, 7, "gone", "gone", "gone", "gone"]
    assert [body.get("max_completion_tokens") for body in sent[3:]] == [7] * 4
    assert sent[2]["tool_choice"] == "required"
    assert "tool_choice" not in sent[6]


def test_a_refusal_that_stays_is_told() -> None:
    with pytest.raises(LLMError, match="refused the request"):
        heard_from(*[refusal(400, "stream_options are evil")] * 3)


def test_a_proxy_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://host")
    model = OpenAILLM("m", 8000, api_key="k", base_url="https://host.invalid/v1")
    with pytest.raises(ConfigError, match=r"host.invalid can't be asked: .*nonsense"):
        model.warm_up()


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_a_mark_of_the_byte_order_before_the_first_event(size: int) -> None:
    body = b"\xef\xbb\xbf" + b"".join(events(chunk(content="Hé"), chunk(content="llo"), STOP, DONE))
    assert answer_to(pieces(*(body[i : i + size] for i in range(0, len(body), size)))).text == "Héllo"


# --- settings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8080/v1",
        "ftp://host/v1",
        "http://",
        "http://host:99999/v1",
        "http://[::1/v1",
        "/v1",
        "http://a b/v1",
        "http://h/v1?key=secret",
    ],
)
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ConfigError, match="not a URL"):
        OpenAILLM("m", 8000, api_key="k", base_url=url)


@pytest.mark.parametrize("key", ["sk-a b", "sk-“quoted”", "sk-a\nsk-b", "sk-\x00"])
def test_a_key_that_is_none_is_not_shown(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        OpenAILLM("m", 8000, api_key=key, key_name="MY_KEY")
    assert "MY_KEY" in str(caught.value)
    assert "sk-" not in str(caught.value)


def test_a_key_pasted_with_a_line_feed() -> None:
    with chat_server(stream(*speak("ok"))) as server:
        ask(server, api_key=" sk-1234\n")
        assert server.asked[0].headers["authorization"] == "Bearer sk-1234"


def test_a_name_and_password_in_the_address() -> None:
    with chat_server(stream(*speak("ok"))) as server:
        ask(server, base_url=server.url.replace("//", "//sam:p%40ss@"))
        assert server.asked[0].headers["authorization"] == "Basic c2FtOnBAc3M="


@pytest.mark.parametrize("extra", [{"messages": []}, {"stream": False}, {"top_p": float("nan")}, {"stop": {1, 2}}])
def test_extras_that_can_not_be_sent(extra: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        OpenAILLM("m", 8000, api_key="k", extra=extra)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_what_is_said_is_not_sent_on_to_another_address(status: int) -> None:
    with chat_server(stream(*speak("Thank you."))) as thief:
        away = plain(status, "", f"Location: {thief.url}/chat/completions")
        with chat_server(away) as server, pytest.raises(LLMError, match="redirects to another address"):
            ask(server)
        assert not thief.asked
