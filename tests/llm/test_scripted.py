"""The scripted model: one script answers in process and over HTTP, by the request alone, and fails as it is told."""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from memagent.errors import ConfigError, ContextOverflow, LLMConnectionError, LLMError, NotFound, UserError
from memagent.llm import LLM, Answer, Piece, Request, Restarted, Usage
from memagent.llm.openai import OpenAILLM
from memagent.llm.script_file import read_script
from memagent.llm.script_server import ModelServer, serve
from memagent.llm.scripted import ScriptedLLM, load_script
from memagent.messages import (
    Message,
    ToolCall,
    alert,
    answer,
    boot_messages,
    heartbeat,
    login,
    result,
    summary,
    user_message,
)

NOW = datetime(2026, 5, 1, tzinfo=UTC)
DOCUMENT = (Path(__file__).parents[2] / "docs" / "testing-agents.md").read_text(encoding="utf-8")
CALL = ToolCall("c1", "look_up", "{}")


def schema(name: str, *parameters: str) -> dict[str, Any]:
    properties = {parameter: {"type": "string"} for parameter in parameters}
    return {"name": name, "description": name, "parameters": {"type": "object", "properties": properties}}


TOOLS = [
    schema("send_message", "message"),
    schema("core_memory_append", "name", "content", "request_heartbeat"),
    schema("archival_memory_insert", "content", "request_heartbeat"),
    schema("archival_memory_search", "query", "request_heartbeat"),
    schema("conversation_search", "query", "request_heartbeat"),
]
SYSTEM = Message("system", "boot", "You are Sam.", NOW)


def user(text: str) -> Message:
    return user_message(text, NOW)


def returned(text: str, ok: bool = True) -> list[Message]:
    """A call of the model, and what came of it."""
    return [answer("", (CALL,), "", NOW), result(CALL, ok, text, NOW)]


def heard(llm: LLM, *messages: Message, tools: Sequence[Any] = TOOLS, force: str | None = None) -> Answer:
    *pieces, last = llm.ask(Request([SYSTEM, *messages], tools, force))
    assert isinstance(last, Answer)
    assert joined(pieces, "text") == last.text
    assert joined(pieces, "thought") == last.thoughts
    for index, call in enumerate(last.calls):
        assert joined(pieces, "arguments", index) == call.arguments
    return last


def joined(pieces: Sequence[Any], kind: str, index: int = 0) -> str:
    return "".join(p.text for p in pieces if isinstance(p, Piece) and p.kind == kind and p.index == index)


def called(found: Answer) -> list[tuple[str, dict[str, Any]]]:
    return [(call.name, json.loads(call.arguments)) for call in found.calls]


def said(found: Answer) -> str:
    return str(called(found)[-1][1]["message"])


class Door:
    """Opens a script in process or over HTTP; what is behind it is the same."""

    def __init__(self, over_http: bool) -> None:
        self.over_http = over_http
        self.servers: list[ModelServer] = []

    def __call__(self, script: Any = None) -> LLM:
        if not self.over_http:
            return ScriptedLLM(script)
        return OpenAILLM("scripted", 8192, api_key="none", base_url=self.serve(script).url, retries=0)

    def serve(self, script: Any) -> ModelServer:
        self.servers.append(serve(script))
        return self.servers[-1]


@pytest.fixture(params=["in process", "over HTTP"])
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    door = Door(request.param == "over HTTP")
    yield door
    for server in door.servers:
        server.close()


@pytest.fixture
def http_door() -> Iterator[Door]:
    door = Door(True)
    yield door
    for server in door.servers:
        server.close()


# --- which entry fits -----------------------------------------------------------------------------------------------


def test_entries_without_condition_are_used_once_each(door: Door) -> None:
    llm = door([{"say": "one"}, {"text": "two"}])
    assert said(heard(llm, user("a"))) == "one"
    assert heard(llm, user("a")).text == "two"
    with pytest.raises(LLMError, match="no reply for this: kind user, the user said 'a'"):
        heard(llm, user("a"))


def test_the_first_entry_that_fits_answers_and_times_limit_it(door: Door) -> None:
    llm = door([{"when": "tea", "times": 2, "say": "tea"}, {"when": {}, "say": "anything"}])
    assert [said(heard(llm, user(words))) for words in ("Tea?", "no", "TEA", "tea")] == [
        "tea",
        "anything",
        "tea",
        "anything",
    ]


CASES: list[tuple[dict[str, Any], list[Message]]] = [
    ({"kind": "user"}, [user("x")]),
    ({"kind": "user"}, [login(NOW, None), user("x")]),
    ({"kind": "login"}, [login(NOW, None)]),
    ({"kind": "result"}, [user("x"), *returned("r")]),
    ({"kind": "result"}, [user("x"), *returned("r"), heartbeat("go on", NOW)]),
    ({"kind": "heartbeat"}, [user("x"), answer("hm", (), "", NOW), heartbeat("time", NOW)]),
    ({"kind": "alert"}, [user("x"), answer("hm", (), "", NOW), alert("full", NOW)]),
    ({"kind": "user", "said": "^x$"}, [user("x"), alert("full", NOW)]),
    ({"said": "^$"}, [user("x"), *returned("r"), login(NOW, None)]),
    ({"said": '^{"a": 1}$'}, [user('{"a": 1}')]),
    ({"ok": False, "result": "^broken$"}, [user("x"), *returned("fine"), *returned("broken", ok=False)]),
    ({"ok": True, "result": ""}, [*returned("broken", ok=False), user("x")]),
    ({"after_calls": 0}, [*returned("r"), user("x")]),
    ({"after_calls": 2}, [user("x"), *returned("r"), *returned("r")]),
    ({"first": True}, [user("x")]),
    ({"first": True}, [*boot_messages(NOW, "Hello.", "I am on."), login(NOW, None)]),
    ({"first": False}, [user("x"), *returned("r"), user("y")]),
    ({"first": False}, [summary("s", 9, 10, NOW), user("y")]),
    ({"system": "you are (sam)"}, [user("x")]),
    ({"tool": "core_memory_append"}, [user("x")]),
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_conditions_fit(door: Door, case: int) -> None:
    when, messages = CASES[case]
    assert said(heard(door([{"when": when, "say": "yes"}]), *messages)) == "yes"


def test_every_condition_must_hold(door: Door) -> None:
    llm = door(
        [
            {"when": {"said": "x", "kind": "login"}, "say": "no"},
            {"when": {"said": "x", "tool": "unknown"}, "say": "no"},
            {"when": {"said": "x", "first": False}, "say": "no"},
            {"when": {"said": "x", "after_calls": 1}, "say": "no"},
            {"when": {"said": "x", "forced": "look_up"}, "say": "no"},
            {"when": {"said": "x", "kind": "user"}, "say": "yes"},
        ]
    )
    assert said(heard(llm, user("x"))) == "yes"


def test_a_request_without_functions_is_for_a_summary_and_a_forced_function_is_known(door: Door) -> None:
    llm = door([{"when": {"kind": "summary"}, "say": "short"}, {"when": {"forced": "look_up"}, "call": "look_up"}])
    assert heard(llm, user("long"), tools=[]).text == "short"
    assert called(heard(llm, user("x"), tools=[schema("look_up")], force="look_up")) == [("look_up", {})]


def test_steps_follow_the_answers_since_the_user_spoke_whoever_asks(door: Door) -> None:
    script = [{"when": "go", "steps": [{"text": "one"}, {"say": "two"}]}, {"when": {}, "say": "else"}]
    beginning = [user("go"), answer("", (CALL,), "said", NOW)]
    assert heard(door(script), *beginning, user("go")).text == "one"
    assert said(heard(door(script), *beginning, user("go"), *returned("r"))) == "two"
    assert said(heard(door(script), *beginning, user("go"), *returned("r"), *returned("r"))) == "else"


# --- what a reply is ------------------------------------------------------------------------------------------------


def test_a_reply_can_think_say_and_call_several_functions(door: Door) -> None:
    script = {
        "when": r"(?P<who>\w+) likes (\w+)",
        "thoughts": "{who}!",
        "text": "({0}) {unknown} {said}",
        "calls": [
            {"call": "core_memory_append", "arguments": {"name": "human", "content": ["{2}", 1]}, "heartbeat": True},
            {"call": "look_up", "arguments": '{"broken": {2}', "heartbeat": True},
        ],
        "say": "{1} likes {2}",
        "usage": {"prompt": 90, "cached": 30},
    }
    found = heard(door([script]), user("Ann likes tea"))
    assert found.thoughts == "Ann!"
    assert found.text == "(Ann likes tea) {unknown} Ann likes tea"
    assert [call.name for call in found.calls] == ["core_memory_append", "look_up", "send_message"]
    first = {"name": "human", "content": ["tea", 1], "request_heartbeat": True}
    assert json.loads(found.calls[0].arguments) == first
    assert found.calls[1].arguments == '{"broken": tea'
    assert json.loads(found.calls[2].arguments) == {"message": "Ann likes tea"}
    assert len({call.id for call in found.calls}) == 3
    assert found.finish == "tool_calls"
    assert found.usage and (found.usage.prompt, found.usage.cached) == (90, 30)
    assert found.usage.completion > 20


def test_say_is_text_where_nothing_speaks_and_heartbeats_go_only_where_they_are_taken(door: Door) -> None:
    llm = door([{"when": {}, "call": "look_up", "arguments": {"q": "x"}, "heartbeat": True, "say": "hi"}])
    found = heard(llm, user("x"), tools=[schema("look_up", "q")])
    assert (found.text, called(found)) == ("hi", [("look_up", {"q": "x"})])


def test_usage_and_reason_can_be_left_out_or_set(door: Door) -> None:
    llm = door([{"text": "a", "usage": None, "finish": "length"}, {"text": "b"}])
    assert heard(llm, user("x")) == Answer("a", finish="length", raw=heard_raw(door))
    counted = heard(llm, user("x")).usage
    assert isinstance(counted, Usage) and counted.prompt > 20 and counted.completion == 1


def heard_raw(door: Door) -> dict[str, str]:
    return {"id": "chatcmpl-scripted", "model": "scripted"} if door.over_http else {}


def test_delay_and_pace_are_waited_for() -> None:
    waits: list[float] = []
    llm = ScriptedLLM([{"text": "twelve chars", "delay": 2, "pace": 0.5}], sleep=waits.append)
    heard(llm, user("x"))
    assert waits == [2, 0.5, 0.5]


def test_a_paced_answer_arrives_whole(http_door: Door) -> None:
    assert heard(http_door([{"text": "some words that take a while", "pace": 0.01}]), user("x")).text.endswith("while")


def test_a_huge_answer_comes_in_few_pieces(door: Door) -> None:
    words = "x" * 1_000_000
    pieces = list(door([{"text": words}]).ask(Request([user("x")], TOOLS)))
    assert len(pieces) < 300
    assert joined(pieces, "text") == words


def test_requests_are_kept(http_door: Door) -> None:
    llm = ScriptedLLM([{"when": {}, "say": "x"}])
    heard(llm, user("in process"))
    assert llm.requests[-1].messages[-1].said == "in process"
    heard(http_door([{"when": {}, "say": "x"}]), user("over HTTP"))
    assert "over HTTP" in json.loads(http_door.servers[0].requests[-1])["messages"][-1]["content"]


# --- failures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"error": 401}, ConfigError),
        ({"error": {"status": 404, "message": "model x not found"}}, NotFound),
        ({"error": {"status": 500, "message": "overloaded"}}, LLMError),
        ({"error": {"status": 200, "body": "<html>log in</html>"}}, LLMError),
        ({"error": {"status": 500, "message": "overloaded", "after": 1}, "text": "many more words"}, LLMError),
        ({"error": {"status": 400, "message": "no", "code": "context_length_exceeded"}}, ContextOverflow),
        ({"cut": 1, "text": "many more words"}, LLMConnectionError),
    ],
)
def test_failures_are_errors(door: Door, fault: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        list(door([{"when": {}, **fault}]).ask(Request([SYSTEM, user("x")], TOOLS)))


@pytest.mark.parametrize("close", [False, True])
@pytest.mark.parametrize("pace", [0, 0.001])
@pytest.mark.parametrize("fault", [{"cut": 0}, {"cut": 2}, {"done": False, "finish": None}, {"error": {"after": 2}}])
def test_an_answer_that_breaks_off_is_never_taken_for_whole(
    http_door: Door, fault: dict[str, Any], pace: float, close: bool
) -> None:
    broken = {"text": "words and more words and more", "pace": pace, "close": close, **fault}
    server = http_door.serve([broken, {"text": "whole"}])
    llm = OpenAILLM("scripted", 8192, api_key="none", base_url=server.url, sleep=lambda _: None)
    items = list(llm.ask(Request([SYSTEM, user("x")], TOOLS)))
    assert any(isinstance(item, Restarted) for item in items)
    assert isinstance(items[-1], Answer) and items[-1].text == "whole"


def post(server: ModelServer, body: bytes, path: str = "/v1/chat/completions") -> tuple[int, dict[str, str], bytes]:
    host, port = re.findall(r"//(.+):(\d+)/", server.url)[0]
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.request("POST", path, body)
    response = connection.getresponse()
    found = response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    connection.close()
    return found


PLAIN = json.dumps(
    {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]}
).encode()


def test_plain_clients_are_answered_without_a_stream() -> None:
    with serve(
        [{"when": {"said": "^hello$"}, "thoughts": "hm", "text": "hi", "usage": {"prompt": 5, "completion": 2}}]
    ) as server:
        status, _, body = post(server, PLAIN)
    found = json.loads(body)
    message = {"role": "assistant", "content": "hi", "reasoning_content": "hm"}
    assert (status, found["object"]) == (200, "chat.completion")
    assert found["choices"] == [{"index": 0, "message": message, "finish_reason": "stop"}]
    assert found["usage"]["total_tokens"] == 7


def test_errors_go_over_the_wire_as_written() -> None:
    script = [
        {"error": {"status": 429, "message": "slow down", "headers": {"Retry-After": 7}}},
        {"error": {"status": 200, "body": "<html>log in</html>"}},
        {"error": {"status": 200, "body": ""}},
        {"error": 502},
    ]
    with serve(script) as server:
        status, headers, body = post(server, PLAIN)
        assert (status, headers["retry-after"], json.loads(body)["error"]["message"]) == (429, "7", "slow down")
        status, headers, body = post(server, PLAIN)
        assert (status, headers["content-type"], body) == (200, "text/html", b"<html>log in</html>")
        assert post(server, PLAIN)[::2] == (200, b"")
        assert post(server, PLAIN)[0] == 502


def test_a_whole_answer_can_be_cut() -> None:
    with serve([{"text": "words", "cut": 1}]) as server, pytest.raises(http.client.IncompleteRead):
        post(server, PLAIN)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/chat/completions", b"not JSON", 400),
        ("/v1/chat/completions", b"[]", 400),
        ("/v1/chat/completions", b"{}", 400),
        ("/v1/chat/completions", b"[" * 100_000, 400),
        ("/v1/elsewhere", PLAIN, 404),
        ("/openai/deployments/mine/chat/completions?api-version=1", PLAIN, 200),
    ],
)
def test_other_requests_are_refused(path: str, body: bytes, status: int) -> None:
    with serve([{"when": {}, "text": "x"}]) as server:
        assert post(server, body, path)[0] == status


def test_the_model_is_listed() -> None:
    with serve([], model="mine") as server:
        assert OpenAILLM("mine", 8192, api_key="x", base_url=server.url).list_models() == ["mine"]


def test_connections_are_kept_open_and_many_ask_at_once() -> None:
    answers: list[str] = []
    with serve([{"when": {}, "text": "{said}"}]) as server:
        llm = OpenAILLM("scripted", 8192, api_key="x", base_url=server.url)

        def ask(words: str) -> None:
            answers.extend(heard(llm, user(words)).text for _ in range(5))

        threads = [threading.Thread(target=ask, args=[str(n)]) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(answers) == sorted(str(n) for n in range(8) for _ in range(5))


def test_closing_ends_a_slow_answer_and_the_port_is_free_again() -> None:
    server = serve([{"when": {}, "text": "x", "delay": 600}])
    failed = threading.Event()

    def ask() -> None:
        with suppress(OSError, http.client.HTTPException):
            post(server, PLAIN)
        failed.set()

    threading.Thread(target=ask, daemon=True).start()
    while not server.requests:
        threading.Event().wait(0.01)
    server.close()
    assert failed.wait(30)
    port = int(re.findall(r":(\d+)/", server.url)[0])
    with serve([], port=port), pytest.raises(UserError, match="Nothing can listen"):
        serve([], port=port)


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    with serve([{"text": "x", "cut": 0}]) as server:
        with suppress(OSError, http.client.HTTPException):
            post(server, PLAIN)
        post(server, b"nonsense", "/nowhere")
    assert capfd.readouterr() == ("", "")


# --- the demo -------------------------------------------------------------------------------------------------------


def test_the_demo_greets_and_remembers_names(door: Door) -> None:
    llm = door()
    knows = Message("system", "boot", "<human>\nThe user's name is Ann.\nThe user's name is Bob.\n</human>", NOW)
    appended = (
        "core_memory_append",
        {"name": "human", "content": "The user's name is Ann.", "request_heartbeat": True},
    )
    assert "Hello" in said(heard(llm, login(NOW, None)))
    assert called(heard(llm, user("a"), user("Hi, my name is Ann!"))) == [appended]
    assert "Nice to meet you, Ann" in said(heard(llm, user("a"), user("my name is Ann"), *returned("Saved.")))
    assert "Nice to meet you, Ann" in said(heard(llm, user("my name is Ann")))
    assert "did not work: full" in said(heard(llm, user("call me Ann"), *returned("full", ok=False)))
    assert "not told me" in said(heard(llm, user("What is my name?")))
    assert said(heard(llm, knows, user("What's my name?"))) == "Your name is Bob."
    assert said(heard(llm, knows, login(NOW, None))) == "Welcome back, Bob."


def test_the_demo_keeps_and_finds_other_things(door: Door) -> None:
    llm = door()
    kept = ("archival_memory_insert", {"content": "the door is blue", "request_heartbeat": True})
    asked = user("What do you know about the door?")
    assert called(heard(llm, user("Please remember that the door is blue."))) == [kept]
    assert "the door is blue" in said(heard(llm, user("remember that the door is blue"), *returned("Kept.")))
    query = {"query": "the door", "request_heartbeat": True}
    assert called(heard(llm, asked)) == [("archival_memory_search", query)]
    assert said(heard(llm, asked, *returned("It is blue."))) == "It is blue."
    assert called(heard(llm, asked, *returned("Nothing was found."))) == [("conversation_search", query)]
    assert (
        said(heard(llm, asked, *returned("Nothing was found."), *returned("Nothing was found.")))
        == "Nothing was found."
    )


def test_the_demo_repeats_the_rest_sums_up_and_answers_plainly_where_it_must(door: Door) -> None:
    llm = door()
    assert said(heard(llm, user("How are\nyou?"))) == "You said: How are\nyou?"
    assert heard(llm, user("How are you?"), tools=TOOLS[1:]).text == "You said: How are you?"
    talk = Message("user", "summary", "User: hi\nI said: hello\nUser: I like tea\nI said: fine", NOW)
    assert heard(llm, talk, tools=[]).text.endswith("I like tea")
    assert "here" in said(heard(llm, user("x"), answer("hm", (), "", NOW), heartbeat("time", NOW)))


# --- mistakes in scripts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"say": "x"}, "script: a script is a list"),
        (["hello"], "script, entry 1: an entry is a mapping"),
        ([{"say": "x"}, {"sai": "x"}], "script, entry 2: 'sai' is not known"),
        ([{"say": 1}], "script, entry 1: say is 1, and should be text"),
        ([{"say": "x", "cut": True}], "cut is True, and should be a whole number"),
        ([{"when": {"sad": "x"}, "say": "x"}], "entry 1, when: 'sad' is not known"),
        ([{"when": 3, "say": "x"}], "entry 1, when: this is a mapping"),
        ([{"when": "(", "say": "x"}], "entry 1, when, said: '\\(' is not a regular expression"),
        ([{"when": {"kind": "usr"}, "say": "x"}], "there is no kind 'usr'"),
        ([{"steps": []}], "entry 1: steps is a list"),
        ([{"steps": [{"say": "x"}], "say": "y"}], "entry 1: steps is a list"),
        ([{"steps": [{"say": "x"}, {"sya": "y"}]}], "entry 1, step 2: 'sya' is not known"),
        ([{"calls": [{"arguments": {}}]}], "entry 1: a call has the name"),
        ([{"calls": [{"call": "x", "argument": {}}]}], "'argument' is not known"),
        ([{"error": {"statsu": 3}}], "entry 1, error: 'statsu' is not known"),
        ([{"usage": {"tokens": 3}}], "entry 1, usage: 'tokens' is not known"),
    ],
)
def test_mistakes_are_named(written: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_script(written)


@pytest.mark.parametrize(
    ("content", "message"), [("- {", "is not YAML"), (b"\xff", "can't be read"), (None, "can't be read")]
)
def test_files_that_are_no_scripts_are_named(tmp_path: Path, content: str | bytes | None, message: str) -> None:
    path = tmp_path / "mine.yaml"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=f"mine.yaml .*{message}"):
        load_script(path)


# --- the document ---------------------------------------------------------------------------------------------------

BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("code", [code for kind, code in BLOCKS if kind == "python"])
def test_examples_in_python_run(code: str) -> None:
    exec(compile(code, "docs/testing-agents.md", "exec"), {})


SUMS, ERRORS = [yaml.safe_load(text) for kind, text in BLOCKS if kind == "yaml"]


def test_the_first_example_does_what_it_says(door: Door) -> None:
    llm = door(SUMS)
    assert said(heard(llm, login(NOW, None))) == "Welcome!"
    assert called(heard(llm, user("What is 2 plus 3?"))) == [("add", {"a": 2, "b": 3})]
    assert said(heard(llm, user("What is 2 plus 3?"), *returned("5"))) == "That makes 5."
    assert "say to: hm" in said(heard(llm, user("hm")))
    assert heard(llm, user("long"), tools=[]).text == "We talked about sums."


def test_the_errors_of_the_example_are_raised_one_after_the_other() -> None:
    llm = ScriptedLLM(ERRORS)
    raised = []
    for _ in range(5):
        with pytest.raises(LLMError) as error:
            heard(llm, user("x"))
        raised.append(error.type)
    assert raised == [LLMError, LLMError, ContextOverflow, LLMError, LLMConnectionError]
    assert heard(llm, user("x")).calls[0].arguments == '{"message": "the brace is missing"'
    assert heard(llm, user("x")).calls == ()
    assert said(heard(llm, user("x"))) == "Here I am after all."


def test_every_key_and_condition_is_documented() -> None:
    from memagent.llm import script_file

    for key in (*script_file._CONDITIONS, *script_file._REPLY, "times", "steps", *script_file.KINDS):
        assert re.search(rf"`[^`]*\b{key}\b[^`]*`", DOCUMENT), key
