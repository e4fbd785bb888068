"""Every text server that there is, against what its published interface sends, as kept in exchanges/."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from chat_server import (
    ChatServer,
    Reply,
    as_json,
    chat_server,
    pieces,
    plain,
    speak,
    stream,
    then_silence,
    until_closed,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memagent import registry
from memagent.cli.configure import models_at
from memagent.endpoints.address import root
from memagent.errors import ConfigError, ContextOverflow, LLMConnectionError, LLMError, NotFound
from memagent.llm import LLM, Answer, Heard, Pause, Piece, Request, Restarted, Usage
from memagent.llm.completion import CompletionLLM
from memagent.llm.opening import offered, text_server
from memagent.llm.servers import Completion, TextServer
from memagent.llm.servers.ollama import Ollama
from memagent.llm.servers.vllm import VLLM
from memagent.llm.wrappers.chatml import ChatML
from memagent.messages import Message, user_message
from memagent.settings import SMALL_WINDOW, Settings

EXCHANGES = Path(__file__).parent / "exchanges"
NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
TOOL = {
    "name": "send_message",
    "description": "Speak to the user.",
    "parameters": {"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]},
}
REQUEST = Request([Message("system", "boot", "You are Sam.", NOW), user_message("Hello", NOW)])
TEXT = "Hello, Ada"
ENDING = re.compile(rb'"stop": ?true|reason": ?"stop"')


class Held(ChatML):
    """ChatML whose answers must fit a grammar and a schema of the test's."""

    def grammar(self, request: Request) -> str:
        return 'root ::= "GRAMMAR"'

    def schema(self, request: Request) -> dict[str, Any]:
        return {"title": "SCHEMA"}


class Exchange:
    """What a server was asked, and what it answered."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.told: dict[str, Any] = yaml.safe_load((EXCHANGES / f"{name}.yaml").read_text())
        self.server: TextServer = registry.find("provider", registry.SERVERS, name)()
        self.window = self.told["window"] or 8192

    def answer(self, body: str = "", *, cut: bool = False) -> Reply:
        """The answer as it goes over the wire, part by part; `cut` leaves out its end."""
        told = self.told["answer"]
        whole = (body or told["body"]).encode()
        mark = next((mark for mark in (b"\n\n", b"\n") if mark in whole), b"")
        parts = [part + mark for part in whole.removesuffix(mark).split(mark)] if mark else [whole[:20], whole[20:]]
        if cut:
            ending = next((i for i, part in enumerate(parts) if ENDING.search(part)), 1)
            parts = parts[:ending]
        if told.get("until_closed"):
            return until_closed(*parts, kind=told["kind"])
        return pieces(*parts, end=not cut, kind=told["kind"])

    def refusal(self, of: str) -> Reply:
        told = self.told[of]
        body = told["body"]
        return plain(told["status"], body) if isinstance(body, str) else as_json(told["status"], body)

    @contextmanager
    def serving(self, *replies: Reply) -> Iterator[ChatServer]:
        doors = {door: as_json(200, body) for door, body in self.told["doors"].items()}
        with chat_server(*replies, doors=doors) as served:
            yield served

    def model(self, served: ChatServer, **settings: Any) -> CompletionLLM:
        given = {"api_key": "sk-key", "base_url": served.url, "window": self.window, "sleep": lambda _: None}
        return CompletionLLM(self.server, Held(), self.told["model"], **given | settings)

    def heard(self, served: ChatServer, request: Request = REQUEST, **settings: Any) -> list[Heard]:
        model = self.model(served, **settings)
        try:
            return list(model.ask(request))
        finally:
            model.close()

    def questions(self, served: ChatServer) -> list[dict[str, Any]]:
        """The bodies of what was asked for an answer."""
        return [asked.json for asked in served.asked if asked.path == self.told["path"]]


@pytest.fixture(params=list(registry.SERVERS))
def exchange(request: pytest.FixtureRequest) -> Exchange:
    return Exchange(request.param)


def test_every_server_has_its_exchanges() -> None:
    assert {path.stem for path in EXCHANGES.glob("*.yaml")} == set(registry.SERVERS)
    assert {name for name, place in registry.LLMS.items() if place.endswith(":text_server")} == set(registry.SERVERS)


def test_the_version_is_the_one_that_was_written_down(exchange: Exchange) -> None:
    assert exchange.server.version == exchange.told["version"]
    assert exchange.server.title and exchange.server.start and exchange.server.load and exchange.server.port


# What is asked -------------------------------------------------------------------------------------------------------


def test_settings_go_by_the_names_that_the_server_has_for_them(exchange: Exchange) -> None:
    stop = [*ChatML.stop, "\nUser:"]
    with exchange.serving(exchange.answer()) as served:
        exchange.heard(served, temperature=0.5, max_tokens=77, sampling={"top_k": 40}, stop=("\nUser:",))
        (body,) = exchange.questions(served)
        asked = next(asked for asked in served.asked if asked.path == exchange.told["path"])
    assert (asked.method, asked.headers["authorization"]) == ("POST", "Bearer sk-key")
    assert body.pop("prompt") == ChatML().prompt(REQUEST)
    assert matched(body, exchange.told["body"], stop) == body


def matched(body: Any, expected: Any, stop: list[str]) -> Any:
    """What is expected, with what only the test knows put in."""
    if expected == ["STOPS"]:
        return stop
    if expected == "ANY":
        return body
    if isinstance(expected, dict):
        return {key: matched(body.get(key), value, stop) for key, value in expected.items()}
    return {"GRAMMAR": Held().grammar(REQUEST), "SCHEMA": Held().schema(REQUEST)}.get(str(expected), expected)


def test_what_is_not_set_is_not_sent(exchange: Exchange) -> None:
    with exchange.serving(exchange.answer()) as served:
        exchange.heard(served, api_key=None)
        (body,) = exchange.questions(served)
        assert not any("authorization" in asked.headers for asked in served.asked)
    assert "temperature" not in str(body) and "None" not in str(body)


def test_answers_are_held_to_a_form_where_the_server_can(exchange: Exchange) -> None:
    request = Request(REQUEST.messages, [TOOL])
    expected = exchange.told["constrained"]
    for constrain in (True, False):
        with exchange.serving(exchange.answer()) as served:
            exchange.heard(served, request, constrain=constrain)
            (body,) = exchange.questions(served)
        if constrain and expected:
            assert {key: body[key] for key in expected} == matched(body, expected, [])
            assert bool(exchange.server.constraint)
        else:
            assert "GRAMMAR" not in str(body) and "SCHEMA" not in str(body)


# What is heard -------------------------------------------------------------------------------------------------------


def test_an_answer_as_it_comes(exchange: Exchange) -> None:
    with exchange.serving(exchange.answer()) as served:
        heard = exchange.heard(served)
    streamed = exchange.name != "webui-legacy"
    said = [Piece("text", "Hello"), Piece("text", ", Ada")] if streamed else [Piece("text", TEXT)]
    assert heard == [*said, Answer(TEXT, finish="stop", usage=Usage(*exchange.told["answer"]["usage"]))]


def test_an_answer_that_was_too_long_says_so(exchange: Exchange) -> None:
    if exchange.told["long"] is None:
        pytest.skip("it does not say why it stopped")
    with exchange.serving(exchange.answer(exchange.told["long"])) as served:
        last = exchange.heard(served)[-1]
    assert isinstance(last, Answer) and (last.text, last.finish) == ("Hello", "length")


def test_a_cut_answer_is_never_taken_for_a_whole_one(exchange: Exchange) -> None:
    cut = exchange.answer(cut=True)
    with exchange.serving(cut, exchange.answer()) as served:
        heard = exchange.heard(served)
    assert len([item for item in heard if isinstance(item, Restarted)]) == 1
    assert isinstance(heard[-1], Answer) and heard[-1].text == TEXT
    with exchange.serving(cut, cut) as served, pytest.raises(LLMConnectionError, match="broke off"):
        exchange.heard(served)


FOREIGN = [
    plain(200, "<html>Welcome</html>", kind="text/html"), plain(200, "Hello there"), as_json(200, {"hello": "there"}),
    as_json(200, ["hello"]), plain(404, "<html>Not Found</html>", kind="text/html"), plain(200, ""),
    as_json(200, {"results": 7, "choices": "x", "token": 1, "response": {}, "content": []}),
    plain(301, "", "Location: /"),
]  # fmt: skip


@pytest.mark.parametrize("reply", FOREIGN)
def test_something_else_that_answers_there(exchange: Exchange, reply: Reply) -> None:
    kind = f"This is not a server of {exchange.server.title}'s kind".replace("(", r"\(").replace(")", r"\)")
    with exchange.serving(reply, reply) as served, pytest.raises(LLMError, match=kind):
        exchange.heard(served)


@pytest.mark.parametrize(
    "body", ["<html>hi</html>", '["a"]', "{}", '{"data": [7, {"id": 3}], "models": 1, "result": []}']
)
def test_other_answers_to_small_questions(exchange: Exchange, body: str) -> None:
    """They are what an answer says: nothing is known; or an error that tells what is wrong."""
    doors = {door: plain(200, body) for door in [*exchange.told["doors"], "GET /v1/models"]}
    with chat_server(doors=doors) as served:
        model = exchange.model(served)
        for question, nothing in ((model.list_models, []), (model.find_window, 0), (lambda: model._count("Hi"), None)):
            try:
                assert question() == nothing
            except LLMError as error:
                assert "This is not a server" in error.message and body.startswith("<")
        model.close()


# What a server has ---------------------------------------------------------------------------------------------------


def test_models_window_and_tokens(exchange: Exchange) -> None:
    with exchange.serving() as served:
        model = exchange.model(served)
        assert model.list_models() == exchange.told["models"]
        assert model.find_window() == exchange.told["window"]
        assert exchange.server.count(model.line.get, model.model, "Hello there") == exchange.told["count"]
        model.close()


def test_a_model_that_is_not_there(exchange: Exchange) -> None:
    if "missing" not in exchange.told:
        pytest.skip("it has one model, whatever it is asked for")
    with (
        exchange.serving(exchange.refusal("missing")) as served,
        pytest.raises(NotFound, match="no model named") as caught,
    ):
        exchange.heard(served)
    assert caught.value.hint == f"It has: {', '.join(exchange.told['models'])}."


# Full, busy, gone ----------------------------------------------------------------------------------------------------


def test_what_can_not_fit_is_not_sent(exchange: Exchange) -> None:
    request = Request([Message("system", "boot", "word " * 4000, NOW)])
    doors = {"POST /tokenize": {"tokens": [7] * 4000, "count": 4000}, "POST /api/extra/tokencount": {"value": 4000}}
    doors |= {"POST /v1/internal/token-count": {"length": 4000}}
    doors |= {"POST /api/v1/token-count": {"results": [{"tokens": 4000}]}}
    with chat_server(doors={door: as_json(200, body) for door, body in doors.items()}) as served:
        with pytest.raises(ContextOverflow, match=r"window of .* 2048"):
            exchange.heard(served, request, window=2048)
        assert not exchange.questions(served)


def test_a_prompt_that_leaves_little_room_is_counted_and_the_answer_kept_short(exchange: Exchange) -> None:
    request = Request([Message("system", "boot", "word " * 700, NOW)])
    if exchange.told["count"] is None:
        pytest.skip("it counts no tokens")
    counted = {"length": 950, "value": 950, "count": 950, "tokens": [7] * 950, "results": [{"tokens": 950}]}
    doors = [door for door in exchange.told["doors"] if "oken" in door]
    with chat_server(exchange.answer(), doors={door: as_json(200, counted) for door in doors}) as served:
        exchange.heard(served, request, window=1200)
        (body,) = exchange.questions(served)
    assert 250 in body.values()


def test_a_server_that_says_nothing_because_it_is_full() -> None:
    exchange = Exchange("lmstudio")
    said = exchange.told["answer"]["body"].replace('"Hello"', '""').replace('", Ada"', '""')
    said = said.replace('"prompt_tokens":24', '"prompt_tokens":9000')
    for window in (8192, 16_384):
        with exchange.serving(exchange.answer(said)) as served:
            if window < 9000:
                with pytest.raises(ContextOverflow, match="9000 tokens"):
                    exchange.heard(served, window=window)
            else:
                assert exchange.heard(served, window=window) == [Answer(usage=Usage(9000, 4))]


def test_a_login_in_the_address_goes_before_the_key(exchange: Exchange) -> None:
    with exchange.serving(exchange.answer()) as served:
        exchange.heard(served, base_url=served.url.replace("http://", "http://me:secret@"))
        assert {asked.headers["authorization"] for asked in served.asked} == {"Basic bWU6c2VjcmV0"}


def test_a_server_that_says_it_is_full(exchange: Exchange) -> None:
    if exchange.told["full"] is None:
        pytest.skip("it cuts off the beginning and goes on, so that our own count must hold")
    replies = [exchange.refusal("full")]
    if midway := exchange.told.get("full_midway"):
        replies.append(exchange.answer(midway))
    for reply in replies:
        with exchange.serving(reply) as served, pytest.raises(ContextOverflow, match="does not fit"):
            exchange.heard(served)


def test_a_busy_server_is_asked_again(exchange: Exchange) -> None:
    with exchange.serving(exchange.refusal("busy"), exchange.answer()) as served:
        heard = exchange.heard(served)
    assert isinstance(heard[0], Pause)
    assert isinstance(heard[-1], Answer) and heard[-1].text == TEXT


def test_a_server_that_is_not_running(exchange: Exchange) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    model = CompletionLLM(exchange.server, Held(), "m", base_url=url, window=8192, retries=0)
    with pytest.raises(LLMConnectionError, match="Nothing answers at") as caught:
        list(model.ask(REQUEST))
    assert f"Is {exchange.server.title} running? Start it with `{exchange.server.start}`" in caught.value.hint


def test_who_stops_listening_hangs_up(exchange: Exchange) -> None:
    gone = threading.Event()
    answer = exchange.answer(cut=True)
    reply = then_silence(lambda connection: bool(answer(connection)), gone)
    with exchange.serving(reply, reply) as served:
        model = exchange.model(served, timeout=0.3)
        asking = model.ask(REQUEST)
        if exchange.name == "webui-legacy":  # it says nothing before its end, so that it is we who lose patience
            with pytest.raises(LLMConnectionError):
                list(asking)
        else:
            assert next(asking) == Piece("text", "Hello")
            asking.close()
        assert gone.wait(5)
        if leaving := exchange.told.get("leaving"):
            left = next(asked for asked in served.asked if f"{asked.method} {asked.path}" == leaving)
            assert left.json.get("genkey") == exchange.questions(served)[0].get("genkey")
        model.close()


# From the settings ---------------------------------------------------------------------------------------------------


def opened(exchange: Exchange, served: ChatServer, **given: Any) -> LLM:
    return text_server(Settings(provider=exchange.name, **{"endpoint": served.url, "api_key": "sk-key"} | given))


def test_model_and_window_are_asked_for_where_they_are_not_set(exchange: Exchange) -> None:
    with exchange.serving() as served:
        llm = opened(exchange, served)
        assert (llm.model, llm.window) == (exchange.told["models"][0], exchange.told["window"] or SMALL_WINDOW)
        llm = opened(exchange, served, model="mine", context_window=1234, wrapper="chatml")
        assert (llm.model, llm.window) == ("mine", 1234)


def test_the_wrapper_that_suits_a_server(exchange: Exchange) -> None:
    with exchange.serving() as served:
        held = opened(exchange, served, model="hermes-2")
        free = opened(exchange, served, constrain=False)
        if exchange.server.constraint == "gbnf":
            assert isinstance(held, CompletionLLM) and isinstance(held.wrapper, ChatML)
        else:
            assert not isinstance(held, CompletionLLM)
        assert isinstance(free, CompletionLLM) == (exchange.name == "webui-legacy")


def test_the_chat_of_the_server_itself(exchange: Exchange) -> None:
    if exchange.name == "webui-legacy":
        with exchange.serving() as served, pytest.raises(ConfigError, match="has no chat of its own"):
            opened(exchange, served, wrapper="native")
        return
    said = stream(*speak("Hi"))
    if exchange.name == "ollama":
        said = pieces(b'{"message":{"content":"Hi"},"done":false}\n{"message":{"content":""},"done":true}\n')
    for address in ("", "/v1", "/v1/"):
        with exchange.serving(said) as served:
            url = served.url.removesuffix("/v1") + address
            llm = opened(exchange, served, endpoint=url, wrapper="native", sampling=("top_k=40",), stop=(r"\nUser:",))
            last = list(llm.ask(REQUEST))[-1]
            asked = served.asked[-1]
        assert isinstance(last, Answer) and last.text == "Hi"
        assert asked.path == ("/api/chat" if exchange.name == "ollama" else "/v1/chat/completions")
        assert asked.headers["authorization"] == "Bearer sk-key"
        assert asked.json["model"] == exchange.told["models"][0]
        own = asked.json.get("options", asked.json)
        assert (own["top_k"], own["stop"]) == (40, ["\nUser:"])


def test_a_server_without_a_model(exchange: Exchange) -> None:
    nothing = {"data": [], "models": [], "result": "inactive", "model_name": "None"}
    if exchange.name == "webui-legacy":
        nothing["result"] = {"model_name": "None"}
    doors = {door: as_json(200, nothing) for door in exchange.told["doors"]}
    with chat_server(doors=doors) as served, pytest.raises(NotFound, match="has no model") as caught:
        opened(exchange, served)
    assert caught.value.hint == exchange.server.load


def test_a_server_that_is_not_there_when_it_is_opened(exchange: Exchange) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(LLMConnectionError, match="Nothing answers at") as caught:
        text_server(Settings(provider=exchange.name, endpoint=url))
    assert exchange.server.start in caught.value.hint


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("http://host:5001/api/v1", "http://host:5001"), ("http://host:5001/api/", "http://host:5001"),
        ("http://host/v1", "http://host"), ("http://host/llm/v1", "http://host/llm"), ("http://host", "http://host"),
    ],
)  # fmt: skip
def test_addresses_as_people_write_them(given: str, found: str) -> None:
    assert root(given) == found


def test_a_first_question_with_nothing_configured_but_the_kind_of_server(tmp_path: Path) -> None:
    call = {"function": {"name": "send_message", "arguments": {"message": "Hello, Ada"}}}
    said = [
        {"message": {"content": "", "tool_calls": [call]}, "done": False},
        {"message": {"content": ""}, "done": True},
    ]
    lines = pieces(*(json.dumps(event).encode() + b"\n" for event in said), kind="application/x-ndjson")
    exchange = Exchange("ollama")
    code = "from memagent.cli.app import main; main()"
    with exchange.serving(*[lines] * 3) as served:
        words = ["ask", "Hi", "--provider", "ollama", "--endpoint", served.url]
        environ = {**os.environ, "MEMAGENT_HOME": str(tmp_path), "MEMAGENT_EMBEDDER": "off"}
        ran = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, env=environ, stdin=subprocess.DEVNULL
        )
        asked = served.asked[-1]
    assert ran.stdout.strip() == TEXT, ran.stderr
    assert (asked.path, asked.json["model"], asked.json["options"]["num_ctx"]) == ("/api/chat", "llama3.2:latest", 8192)


def test_what_there_is_to_choose_from(exchange: Exchange) -> None:
    with exchange.serving() as served:
        chosen = Settings(provider=exchange.name, endpoint=served.url)
        assert offered(chosen) == models_at(chosen) == exchange.told["models"]


# Whatever is sent ----------------------------------------------------------------------------------------------------

KEYS = [
    "content", "stop", "stop_type", "truncated", "timings", "prompt_n",
    "tokens_evaluated", "response", "done", "done_reason", "prompt_eval_count", "data",
    "choices", "text", "finish_reason", "usage", "prompt_tokens", "token",
    "results", "result", "models", "name", "id", "state",
    "type", "model_name", "value", "tokens", "count", "length",
    "message", "shared.settings", "truncation_length", "default_generation_settings", "n_ctx", "parameters",
    "model_info", "context_length", "capabilities",
]  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "stop", "num_ctx 7", "None"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(event=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=8), name=st.sampled_from(list(registry.SERVERS)))
def test_nothing_that_is_sent_is_too_odd_to_be_read(event: dict[str, Any], name: str) -> None:
    server: TextServer = registry.find("provider", registry.SERVERS, name)()
    part = server.heard(event)
    assert part is None or (isinstance(part.text, str) and isinstance(part.finish, str))
    for get in (lambda _path, _body: event, lambda _path, _body: [event]):
        assert all(isinstance(offer.name, str) and isinstance(offer.window, int) for offer in server.offers(get))
        assert isinstance(server.window(get, "None"), int) and isinstance(server.calls(get, "None"), bool)
        assert isinstance(server.count(get, "None", "text"), int | None)


# What single servers do ----------------------------------------------------------------------------------------------


def test_a_window_of_ollama_is_modest_unless_somebody_wants_another() -> None:
    def window(**told: Any) -> int:
        answers = {"/api/show": {"model_info": {"qwen2.context_length": 131072}}, "/api/ps": {"models": []}} | told
        return Ollama().window(lambda path, _body: answers[path], "qwen")

    running = [{"name": "qwen:latest", "context_length": 32768}, {"name": "other", "context_length": 99999}]
    assert window() == 8192
    assert window(**{"/api/show": {"model_info": {"qwen2.context_length": 2048}}}) == 2048
    assert window(**{"/api/show": {"parameters": "stop  x\nnum_ctx                        16384\nseed 1"}}) == 16384
    assert window(**{"/api/ps": {"models": running}}) == 32768
    assert window(**{"/api/show": {"model_info": []}}) == 0


@pytest.mark.parametrize("status", [200, 404])
def test_lm_studio_that_is_older_than_its_own_list(status: int) -> None:
    unknown = as_json(status, {"error": "Unexpected endpoint or method. (GET /api/v0/models)"})
    doors = {"GET /v1/models": as_json(200, {"data": [{"id": "a"}]}), "GET /api/v0/models": unknown}
    with chat_server(doors=doors) as served:
        assert opened(Exchange("lmstudio"), served).model == "a"


def test_a_schema_can_be_asked_of_vllm_too() -> None:
    _, body = VLLM().asked(Completion("p", "m", 100, schema={"type": "object"}))
    assert (body["structured_outputs"], body["guided_json"]) == ({"json": {"type": "object"}}, {"type": "object"})
